//! `refresh_requests`: until when the report is asked to be current, in one row.

use sea_orm::entity::prelude::*;

/// The only row. A request updates it, and the Wolf refreshes until an `as_of` is as late.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_requests")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// The time of the last request, as [`refresh_clock::Model::announced_at`](crate::refresh_clock::Model) counts. Null
    /// before the first request. It only grows.
    pub requested_at: Option<DateTimeUtc>,
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
    row.ok_or_else(|| DbErr::RecordNotFound("the row of refresh_requests".to_owned()))
}
