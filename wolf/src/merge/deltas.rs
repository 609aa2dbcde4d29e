//! The changes of counts, and their sums for every row of the report that they belong to.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use entity::{Grain, Hour, page_views_report::SITE};

use crate::site_rows::Bucket;

/// Report rows: their names, sorted and without duplicates, and what each grows by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PageDeltas {
    pub(super) names: Vec<String>,
    pub(super) views: Vec<i64>,
    /// By hour of the day, for rows of days. 0 where the row's hour does not change.
    pub(super) hours: BTreeMap<i16, Vec<i64>>,
}

/// The changes of one hour's counts since the last merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HourDelta {
    pub(super) hour: Hour,
    /// Of pages that have a report row for this day, and so for its month.
    pub(super) existing: PageDeltas,
    /// Of all other pages.
    pub(super) new: PageDeltas,
}

/// The changes to add to each of some buckets: a day and its month share them if no other day of it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketDelta {
    /// One day or one month, or the day and then the month.
    pub(super) buckets: Vec<Bucket>,
    /// Of rows that exist in each of these buckets.
    pub(super) existing: PageDeltas,
    /// Of rows that may have to be inserted, the site's among them. All pages' rows are missing in the day.
    pub(super) new: PageDeltas,
}

impl PageDeltas {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn push(&mut self, name: String, views: i64) {
        self.names.push(name);
        self.views.push(views);
    }

    /// Appends deltas without hours, of names that sort after all of these.
    pub(super) fn append(&mut self, mut later: Self) {
        self.names.append(&mut later.names);
        self.views.append(&mut later.views);
    }

    /// Takes the last `rows` away, and returns those before them.
    pub(super) fn split_off_front(&mut self, rows: usize) -> Self {
        fn front<T>(values: &mut Vec<T>, rows: usize) -> Vec<T> {
            let rest = values.split_off(rows.min(values.len()));
            std::mem::replace(values, rest)
        }
        Self {
            names: front(&mut self.names, rows),
            views: front(&mut self.views, rows),
            hours: self.hours.iter_mut().map(|(of_day, views)| (*of_day, front(views, rows))).collect(),
        }
    }

    /// Inserts the site's row, whose empty name sorts before all others.
    fn insert_site(&mut self, views: i64, hours: impl Iterator<Item = (i16, i64)>) {
        self.names.insert(0, SITE.to_owned());
        self.views.insert(0, views);
        for (of_day, views) in hours {
            self.hours.entry(of_day).or_default().insert(0, views);
        }
    }

    fn sum(&self) -> i64 {
        self.views.iter().sum()
    }

    fn sum_of_hour(&self, of_day: i16) -> i64 {
        self.hours.get(&of_day).map_or(0, |views| views.iter().sum())
    }
}

impl HourDelta {
    /// The number of changed counts.
    pub(super) fn counts(&self) -> usize {
        self.existing.len() + self.new.len()
    }
}

/// Sums the changes of `hour_deltas`, one of each hour, for all buckets that they belong to.
pub(super) fn bucket_deltas(hour_deltas: Vec<HourDelta>) -> Vec<BucketDelta> {
    let mut days: BTreeMap<NaiveDate, Vec<HourDelta>> = BTreeMap::new();
    for hour_delta in hour_deltas.into_iter().filter(|hour_delta| hour_delta.counts() > 0) {
        days.entry(hour_delta.hour.date()).or_default().push(hour_delta);
    }
    let mut months: BTreeMap<NaiveDate, Vec<BucketDelta>> = BTreeMap::new();
    for (date, hours) in days {
        let month = Hour::new(date, 0).month_start().date();
        months.entry(month).or_default().push(day_delta(date, hours));
    }
    let mut bucket_deltas = Vec::new();
    for (month, mut days) in months {
        let bucket = (Grain::Month, month);
        match days.as_mut_slice() {
            [day] => day.buckets.push(bucket),
            _ => bucket_deltas.push(month_delta(bucket, &days)),
        }
        bucket_deltas.append(&mut days);
    }
    for BucketDelta { existing, new, .. } in &mut bucket_deltas {
        let hours: Vec<i16> = existing.hours.keys().chain(new.hours.keys()).copied().collect();
        let sums: BTreeMap<i16, i64> =
            hours.into_iter().map(|hour| (hour, existing.sum_of_hour(hour) + new.sum_of_hour(hour))).collect();
        new.insert_site(existing.sum() + new.sum(), sums.into_iter());
    }
    bucket_deltas
}

/// Returns the sums of `hours`, all of one day.
fn day_delta(date: NaiveDate, mut hours: Vec<HourDelta>) -> BucketDelta {
    let buckets = vec![(Grain::Day, date)];
    if hours.len() == 1 {
        let HourDelta { hour, mut existing, mut new } = hours.swap_remove(0);
        for deltas in [&mut existing, &mut new] {
            deltas.hours.insert(hour.of_day(), deltas.views.clone());
        }
        return BucketDelta { buckets, existing, new };
    }
    /// Whether the page has a row in the day, and its changes by hour.
    type Row = (bool, BTreeMap<i16, i64>);
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let of_day: Vec<i16> = hours.iter().map(|hour| hour.hour.of_day()).collect();
    for HourDelta { hour, existing, new } in hours {
        for (deltas, exists) in [(existing, true), (new, false)] {
            for (name, views) in deltas.names.into_iter().zip(deltas.views) {
                rows.entry(name).or_insert_with(|| (exists, BTreeMap::new())).1.insert(hour.of_day(), views);
            }
        }
    }
    let (mut existing, mut new) = (PageDeltas::default(), PageDeltas::default());
    for (name, (exists, by_hour)) in rows {
        let deltas = if exists { &mut existing } else { &mut new };
        deltas.push(name, by_hour.values().sum());
        for of_day in &of_day {
            deltas.hours.entry(*of_day).or_default().push(by_hour.get(of_day).copied().unwrap_or_default());
        }
    }
    BucketDelta { buckets, existing, new }
}

