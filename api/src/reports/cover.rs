//! `cover`: the runs of report rows that exactly fill a range of hours, from the coarsest grains that fit.

use entity::{Grain, Hour};

const HOURS_PER_DAY: i32 = 24;

/// Rows of one grain whose buckets begin at or after `start` and before `end`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) grain: Grain,
    pub(super) start: Hour,
    pub(super) end: Hour,
}

/// At most five runs, in the order of time: hours, days, months, days, hours. None for an empty range.
pub(super) fn cover(start: Hour, end: Hour) -> Vec<Run> {
    cover_each(&[start, end])
}

/// The runs that fill each of the ranges between two neighbours of `cuts`, such that no row lies in two of them.
/// Runs that go on across a cut are one.
pub(super) fn cover_each(cuts: &[Hour]) -> Vec<Run> {
    let mut runs = Vec::new();
    for pair in cuts.windows(2).filter(|pair| pair[0] < pair[1]) {
        fill(pair[0], pair[1], Grain::Month, &mut runs);
    }
    runs
}

/// Fills the middle with whole buckets of `grain` and what is left at both ends with the next finer one.
fn fill(start: Hour, end: Hour, grain: Grain, runs: &mut Vec<Run>) {
    let (first, last) = match grain {
        Grain::Hour => (start, end),
        Grain::Day => (at_or_after(start, Hour::day_start, |day| day.plus(HOURS_PER_DAY)), end.day_start()),
        Grain::Month => (at_or_after(start, Hour::month_start, Hour::next_month_start), end.month_start()),
    };
    let finer = match grain {
        Grain::Hour => None,
        Grain::Day => Some(Grain::Hour),
        Grain::Month => Some(Grain::Day),
    };
    if first >= last {
        // Not one whole bucket fits.
        if let Some(finer) = finer {
            fill(start, end, finer, runs);
        }
        return;
    }
    if let (Some(finer), true) = (finer, start < first) {
        fill(start, first, finer, runs);
    }
    push(runs, Run { grain, start: first, end: last });
    if let (Some(finer), true) = (finer, last < end) {
        fill(last, end, finer, runs);
    }
}

/// Adds a run, to the last one where it goes on with it.
fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.grain == run.grain && last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}

fn at_or_after(hour: Hour, bucket: impl Fn(Hour) -> Hour, next: impl Fn(Hour) -> Hour) -> Hour {
    let begun = bucket(hour);
    if begun == hour { hour } else { next(begun) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;

    fn hour(text: &str) -> Hour {
        Hour::containing(text.parse::<DateTime<Utc>>().unwrap())
    }

    #[test]
    fn a_range_is_covered_from_the_coarsest_grains_that_fit() {
        let [start, day, month, end_month, end_day, end] = [
            "2025-11-28T22:00:00Z",
            "2025-11-29T00:00:00Z",
            "2025-12-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
            "2026-03-05T00:00:00Z",
            "2026-03-05T03:00:00Z",
        ]
        .map(hour);
        let expected = [
            Run { grain: Grain::Hour, start, end: day },
            Run { grain: Grain::Day, start: day, end: month },
            Run { grain: Grain::Month, start: month, end: end_month },
            Run { grain: Grain::Day, start: end_month, end: end_day },
            Run { grain: Grain::Hour, start: end_day, end },
        ];
        assert_eq!(cover(start, end), expected);
    }

    #[test]
    fn an_empty_range_needs_no_rows() {
        let hour = hour("2026-01-01T00:00:00Z");
        assert_eq!(cover(hour, hour), []);
        assert_eq!(cover(hour.plus(1), hour), []);
    }

    /// The report's sums of `views` by (grain, the bucket's first hour).
    fn report(views: &BTreeMap<Hour, i64>) -> BTreeMap<(Grain, Hour), i64> {
        let mut report = BTreeMap::new();
        for (hour, views) in views {
            for key in [(Grain::Hour, *hour), (Grain::Day, hour.day_start()), (Grain::Month, hour.month_start())] {
                *report.entry(key).or_default() += views;
            }
        }
        report
    }

    /// How many of `runs` a report row lies in.
    fn times(runs: &[Run], grain: Grain, hour: Hour) -> usize {
        runs.iter().filter(|run| run.grain == grain && run.start <= hour && hour < run.end).count()
    }

    proptest! {
        #[test]
        fn the_covered_rows_add_up_to_the_hours_in_the_range(
            views in prop::collection::btree_map(0..40_000_i32, 1..1_000_i64, 0..200),
            start in -100..40_100_i32,
            length in -10..40_000_i32,
        ) {
            let first = hour("2023-01-01T00:00:00Z");
            let views: BTreeMap<Hour, i64> = views.into_iter().map(|(hours, views)| (first.plus(hours), views)).collect();
            let (start, end) = (first.plus(start), first.plus(start + length));
            let brute_force: i64 = views.iter().filter(|(hour, _)| start <= **hour && **hour < end).map(|(_, views)| views).sum();

            let runs = cover(start, end);
            let covered: i64 = report(&views)
                .iter()
                .map(|((grain, hour), views)| views * i64::try_from(times(&runs, *grain, *hour)).unwrap())
                .sum();
            prop_assert_eq!(covered, brute_force);
            prop_assert!(runs.len() <= 5);
            prop_assert!(runs.windows(2).all(|pair| pair[0].end == pair[1].start));
        }

        #[test]
        fn the_rows_of_each_bucket_add_up_to_its_hours(
            views in prop::collection::btree_map(0..9_000_i32, 1..1_000_i64, 0..200),
            cuts in prop::collection::btree_set(0..9_000_i32, 0..20),
        ) {
            let first = hour("2023-01-01T00:00:00Z");
            let views: BTreeMap<Hour, i64> = views.into_iter().map(|(hours, views)| (first.plus(hours), views)).collect();
            let cuts: Vec<Hour> = cuts.into_iter().map(|hours| first.plus(hours)).collect();
            let runs = cover_each(&cuts);
            let report = report(&views);
            for pair in cuts.windows(2) {
                let within = |hour: &Hour| pair[0] <= *hour && *hour < pair[1];
                let brute_force: i64 = views.iter().filter(|(hour, _)| within(hour)).map(|(_, views)| views).sum();
                let covered: i64 = report
                    .iter()
                    .filter(|((grain, hour), _)| within(hour) && times(&runs, *grain, *hour) > 0)
                    .map(|(_, views)| views)
                    .sum();
                prop_assert_eq!(covered, brute_force);
            }
        }
    }
}
