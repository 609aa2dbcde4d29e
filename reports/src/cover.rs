//! Covers: the ranges of the report's hours, days and months that exactly fill an interval, with the largest that fit.

use entity::Hour;

const HOURS_PER_DAY: i32 = 24;

/// What the report has sums of: rows of days and months, and columns of hours in the rows of days.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Hour,
    Day,
    Month,
}

/// The sums of one unit that begin at or after `start` and before `end`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct RowRange {
    pub(super) unit: Unit,
    pub(super) start: Hour,
    pub(super) end: Hour,
}

/// Returns the cover of the hours from `start` up to `end`: at most five ranges, in the order of time (hours, days, months,
/// days, hours), and none for an empty interval.
pub(super) fn cover(start: Hour, end: Hour) -> Vec<RowRange> {
    cover_each(&[start, end])
}

/// Returns the cover of each interval between two neighbours of `boundaries`, such that no row lies in two of them. Ranges
/// that meet at a boundary are joined.
pub(super) fn cover_each(boundaries: &[Hour]) -> Vec<RowRange> {
    let mut ranges = Vec::new();
    for pair in boundaries.windows(2).filter(|pair| pair[0] < pair[1]) {
        fill(pair[0], pair[1], Unit::Month, &mut ranges);
    }
    ranges
}

/// Fills the middle with whole ones of `unit`, and both ends with the next smaller unit.
fn fill(start: Hour, end: Hour, unit: Unit, ranges: &mut Vec<RowRange>) {
    let (first, last) = match unit {
        Unit::Hour => (start, end),
        Unit::Day => (at_or_after(start, Hour::day_start, |day| day.plus(HOURS_PER_DAY)), end.day_start()),
        Unit::Month => (at_or_after(start, Hour::month_start, Hour::next_month_start), end.month_start()),
    };
    let finer = match unit {
        Unit::Hour => None,
        Unit::Day => Some(Unit::Hour),
        Unit::Month => Some(Unit::Day),
    };
    if first >= last {
        // No whole bucket fits.
        if let Some(finer) = finer {
            fill(start, end, finer, ranges);
        }
        return;
    }
    if let (Some(finer), true) = (finer, start < first) {
        fill(start, first, finer, ranges);
    }
    push(ranges, RowRange { unit, start: first, end: last });
    if let (Some(finer), true) = (finer, last < end) {
        fill(last, end, finer, ranges);
    }
}

/// Appends a range, or joins it with the last one if they meet.
fn push(ranges: &mut Vec<RowRange>, range: RowRange) {
    match ranges.last_mut() {
        Some(last) if last.unit == range.unit && last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
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
    fn interval_is_covered_by_the_coarsest_grains_that_fit() {
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
            RowRange { unit: Unit::Hour, start, end: day },
            RowRange { unit: Unit::Day, start: day, end: month },
            RowRange { unit: Unit::Month, start: month, end: end_month },
            RowRange { unit: Unit::Day, start: end_month, end: end_day },
            RowRange { unit: Unit::Hour, start: end_day, end },
        ];
        assert_eq!(cover(start, end), expected);
    }

    #[test]
    fn empty_interval_has_an_empty_cover() {
        let hour = hour("2026-01-01T00:00:00Z");
        assert_eq!(cover(hour, hour), []);
        assert_eq!(cover(hour.plus(1), hour), []);
    }

    /// The rows of the report of `views`, by grain and first hour.
    fn report(views: &BTreeMap<Hour, i64>) -> BTreeMap<(Unit, Hour), i64> {
        let mut report = BTreeMap::new();
        for (hour, views) in views {
            for key in [(Unit::Hour, *hour), (Unit::Day, hour.day_start()), (Unit::Month, hour.month_start())] {
                *report.entry(key).or_default() += views;
            }
        }
        report
    }

    /// The number of `ranges` that a report row lies in.
    fn times(ranges: &[RowRange], grain: Unit, hour: Hour) -> usize {
        ranges.iter().filter(|range| range.unit == grain && range.start <= hour && hour < range.end).count()
    }

    proptest! {
        #[test]
        fn covered_rows_add_up_to_the_hours_of_the_interval(
            views in prop::collection::btree_map(0..40_000_i32, 1..1_000_i64, 0..200),
            start in -100..40_100_i32,
            length in -10..40_000_i32,
        ) {
            let first = hour("2023-01-01T00:00:00Z");
            let views: BTreeMap<Hour, i64> = views.into_iter().map(|(hours, views)| (first.plus(hours), views)).collect();
            let (start, end) = (first.plus(start), first.plus(start + length));
            let brute_force: i64 = views.iter().filter(|(hour, _)| start <= **hour && **hour < end).map(|(_, views)| views).sum();

            let ranges = cover(start, end);
            let covered: i64 = report(&views)
                .iter()
                .map(|((grain, hour), views)| views * i64::try_from(times(&ranges, *grain, *hour)).unwrap())
                .sum();
            prop_assert_eq!(covered, brute_force);
            prop_assert!(ranges.len() <= 5);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        }

        #[test]
        fn rows_of_each_bucket_add_up_to_its_hours(
            views in prop::collection::btree_map(0..9_000_i32, 1..1_000_i64, 0..200),
            boundaries in prop::collection::btree_set(0..9_000_i32, 0..20),
        ) {
            let first = hour("2023-01-01T00:00:00Z");
            let views: BTreeMap<Hour, i64> = views.into_iter().map(|(hours, views)| (first.plus(hours), views)).collect();
            let boundaries: Vec<Hour> = boundaries.into_iter().map(|hours| first.plus(hours)).collect();
            let ranges = cover_each(&boundaries);
            let report = report(&views);
            for pair in boundaries.windows(2) {
                let within = |hour: &Hour| pair[0] <= *hour && *hour < pair[1];
                let brute_force: i64 = views.iter().filter(|(hour, _)| within(hour)).map(|(_, views)| views).sum();
                let covered: i64 = report
                    .iter()
                    .filter(|((grain, hour), _)| within(hour) && times(&ranges, *grain, *hour) > 0)
                    .map(|(_, views)| views)
                    .sum();
                prop_assert_eq!(covered, brute_force);
            }
        }
    }
}
