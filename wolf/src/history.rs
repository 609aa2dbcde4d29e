//! What the Wolf writes about itself: rows of `report_refreshes`, each with a NOTIFY in the same transaction.
//!
//! Rows are only ever inserted; the row that says "under way" is replaced by the one that says how it went on or ended.
//! So the greatest id is always the newest word. Each row carries the content's version, and every transaction that
//! changes the report writes a row with a greater one.

use std::time::Instant;

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use entity::{REFRESH_CHANNEL, clock::Clock, report_refresh};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement};

use crate::{announcement::Announcement, schedule::Schedule, turn::Turns};

/// What all rows of one refresh share.
#[derive(Clone, Debug)]
pub(crate) struct Run<'a> {
    clock: Clock,
    /// When it began, by the database's clock.
    started_at: DateTime<Utc>,
    /// When it began, by the monotonic clock.
    begun: Instant,
    /// What it has announced, once it has.
    pub(crate) announced: Option<Announcement>,
    /// Says when the next refresh is due; known to those who have one.
    schedule: Option<&'a Schedule>,
    /// The row that says it is under way.
    under_way_id: Option<i64>,
}

/// How a refresh ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The report has everything recorded up to what was announced.
    Succeeded { hours: usize, rows_changed: u64 },
    /// It failed, in words for everybody.
    Failed { error: &'static str },
}

/// Whether the transaction that writes a row has changed the report.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// All of it is as it was.
    Same,
    /// Some of it may be another.
    Changed,
}

impl Content {
    pub(crate) fn of(rows_changed: u64) -> Self {
        if rows_changed == 0 { Self::Same } else { Self::Changed }
    }

    fn version_after(self, newest: Option<&report_refresh::Model>) -> i64 {
        newest.map_or(0, |row| row.content_version) + i64::from(self == Self::Changed)
    }
}

impl<'a> Run<'a> {
    /// One that begins now.
    pub(crate) async fn new(turns: &Turns, schedule: Option<&'a Schedule>) -> Result<Self, DbErr> {
        let (clock, begun) = (turns.clock.clone(), turns.clock.monotonic());
        let started_at = clock.database_now(&turns.db).await?;
        Ok(Self { clock, started_at, begun, announced: None, schedule, under_way_id: None })
    }

    /// Says that the refresh is under way, and when the next one is due, again and again while it is.
    pub(crate) async fn goes_on<C: ConnectionTrait>(&mut self, db: &C, content: Content) -> Result<(), DbErr> {
        self.under_way_id = Some(self.replace_under_way(db, content, Default::default()).await?.id);
        Ok(())
    }

    /// Says how the refresh ended, and when.
    pub(crate) async fn ends<C: ConnectionTrait>(
        &self,
        db: &C,
        content: Content,
        end: End,
    ) -> Result<report_refresh::Model, DbErr> {
        let duration = self.clock.monotonic().saturating_duration_since(self.begun);
        let ended = report_refresh::ActiveModel {
            finished_at: Set(Some(self.clock.database_now(db).await?)),
            duration_ms: Set(Some(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))),
            ..Default::default()
        };
        let row = match end {
            End::Succeeded { hours, rows_changed } => {
                // Another process may have looked later and ended sooner: what it promised stays promised.
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
            End::Failed { error } => report_refresh::ActiveModel { error: Set(Some(error.to_owned())), ..ended },
        };
        self.replace_under_way(db, content, row).await
    }

    /// Inserts before it deletes: the row that goes may be the one that knows the content's version.
    async fn replace_under_way<C: ConnectionTrait>(
        &self,
        db: &C,
        content: Content,
        row: report_refresh::ActiveModel,
    ) -> Result<report_refresh::Model, DbErr> {
        let row = self.insert(db, content, row).await?;
        if let Some(id) = self.under_way_id {
            report_refresh::Entity::delete_by_id(id).exec(db).await?;
        }
        Ok(row)
    }

    async fn insert<C: ConnectionTrait>(
        &self,
        db: &C,
        content: Content,
        row: report_refresh::ActiveModel,
    ) -> Result<report_refresh::Model, DbErr> {
        let newest = report_refresh::newest(db).await?;
        // A refresh by hand has no schedule of its own; it does not change what the schedule has announced.
        let dates = match self.schedule {
            Some(schedule) => Dates::of(schedule, self.clock.now(), self.clock.database_now(db).await?),
            None => newest.as_ref().map_or_else(Dates::default, Dates::of_row),
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

/// What a schedule says, by the database's clock: that of the machine that refreshes may show something else.
#[derive(Copy, Clone, Debug, Default)]
struct Dates {
    scheduled_at: Option<DateTime<Utc>>,
    next_refresh_at: Option<DateTime<Utc>>,
    overdue_at: Option<DateTime<Utc>>,
}

impl Dates {
    /// What `schedule` says when this machine's clock shows `now`, and the database's `database_now`.
    fn of(schedule: &Schedule, now: DateTime<Utc>, database_now: DateTime<Utc>) -> Self {
        let Ok(ticks) = schedule.ticks_after(now) else { return Self::default() };
        // Ticks are whole seconds. Clocks that are less than half a second apart show the same one.
        let next = (database_now + (ticks.next - now)).round_subsecs(0);
        Self {
            scheduled_at: Some(database_now),
            next_refresh_at: Some(next),
            overdue_at: Some(database_now + (ticks.after_next - now)),
        }
    }

    /// What `row` says.
    fn of_row(row: &report_refresh::Model) -> Self {
        let scheduled_at = row.overdue_at.and(row.scheduled_at.or(Some(row.started_at)));
        Self { scheduled_at, next_refresh_at: row.next_refresh_at, overdue_at: row.overdue_at }
    }
}

/// Says that the report was changed by something else than a refresh; `hours_since` is the first day of which it has
/// hours from now on. What was promised stays promised. `replaces` is the row that said so last; returns this one's id.
pub(crate) async fn content_changed<C: ConnectionTrait>(
    db: &C,
    clock: &Clock,
    hours_since: Option<NaiveDate>,
    replaces: Option<i64>,
) -> Result<i64, DbErr> {
    let newest = report_refresh::newest_and_successful(db).await?;
    let mut row = report_refresh::ActiveModel {
        started_at: Set(clock.database_now(db).await?),
        content_version: Set(Content::Changed.version_after(newest.row.as_ref())),
        hours_since: Set(hours_since.max(newest.row.and_then(|row| row.hours_since))),
        ..Default::default()
    };
    // Before the first success this stands for a refresh under way: there are things to come, and no promise.
    if let Some(successful) = newest.successful {
        let dates = Dates::of_row(&successful);
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
