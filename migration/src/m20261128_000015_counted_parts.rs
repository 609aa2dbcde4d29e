//! On PostgreSQL: which parts of requests with a key the nodes of a Citus cluster have counted.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261128_000015_counted_parts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, include_str!("m20261128_000015_counted_parts/postgres_up.sql"), NOTHING).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, include_str!("m20261128_000015_counted_parts/postgres_down.sql"), NOTHING).await
    }
}

/// SQLite can't be distributed.
const NOTHING: &str = "SELECT 1";
