//! `/metrics`: what is measured, as Prometheus reads it.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderName, header},
    response::IntoResponse,
};
use futures_util::future::BoxFuture;

use super::{Reports, kept::KeptAnswers, subscribers::Places};
use crate::increments::Recorder;

/// Of Prometheus's text format.
const CONTENT_TYPE: (HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");

/// Writes down all metrics of the process.
#[derive(Clone)]
pub struct Exposition(Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>);

impl Exposition {
    /// One that is written by `write`, whenever somebody asks.
    pub fn new<F: Future<Output = String> + Send + 'static>(write: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(write())))
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exposition").finish_non_exhaustive()
    }
}

/// What is exposed, and whose figures are read for it.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) exposition: Exposition,
    pub(super) recorder: Option<Recorder>,
    pub(super) reports: Option<Reports>,
    pub(super) places: Places,
    pub(super) kept: KeptAnswers,
}

/// What was counted until now, and the figures of this moment.
pub(super) async fn expose(State(metrics): State<Metrics>) -> impl IntoResponse {
    if let Some(recorder) = &metrics.recorder {
        recorder.observe();
    }
    if let Some(Reports { reader, feed }) = &metrics.reports {
        reader.observe().await;
        feed.observe();
    }
    if metrics.recorder.is_some() || metrics.reports.is_some() {
        metrics.places.observe();
        metrics.kept.observe().await;
    }
    let Exposition(write) = &metrics.exposition;
    ([CONTENT_TYPE], write().await)
}
