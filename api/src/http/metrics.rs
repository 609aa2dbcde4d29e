//! `/metrics`: what is measured, as Prometheus reads it.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;

use super::App;

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

/// The figures of this moment, and what was counted until now. Not found where nothing is measured.
pub(super) async fn expose(State(app): State<App>) -> Response {
    let Some(Exposition(write)) = &app.exposition else { return StatusCode::NOT_FOUND.into_response() };
    app.recorder.observe();
    app.reader.observe();
    app.feed.observe();
    app.places.observe();
    ([CONTENT_TYPE], write().await).into_response()
}
