//! Copies an SQLite database that is in use.
//!
//! `VACUUM INTO` reads one snapshot, as every query does: it does not wait for writers, and they do not wait for it.
//! (SQLite's online backup API restarts whenever another process writes, and would need `unsafe` code.) Until the copy
//! is complete, the write-ahead log grows by all that is recorded meanwhile.

use std::path::{Path, PathBuf};

use sqlx::{
    Connection, Executor, Row,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};

use crate::{
    database::{
        file_access::{self, FileRefused},
        for_long_statements,
    },
    error_kind::DbErrorKind,
};

/// The reason why a database was not copied.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system denies access to the file.
    #[error("can't open the database")]
    Refused(#[source] FileRefused),
    /// The file does not exist.
    #[error("there is no database {}", .0.display())]
    Missing(PathBuf),
    /// The file can't be opened or is not an SQLite database.
    #[error("can't open the database {}", file.display())]
    Open {
        /// The database file.
        file: PathBuf,
        /// The error of SQLite.
        source: sqlx::Error,
    },
    /// The file is an SQLite database of another program.
    #[error("{} is not a database of this program: it has no counts", .0.display())]
    Foreign(PathBuf),
    /// There is no room for the copy.
    #[error("there is no room for the backup")]
    TargetFull(#[source] sqlx::Error),
    /// The copy failed for another reason.
    #[error("can't copy the database")]
    Copy(#[source] sqlx::Error),
}

/// Copies a snapshot of the database in `source`, which has to have the table `table`, into the empty file `target`. Calls
/// `expect` with the greatest size in bytes that the copy can have. Does not sync the copy.
///
/// # Errors
/// [`BackupError`]; then `target` has no complete copy.
pub async fn copy_sqlite(
    source: &Path,
    target: &Path,
    table: &str,
    expect: &(dyn Fn(u64) + Sync),
) -> Result<(), BackupError> {
    let open = |error| match file_access::refusal(source) {
        Some(refusal) => BackupError::Refused(refusal),
        None if !source.exists() => BackupError::Missing(source.to_owned()),
        None => BackupError::Open { file: source.to_owned(), source: error },
    };
    let options = for_long_statements(SqliteConnectOptions::new().filename(source));
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(open)?;
    let bytes = async {
        let pages: i64 = connection.fetch_one("PRAGMA page_count").await?.try_get(0)?;
        let page_bytes: i64 = connection.fetch_one("PRAGMA page_size").await?.try_get(0)?;
        let tables = sqlx::query("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?").bind(table);
        let is_ours = connection.fetch_one(tables).await?.try_get::<i64, _>(0)? > 0;
        Ok(is_ours.then(|| u64::try_from(pages * page_bytes).unwrap_or_default()))
    };
    expect(bytes.await.map_err(open)?.ok_or_else(|| BackupError::Foreign(source.to_owned()))?);
    let copied =
        sqlx::query("VACUUM INTO ?").bind(target.to_string_lossy().into_owned()).execute(&mut connection).await;
    copied.map_err(|error| match DbErrorKind::of_sqlx(&error) {
        DbErrorKind::DiskFull => BackupError::TargetFull(error),
        _ => BackupError::Copy(error),
    })?;
    connection.close().await.map_err(BackupError::Copy)
}