/// Returns the sums of `days`, all of one month. A page that has a row in one of them has a row in the month.
fn month_delta(bucket: Bucket, days: &[BucketDelta]) -> BucketDelta {
    let mut sums: BTreeMap<&str, (bool, i64)> = BTreeMap::new();
    for BucketDelta { existing, new, .. } in days {
        for (deltas, existing) in [(existing, true), (new, false)] {
            for (name, views) in deltas.names.iter().zip(&deltas.views) {
                let (exists, sum) = sums.entry(name).or_default();
                *exists |= existing;
                *sum += views;
            }
        }
    }
    let (mut existing, mut new) = (PageDeltas::default(), PageDeltas::default());
    for (name, (exists, views)) in sums {
        // An existing row that does not change need not be written.
        match exists {
            true if views == 0 => {}
            true => existing.push(name.to_owned(), views),
            false => new.push(name.to_owned(), views),
        }
    }
    BucketDelta { buckets: vec![bucket], existing, new }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 2, day).unwrap()
    }

    fn deltas<const N: usize>(deltas: [(&str, i64); N]) -> PageDeltas {
        let mut all = PageDeltas::default();
        deltas.into_iter().for_each(|(name, views)| all.push(name.to_owned(), views));
        all
    }

    fn with_hour(mut deltas: PageDeltas, of_day: i16, views: &[i64]) -> PageDeltas {
        deltas.hours.insert(of_day, views.to_vec());
        deltas
    }

    #[test]
    fn single_hour_shares_its_delta_with_the_month() {
        let hour = Hour::new(date(3), 5);
        let hour_delta = HourDelta { hour, existing: deltas([("/a", 2)]), new: deltas([("/b", 3)]) };
        let expected = BucketDelta {
            buckets: vec![(Grain::Day, date(3)), (Grain::Month, date(1))],
            existing: with_hour(deltas([("/a", 2)]), 5, &[2]),
            new: with_hour(deltas([("", 5), ("/b", 3)]), 5, &[5, 3]),
        };
        assert_eq!(bucket_deltas(vec![hour_delta]), [expected]);
    }

    #[test]
    fn hours_of_a_day_and_days_of_a_month_are_summed() {
        let delta = |day, of_day, existing, new| HourDelta { hour: Hour::new(date(day), of_day), existing, new };
        let hour_deltas = vec![
            delta(3, 5, deltas([("/a", 1), ("/b", 10)]), deltas([("/new", 7)])),
            delta(3, 4, deltas([("/a", 2)]), deltas([("/new", 7), ("/other", 1)])),
            delta(4, 0, deltas([]), deltas([("/a", 4)])),
        ];
        let bucket_deltas = bucket_deltas(hour_deltas);
        let of =
            |bucket| bucket_deltas.iter().find(|bucket_delta| bucket_delta.buckets.contains(&bucket)).unwrap().clone();
        let day = of((Grain::Day, date(3)));
        assert_eq!(day.buckets.len(), 1);
        let existing = with_hour(deltas([("/a", 3), ("/b", 10)]), 5, &[1, 10]);
        assert_eq!(day.existing, with_hour(existing, 4, &[2, 0]));
        let new = with_hour(deltas([("", 28), ("/new", 14), ("/other", 1)]), 5, &[18, 7, 0]);
        assert_eq!(day.new, with_hour(new, 4, &[10, 7, 1]));
        let month = of((Grain::Month, date(1)));
        assert_eq!(month.existing, deltas([("/a", 7), ("/b", 10)]), "existing in one of its days");
        assert_eq!(month.new, deltas([("", 32), ("/new", 14), ("/other", 1)]));
        assert_eq!(of((Grain::Day, date(4))).buckets, [(Grain::Day, date(4))]);
        assert_eq!(bucket_deltas.len(), 3, "two days and the month");
    }

    #[test]
    fn sums_of_zero_are_written_only_where_an_hour_changes() {
        let delta = |of_day, views| HourDelta {
            hour: Hour::new(date(3), of_day),
            existing: deltas([("/a", views)]),
            new: deltas([]),
        };
        let nothing = HourDelta { hour: Hour::new(date(3), 3), existing: deltas([]), new: deltas([]) };
        let bucket_deltas = bucket_deltas(vec![delta(5, 1), delta(4, -1), nothing]);
        let day = &bucket_deltas[0];
        assert_eq!((day.existing.names.len(), day.existing.views[0], day.existing.hours.len()), (1, 0, 2));
        let two_days = |other: i64| {
            let mut other_day = delta(5, other);
            other_day.hour = Hour::new(date(4), 5);
            super::bucket_deltas(vec![delta(5, 1), other_day])
        };
        assert!(two_days(-1)[0].existing.is_empty(), "the month does not change");
    }

    #[test]
    fn rows_are_split_with_their_hours() {
        let mut left = with_hour(deltas([("/a", 1), ("/b", 2), ("/c", 3)]), 5, &[1, 0, 3]);
        let front = left.split_off_front(2);
        assert_eq!(front, with_hour(deltas([("/a", 1), ("/b", 2)]), 5, &[1, 0]));
        assert_eq!(left, with_hour(deltas([("/c", 3)]), 5, &[3]));
        assert_eq!(left.split_off_front(2).len(), 1);
        assert!(left.is_empty());
    }
}
