//! What the Wolf writes about itself: rows of `report_refreshes`, each with a NOTIFY in the same transaction.
//!
//! Rows are only ever inserted; the row that says "under way" is replaced by the one that says how it went on or ended.
//! So the greatest id is always the newest word, and a greater id on a successful row means new content.
//!
//! Readers tell by it whether the content can have changed: whoever changes the content says so in the same transaction,
//! by a new row or by a row "under way" that is the newest. As long as the newest row is another one, the content stays.

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

impl<'a> Run<'a> {
    /// One that begins now.
    pub(crate) async fn new<C: ConnectionTrait>(db: &C, schedule: Option<&'a Schedule>) -> Result<Self, DbErr> {
        Ok(Self { started_at: clock::database_now(db).await?, schedule, under_way_id: None })
    }

    /// Says that the refresh is under way, and when the next one is due, again and again while it is.
    pub(crate) async fn goes_on<C: ConnectionTrait>(&mut self, db: &C) -> Result<(), DbErr> {
        self.forget_under_way(db).await?;
        self.under_way_id = Some(self.insert(db, Default::default()).await?.id);
        Ok(())
    }

    /// Whether that is the newest word: other processes may have said something since.
    pub(crate) async fn is_newest_word<C: ConnectionTrait>(&self, db: &C) -> Result<bool, DbErr> {
        Ok(report_refresh::newest(db).await?.map(|row| row.id) == self.under_way_id)
    }

    /// Says how the refresh ended, and when.
    pub(crate) async fn ends<C: ConnectionTrait>(&self, db: &C, end: End) -> Result<report_refresh::Model, DbErr> {
        self.forget_under_way(db).await?;
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
        self.insert(db, row).await
    }

    async fn forget_under_way<C: ConnectionTrait>(&self, db: &C) -> Result<(), DbErr> {
        if let Some(id) = self.under_way_id {
            report_refresh::Entity::delete_by_id(id).exec(db).await?;
        }
        Ok(())
    }

    async fn insert<C: ConnectionTrait>(
        &self,
        db: &C,
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
            hours_since: Set(newest.and_then(|row| row.hours_since)),
            ..row
        };
        insert_and_notify(db, row).await
    }
}

/// Says that the report has no hours any more of the days before `hours_since`. What was promised stays promised.
pub(crate) async fn hours_dropped<C: ConnectionTrait>(db: &C, hours_since: NaiveDate) -> Result<(), DbErr> {
    let Some(newest) = report_refresh::newest_successful(db).await? else { return Ok(()) };
    let row = report_refresh::ActiveModel {
        as_of: Set(newest.as_of),
        started_at: Set(newest.started_at),
        finished_at: Set(newest.finished_at),
        next_refresh_at: Set(newest.next_refresh_at),
        overdue_at: Set(newest.overdue_at),
        hours_since: Set(Some(hours_since)),
        ..Default::default()
    };
    insert_and_notify(db, row).await.map(drop)
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
