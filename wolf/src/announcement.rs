//! What a refresh announces before it looks: the time that it will promise, and how much time has passed.
//!
//! `entity::clock` says why. The announcement is committed before the look begins.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    Transaction,
    clock::{self, Clock},
    refresh_clock,
};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr};
use tracing::{info, warn};

use crate::clock_steps::went_back;

/// How far ahead of the time that has passed the database's clock has to be to have jumped.
const JUMP_MIN: TimeDelta = TimeDelta::hours(1);
/// How long the database's clock has to go on evenly after it has jumped, until what it says is old may be dropped.
const TRUSTED_AFTER: TimeDelta = TimeDelta::hours(1);

/// What a refresh has announced.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Announcement {
    /// What the refresh promises: later than all that was promised before.
    pub(crate) as_of: DateTime<Utc>,
    /// The time of the database's clock, in whole milliseconds. It is `as_of`, unless a clock went back.
    pub(crate) looked_at: DateTime<Utc>,
    /// How much time has passed, since times began in this database.
    pub(crate) elapsed_ms: i64,
}

/// Announces refreshes. Clones remember together.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    clock: Clock,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// `elapsed_ms` was at least this, at a moment of the monotonic clock.
#[derive(Copy, Clone, Debug)]
struct Seen {
    elapsed_ms: i64,
    at: Instant,
}

impl Announcer {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), seen: Arc::default() }
    }

    /// Announces a refresh, in a transaction that has its turn, and commits it.
    pub(crate) async fn announce(&self, transaction: Transaction) -> Result<Announcement, DbErr> {
        let last = refresh_clock::read(&transaction).await?;
        // Before the database's clock is read: no more has passed than lies between the two times that it showed.
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
        // After the commit: whoever claims a key before it claims it at an earlier time than this.
        *self.lock() = Some(Seen { elapsed_ms, at: self.clock.monotonic() });
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

    /// What has passed by now: what the database says, or what it said when this process saw it last, and the time since.
    /// However many processes refresh, this never runs faster than real time.
    fn elapsed_ms(&self, last: i64) -> i64 {
        let Some(Seen { elapsed_ms, at }) = *self.lock() else { return last };
        let since = self.clock.monotonic().saturating_duration_since(at).as_millis();
        last.max(elapsed_ms.saturating_add(i64::try_from(since).unwrap_or(i64::MAX)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the database's clock can be trusted with what is old: a clock that is far ahead for a moment must not drop what
/// does not come back.
pub(crate) fn is_trusted(clock: &refresh_clock::Model) -> bool {
    clock.jumped_at_ms.is_none_or(|jumped_at_ms| clock.elapsed_ms - jumped_at_ms >= TRUSTED_AFTER.num_milliseconds())
}
