//! Connections to the nodes of a Citus cluster, past the coordinator.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgConnectOptions};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{Database, DatabaseKind, Idle};

/// The longest that nodes are waited for, connecting included.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long the coordinator acts for a node that this process can't connect to, or that does not answer.
pub const UNREACHABLE_FOR: Duration = Duration::from_secs(30);

/// The query of the transactions of Citus that are prepared on the node that executes it: their names, in one text. Null on a
/// standby.
pub const PREPARED_HERE: &str = include_str!("nodes/prepared_here.sql");

/// A node, as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The number of the node's group, by which it is known to be the one that is meant.
    pub group: i32,
    /// The name that the other nodes reach it by.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Connections to nodes, which are kept for the next time that they are asked.
#[derive(Clone, Debug)]
pub struct NodeConnections {
    /// How the coordinator is connected to. `None` for a database without nodes.
    options: Option<Arc<PgConnectOptions>>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    connections: Vec<(Node, Idle<PgConnection>)>,
    unreachable_since: Option<Instant>,
}

impl NodeConnections {
    /// Returns connections by the login of `database`.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        let options = (database.kind == DatabaseKind::Postgres)
            .then(|| database.writers.get_postgres_connection_pool().connect_options());
        Self { options, kept: Arc::default() }
    }

    /// Executes `sql`, which returns one text, on all of `nodes` at once. Returns the texts in any order.
    ///
    /// # Errors
    /// When a node can't be connected to from here, is not the one that is meant, or does not answer, and for half a minute after
    /// that.
    pub async fn ask(&self, nodes: Vec<Node>, sql: &'static str) -> Result<Vec<String>, sqlx::Error> {
        let Some(options) = &self.options else { return Ok(Vec::new()) };
        let mut kept = self.kept.lock().await;
        if kept.unreachable_since.is_some_and(|since| since.elapsed() < UNREACHABLE_FOR) {
            return Err(sqlx::Error::Protocol("a node did not answer lately".to_owned()));
        }
        let answers = timeout(ANSWER_MAX, ask_all(options, &mut kept.connections, nodes, sql)).await;
        let answers = answers.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        kept.unreachable_since = answers.is_err().then(Instant::now);
        answers
    }
}

async fn ask_all(
    options: &Arc<PgConnectOptions>,
    kept: &mut Vec<(Node, Idle<PgConnection>)>,
    nodes: Vec<Node>,
    sql: &'static str,
) -> Result<Vec<String>, sqlx::Error> {
    let mut asked = JoinSet::new();
    kept.retain(|(node, _)| nodes.contains(node));
    for node in nodes {
        let index = kept.iter().position(|(known, _)| *known == node);
        let connection = index.and_then(|index| kept.swap_remove(index).1.if_young());
        let options = Arc::clone(options);
        asked.spawn(async move {
            if let Some(mut connection) = connection
                && let Ok(text) = ask(&mut connection, sql).await
            {
                return Ok((node, connection, text));
            }
            let mut connection = connect(&options, &node).await?;
            let text = ask(&mut connection, sql).await?;
            Ok::<_, sqlx::Error>((node, connection, text))
        });
    }
    let mut texts = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let (node, connection, text) = answer.map_err(|error| sqlx::Error::Protocol(error.to_string()))??;
        kept.push((node, Idle::new(connection)));
        texts.push(text);
    }
    Ok(texts)
}

/// Has the coordinator ask all nodes which transactions are prepared there. It opens new connections for that. Returns why a node did
/// not tell, or the names.
///
/// # Errors
/// When the coordinator can't be queried.
pub async fn prepared_by_coordinator<C: ConnectionTrait>(db: &C) -> Result<Result<BTreeSet<String>, String>, DbErr> {
    const ASK: &str = "SELECT success, result FROM run_command_on_all_nodes($1)";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, ASK, [PREPARED_HERE.into()]);
    let mut transactions = BTreeSet::new();
    for node in db.query_all_raw(statement).await? {
        match (node.try_get_by_index(0)?, node.try_get_by_index::<Option<String>>(1)?) {
            (true, Some(names)) => transactions.extend(names.split_whitespace().map(str::to_owned)),
            (true, None) => return Ok(Err("it is a standby".to_owned())),
            (false, reason) => return Ok(Err(reason.unwrap_or_default())),
        }
    }
    Ok(Ok(transactions))
}

/// Connects to a node as to the coordinator by `options`.
///
/// # Errors
/// When it can't be connected to, or another server is there.
pub async fn connect(options: &PgConnectOptions, node: &Node) -> Result<PgConnection, sqlx::Error> {
    let options = options.clone().host(&node.host).port(node.port);
    let mut connection = PgConnection::connect_with(&options).await?;
    // A name such as "localhost" may mean another server here than it does on the coordinator.
    let group: i32 = sqlx::query_scalar("SELECT groupid FROM pg_dist_local_group").fetch_one(&mut connection).await?;
    if group != node.group {
        return Err(sqlx::Error::Protocol(format!("{}:{} is node {group}, not {}", node.host, node.port, node.group)));
    }
    Ok(connection)
}

async fn ask(connection: &mut PgConnection, sql: &'static str) -> Result<String, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)
}
