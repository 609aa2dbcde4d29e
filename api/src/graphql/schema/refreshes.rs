//! The history of refreshes.

use crate::error_code::Code;
use async_graphql::{
    ComplexObject, Context, ID, SimpleObject,
    connection::{CursorType, OpaqueCursor, PageInfo},
};
use chrono::{DateTime, Utc};
use reports::freshness::{self, FreshnessFeed};
use serde::{Deserialize, Serialize};

use super::{
    ViewCell,
    errors::{self, error},
    inputs,
    response_budget::{ItemCost, ROOM_WAIT_MAX, ResponseBudget},
    scalars::SafeInt,
};

/// One run that brought the report up to date, or failed to.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct Refresh {
    /// As `Freshness.refreshId`; later refreshes have greater ones. That of a refresh under way changes with its progress.
    id: ID,
    /// Every increment with `recordedAt` at or before this was in the report after it. Null before it has ended, and if it
    /// failed.
    as_of: Option<DateTime<Utc>>,
    /// When it began.
    started_at: DateTime<Utc>,
    /// When it ended; null while it is under way, and if its process has died.
    finished_at: Option<DateTime<Utc>>,
    /// How long it took; null before it has ended.
    duration_ms: Option<SafeInt>,
    /// How many stale hours it found.
    hours: i32,
    /// How many rows of the report it changed, so far if it is under way.
    rows_changed: SafeInt,
    /// Why it failed, if it did.
    error: Option<String>,
}

/// Refreshes, newest first.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct RefreshConnection {
    /// The refreshes with their cursors.
    edges: Vec<RefreshEdge>,
    /// Whether there are more.
    page_info: PageInfo,
}

/// One refresh and where it stands.
#[derive(Debug, SimpleObject)]
pub(crate) struct RefreshEdge {
    /// To go on behind it, give it as `after`.
    cursor: String,
    /// The refresh.
    node: Refresh,
}

/// The position of a refresh in the history.
#[derive(Debug, Deserialize, Serialize)]
struct RefreshCursor {
    refresh: i64,
}

impl RefreshConnection {
    /// Reads at most `first` refreshes behind the cursor `after`.
    pub(super) async fn read(
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Self> {
        let limit = inputs::listed("refreshes", first)?;
        let before = after.map(|cursor| RefreshCursor::decode(&cursor)).transpose()?;
        context.data::<ViewCell>()?.note_more();
        let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let found = context.data::<FreshnessFeed>()?.history(before, more).await;
        let mut found = found.map_err(|failure| errors::of_database(&failure))?;
        let has_next_page = found.len() > limit;
        found.truncate(limit);
        let texts = |refresh: &freshness::Refresh| refresh.error.as_ref().map_or(0, String::len);
        let held = found.iter().map(|refresh| size_of::<RefreshEdge>() + texts(refresh)).sum();
        let budget = context.data::<ResponseBudget>()?;
        budget.charge(found.len(), ItemCost::of_item(context), 0, held, ROOM_WAIT_MAX).await?;
        let edges: Vec<_> = found.into_iter().map(RefreshEdge::from).collect();
        let cursor = |edge: Option<&RefreshEdge>| edge.map(|edge| edge.cursor.clone());
        let page_info = PageInfo {
            has_previous_page: before.is_some(),
            has_next_page,
            start_cursor: cursor(edges.first()),
            end_cursor: cursor(edges.last()),
        };
        Ok(Self { edges, page_info })
    }
}

#[ComplexObject]
impl RefreshConnection {
    /// The refreshes without their cursors.
    async fn nodes(&self) -> Vec<Refresh> {
        self.edges.iter().map(|edge| edge.node.clone()).collect()
    }
}

impl RefreshCursor {
    /// Returns the refresh of the cursor.
    fn decode(cursor: &str) -> async_graphql::Result<i64> {
        let OpaqueCursor(Self { refresh }) = OpaqueCursor::decode_cursor(cursor)
            .map_err(|_unreadable| error(Code::BadUserInput, "refreshes.after is not a cursor of this list"))?;
        Ok(refresh)
    }
}

impl From<freshness::Refresh> for RefreshEdge {
    fn from(refresh: freshness::Refresh) -> Self {
        let cursor = OpaqueCursor(RefreshCursor { refresh: refresh.id }).encode_cursor();
        let node = Refresh {
            id: refresh.id.into(),
            as_of: refresh.as_of,
            started_at: refresh.started_at,
            finished_at: refresh.finished_at,
            duration_ms: refresh.duration_ms.map(SafeInt),
            hours: refresh.hours,
            rows_changed: SafeInt(refresh.rows_changed),
            error: refresh.error,
        };
        Self { cursor, node }
    }
}
