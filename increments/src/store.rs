//! The transaction that records a group of requests: keys, pages, counts and marks, on both databases.

mod citus;
mod imports;
mod keys;
mod node;
mod postgres;
mod shards;
mod sqlite;

use std::io;

use chrono::{DateTime, Utc};
use entity::Hour;
use sqlx::{Executor, PgConnection, PgPool, Row};
use storage::{
    Database, DatabaseKind, Idle,
    clock::{self, Clock},
    error_kind::DbErrorKind,
    nodes::Node,
};
use tokio::time::{Instant, timeout_at};

use self::{
    citus::{Cluster, Distributed},
    imports::StepResult,
    node::NodeSession,
};
use super::{
    batch::Batch,
    imports::ImportStep,
    increment::{Fingerprint, IdempotencyKey, Request, Title},
    known_pages::KnownPages,
    nodes::{LostNodes, Nodes},
};

/// Begins a transaction and sets its limits in the same round trip.
const BEGIN_POSTGRES: &str = include_str!("store/postgres/begin.sql");

/// The most counts of a transaction whose pages are named by the marks of stale hours. With more, the refresh looks through
/// the whole hours.
const MARKED_NAMES_MAX: usize = 10_000;

/// The error of a transaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The transaction conflicted with others; a retry may succeed.
    #[error("other transactions were in the way")]
    Conflict(#[source] sqlx::Error),
    /// The connection was lost before the commit: nothing was written, and a retry may succeed.
    #[error("the connection to the database was lost")]
    Lost(#[source] sqlx::Error),
    /// The database can't be reached, or the connection was lost during the commit, which may have succeeded.
    #[error("the database can't be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The database's disk is full; a retry may succeed once there is room.
    #[error("the database's disk is full")]
    DiskFull(#[source] sqlx::Error),
    /// The database refuses the values.
    #[error("the database refuses the increments")]
    Refused(#[source] sqlx::Error),
}

/// The outcome of one request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The increments were counted.
    Counted,
    /// The request's key had been counted with the same increments: nothing was counted again.
    Duplicate,
    /// The request's key had been counted with other increments: nothing was counted.
    KeyReused,
    /// Another import has changed what the request's step builds on: nothing was counted.
    ImportedMeanwhile,
    /// The request's key is claimed, by this number, and nodes count its parts.
    Claimed(i64),
    /// The request's key is claimed, and nodes have not counted all of its parts, as far as is known here.
    CountedInParts,
}

/// A committed transaction.
#[derive(Debug)]
pub(super) struct Committed {
    /// The database's time after the commit, but later than the `as_of` of every refresh that may have missed the
    /// commit.
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) counted: Counted,
}

/// The counts of a transaction.
#[derive(Debug)]
pub(super) struct Counted {
    /// One outcome per request, in the order of the requests.
    pub(super) outcomes: Vec<Outcome>,
    /// The number of increments that were counted.
    pub(super) increments: usize,
    /// The sum of the counted increments' views.
    pub(super) views: i64,
}

/// A committer's access to the database, for one transaction at a time.
#[derive(Debug)]
pub(super) enum Session {
    /// The pool for new connections, and the connection that is reused from one transaction to the next. During a
    /// transaction the connection is taken out, so that dropping the future closes it and ends the transaction. (A pool
    /// would wait for the transaction's end.)
    Postgres(PgPool, Option<Idle<Connected>>),
    /// A node of a Citus cluster.
    Node(Box<NodeSession>),
    /// The process's only writing connection, shared with the Wolf.
    Sqlite(Box<Database>),
}

/// A connection to PostgreSQL.
#[derive(Debug)]
pub(super) struct Connected {
    connection: PgConnection,
    /// The Citus cluster that it is to the coordinator of.
    cluster: Option<Cluster>,
}

impl Connected {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let sql = if self.cluster.is_some() { citus::BEGIN } else { BEGIN_POSTGRES };
        self.connection.execute(sql).await.map(drop)
    }
}

/// A stored key: its text, its client's id, the fingerprint of the increments, and the number of its claim if their parts are counted
/// by nodes of a cluster.
type ClaimedKey = (String, String, Vec<u8>, Option<i64>);

