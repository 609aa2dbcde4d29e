//! The tables, the report's definition, and the report.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261122_000001_create_tables"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261122_000001_create_tables/postgres_up.sql"),
            include_str!("m20261122_000001_create_tables/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261122_000001_create_tables/postgres_down.sql"),
            include_str!("m20261122_000001_create_tables/sqlite_down.sql"),
        )
        .await
    }
}
