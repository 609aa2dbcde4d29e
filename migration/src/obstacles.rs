//! What keeps a database from being migrated or used by this program, found before anything is changed.

use std::collections::BTreeSet;

use sea_orm_migration::{
    prelude::DbErr,
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::{Status, status, texts};

/// The names that each migration gives to tables, views and indexes, but for those that it takes away itself.
pub(crate) const RELATIONS: [(&str, &[&str]); 12] = [
    (
        "m20261122_000001_create_tables",
        &[
            "counted_days",
            "idempotency_keys",
            "idempotency_keys_to_prune",
            "kept_days",
            "page_views",
            "page_views_by_hour",
            "page_views_live",
            "page_views_report",
            "page_views_report_by_hour",
            "page_views_report_by_name",
            "page_views_report_key",
            "pages",
            "report_refreshes",
            "stale_hours",
            "stale_hours_by_hour",
            "stale_titles",
        ],
    ),
    ("m20261125_000003_clocks", &["refresh_clock", "report_refreshes_by_elapsed"]),
    ("m20261125_000004_program_versions", &["program_versions"]),
    (
        "m20261126_000006_imports",
        &[
            "idempotency_keys_of_imports",
            "import_chunks",
            "import_chunks_parent_first_line_ordinal_key",
            "import_counts",
            "import_counts_by_import",
            "imports",
        ],
    ),
    (
        "m20261126_000007_days_with_hours",
        &["counted_hours", "page_views_report_before", "page_views_report_of_site", "page_views_report_top"],
    ),
    (
        "m20261127_000008_distributed_marks",
        &["merge_deltas", "report_publication", "report_publication_pkey", "stale_pages"],
    ),
    (
        "m20261127_000009_jobs",
        &["jobs", "jobs_key_digest_key", "jobs_pkey", "jobs_to_do", "page_aliases", "page_aliases_pkey"],
    ),
    ("m20261127_000010_staged_counts", &["stale_pages_batch"]),
    (
        "m20261127_000011_groups",
        &["counted_hours_of_groups", "page_groups", "page_groups_pkey", "page_memberships", "page_memberships_pkey"],
    ),
    ("m20261127_000012_freshness", &["refresh_requests", "refresh_requests_pkey"]),
    ("m20261127_000013_changed_pages", &["report_changes", "report_changes_pkey"]),
    ("m20261128_000015_counted_parts", &["claims", "counted_parts", "counted_parts_pkey", "idempotency_keys_in_parts"]),
];

/// Why this program can't use a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The database's encoding can't hold every name of a page (PostgreSQL).
    Encoding(String),
    /// None of the schemas that are searched exists (PostgreSQL).
    NoSchema,
    /// Another application has relations of these names.
    Occupied {
        /// The schema that they are in (PostgreSQL).
        schema: Option<String>,
        /// Their names, in order.
        relations: Vec<String>,
    },
    /// The database has these migrations of a newer program.
    Newer(Vec<String>),
}

/// Returns how the database and this program fit together, or why they don't. Changes nothing.
///
/// # Errors
/// When the database can't be asked.
pub async fn check<C: ConnectionTrait>(db: &C) -> Result<Result<Status, Obstacle>, DbErr> {
    let mut schema = None;
    if db.get_database_backend() == DbBackend::Postgres {
        let encoding = texts(db, "SHOW server_encoding").await?.concat();
        if encoding != "UTF8" {
            return Ok(Err(Obstacle::Encoding(encoding)));
        }
        schema = texts(db, "SELECT current_schema()::text WHERE current_schema() IS NOT NULL").await?.pop();
        if schema.is_none() {
            return Ok(Err(Obstacle::NoSchema));
        }
    }
    // Before the migrations, because another process may just be applying them: what is there without the migration that
    // creates it is of another application.
    let there = names(db).await?;
    let status = status(db).await?;
    let relations = occupied(&there, &status);
    if !relations.is_empty() {
        return Ok(Err(Obstacle::Occupied { schema, relations }));
    }
    if !status.newer.is_empty() {
        return Ok(Err(Obstacle::Newer(status.newer)));
    }
    Ok(Ok(status))
}

/// The names that are taken in the schema.
async fn names<C: ConnectionTrait>(db: &C) -> Result<BTreeSet<String>, DbErr> {
    // A table's name is that of a type, too.
    const POSTGRES: &str = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace
                            UNION SELECT typname::text FROM pg_type WHERE typnamespace = current_schema()::regnamespace";
    const SQLITE: &str = "SELECT name FROM sqlite_schema";
    let sql = if db.get_database_backend() == DbBackend::Postgres { POSTGRES } else { SQLITE };
    Ok(texts(db, sql).await?.into_iter().collect())
}

/// The relations that are there although the migration that creates them is missing.
fn occupied(there: &BTreeSet<String>, status: &Status) -> Vec<String> {
    let missing = status.missing();
    let wanted = RELATIONS.iter().filter(|(migration, _)| missing.contains(migration));
    let mut occupied: Vec<_> = wanted
        .flat_map(|(_, relations)| relations.iter().copied())
        .filter(|relation| there.contains(*relation))
        .map(str::to_owned)
        .collect();
    // Another application that keeps its migrations as this one does.
    if missing.len() == status.steps.len() && !status.newer.is_empty() {
        occupied.push("seaql_migrations".to_owned());
    }
    occupied
}
