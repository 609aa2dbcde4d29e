//! Which clock is read when: the promise of `asOf` rests on it.
//!
//! `recorded_at` is read *after* a commit and rounded *up* to the millisecond; `as_of` is read
//! *before* anything is looked at and rounded *down* to a millisecond that has passed. So
//! `recorded_at <= as_of` means that the commit came before the look, and it still means that
//! after JavaScript's `Date` has cut both to milliseconds.
//!
//! On PostgreSQL the clock is the database's, one for all processes. SQLite has none of its own:
//! its `now` is the clock of the machine that it runs on, which is read here directly, because
//! SQL would cut it to milliseconds before it could be rounded.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

const MILLISECOND: TimeDelta = TimeDelta::milliseconds(1);
const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);

/// PostgreSQL's clock as a statement of one row and one column, a `timestamptz`.
pub const POSTGRES_CLOCK: &str = "SELECT clock_timestamp() AS now";

/// Commits, and then reads the clock, in one round trip.
pub const POSTGRES_COMMIT_AND_CLOCK: &str = "COMMIT; SELECT clock_timestamp() AS now";

/// This process's clock. For what a person is told ("12 seconds old"), never for the promise.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub fn process_now() -> DateTime<Utc> {
    Utc::now()
}

/// The database's clock.
///
/// # Errors
/// When the database can't be asked.
pub async fn database_now<C: ConnectionTrait>(db: &C) -> Result<DateTime<Utc>, DbErr> {
    if db.get_database_backend() == DbBackend::Sqlite {
        return Ok(process_now());
    }
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, POSTGRES_CLOCK)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(POSTGRES_CLOCK.to_owned()))?.try_get_by_index(0)
}

/// What to tell those whose increments were committed before `now` was read.
#[must_use]
pub fn recorded_at(now: DateTime<Utc>) -> DateTime<Utc> {
    let cut = cut(now);
    if cut == now { cut } else { cut + MILLISECOND }
}

/// What a refresh may promise when it looks at the marks after `now` was read.
#[must_use]
pub fn as_of(now: DateTime<Utc>) -> DateTime<Utc> {
    // One microsecond, the clock's own step, is taken off: a commit may follow within the step.
    cut(now - MICROSECOND)
}

fn cut(now: DateTime<Utc>) -> DateTime<Utc> {
    // Fails only for instants that no clock shows (beyond the year 2262).
    now.duration_trunc(MILLISECOND).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_after_the_look_is_never_promised() {
        let look: DateTime<Utc> = "2026-11-22T20:00:00.123456Z".parse().unwrap();
        for later_micros in [0, 1, 2, 543, 544, 545, 1_000] {
            let commit = look + TimeDelta::microseconds(later_micros);
            assert!(recorded_at(commit) > as_of(look), "{later_micros} µs later");
        }
        let whole: DateTime<Utc> = "2026-11-22T20:00:00.123Z".parse().unwrap();
        assert!(recorded_at(whole) > as_of(whole));
    }

    #[test]
    fn what_was_committed_well_before_is_promised() {
        let look: DateTime<Utc> = "2026-11-22T20:00:00.123456Z".parse().unwrap();
        assert!(recorded_at(look - TimeDelta::milliseconds(2)) <= as_of(look));
    }
}
