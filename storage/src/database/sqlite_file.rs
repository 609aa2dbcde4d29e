//! Detects that the open SQLite file was removed or replaced by another one of the same name.
//!
//! SQLite finds its write-ahead log by the file's name. If the name now belongs to another file, the old log would be
//! written into the new file: by the next process that opens it, and by the last one that closes it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Connection, Executor, Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};
use tokio::{sync::Mutex, time::timeout};

/// How long giving up a changed file waits for a running commit.
const WRITER_WAIT_MAX: Duration = Duration::from_secs(5);

/// The identity of a database file and of its `-wal` and `-shm` files when the process opened them.
#[derive(Debug)]
pub(crate) struct SqliteFile {
    pub(crate) path: PathBuf,
    opened: Vec<(PathBuf, FileId)>,
    /// An idle connection. While it is open, no process removes the log through SQLite, so a missing or different log
    /// was removed or replaced by other means. `None` once the file is closed or given up.
    anchor: Mutex<Option<SqliteConnection>>,
}

/// A file's device and inode.
type FileId = (u64, u64);

/// The error that an open database file was removed or replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileChanged {
    /// No file has the name any more.
    #[error("{} was removed or renamed while it was in use: stop every server before you move a database", .0.display())]
    Removed(PathBuf),
    /// Another file has the name.
    #[error("{} was replaced by another file while it was in use: stop every server before you restore a database", .0.display())]
    Replaced(PathBuf),
}

impl SqliteFile {
    /// Notes the identity of the file at `path`, which has been opened before and is in WAL mode.
    pub(super) async fn open(path: &Path, options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let mut anchor = SqliteConnection::connect_with(options).await?;
        // The first read takes the lock that keeps the log from being removed.
        anchor.execute("SELECT count(*) FROM sqlite_schema").await?;
        // SQLite names the log after the file that a symbolic link points to.
        let file = fs::canonicalize(path)?;
        let names = [path.to_owned(), beside(&file, "-wal"), beside(&file, "-shm")];
        let opened = names.into_iter().filter_map(|name| Some((name.clone(), file_id(&name).ok()??))).collect();
        Ok(Self { path: path.to_owned(), opened, anchor: Mutex::new(Some(anchor)) })
    }

    /// Checks that the names still belong to the files that were opened. Takes some microseconds.
    pub(crate) fn check(&self) -> Result<(), FileChanged> {
        for (name, opened) in &self.opened {
            match file_id(name) {
                Ok(None) => return Err(FileChanged::Removed(name.clone())),
                Ok(Some(found)) if found != *opened => return Err(FileChanged::Replaced(name.clone())),
                // A file whose metadata can't be read is not known to be another.
                Ok(Some(_)) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Gives up a file that [`SqliteFile::check`] found changed. Nothing is written through `writers` any more.
    ///
    /// Moves the content of the log into the file that was opened, wherever that is now, and truncates the log, so that
    /// none of it gets into a file that has taken the name. If the log can't be truncated and another file has the
    /// name, the log is removed.
    pub(super) async fn give_up(&self, writers: &SqlitePool) {
        let Some(mut anchor) = self.anchor.lock().await.take() else { return };
        let writer = timeout(WRITER_WAIT_MAX, writers.acquire()).await;
        let emptied = anchor.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let is_empty = emptied.and_then(|row| row.try_get(0)).is_ok_and(|busy: i64| busy == 0);
        let is_replaced = self.check() == Err(FileChanged::Replaced(self.path.clone()));
        if !is_empty && is_replaced {
            let ours = self.opened.iter().skip(1).filter(|(name, opened)| file_id(name).ok() == Some(Some(*opened)));
            ours.for_each(|(name, _)| drop(fs::remove_file(name)));
        }
        // Closing the last connection removes the log by its name, which may belong to another file by now.
        std::mem::forget((anchor, writer));
    }

    /// Closes the idle connection.
    pub(super) async fn close(&self) -> Result<(), sqlx::Error> {
        match self.anchor.lock().await.take() {
            Some(anchor) => anchor.close().await,
            None => Ok(()),
        }
    }
}

/// Returns the path of the file that SQLite has beside the database file, with `suffix`.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns the device and inode of the file, or `None` if there is no file of that name.
fn file_id(name: &Path) -> io::Result<Option<FileId>> {
    match fs::metadata(name) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
