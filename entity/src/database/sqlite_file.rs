//! The SQLite file that is open, told apart from another one that has taken its name since.
//!
//! SQLite finds its write-ahead log by the file's name. Where that name has come to stand for another file, the log of the
//! old one would be written into the new one: by whoever opens it next, and by whoever closes it last.

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

/// How long a commit under way may keep a file that has changed from being given up.
const WRITER_WAIT_MAX: Duration = Duration::from_secs(5);

/// A database file, with its log and its index of the log, as they were when the process opened them.
#[derive(Debug)]
pub(crate) struct SqliteFile {
    pub(crate) path: PathBuf,
    opened: Vec<(PathBuf, FileId)>,
    /// An idle connection. While it is open SQLite lets no process remove the log, so one that is gone or another was
    /// removed or replaced by somebody else. None once the file is closed or given up.
    anchor: Mutex<Option<SqliteConnection>>,
}

/// A file's device and inode.
type FileId = (u64, u64);

/// Another file stands where a process has its database, or none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileChanged {
    /// The name is gone.
    #[error("{} was removed or renamed while it was in use: stop every server before you move a database", .0.display())]
    Removed(PathBuf),
    /// The name is another file's.
    #[error("{} was replaced by another file while it was in use: stop every server before you restore a database", .0.display())]
    Replaced(PathBuf),
}

impl SqliteFile {
    /// The file at `path`, which has been opened and is in WAL mode.
    pub(super) async fn open(path: &Path, options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let mut anchor = SqliteConnection::connect_with(options).await?;
        // From its first read on it holds the lock that keeps the log from being removed.
        anchor.execute("SELECT count(*) FROM sqlite_schema").await?;
        // SQLite names the log after the file that a symbolic link points to.
        let file = fs::canonicalize(path)?;
        let names = [path.to_owned(), beside(&file, "-wal"), beside(&file, "-shm")];
        let opened = names.into_iter().filter_map(|name| Some((name.clone(), file_id(&name).ok()??))).collect();
        Ok(Self { path: path.to_owned(), opened, anchor: Mutex::new(Some(anchor)) })
    }

    /// Looks whether the names still stand for the files that were opened: some microseconds.
    pub(crate) fn check(&self) -> Result<(), FileChanged> {
        for (name, opened) in &self.opened {
            match file_id(name) {
                Ok(None) => return Err(FileChanged::Removed(name.clone())),
                Ok(Some(found)) if found != *opened => return Err(FileChanged::Replaced(name.clone())),
                // What can't be looked at is not known to be another.
                Ok(Some(_)) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Gives up a file that [`SqliteFile::check`] finds changed: from here on nothing is written through `writers`. Moves
    /// what the log has into the file that was opened, wherever that is now, and empties the log, so that nothing of it gets
    /// into a file that took its name. A log that can't be emptied is taken away from such a file.
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
        // The last connection that is closed removes the log by its name, which may be another file's by now.
        std::mem::forget((anchor, writer));
    }

    /// Closes the connection that held the file.
    pub(super) async fn close(&self) -> Result<(), sqlx::Error> {
        match self.anchor.lock().await.take() {
            Some(anchor) => anchor.close().await,
            None => Ok(()),
        }
    }
}

/// The name of a file that SQLite has beside the database's own.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// None when there is no file of that name.
fn file_id(name: &Path) -> io::Result<Option<FileId>> {
    match fs::metadata(name) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
