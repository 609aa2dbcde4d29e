//! The changes of counts, and their sums for every row of the report that they belong to.

use std::collections::BTreeMap;

use entity::{Grain, Hour, page_views_report::SITE};

/// Names of report rows, sorted and without duplicates, and the change of views of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PageDeltas {
    pub(super) names: Vec<String>,
    pub(super) views: Vec<i64>,
}

/// The changes of one hour's counts since the last merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HourDelta {
    pub(super) hour: Hour,
    /// Of pages that have a report row in this hour, and so in its day and month.
    pub(super) existing: PageDeltas,
    /// Of all other pages.
    pub(super) new: PageDeltas,
}

/// All report rows of one grain and time: the grain, and the first hour.
pub(super) type Bucket = (Grain, Hour);

/// The changes to add to each of some buckets: an hour, its day and its month share them if nothing else has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketDelta {
    pub(super) buckets: Vec<Bucket>,
    /// Of rows that exist in each of these buckets.
    pub(super) existing: PageDeltas,
    /// Of rows that may have to be inserted, the site's among them.
    pub(super) new: PageDeltas,
}

impl PageDeltas {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.names.iter().map(String::as_str).zip(self.views.iter().copied())
    }

    pub(super) fn push(&mut self, name: String, views: i64) {
        self.names.push(name);
        self.views.push(views);
    }

    /// Appends deltas of names that sort after all of these.
    pub(super) fn append(&mut self, mut later: Self) {
        self.names.append(&mut later.names);
        self.views.append(&mut later.views);
    }

    fn sum(&self) -> i64 {
        self.views.iter().sum()
    }
}

impl IntoIterator for PageDeltas {
    type Item = (String, i64);
    type IntoIter = std::iter::Zip<std::vec::IntoIter<String>, std::vec::IntoIter<i64>>;

    fn into_iter(self) -> Self::IntoIter {
        self.names.into_iter().zip(self.views)
    }
}

impl FromIterator<(String, i64)> for PageDeltas {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(rows: I) -> Self {
        let (names, views) = rows.into_iter().unzip();
        Self { names, views }
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
    let grown = hour_deltas.into_iter().filter(|hour_delta| hour_delta.counts() > 0);
    let hours: Vec<_> = grown
        .map(|HourDelta { hour, existing, new }| BucketDelta { buckets: vec![(Grain::Hour, hour)], existing, new })
        .collect();
    let mut bucket_deltas = Vec::new();
    let days = roll_up(hours, Grain::Day, Hour::day_start, &mut bucket_deltas);
    let months = roll_up(days, Grain::Month, Hour::month_start, &mut bucket_deltas);
    bucket_deltas.extend(months);
    for BucketDelta { existing, new, .. } in &mut bucket_deltas {
        // The site's empty name sorts before all others.
        let site = existing.sum() + new.sum();
        new.names.insert(0, SITE.to_owned());
        new.views.insert(0, site);
    }
    bucket_deltas
}

/// Sums `parts` for the next larger buckets. A part that is alone in its larger bucket gets that bucket, too; the parts
/// of the other buckets are moved to `done`.
fn roll_up(
    parts: Vec<BucketDelta>,
    grain: Grain,
    start: fn(Hour) -> Hour,
    done: &mut Vec<BucketDelta>,
) -> Vec<BucketDelta> {
    let mut groups: BTreeMap<Hour, Vec<BucketDelta>> = BTreeMap::new();
    for part in parts {
        if let Some((_, hour)) = part.buckets.last() {
            groups.entry(start(*hour)).or_default().push(part);
        }
    }
    let rolled_up = groups.into_iter().map(|(hour, mut parts)| {
        let mut larger = if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            let sum = sum(&parts);
            done.append(&mut parts);
            sum
        };
        larger.buckets.push((grain, hour));
        larger
    });
    rolled_up.collect()
}

