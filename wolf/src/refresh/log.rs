//! The log of refreshes: rows of `report_refreshes`, each written with a NOTIFY in the same transaction.
//!
//! Rows are never updated: the row of a refresh under way is replaced by a new one that records its progress or its
//! end. So the row with the greatest id is always the newest. Each row has the version of the report's content, and
//! every transaction that changes the report writes a row with a greater version.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use entity::{REFRESH_CHANNEL, report_refresh};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter,
    Statement,
};
use storage::clock::Clock;

use super::{announcement::Announcement, lock::RefreshLock};
use crate::schedule::Schedule;

/// The shortest time between two figures of a refresh's progress: each is an event of the subscription to the freshness.
const PROGRESS_PERIOD: Duration = Duration::from_secs(1);

/// One refresh, as its rows record it.
#[derive(Clone, Debug)]
pub(crate) struct RefreshRecord<'a> {
    clock: Clock,
    /// When it began, by the database's clock.
    started_at: DateTime<Utc>,
    /// When it began, by the monotonic clock.
    begun: Instant,
    /// The announcement of its `asOf`, once it is committed.
    pub(crate) announced: Option<Announcement>,
    /// When the next refresh is due; `None` for a refresh by hand.
    schedule: Option<&'a Schedule>,
    /// The ids of the rows that record it as under way: of the last one, and of the one before, which is still there if the
    /// transaction of the last one was rolled back.
    under_way_ids: [Option<i64>; 2],
    progress: Option<NotedProgress>,
}

/// How far a refresh is.
#[derive(Copy, Clone, Debug)]
struct NotedProgress {
    hours: u64,
    hours_left: u64,
    rows_changed: u64,
    noted_at: Instant,
}

/// The end of a refresh.
#[derive(Clone, Debug)]
pub(crate) enum RefreshEnd {
    /// The report has every increment recorded up to the announced time.
    Succeeded { hours: usize, rows_changed: u64 },
    /// It failed; the error is one that clients may see.
    Failed { error: &'static str },
}

/// Whether the transaction that writes a row has changed the report.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContentChange {
    /// No row has changed.
    Unchanged,
    /// Some rows may have changed.
    Changed,
}

impl ContentChange {
    pub(crate) fn of(rows_changed: u64) -> Self {
        if rows_changed == 0 { Self::Unchanged } else { Self::Changed }
    }

    fn version_after(self, newest: Option<&report_refresh::Model>) -> i64 {
        newest.map_or(0, |row| row.content_version) + i64::from(self == Self::Changed)
    }
}

impl<'a> RefreshRecord<'a> {
    /// Creates the record of a refresh that begins now.
    pub(crate) async fn new(lock: &RefreshLock, schedule: Option<&'a Schedule>) -> Result<Self, DbErr> {
        let (clock, begun) = (lock.clock.clone(), lock.clock.monotonic());
        let started_at = clock.database_now(&lock.db).await?;
        Ok(Self { clock, started_at, begun, announced: None, schedule, under_way_ids: [None; 2], progress: None })
    }

    /// Notes how far the refresh is, for the next row: how many hours are merged, and how many there were at the beginning.
    /// Returns whether that is due: at first, and once a second.
    pub(crate) fn note_progress(&mut self, (done, hours): (u64, u64), rows_changed: u64) -> bool {
        let is_due = self.progress.is_none_or(|before| before.noted_at.elapsed() >= PROGRESS_PERIOD);
        if is_due {
            let hours_left = hours.saturating_sub(done);
            self.progress = Some(NotedProgress { hours, hours_left, rows_changed, noted_at: Instant::now() });
        }
        is_due
    }

    /// Records that the refresh is under way, how far it is, and when the next one is due.
    pub(crate) async fn record_progress<C: ConnectionTrait>(
        &mut self,
        db: &C,
        content: ContentChange,
    ) -> Result<(), DbErr> {
        let row = self.progress.map_or_else(Default::default, NotedProgress::row);
        let row = self.replace_under_way(db, content, row).await?;
        self.under_way_ids = [Some(row.id), self.under_way_ids[0]];
        Ok(())
    }

