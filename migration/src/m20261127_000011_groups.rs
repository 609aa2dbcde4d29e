//! Groups of pages: what is declared, the groups of each page, and their rows in the report.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::{run, texts};

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261127_000011_groups"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A materialized view goes by the changed definition from its next refresh on. Until groups are declared, its rows are
        // the same.
        run(
            manager,
            include_str!("m20261127_000011_groups/postgres_up.sql"),
            include_str!("m20261127_000011_groups/sqlite_up.sql"),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        const KIND: &str = "SELECT relkind::text FROM pg_class WHERE oid = 'page_views_report'::regclass";
        const DELETE: &str = "DELETE FROM page_views_report WHERE grain NOT IN ('day', 'month', 'page')";
        run(
            manager,
            include_str!("m20261127_000011_groups/postgres_down.sql"),
            include_str!("m20261127_000011_groups/sqlite_down.sql"),
        )
        .await?;
        let db = manager.get_connection();
        if db.get_database_backend() == DbBackend::Postgres {
            let is_view = texts(db, KIND).await?.concat() == "m";
            db.execute_unprepared(if is_view { "REFRESH MATERIALIZED VIEW page_views_report" } else { DELETE }).await?;
        }
        Ok(())
    }
}
