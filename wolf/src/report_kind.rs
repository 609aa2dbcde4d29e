//! What kind of relation the report is. On PostgreSQL the catalogue's `relkind` is the only thing that says so.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

/// The kind of relation that `page_views_report` is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// The database computes all of it anew: nothing to go wrong, and a cost that grows with all there is.
    MaterializedView,
    /// The Wolf adds what changed.
    Table,
}

impl ReportKind {
    /// The report's kind now.
    pub(crate) async fn read<C: ConnectionTrait>(db: &C) -> Result<Self, DbErr> {
        if db.get_database_backend() != DbBackend::Postgres {
            return Ok(Self::Table);
        }
        const SQL: &str = "SELECT relkind = 'm' FROM pg_class WHERE oid = 'page_views_report'::regclass";
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("page_views_report".to_owned()))?;
        Ok(if row.try_get_by_index(0)? { Self::MaterializedView } else { Self::Table })
    }

    /// Turns the report into a relation of this kind. Readers go on with the old one until the commit.
    ///
    /// What the table gets is what the view shows: both are right but for the hours that are marked stale.
    pub(crate) async fn convert(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = match self {
            Self::MaterializedView => include_str!("report_kind/to_materialized_view.sql"),
            Self::Table => include_str!("report_kind/to_table.sql"),
        };
        transaction.execute_unprepared(sql).await.map(drop)
    }
}
