//! The view of the report that the resolvers of one response share.

use std::sync::Arc;

use async_graphql::Context;
use reports::{Provenance, ReportReader, ReportView};
use tokio::sync::OnceCell;

use super::errors;

/// The view that one response is read from, so that every report in it shows the same version. Created at first use.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewCell {
    view: Arc<OnceCell<ReportView>>,
    in_own_transaction: bool,
}

impl ViewCell {
    /// Returns a cell whose view has a transaction of its own, which no refresh disturbs.
    pub(crate) fn in_own_transaction() -> Self {
        Self { in_own_transaction: true, ..Self::default() }
    }

    /// Returns what the response was read from, if it was read from the report.
    pub(crate) fn provenance(&self) -> Option<Provenance> {
        self.view.get().map(ReportView::provenance)
    }
}

/// Returns the view that this response is read from.
pub(super) async fn report_view<'a>(context: &Context<'a>) -> async_graphql::Result<&'a ReportView> {
    let cell = context.data::<ViewCell>()?;
    let reader = context.data::<ReportReader>()?;
    let view = cell.view.get_or_try_init(async || match cell.in_own_transaction {
        true => reader.uncached_view().await,
        false => reader.view().await,
    });
    view.await.map_err(|failure| errors::of_report(&failure))
}
