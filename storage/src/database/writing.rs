//! Tests whether the database can be written to.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, RuntimeErr, Statement};

use super::{Database, DatabaseKind, FileChanged, sqlite};
use crate::error_kind::{DbErrorKind, is_read_only};

/// The reason why a database can't be written to.
#[derive(Debug, thiserror::Error)]
pub enum NotWritable {
    /// The database's disk is full.
    #[error("the database's disk is full")]
    DiskFull,
    /// The file, its folder, the session or the database is read-only.
    #[error("the database is read-only")]
    ReadOnly,
    /// The server is a standby.
    #[error("the database is a standby, which can't be written to before it is promoted")]
    Standby,
    /// The SQLite file was removed or replaced.
    #[error(transparent)]
    FileChanged(#[from] FileChanged),
    /// The test failed for another reason.
    #[error("the database can't be used")]
    Failed(#[source] DbErr),
}

impl Database {
    /// Tests whether the database can be written to. Leaves no changes.
    ///
    /// On SQLite it writes 256 KiB to the disk and rolls back, unless another connection is writing. On PostgreSQL it
    /// queries whether transactions may write, which does not detect a full disk.
    ///
    /// # Errors
    /// [`NotWritable`].
    pub async fn try_writing(&self) -> Result<(), NotWritable> {
        if let Some(file) = &self.sqlite_file {
            file.check()?;
            return sqlite::try_writing(&file.path).await.map_err(NotWritable::of);
        }
        debug_assert_eq!(self.kind, DatabaseKind::Postgres, "an SQLite database has a file");
        // Transactions of queries are always read-only, so this asks for the default of other transactions.
        const MAY_WRITE: &str = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean";
        let row = self.readers.query_one_raw(Statement::from_string(DbBackend::Postgres, MAY_WRITE)).await;
        let found = row.and_then(|row| {
            let row = row.ok_or_else(|| DbErr::RecordNotFound(MAY_WRITE.to_owned()))?;
            Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
        });
        match found.map_err(NotWritable::Failed)? {
            (true, _) => Err(NotWritable::Standby),
            (false, true) => Err(NotWritable::ReadOnly),
            (false, false) => Ok(()),
        }
    }
}

impl Database {
    /// Empties the write-ahead log of an SQLite database into its file, so that it has no copies of what was deleted, if
    /// nobody reads or writes just now. Returns whether there is none any more.
    ///
    /// # Errors
    /// When the file can't be opened or written to.
    pub async fn empty_log(&self) -> Result<bool, DbErr> {
        let Some(file) = &self.sqlite_file else { return Ok(true) };
        file.check().map_err(|changed| DbErr::Custom(changed.to_string()))?;
        sqlite::empty_log(&file.path).await.map_err(|error| DbErr::Exec(RuntimeErr::SqlxError(error.into())))
    }

    /// Returns how many nodes of a Citus cluster its coordinator can't reach; 0 on every other database.
    ///
    /// # Errors
    /// When the database can't be queried.
    pub async fn lost_nodes(&self) -> Result<i64, DbErr> {
        const IS_CLUSTER: &str = "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL";
        const LOST: &str = "SELECT count(*) FROM run_command_on_all_nodes('SELECT 1') WHERE NOT success";
        if self.kind == DatabaseKind::Sqlite {
            return Ok(0);
        }
        let query = async |sql: &str| {
            let row = self.readers.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
            row.ok_or_else(|| DbErr::RecordNotFound(sql.to_owned()))
        };
        if !query(IS_CLUSTER).await?.try_get_by_index::<bool>(0)? {
            return Ok(0);
        }
        query(LOST).await?.try_get_by_index(0)
    }
}

impl NotWritable {
    fn of(error: sqlx::Error) -> Self {
        match DbErrorKind::of_sqlx(&error) {
            DbErrorKind::DiskFull => Self::DiskFull,
            _ if is_read_only(&error) => Self::ReadOnly,
            _ => Self::Failed(DbErr::Query(RuntimeErr::SqlxError(error.into()))),
        }
    }
}
