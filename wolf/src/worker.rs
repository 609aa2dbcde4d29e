//! The one loop that refreshes.

use std::{error::Error, sync::Arc, time::Duration};

use entity::DatabaseKind;
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
    refresh::{Outcome, Refresher},
    schedule::Schedule,
    turn::Turn,
};

/// The pause after a refresh for which the database could not be reached.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Refreshes at once and then whenever `schedule` comes due, with maintenance in between, until `stop`; what has begun
/// ends before this returns. A refresh that fails is logged, and the next tick tries again.
///
/// Whatever the clock does, the next refresh begins no later than the schedule's next tick was away, and a second, after
/// the last one has begun.
///
/// # Errors
/// [`WolfError::Schedule`] when the scheduler does not run.
pub async fn run(
    refresher: Refresher,
    maintenance: Maintenance,
    schedule: Schedule,
    stop: CancellationToken,
) -> Result<(), WolfError> {
    let bell = Arc::new(Notify::new());
    let clock_went_back = Notify::new();
    // Nobody has to wait for the first tick to see what was recorded before the start.
    bell.notify_one();
    let ringing = schedule.ring(Arc::clone(&bell), &clock_went_back, stop.child_token());
    let refreshing = refresh_when_rung(&refresher, maintenance, &schedule, &bell, &clock_went_back, &stop);
    let mut refreshing = std::pin::pin!(refreshing);
    tokio::select! {
        rung = ringing => rung.map_err(WolfError::Schedule)?,
        () = &mut refreshing => return Ok(()),
    }
    refreshing.await;
    Ok(())
}

async fn refresh_when_rung(
    refresher: &Refresher,
    mut maintenance: Maintenance,
    schedule: &Schedule,
    bell: &Notify,
    clock_went_back: &Notify,
    stop: &CancellationToken,
) {
    let clock = refresher.clock();
    let mut watch = ClockWatch::new(clock.now(), clock.monotonic());
    let (mut alarm, mut retry) = (None, None);
    loop {
        let rung_by_alarm = async {
            match alarm.into_iter().chain(retry).min() {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { biased; () = stop.cancelled() => return, () = bell.notified() => {}, () = rung_by_alarm => {} }
        let now = clock.now();
        retry = None;
        alarm = schedule.rings_within(now).and_then(|within| Instant::now().checked_add(within));
        if let Some(back) = watch.look(now, clock.monotonic()) {
            clock_went_back.notify_one();
            // On SQLite this clock is the database's, of which the refresh tells.
            if refresher.kind() != DatabaseKind::Sqlite {
                warn!(
                    clock.back_ms = back.num_milliseconds(),
                    "this machine's clock went back; the schedule goes by it as it is now"
                );
            }
        }
        // Outside of select!: nothing cancels a refresh that has begun.
        match refresher.refresh(Turn::Try, Some(schedule)).await {
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
                // The next tick may be far away, and whatever was in the way gone in a moment.
                retry = error.is_unavailable().then(|| Instant::now() + RETRY_PAUSE);
            }
        }
        if let Err(error) = maintenance.run_if_due().await {
            warn!(error = &error as &dyn Error, "maintenance failed, it is tried again");
        }
    }
}
