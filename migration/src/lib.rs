//! The migrations of both databases. This crate does not depend on the other crates, so that changes there can't change
//! the effect of an old migration.

use sea_orm_migration::{
    MigratorTrait, SchemaManager,
    prelude::{DbErr, MigrationTrait, async_trait},
    sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement},
};

mod change;
mod m20261122_000001_create_tables;
mod m20261124_000002_key_by_time;
mod m20261125_000003_clocks;
mod m20261125_000004_program_versions;
mod m20261126_000005_clients;
mod m20261126_000006_imports;
mod m20261126_000007_days_with_hours;
mod m20261127_000009_jobs;
mod m20261127_000011_groups;
mod m20261127_000012_freshness;
mod m20261127_000013_changed_pages;
mod obstacles;
mod of_clusters;

pub use obstacles::{Obstacle, check};

use change::Change;

/// The migrations, oldest first.
#[derive(Debug)]
struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_create_tables::Migration),
            Box::new(m20261124_000002_key_by_time::Migration),
            Box::new(m20261125_000003_clocks::Migration),
            Box::new(m20261125_000004_program_versions::Migration),
            Box::new(m20261126_000005_clients::Migration),
            Box::new(m20261126_000006_imports::Migration),
            Box::new(m20261126_000007_days_with_hours::Migration),
            Box::new(of_clusters::DISTRIBUTED_MARKS),
            Box::new(m20261127_000009_jobs::Migration),
            Box::new(of_clusters::STAGED_COUNTS),
            Box::new(m20261127_000011_groups::Migration),
            Box::new(m20261127_000012_freshness::Migration),
            Box::new(m20261127_000013_changed_pages::Migration),
            Box::new(of_clusters::NODE_COMMITS),
            Box::new(of_clusters::COUNTED_PARTS),
        ]
    }
}

/// A migration, and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The migration's name.
    pub name: String,
    /// Whether it has been applied.
    pub applied: bool,
}

/// How the database's schema and this program fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This program's migrations, oldest first.
    pub steps: Vec<Step>,
    /// The migrations of newer programs that the database has.
    pub newer: Vec<String>,
    /// Whether a newer program's migration has made this program too old to work with the database.
    pub is_too_old: bool,
}

impl Status {
    /// Returns the migrations that the database lacks.
    #[must_use]
    pub fn missing(&self) -> Vec<&str> {
        self.steps.iter().filter(|step| !step.applied).map(|step| step.name.as_str()).collect()
    }
}

/// Applies the missing migrations. Several processes may do so at the same time.
///
/// # Errors
/// When the database refuses; then nothing has changed.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    Change::Up.make(db).await
}

/// Reverts the newest migration, with the data in its tables. Reverting the first one deletes all counts.
///
/// # Errors
/// When the database refuses; then nothing has changed.
pub async fn down(db: &DatabaseConnection) -> Result<(), DbErr> {
    Change::Down.make(db).await
}

/// Compares the migrations of this program with those that the database has. It only reads.
///
/// # Errors
/// When the database can't be queried.
pub async fn status<C: ConnectionTrait>(db: &C) -> Result<Status, DbErr> {
    let own: Vec<_> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let has_been_migrated = match db.get_database_backend() {
        DbBackend::Postgres => "FROM information_schema.tables WHERE table_schema = CURRENT_SCHEMA AND table_name",
        _ => "FROM sqlite_master WHERE name",
    };
    let has_been_migrated = format!("SELECT 'it has' {has_been_migrated} = 'seaql_migrations'");
    let applied = match texts(db, &has_been_migrated).await?.is_empty() {
        true => Vec::new(),
        false => texts(db, "SELECT version FROM seaql_migrations ORDER BY version").await?,
    };
    let oldest_allowed = match applied.iter().any(|name| name == m20261125_000004_program_versions::NAME) {
        true => texts(db, "SELECT oldest_allowed FROM program_versions").await?,
        false => Vec::new(),
    };
    let unknown = |name: &String| !own.contains(name);
    Ok(Status {
        is_too_old: oldest_allowed.iter().any(unknown),
        newer: applied.iter().filter(|name| unknown(name)).cloned().collect(),
        steps: own.iter().map(|name| Step { applied: applied.contains(name), name: name.clone() }).collect(),
    })
}

/// Returns the first column of a query's rows.
async fn texts<C: ConnectionTrait>(db: &C, sql: &str) -> Result<Vec<String>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Creates or corrects the logins `PREFIX_increments`, `PREFIX_reports` and `PREFIX_wolf`, and sets the passwords in
/// `verifiers`: pairs of a login without its prefix and a password verifier. On PostgreSQL only.
///
/// # Errors
/// When the database refuses; then nothing has changed.
pub async fn make_roles(db: &DatabaseConnection, prefix: &str, verifiers: &[(&str, String)]) -> Result<(), DbErr> {
    Change::Roles { prefix, verifiers }.make(db).await
}

/// Returns the statements of [`make_roles`] for the schema `public`, without passwords.
#[must_use]
pub fn roles_sql(prefix: &str) -> String {
    include_str!("roles.sql").replace("analytics_", &format!("{prefix}_"))
}

/// Executes `postgres` or `sqlite`, depending on the database.
async fn run(manager: &SchemaManager<'_>, postgres: &str, sqlite: &str) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let sql = if db.get_database_backend() == DbBackend::Postgres { postgres } else { sqlite };
    execute_each(db, sql).await
}

/// Executes the statements of `sql` one by one: Citus takes no others in the text of one that it sends to its workers. Each
/// statement ends with a semicolon at the end of a line; `$$` is where a text begins or ends.
async fn execute_each<C: ConnectionTrait>(db: &C, sql: &str) -> Result<(), DbErr> {
    for statement in statements(sql) {
        db.execute_unprepared(&statement).await?;
    }
    Ok(())
}

fn statements(sql: &str) -> Vec<String> {
    let (mut statements, mut statement, mut in_text) = (Vec::new(), String::new(), false);
    for line in sql.lines().filter(|line| !line.trim_start().starts_with("--")) {
        in_text ^= line.matches("$$").count() % 2 == 1;
        statement.push_str(line);
        statement.push('\n');
        if line.ends_with(';') && !in_text {
            statements.push(std::mem::take(&mut statement));
        }
    }
    statements.push(statement);
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_semicolons_at_the_ends_of_lines() {
        let sql = "-- A; comment;\nA ';' 1;\nDO $$\nBEGIN;\nEND;\n$$;\n\nB\n2";
        assert_eq!(statements(sql), ["A ';' 1;\n", "DO $$\nBEGIN;\nEND;\n$$;\n", "\nB\n2\n"]);
    }
}
