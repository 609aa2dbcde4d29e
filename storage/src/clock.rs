//! The clocks, and the rules for `as_of` and `recorded_at` that make `asOf` reliable.
//!
//! Clocks jump: they are corrected, and machines are suspended and resumed. So the guarantee of `asOf` does not depend
//! on clocks alone:
//!
//! 1. A refresh announces its `as_of` in `refresh_clock`, later than all earlier announcements, and commits it. Only
//!    then it reads the marks.
//! 2. A recorder reads the announcement after its own commit, and answers with a later `recorded_at`.
//!
//! A recorder that commits after the marks were read therefore sees the announcement. So `recorded_at <= as_of` means
//! that the commit came before the marks were read, whatever the clocks showed. Both times are whole milliseconds, as
//! in JavaScript's `Date`.
//!
//! The clocks only keep these times close to the real time. On PostgreSQL the clock is the database's, one for all
//! processes. SQLite has no clock of its own: its `now` is that of the machine, which is read here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

const MILLISECOND: TimeDelta = TimeDelta::milliseconds(1);
const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);

/// The query that reads PostgreSQL's clock: one row with one column, a `timestamptz`.
pub const POSTGRES_CLOCK: &str = "SELECT clock_timestamp() AS now";

/// The statements that commit, and then read PostgreSQL's clock and the announced `as_of`, in one round trip. The
/// second statement has a snapshot of its own, later than the commit.
pub const POSTGRES_COMMIT_AND_CLOCK: &str = "COMMIT; SELECT clock_timestamp() AS now, announced_at FROM refresh_clock";

/// Returns the time of this process's clock. For display ("12 seconds old"), never for the guarantee of `asOf`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub fn process_now() -> DateTime<Utc> {
    Utc::now()
}

/// A moment by both of the system's clocks.
#[derive(Copy, Clone, Debug)]
pub struct Moment {
    /// The time of the wall clock.
    pub wall: DateTime<Utc>,
    /// The time of the monotonic clock.
    pub monotonic: Instant,
}

impl Moment {
    /// Returns the present moment.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: process_now(), monotonic: Instant::now() }
    }
}

/// The clocks of a process: the wall clock, and the monotonic clock, which is never corrected. Clones share their
/// state.
///
/// They show the system's time, unless a test has changed them.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Ahead>);

/// How far a process's clocks are ahead of the system's: always 0 outside of tests.
#[derive(Debug, Default)]
struct Ahead {
    wall_micros: AtomicI64,
    monotonic_micros: AtomicU64,
}

impl Clock {
    /// Returns the time of the wall clock.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        process_now() + TimeDelta::microseconds(self.0.wall_micros.load(Ordering::SeqCst))
    }

    /// Returns the time of the monotonic clock.
    #[must_use]
    pub fn monotonic(&self) -> Instant {
        Instant::now() + Duration::from_micros(self.0.monotonic_micros.load(Ordering::SeqCst))
    }

    /// Returns the time of the database's clock; on SQLite that of this process's wall clock.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn database_now<C: ConnectionTrait>(&self, db: &C) -> Result<DateTime<Utc>, DbErr> {
        if db.get_database_backend() == DbBackend::Sqlite {
            return Ok(self.now());
        }
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, POSTGRES_CLOCK)).await?;
        row.ok_or_else(|| DbErr::RecordNotFound(POSTGRES_CLOCK.to_owned()))?.try_get_by_index(0)
    }

    /// Puts the wall clock forward or back, like a correction. For tests.
    pub fn step(&self, by: TimeDelta) {
        self.0.wall_micros.fetch_add(by.num_microseconds().unwrap_or_default(), Ordering::SeqCst);
    }

    /// Advances both clocks. For tests.
    pub fn pass(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or_default();
        self.0.monotonic_micros.fetch_add(micros, Ordering::SeqCst);
        self.step(TimeDelta::from_std(time).unwrap_or_default());
    }
}

/// Returns the `recorded_at` of increments that were committed before `now` and `announced_at` were read. It is at
/// least `now`, rounded up to a millisecond, and later than the `as_of` of every refresh that may have missed the
/// commit.
#[must_use]
pub fn recorded_at(now: DateTime<Utc>, announced_at: DateTime<Utc>) -> DateTime<Utc> {
    let cut = cut(now);
    let rounded_up = if cut == now { cut } else { cut + MILLISECOND };
    rounded_up.max(announced_at + MILLISECOND)
}

/// Returns the last millisecond that is over when the clock shows `now`. It would be the `as_of` of a refresh if clocks
/// never jumped.
#[must_use]
pub fn as_of(now: DateTime<Utc>) -> DateTime<Utc> {
    // One microsecond, the clock's resolution, is subtracted, since a commit may follow within the same microsecond.
    cut(now - MICROSECOND)
}

/// Returns the `as_of` that a refresh announces when the clock shows `now` and `last` was announced before.
#[must_use]
pub fn announced_at(now: DateTime<Utc>, last: DateTime<Utc>) -> DateTime<Utc> {
    as_of(now).max(last + MILLISECOND)
}

fn cut(now: DateTime<Utc>) -> DateTime<Utc> {
    // This fails only for instants beyond the year 2262.
    now.duration_trunc(MILLISECOND).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn commit_after_the_marks_were_read_is_later_than_as_of() {
        let look = at("2026-11-22T20:00:00.123456Z");
        let announced = announced_at(look, DateTime::UNIX_EPOCH);
        for later_micros in [0, 1, 2, 543, 544, 545, 1_000, -1_000_000, -90_000_000_000] {
            let commit = look + TimeDelta::microseconds(later_micros);
            assert!(recorded_at(commit, announced) > announced, "{later_micros} µs later");
            assert!(recorded_at(commit, announced) <= announced_at(commit, announced).max(commit + MILLISECOND));
        }
        // The same holds without an announcement, as long as the clock does not jump.
        let whole = at("2026-11-22T20:00:00.123Z");
        assert!(recorded_at(whole, DateTime::UNIX_EPOCH) > as_of(whole));
    }

    #[test]
    fn commit_well_before_the_marks_were_read_is_not_later_than_as_of() {
        let look = at("2026-11-22T20:00:00.123456Z");
        assert!(recorded_at(look - TimeDelta::milliseconds(2), DateTime::UNIX_EPOCH) <= as_of(look));
        // After a clock went back, the next refresh covers the increments that were recorded before it.
        let last = look + TimeDelta::hours(25);
        assert!(recorded_at(look, last) <= announced_at(look, last));
    }

    #[test]
    fn announced_at_only_grows() {
        let last = at("2026-11-22T20:00:00.123Z");
        for seconds in [-90_000, -1, 0, 1, 90_000] {
            assert!(announced_at(last + TimeDelta::seconds(seconds), last) > last);
        }
    }

    #[test]
    fn clones_are_the_same_clocks() {
        let clock = Clock::default();
        let same = clock.clone();
        clock.step(TimeDelta::hours(-25));
        assert!(same.now() < process_now() - TimeDelta::hours(24));
        let before = clock.monotonic();
        same.pass(Duration::from_secs(60));
        assert!(clock.monotonic() >= before + Duration::from_secs(60));
    }
}
