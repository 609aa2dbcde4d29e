//! PostgreSQL connections that outlive everything that can happen to one.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{Executor, PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::time::Instant;

/// A connection that was not used for so long is closed: whoever carries it may have forgotten it, and say nothing.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Connections for recording that are kept between transactions, and not given back to their pool: the pool would test
/// each, which is a round trip a commit, and wait for ever for one that hangs.
#[derive(Debug)]
pub(in crate::increments) struct Connections {
    pool: PgPool,
    kept: Mutex<Vec<(Instant, Lease)>>,
}

/// A connection that is closed when it is dropped, whatever was begun on it.
#[derive(Debug)]
pub(super) struct Lease(Option<PoolConnection<Postgres>>);

impl Connections {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, kept: Mutex::default() }
    }

    /// How many there can be.
    pub(super) fn max(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    /// A connection with a new transaction.
    pub(super) async fn begin(&self) -> Result<Lease, sqlx::Error> {
        // One that was kept may have been lost meanwhile. Then nothing is begun on it, and a new one takes its place.
        if let Some(mut lease) = self.take_kept()
            && lease.begin().await.is_ok()
        {
            return Ok(lease);
        }
        let mut lease = Lease(Some(self.pool.acquire().await?));
        lease.begin().await?;
        Ok(lease)
    }

    fn take_kept(&self) -> Option<Lease> {
        let kept = self.lock().pop();
        kept.filter(|(since, _)| since.elapsed() < KEPT_FOR).map(|(_, lease)| lease)
    }

    /// For the next transaction, when the last one is over.
    pub(super) fn keep(&self, lease: Lease) {
        self.lock().push((Instant::now(), lease));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Lease)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        // Whatever the role's default is: a second request with a key has to see what the first one committed.
        self.connection()?.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}
