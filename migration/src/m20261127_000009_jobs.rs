//! Changes of what was counted, as jobs of the Wolf, and the aliases of renamed pages.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261127_000009_jobs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261127_000009_jobs/postgres_up.sql"),
            include_str!("m20261127_000009_jobs/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, include_str!("m20261127_000009_jobs/down.sql"), include_str!("m20261127_000009_jobs/down.sql"))
            .await
    }
}
