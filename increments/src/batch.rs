//! The rows that one transaction writes: the increments of many requests, summed and sorted by key.

use std::collections::HashMap;

use entity::Hour;

use super::increment::{Request, Title};

/// The rows of one transaction, sorted by their tables' keys and without duplicates. All processes lock rows in this
/// order, so that they do not deadlock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch<'a> {
    /// Each page, with the last title among the requests that replace titles.
    pub(super) pages: Vec<(&'a str, Option<&'a Title>)>,
    /// The first title among the requests that do not replace titles, for each page that has no title in `pages`.
    pub(super) first_titles: Vec<(&'a str, &'a Title)>,
    /// The views to add: by hour, then by page, as the table's key is.
    pub(super) counts: Vec<(&'a str, Hour, i64)>,
}

impl<'a> Batch<'a> {
    /// Sums the increments of `requests`.
    pub(super) fn new(requests: impl IntoIterator<Item = &'a Request>) -> Self {
        // Sums come before sorting: in a large batch most increments are for a few pages.
        let (mut sums, mut titles, mut first_titles) = (HashMap::new(), HashMap::new(), HashMap::new());
        for request in requests {
            for increment in &request.increments {
                let page = increment.page.as_str();
                *sums.entry((page, increment.hour)).or_default() += increment.views.get();
                match &increment.title {
                    Some(title) if request.replaces_titles => drop(titles.insert(page, title)),
                    Some(title) => drop(first_titles.entry(page).or_insert(title)),
                    None => {}
                }
            }
        }
        let mut first_titles: Vec<_> =
            first_titles.into_iter().filter(|(page, _)| !titles.contains_key(page)).collect();
        first_titles.sort_unstable_by_key(|(page, _)| *page);
        let mut counts: Vec<_> = sums.into_iter().map(|((page, hour), views)| (page, hour, views)).collect();
        counts.sort_unstable_by_key(|(page, hour, _)| (*hour, *page));
        let mut pages: Vec<_> = counts.iter().map(|(page, ..)| (*page, titles.get(page).copied())).collect();
        if counts.first().map(|count| count.1) != counts.last().map(|count| count.1) {
            pages.sort_unstable_by_key(|(page, _)| *page);
            pages.dedup_by_key(|(page, _)| *page);
        }
        Self { pages, first_titles, counts }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{Increment, PageName, Views};

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
        let requests = [Request::new(increments.to_vec(), None)];
        let batch = Batch::new(&requests);
        assert_eq!(batch.counts, [("/b", first, 2), ("/a", first.plus(1), 1), ("/b", first.plus(1), 12)]);
        let pages: Vec<_> = batch.pages.iter().map(|(page, title)| (*page, title.map(Title::as_str))).collect();
        assert_eq!(pages, [("/a", None), ("/b", Some("new"))]);

        // The requests that do not replace titles stand before and after the one that does: the order must not matter.
        let stranger = [increment("/b", 0, 1, Some("first")), increment("/c", 0, 1, Some("second"))];
        let stranger = Request::new(stranger.to_vec(), None).without_replacing_titles();
        let later = [increment("/c", 0, 1, Some("third"))];
        let later = Request::new(later.to_vec(), None).without_replacing_titles();
        let [known] = requests;
        let batch = [stranger, known, later];
        let batch = Batch::new(&batch);
        let titles: Vec<_> = batch.pages.iter().map(|(page, title)| (*page, title.map(Title::as_str))).collect();
        assert_eq!(titles, [("/a", None), ("/b", Some("new")), ("/c", None)]);
        let titles: Vec<_> = batch.first_titles.iter().map(|(page, title)| (*page, title.as_str())).collect();
        assert_eq!(titles, [("/c", "second")]);
    }
}
