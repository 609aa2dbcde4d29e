//! A change of the schema: one transaction that holds a lock, so that processes that migrate at once do so one after the
//! other, and one that fails leaves nothing behind.

use sea_orm_migration::{
    MigratorTrait,
    prelude::DbErr,
    sea_orm::{
        ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, RuntimeErr, SqliteTransactionMode,
        Statement, TransactionOptions, TransactionTrait,
    },
};

use crate::{Migrator, execute_each, roles_sql, status, texts};

/// Any number that nothing else locks: "analytics migrate" in ASCII has no shorter form.
const POSTGRES_LOCK: i64 = 0x616e_616c_7974_6963;
/// How long a change may wait for a table (PostgreSQL): readers and recorders wait behind it.
const LOCK_WAIT_MAX_MS: u32 = 40;
/// How often a change is tried, a second apart, while other transactions hold a table.
const TRIES_MAX: u32 = 120;

/// Has a Citus cluster change the shards of a table one after the other, over one connection to each node. After others it takes
/// no change of a view in the same transaction.
const ONE_CONNECTION: &str = "SELECT set_config('citus.multi_shard_modify_mode', 'sequential', true)
    FROM pg_extension WHERE extname = 'citus'";

/// What is changed.
#[derive(Copy, Clone)]
pub(crate) enum Change<'a> {
    /// The migrations that are missing are applied.
    Up,
    /// The newest migration is taken back.
    Down,
    /// The services' logins are made or mended.
    Roles {
        /// What their names begin with.
        prefix: &'a str,
        /// Logins without the prefix, and what the database is to know their passwords by.
        verifiers: &'a [(&'a str, String)],
    },
}

impl Change<'_> {
    /// Makes the change. Where another transaction holds a table, all of it is taken back and tried again.
    pub(crate) async fn make(self, db: &DatabaseConnection) -> Result<(), DbErr> {
        for _ in 0..TRIES_MAX {
            let transaction = begin(db).await?;
            match self.run(&transaction).await {
                Ok(()) => return transaction.commit().await,
                Err(error) if is_lock_timeout(&error) => transaction.rollback().await?,
                Err(error) => return Err(error),
            }
            db.execute_unprepared("SELECT pg_sleep(1)").await?;
        }
        Err(DbErr::Custom(format!(
            "other transactions hold its tables, such as a dump (pg_locks and pg_stat_activity show them); it was tried \
             {TRIES_MAX} times, a second apart, and can be tried again"
        )))
    }

    async fn run(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        match self {
            Self::Up => {
                lock_report(transaction).await?;
                Migrator::up(transaction, None).await
            }
            Self::Down => Migrator::down(transaction, Some(1)).await,
            Self::Roles { prefix, verifiers } => make_roles(transaction, prefix, verifiers).await,
        }
    }
}

async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let transaction = db
        .begin_with_options(TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        })
        .await?;
    if db.get_database_backend() == DbBackend::Postgres {
        let sql = format!("SELECT pg_advisory_xact_lock({POSTGRES_LOCK}); SET LOCAL lock_timeout = {LOCK_WAIT_MAX_MS}");
        transaction.execute_unprepared(&sql).await?;
        transaction.execute_unprepared(ONE_CONNECTION).await?;
    }
    Ok(transaction)
}

/// Locks the report before all other relations, if there are migrations to apply. A reader holds the report when it reads
/// the log of refreshes, so a change that held the log and then wanted the report would never get it.
async fn lock_report(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    const IS_THERE: &str = "SELECT 'it is' WHERE to_regclass('page_views_report') IS NOT NULL";
    if transaction.get_database_backend() != DbBackend::Postgres
        || status(transaction).await?.missing().is_empty()
        || texts(transaction, IS_THERE).await?.is_empty()
    {
        return Ok(());
    }
    transaction.execute_unprepared(include_str!("lock_report.sql")).await.map(drop)
}

fn is_lock_timeout(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    // lock_not_available: https://www.postgresql.org/docs/15/errcodes-appendix.html
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

async fn make_roles(
    transaction: &DatabaseTransaction,
    prefix: &str,
    verifiers: &[(&str, String)],
) -> Result<(), DbErr> {
    let schema = texts(transaction, "SELECT quote_ident(current_schema())").await?.concat();
    let sql = roles_sql(prefix).replace("SCHEMA public", &format!("SCHEMA {schema}"));
    execute_each(transaction, &sql).await?;
    for (login, verifier) in verifiers {
        const SET_PASSWORD: &str = "SELECT format('ALTER ROLE %I PASSWORD %L', $1, $2)";
        let values = [format!("{prefix}_{login}").into(), verifier.clone().into()];
        let row = transaction.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, SET_PASSWORD, values));
        let row = row.await?.ok_or_else(|| DbErr::RecordNotFound(SET_PASSWORD.to_owned()))?;
        transaction.execute_unprepared(&row.try_get_by_index::<String>(0)?).await?;
    }
    Ok(())
}
