//! A day's row of the report has the views of its hours, and each page has one row with its title. So the report has fewer
//! and shorter rows. Marks of stale hours name the pages.
//!
//! What the report has is converted, so nothing is lost and no refresh has to follow. On PostgreSQL a materialized view is
//! made anew by its definition.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::{execute_each, texts};

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261126_000007_days_with_hours"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if db.get_database_backend() != DbBackend::Postgres {
            return db
                .execute_unprepared(include_str!("m20261126_000007_days_with_hours/sqlite_up.sql"))
                .await
                .map(drop);
        }
        let statements = Statements {
            definition: include_str!("m20261126_000007_days_with_hours/postgres_definition.sql"),
            view: include_str!("m20261126_000007_days_with_hours/postgres_view.sql"),
            table: include_str!("m20261126_000007_days_with_hours/postgres_table.sql"),
            indexes: include_str!("m20261126_000007_days_with_hours/postgres_indexes.sql"),
            stale_hours: include_str!("m20261126_000007_days_with_hours/postgres_stale_hours.sql"),
        };
        convert_on_postgres(db, &statements, &["page_views_report_key", "page_views_report_by_name"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if db.get_database_backend() != DbBackend::Postgres {
            let sql = include_str!("m20261126_000007_days_with_hours/sqlite_down.sql");
            return db.execute_unprepared(sql).await.map(drop);
        }
        let statements = Statements {
            definition: include_str!("m20261126_000007_days_with_hours/postgres_down_definition.sql"),
            view: include_str!("m20261126_000007_days_with_hours/postgres_down_view.sql"),
            table: include_str!("m20261126_000007_days_with_hours/postgres_down_table.sql"),
            indexes: include_str!("m20261126_000007_days_with_hours/postgres_down_indexes.sql"),
            stale_hours: include_str!("m20261126_000007_days_with_hours/postgres_down_stale_hours.sql"),
        };
        let indexes = ["page_views_report_key", "page_views_report_of_site", "page_views_report_top"];
        convert_on_postgres(db, &statements, &indexes).await
    }
}

/// The statements that change the report in one direction.
struct Statements {
    /// Replaces the report's definition.
    definition: &'static str,
    /// Makes the report as a materialized view.
    view: &'static str,
    /// Makes the report as a table, from `page_views_report_before`.
    table: &'static str,
    indexes: &'static str,
    stale_hours: &'static str,
}

async fn convert_on_postgres<C: ConnectionTrait>(db: &C, to: &Statements, indexes: &[&str]) -> Result<(), DbErr> {
    const KIND: &str = "SELECT relkind::text FROM pg_class WHERE oid = 'page_views_report'::regclass";
    let is_view = texts(db, KIND).await?.concat() == "m";
    let set_aside = if is_view {
        "DROP MATERIALIZED VIEW page_views_report".to_owned()
    } else {
        // The new indexes have the names of the old ones.
        let drop = indexes.iter().map(|index| format!("\nDROP INDEX {index};"));
        format!("ALTER TABLE page_views_report RENAME TO page_views_report_before;{}", drop.collect::<String>())
    };
    execute_each(db, &set_aside).await?;
    execute_each(db, to.definition).await?;
    execute_each(db, if is_view { to.view } else { to.table }).await?;
    execute_each(db, to.indexes).await?;
    execute_each(db, to.stale_hours).await
}
