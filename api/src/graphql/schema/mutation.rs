//! The mutation `recordPageViews`.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use entity::Hour;
use serde::Deserialize;
use storage::clock;

use super::{
    errors::{self, error},
    scalars::SafeInt,
};
use crate::{access::RecordingTerms, error_code::Code};
use increments::{
    Client, IdempotencyKey, Increment, PageName, Recorder, RecordingLimits, Request, Title, ValidationError, check_at,
};

/// The names of the mutation and of its types in the schema.
pub(crate) const MUTATION: &str = "recordPageViews";
pub(crate) const MUTATION_INPUT: &str = "RecordPageViewsInput";
pub(crate) const MUTATION_PAYLOAD: &str = "RecordPageViewsPayload";

/// The views of an increment that does not say how many.
const ONE_VIEW: SafeInt = SafeInt(1);

fn one_view() -> SafeInt {
    ONE_VIEW
}

/// The mutation that records.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RecordingMutation;

/// Increments that are recorded together or not at all. On a Citus cluster each node records those of its pages. If a node is lost
/// meanwhile, a retry with the same `idempotencyKey` records the rest. Without a key the error is `PARTLY_RECORDED`.
#[derive(Debug, Deserialize, InputObject)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecordPageViewsInput {
    /// At most 10,000; fewer without a token.
    increments: Vec<PageViewIncrement>,
    /// Counts once however often its client sends it, for 24 hours. At most 128 characters.
    idempotency_key: Option<String>,
}

/// Views to add to a page.
#[derive(Debug, Deserialize, InputObject)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PageViewIncrement {
    /// The page's name, its path for instance: 1 to 1,024 bytes, no control characters, bidirectional ones included.
    page: String,
    /// How many: 1 to 1,000,000; fewer without a token.
    #[graphql(default_with = "ONE_VIEW")]
    #[serde(default = "one_view")]
    views: SafeInt,
    /// When the page was viewed; now when left out.
    at: Option<DateTime<Utc>>,
    /// The page's title, shown from now on: at most 1,024 bytes, no control characters, bidirectional ones included. An
    /// empty one, and one of spaces only, is the same as none: the page keeps the title that it has. Without a token the
    /// title is for a page that has none.
    title: Option<String>,
}

/// What was recorded.
#[derive(Debug, SimpleObject)]
pub(crate) struct RecordPageViewsPayload {
    /// How many increments there were.
    pub(crate) increments: i32,
    /// The sum of their views.
    pub(crate) views: SafeInt,
    /// In the report once `freshness.asOf` is at or after it.
    pub(crate) recorded_at: DateTime<Utc>,
    /// True when the idempotency key had been seen: nothing was counted again.
    pub(crate) duplicate: bool,
}

#[Object]
impl RecordingMutation {
    /// Record page views. Returns after they are committed.
    async fn record_page_views(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to record, all of it or nothing.")] input: RecordPageViewsInput,
    ) -> async_graphql::Result<RecordPageViewsPayload> {
        record(context.data::<Recorder>()?, input, context.data::<RecordingTerms>()?.clone()).await
    }
}

/// Checks `input` and records it on these `terms`.
///
/// Errs when a field is invalid, there are too many increments, or recording fails.
pub(crate) async fn record(
    recorder: &Recorder,
    input: RecordPageViewsInput,
    terms: RecordingTerms,
) -> async_graphql::Result<RecordPageViewsPayload> {
    let request = input.parse(clock::process_now(), terms.limits, terms.client.clone())?;
    let (increments, views) = (request.len(), request.views());
    terms.count(u32::try_from(increments).unwrap_or(u32::MAX)).map_err(errors::of_auth)?;
    let recorded = recorder.record(request).await.map_err(|failure| errors::of_record(&failure))?;
    Ok(RecordPageViewsPayload {
        // There are at most 10,000 increments.
        increments: i32::try_from(increments).unwrap_or(i32::MAX),
        views: SafeInt(views),
        recorded_at: recorded.recorded_at,
        duplicate: recorded.duplicate,
    })
}

impl RecordPageViewsInput {
    /// Checks all fields; the first invalid one refuses the whole request.
    fn parse(self, now: DateTime<Utc>, limits: RecordingLimits, client: Client) -> async_graphql::Result<Request> {
        let size = self.increments.len();
        let size_max = limits.increments_max;
        if size == 0 || size > size_max {
            let remark = limits.remark();
            let message = format!("input.increments must be 1 to {size_max} increments{remark}, not {size}");
            return Err(error(Code::BadUserInput, message));
        }
        let key = self.idempotency_key.map(|key| IdempotencyKey::of_client(key, client)).transpose();
        let key = key.map_err(|invalid| errors::of_invalid(&invalid, "input."))?;
        let increments = self.increments.into_iter().enumerate().map(|(index, increment)| {
            let parsed = increment.parse(now, &limits);
            parsed.map_err(|invalid| errors::of_invalid(&invalid, &format!("input.increments[{index}].")))
        });
        let request = Request::new(increments.collect::<Result<_, _>>()?, key);
        Ok(if limits.replaces_titles { request } else { request.without_replacing_titles() })
    }
}

impl PageViewIncrement {
    fn parse(self, now: DateTime<Utc>, limits: &RecordingLimits) -> Result<Increment, ValidationError> {
        Ok(Increment {
            page: PageName::new(self.page)?,
            views: limits.check_views(self.views.0)?,
            at: self.at.map(|at| check_at(at, now, limits.back_dating)).transpose()?,
            hour: Hour::containing(self.at.unwrap_or(now)),
            title: self.title.filter(|title| !title.trim().is_empty()).map(Title::new).transpose()?,
        })
    }
}
