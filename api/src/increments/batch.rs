//! What one transaction writes: the increments of many requests, summed and sorted by key.

use std::collections::BTreeMap;

use entity::Hour;

use super::increment::{Increment, Title};

/// Rows in the order of their keys, each key once: two processes that lock the same rows do so in the same order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch<'a> {
    /// Each page, with the title that was sent last, if any was.
    pub(super) pages: BTreeMap<&'a str, Option<&'a Title>>,
    /// Page, hour, views.
    pub(super) counts: Vec<(&'a str, Hour, i64)>,
    /// Each hour once.
    pub(super) hours: Vec<Hour>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(increments: impl IntoIterator<Item = &'a Increment>) -> Self {
        let mut batch = Self::default();
        for increment in increments {
            let page = increment.page.as_str();
            batch.counts.push((page, increment.hour, increment.views.get()));
            let title = batch.pages.entry(page).or_default();
            *title = increment.title.as_ref().or(*title);
        }
        batch.counts.sort_unstable();
        batch.counts.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 += next.2;
            }
            same
        });
        batch.hours.extend(batch.counts.iter().map(|count| count.1));
        batch.hours.sort_unstable();
        batch.hours.dedup();
        batch
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::increments::{PageName, Views};

    #[test]
    fn increments_are_summed_by_page_and_hour_and_sorted() {
        let first = Hour::containing(DateTime::UNIX_EPOCH);
        let increment = |page: &str, hours: i32, views: i64, title: Option<&str>| Increment {
            page: PageName::new(page.to_owned()).unwrap(),
            views: Views::new(views).unwrap(),
            hour: first.plus(hours),
            at: None,
            title: title.map(|title| Title::new(title.to_owned()).unwrap()),
        };
        let increments = [
            increment("/b", 1, 5, Some("old")),
            increment("/a", 1, 1, None),
            increment("/b", 0, 2, Some("new")),
            increment("/b", 1, 7, None),
        ];
        let batch = Batch::new(&increments);
        assert_eq!(batch.counts, [("/a", first.plus(1), 1), ("/b", first, 2), ("/b", first.plus(1), 12)]);
        assert_eq!(batch.hours, [first, first.plus(1)]);
        assert_eq!(batch.pages["/a"], None);
        assert_eq!(batch.pages["/b"].map(Title::as_str), Some("new"));
    }
}
