//! Serves `/metrics` in Prometheus's text format.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderName, header},
    response::IntoResponse,
};
use futures_util::future::BoxFuture;

use super::{response_cache::ResponseCache, subscriber_limits::SubscriberLimits};
use increments::Recorder;
use reports::Reports;

/// The content type of Prometheus's text format.
const CONTENT_TYPE: (HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");

/// Renders all metrics of the process as text.
#[derive(Clone)]
pub struct MetricsRenderer(Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>);

impl MetricsRenderer {
    /// Returns a renderer that calls `write` for each request.
    pub fn new<F: Future<Output = String> + Send + 'static>(write: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(write())))
    }
}

impl fmt::Debug for MetricsRenderer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MetricsRenderer").finish_non_exhaustive()
    }
}

/// The renderer, and the parts whose current figures are read before it is called.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) metrics_renderer: MetricsRenderer,
    pub(super) recorder: Option<Recorder>,
    pub(super) reports: Option<Reports>,
    pub(super) subscriber_limits: SubscriberLimits,
    pub(super) responses: ResponseCache,
}

/// Serves `/metrics`: the counters so far, and gauges that are read now.
pub(super) async fn expose(State(metrics): State<Metrics>) -> impl IntoResponse {
    if let Some(recorder) = &metrics.recorder {
        recorder.observe();
    }
    if let Some(Reports { reader, feed }) = &metrics.reports {
        reader.observe().await;
        feed.observe();
    }
    if metrics.recorder.is_some() || metrics.reports.is_some() {
        metrics.subscriber_limits.observe();
        metrics.responses.observe().await;
    }
    let MetricsRenderer(write) = &metrics.metrics_renderer;
    ([CONTENT_TYPE], write().await)
}
