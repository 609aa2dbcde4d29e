//! Lets queries wait for a report that is as fresh as they require.
//!
//! The resolvers only check. A query that is not fresh enough ends, with everything that it holds, and is executed again
//! once the report is: so a waiting query holds its request and nothing else, like a subscriber.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{Response, ServerError};
use reports::Reports;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{errors::request_error, schema::FreshRead, turn::Turn};
use crate::error_code::Code;

/// The pause before a query is executed again that was not fresh enough although it had waited: its snapshot may be that of
/// a standby that is behind another one.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The place where queries wait. A cheap handle: clone it.
#[derive(Clone)]
pub(super) struct WaitingReads {
    reports: Option<Reports>,
    /// The most queries that wait at the same time.
    waiting_max: u32,
    free: Arc<Semaphore>,
    /// Ends all waiting.
    stop: CancellationToken,
}

/// What to do with a query after it was not fresh enough.
pub(super) enum Verdict {
    /// To execute it again.
    Again,
    /// To send its error.
    TooLate,
    /// To send this response.
    Refused(Box<Response>),
    /// To send nothing: its client does not want it any more.
    Cancelled,
}

impl WaitingReads {
    pub(super) fn new(reports: Option<&Reports>, waiting_max: u32, stop: CancellationToken) -> Self {
        let free = usize::try_from(waiting_max).unwrap_or(usize::MAX);
        Self { reports: reports.cloned(), waiting_max, free: Arc::new(Semaphore::new(free)), stop }
    }

    /// Waits until the report has reached what `read` requires, at the latest until its wait from `begun` on is over. At the
    /// first `attempt` it asks the database before: this process may know of less. Meanwhile others may have its `turn`.
    pub(super) async fn wait(&self, read: FreshRead, begun: Instant, attempt: u32, turn: Option<&Turn>) -> Verdict {
        let Some(Reports { feed, .. }) = &self.reports else { return Verdict::TooLate };
        let known = if attempt == 0 { feed.read_together().await } else { feed.known() };
        match known.map(|freshness| {
            (read.required.is_reached_by(&freshness), read.required.is_met_by(&freshness, Instant::now()))
        }) {
            Some((_, true)) if attempt == 0 => return Verdict::Again,
            // Reached, and still too stale.
            Some((true, false)) => return Verdict::TooLate,
            _ => {}
        }
        let Some(deadline) = begun.checked_add(read.wait).filter(|deadline| *deadline > Instant::now()) else {
            return Verdict::TooLate;
        };
        let Ok(_permit) = self.free.try_acquire() else {
            let message = format!("{} queries wait already, and there is no room for more", self.waiting_max);
            let refusal = Response::from_errors(vec![request_error(Code::Overloaded, message)]);
            return Verdict::Refused(Box::new(refusal));
        };
        let reached = async {
            if attempt > 0 {
                sleep(RETRY_PAUSE).await;
            }
            feed.reaches(read.required).await
        };
        let reached = self.stop.run_until_cancelled(timeout_at(deadline.into(), reached));
        let reached = match turn {
            None => reached.await,
            Some(turn) => {
                turn.give_back();
                let reached = turn.stop.run_until_cancelled(reached).await;
                let Some(reached) = reached.filter(|_| !turn.stop.is_cancelled()) else { return Verdict::Cancelled };
                if !turn.take().await {
                    return Verdict::Cancelled;
                }
                reached
            }
        };
        match reached {
            Some(Ok(true)) => Verdict::Again,
            _ => Verdict::TooLate,
        }
    }

    /// Waits for the turn of a query that has waited, among the events that are executed.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        match &self.reports {
            Some(reports) => reports.reader.turn().await,
            None => None,
        }
    }
}

/// Returns what the fields of `response` require that were not fresh enough, and the shortest of their waits; `None` if there
/// are none.
pub(super) fn not_fresh_enough(response: &Response) -> Option<FreshRead> {
    let reads = response.errors.iter().filter_map(ServerError::source::<FreshRead>).copied();
    reads.reduce(|one, other| FreshRead { required: one.required.and(other.required), wait: one.wait.min(other.wait) })
}
