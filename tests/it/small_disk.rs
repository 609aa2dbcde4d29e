//! A real disk that is small: a file system in memory, which can be filled, grown, and gone with the test.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::app::{Rung, TestDatabase};

/// A mounted file system.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Of `size`, as `mount` reads it: `6m`.
    pub(crate) fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder.path());
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// From now on it has `size`.
    pub(crate) fn resize(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], self.path());
    }

    /// Whoever opens a file of it from now on finds that nothing may be written; what is open may still be.
    pub(crate) fn make_read_only(&self) {
        let path = self.path().to_str().unwrap();
        mount(&["--bind", path], self.path());
        mount(&["-o", "remount,bind,ro"], self.path());
    }

    /// Takes [`SmallDisk::make_read_only`] back.
    pub(crate) fn make_writable(&self) {
        assert!(unmount(self.path()));
    }

    /// Fills it with a file, but for `free` bytes.
    pub(crate) fn fill_but(&self, free: u64) {
        const PAGE: [u8; 4_096] = [1; 4_096];
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        let mut bytes = 0;
        while ballast.write_all(&PAGE).is_ok() {
            bytes += 4_096;
        }
        ballast.set_len(bytes - free).unwrap();
    }

    /// An empty SQLite database on it.
    pub(crate) fn database(&self) -> TestDatabase {
        let file: PathBuf = self.path().join("test.db");
        let url = format!("sqlite://{}", file.display());
        TestDatabase { url, rung: Rung::Sqlite, folder: tempfile::tempdir().unwrap() }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Files may still be open, and it may be mounted twice.
        while unmount(self.path()) {}
    }
}

fn mount(arguments: &[&str], folder: &Path) {
    let output = Command::new("mount").args(arguments).arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "this test needs a small disk, and so the right to mount one (run it as root): {said}"
    );
}

fn unmount(folder: &Path) -> bool {
    Command::new("umount").arg("--lazy").arg(folder).output().unwrap().status.success()
}
