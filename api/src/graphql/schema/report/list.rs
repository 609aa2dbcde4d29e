//! What lists of pages and lists of sections have in common: the part that is asked for, its cursors, and what its items are
//! compared with.

use std::{mem::size_of, sync::Arc};

use async_graphql::{
    Context,
    connection::{CursorType, OpaqueCursor, PageInfo},
};
use reports::{PageCursor, PageRow, ReportError, SectionRow};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{
    super::{
        errors::error,
        inputs,
        response_budget::{ItemCost, ResponseBudget},
    },
    Report, read,
};
use crate::error_code::Code;

/// A value that is read once for all items of a list, when the first item needs it; or the error of reading it.
pub(super) type Read<T> = OnceCell<async_graphql::Result<T>>;

/// An item of a list, as it was read.
pub(super) trait Row: Clone {
    fn name(&self) -> &str;
    fn title(&self) -> Option<&str>;
    fn views(&self) -> i64;
    /// What the list is ordered by before the name.
    fn rank(&self) -> i64;

    /// Returns roughly how many bytes of memory the row and its edge take.
    fn bytes(&self) -> usize {
        // An edge has a cursor, and a node that refers to the list.
        let edge = size_of::<(String, Arc<()>, usize)>();
        edge + size_of::<Self>() + 4 * self.name().len() + self.title().map_or(0, str::len)
    }
}

/// The part of a list that is asked for.
#[derive(Debug)]
pub(super) struct AskedPart {
    limit: usize,
    after: Option<PageCursor>,
}

/// The part of a list that is shown.
pub(super) struct ShownPart<R> {
    pub(super) rows: Vec<R>,
    /// The cursor of each row.
    pub(super) cursors: Vec<String>,
    pub(super) page_info: PageInfo,
}

/// The views of each item of a list in the two parts that are compared.
#[derive(Clone, Debug)]
pub(super) struct ComparedViews {
    comparable: Arc<[i64]>,
    previous: Arc<[i64]>,
}

/// The position of an item in a list, and the refresh that it was read from.
#[derive(Debug, Deserialize, Serialize)]
struct Cursor {
    refresh: i64,
    #[serde(rename = "views")]
    rank: i64,
    page: String,
}

impl AskedPart {
    /// Returns the part that the arguments of the list `field` ask for.
    ///
    /// Errs when one of them is wrong, or the answer is too large already.
    pub(super) fn new(
        context: &Context<'_>,
        field: &str,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Self> {
        context.data::<ResponseBudget>()?.check()?;
        let limit = inputs::listed(field, first)?;
        let after = after.map(|cursor| Cursor::decode(&format!("{field}.after"), &cursor)).transpose()?;
        Ok(Self { limit, after })
    }

    pub(super) fn after(&self) -> Option<PageCursor> {
        self.after.clone()
    }

    /// Returns how many rows to read: one more than is shown, which tells whether there are more.
    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.limit).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Returns the rows of the part, without the one beyond it, and their cursors.
    ///
    /// Errs when the answer would be too large.
    pub(super) async fn show<R: Row>(
        &self,
        context: &Context<'_>,
        report: &Report,
        rows: &[R],
    ) -> async_graphql::Result<ShownPart<R>> {
        let has_next_page = rows.len() > self.limit;
        let rows = &rows[..rows.len().min(self.limit)];
        charge(context, report, rows).await?;
        let refresh = report.view.refresh_id();
        let cursor = |row: &R| Cursor { refresh, rank: row.rank(), page: row.name().to_owned() }.encode();
        let cursors: Vec<_> = rows.iter().map(cursor).collect();
        let page_info = PageInfo {
            has_previous_page: self.after.is_some(),
            has_next_page,
            start_cursor: cursors.first().cloned(),
            end_cursor: cursors.last().cloned(),
        };
        Ok(ShownPart { rows: rows.to_vec(), cursors, page_info })
    }
}

/// Charges the answer's budget for the items `rows` of the field in `context`. Errs when the answer would be too large.
pub(super) async fn charge<R: Row>(context: &Context<'_>, report: &Report, rows: &[R]) -> async_graphql::Result<()> {
    let cost = ItemCost::of_item(context);
    let texts = rows.iter().map(|row| cost.texts(row.name(), row.title())).sum();
    let held = rows.iter().map(Row::bytes).sum();
    context.data::<ResponseBudget>()?.charge(rows.len(), cost, texts, held, report.room_wait()).await
}

impl ComparedViews {
    /// Reads the two views of each of `rows`. `comparable` is not read if `is_whole`: if the whole interval is compared.
    pub(super) async fn read<R: Row>(
        rows: &[R],
        is_whole: bool,
        comparable: impl Future<Output = Result<Arc<[i64]>, ReportError>>,
        previous: impl Future<Output = Result<Arc<[i64]>, ReportError>>,
    ) -> async_graphql::Result<Option<Self>> {
        let comparable = async { if is_whole { Ok(rows.iter().map(Row::views).collect()) } else { comparable.await } };
        let (comparable, previous) = tokio::join!(comparable, previous);
        Ok(Some(Self { comparable: read(comparable)?, previous: read(previous)? }))
    }

    /// Returns the comparable and the previous views of the item at `index`.
    pub(super) fn of(&self, index: usize) -> Option<(i64, i64)> {
        self.comparable.get(index).copied().zip(self.previous.get(index).copied())
    }
}

impl Cursor {
    fn encode(self) -> String {
        OpaqueCursor(self).encode_cursor()
    }

    /// Errs when `cursor`, the argument `field`, is none.
    fn decode(field: &str, cursor: &str) -> async_graphql::Result<PageCursor> {
        let OpaqueCursor(Self { rank, page, .. }) = OpaqueCursor::decode_cursor(cursor)
            .map_err(|_unreadable| error(Code::BadUserInput, format!("{field} is not a cursor of this list")))?;
        inputs::check_text(field, &page)?;
        Ok(PageCursor { rank, name: page })
    }
}

impl Row for PageRow {
    fn name(&self) -> &str {
        &self.name
    }

    fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    fn views(&self) -> i64 {
        self.views
    }

    fn rank(&self) -> i64 {
        self.rank
    }
}

impl Row for SectionRow {
    fn name(&self) -> &str {
        &self.name
    }

    fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    fn views(&self) -> i64 {
        self.views
    }

    fn rank(&self) -> i64 {
        self.views
    }
}