    /// Records how and when the refresh ended.
    pub(crate) async fn record_end<C: ConnectionTrait>(
        &self,
        db: &C,
        content: ContentChange,
        end: RefreshEnd,
    ) -> Result<report_refresh::Model, DbErr> {
        let duration = self.clock.monotonic().saturating_duration_since(self.begun);
        let ended = report_refresh::ActiveModel {
            finished_at: Set(Some(self.clock.database_now(db).await?)),
            duration_ms: Set(Some(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))),
            ..Default::default()
        };
        let row = match end {
            RefreshEnd::Succeeded { hours, rows_changed } => {
                // Another process may have announced a later time and ended sooner: `asOf` never falls.
                let promised = report_refresh::newest_successful(db).await?;
                let promised = promised.and_then(|row| Some((row.as_of?, row.looked_at()?)));
                let announced = self.announced.map(|announced| (announced.as_of, announced.looked_at));
                let (as_of, looked_at) = promised.max(announced).unzip();
                report_refresh::ActiveModel {
                    as_of: Set(as_of),
                    looked_at: Set(looked_at),
                    hours: Set(i32::try_from(hours).unwrap_or(i32::MAX)),
                    rows_changed: Set(i64::try_from(rows_changed).unwrap_or(i64::MAX)),
                    ..ended
                }
            }
            RefreshEnd::Failed { error } => report_refresh::ActiveModel { error: Set(Some(error.to_owned())), ..ended },
        };
        self.replace_under_way(db, content, row).await
    }

    /// Replaces the row of the refresh under way. Inserts before it deletes, because the deleted row may be the only
    /// one that has the content's version.
    async fn replace_under_way<C: ConnectionTrait>(
        &self,
        db: &C,
        content: ContentChange,
        row: report_refresh::ActiveModel,
    ) -> Result<report_refresh::Model, DbErr> {
        let row = self.insert(db, content, row).await?;
        // SQLite gives the id of a row that was rolled back to the next one.
        let ids = self.under_way_ids.into_iter().flatten().filter(|id| *id != row.id);
        report_refresh::Entity::delete_many().filter(report_refresh::Column::Id.is_in(ids)).exec(db).await?;
        Ok(row)
    }

    async fn insert<C: ConnectionTrait>(
        &self,
        db: &C,
        content: ContentChange,
        row: report_refresh::ActiveModel,
    ) -> Result<report_refresh::Model, DbErr> {
        let newest = report_refresh::newest(db).await?;
        // A refresh by hand has no schedule and leaves the dates that the scheduled one recorded.
        let dates = match self.schedule {
            Some(schedule) => ScheduleDates::of(schedule, self.clock.now(), self.clock.database_now(db).await?),
            None => newest.as_ref().map_or_else(ScheduleDates::default, ScheduleDates::of_row),
        };
        let row = report_refresh::ActiveModel {
            started_at: Set(self.started_at),
            scheduled_at: Set(dates.scheduled_at),
            next_refresh_at: Set(dates.next_refresh_at),
            overdue_at: Set(dates.overdue_at),
            elapsed_ms: Set(self.announced.map(|announced| announced.elapsed_ms)),
            content_version: Set(content.version_after(newest.as_ref())),
            hours_since: Set(newest.and_then(|row| row.hours_since)),
            ..row
        };
        insert_and_notify(db, row).await
    }
}

impl NotedProgress {
    fn row(self) -> report_refresh::ActiveModel {
        let number = |hours| i32::try_from(hours).unwrap_or(i32::MAX);
        report_refresh::ActiveModel {
            hours: Set(number(self.hours)),
            hours_left: Set(Some(number(self.hours_left))),
            rows_changed: Set(i64::try_from(self.rows_changed).unwrap_or(i64::MAX)),
            ..Default::default()
        }
    }
}

/// When a refresh was scheduled, when the next one is due and from when on it is overdue, by the database's clock:
/// the clock of the machine that refreshes may differ.
#[derive(Copy, Clone, Debug, Default)]
struct ScheduleDates {
    scheduled_at: Option<DateTime<Utc>>,
    next_refresh_at: Option<DateTime<Utc>>,
    overdue_at: Option<DateTime<Utc>>,
}

impl ScheduleDates {
    /// The dates of `schedule` at `now` of this machine's clock, which is `database_now` of the database's clock.
    fn of(schedule: &Schedule, now: DateTime<Utc>, database_now: DateTime<Utc>) -> Self {
        let Ok(ticks) = schedule.ticks_after(now) else { return Self::default() };
        // Ticks are whole seconds. Rounding hides a difference between the clocks of less than half a second.
        let next = (database_now + (ticks.next - now)).round_subsecs(0);
        Self {
            scheduled_at: Some(database_now),
            next_refresh_at: Some(next),
            overdue_at: Some(database_now + (ticks.after_next - now)),
        }
    }

    /// The dates that `row` records.
    fn of_row(row: &report_refresh::Model) -> Self {
        let scheduled_at = row.overdue_at.and(row.scheduled_at.or(Some(row.started_at)));
        Self { scheduled_at, next_refresh_at: row.next_refresh_at, overdue_at: row.overdue_at }
    }
}

/// Records that something else than a refresh has changed the report. `hours_since` is the first day of which the report
/// has hourly rows from now on. `asOf` stays as it is. `replaces` is the id of the row that this one replaces. Returns
/// the new row's id.
pub(crate) async fn record_content_change<C: ConnectionTrait>(
    db: &C,
    clock: &Clock,
    hours_since: Option<NaiveDate>,
    replaces: Option<i64>,
) -> Result<i64, DbErr> {
    let newest = report_refresh::newest_and_successful(db).await?;
    let mut row = report_refresh::ActiveModel {
        started_at: Set(clock.database_now(db).await?),
        content_version: Set(ContentChange::Changed.version_after(newest.row.as_ref())),
        hours_since: Set(hours_since.max(newest.row.and_then(|row| row.hours_since))),
        ..Default::default()
    };
    // Before the first successful refresh the row is like that of a refresh under way: without `asOf`.
    if let Some(successful) = newest.successful {
        let dates = ScheduleDates::of_row(&successful);
        row.as_of = Set(successful.as_of);
        row.looked_at = Set(successful.looked_at);
        row.started_at = Set(successful.started_at);
        row.finished_at = Set(successful.finished_at);
        row.duration_ms = Set(successful.duration_ms);
        row.scheduled_at = Set(dates.scheduled_at);
        row.next_refresh_at = Set(dates.next_refresh_at);
        row.overdue_at = Set(dates.overdue_at);
    }
    let row = insert_and_notify(db, row).await?;
    if let Some(id) = replaces {
        report_refresh::Entity::delete_by_id(id).exec(db).await?;
    }
    Ok(row.id)
}

async fn insert_and_notify<C: ConnectionTrait>(
    db: &C,
    row: report_refresh::ActiveModel,
) -> Result<report_refresh::Model, DbErr> {
    let row = row.insert(db).await?;
    if db.get_database_backend() == DbBackend::Postgres {
        let values = [REFRESH_CHANNEL.into(), row.id.to_string().into()];
        db.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_notify($1, $2)", values)).await?;
    }
    Ok(row)
}
