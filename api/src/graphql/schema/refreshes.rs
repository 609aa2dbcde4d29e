//! The history of refreshes.

use async_graphql::{ComplexObject, Context, ID, SimpleObject, connection::PageInfo};
use chrono::{DateTime, Utc};
use reports::freshness::{self, FreshnessFeed};

use super::{
    ViewCell, errors,
    newest_first::{AskedItems, ShownItems},
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

impl RefreshConnection {
    /// Reads at most `first` refreshes behind the cursor `after`.
    pub(super) async fn read(
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Self> {
        context.data::<ViewCell>()?.note_more();
        let asked = AskedItems::parse("refreshes", "refresh", first, after)?;
        let read = context.data::<FreshnessFeed>()?.history(asked.before, asked.read_max()).await;
        let read = read.map_err(|failure| errors::of_database(&failure))?;
        let texts = |refresh: &freshness::Refresh| refresh.error.as_ref().map_or(0, String::len);
        let ShownItems { items, page_info } = asked.show(context, read, |refresh| refresh.id, texts).await?;
        let edges = items.into_iter().map(|(cursor, refresh)| RefreshEdge { cursor, node: refresh.into() }).collect();
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

impl From<freshness::Refresh> for Refresh {
    fn from(refresh: freshness::Refresh) -> Self {
        Self {
            id: refresh.id.into(),
            as_of: refresh.as_of,
            started_at: refresh.started_at,
            finished_at: refresh.finished_at,
            duration_ms: refresh.duration_ms.map(SafeInt),
            hours: refresh.hours,
            rows_changed: SafeInt(refresh.rows_changed),
            error: refresh.error,
        }
    }
}
