//! Refreshes that are asked for between two ticks of the schedule.
//!
//! A request is a time in `refresh_requests`, and it is met once a successful refresh has an `as_of` as late. So a refresh
//! that began before the request does not meet it, all requests that wait share the next refresh, and nothing is lost when
//! a Wolf is killed.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use entity::{refresh_request, report_refresh};
use sea_orm::DbErr;
use storage::{Connections, Database};
use tokio::{sync::Notify, time::sleep};
use tracing::debug;

/// The time between two looks for a request.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// The time after which the refresh for a request is tried again that was not met: it failed, or began just before.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Looks for requests, and wakes the worker.
#[derive(Debug)]
pub struct RefreshRequests {
    db: Connections,
    /// The shortest time between two refreshes that were asked for.
    pause: Duration,
    /// The last request that was met.
    met: Option<DateTime<Utc>>,
    /// The last request for which the worker was woken, and when.
    woken: Option<(DateTime<Utc>, Instant)>,
}

impl RefreshRequests {
    /// Returns the requests to refresh the report of `database`, met at most once in `pause`.
    #[must_use]
    pub fn new(database: &Database, pause: Duration) -> Self {
        Self { db: database.readers.clone(), pause, met: None, woken: None }
    }

    /// Notifies `wake` whenever a refresh is due that was asked for.
    pub(crate) async fn notify_when_due(mut self, wake: &Notify) {
        loop {
            sleep(LOOK_PERIOD).await;
            match self.due().await {
                Ok(Some(request)) if self.may_wake(request) => {
                    debug!(request.at = %request, "a refresh is asked for");
                    self.woken = Some((request, Instant::now()));
                    wake.notify_one();
                }
                Ok(_) => {}
                Err(error) => debug!(error = &error as &dyn Error, "requests for a refresh can't be read"),
            }
        }
    }

    /// Returns the last request, if it is not met.
    async fn due(&mut self) -> Result<Option<DateTime<Utc>>, DbErr> {
        let requested = refresh_request::read(&self.db).await?.requested_at;
        if requested <= self.met {
            return Ok(None);
        }
        let refreshed = report_refresh::newest_successful(&self.db).await?.and_then(|row| row.as_of);
        if requested <= refreshed {
            self.met = requested;
            return Ok(None);
        }
        Ok(requested)
    }

    fn may_wake(&self, request: DateTime<Utc>) -> bool {
        self.woken.is_none_or(|(before, at)| {
            let pause = if before == request { self.pause.max(RETRY_PAUSE) } else { self.pause };
            at.elapsed() >= pause
        })
    }
}
