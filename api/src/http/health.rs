//! Whether the process lives, and whether it can do its work.

use std::{error::Error, time::Duration};

use axum::{extract::State, http::StatusCode};
use tokio::time::timeout;
use tracing::warn;

use super::App;

/// Who asks waits a few seconds only.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The process answers.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// The database answers and has the tables, and the process is not about to stop.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match timeout(ANSWER_MAX, app.feed.read()).await {
        Err(_elapsed) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        Ok(Err(error)) => {
            warn!(error = &error as &dyn Error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database can't be used\n")
        }
    }
}
