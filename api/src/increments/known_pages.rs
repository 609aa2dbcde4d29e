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
    title: Option<u64>,
    since: Instant,
}

impl KnownPages {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(PAGES_MAX)))
    }

    /// Leaves out the pages that writing, with these titles or without, would not change.
    pub(super) fn retain_unknown(&self, sent: &mut Vec<(&str, Option<&Title>)>) {
        let (pages, now) = (self.lock(), Instant::now());
        sent.retain(|(name, title)| {
            // Not noted as used: what is used is written again, and so noted, before long.
            let Some(known) = pages.peek(*name) else { return true };
            now.duration_since(known.since) >= REMEMBERED_FOR || (title.is_some() && known.title != title.map(hash))
        });
    }

    /// Remembers what has been committed.
    pub(super) fn learn<'a>(&self, committed: impl IntoIterator<Item = (&'a str, Option<&'a Title>)>) {
        let mut pages = self.lock();
        for (name, title) in committed {
            let title = title.map(hash).or_else(|| pages.peek(name).and_then(|known| known.title));
            pages.put(name.into(), Known { title, since: Instant::now() });
        }
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
            pages.retain_unknown(&mut sent);
            sent.is_empty()
        };
        let [first, second] = ["first", "second"].map(|title| Title::new(title.to_owned()).unwrap());
        assert!(!has("/a", None));
        pages.learn([("/a", Some(&first))]);
        assert!(has("/a", None));
        assert!(has("/a", Some(&first)));
        assert!(!has("/a", Some(&second)));
        pages.learn([("/a", None)]);
        assert!(has("/a", Some(&first)), "an increment without a title does not forget it");
    }
}
