//! Idempotency keys belong to clients: equal keys of two clients are two keys.
//!
//! Programs of before know one space of keys for all and can't claim any more.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000005_clients"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261126_000005_clients/postgres_up.sql"),
            include_str!("m20261126_000005_clients/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            include_str!("m20261126_000005_clients/postgres_down.sql"),
            include_str!("m20261126_000005_clients/sqlite_down.sql"),
        )
        .await
    }
}
