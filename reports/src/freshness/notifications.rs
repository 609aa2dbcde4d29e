//! Receives PostgreSQL's notifications of refreshes, and proves that they arrive.
//!
//! A connection that has accepted `LISTEN` may receive nothing: a pooler may have lent it to another client since, or it
//! may lead to another database. So a probe is sent through the database whose refreshes count, and notifications are
//! relied on only if it arrives.

use std::{
    convert::Infallible,
    error::Error,
    mem::{Discriminant, discriminant},
    time::Duration,
};

use entity::REFRESH_CHANNEL;
use sea_orm::ConnectionTrait;
use sqlx::{
    AssertSqlSafe, Executor, Row,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use storage::{
    Purpose,
    database::{DatabaseLocation, pooling},
    error_kind,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use super::{FreshnessListener, feed::POLL};

/// The silence after which a statement is sent on the listening connection, so that a dead one is noticed.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long to wait for a connection, an answer, and a probe, each.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a received notification proves that others arrive; then a probe is sent. Each NOTIFY locks the whole database
/// for a moment (`PreCommit_Notify` in PostgreSQL's async.c).
const PROOF_HOLDS: Duration = Duration::from_secs(15);

/// Why notifications do not arrive.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("there is no connection to listen on")]
    Unconnected(#[source] sqlx::Error),
    #[error("the database is a standby, where PostgreSQL can't listen")]
    Standby,
    #[error(
        "a pooler lends connections to others between transactions, so none can listen; --notify-database-url may lead past it"
    )]
    Pooler,
    #[error("a notification that was sent through the database did not arrive")]
    Unheard,
}

impl ListenError {
    /// Returns the pause before the next attempt.
    fn pause(&self) -> Duration {
        match self {
            Self::Unconnected(_) => Duration::from_secs(1),
            // It may be promoted at any time.
            Self::Standby => Duration::from_secs(5),
            Self::Pooler => Duration::from_secs(15),
            Self::Unheard => PROOF_HOLDS,
        }
    }
}

impl From<sqlx::Error> for ListenError {
    fn from(error: sqlx::Error) -> Self {
        if pooling::is_of_statement_pooling(&error) {
            return Self::Pooler;
        }
        if error_kind::is_read_only(&error) { Self::Standby } else { Self::Unconnected(error) }
    }
}

/// A connection that listens for refreshes and for its own probes.
struct NotificationConnection {
    listener: PgListener,
    probe_channel: String,
}

impl FreshnessListener {
    /// Notifies `wake` at every notification, and whenever one may have been missed. Never ends.
    pub(super) async fn listen(&self, wake: &Notify) {
        let Ok(DatabaseLocation::Postgres(options)) = self.notify_url.location() else {
            return std::future::pending().await;
        };
        let mut warned = None;
        loop {
            let Err(why) = self.listen_once(&options, wake, &mut warned).await;
            self.feed.set_listening(false);
            // Polls from now on.
            wake.notify_one();
            if warned.replace(discriminant(&why)) == Some(discriminant(&why)) {
                debug!(error = &why as &dyn Error, "refreshes are still not heard of");
            } else {
                let poll_ms = POLL.as_millis();
                warn!(error = &why as &dyn Error, poll_ms, "refreshes are not heard of, the database is asked instead");
            }
            sleep(why.pause()).await;
        }
    }

    /// Listens until notifications do not arrive any more. `warned` is the error that was logged last, if notifications have
    /// not arrived since.
    async fn listen_once(
        &self,
        options: &PgConnectOptions,
        wake: &Notify,
        warned: &mut Option<Discriminant<ListenError>>,
    ) -> Result<Infallible, ListenError> {
        let mut connection = NotificationConnection::connect(options).await?;
        self.prove(&mut connection, wake).await?;
        let mut proven_at = Instant::now();
        self.feed.set_listening(true);
        // A refresh may have ended before the connection listened.
        wake.notify_one();
        if warned.take().is_some() {
            info!("refreshes are heard of again");
        }
        loop {
            match timeout(HEARTBEAT, connection.next()).await {
                Ok(notification) => {
                    self.handle(&connection, &notification?, wake);
                    proven_at = Instant::now();
                }
                Err(_quiet) if proven_at.elapsed() < PROOF_HOLDS => connection.heartbeat().await?,
                Err(_quiet) => {
                    self.prove(&mut connection, wake).await?;
                    proven_at = Instant::now();
                }
            }
        }
    }

    /// Sends a probe through the database and waits until `connection` receives it.
    async fn prove(&self, connection: &mut NotificationConnection, wake: &Notify) -> Result<(), ListenError> {
        let probe = async {
            let transaction = self.feed.db.begin(Purpose::Change).await?;
            transaction.execute_unprepared(&connection.probe()).await?;
            transaction.commit().await
        };
        // A standby can't notify, and there may be no free connection: then the listening connection sends the probe itself.
        if !matches!(timeout(ANSWER_MAX, probe).await, Ok(Ok(()))) {
            connection.send_probe().await?;
        }
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            let notification =
                timeout_at(deadline, connection.next()).await.map_err(|_elapsed| ListenError::Unheard)??;
            if self.handle(connection, &notification, wake) {
                return Ok(());
            }
        }
    }

    /// Handles a notification: notifies `wake` for a refresh. Returns whether it was a probe.
    fn handle(&self, connection: &NotificationConnection, notification: &PgNotification, wake: &Notify) -> bool {
        if notification.channel() == connection.probe_channel {
            return true;
        }
        self.feed.set_announced(notification.payload().parse().unwrap_or_default());
        wake.notify_one();
        false
    }
}

impl NotificationConnection {
    /// Connects and listens. Errs if a pooler lends the connection by transaction.
    async fn connect(options: &PgConnectOptions) -> Result<Self, ListenError> {
        if within(pooling::lends_by_transaction(options)).await? {
            return Err(ListenError::Pooler);
        }
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener =
            within(async { PgListener::connect_with(&pool.connect_with(options.clone()).await?).await }).await?;
        // Without this a lost connection is reported only after a new one is made.
        listener.eager_reconnect(false);
        let backend = within(listener.fetch_one("SELECT pg_backend_pid()")).await?.try_get::<i32, _>(0)?;
        // A channel of its own, so that its probes wake no other process.
        let probe_channel = format!("{REFRESH_CHANNEL}_probe_{backend}");
        within(listener.listen_all([REFRESH_CHANNEL, &probe_channel])).await?;
        Ok(Self { listener, probe_channel })
    }

    /// Waits for the next notification.
    async fn next(&mut self) -> Result<PgNotification, ListenError> {
        self.listener.try_recv().await?.ok_or(ListenError::Unconnected(sqlx::Error::WorkerCrashed))
    }

    /// Sends a statement and waits for its answer.
    async fn heartbeat(&mut self) -> Result<(), ListenError> {
        within(self.listener.execute("SELECT 1")).await?;
        Ok(())
    }

    /// The statement that sends a probe.
    fn probe(&self) -> String {
        format!("NOTIFY {}", self.probe_channel)
    }

    /// Sends a probe on this connection.
    async fn send_probe(&mut self) -> Result<(), ListenError> {
        let probe = self.probe();
        within(self.listener.execute(AssertSqlSafe(probe))).await?;
        Ok(())
    }
}

/// Returns the result of `operation`, or an error after [`ANSWER_MAX`].
async fn within<T>(operation: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_MAX, operation).await.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?
}
