//! `report_refreshes`: one row per refresh. The report's freshness is derived from these rows.

use sea_orm::{
    Condition, DbBackend, FromQueryResult, QueryOrder, QuerySelect, QueryTrait, entity::prelude::*, sea_query::Expr,
};

/// A refresh. It runs while `finished_at` is null, and has failed if `error` is not null.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "report_refreshes")]
pub struct Model {
    /// The id that the database assigned. Later refreshes have greater ids.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Every increment with `recorded_at <= as_of` is in the report. Null until the refresh has succeeded.
    pub as_of: Option<DateTimeUtc>,
    /// When the refresh began.
    pub started_at: DateTimeUtc,
    /// When the refresh ended, with or without success.
    pub finished_at: Option<DateTimeUtc>,
    /// The next refresh by the schedule. Null when no schedule has ever run.
    pub next_refresh_at: Option<DateTimeUtc>,
    /// The scheduled refresh after `next_refresh_at`. If this time passes without a new row, the report is overdue.
    pub overdue_at: Option<DateTimeUtc>,
    /// The first day with hours in the report. Hours of older days were dropped. Null when all hours are kept.
    pub hours_since: Option<Date>,
    /// The version of the report's content. It grows with every transaction that changes the report, so equal versions
    /// mean an equal report.
    pub content_version: i64,
    /// The number of stale hours that the refresh found.
    pub hours: i32,
    /// The number of report rows that changed, so far while the refresh runs.
    pub rows_changed: i64,
    /// Why the refresh failed. The text has no SQL and no secrets.
    pub error: Option<String>,
    /// The database's time when the report was as current as `as_of` states. It equals `as_of`, unless a clock went
    /// back: then `as_of` is later. Null in rows of older program versions.
    pub looked_at: Option<DateTimeUtc>,
    /// The database's time when `next_refresh_at` and `overdue_at` were set. Null in rows of older program versions.
    pub scheduled_at: Option<DateTimeUtc>,
    /// The duration of the refresh in milliseconds, by a monotonic clock. Null until it has ended, and in rows of older
    /// program versions.
    pub duration_ms: Option<i64>,
    /// The value of `refresh_clock.elapsed_ms` that this refresh announced. Null if it announced none.
    pub elapsed_ms: Option<i64>,
    /// The number of stale hours that are still to be merged, while the refresh merges. Null in all other rows.
    pub hours_left: Option<i32>,
}

impl Model {
    /// Returns the database's time that `as_of` stands for.
    #[must_use]
    pub fn looked_at(&self) -> Option<DateTimeUtc> {
        self.looked_at.or(self.as_of)
    }
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Returns the newest refresh, whether it runs, has failed or has succeeded.
///
/// # Errors
/// When the query fails.
pub async fn newest<C: ConnectionTrait>(db: &C) -> Result<Option<Model>, DbErr> {
    Entity::find().order_by_desc(Column::Id).one(db).await
}

/// Returns the newest successful refresh, which made the report's present content.
///
/// # Errors
/// When the query fails.
pub async fn newest_successful<C: ConnectionTrait>(db: &C) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::AsOf.is_not_null()).order_by_desc(Column::Id).one(db).await
}

/// Returns at most `limit` refreshes before the row `before`, newest first. Rows of other changes of the report are left out.
///
/// # Errors
/// When the query fails.
pub async fn history<C: ConnectionTrait>(db: &C, before: Option<i64>, limit: u64) -> Result<Vec<Model>, DbErr> {
    // Every refresh announces its time, unless it fails before.
    let is_refresh = Condition::any().add(Column::ElapsedMs.is_not_null()).add(Column::Error.is_not_null());
    let rows = Entity::find().filter(Column::Id.lt(before.unwrap_or(i64::MAX))).filter(is_refresh);
    rows.order_by_desc(Column::Id).limit(limit).all(db).await
}

/// The newest rows, read in one statement.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The newest row.
    pub row: Option<Model>,
    /// The newest row of a successful refresh.
    pub successful: Option<Model>,
    /// The database's time when the rows were read. `None` on SQLite, which has no clock of its own.
    pub database_now: Option<DateTimeUtc>,
}

#[derive(FromQueryResult)]
struct RowAndClock {
    #[sea_orm(nested)]
    row: Model,
    database_now: Option<DateTimeUtc>,
}

/// Reads the newest row, the newest successful one and the database's clock in one statement.
///
/// # Errors
/// When the query fails.
pub async fn newest_and_successful<C: ConnectionTrait>(db: &C) -> Result<Newest, DbErr> {
    let newest = Entity::find().select_only().column(Column::Id).order_by_desc(Column::Id).limit(1);
    let successful = newest.clone().filter(Column::AsOf.is_not_null());
    let either = Condition::any()
        .add(Column::Id.in_subquery(newest.into_query()))
        .add(Column::Id.in_subquery(successful.into_query()));
    let clock = match db.get_database_backend() {
        DbBackend::Postgres => Expr::cust("clock_timestamp()"),
        _ => Expr::cust("NULL"),
    };
    let rows = Entity::find().expr_as(clock, "database_now").filter(either).order_by_desc(Column::Id);
    let mut rows = rows.into_model::<RowAndClock>().all(db).await?.into_iter();
    let Some(RowAndClock { row, database_now }) = rows.next() else { return Ok(Newest::default()) };
    let successful =
        rows.next().map_or_else(|| Some(row.clone()).filter(|row| row.as_of.is_some()), |next| Some(next.row));
    Ok(Newest { row: Some(row), successful, database_now })
}
