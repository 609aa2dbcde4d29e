//! What was imported from access logs: the logs' chunks, by which a log is known again, and what each import counted.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000006_imports"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261126_000006_imports/postgres_up.sql"),
            include_str!("m20261126_000006_imports/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261126_000006_imports/postgres_down.sql"),
            include_str!("m20261126_000006_imports/sqlite_down.sql"),
        )
        .await
    }
}
