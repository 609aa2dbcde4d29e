//! Lists whose newest items come first, and that are paged by the items' ids.

use std::{collections::BTreeMap, mem::size_of};

use async_graphql::{
    Context,
    connection::{CursorType, OpaqueCursor, PageInfo},
};

use super::{
    errors::error,
    inputs,
    response_budget::{ItemCost, ROOM_WAIT_MAX, ResponseBudget},
};
use crate::error_code::Code;

/// The part of a list that is asked for.
#[derive(Copy, Clone, Debug)]
pub(super) struct AskedItems {
    /// What a cursor calls its item.
    item: &'static str,
    limit: usize,
    /// The id of the item to go on behind.
    pub(super) before: Option<i64>,
}

/// The part of a list that is shown.
pub(super) struct ShownItems<T> {
    /// The items with their cursors.
    pub(super) items: Vec<(String, T)>,
    pub(super) page_info: PageInfo,
}

impl AskedItems {
    /// Reads the arguments of the list `field`, whose cursors call an item `item`.
    pub(super) fn parse(
        field: &str,
        item: &'static str,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Self> {
        let limit = inputs::listed(field, first)?;
        let before = after.map(|cursor| {
            let ids: Option<BTreeMap<String, i64>> =
                OpaqueCursor::decode_cursor(&cursor).ok().map(|OpaqueCursor(ids)| ids);
            let id = ids.filter(|ids| ids.len() == 1).and_then(|ids| ids.get(item).copied());
            id.ok_or_else(|| error(Code::BadUserInput, format!("{field}.after is not a cursor of this list")))
        });
        Ok(Self { item, limit, before: before.transpose()? })
    }

    /// Returns how many items to read: one more than are shown tells that there are more.
    pub(super) fn read_max(self) -> u64 {
        u64::try_from(self.limit).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Returns the part that is shown of the items that were read. `id` and `text_bytes` tell of an item.
    ///
    /// Errs when the response has no room for it.
    pub(super) async fn show<T>(
        self,
        context: &Context<'_>,
        mut read: Vec<T>,
        id: impl Fn(&T) -> i64,
        text_bytes: impl Fn(&T) -> usize,
    ) -> async_graphql::Result<ShownItems<T>> {
        let has_next_page = read.len() > self.limit;
        read.truncate(self.limit);
        let held = read.iter().map(|item| size_of::<(String, T)>() + text_bytes(item)).sum();
        let budget = context.data::<ResponseBudget>()?;
        budget.charge(read.len(), ItemCost::of_item(context), 0, held, ROOM_WAIT_MAX).await?;
        let cursor = |item: &T| OpaqueCursor(BTreeMap::from([(self.item.to_owned(), id(item))])).encode_cursor();
        let items: Vec<_> = read.into_iter().map(|item| (cursor(&item), item)).collect();
        let cursor = |item: Option<&(String, T)>| item.map(|(cursor, _)| cursor.clone());
        let page_info = PageInfo {
            has_previous_page: self.before.is_some(),
            has_next_page,
            start_cursor: cursor(items.first()),
            end_cursor: cursor(items.last()),
        };
        Ok(ShownItems { items, page_info })
    }
}
