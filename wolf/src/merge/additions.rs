//! What the counts of some hours have grown by, summed for all of the report's rows that it belongs to.

use std::collections::BTreeMap;

use entity::{Grain, Hour, page_views_report::SITE};

/// Names of report rows, in their order and none of them twice, and what their views grow by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deltas {
    pub(super) names: Vec<String>,
    pub(super) views: Vec<i64>,
}

/// What the counts of one hour have grown by since the report took them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) hour: Hour,
    /// Of the pages that the report has in this hour, and so in its day and month, too.
    pub(super) known: Deltas,
    /// Of the other pages.
    pub(super) new: Deltas,
}

/// The report's rows of one grain and time, of all names: the grain, and the first hour.
pub(super) type Bucket = (Grain, Hour);

/// What is to be added to each of some buckets: an hour, its day and its month share it when nothing else has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addition {
    pub(super) buckets: Vec<Bucket>,
    /// To rows that each of these buckets has.
    pub(super) known: Deltas,
    /// To rows that may have to be made; the site's is one of them.
    pub(super) new: Deltas,
}

impl Deltas {
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

    /// Appends what comes later in the order of names.
    pub(super) fn append(&mut self, mut later: Self) {
        self.names.append(&mut later.names);
        self.views.append(&mut later.views);
    }

    fn sum(&self) -> i64 {
        self.views.iter().sum()
    }
}

impl IntoIterator for Deltas {
    type Item = (String, i64);
    type IntoIter = std::iter::Zip<std::vec::IntoIter<String>, std::vec::IntoIter<i64>>;

    fn into_iter(self) -> Self::IntoIter {
        self.names.into_iter().zip(self.views)
    }
}

impl FromIterator<(String, i64)> for Deltas {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(rows: I) -> Self {
        let (names, views) = rows.into_iter().unzip();
        Self { names, views }
    }
}

impl Growth {
    /// How many counts have grown.
    pub(super) fn counts(&self) -> usize {
        self.known.len() + self.new.len()
    }
}

/// All that is to be added for what has grown in `growths`, one of each hour.
pub(super) fn additions(growths: Vec<Growth>) -> Vec<Addition> {
    let grown = growths.into_iter().filter(|growth| growth.counts() > 0);
    let hours: Vec<_> =
        grown.map(|Growth { hour, known, new }| Addition { buckets: vec![(Grain::Hour, hour)], known, new }).collect();
    let mut additions = Vec::new();
    let days = roll_up(hours, Grain::Day, Hour::day_start, &mut additions);
    let months = roll_up(days, Grain::Month, Hour::month_start, &mut additions);
    additions.extend(months);
    for Addition { known, new, .. } in &mut additions {
        // The empty name comes before all others.
        let site = known.sum() + new.sum();
        new.names.insert(0, SITE.to_owned());
        new.views.insert(0, site);
    }
    additions
}

/// Sums `parts` for the next larger buckets. A part that is alone in its bucket is added to that, too; parts that are
/// not are done.
fn roll_up(parts: Vec<Addition>, grain: Grain, start: fn(Hour) -> Hour, done: &mut Vec<Addition>) -> Vec<Addition> {
    let mut groups: BTreeMap<Hour, Vec<Addition>> = BTreeMap::new();
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

/// The sum of `parts`, for no bucket yet. A page that one of them knows has its row in whatever holds them all.
fn sum(parts: &[Addition]) -> Addition {
    let mut sums: BTreeMap<&str, (bool, i64)> = BTreeMap::new();
    for Addition { known, new, .. } in parts {
        for (deltas, known) in [(known, true), (new, false)] {
            for (name, views) in deltas.iter() {
                let (is_known, sum) = sums.entry(name).or_default();
                *is_known |= known;
                *sum += views;
            }
        }
    }
    let mut addition = Addition { buckets: Vec::new(), known: Deltas::default(), new: Deltas::default() };
    for (name, (known, views)) in sums {
        // A row that is there and stays as it is need not be written.
        match known {
            true if views == 0 => {}
            true => addition.known.push(name.to_owned(), views),
            false => addition.new.push(name.to_owned(), views),
        }
    }
    addition
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn hour(day: u32, of_day: i16) -> Hour {
        Hour::new(NaiveDate::from_ymd_opt(2026, 2, day).unwrap(), of_day)
    }

    fn deltas<const N: usize>(deltas: [(&str, i64); N]) -> Deltas {
        deltas.map(|(name, views)| (name.to_owned(), views)).into_iter().collect()
    }

    #[test]
    fn one_hour_is_added_to_its_day_and_month_as_it_is() {
        let growth = Growth { hour: hour(3, 5), known: deltas([("/a", 2)]), new: deltas([("/b", 3)]) };
        let expected = Addition {
            buckets: vec![(Grain::Hour, hour(3, 5)), (Grain::Day, hour(3, 0)), (Grain::Month, hour(1, 0))],
            known: deltas([("/a", 2)]),
            new: deltas([("", 5), ("/b", 3)]),
        };
        assert_eq!(additions(vec![growth]), [expected]);
    }

    #[test]
    fn hours_of_a_day_and_days_of_a_month_are_summed() {
        let growths = vec![
            Growth { hour: hour(3, 5), known: deltas([("/a", 1), ("/b", 10)]), new: deltas([("/new", 7)]) },
            Growth { hour: hour(3, 4), known: deltas([("/a", 2)]), new: deltas([("/b", 20), ("/new", 7)]) },
            Growth { hour: hour(4, 0), known: deltas([]), new: deltas([("/a", 4)]) },
        ];
        let additions = additions(growths);
        let of = |bucket| additions.iter().find(|addition| addition.buckets.contains(&bucket)).unwrap().clone();
        let day = of((Grain::Day, hour(3, 0)));
        assert_eq!(day.buckets.len(), 1);
        assert_eq!(day.known, deltas([("/a", 3), ("/b", 30)]), "known in one of its hours");
        assert_eq!(day.new, deltas([("", 47), ("/new", 14)]));
        let month = of((Grain::Month, hour(1, 0)));
        assert_eq!(month.known, deltas([("/a", 7), ("/b", 30)]));
        assert_eq!(month.new, deltas([("", 51), ("/new", 14)]));
        let alone = of((Grain::Hour, hour(4, 0)));
        assert_eq!(alone.buckets, [(Grain::Hour, hour(4, 0)), (Grain::Day, hour(4, 0))]);
        assert_eq!(additions.len(), 5, "two hours, the hour that is a day, a day and the month");
    }

    #[test]
    fn what_sums_to_nothing_is_not_written() {
        let growths = vec![
            Growth { hour: hour(3, 5), known: deltas([("/a", 1)]), new: deltas([]) },
            Growth { hour: hour(3, 4), known: deltas([("/a", -1)]), new: deltas([]) },
            Growth { hour: hour(3, 3), known: deltas([]), new: deltas([]) },
        ];
        let additions = additions(growths);
        assert_eq!(additions.len(), 3);
        assert_eq!(additions[2].known, Deltas::default());
        assert_eq!(additions[2].new, deltas([("", 0)]));
    }
}
