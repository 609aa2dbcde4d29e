//! The counts are keyed by time, and on SQLite the report is, as it is on PostgreSQL.
//!
//! What is recorded and what a merge changes are rows of all pages in a few hours. They lie side by side now; in the
//! order of names each of them was on a page of its own. The key also finds the rows of a stale hour, so the index that
//! did is not needed any more.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261124_000002_key_by_time"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261124_000002_key_by_time/postgres_up.sql"),
            include_str!("m20261124_000002_key_by_time/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261124_000002_key_by_time/postgres_down.sql"),
            include_str!("m20261124_000002_key_by_time/sqlite_down.sql"),
        )
        .await
    }
}
