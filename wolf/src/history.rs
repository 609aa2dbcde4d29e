//! What the Wolf writes about itself: rows of `report_refreshes`, each with a NOTIFY in the same transaction.
//!
//! Rows are only ever inserted; the row that says "under way" is replaced by the one that says how it ended.
//! So the greatest id is always the newest word, and a greater id on a successful row means new content.

use chrono::{DateTime, Utc};
use entity::{REFRESH_CHANNEL, report_refresh};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement};

use crate::schedule::Ticks;

/// What all rows of one refresh share.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Run {
    /// When it began.
    pub(crate) started_at: DateTime<Utc>,
    /// When the schedule comes due again; known to those who have one.
    pub(crate) ticks: Option<Ticks>,
    /// The row that says it is under way.
    pub(crate) under_way_id: Option<i64>,
}

/// How a refresh ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The report has everything recorded up to `as_of`.
    Succeeded { as_of: DateTime<Utc>, hours: usize, rows_changed: u64 },
    /// It failed, in words for everybody.
    Failed { error: &'static str },
}

/// Says that a refresh is under way.
pub(crate) async fn begin<C: ConnectionTrait>(db: &C, run: &mut Run) -> Result<(), DbErr> {
    run.under_way_id = Some(insert(db, run, Default::default()).await?.id);
    Ok(())
}

/// Says how a refresh ended, and when.
pub(crate) async fn end<C: ConnectionTrait>(db: &C, run: &Run, end: End) -> Result<report_refresh::Model, DbErr> {
    if let Some(id) = run.under_way_id {
        report_refresh::Entity::delete_by_id(id).exec(db).await?;
    }
    let finished_at = Set(Some(entity::clock::database_now(db).await?));
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
    insert(db, run, row).await
}

async fn insert<C: ConnectionTrait>(
    db: &C,
    run: &Run,
    row: report_refresh::ActiveModel,
) -> Result<report_refresh::Model, DbErr> {
    // A refresh by hand has no schedule of its own; it does not change what the schedule has announced.
    let (next, after_next) = match run.ticks {
        Some(ticks) => (Some(ticks.next), Some(ticks.after_next)),
        None => report_refresh::newest(db).await?.map_or((None, None), |row| (row.next_refresh_at, row.overdue_at)),
    };
    let row = report_refresh::ActiveModel {
        started_at: Set(run.started_at),
        next_refresh_at: Set(next),
        overdue_at: Set(after_next),
        ..row
    };
    let row = row.insert(db).await?;
    if db.get_database_backend() == DbBackend::Postgres {
        let values = [REFRESH_CHANNEL.into(), row.id.to_string().into()];
        db.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_notify($1, $2)", values)).await?;
    }
    Ok(row)
}
