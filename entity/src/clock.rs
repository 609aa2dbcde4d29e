//! Which clock is read when: the promise of `asOf` rests on it.
//!
//! Clocks jump: they are corrected, and machines stop and go on. So the promise does not rest on a clock alone. A refresh
//! first announces its `as_of` in `refresh_clock`, later than all that was announced before, and commits that; only then
//! it looks at the marks. A recorder reads the announcement after its own commit, and answers a later `recorded_at`. What is
//! committed after the look sees the announcement; so `recorded_at <= as_of` means that the commit came before the look,
//! whatever the clocks showed. Both are whole milliseconds, as JavaScript's `Date` has them.
//!
//! The clocks only keep these times close to what people's clocks show. On PostgreSQL the clock is the database's, one for
//! all processes. SQLite has none of its own: its `now` is the clock of the machine that it runs on, which is read here.

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

/// PostgreSQL's clock as a statement of one row and one column, a `timestamptz`.
pub const POSTGRES_CLOCK: &str = "SELECT clock_timestamp() AS now";

/// Commits, and then reads PostgreSQL's clock and what was announced, in one round trip. The second statement has a
/// snapshot of its own, which is later than the commit.
pub const POSTGRES_COMMIT_AND_CLOCK: &str = "COMMIT; SELECT clock_timestamp() AS now, announced_at FROM refresh_clock";

/// This process's clock. For what a person is told ("12 seconds old"), never for the promise.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub fn process_now() -> DateTime<Utc> {
    Utc::now()
}

/// A moment by both of the system's clocks.
#[derive(Copy, Clone, Debug)]
pub struct Moment {
    /// What the wall clock showed.
    pub wall: DateTime<Utc>,
    /// What the monotonic clock showed.
    pub monotonic: Instant,
}

impl Moment {
    /// What the clocks show now.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: process_now(), monotonic: Instant::now() }
    }
}

/// The clocks of a process: its wall clock, and the monotonic one, which no correction changes. Clones are the same clocks.
///
/// They are the system's, unless a test has put them forward or back.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Ahead>);

/// How far a process's clocks are ahead of the system's: not at all outside of tests.
#[derive(Debug, Default)]
struct Ahead {
    wall_micros: AtomicI64,
    monotonic_micros: AtomicU64,
}

impl Clock {
    /// What the wall clock shows.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        process_now() + TimeDelta::microseconds(self.0.wall_micros.load(Ordering::SeqCst))
    }

    /// What the monotonic clock shows.
    #[must_use]
    pub fn monotonic(&self) -> Instant {
        Instant::now() + Duration::from_micros(self.0.monotonic_micros.load(Ordering::SeqCst))
    }

    /// The database's clock, as the connection of this process sees it.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn database_now<C: ConnectionTrait>(&self, db: &C) -> Result<DateTime<Utc>, DbErr> {
        if db.get_database_backend() == DbBackend::Sqlite {
            return Ok(self.now());
        }
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, POSTGRES_CLOCK)).await?;
        row.ok_or_else(|| DbErr::RecordNotFound(POSTGRES_CLOCK.to_owned()))?.try_get_by_index(0)
    }

    /// Puts the wall clock forward or back, as a correction does. For tests.
    pub fn step(&self, by: TimeDelta) {
        self.0.wall_micros.fetch_add(by.num_microseconds().unwrap_or_default(), Ordering::SeqCst);
    }

    /// Lets time pass: both clocks go on. For tests.
    pub fn pass(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or_default();
        self.0.monotonic_micros.fetch_add(micros, Ordering::SeqCst);
        self.step(TimeDelta::from_std(time).unwrap_or_default());
    }
}

/// What to tell those whose increments were committed before `now` and `announced_at` were read: as late as the clock
/// shows, and later than every refresh that may have looked before the commit.
#[must_use]
pub fn recorded_at(now: DateTime<Utc>, announced_at: DateTime<Utc>) -> DateTime<Utc> {
    let cut = cut(now);
    let rounded_up = if cut == now { cut } else { cut + MILLISECOND };
    rounded_up.max(announced_at + MILLISECOND)
}

/// The last millisecond that has passed when the clock shows `now`: what a refresh would promise if no clock ever jumped.
#[must_use]
pub fn as_of(now: DateTime<Utc>) -> DateTime<Utc> {
    // One microsecond, the clock's own step, is taken off: a commit may follow within the step.
    cut(now - MICROSECOND)
}

/// What a refresh announces when the clock shows `now` and `last` was announced before.
#[must_use]
pub fn announced_at(now: DateTime<Utc>, last: DateTime<Utc>) -> DateTime<Utc> {
    as_of(now).max(last + MILLISECOND)
}

fn cut(now: DateTime<Utc>) -> DateTime<Utc> {
    // Fails only for instants that no clock shows (beyond the year 2262).
    now.duration_trunc(MILLISECOND).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_committed_after_the_look_is_never_promised() {
        let look = at("2026-11-22T20:00:00.123456Z");
        let announced = announced_at(look, DateTime::UNIX_EPOCH);
        for later_micros in [0, 1, 2, 543, 544, 545, 1_000, -1_000_000, -90_000_000_000] {
            let commit = look + TimeDelta::microseconds(later_micros);
            assert!(recorded_at(commit, announced) > announced, "{later_micros} µs later");
            assert!(recorded_at(commit, announced) <= announced_at(commit, announced).max(commit + MILLISECOND));
        }
        // Even if nothing was announced: then the clock goes on evenly.
        let whole = at("2026-11-22T20:00:00.123Z");
        assert!(recorded_at(whole, DateTime::UNIX_EPOCH) > as_of(whole));
    }

    #[test]
    fn what_was_committed_well_before_is_promised() {
        let look = at("2026-11-22T20:00:00.123456Z");
        assert!(recorded_at(look - TimeDelta::milliseconds(2), DateTime::UNIX_EPOCH) <= as_of(look));
        // After a clock went back, the next refresh promises what was recorded before it.
        let last = look + TimeDelta::hours(25);
        assert!(recorded_at(look, last) <= announced_at(look, last));
    }

    #[test]
    fn what_is_announced_only_grows() {
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
