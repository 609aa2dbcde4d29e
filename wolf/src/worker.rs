//! The worker: one loop that refreshes whenever the schedule wakes it.

use std::{error::Error, sync::Arc, time::Duration};

use storage::DatabaseKind;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    clock_steps::ClockWatch,
    error::WolfError,
    maintenance::Maintenance,
    refresh::LockMode,
    refresher::{Outcome, Refresher},
    requests::RefreshRequests,
    schedule::Schedule,
};

/// The pause after a refresh for which the database could not be reached.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Refreshes at once, then at every tick of `schedule`, and when `requests` are due, with maintenance in between, until
/// `stop`. A refresh under way ends before this returns. A refresh that fails is logged, and the next tick tries again.
///
/// Whatever the wall clock does: if the next tick was N seconds away when a refresh began, the next one begins after at
/// most N + 1 seconds.
///
/// # Errors
/// [`WolfError::Schedule`] when the scheduler does not run.
pub async fn run(
    refresher: Refresher,
    maintenance: Maintenance,
    schedule: Schedule,
    requests: RefreshRequests,
    stop: CancellationToken,
) -> Result<(), WolfError> {
    let wake = Arc::new(Notify::new());
    let clock_went_back = Notify::new();
    // Increments recorded before the start do not wait for the first tick.
    wake.notify_one();
    let ticking = schedule.notify_on_ticks(Arc::clone(&wake), &clock_went_back, stop.child_token());
    let refreshing = refresh_when_woken(&refresher, maintenance, &schedule, &wake, &clock_went_back, &stop);
    let mut refreshing = std::pin::pin!(refreshing);
    tokio::select! {
        ticked = ticking => ticked.map_err(WolfError::Schedule)?,
        () = requests.notify_when_due(&wake) => {}
        () = &mut refreshing => return Ok(()),
    }
    refreshing.await;
    Ok(())
}

async fn refresh_when_woken(
    refresher: &Refresher,
    mut maintenance: Maintenance,
    schedule: &Schedule,
    wake: &Notify,
    clock_went_back: &Notify,
    stop: &CancellationToken,
) {
    let clock = refresher.clock();
    let mut watch = ClockWatch::new(clock.now(), clock.monotonic());
    let (mut deadline, mut retry) = (None, None);
    loop {
        let timer = async {
            match deadline.into_iter().chain(retry).min() {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { biased; () = stop.cancelled() => return, () = wake.notified() => {}, () = timer => {} }
        let now = clock.now();
        retry = None;
        deadline = schedule.next_wake_within(now).and_then(|within| Instant::now().checked_add(within));
        if let Some(back) = watch.check(now, clock.monotonic()) {
            clock_went_back.notify_one();
            // On SQLite this clock is the database's, and the refresh logs it.
            if refresher.database_kind() != DatabaseKind::Sqlite {
                warn!(
                    clock.back_ms = back.num_milliseconds(),
                    "this machine's clock went back; the schedule goes by it as it is now"
                );
            }
        }
        // Outside of select!, so that nothing cancels a refresh under way.
        match refresher.refresh(LockMode::Try, Some(schedule)).await {
            Ok(Outcome::Refreshed(done)) if done.rows_changed == 0 => debug!(refresh.id = done.id, "nothing was stale"),
            Ok(Outcome::Refreshed(done)) => info!(
                refresh.id = done.id,
                refresh.hours = done.hours,
                refresh.rows = done.rows_changed,
                refresh.duration_ms = done.duration.num_milliseconds(),
                "report refreshed"
            ),
            Ok(Outcome::Standby) => {
                debug!("another process refreshes, standing by");
                continue;
            }
            Err(error) => {
                warn!(error = &error as &dyn Error, "refresh failed, the next tick tries again");
                // The next tick may be far away.
                retry = error.is_transient().then(|| Instant::now() + RETRY_PAUSE);
            }
        }
        if let Err(error) = maintenance.run_if_due().await {
            warn!(error = &error as &dyn Error, "maintenance failed, it is tried again");
        }
    }
}
