//! Which programs may use the database: during a rolling upgrade older programs run on beside the newer one that has
//! migrated it.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

pub(crate) const NAME: &str = "m20261125_000004_program_versions";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        NAME
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261125_000004_program_versions/postgres_up.sql"),
            include_str!("m20261125_000004_program_versions/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        const DOWN: &str = "DROP TABLE program_versions";
        run(manager, DOWN, DOWN).await
    }
}
