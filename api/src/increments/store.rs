//! One transaction: keys, pages, counts and marks, on either database.

mod postgres;
mod sqlite;

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use chrono::{DateTime, Utc};
use entity::{
    Database, DatabaseKind, Hour,
    clock::{self, Clock},
    failure::Failure,
};
use sqlx::{Executor, PgConnection, PgPool, Row};
use tokio::time::{Instant, timeout_at};

use super::{
    batch::Batch,
    increment::{Fingerprint, IdempotencyKey, Request, Title},
    known_pages::KnownPages,
};

/// Begins a transaction, at the isolation level that it needs whatever the role's default is: a second request with a
/// key has to see what the first one committed. All that follows goes in the same round trip and holds for this
/// transaction only: a pooler may lend the connection to somebody else for the next one.
///
/// The limits: how long a statement may take; and how long the transaction may stand still, since others wait for its
/// locks. And a durable commit: `synchronous_commit` becomes `on` unless it is stricter already. `off`, `local` and `remote_write` answer before
/// the commit is on the disks of this server and of its synchronous standbys
/// (<https://www.postgresql.org/docs/15/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT>).
const BEGIN_POSTGRES: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SELECT WHERE CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN false
                      ELSE set_config('synchronous_commit', 'on', true) IS NULL END";
/// A connection that was not used for so long is closed: whoever carries it may have forgotten it, and say nothing.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Other transactions were in the way; the same again may succeed.
    #[error("other transactions were in the way")]
    Conflict(#[source] sqlx::Error),
    /// The connection was lost before the commit: nothing was done, and the same again may succeed.
    #[error("the connection to the database was lost")]
    Lost(#[source] sqlx::Error),
    /// The database can't be reached, or the connection was lost during the commit: it may even have committed.
    #[error("the database can't be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The database's disk is full: when there is room the same again may succeed.
    #[error("the database's disk is full")]
    DiskFull(#[source] sqlx::Error),
    /// The database refuses what it was given.
    #[error("the database refuses the increments")]
    Refused(#[source] sqlx::Error),
}

/// What became of one request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Counted.
    Counted,
    /// Its key had been counted with the same increments: nothing was counted again.
    Duplicate,
    /// Its key had been counted with other increments: nothing was counted.
    KeyReused,
}

/// A committed transaction.
#[derive(Debug)]
pub(super) struct Committed {
    /// By the database's clock, after the commit, and later than what any refresh promises that may have looked before it.
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) counted: Counted,
}

/// What a transaction comes to.
#[derive(Debug)]
pub(super) struct Counted {
    /// One for each request, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// How many increments were counted.
    pub(super) increments: usize,
    /// The sum of their views.
    pub(super) views: i64,
}

/// What one committer commits through, one transaction after the other.
#[derive(Debug)]
pub(super) enum Session {
    /// A connection that is kept from one transaction to the next, and taken out while one runs: a transaction that is
    /// given up half-way closes it, which ends the transaction too. A pool would wait for it.
    Postgres(PgPool, Option<Kept>),
    /// The one connection that writes, which the Wolf uses too.
    Sqlite(Box<Database>),
}

/// A connection, and since when it has not been used.
#[derive(Debug)]
pub(super) struct Kept(PgConnection, Instant);

/// The statements of a transaction. Every slice is sorted by key and has each key once.
trait Statements: Send {
    /// Writes the keys that are new and returns their ids; waits for a transaction that is writing one of them. A key is not
    /// new either if its client claimed it under a former id, for the same increments.
    fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<(String, String)>, sqlx::Error>> + Send;
    /// Returns the fingerprints that were counted under these ids of keys.
    fn fingerprints(
        &mut self,
        ids: &[(&str, &str)],
    ) -> impl Future<Output = Result<Vec<(String, String, Vec<u8>)>, sqlx::Error>> + Send;
    /// Writes the pages that are new or have another title, and returns them, with whether they have a title.
    fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<(String, bool)>, sqlx::Error>> + Send;
    /// Writes the titles of pages that have none, and returns those pages.
    fn write_first_titles(
        &mut self,
        titles: &[(&str, &Title)],
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;
    /// Marks the titles of these pages stale.
    fn mark_titles(&mut self, names: &[String]) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Adds to the counts.
    fn add_views(
        &mut self,
        counts: &[(&str, Hour, i64)],
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Marks the hours stale.
    fn mark_hours(&mut self, hours: &[Hour]) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

impl Session {
    pub(super) fn new(database: &Database) -> Self {
        match database.kind {
            DatabaseKind::Postgres => Self::Postgres(database.writers.get_postgres_connection_pool().clone(), None),
            DatabaseKind::Sqlite => Self::Sqlite(Box::new(database.clone())),
        }
    }

    /// Commits all of `requests` in one transaction, unless it can't begin by `begin_by`. When this is given up half-way,
    /// whether they were is unknown.
    pub(super) async fn commit(
        &mut self,
        clock: &Clock,
        requests: &[&Request],
        known: &KnownPages,
        begin_by: Instant,
    ) -> Result<Committed, StoreError> {
        match self {
            Self::Postgres(pool, kept) => {
                let begun = timeout_at(begin_by, begin_postgres(pool, kept.take())).await;
                let mut connection =
                    begun.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(StoreError::Unavailable)?;
                let committed = commit_postgres(&mut connection, clock, requests, known).await;
                if committed.as_ref().err().is_none_or(StoreError::leaves_a_connection) {
                    *kept = Some(Kept(connection, Instant::now()));
                }
                committed
            }
            Self::Sqlite(database) => {
                commit_sqlite(database, clock, requests, known, begin_by).await.map_err(StoreError::of_transaction)
            }
        }
    }
}

/// A connection with a new transaction.
async fn begin_postgres(pool: &PgPool, kept: Option<Kept>) -> Result<PgConnection, sqlx::Error> {
    // One that was kept may have been lost meanwhile. Then nothing is begun on it, and a new one takes its place.
    if let Some(Kept(mut connection, since)) = kept
        && since.elapsed() < KEPT_FOR
        && connection.execute(BEGIN_POSTGRES).await.is_ok()
    {
        return Ok(connection);
    }
    let mut connection = pool.acquire().await?.detach();
    connection.execute(BEGIN_POSTGRES).await?;
    Ok(connection)
}

async fn commit_postgres(
    connection: &mut PgConnection,
    clock: &Clock,
    requests: &[&Request],
    known: &KnownPages,
) -> Result<Committed, StoreError> {
    let written = match write(connection, clock.now(), requests, known).await.map_err(StoreError::before_commit) {
        Err(error) if error.leaves_a_connection() => {
            connection.execute("ROLLBACK").await.map_err(StoreError::before_commit)?;
            return Err(error);
        }
        written => written?,
    };
    let rows = sqlx::raw_sql(clock::POSTGRES_COMMIT_AND_CLOCK).fetch_all(connection).await;
    let times = rows.and_then(|rows| {
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    });
    let (now, announced_at) = times.map_err(StoreError::of_commit)?;
    known.learn(&written.pages, &written.first_titles);
    Ok(Committed { recorded_at: clock::recorded_at(now, announced_at), counted: written.counted })
}

async fn commit_sqlite(
    database: &Database,
    clock: &Clock,
    requests: &[&Request],
    known: &KnownPages,
    begin_by: Instant,
) -> Result<Committed, sqlx::Error> {
    let pool = database.writers.get_sqlite_connection_pool();
    let begun = timeout_at(begin_by, pool.begin_with("BEGIN IMMEDIATE")).await;
    let mut transaction = begun.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??;
    let written = write(&mut *transaction, clock.now(), requests, known).await?;
    // Nobody can announce anything before this transaction is committed: it is the only one that writes.
    let announced_at =
        sqlx::query_scalar("SELECT announced_at FROM refresh_clock").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    // Nothing is acknowledged that went into a file which has lost its name.
    database.check_file().map_err(|changed| sqlx::Error::Io(io::Error::other(changed)))?;
    known.learn(&written.pages, &written.first_titles);
    Ok(Committed { recorded_at: clock::recorded_at(clock.now(), announced_at), counted: written.counted })
}

/// What a transaction has written, once it is committed.
struct Written<'a> {
    counted: Counted,
    pages: Vec<(&'a str, Option<&'a Title>)>,
    first_titles: Vec<(&'a str, &'a Title)>,
}

async fn write<'a, S: Statements>(
    statements: &mut S,
    now: DateTime<Utc>,
    requests: &[&'a Request],
    known: &KnownPages,
) -> Result<Written<'a>, sqlx::Error> {
    let outcomes = claim(statements, requests, now).await?;
    let counted = requests.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Counted);
    let counted: Vec<_> = counted.map(|(request, _)| *request).collect();
    let increments = counted.iter().map(|request| request.increments.len()).sum();
    let batch = Batch::new(counted);
    let (mut pages, mut first_titles) = (batch.pages, batch.first_titles);
    known.retain_unknown(&mut pages, &mut first_titles);
    if !pages.is_empty() {
        let written = statements.write_pages(&pages, now).await?;
        // A page that is new is marked too, needlessly: its first month row will have the title.
        let mut retitled: Vec<_> = written.into_iter().filter_map(|(name, titled)| titled.then_some(name)).collect();
        if !first_titles.is_empty() {
            // Their rows are locked already, in the order of all pages.
            retitled.extend(statements.write_first_titles(&first_titles).await?);
        }
        if !retitled.is_empty() {
            statements.mark_titles(&retitled).await?;
        }
    }
    if !batch.counts.is_empty() {
        statements.add_views(&batch.counts, now).await?;
        statements.mark_hours(&batch.hours).await?;
    }
    let views = batch.counts.iter().map(|(_, _, views)| views).sum();
    Ok(Written { counted: Counted { outcomes, increments, views }, pages, first_titles })
}

/// Which requests count. Keys come first: until a key is claimed nobody knows whether its counts may be written.
async fn claim<S: Statements>(
    statements: &mut S,
    requests: &[&Request],
    now: DateTime<Utc>,
) -> Result<Vec<Outcome>, sqlx::Error> {
    // The first request of a key in this batch stands for it.
    let mut first = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        if let Some((key, fingerprint)) = &request.key {
            first.entry(key.id()).or_insert((index, key, *fingerprint));
        }
    }
    if first.is_empty() {
        return Ok(vec![Outcome::Counted; requests.len()]);
    }
    let mut keys: Vec<_> = first.values().map(|(_, key, fingerprint)| (*key, *fingerprint)).collect();
    keys.sort_unstable_by_key(|(key, _)| key.id());
    let claimed = statements.claim_keys(&keys, now).await?;
    let claimed: HashSet<_> = claimed.iter().map(|(text, client)| (text.as_str(), client.as_str())).collect();
    let unclaimed = keys.iter().map(|(key, _)| key).filter(|key| !claimed.contains(&key.id()));
    let ids: Vec<_> = unclaimed.flat_map(|key| [key.id()].into_iter().chain(former_ids(key))).collect();
    let seen = if ids.is_empty() { Vec::new() } else { statements.fingerprints(&ids).await? };
    let seen: HashMap<_, _> = seen
        .iter()
        .map(|(text, client, fingerprint)| ((text.as_str(), client.as_str()), fingerprint.as_slice()))
        .collect();
    let outcome = |(index, request): (usize, &&Request)| {
        let Some((key, fingerprint)) = &request.key else { return Ok(Outcome::Counted) };
        let (first_index, first_key, first_fingerprint) = &first[&key.id()];
        let former = || former_ids(first_key).any(|id| seen.get(&id).is_some_and(|former| former == first_fingerprint));
        let counted = match seen.get(&key.id()) {
            _ if claimed.contains(&key.id()) && index == *first_index => return Ok(Outcome::Counted),
            _ if claimed.contains(&key.id()) => first_fingerprint.as_slice(),
            Some(counted) => *counted,
            None if former() => first_fingerprint.as_slice(),
            // Neither new nor there: it was pruned in between, and the same again will find it new.
            None => return Err(sqlx::Error::RowNotFound),
        };
        Ok(if counted == fingerprint { Outcome::Duplicate } else { Outcome::KeyReused })
    };
    requests.iter().enumerate().map(outcome).collect()
}

