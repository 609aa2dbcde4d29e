//! A small disk: a file system in memory that can be filled and resized, and ends with the test.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    app::{Rung, TestDatabase},
    cluster,
};

/// `$0` is the folder, `$1` the file system's options. Unmounts when its standard input closes, so also when the tests
/// are killed; it may be mounted twice, and open files stay usable until they are closed.
const KEEPER: &str = r#"
set -eu
mount -t tmpfs -o "$1" analytics-test "$0"
echo mounted
read -r keep || true
test -n "$keep" || while umount --lazy "$0" 2>/dev/null; do true; done
"#;

/// A mounted file system.
pub(crate) struct SmallDisk {
    path: PathBuf,
    keeper: Child,
    stays: bool,
    /// The folder of the mount, if it is a temporary one. Removed after the unmounting.
    _folder: Option<TempDir>,
}

impl SmallDisk {
    /// Mounts a disk of `size`, in the form of `mount`, such as `6m`.
    pub(crate) fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Self::mount_at(folder.path(), size);
        disk._folder = Some(folder);
        disk
    }

    /// Mounts a disk at `path`, an existing folder, which is not removed.
    pub(crate) fn mount_at(path: &Path, size: &str) -> Self {
        let options = format!("size={size},mode=0700,uid={}", fs::metadata(path).unwrap().uid());
        // A session of its own, so that Ctrl-C does not interrupt the unmounting.
        let mut command = as_root("setsid");
        let mut keeper = command
            .args(["sh", "-c", KEEPER])
            .arg(path)
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answer = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(
            answer, "mounted\n",
            "this test needs a small disk, and so the right to mount one: run it as root, or with a sudo without a password"
        );
        Self { path: path.to_owned(), keeper, stays: false, _folder: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes its size.
    pub(crate) fn resize(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], self.path());
    }

    /// Makes files that are opened from now on read-only; open ones stay writable.
    pub(crate) fn make_read_only(&self) {
        let path = self.path().to_str().unwrap();
        mount(&["--bind", path], self.path());
        mount(&["-o", "remount,bind,ro"], self.path());
    }

    /// Takes [`SmallDisk::make_read_only`] back.
    pub(crate) fn make_writable(&self) {
        let unmounted = as_root("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.unwrap().success());
    }

    /// Fills it with a file, but for `free` bytes.
    pub(crate) fn fill_but(&self, free: u64) {
        // The system writes as much of the last piece as fits.
        let piece = vec![1; 1024 * 1024];
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&piece).is_ok() {}
        ballast.set_len(ballast.metadata().unwrap().len() - free).unwrap();
    }

    /// Frees the space that [`SmallDisk::fill_but`] took.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Leaves it mounted for good, for inspection.
    pub(crate) fn keep(&mut self) {
        self.stays = true;
        writeln!(self.keeper.stdin.as_ref().unwrap(), "keep").unwrap();
    }

    /// Unmounts it. Returns false if it is kept.
    pub(crate) fn unmount(self) -> bool {
        !self.stays
    }

    /// An empty SQLite database on it.
    pub(crate) fn database(&self) -> TestDatabase {
        let url = format!("sqlite://{}", self.path.join("test.db").display());
        TestDatabase { url, rung: Rung::Sqlite, folder: tempfile::tempdir().unwrap() }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

fn mount(arguments: &[&str], folder: &Path) {
    let output = as_root("mount").args(arguments).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn as_root(program: &str) -> Command {
    if cluster::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}
