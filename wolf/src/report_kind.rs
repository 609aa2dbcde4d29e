//! What kind of relation the report is. On PostgreSQL the catalogue's `relkind` is the only thing that says so.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

/// The kind of relation that `page_views_report` is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportKind {
    /// The database computes all of it anew: nothing to go wrong, and a cost that grows with all there is.
    MaterializedView,
    /// The Wolf adds what changed.
    Table,
}

impl ReportKind {
    /// The report's kind now.
    pub(crate) async fn read<C: ConnectionTrait>(db: &C) -> Result<Self, DbErr> {
        const SQL: &str = "SELECT relkind = 'm' FROM pg_class WHERE oid = to_regclass('page_views_report')";
        if db.get_database_backend() != DbBackend::Postgres {
            return Ok(Self::Table);
        }
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("page_views_report".to_owned()))?;
        Ok(if row.try_get_by_index(0)? { Self::MaterializedView } else { Self::Table })
    }

    /// The words by which SQL drops such a relation.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::MaterializedView => "MATERIALIZED VIEW",
            Self::Table => "TABLE",
        }
    }
}
