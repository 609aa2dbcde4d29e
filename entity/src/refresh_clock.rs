//! `refresh_clock`: the time as refreshes announce and measure it, in one row.

use sea_orm::entity::prelude::*;

/// The only row. A refresh updates it before it reads the marks, and recorders read it after their commit.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_clock")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// The `as_of` that the newest refresh announced. It only grows.
    pub announced_at: DateTimeUtc,
    /// The database's time at the announcement. Null before the first one.
    pub read_at: Option<DateTimeUtc>,
    /// The elapsed time in milliseconds, by the monotonic clocks of the refreshing processes. It never runs faster than
    /// real time, and stops while no process refreshes.
    pub elapsed_ms: i64,
    /// The value of `elapsed_ms` when the database's clock was last found far ahead of the elapsed time. Null if it
    /// never was.
    pub jumped_at_ms: Option<i64>,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Reads the row.
///
/// # Errors
/// When the query fails, or the row is missing.
pub async fn read<C: ConnectionTrait>(db: &C) -> Result<Model, DbErr> {
    let row = Entity::find_by_id(1_i16).one(db).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the row of refresh_clock".to_owned()))
}
