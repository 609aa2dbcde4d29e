//! What the Wolf writes about itself: rows of `report_refreshes`, each with a NOTIFY in the same transaction.
//!
//! Rows are only ever inserted; the row that says "under way" is replaced by the one that says how it went on or ended.
//! So the greatest id is always the newest word. Each row carries the content's version, and every transaction that
//! changes the report writes a row with a greater one.

use chrono::{DateTime, NaiveDate, Utc};
use entity::{REFRESH_CHANNEL, clock, report_refresh};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement};

use crate::schedule::Schedule;

/// What all rows of one refresh share.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Run<'a> {
    /// When it began.
    pub(crate) started_at: DateTime<Utc>,
    /// Says when the next refresh is due; known to those who have one.
    pub(crate) schedule: Option<&'a Schedule>,
    /// The row that says it is under way.
    under_way_id: Option<i64>,
}

/// How a refresh ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The report has everything recorded up to `as_of`.
    Succeeded { as_of: DateTime<Utc>, hours: usize, rows_changed: u64 },
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
    pub(crate) async fn new<C: ConnectionTrait>(db: &C, schedule: Option<&'a Schedule>) -> Result<Self, DbErr> {
        Ok(Self { started_at: clock::database_now(db).await?, schedule, under_way_id: None })
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
        let finished_at = Set(Some(clock::database_now(db).await?));
        let row = match end {
            End::Succeeded { as_of, hours, rows_changed } => {
                // Another process may have looked later and ended sooner: what it promised stays promised.
                let promised = report_refresh::newest_successful(db).await?.and_then(|row| row.as_of);
                report_refresh::ActiveModel {
                    as_of: Set(promised.max(Some(as_of))),
                    finished_at,
                    hours: Set(i32::try_from(hours).unwrap_or(i32::MAX)),
                    rows_changed: Set(i64::try_from(rows_changed).unwrap_or(i64::MAX)),
                    ..Default::default()
                }
            }
            End::Failed { error } => {
                report_refresh::ActiveModel { finished_at, error: Set(Some(error.to_owned())), ..Default::default() }
            }
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
        let ticks = self.schedule.and_then(|schedule| schedule.ticks_after(clock::process_now()).ok());
        let (next, after_next) = match ticks {
            Some(ticks) => (Some(ticks.next), Some(ticks.after_next)),
            None => newest.as_ref().map_or((None, None), |row| (row.next_refresh_at, row.overdue_at)),
        };
        let row = report_refresh::ActiveModel {
            started_at: Set(self.started_at),
            next_refresh_at: Set(next),
            overdue_at: Set(after_next),
            content_version: Set(content.version_after(newest.as_ref())),
            hours_since: Set(newest.and_then(|row| row.hours_since)),
            ..row
        };
        insert_and_notify(db, row).await
    }
}

/// Says that the report was changed by something else than a refresh; `hours_since` is the first day of which it has
/// hours from now on. What was promised stays promised. `replaces` is the row that said so last; returns this one's id.
pub(crate) async fn content_changed<C: ConnectionTrait>(
    db: &C,
    hours_since: Option<NaiveDate>,
    replaces: Option<i64>,
) -> Result<i64, DbErr> {
    let (newest, successful) = report_refresh::newest_and_successful(db).await?;
    let mut row = report_refresh::ActiveModel {
        started_at: Set(clock::database_now(db).await?),
        content_version: Set(Content::Changed.version_after(newest.as_ref())),
        hours_since: Set(hours_since.max(newest.and_then(|row| row.hours_since))),
        ..Default::default()
    };
    // Before the first success this stands for a refresh under way: there are things to come, and no promise.
    if let Some(successful) = successful {
        row.as_of = Set(successful.as_of);
        row.started_at = Set(successful.started_at);
        row.finished_at = Set(successful.finished_at);
        row.next_refresh_at = Set(successful.next_refresh_at);
        row.overdue_at = Set(successful.overdue_at);
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
