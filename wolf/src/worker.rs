//! The one loop that refreshes.

use std::{error::Error, sync::Arc};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    error::WolfError,
    maintenance::Maintenance,
    refresh::{Outcome, Refresher},
    schedule::Schedule,
    turn::Turn,
};

/// Refreshes at once and then whenever `schedule` comes due, with maintenance in between, until `stop`; what has begun
/// ends before this returns. A refresh that fails is logged, and the next tick tries again.
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
    // Nobody has to wait for the first tick to see what was recorded before the start.
    bell.notify_one();
    let ringing = schedule.ring(Arc::clone(&bell), stop.child_token());
    let refreshing = refresh_when_rung(&refresher, maintenance, &schedule, &bell, &stop);
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
    stop: &CancellationToken,
) {
    loop {
        tokio::select! { biased; () = stop.cancelled() => return, () = bell.notified() => {} }
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
            Err(error) => warn!(error = &error as &dyn Error, "refresh failed, the next tick tries again"),
        }
        if let Err(error) = maintenance.run_if_due().await {
            warn!(error = &error as &dyn Error, "maintenance failed, it is tried again");
        }
    }
}
