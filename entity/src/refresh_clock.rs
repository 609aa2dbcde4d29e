//! `refresh_clock`: what refreshes know of time, in one row.

use sea_orm::entity::prelude::*;

/// The one row. A refresh updates it before it looks at the marks; recorders read it after their commit.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_clock")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// What the refresh that announced it promises as its `as_of`. Only grows.
    pub announced_at: DateTimeUtc,
    /// What the database's clock showed at the announcement; null before the first one.
    pub read_at: Option<DateTimeUtc>,
    /// The time that has passed, in milliseconds, by the monotonic clocks of those who refresh. It never runs faster than
    /// real time, and stands still while nobody refreshes.
    pub elapsed_ms: i64,
    /// `elapsed_ms` when the database's clock was last found far ahead of what had passed; null when it never was.
    pub jumped_at_ms: Option<i64>,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Reads the row.
///
/// # Errors
/// When the database can't be asked, or lacks the row.
pub async fn read<C: ConnectionTrait>(db: &C) -> Result<Model, DbErr> {
    let row = Entity::find_by_id(1_i16).one(db).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the row of refresh_clock".to_owned()))
}
