//! A database snapshot of the report and its freshness.

use storage::{Transaction, snapshot::Snapshots};

use super::{
    error::ReportError,
    report_query::{QueryResult, ReportQuery},
};
use crate::freshness::Freshness;

/// A read-only transaction that sees one version of the report. It holds a connection: keep it for a short time only.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) transaction: Transaction,
    /// The freshness of the report in this snapshot.
    pub(super) freshness: Freshness,
}

impl Snapshot {
    pub(super) async fn begin(snapshots: &Snapshots) -> Result<Self, ReportError> {
        let transaction = snapshots.begin().await?;
        let freshness = Freshness::read(&transaction, &snapshots.clock).await?;
        Ok(Self { transaction, freshness })
    }

    /// Executes a query. Errs with [`ReportError::VersionChanged`] if the report was changed meanwhile, which only a Citus
    /// cluster lets happen.
    pub(super) async fn execute(&self, query: &ReportQuery) -> Result<QueryResult, ReportError> {
        let result = query.execute(&self.transaction).await?;
        if self.transaction.is_consistent().await? { Ok(result) } else { Err(ReportError::VersionChanged) }
    }
}
