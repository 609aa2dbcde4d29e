//! A cache of the rows of the table `pages`, so that only new pages and changed titles are written.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

use super::increment::Title;

/// The most pages in the cache. Each takes about 100 bytes and its name.
const PAGES_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// The lifetime of an entry. After it the page is written again, since another process may have changed its title.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// An LRU cache of pages, shared by the committers of one process.
#[derive(Debug)]
pub(super) struct KnownPages(Mutex<LruCache<Box<str>, Known>>);

/// A cached page.
#[derive(Copy, Clone, Debug)]
struct Known {
    title: KnownTitle,
    since: Instant,
}

/// The title of a cached page.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum KnownTitle {
    /// The page may have a title or none.
    Unknown,
    /// The page has a title, but not a known one.
    Some,
    /// The page has the title with this hash.
    Is(u64),
}

impl KnownPages {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(PAGES_MAX)))
    }

    /// Removes the pages that a write would not change from `sent`, and the pages that have a title from `first`. A
    /// page that remains in `first` remains in `sent` too. Both are sorted by name.
    pub(super) fn retain_unknown(&self, sent: &mut Vec<(&str, Option<&Title>)>, first: &mut Vec<(&str, &Title)>) {
        let (pages, now) = (self.lock(), Instant::now());
        // `peek` does not mark an entry as used. A page in use is soon written again, which does.
        let known = |name: &str| pages.peek(name).filter(|known| now.duration_since(known.since) < REMEMBERED_FOR);
        first.retain(|(name, _)| known(name).is_none_or(|known| known.title == KnownTitle::Unknown));
        sent.retain(|(name, title)| {
            known(name).is_none_or(|known| title.is_some_and(|title| known.title != KnownTitle::Is(hash(title))))
                || first.binary_search_by_key(name, |(name, _)| name).is_ok()
        });
    }

    /// Caches pages and titles that have been committed.
    pub(super) fn insert(&self, pages: &[(&str, Option<&Title>)], first: &[(&str, &Title)]) {
        let mut known = self.lock();
        let mut remember = |name: &str, title: Option<KnownTitle>, or: KnownTitle| {
            let before = known.peek(name).map_or(KnownTitle::Unknown, |known| known.title);
            let title = title.unwrap_or(if before == KnownTitle::Unknown { or } else { before });
            known.put(name.into(), Known { title, since: Instant::now() });
        };
        for (name, title) in pages {
            remember(name, title.map(|title| KnownTitle::Is(hash(title))), KnownTitle::Unknown);
        }
        // The page has a title in any case: this one, or another that it had before.
        first.iter().for_each(|(name, _)| remember(name, None, KnownTitle::Some));
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Box<str>, Known>> {
        // A thread that panicked with the lock has at worst left a page out.
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
    fn known_page_is_written_again_only_for_another_title() {
        let pages = KnownPages::new();
        let has = |name, title| {
            let mut sent = vec![(name, title)];
            pages.retain_unknown(&mut sent, &mut Vec::new());
            sent.is_empty()
        };
        let [first, second] = ["first", "second"].map(|title| Title::new(title.to_owned()).unwrap());
        assert!(!has("/a", None));
        pages.insert(&[("/a", Some(&first))], &[]);
        assert!(has("/a", None));
        assert!(has("/a", Some(&first)));
        assert!(!has("/a", Some(&second)));
        pages.insert(&[("/a", None)], &[]);
        assert!(has("/a", Some(&first)), "an increment without a title keeps the cached title");
    }

    #[test]
    fn first_title_is_written_only_for_pages_without_a_known_title() {
        let pages = KnownPages::new();
        let [first, second] = ["first", "second"].map(|title| Title::new(title.to_owned()).unwrap());
        let retained = |name| {
            let (mut sent, mut titles) = (vec![(name, None)], vec![(name, &first)]);
            pages.retain_unknown(&mut sent, &mut titles);
            (sent.len(), titles.len())
        };
        assert_eq!(retained("/a"), (1, 1));
        pages.insert(&[("/a", None)], &[]);
        assert_eq!(retained("/a"), (1, 1), "a page whose title is unknown is written, which locks its row");
        pages.insert(&[("/a", None)], &[("/a", &first)]);
        assert_eq!(retained("/a"), (0, 0));
        for title in [&first, &second] {
            let mut sent = vec![("/a", Some(title))];
            pages.retain_unknown(&mut sent, &mut Vec::new());
            assert_eq!(sent.len(), 1, "a page with an unknown title is written");
        }
        pages.insert(&[("/b", Some(&second))], &[]);
        assert_eq!(retained("/b"), (0, 0));
    }
}
