//! Hears of refreshes by PostgreSQL's notifications, and proves that it does.
//!
//! A connection that has accepted `LISTEN` need not hear anything: a pooler may have lent it to somebody else since, or it
//! may lead to another database than the one whose refreshes are to be heard of. So a probe is sent through the database,
//! and only if it arrives are notifications relied on.

use std::{
    convert::Infallible,
    error::Error,
    mem::{Discriminant, discriminant},
    time::Duration,
};

use entity::{
    Purpose, REFRESH_CHANNEL,
    database::{Place, pooling},
    failure,
};
use sea_orm::ConnectionTrait;
use sqlx::{
    AssertSqlSafe, Executor, Row,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use super::{FreshnessTail, feed::POLL};

/// Silence after which the listening connection is used, so that a dead one is noticed.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long the database may take to connect, to answer, and to pass a probe on, each.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a notification that was heard proves that others are; then a probe is sent. Each locks the whole database for
/// a moment (`PreCommit_Notify` in PostgreSQL's async.c).
const PROOF_HOLDS: Duration = Duration::from_secs(15);

/// Why refreshes are not heard of.
#[derive(Debug, thiserror::Error)]
enum Deafness {
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

impl Deafness {
    /// The pause before it is tried again.
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

impl From<sqlx::Error> for Deafness {
    fn from(error: sqlx::Error) -> Self {
        if pooling::is_of_statement_pooling(&error) {
            return Self::Pooler;
        }
        if failure::is_read_only(&error) { Self::Standby } else { Self::Unconnected(error) }
    }
}

/// A connection that listens, for refreshes and for its own probes.
struct Listener {
    connection: PgListener,
    probe_channel: String,
}

impl FreshnessTail {
    /// Rings `bell` at every notification, and whenever one may have been missed. Never ends.
    pub(super) async fn listen(&self, bell: &Notify) {
        let Ok(Place::Postgres(options)) = self.notify_url.place() else { return std::future::pending().await };
        let mut warned = None;
        loop {
            let Err(why) = self.listen_once(&options, bell, &mut warned).await;
            self.feed.set_hears(false);
            // From now on it polls.
            bell.notify_one();
            if warned.replace(discriminant(&why)) == Some(discriminant(&why)) {
                debug!(error = &why as &dyn Error, "refreshes are still not heard of");
            } else {
                let poll_ms = POLL.as_millis();
                warn!(error = &why as &dyn Error, poll_ms, "refreshes are not heard of, the database is asked instead");
            }
            sleep(why.pause()).await;
        }
    }

    /// Until nothing is heard any more. `warned` is why that was so before, if it was.
    async fn listen_once(
        &self,
        options: &PgConnectOptions,
        bell: &Notify,
        warned: &mut Option<Discriminant<Deafness>>,
    ) -> Result<Infallible, Deafness> {
        let mut listener = Listener::connect(options).await?;
        self.prove(&mut listener, bell).await?;
        let mut proven_at = Instant::now();
        self.feed.set_hears(true);
        // Something may have been said before there was anybody to hear it.
        bell.notify_one();
        if warned.take().is_some() {
            info!("refreshes are heard of again");
        }
        loop {
            match timeout(HEARTBEAT, listener.next()).await {
                Ok(notification) => {
                    self.note(&listener, &notification?, bell);
                    proven_at = Instant::now();
                }
                Err(_quiet) if proven_at.elapsed() < PROOF_HOLDS => listener.beat().await?,
                Err(_quiet) => {
                    self.prove(&mut listener, bell).await?;
                    proven_at = Instant::now();
                }
            }
        }
    }

    /// Sends a probe through the database whose refreshes are to be heard of, and waits until `listener` has heard it.
    async fn prove(&self, listener: &mut Listener, bell: &Notify) -> Result<(), Deafness> {
        let probe = async {
            let transaction = self.feed.db.begin(Purpose::Change).await?;
            transaction.execute_unprepared(&listener.probe()).await?;
            transaction.commit().await
        };
        // A standby can't send any, and there may be no connection free: then the listening connection proves itself only.
        if !matches!(timeout(ANSWER_MAX, probe).await, Ok(Ok(()))) {
            listener.send_probe().await?;
        }
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            let heard = timeout_at(deadline, listener.next()).await.map_err(|_elapsed| Deafness::Unheard)??;
            if self.note(listener, &heard, bell) {
                return Ok(());
            }
        }
    }

    /// Takes note of a notification: rings `bell` for a refresh, and tells whether it was a probe.
    fn note(&self, listener: &Listener, heard: &PgNotification, bell: &Notify) -> bool {
        if heard.channel() == listener.probe_channel {
            return true;
        }
        self.feed.announce(heard.payload().parse().unwrap_or_default());
        bell.notify_one();
        false
    }
}

impl Listener {
    /// Connects and listens, unless the connection would be lent to others.
    async fn connect(options: &PgConnectOptions) -> Result<Self, Deafness> {
        if within(pooling::lends_by_transaction(options)).await? {
            return Err(Deafness::Pooler);
        }
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut connection =
            within(async { PgListener::connect_with(&pool.connect_with(options.clone()).await?).await }).await?;
        // That it is lost is to be known at once, not when there is another.
        connection.eager_reconnect(false);
        let backend = within(connection.fetch_one("SELECT pg_backend_pid()")).await?.try_get::<i32, _>(0)?;
        // A channel of its own: nobody else is woken by its probes.
        let probe_channel = format!("{REFRESH_CHANNEL}_probe_{backend}");
        within(connection.listen_all([REFRESH_CHANNEL, &probe_channel])).await?;
        Ok(Self { connection, probe_channel })
    }

    /// The next notification.
    async fn next(&mut self) -> Result<PgNotification, Deafness> {
        self.connection.try_recv().await?.ok_or(Deafness::Unconnected(sqlx::Error::WorkerCrashed))
    }

    /// Uses the connection.
    async fn beat(&mut self) -> Result<(), Deafness> {
        within(self.connection.execute("SELECT 1")).await?;
        Ok(())
    }

    /// The statement that sends a probe.
    fn probe(&self) -> String {
        format!("NOTIFY {}", self.probe_channel)
    }

    /// Sends a probe to itself.
    async fn send_probe(&mut self) -> Result<(), Deafness> {
        let probe = self.probe();
        within(self.connection.execute(AssertSqlSafe(probe))).await?;
        Ok(())
    }
}

/// What `asks`, unless it takes too long.
async fn within<T>(asks: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_MAX, asks).await.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?
}
