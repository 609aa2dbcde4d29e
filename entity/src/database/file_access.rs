//! What keeps this process from using an SQLite file, in the system's words. SQLite's own ("unable to open database file")
//! name neither the folder nor what is wrong with it.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::sqlite_file::beside;

/// What is in the way.
#[derive(Debug, thiserror::Error)]
pub enum FileRefused {
    /// There is a folder of this name.
    #[error("{} is a folder, and not a file in one", .0.display())]
    IsFolder(PathBuf),
    /// The folder is missing, or no files can be made in it.
    #[error("can't make files in the folder {}", folder.display())]
    Folder {
        /// The file's folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file, or one of those that SQLite has beside it, can't be used.
    #[error("can't read and write the file {}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Looks for what keeps this process from using the database in `file`. It opens nothing: whoever closes a file gives up
/// all locks that the process has on it, SQLite's too (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
pub(crate) fn refusal(file: &Path) -> Option<FileRefused> {
    // SQLite's own files are beside the one that a symbolic link leads to.
    let file = file.canonicalize().or_else(|_missing| std::path::absolute(file)).ok()?;
    if file.is_dir() {
        return Some(FileRefused::IsFolder(file));
    }
    let refused = |path: &Path, wanted| access(path, wanted).err().map(io::Error::from);
    let wanted = Access::READ_OK | Access::WRITE_OK;
    let files = [file.clone(), beside(&file, "-wal"), beside(&file, "-shm")];
    let found = files.into_iter().filter(|file| file.exists());
    let mut refused_files = found.filter_map(|file| Some((refused(&file, wanted)?, file)));
    if let Some((source, file)) = refused_files.next() {
        return Some(FileRefused::File { file, source });
    }
    let folder = file.parent()?.to_owned();
    // What is no folder has nothing of this name in it.
    let source = refused(&folder.join("."), Access::WRITE_OK | Access::EXEC_OK)?;
    Some(FileRefused::Folder { folder, source })
}
