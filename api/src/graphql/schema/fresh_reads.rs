//! The arguments by which a query says how fresh its report must be.

use std::{sync::Arc, time::Duration};

use async_graphql::{Context, Error};
use chrono::{DateTime, TimeDelta, Utc};
use reports::{ReportView, freshness::RequiredFreshness};

use super::{
    errors::{self, error},
    limits::ReadWaitMax,
    view_cell,
};
use crate::error_code::Code;

/// The names of the arguments that require a freshness.
const FRESHNESS_ARGUMENTS: [&str; 2] = ["notBefore", "maxStalenessSeconds"];
/// How long a query waits that does not say so, if the server allows as much.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The greatest staleness that a query may name, in seconds: 100 years.
const STALENESS_SECONDS_MAX: u32 = 3_155_760_000;

/// Returns whether a query with this text may require a freshness: it has the name of such an argument.
pub(crate) fn may_require_freshness(query: &str) -> bool {
    FRESHNESS_ARGUMENTS.iter().any(|argument| query.contains(argument))
}

/// What a query requires of its report, and for how long it waits for that.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FreshRead {
    pub(crate) required: RequiredFreshness,
    /// The longest wait for `not_before`; nothing is waited for where only the staleness is in the way.
    pub(crate) wait: Duration,
}

impl FreshRead {
    /// Reads the arguments of the field `report`.
    pub(super) fn parse(
        context: &Context<'_>,
        not_before: Option<DateTime<Utc>>,
        wait_ms: Option<i32>,
        max_staleness_seconds: Option<f64>,
    ) -> async_graphql::Result<Self> {
        let ReadWaitMax(wait_max) = *context.data::<ReadWaitMax>()?;
        let wait = match wait_ms.map(u64::try_from) {
            None if not_before.is_none() => wait_max,
            None => WAIT_DEFAULT.min(wait_max),
            Some(_) if not_before.is_none() => {
                return Err(error(
                    Code::BadUserInput,
                    "report.waitMs is how long to wait for report.notBefore, which is missing",
                ));
            }
            Some(Ok(wait_ms)) if Duration::from_millis(wait_ms) <= wait_max => Duration::from_millis(wait_ms),
            Some(_) => {
                let message = format!("report.waitMs must be 0 to {}", wait_max.as_millis());
                return Err(error(Code::BadUserInput, message));
            }
        };
        let staleness_max = max_staleness_seconds.map(staleness).transpose()?;
        Ok(Self { required: RequiredFreshness { not_before, staleness_max }, wait })
    }

    /// Returns the view that the response is read from, if it is as fresh as required.
    pub(super) async fn view<'a>(self, context: &Context<'a>) -> async_graphql::Result<&'a ReportView> {
        let view = view_cell::report_view(context).await?;
        if self.required.is_some() {
            // Marked, so that the query may wait.
            let marked = |failure| Error { source: Some(Arc::new(self)), ..errors::of_report(&failure) };
            view.require(self.required).map_err(marked)?;
        }
        Ok(view)
    }
}

fn staleness(seconds: f64) -> async_graphql::Result<TimeDelta> {
    let is_allowed = (0.0..=f64::from(STALENESS_SECONDS_MAX)).contains(&seconds);
    let staleness = Duration::try_from_secs_f64(seconds).ok().and_then(|staleness| TimeDelta::from_std(staleness).ok());
    staleness.filter(|_| is_allowed).ok_or_else(|| {
        let message = format!("report.maxStalenessSeconds must be 0 to {STALENESS_SECONDS_MAX}, not {seconds}");
        error(Code::BadUserInput, message)
    })
}
