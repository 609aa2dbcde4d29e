//! A small disk of a test's own, which can be filled and freed: a file system in memory.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The pieces in which the disk is filled. Of the last one the system takes what still fits.
const CHUNK_BYTES: usize = 1024 * 1024;

/// `$0` is the folder, `$1` the file system's options. Unmounts when its standard input closes, so also when the tests are
/// killed; what is still open there stays usable until it is closed.
const KEEPER: &str = r#"
set -eu
mount -t tmpfs -o "$1" analytics-test "$0"
echo mounted
read -r keep || true
test -n "$keep" || umount -l "$0"
"#;

/// A mounted file system of a fixed size, unmounted when it is dropped.
pub(crate) struct FillableDisk {
    folder: PathBuf,
    keeper: Child,
    stays: bool,
}

impl FillableDisk {
    /// Mounts `megabytes` at `folder`, which is there already and stays its owner's.
    pub(crate) fn mount(folder: &Path, megabytes: u32) -> Self {
        let owner = fs::metadata(folder).unwrap().uid();
        let options = format!("size={megabytes}m,mode=0700,uid={owner}");
        // Mounting is for root. A session of its own: what interrupts the tests does not interrupt the unmounting.
        let mut command = Command::new("setsid");
        if !crate::cluster::is_root() {
            command.args(["sudo", "-n"]);
        }
        let mut keeper = command
            .args(["sh", "-c", KEEPER])
            .arg(folder)
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answer = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(
            answer, "mounted\n",
            "a test needs root, or sudo without a password, and the right to mount a tmpfs"
        );
        Self { folder: folder.to_owned(), keeper, stays: false }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Leaves no room.
    pub(crate) fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        let chunk = vec![0; CHUNK_BYTES];
        let error = loop {
            if let Err(error) = ballast.write_all(&chunk) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Leaves it mounted for good, so that somebody can look at it.
    pub(crate) fn keep(&mut self) {
        self.stays = true;
        writeln!(self.keeper.stdin.as_ref().unwrap(), "keep").unwrap();
    }

    /// Unmounts it unless it is kept, and returns whether it did.
    pub(crate) fn unmount(self) -> bool {
        !self.stays
    }
}

impl Drop for FillableDisk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}