/// The statements of a transaction. Every slice is sorted by key, without duplicates.
trait Statements: Send {
    /// Inserts the new keys and returns their ids. Waits for other transactions that are inserting one of them. A key
    /// that its client has claimed with a former id, for the same increments, is not new. The claims are numbered if the
    /// nodes of a cluster count the increments, `in_parts`.
    fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        in_parts: bool,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<(String, String)>, sqlx::Error>> + Send;
    /// Returns the stored keys with these ids.
    fn claimed(&mut self, ids: &[(&str, &str)]) -> impl Future<Output = Result<Vec<ClaimedKey>, sqlx::Error>> + Send;
    /// Inserts the parts, by the number of the claim and the first page, that are not counted yet, and returns them. Waits for
    /// other transactions that are inserting one of them. Only a Citus cluster has parts.
    fn claim_parts(
        &mut self,
        parts: &[(i64, &str)],
    ) -> impl Future<Output = Result<Vec<(i64, String)>, sqlx::Error>> + Send;
    /// Writes the pages that are new, and changes no other page. Returns how many are new.
    fn insert_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
    /// Writes the pages that are new or have another title. Returns them, and whether each has a title. Locks the rows
    /// of all, in the common order.
    fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<(String, bool)>, sqlx::Error>> + Send;
    /// Sets the titles of those pages that have none, and returns the names of these pages.
    fn write_first_titles(
        &mut self,
        titles: &[(&str, &Title)],
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;
    /// Marks the titles of these pages stale.
    fn mark_titles(&mut self, names: &[String]) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Adds views to the counts, and marks them stale.
    fn add_views(
        &mut self,
        counts: &[(&str, Hour, i64)],
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Writes the rows of an import's step, or none if other imports have changed what it builds on.
    fn take_import_step(
        &mut self,
        step: &ImportStep,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<StepResult, sqlx::Error>> + Send;
}

impl Session {
    pub(super) fn new(database: &Database) -> Self {
        match database.kind {
            DatabaseKind::Postgres => Self::Postgres(database.writers.get_postgres_connection_pool().clone(), None),
            DatabaseKind::Sqlite => Self::Sqlite(Box::new(database.clone())),
        }
    }

    /// Returns a session that commits on `node` alone. While the node can't be connected to it is one of `lost`, and the coordinator
    /// commits for it.
    pub(super) fn of_node(database: &Database, node: &Node, lost: LostNodes) -> Self {
        let pool = database.writers.get_postgres_connection_pool().clone();
        Self::Node(Box::new(NodeSession::new(node.clone(), pool, lost)))
    }

    /// Returns the nodes of a Citus cluster that commit alone what is theirs alone. There are none on other databases.
    pub(super) async fn nodes(&mut self) -> Result<Nodes, sqlx::Error> {
        let Self::Postgres(pool, idle) = self else { return Ok(Nodes::default()) };
        let mut connected = match idle.take().and_then(Idle::if_young) {
            Some(connected) => connected,
            None => connect(pool).await?,
        };
        let nodes = match connected.cluster {
            Some(_) => Nodes::read(&mut connected.connection).await?,
            None => Nodes::default(),
        };
        *idle = Some(Idle::new(connected));
        Ok(nodes)
    }

    /// Commits `requests` in one transaction, which has to begin before `begin_by`. If the future is dropped, it is
    /// unknown whether they were committed.
    pub(super) async fn commit(
        &mut self,
        clock: &Clock,
        requests: &[&Request],
        known: &KnownPages,
        begin_by: Instant,
    ) -> Result<Committed, StoreError> {
        match self {
            Self::Postgres(pool, idle) => {
                let begun = timeout_at(begin_by, begin_postgres(pool, idle.take())).await;
                let mut connected = begun.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(StoreError::Unavailable)?;
                let committed = commit_postgres(&mut connected, clock, requests, known).await;
                if committed.as_ref().err().is_none_or(StoreError::leaves_a_connection) {
                    *idle = Some(Idle::new(connected));
                }
                committed
            }
            Self::Node(session) => session.commit(clock, requests, known, begin_by).await,
            Self::Sqlite(database) => {
                commit_sqlite(database, clock, requests, known, begin_by).await.map_err(StoreError::of_transaction)
            }
        }
    }
}

/// Begins a transaction on the idle connection, or on a new one, and returns the connection.
async fn begin_postgres(pool: &PgPool, idle: Option<Idle<Connected>>) -> Result<Connected, sqlx::Error> {
    // The idle connection may have been lost meanwhile. Then BEGIN fails on it, and a new connection replaces it.
    if let Some(mut connected) = idle.and_then(Idle::if_young)
        && connected.begin().await.is_ok()
    {
        return Ok(connected);
    }
    let mut connected = connect(pool).await?;
    connected.begin().await?;
    Ok(connected)
}

async fn connect(pool: &PgPool) -> Result<Connected, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    let cluster = Cluster::find(&mut connection).await?;
    Ok(Connected { connection, cluster })
}

async fn commit_postgres(
    Connected { connection, cluster }: &mut Connected,
    clock: &Clock,
    requests: &[&Request],
    known: &KnownPages,
) -> Result<Committed, StoreError> {
    let written = match *cluster {
        Some(cluster) => {
            let mut distributed = Distributed { connection: &mut *connection, cluster };
            write(&mut distributed, clock.now(), requests, known).await
        }
        None => write(&mut *connection, clock.now(), requests, known).await,
    };
    let written = match written.map_err(StoreError::before_commit) {
        Err(error) if error.leaves_a_connection() => {
            roll_back(connection).await?;
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
    known.insert(&written.pages, &written.first_titles);
    Ok(Committed { recorded_at: clock::recorded_at(now, announced_at), counted: written.counted })
}

async fn roll_back(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection.execute("ROLLBACK").await.map_err(StoreError::before_commit).map(drop)
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
    // No refresh can announce a later time before this transaction is committed: SQLite has one writer at a time.
    let announced_at =
        sqlx::query_scalar("SELECT announced_at FROM refresh_clock").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    // A commit into a file that was removed or replaced meanwhile must not be acknowledged.
    database.check_file().map_err(|changed| sqlx::Error::Io(io::Error::other(changed)))?;
    known.insert(&written.pages, &written.first_titles);
    Ok(Committed { recorded_at: clock::recorded_at(clock.now(), announced_at), counted: written.counted })
}

/// The rows of a transaction, to be cached once it is committed.
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
    let mut outcomes = keys::outcomes(statements, requests, now).await?;
    take_import_steps(statements, requests, &mut outcomes, now).await?;
    let counted = requests.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Counted);
    let counted: Vec<_> = counted.map(|(request, _)| *request).collect();
    let increments = counted.iter().map(|request| request.increments.len()).sum();
    let batch = Batch::new(counted);
    let (mut pages, mut first_titles) = (batch.pages, batch.first_titles);
    known.retain_unknown(&mut pages, &mut first_titles);
    if !pages.is_empty() {
        let titled = write_pages(statements, &pages, &first_titles, now).await?;
        if !titled.is_empty() {
            statements.mark_titles(&titled).await?;
        }
    }
    if !batch.counts.is_empty() {
        statements.add_views(&batch.counts, now).await?;
    }
    let views = batch.counts.iter().map(|(_, _, views)| views).sum();
    Ok(Written { counted: Counted { outcomes, increments, views }, pages, first_titles })
}

/// Writes new pages and changed titles. Returns the names of the pages that have another title than before. New pages
/// are not among them: the report reads their titles when it adds them.
async fn write_pages<S: Statements>(
    statements: &mut S,
    pages: &[(&str, Option<&Title>)],
    first_titles: &[(&str, &Title)],
    now: DateTime<Utc>,
) -> Result<Vec<String>, sqlx::Error> {
    let first_title =
        |page: &str| first_titles.binary_search_by_key(&page, |(name, _)| name).ok().map(|index| first_titles[index].1);
    let new: Vec<_> = pages.iter().map(|(name, title)| (*name, title.or_else(|| first_title(name)))).collect();
    // All rows are inserted before others are locked, in the same order by all processes, so that they do not deadlock.
    let inserted = statements.insert_pages(&new, now).await?;
    let titled = pages.iter().filter(|(name, title)| title.is_some() || first_title(name).is_some());
    let titled: Vec<_> = titled.copied().collect();
    if titled.is_empty() || usize::try_from(inserted).is_ok_and(|inserted| inserted == pages.len()) {
        return Ok(Vec::new());
    }
    let written = statements.write_pages(&titled, now).await?;
    let mut retitled: Vec<_> = written.into_iter().filter_map(|(name, titled)| titled.then_some(name)).collect();
    if !first_titles.is_empty() {
        // `write_pages` has locked these rows already, in the common order.
        retitled.extend(statements.write_first_titles(first_titles).await?);
    }
    Ok(retitled)
}

/// Takes the steps of the imports among the requests, and sets their outcomes.
async fn take_import_steps<S: Statements>(
    statements: &mut S,
    requests: &[&Request],
    outcomes: &mut [Outcome],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    for (request, outcome) in requests.iter().zip(outcomes) {
        let Some(step) = &request.import_step else { continue };
        *outcome = match statements.take_import_step(step, now).await? {
            StepResult::Written => Outcome::Counted,
            StepResult::Repeated => Outcome::Duplicate,
            StepResult::Outdated => Outcome::ImportedMeanwhile,
        };
    }
    Ok(())
}

impl StoreError {
    /// Classifies the error of a transaction that may have been committed.
    fn of_transaction(error: sqlx::Error) -> Self {
        match DbErrorKind::of_sqlx(&error) {
            DbErrorKind::Conflict => Self::Conflict(error),
            DbErrorKind::Unavailable => Self::Unavailable(error),
            DbErrorKind::DiskFull => Self::DiskFull(error),
            DbErrorKind::Refused => Self::Refused(error),
        }
    }

    /// Classifies the error of a statement before the commit.
    fn before_commit(error: sqlx::Error) -> Self {
        match Self::of_transaction(error) {
            Self::Unavailable(error) => Self::Lost(error),
            certain => certain,
        }
    }

    /// Classifies the error of a commit and of the query after it. The schema has no deferred constraints, so a refusal
    /// may be that of the query after a successful commit: it counts as unavailable.
    fn of_commit(error: sqlx::Error) -> Self {
        match Self::of_transaction(error) {
            Self::Refused(error) => Self::Unavailable(error),
            other => other,
        }
    }

    /// Returns whether the connection can be used on after this error.
    fn leaves_a_connection(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Refused(_))
    }
}
