//! The cron schedule of refreshes. The only module that uses the cron crates.
//!
//! The scheduler starts a job at every tick, however long the last one takes. So its job only notifies the worker, which
//! refreshes ([`crate::worker`]).
//!
//! The scheduler goes by the wall clock: when that is set back, it waits until its old time returns. So the worker has a
//! timer of its own and restarts the job.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use croner::{
    Cron,
    errors::CronError,
    parser::{CronParser, Seconds},
};
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

/// How late the scheduler starts a job at most: it checks twice a second.
const LATE_MAX: Duration = Duration::from_secs(1);

/// A cron expression of six fields, in UTC.
#[derive(Clone)]
pub struct Schedule {
    cron: Cron,
    expression: String,
}

/// Why a schedule can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The expression can't be read.
    #[error(
        "a schedule has six fields, 'second minute hour day month weekday', \
         for instance '*/10 * * * * *' (every ten seconds) or '0 */5 * * * *' (every five minutes): {0}"
    )]
    Expression(CronError),
    /// No instant matches the expression.
    #[error("the schedule never comes due: {0}")]
    Never(CronError),
    /// The scheduler does not run.
    #[error("the scheduler does not run")]
    Scheduler(#[source] JobSchedulerError),
}

/// The next two ticks of a schedule.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// The next one.
    pub(crate) next: DateTime<Utc>,
    /// The one after that.
    pub(crate) after_next: DateTime<Utc>,
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expression: &str) -> Result<Self, ScheduleError> {
        // The scheduler's own options: what is accepted here is accepted there, and means the same.
        let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        let cron = parser.parse(expression).map_err(ScheduleError::Expression)?;
        let schedule = Self { cron, expression: expression.to_owned() };
        schedule.ticks_after(storage::clock::process_now())?;
        Ok(schedule)
    }
}

impl Schedule {
    /// The two ticks that follow `now`.
    pub(crate) fn ticks_after(&self, now: DateTime<Utc>) -> Result<Ticks, ScheduleError> {
        // The cron crate would carry the fraction of the second on into its answer.
        let now = now.trunc_subsecs(0);
        let next = self.cron.find_next_occurrence(&now, false).map_err(ScheduleError::Never)?;
        // A schedule may come due only once more: then it is overdue as soon as that has passed.
        let after_next = self.cron.find_next_occurrence(&next, false).unwrap_or(next);
        Ok(Ticks { next, after_next })
    }

    /// Returns the time from `now` within which the scheduler wakes the worker, if the clock goes on evenly. Returns `None`
    /// if the schedule has no further tick.
    pub(crate) fn next_wake_within(&self, now: DateTime<Utc>) -> Option<Duration> {
        let next = self.ticks_after(now).ok()?.next;
        Some((next - now).to_std().unwrap_or_default() + LATE_MAX)
    }

    /// Notifies `wake` at every tick, until `stop`. Restarts the job when `clock_went_back` is notified.
    pub(crate) async fn notify_on_ticks(
        &self,
        wake: Arc<Notify>,
        clock_went_back: &Notify,
        stop: CancellationToken,
    ) -> Result<(), ScheduleError> {
        let mut scheduler = JobScheduler::new().await.map_err(ScheduleError::Scheduler)?;
        let mut job = scheduler.add(self.job(&wake)?).await.map_err(ScheduleError::Scheduler)?;
        scheduler.start().await.map_err(ScheduleError::Scheduler)?;
        loop {
            tokio::select! { () = stop.cancelled() => break, () = clock_went_back.notified() => {} }
            // A new job computes its next tick from the present time. (A new scheduler would leak tasks of the old one.)
            scheduler.remove(&job).await.map_err(ScheduleError::Scheduler)?;
            job = scheduler.add(self.job(&wake)?).await.map_err(ScheduleError::Scheduler)?;
        }
        scheduler.shutdown().await.map_err(ScheduleError::Scheduler)
    }

    fn job(&self, wake: &Arc<Notify>) -> Result<Job, ScheduleError> {
        let wake = Arc::clone(wake);
        let job = Job::new_async(self.expression.as_str(), move |_, _| {
            let wake = Arc::clone(&wake);
            Box::pin(async move { wake.notify_one() })
        });
        job.map_err(ScheduleError::Scheduler)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schedule").field(&self.expression).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_two_ticks_follow_the_expression() {
        let schedule: Schedule = "*/10 * * * * *".parse().unwrap();
        let ticks = schedule.ticks_after("2026-11-22T20:00:03.725Z".parse().unwrap()).unwrap();
        assert_eq!(ticks.next, "2026-11-22T20:00:10Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(ticks.after_next, "2026-11-22T20:00:20Z".parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn worker_is_woken_at_most_a_second_after_the_tick() {
        let schedule: Schedule = "0 0 * * * *".parse().unwrap();
        let within = schedule.next_wake_within("2026-11-22T20:59:58.250Z".parse().unwrap());
        assert_eq!(within, Some(Duration::from_millis(1_750) + LATE_MAX));
    }

    #[test]
    fn wrong_expression_is_refused_with_an_example() {
        for wrong in ["", "* * * * *", "every minute", "61 * * * * *", "* * * 32 * *"] {
            let error = wrong.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains("'*/10 * * * * *'"), "{wrong}: {error}");
        }
        assert!(matches!(
            "0 0 0 31 2 *".parse::<Schedule>(),
            Err(ScheduleError::Never(_) | ScheduleError::Expression(_))
        ));
    }
}
