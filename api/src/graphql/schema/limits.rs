//! What this server allows.

use std::time::Duration;

use async_graphql::SimpleObject;
use entity::page_alias;
use increments::{
    INCREMENTS_PER_REQUEST_MAX, KEY_CHARACTERS_MAX, PAGE_BYTES_MAX, RecordingLimits, TITLE_BYTES_MAX, VIEWS_MAX,
};
use jobs::{CORRECTION_MAX, JOBS_WAITING_MAX, REASON_BYTES_MAX};
use reports::POINTS_MAX;

use super::{
    COMPLEXITY_MAX, DEPTH_MAX,
    inputs::{CONDITIONS_MAX, LISTED_MAX, NAMES_MAX, TEXT_BYTES_MAX},
    query_limits::{ALIASES_MAX, QUERY_BYTES_MAX},
    response_budget::LIST_FIELDS_MAX,
    scalars::SafeInt,
};

/// The longest wait for a fresher report.
#[derive(Copy, Clone, Debug)]
pub(super) struct ReadWaitMax(pub(super) Duration);

/// The limits that are set for this server.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct ServerLimits {
    /// The most bytes of a request's body.
    pub(crate) request_bytes: u32,
    /// The most bytes of an answer, or of an event of a subscription.
    pub(crate) answer_bytes: u32,
    /// The most operations under way on a WebSocket.
    pub(crate) socket_operations: u32,
    /// The most milliseconds that a query may wait for a fresher report.
    pub(crate) read_wait_ms: u32,
    /// The most queries that wait for a fresher report.
    pub(crate) waiting_queries: u32,
    /// The longest time that a query or mutation may take.
    pub(crate) time_max: Duration,
    /// Those of a request without a token, if it has others.
    pub(crate) without_token: Option<RecordingLimits>,
}

/// What this server allows. What exceeds a limit is refused with an error that names it, and nothing is done by half.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct Limits {
    /// The most bytes of a request's body.
    request_bytes: SafeInt,
    /// Of a request that records, with a token or where none is needed.
    recording: RecordingBounds,
    /// The same for requests without a token; null where that is no difference.
    without_token: Option<RecordingBounds>,
    /// The most bytes of a page's name.
    page_bytes: SafeInt,
    /// The most bytes of a page's title.
    title_bytes: SafeInt,
    /// The most characters of an idempotency key.
    idempotency_key_characters: SafeInt,
    /// The most bytes of a job's reason.
    reason_bytes: SafeInt,
    /// The most views that one correction adds or takes away.
    correction_views: SafeInt,
    /// The most jobs that may wait.
    jobs_waiting: SafeInt,
    /// The most aliases of pages.
    page_aliases: SafeInt,
    /// The most names in a filter, and in a job.
    filter_names: SafeInt,
    /// The most conditions of a combined filter.
    filter_conditions: SafeInt,
    /// The most bytes of a text in a filter.
    filter_text_bytes: SafeInt,
    /// The most pages, or sections, in one list.
    listed: SafeInt,
    /// The most points of a series.
    series_points: SafeInt,
    /// The most fields that the points, pages and sections of an answer have in all.
    list_fields: SafeInt,
    /// The most bytes of an answer, or of an event of a subscription.
    answer_bytes: SafeInt,
    /// The most bytes of a query's text.
    query_bytes: SafeInt,
    /// The deepest nesting of a query's fields.
    query_depth: SafeInt,
    /// The most fields of a query, those of a list counted once for each item that it may have.
    query_complexity: SafeInt,
    /// The most aliases and repeated fields of a query.
    query_aliases: SafeInt,
    /// The most operations under way on a WebSocket.
    socket_operations: SafeInt,
    /// The longest that a query may wait for a fresher report, in milliseconds.
    wait_ms: SafeInt,
}

/// What one request may record.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(name = "RecordingLimits")]
pub(crate) struct RecordingBounds {
    /// The most increments.
    increments: SafeInt,
    /// The most views of an increment.
    views: SafeInt,
}

impl Limits {
    pub(super) fn new(server: ServerLimits) -> Self {
        let recording = |increments, views| RecordingBounds { increments: number(increments), views: SafeInt(views) };
        Self {
            request_bytes: SafeInt(server.request_bytes.into()),
            recording: recording(INCREMENTS_PER_REQUEST_MAX, VIEWS_MAX),
            without_token: server.without_token.map(|limits| recording(limits.increments_max, limits.views_max)),
            page_bytes: number(PAGE_BYTES_MAX),
            title_bytes: number(TITLE_BYTES_MAX),
            idempotency_key_characters: number(KEY_CHARACTERS_MAX),
            reason_bytes: number(REASON_BYTES_MAX),
            correction_views: SafeInt(CORRECTION_MAX),
            jobs_waiting: SafeInt(i64::try_from(JOBS_WAITING_MAX).unwrap_or(i64::MAX)),
            page_aliases: SafeInt(i64::try_from(page_alias::ALIASES_MAX).unwrap_or(i64::MAX)),
            filter_names: number(NAMES_MAX),
            filter_conditions: number(CONDITIONS_MAX),
            filter_text_bytes: number(TEXT_BYTES_MAX),
            listed: SafeInt(LISTED_MAX.into()),
            series_points: number(POINTS_MAX),
            list_fields: number(LIST_FIELDS_MAX),
            answer_bytes: SafeInt(server.answer_bytes.into()),
            query_bytes: number(QUERY_BYTES_MAX),
            query_depth: number(DEPTH_MAX),
            query_complexity: number(COMPLEXITY_MAX),
            query_aliases: number(ALIASES_MAX),
            socket_operations: SafeInt(server.socket_operations.into()),
            wait_ms: SafeInt(server.read_wait_ms.into()),
        }
    }
}

fn number(limit: usize) -> SafeInt {
    SafeInt(i64::try_from(limit).unwrap_or(i64::MAX))
}
