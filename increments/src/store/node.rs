//! A committer's access to one node of a Citus cluster, for transactions that only change rows of that node. They are committed
//! there, in one phase, without the coordinator.

use sqlx::{PgConnection, PgPool, Row};
use storage::{
    Idle,
    clock::{self, Clock},
    nodes::{self, Node, UNREACHABLE_FOR},
};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::{
    Committed, Connected, Request, StoreError, begin_postgres, commit_postgres, connect, roll_back,
    shards::{OnNode, Shards},
    write,
};
use crate::{known_pages::KnownPages, nodes::LostNodes};

/// The statement that reads the coordinator's clock and the announced `as_of`: see `storage::clock`.
const CLOCK: &str = "SELECT clock_timestamp() AS now, announced_at FROM refresh_clock";

/// The connections to a node and to the coordinator. During a transaction its connection is taken out, so that dropping the
/// future ends the transaction.
#[derive(Debug)]
pub(crate) struct NodeSession {
    node: Node,
    /// The pool of the coordinator.
    pool: PgPool,
    idle: Option<Idle<ToNode>>,
    coordinator: Option<Idle<Connected>>,
    lost: LostNodes,
    unreachable_since: Option<Instant>,
}

/// A connection to a node, in a transaction or idle.
#[derive(Debug)]
struct ToNode {
    connection: PgConnection,
    shards: Shards,
}

impl NodeSession {
    pub(super) fn new(node: Node, pool: PgPool, lost: LostNodes) -> Self {
        Self { node, pool, idle: None, coordinator: None, lost, unreachable_since: None }
    }

    /// See [`Session::commit`](super::Session::commit). If the node can't be connected to from here, the coordinator commits.
    pub(super) async fn commit(
        &mut self,
        clock: &Clock,
        requests: &[&Request],
        known: &KnownPages,
        begin_by: Instant,
    ) -> Result<Committed, StoreError> {
        if self.unreachable_since.is_none_or(|since| since.elapsed() > UNREACHABLE_FOR) {
            // Before anything is written: without the coordinator's time it could not be acknowledged.
            let (begun, times) = tokio::join!(
                timeout_at(begin_by, begin(&self.node, &self.pool, self.idle.take())),
                timeout_at(begin_by, times(&self.pool, &mut self.coordinator))
            );
            times.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(StoreError::Lost)?;
            match begun.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(connected) => {
                    if self.unreachable_since.take().is_some() {
                        info!(node.host = self.node.host, node.port = self.node.port, "a node takes commits again");
                    }
                    let mut attempt = Attempt { lost: &self.lost.clone(), node: &self.node.clone(), has_ended: false };
                    let committed = self.commit_there(connected, clock, requests, known).await;
                    attempt.has_ended = committed.as_ref().err().is_none_or(StoreError::leaves_a_connection);
                    return committed;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(
                        error,
                        node.host = self.node.host,
                        node.port = self.node.port,
                        "a node of the cluster takes no commits from here, the coordinator commits for it"
                    );
                    self.lost.insert(&self.node);
                    self.unreachable_since = Some(Instant::now());
                }
            }
        }
        let begun = timeout_at(begin_by, begin_postgres(&self.pool, self.coordinator.take())).await;
        let mut connected = begun.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(StoreError::Unavailable)?;
        let committed = commit_postgres(&mut connected, clock, requests, known).await;
        if committed.as_ref().err().is_none_or(StoreError::leaves_a_connection) {
            self.coordinator = Some(Idle::new(connected));
        }
        committed
    }

    async fn commit_there(
        &mut self,
        ToNode { mut connection, shards }: ToNode,
        clock: &Clock,
        requests: &[&Request],
        known: &KnownPages,
    ) -> Result<Committed, StoreError> {
        let mut statements = OnNode { connection: &mut connection, shards: &shards, has_passed_on: false };
        let written = write(&mut statements, clock.now(), requests, known).await.map_err(StoreError::before_commit);
        // Shards were moved to this node or away from it: they are read again by a new connection.
        let knows_all = !statements.has_passed_on;
        let written = match written {
            Err(error) if error.leaves_a_connection() => {
                roll_back(&mut connection).await?;
                self.idle = Some(Idle::new(ToNode { connection, shards }));
                return Err(error);
            }
            written => written?,
        };
        sqlx::raw_sql("COMMIT").execute(&mut connection).await.map_err(StoreError::of_commit)?;
        self.idle = knows_all.then(|| Idle::new(ToNode { connection, shards }));
        // After the commit, as `storage::clock` demands. Without these times the commit can't be acknowledged.
        let (now, announced_at) = times(&self.pool, &mut self.coordinator).await.map_err(StoreError::Unavailable)?;
        known.insert(&written.pages, &written.first_titles);
        Ok(Committed { recorded_at: clock::recorded_at(now, announced_at), counted: written.counted })
    }
}

/// A commit on a node. If it does not end, or fails for another reason than its rows, the node is lost as far as is known.
struct Attempt<'a> {
    lost: &'a LostNodes,
    node: &'a Node,
    has_ended: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            self.lost.remove(self.node);
        } else {
            self.lost.insert(self.node);
        }
    }
}

/// Begins a transaction on the idle connection to the node, or on a new one.
async fn begin(node: &Node, pool: &PgPool, idle: Option<Idle<ToNode>>) -> Result<ToNode, sqlx::Error> {
    if let Some(ToNode { mut connection, shards }) = idle.and_then(Idle::if_young)
        && shards.begin(&mut connection).await.is_ok_and(|held| held)
    {
        return Ok(ToNode { connection, shards });
    }
    let mut connection = nodes::connect(&pool.connect_options(), node).await?;
    let shards = Shards::read(&mut connection).await?;
    if !shards.begin(&mut connection).await? {
        return Err(sqlx::Error::Protocol("a shard was moved away meanwhile".to_owned()));
    }
    Ok(ToNode { connection, shards })
}

/// Returns the coordinator's time and the last announcement.
async fn times(pool: &PgPool, idle: &mut Option<Idle<Connected>>) -> Result<Times, sqlx::Error> {
    if let Some(mut connected) = idle.take().and_then(Idle::if_young)
        && let Ok(times) = read_times(&mut connected.connection).await
    {
        *idle = Some(Idle::new(connected));
        return Ok(times);
    }
    let mut connected = connect(pool).await?;
    let times = read_times(&mut connected.connection).await?;
    *idle = Some(Idle::new(connected));
    Ok(times)
}

/// The database's time, and the announced `as_of`.
type Times = (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>);

async fn read_times(connection: &mut PgConnection) -> Result<Times, sqlx::Error> {
    let row = sqlx::raw_sql(CLOCK).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
