//! Whether a database that can be read can be written to as well.

use sqlx::Row;

use super::{Database, DatabaseKind, FileChanged, sqlite};
use crate::failure::{Failure, is_read_only};

/// Why a database can't be written to.
#[derive(Debug, thiserror::Error)]
pub enum NotWritable {
    /// There is no room.
    #[error("the database's disk is full")]
    DiskFull,
    /// The file, its folder, the session or the database is read-only.
    #[error("the database is read-only")]
    ReadOnly,
    /// It follows another server.
    #[error("the database is a standby, which can't be written to before it is promoted")]
    Standby,
    /// The file is another one by now, or gone.
    #[error(transparent)]
    FileChanged(#[from] FileChanged),
    /// It can't be tried.
    #[error("the database can't be used")]
    Failed(#[source] sqlx::Error),
}

impl Database {
    /// Finds out whether something could be written now. Leaves nothing behind.
    ///
    /// On SQLite 256 KiB are written to the disk and taken back, unless somebody else is writing. PostgreSQL is asked
    /// whether its transactions may write; that its disk is full is known only by writing.
    ///
    /// # Errors
    /// [`NotWritable`].
    pub async fn try_writing(&self) -> Result<(), NotWritable> {
        if let Some(file) = &self.sqlite_file {
            file.check()?;
            return sqlite::try_writing(&file.path).await.map_err(NotWritable::of);
        }
        debug_assert_eq!(self.kind, DatabaseKind::Postgres, "an SQLite database has a file");
        const MAY_WRITE: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean";
        let row = sqlx::raw_sql(MAY_WRITE).fetch_one(self.readers.get_postgres_connection_pool()).await;
        let found = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        match found.map_err(NotWritable::of)? {
            (true, _) => Err(NotWritable::Standby),
            (false, true) => Err(NotWritable::ReadOnly),
            (false, false) => Ok(()),
        }
    }
}

impl NotWritable {
    fn of(error: sqlx::Error) -> Self {
        match Failure::of_sqlx(&error) {
            Failure::DiskFull => Self::DiskFull,
            _ if is_read_only(&error) => Self::ReadOnly,
            _ => Self::Failed(error),
        }
    }
}
