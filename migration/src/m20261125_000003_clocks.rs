//! Clocks that jump: what refreshes know of time gets a table, refreshes say at which time of the wall clock they looked,
//! and idempotency keys age by elapsed time.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000003_clocks"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261125_000003_clocks/postgres_up.sql"),
            include_str!("m20261125_000003_clocks/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261125_000003_clocks/postgres_down.sql"),
            include_str!("m20261125_000003_clocks/sqlite_down.sql"),
        )
        .await
    }
}
