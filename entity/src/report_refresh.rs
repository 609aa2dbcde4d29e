//! `report_refreshes`: one row a refresh, the truth about freshness.

use sea_orm::{
    Condition, DbBackend, FromQueryResult, QueryOrder, QuerySelect, QueryTrait, entity::prelude::*, sea_query::Expr,
};

/// One refresh: under way while `finished_at` is null, failed when `error` is not.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "report_refreshes")]
pub struct Model {
    /// Given by the database; later refreshes have greater ids.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Every increment with `recorded_at <= as_of` is in the report. Null until the refresh has succeeded.
    pub as_of: Option<DateTimeUtc>,
    /// When the refresh began.
    pub started_at: DateTimeUtc,
    /// When it ended, well or badly.
    pub finished_at: Option<DateTimeUtc>,
    /// The schedule's next tick; null when no schedule has ever run.
    pub next_refresh_at: Option<DateTimeUtc>,
    /// The tick after that one: when it passes without a word, the report is overdue.
    pub overdue_at: Option<DateTimeUtc>,
    /// The first day of which the report has hours; older ones were dropped. Null when all are kept.
    pub hours_since: Option<Date>,
    /// Grows with every transaction that changes the report: where it is the same, so is all of the report.
    pub content_version: i64,
    /// How many stale hours were brought up to date.
    pub hours: i32,
    /// How many report rows changed.
    pub rows_changed: i64,
    /// Why it failed, in words that carry no SQL and no secret.
    pub error: Option<String>,
    /// The time of the database's clock at which the report was what `as_of` promises. The two are the same, unless a
    /// clock went back: then `as_of` is later. Null in the rows of older programs.
    pub looked_at: Option<DateTimeUtc>,
    /// When, by the database's clock, `next_refresh_at` and `overdue_at` were said. Null in the rows of older programs.
    pub scheduled_at: Option<DateTimeUtc>,
    /// How long the refresh took, by a monotonic clock. Null until it has ended, and in the rows of older programs.
    pub duration_ms: Option<i64>,
    /// `refresh_clock.elapsed_ms` as this refresh announced it; null when it announced nothing.
    pub elapsed_ms: Option<i64>,
}

impl Model {
    /// The time of the database's clock that `as_of` stands for.
    #[must_use]
    pub fn looked_at(&self) -> Option<DateTimeUtc> {
        self.looked_at.or(self.as_of)
    }
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The refresh that began last, whatever became of it.
///
/// # Errors
/// When the database can't be asked.
pub async fn newest<C: ConnectionTrait>(db: &C) -> Result<Option<Model>, DbErr> {
    Entity::find().order_by_desc(Column::Id).one(db).await
}

/// The refresh that succeeded last: the one whose content the report has.
///
/// # Errors
/// When the database can't be asked.
pub async fn newest_successful<C: ConnectionTrait>(db: &C) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::AsOf.is_not_null()).order_by_desc(Column::Id).one(db).await
}

/// The newest rows, both of one moment.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The newest one, whatever it says.
    pub row: Option<Model>,
    /// The newest one of a refresh that succeeded.
    pub successful: Option<Model>,
    /// What the database's clock showed when they were read. None on SQLite, which has none.
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
/// When the database can't be asked.
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
