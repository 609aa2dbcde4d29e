//! A cache of the rows of the table `pages`, so that only new pages and changed titles are written.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::increment::Title;

/// The most pages of each of the two generations. A page takes 25 bytes, and a hash table is at most 7/8 full: this is
/// 7/8 of 2^20, so that both generations together take 50 MiB.
const PAGES_MAX: usize = 917_504;
/// The longest that a page is in the cache, and at least half of it if there is room. After it the page is written
/// again, since another process may have changed or removed it.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// A cache of pages, shared by the committers of one process.
///
/// It has hashes of names in place of the names, so that its size does not depend on their length. The hashes have 128
/// bits and random keys, so that nobody can make two names of the same hash: a new page that seems known would not be
/// written.
#[derive(Debug)]
pub(super) struct KnownPages {
    keys: [RandomState; 2],
    pages_max: usize,
    generations: Mutex<Generations>,
}

/// The pages, by the time at which they were written.
#[derive(Debug)]
struct Generations {
    new: Pages,
    old: Pages,
    /// No page in `new` was written before this time.
    since: Instant,
}

type Pages = HashMap<NameHash, KnownTitle, BuildHasherDefault<FirstHalf>>;

/// The hash of a page's name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct NameHash([u64; 2]);

impl Hash for NameHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// Takes the first half of a [`NameHash`] as its hash.
#[derive(Debug, Default)]
struct FirstHalf(u64);

