//! The root types of subscriptions.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use async_graphql::{Context, MergedSubscription, Subscription};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use reports::{ReportError, ReportReader, ReportView, freshness::FreshnessFeed};
use tokio::sync::mpsc;

use super::{errors, freshness::Freshness, inputs::ReportFilter, job_fields::JobSubscriptions, report::Report};

/// What can be watched.
#[derive(Copy, Clone, Debug, MergedSubscription)]
#[graphql(name = "Subscription")]
pub(crate) struct Subscriptions(pub(super) ReportSubscriptions, pub(super) JobSubscriptions);

/// What can be watched.
#[derive(Copy, Clone, Debug, MergedSubscription)]
#[graphql(name = "Subscription")]
pub(crate) struct SubscriptionsOfIncrements(pub(super) JobSubscriptions);

/// What can be watched.
#[derive(Copy, Clone, Debug, MergedSubscription)]
#[graphql(name = "Subscription")]
pub(crate) struct SubscriptionsOfReports(pub(super) ReportSubscriptions);

/// The subscriptions of the report, where it is read.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ReportSubscriptions;

/// The views that the events of a report are read from, given by the executor of the subscription.
#[derive(Debug)]
pub(crate) struct GivenViews(Mutex<Option<mpsc::Receiver<EventView>>>);

/// The view of an event, or why there is none.
pub(crate) type EventView = Result<ReportView, ReportError>;

impl GivenViews {
    pub(crate) fn new(views: mpsc::Receiver<EventView>) -> Self {
        Self(Mutex::new(Some(views)))
    }

    fn take(&self) -> Option<BoxStream<'static, EventView>> {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(stream::unfold(views, async |mut views| Some((views.recv().await?, views))).boxed())
    }
}

#[Subscription]
impl ReportSubscriptions {
    /// The current value first, then one on every change.
    async fn freshness(&self, context: &Context<'_>) -> async_graphql::Result<impl Stream<Item = Freshness> + use<>> {
        Ok(context
            .data::<FreshnessFeed>()?
            .subscribe()
            .map(|freshness| Freshness::At(Box::new(freshness), Instant::now())))
    }
    /// The report now, and again after every refresh that succeeded, even if nothing in it has changed: `asOf` has. Each
    /// event is of one moment, with the period as it is then; who is slow skips to the newest.
    async fn report(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The last 7 days of all pages, in UTC, when left out.")] filter: Option<ReportFilter>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Report>> + use<>> {
        let filter = filter.unwrap_or_default().parse()?;
        let views = match context.data_opt::<GivenViews>().and_then(GivenViews::take) {
            Some(given) => given,
            None => context.data::<ReportReader>()?.follow().boxed(),
        };
        Ok(views.then(move |view| {
            let filter = filter.clone();
            async move { Report::new(view.map_err(|failure| errors::of_report(&failure))?, filter, true).await }
        }))
    }
}
