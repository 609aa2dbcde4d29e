//! Whether the process lives, and whether it can do its work.

use std::error::Error;

use axum::{extract::State, http::StatusCode};
use tracing::warn;

use super::App;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// The database answers and has the tables, and the process is not about to stop.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match app.feed.read().await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            warn!(error = &error as &dyn Error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database can't be used\n")
        }
    }
}
