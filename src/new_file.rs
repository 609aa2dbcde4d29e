//! A new file that is complete from the moment on at which it has its name.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use storage::database::shell_word;
use tempfile::NamedTempFile;

/// The reason why no file was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewFileError {
    #[error("{} is there already, and {what} overwrites nothing", file.display())]
    Exists { file: PathBuf, what: &'static str },
    #[error("the folder {} does not exist; create it: mkdir -p {}", .0.display(), shell_word(.0))]
    NoFolder(PathBuf),
    #[error("can't write {}", file.display())]
    Write { file: PathBuf, source: io::Error },
}

/// A file that is being written under a temporary name. It is deleted when this is dropped.
pub(crate) struct NewFile {
    file: PathBuf,
    folder: PathBuf,
    partial: NamedTempFile,
    what: &'static str,
}

impl NewFile {
    /// Creates the temporary file beside `file`. Only its owner may read it. `what` is what writes it, for messages.
    pub(crate) fn create(file: &Path, what: &'static str) -> Result<Self, NewFileError> {
        let write = |source| NewFileError::Write { file: file.to_owned(), source };
        let file = std::path::absolute(file).map_err(write)?;
        if file.symlink_metadata().is_ok() {
            return Err(NewFileError::Exists { file, what });
        }
        let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(write(io::ErrorKind::IsADirectory.into()));
        };
        if matches!(folder.try_exists(), Ok(false)) {
            return Err(NewFileError::NoFolder(folder.to_owned()));
        }
        let mut prefix = name.to_owned();
        prefix.push(".");
        let partial = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(folder).map_err(write)?;
        Ok(Self { folder: folder.to_owned(), file, partial, what })
    }

    /// Returns the name that the file will have.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Returns the file under its temporary name.
    pub(crate) fn partial(&self) -> &NamedTempFile {
        &self.partial
    }

    /// Returns the error that the file can't be written.
    pub(crate) fn failed(&self, source: io::Error) -> NewFileError {
        NewFileError::Write { file: self.file.clone(), source }
    }

    /// Syncs the file and gives it its name. Returns its length in bytes.
    pub(crate) fn complete(self) -> Result<u64, NewFileError> {
        let Self { file, folder, partial, what } = self;
        let write = |source| NewFileError::Write { file: file.clone(), source };
        partial.as_file().sync_all().map_err(write)?;
        let complete = partial.persist_noclobber(&file).map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => NewFileError::Exists { file: file.clone(), what },
            _ => write(failed.error),
        })?;
        // The folder is synced too, so that the name survives a crash.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)?;
        Ok(complete.metadata().map_err(write)?.len())
    }
}
