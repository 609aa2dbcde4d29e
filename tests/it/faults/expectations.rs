//! What the responses to all clients imply for counts and reports.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use crate::model::Counts;

/// What the responses to all clients imply.
#[derive(Default)]
pub(crate) struct Expectations {
    /// The exact counts of requests with keys.
    pub(crate) with_keys: Counts,
    /// The least counts of requests without a key.
    pub(crate) without_keys: Counts,
    /// Counts that may come on top, of requests whose outcome is unknown.
    pub(crate) unknown: Counts,
    /// The pages that only one client records to.
    pub(crate) own: BTreeMap<String, OwnPage>,
    pub(crate) duplicates: usize,
    recorded_at_max: Option<DateTime<Utc>>,
    /// The `recordedAt` of the last response.
    pub(crate) recorded_at_last: Option<DateTime<Utc>>,
    /// Whether the clock of the database was set.
    pub(crate) is_clock_set: bool,
    /// When each refresh was first seen.
    pub(crate) refreshes: BTreeMap<i64, Instant>,
    /// The newest moment that the answers of each reader promised.
    promised: BTreeMap<usize, DateTime<Utc>>,
}

/// The views of a page that only one client records to.
#[derive(Default)]
pub(crate) struct OwnPage {
    /// Acknowledged, by the moment at which a report has them.
    recent: BTreeMap<DateTime<Utc>, u64>,
    /// Acknowledged so long ago that every reader's report has them.
    settled: u64,
    /// Acknowledged, or of unknown outcome.
    possible: u64,
    /// When each of them was acknowledged, by the clock of the clients.
    acknowledged: Vec<Instant>,
}

impl OwnPage {
    /// The fewest and the most views of it that a report may have which is true `as_of` a moment.
    fn bounds(&self, as_of: DateTime<Utc>) -> (u64, u64) {
        (self.settled + self.recent.range(..=as_of).map(|(_, views)| views).sum::<u64>(), self.possible)
    }
}

impl Expectations {
    /// A view of `page` is about to be sent.
    pub(crate) fn sends(&mut self, page: &str) {
        self.own.entry(page.to_owned()).or_default().possible += 1;
    }

    /// It is certainly not counted.
    pub(crate) fn refused(&mut self, page: &str) {
        self.own.get_mut(page).unwrap().possible -= 1;
    }

    /// It is counted, and in the report as of `recorded_at`.
    pub(crate) fn acknowledged(&mut self, page: &str, recorded_at: DateTime<Utc>) {
        let own = self.own.get_mut(page).unwrap();
        *own.recent.entry(recorded_at).or_default() += 1;
        own.acknowledged.push(Instant::now());
    }

    pub(crate) fn recorded(&mut self, recorded_at: DateTime<Utc>, duplicate: bool) {
        self.duplicates += usize::from(duplicate);
        self.recorded_at_max = self.recorded_at_max.max(Some(recorded_at));
        self.recorded_at_last = Some(recorded_at);
    }

    /// Checks the views that a reader got of pages that only one client records to: everything acknowledged by `as_of`,
    /// and nothing that was not sent.
    pub(crate) fn check(&self, views: &BTreeMap<String, u64>, as_of: DateTime<Utc>, context: &str) {
        for (page, own) in &self.own {
            let (least, most) = own.bounds(as_of);
            let views = views.get(page).copied().unwrap_or(0);
            assert!(
                least <= views && views <= most,
                "{page} has {views} views as of {as_of}, and {least} acknowledged by then, of {most} that were sent; {context}"
            );
        }
    }

    /// Checks that a report, asked for at `asked`, has all views that were acknowledged as long before as it may be stale.
    pub(crate) fn check_staleness(
        &self,
        views: &BTreeMap<String, u64>,
        asked: Instant,
        staleness_max: Duration,
        context: &str,
    ) {
        for (page, own) in &self.own {
            let least = own.acknowledged.partition_point(|at| *at + staleness_max <= asked);
            let views = views.get(page).copied().unwrap_or(0);
            assert!(
                u64::try_from(least).unwrap() <= views,
                "{page} has {views} views in a report at most {staleness_max:?} old, and {least} were acknowledged; {context}"
            );
        }
    }

    /// Notes the `asOf` that `reader` got, and forgets the times of views that the reports of all readers have.
    pub(crate) fn promised(&mut self, reader: usize, readers: usize, as_of: DateTime<Utc>) {
        self.promised.insert(reader, as_of);
        let Some(settled) = self.promised.values().min().filter(|_| self.promised.len() == readers) else { return };
        for own in self.own.values_mut() {
            let mut later = own.recent.split_off(settled);
            // Views recorded at that very moment are settled too, and do no harm among the later ones.
            std::mem::swap(&mut own.recent, &mut later);
            own.settled += later.values().sum::<u64>();
        }
    }

    /// Checks that `as_of` promises everything. (Not where a clock was set back: increments recorded before that are
    /// promised when the clock shows that time again.)
    pub(crate) fn check_promised(&self, as_of: DateTime<Utc>) {
        let recorded_at = self.recorded_at_max.unwrap();
        assert!(recorded_at <= as_of, "{recorded_at} should be promised by {as_of}");
    }

    /// Compares the responses with the counts of each day, after a refresh whose promise is `as_of`.
    pub(crate) fn check_counts(&self, counts: &Counts, as_of: DateTime<Utc>) {
        let is_keyed = |page: &str| page.starts_with("/keys/");
        let (with_keys, mut without_keys): (Counts, Counts) =
            counts.clone().into_iter().partition(|((page, ..), _)| is_keyed(page));
        assert_eq!(with_keys, self.with_keys, "with keys everything counts exactly once");

        // One client sends one view at a time to each of these days, and uses the next day after a request without a
        // response.
        let least = |key| self.without_keys.get(key).copied().unwrap_or(0);
        without_keys.retain(|(page, ..), _| page.starts_with("/own/"));
        let wrong: Vec<_> = without_keys
            .keys()
            .chain(self.without_keys.keys())
            .filter_map(|key| {
                let (counted, least) = (without_keys.get(key).copied().unwrap_or(0), least(key));
                let most = least + self.unknown.get(key).copied().unwrap_or(0);
                (counted < least || counted > most).then_some((key, counted, least, most))
            })
            .collect();
        assert!(wrong.is_empty(), "page and day, counted, at least, at most: {wrong:?}");

        let views = sums(counts);
        self.check(&views, as_of, "in the end");
        Self::check_whole(&views);
    }

    /// Checks that requests are counted wholly or not at all.
    pub(crate) fn check_whole(views: &BTreeMap<String, u64>) {
        let sum_of = |prefix: &str| -> u64 {
            views.iter().filter(|(page, _)| page.starts_with(prefix)).map(|(_, views)| views).sum()
        };
        assert_eq!(sum_of("/shared"), sum_of("/own/") + sum_of("/now/"), "a request counts wholly or not at all");
    }

    /// Returns how many views were acknowledged by now of each page that only one client records to.
    pub(crate) fn acknowledged_now(&self) -> BTreeMap<String, u64> {
        let acknowledged = |own: &OwnPage| own.settled + own.recent.values().sum::<u64>();
        self.own.iter().map(|(page, own)| (page.clone(), acknowledged(own))).collect()
    }
}

/// Returns the views of each page.
pub(crate) fn sums(counts: &Counts) -> BTreeMap<String, u64> {
    let mut views: BTreeMap<String, u64> = BTreeMap::new();
    for ((page, ..), counted) in counts {
        *views.entry(page.clone()).or_default() += u64::try_from(*counted).unwrap();
    }
    views
}
