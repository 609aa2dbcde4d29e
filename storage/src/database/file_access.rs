//! Finds out why this process can't use an SQLite file. SQLite's own message ("unable to open database file") names
//! neither the folder nor the reason.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::sqlite_file::beside;

/// The reason why an SQLite file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileRefused {
    /// The path is a folder.
    #[error("{} is a folder, and not a file in one", .0.display())]
    IsFolder(PathBuf),
    /// The folder does not exist.
    #[error("the folder {} does not exist; create it: mkdir -p {}", .0.display(), shell_word(.0))]
    NoFolder(PathBuf),
    /// The folder is not one, or this process can't create files in it.
    #[error("can't make files in the folder {}", folder.display())]
    Folder {
        /// The file's folder.
        folder: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The database file, or its `-wal` or `-shm` file, can't be read and written.
    #[error("can't read and write the file {}", file.display())]
    File {
        /// The file that can't be used.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Returns the reason why this process can't use the database in `file`, if it finds one. Opens no file: closing one
/// would release all POSIX locks of the process on it, SQLite's included (<https://www.sqlite.org/howtocorrupt.html>,
/// 2.2).
pub(crate) fn refusal(file: &Path) -> Option<FileRefused> {
    // The `-wal` and `-shm` files are beside the file that a symbolic link points to.
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
    if matches!(folder.try_exists(), Ok(false)) {
        return Some(FileRefused::NoFolder(folder));
    }
    // With "." the check fails too if `folder` is not a folder.
    let source = refused(&folder.join("."), Access::WRITE_OK | Access::EXEC_OK)?;
    Some(FileRefused::Folder { folder, source })
}

/// Returns the path as a word of a shell: in quotes if it has other characters than those of usual names.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "/._-".contains(character);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
