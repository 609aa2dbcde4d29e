//! The view of the report that the resolvers of one response share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_graphql::{Context, PathSegment, Pos, ServerError};
use reports::{Provenance, ReportReader, ReportView};
use tokio::sync::OnceCell;

use super::errors;

/// The view that one response is read from, so that every report in it shows the same version. Created at first use.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewCell {
    view: Arc<OnceCell<ReportView>>,
    in_own_transaction: bool,
    /// Whether the response shows something that is not of the report.
    shows_more: Arc<AtomicBool>,
}

impl ViewCell {
    /// Returns a cell whose view has a transaction of its own, which no refresh disturbs.
    pub(crate) fn in_own_transaction() -> Self {
        Self { in_own_transaction: true, ..Self::default() }
    }

    /// Returns a cell of this view.
    pub(crate) fn of(view: ReportView) -> Self {
        Self { view: Arc::new(OnceCell::new_with(Some(view))), ..Self::default() }
    }

    /// Returns what the response was read from, if it was read from the report alone.
    pub(crate) fn provenance(&self) -> Option<Provenance> {
        let view = self.view.get().filter(|_| !self.shows_more.load(Ordering::Relaxed));
        view.map(ReportView::provenance)
    }

    /// Checks that the report is still as fresh as the response's fields require.
    ///
    /// Errs with an error of the field `report`.
    pub(crate) fn check_freshness(&self) -> Result<(), ServerError> {
        let Some(Err(stale)) = self.view.get().map(ReportView::check_freshness) else { return Ok(()) };
        let failure = errors::of_report(&stale).into_server_error(Pos::default());
        Err(ServerError { path: vec![PathSegment::Field("report".to_owned())], locations: Vec::new(), ..failure })
    }

    /// Notes that the response shows something that is not of the report: it may change without a refresh.
    pub(super) fn note_more(&self) {
        self.shows_more.store(true, Ordering::Relaxed);
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
