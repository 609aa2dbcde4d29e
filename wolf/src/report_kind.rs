//! The report's kind of relation. On PostgreSQL only the catalogue's `relkind` records it.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

/// The kind of relation that `page_views_report` is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportKind {
    /// A materialized view: the database computes all rows at each refresh, at a cost that grows with all counts.
    MaterializedView,
    /// A table: a refresh adds the changes of stale hours.
    Table,
}

impl ReportKind {
    /// Reads the report's present kind.
    pub(crate) async fn read<C: ConnectionTrait>(db: &C) -> Result<Self, DbErr> {
        const SQL: &str = "SELECT relkind = 'm' FROM pg_class WHERE oid = to_regclass('page_views_report')";
        if db.get_database_backend() != DbBackend::Postgres {
            return Ok(Self::Table);
        }
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("page_views_report".to_owned()))?;
        Ok(if row.try_get_by_index(0)? { Self::MaterializedView } else { Self::Table })
    }

    /// Returns the SQL keywords for such a relation, as in `DROP …`.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::MaterializedView => "MATERIALIZED VIEW",
            Self::Table => "TABLE",
        }
    }
}
