//! The announcement of a refresh: the `asOf` that it will have, and how much time has passed, committed before the
//! refresh reads any count. The module `storage::clock` says why.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::refresh_clock;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr};
use storage::{
    Transaction,
    clock::{self, Clock},
};
use tracing::{info, warn};

use crate::clock_steps::went_back;

/// A database clock that is this far ahead of the elapsed time has jumped.
const JUMP_MIN: TimeDelta = TimeDelta::hours(1);
/// The time without a further jump after which rows that are old by the database's clock may be deleted again.
const TRUSTED_AFTER: TimeDelta = TimeDelta::hours(1);

/// A committed announcement.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Announcement {
    /// The `asOf` of the refresh: later than that of every refresh before.
    pub(crate) as_of: DateTime<Utc>,
    /// The time of the database's clock, in whole milliseconds. It is `as_of`, unless a clock went back.
    pub(crate) looked_at: DateTime<Utc>,
    /// The time elapsed since this database was created, in milliseconds.
    pub(crate) elapsed_ms: i64,
}

/// Announces refreshes. Clones share the last reading.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    clock: Clock,
    last: Arc<Mutex<Option<Reading>>>,
}

/// The least that `elapsed_ms` was at an instant of the monotonic clock.
#[derive(Copy, Clone, Debug)]
struct Reading {
    elapsed_ms: i64,
    at: Instant,
}

impl Announcer {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), last: Arc::default() }
    }

    /// Announces a refresh in a transaction that holds the refresh lock, and commits it.
    pub(crate) async fn announce(&self, transaction: Transaction) -> Result<Announcement, DbErr> {
        let last = refresh_clock::read(&transaction).await?;
        // Before the database's clock is read: so no more has elapsed than between its two readings.
        let elapsed_ms = self.elapsed_ms(last.elapsed_ms);
        let now = self.clock.database_now(&transaction).await?;
        let passed = TimeDelta::milliseconds(elapsed_ms - last.elapsed_ms);
        let ahead = last.read_at.map(|read_at| now - read_at - passed).filter(|ahead| *ahead > JUMP_MIN);
        let as_of = clock::announced_at(now, last.announced_at);
        let row = refresh_clock::ActiveModel {
            id: Set(last.id),
            announced_at: Set(as_of),
            read_at: Set(Some(now)),
            elapsed_ms: Set(elapsed_ms),
            jumped_at_ms: Set(ahead.map_or(last.jumped_at_ms, |_| Some(elapsed_ms))),
        };
        row.update(&transaction).await?;
        transaction.commit().await?;
        // After the commit: an idempotency key that is claimed before it has an earlier time.
        *self.lock() = Some(Reading { elapsed_ms, at: self.clock.monotonic() });
        if let Some(back) = last.read_at.and_then(|read_at| went_back(read_at, passed, now)) {
            warn!(
                clock.back_ms = back.num_milliseconds(),
                clock.ahead_ms = (as_of - now).num_milliseconds().max(0),
                "the database's clock went back; asOf and recordedAt stay ahead of it until it has caught up"
            );
        }
        if let Some(ahead) = ahead {
            info!(
                clock.ahead_ms = ahead.num_milliseconds(),
                "the database's clock went on by more than has passed, or nobody refreshed; nothing is dropped for its age for an hour"
            );
        }
        Ok(Announcement { as_of, looked_at: clock::as_of(now), elapsed_ms })
    }

    /// Returns the elapsed time: the one that the database has, or the one that this process read last and the time since,
    /// whichever is greater. However many processes refresh, this never runs faster than real time.
    fn elapsed_ms(&self, last: i64) -> i64 {
        let Some(Reading { elapsed_ms, at }) = *self.lock() else { return last };
        let since = self.clock.monotonic().saturating_duration_since(at).as_millis();
        last.max(elapsed_ms.saturating_add(i64::try_from(since).unwrap_or(i64::MAX)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Reading>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether rows that are old by the database's clock may be deleted. A clock that is far ahead for a moment must
/// not delete rows for ever.
pub(crate) fn is_trusted(clock: &refresh_clock::Model) -> bool {
    clock.jumped_at_ms.is_none_or(|jumped_at_ms| clock.elapsed_ms - jumped_at_ms >= TRUSTED_AFTER.num_milliseconds())
}