impl Hasher for FirstHalf {
    fn write(&mut self, bytes: &[u8]) {
        // Not called: a `NameHash` writes a number.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The title of a cached page: unknown, some, or one with a known hash.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct KnownTitle(u64);

impl KnownTitle {
    /// The page may have a title or none.
    const UNKNOWN: Self = Self(0);
    /// The page has a title, but not a known one.
    const SOME: Self = Self(1);
    /// The bit that makes a title's hash differ from both.
    const HASH: u64 = 2;
}

impl KnownPages {
    pub(super) fn new() -> Self {
        Self::with_pages_max(PAGES_MAX)
    }

    fn with_pages_max(pages_max: usize) -> Self {
        let generations = Generations { new: Pages::default(), old: Pages::default(), since: Instant::now() };
        Self { keys: Default::default(), pages_max, generations: Mutex::new(generations) }
    }

    /// Removes the pages that a write would not change from `sent`, and the pages that have a title from `first`. A
    /// page that remains in `first` remains in `sent` too. Both are sorted by name.
    pub(super) fn retain_unknown(&self, sent: &mut Vec<(&str, Option<&Title>)>, first: &mut Vec<(&str, &Title)>) {
        let mut generations = self.lock();
        generations.expire(Instant::now());
        first.retain(|(name, _)| generations.get(self.name(name)).is_none_or(|title| title == KnownTitle::UNKNOWN));
        sent.retain(|(name, title)| {
            let known = generations.get(self.name(name));
            known.is_none_or(|known| title.is_some_and(|title| known != self.title(title)))
                || first.binary_search_by_key(name, |(name, _)| name).is_ok()
        });
    }

    /// Caches pages and titles that have been committed.
    pub(super) fn insert(&self, pages: &[(&str, Option<&Title>)], first: &[(&str, &Title)]) {
        let mut generations = self.lock();
        generations.expire(Instant::now());
        let mut remember = |name: &str, title: Option<KnownTitle>, or: KnownTitle| {
            let name = self.name(name);
            let before = generations.get(name).unwrap_or(KnownTitle::UNKNOWN);
            let title = title.unwrap_or(if before == KnownTitle::UNKNOWN { or } else { before });
            if generations.new.len() >= self.pages_max {
                generations.begin_at(Instant::now());
            }
            generations.new.insert(name, title);
        };
        for (name, title) in pages {
            remember(name, title.map(|title| self.title(title)), KnownTitle::UNKNOWN);
        }
        // The page has a title in any case: this one, or another that it had before.
        first.iter().for_each(|(name, _)| remember(name, None, KnownTitle::SOME));
    }

    fn name(&self, name: &str) -> NameHash {
        NameHash(self.keys.each_ref().map(|key| key.hash_one(name)))
    }

    fn title(&self, title: &Title) -> KnownTitle {
        KnownTitle(self.keys[0].hash_one(title.as_str()) | KnownTitle::HASH)
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // A thread that panicked with the lock has at worst left a page out.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&self, name: NameHash) -> Option<KnownTitle> {
        self.new.get(&name).or_else(|| self.old.get(&name)).copied()
    }

    /// Removes the pages that were written more than [`REMEMBERED_FOR`] ago, with others that were written later.
    fn expire(&mut self, now: Instant) {
        let (age, half) = (now.duration_since(self.since), REMEMBERED_FOR / 2);
        if age >= half {
            self.begin_at(self.since + half);
        }
        if age >= REMEMBERED_FOR {
            self.begin_at(now);
        }
    }

    /// Begins a generation. Forgets the pages of the old one.
    fn begin_at(&mut self, since: Instant) {
        self.old = mem::take(&mut self.new);
        self.since = since;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, option, prelude::*};
    use tokio::time::advance;

    use super::*;

    fn titles<const N: usize>(texts: [&str; N]) -> [Title; N] {
        texts.map(|text| Title::new(text.to_owned()).unwrap())
    }

    fn has(pages: &KnownPages, name: &str, title: Option<&Title>) -> bool {
        let mut sent = vec![(name, title)];
        pages.retain_unknown(&mut sent, &mut Vec::new());
        sent.is_empty()
    }

    #[test]
    fn known_page_is_written_again_only_for_another_title() {
        let pages = KnownPages::new();
        let [first, second] = titles(["first", "second"]);
        assert!(!has(&pages, "/a", None));
        pages.insert(&[("/a", Some(&first))], &[]);
        assert!(has(&pages, "/a", None));
        assert!(has(&pages, "/a", Some(&first)));
        assert!(!has(&pages, "/a", Some(&second)));
        pages.insert(&[("/a", None)], &[]);
        assert!(has(&pages, "/a", Some(&first)), "an increment without a title keeps the cached title");
    }

    #[test]
    fn first_title_is_written_only_for_pages_without_a_known_title() {
        let pages = KnownPages::new();
        let [first, second] = titles(["first", "second"]);
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

    #[tokio::test(start_paused = true)]
    async fn page_is_known_for_half_a_minute_at_least_and_a_minute_at_most() {
        // The age of the generation that the page is written in.
        for age in [0, 10, 29] {
            let pages = KnownPages::new();
            advance(Duration::from_secs(age)).await;
            pages.insert(&[("/a", None)], &[]);
            for second in 0..100 {
                let known = has(&pages, "/a", None);
                assert!(known || second > 30, "{age}: forgotten after {second} s");
                assert!(!known || second < 60, "{age}: known after {second} s");
                advance(Duration::from_secs(1)).await;
            }
        }
        let pages = KnownPages::new();
        pages.insert(&[("/a", None)], &[]);
        advance(REMEMBERED_FOR - Duration::from_secs(1)).await;
        assert!(has(&pages, "/a", None), "the generation after it has just begun, late");
        advance(Duration::from_secs(1)).await;
        assert!(!has(&pages, "/a", None), "a generation that begins late ends in time");
        pages.insert(&[("/a", None)], &[]);
        advance(REMEMBERED_FOR).await;
        assert!(!has(&pages, "/a", None), "a page that nobody asked for is forgotten too");
    }

    #[test]
    fn pages_in_the_cache_are_bounded_and_the_last_ones_are_known() {
        const EACH: usize = 100;
        let pages = KnownPages::with_pages_max(EACH);
        let names: Vec<_> = (0..5 * EACH).map(|page| format!("/{page}")).collect();
        for (index, name) in names.iter().enumerate() {
            pages.insert(&[(name, None)], &[]);
            let Generations { new, old, .. } = &*pages.lock();
            assert!(new.len() <= EACH && old.len() <= EACH, "{} and {}", new.len(), old.len());
            let known =
                names.iter().filter(|name| new.contains_key(&pages.name(name)) || old.contains_key(&pages.name(name)));
            assert!(known.count() >= (index + 1).min(EACH), "{index}");
        }
        assert!(names[4 * EACH..].iter().all(|name| has(&pages, name, None)));
        assert_eq!(size_of::<(NameHash, KnownTitle)>() + 1, 25, "as `PAGES_MAX` says");
        assert!(Pages::with_capacity_and_hasher(PAGES_MAX, Default::default()).capacity() < PAGES_MAX + EACH);
    }

    /// The table, as the statements write it.
    type Table = BTreeMap<&'static str, Option<Title>>;

    fn write(table: &mut Table, sent: &[(&'static str, Option<&Title>)], first: &[(&'static str, &Title)]) {
        for (name, title) in sent {
            let row = table.entry(name).or_default();
            *row = title.cloned().or_else(|| row.clone());
        }
        for (name, title) in first {
            if let Some(row) = table.get_mut(name) {
                row.get_or_insert_with(|| (*title).clone());
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A page is recorded: with a title or without, which replaces another one or not.
        Record(usize, Option<usize>, bool),
        /// Another process removes a page, or changes its title.
        Change(usize, Option<usize>),
        /// So many seconds pass.
        Pass(u64),
    }

    const NAMES: [&str; 6] = ["/a", "/b", "/c", "/d", "/e", "/f"];

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (page, title) = (0..NAMES.len(), option::of(0..3_usize));
        let step = prop_oneof![
            6 => (page.clone(), title.clone(), any::<bool>())
                .prop_map(|(page, title, replaces)| Step::Record(page, title, replaces)),
            1 => (page, title).prop_map(|(page, title)| Step::Change(page, title)),
            2 => (0..40_u64).prop_map(Step::Pass),
        ];
        vec(step, 1..80)
    }

    proptest! {
        /// With the cache, a write leaves the row that it would leave without, unless another process has changed the
        /// row less than a minute before. However few pages there is room for.
        #[test]
        fn writes_through_the_cache_are_those_without_it(steps in steps(), pages_max in 1..8_usize) {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
                let texts = titles(["one", "two", "three"]);
                let (mut table, mut changed) = (Table::new(), BTreeMap::new());
                let pages = KnownPages::with_pages_max(pages_max);
                for step in steps {
                    match step {
                        Step::Pass(seconds) => advance(Duration::from_secs(seconds)).await,
                        Step::Change(page, title) => {
                            match title {
                                Some(title) => table.insert(NAMES[page], Some(texts[title].clone())),
                                None => table.remove(NAMES[page]),
                            };
                            changed.insert(page, Instant::now());
                        }
                        Step::Record(page, title, replaces) => {
                            let (name, title) = (NAMES[page], title.map(|title| &texts[title]));
                            let mut sent = vec![(name, title.filter(|_| replaces))];
                            let first = title.filter(|_| !replaces).map(|title| (name, title));
                            let mut first: Vec<_> = first.into_iter().collect();
                            let mut expected = table.clone();
                            write(&mut expected, &sent, &first);
                            pages.retain_unknown(&mut sent, &mut first);
                            assert!(first.is_empty() || !sent.is_empty(), "a first title's row is locked");
                            write(&mut table, &sent, &first);
                            pages.insert(&sent, &first);
                            let change = changed.get(&page);
                            let is_certain = change.is_none_or(|change| change.elapsed() >= REMEMBERED_FOR);
                            assert!(!is_certain || table == expected, "{name}: {table:?} in place of {expected:?}");
                        }
                    }
                }
            });
        }
    }
}