/// Returns the ids under which a key may be stored that its client claimed before it had its id.
fn former_ids(key: &IdempotencyKey) -> impl Iterator<Item = (&str, &str)> {
    key.client.former_ids().into_iter().map(|client| (key.text.as_str(), client))
}

impl StoreError {
    /// The error of a transaction that may have been committed.
    fn of_transaction(error: sqlx::Error) -> Self {
        match Failure::of_sqlx(&error) {
            Failure::Conflict => Self::Conflict(error),
            Failure::Unavailable => Self::Unavailable(error),
            Failure::DiskFull => Self::DiskFull(error),
            Failure::Refused => Self::Refused(error),
        }
    }

    /// The error of a statement behind which no commit was sent.
    fn before_commit(error: sqlx::Error) -> Self {
        match Self::of_transaction(error) {
            Self::Unavailable(error) => Self::Lost(error),
            certain => certain,
        }
    }

    /// The error of a commit and what is read after it. Nothing in the schema waits for the commit to be refused: what is
    /// refused may be what came after it.
    fn of_commit(error: sqlx::Error) -> Self {
        match Self::of_transaction(error) {
            Self::Refused(error) => Self::Unavailable(error),
            other => other,
        }
    }

    /// Whether the connection is as good as before.
    fn leaves_a_connection(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Refused(_))
    }
}
