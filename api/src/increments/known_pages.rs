//! The pages that are known to be in `pages`, so that it is written only for new ones and changed titles.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

use super::increment::Title;

/// How many pages are remembered: about 100 bytes and a name each.
const PAGES_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// Another process may have changed a title since: after this long it is written again.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// A bounded memory, shared by the committers of one process.
#[derive(Debug)]
pub(super) struct KnownPages(Mutex<LruCache<Box<str>, Known>>);

#[derive(Copy, Clone, Debug)]
struct Known {
    title: KnownTitle,
    since: Instant,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum KnownTitle {
    /// It may have one or none.
    Unknown,
    /// It has one, whichever.
    Some,
    /// It has the one of this hash.
    Is(u64),
}

impl KnownPages {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(PAGES_MAX)))
    }

    /// Leaves out the pages that writing, with these titles or without, would not change, and the first titles of pages
    /// that have one. A page whose first title stays stays, too. All are in the order of their names.
    pub(super) fn retain_unknown(&self, sent: &mut Vec<(&str, Option<&Title>)>, first: &mut Vec<(&str, &Title)>) {
        let (pages, now) = (self.lock(), Instant::now());
        // Not noted as used: what is used is written again, and so noted, before long.
        let known = |name: &str| pages.peek(name).filter(|known| now.duration_since(known.since) < REMEMBERED_FOR);
        first.retain(|(name, _)| known(name).is_none_or(|known| known.title == KnownTitle::Unknown));
        sent.retain(|(name, title)| {
            known(name).is_none_or(|known| title.is_some_and(|title| known.title != KnownTitle::Is(hash(title))))
                || first.binary_search_by_key(name, |(name, _)| name).is_ok()
        });
    }

    /// Remembers what has been committed.
    pub(super) fn learn(&self, pages: &[(&str, Option<&Title>)], first: &[(&str, &Title)]) {
        let mut known = self.lock();
        let mut remember = |name: &str, title: Option<KnownTitle>, or: KnownTitle| {
            let before = known.peek(name).map_or(KnownTitle::Unknown, |known| known.title);
            let title = title.unwrap_or(if before == KnownTitle::Unknown { or } else { before });
            known.put(name.into(), Known { title, since: Instant::now() });
        };
        for (name, title) in pages {
            remember(name, title.map(|title| KnownTitle::Is(hash(title))), KnownTitle::Unknown);
        }
        // Whether it was written or the page had another.
        first.iter().for_each(|(name, _)| remember(name, None, KnownTitle::Some));
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Box<str>, Known>> {
        // What a panicking thread left behind is at worst a page forgotten.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(title: &Title) -> u64 {
    let mut hasher = DefaultHasher::new();
    title.as_str().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_again_only_for_another_title() {
        let pages = KnownPages::new();
        let has = |name, title| {
            let mut sent = vec![(name, title)];
            pages.retain_unknown(&mut sent, &mut Vec::new());
            sent.is_empty()
        };
        let [first, second] = ["first", "second"].map(|title| Title::new(title.to_owned()).unwrap());
        assert!(!has("/a", None));
        pages.learn(&[("/a", Some(&first))], &[]);
        assert!(has("/a", None));
        assert!(has("/a", Some(&first)));
        assert!(!has("/a", Some(&second)));
        pages.learn(&[("/a", None)], &[]);
        assert!(has("/a", Some(&first)), "an increment without a title does not forget it");
    }

    #[test]
    fn a_first_title_is_written_only_where_no_title_is_known() {
        let pages = KnownPages::new();
        let [first, second] = ["first", "second"].map(|title| Title::new(title.to_owned()).unwrap());
        let retained = |name| {
            let (mut sent, mut titles) = (vec![(name, None)], vec![(name, &first)]);
            pages.retain_unknown(&mut sent, &mut titles);
            (sent.len(), titles.len())
        };
        assert_eq!(retained("/a"), (1, 1));
        pages.learn(&[("/a", None)], &[]);
        assert_eq!(retained("/a"), (1, 1), "it may have none: its row is locked before its title is looked at");
        pages.learn(&[("/a", None)], &[("/a", &first)]);
        assert_eq!(retained("/a"), (0, 0));
        for title in [&first, &second] {
            let mut sent = vec![("/a", Some(title))];
            pages.retain_unknown(&mut sent, &mut Vec::new());
            assert_eq!(sent.len(), 1, "which title it has is not known");
        }
        pages.learn(&[("/b", Some(&second))], &[]);
        assert_eq!(retained("/b"), (0, 0));
    }
}