/// The sum of `parts`, for no bucket yet. A page whose row exists for one of them has a row in every larger bucket.
fn sum(parts: &[BucketDelta]) -> BucketDelta {
    let mut sums: BTreeMap<&str, (bool, i64)> = BTreeMap::new();
    for BucketDelta { existing, new, .. } in parts {
        for (deltas, existing) in [(existing, true), (new, false)] {
            for (name, views) in deltas.iter() {
                let (exists, sum) = sums.entry(name).or_default();
                *exists |= existing;
                *sum += views;
            }
        }
    }
    let mut bucket_delta =
        BucketDelta { buckets: Vec::new(), existing: PageDeltas::default(), new: PageDeltas::default() };
    for (name, (existing, views)) in sums {
        // An existing row that does not change need not be written.
        match existing {
            true if views == 0 => {}
            true => bucket_delta.existing.push(name.to_owned(), views),
            false => bucket_delta.new.push(name.to_owned(), views),
        }
    }
    bucket_delta
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn hour(day: u32, of_day: i16) -> Hour {
        Hour::new(NaiveDate::from_ymd_opt(2026, 2, day).unwrap(), of_day)
    }

    fn deltas<const N: usize>(deltas: [(&str, i64); N]) -> PageDeltas {
        deltas.map(|(name, views)| (name.to_owned(), views)).into_iter().collect()
    }

    #[test]
    fn single_hour_shares_its_delta_with_day_and_month() {
        let hour_delta = HourDelta { hour: hour(3, 5), existing: deltas([("/a", 2)]), new: deltas([("/b", 3)]) };
        let expected = BucketDelta {
            buckets: vec![(Grain::Hour, hour(3, 5)), (Grain::Day, hour(3, 0)), (Grain::Month, hour(1, 0))],
            existing: deltas([("/a", 2)]),
            new: deltas([("", 5), ("/b", 3)]),
        };
        assert_eq!(bucket_deltas(vec![hour_delta]), [expected]);
    }

    #[test]
    fn hours_of_a_day_and_days_of_a_month_are_summed() {
        let hour_deltas = vec![
            HourDelta { hour: hour(3, 5), existing: deltas([("/a", 1), ("/b", 10)]), new: deltas([("/new", 7)]) },
            HourDelta { hour: hour(3, 4), existing: deltas([("/a", 2)]), new: deltas([("/b", 20), ("/new", 7)]) },
            HourDelta { hour: hour(4, 0), existing: deltas([]), new: deltas([("/a", 4)]) },
        ];
        let bucket_deltas = bucket_deltas(hour_deltas);
        let of =
            |bucket| bucket_deltas.iter().find(|bucket_delta| bucket_delta.buckets.contains(&bucket)).unwrap().clone();
        let day = of((Grain::Day, hour(3, 0)));
        assert_eq!(day.buckets.len(), 1);
        assert_eq!(day.existing, deltas([("/a", 3), ("/b", 30)]), "existing in one of its hours");
        assert_eq!(day.new, deltas([("", 47), ("/new", 14)]));
        let month = of((Grain::Month, hour(1, 0)));
        assert_eq!(month.existing, deltas([("/a", 7), ("/b", 30)]));
        assert_eq!(month.new, deltas([("", 51), ("/new", 14)]));
        let alone = of((Grain::Hour, hour(4, 0)));
        assert_eq!(alone.buckets, [(Grain::Hour, hour(4, 0)), (Grain::Day, hour(4, 0))]);
        assert_eq!(bucket_deltas.len(), 5, "two hours, the hour that is a day, a day and the month");
    }

    #[test]
    fn deltas_that_sum_to_zero_are_not_written() {
        let hour_deltas = vec![
            HourDelta { hour: hour(3, 5), existing: deltas([("/a", 1)]), new: deltas([]) },
            HourDelta { hour: hour(3, 4), existing: deltas([("/a", -1)]), new: deltas([]) },
            HourDelta { hour: hour(3, 3), existing: deltas([]), new: deltas([]) },
        ];
        let bucket_deltas = bucket_deltas(hour_deltas);
        assert_eq!(bucket_deltas.len(), 3);
        assert_eq!(bucket_deltas[2].existing, PageDeltas::default());
        assert_eq!(bucket_deltas[2].new, deltas([("", 0)]));
    }
}
