//! The hours of periods and ranges, and the hours that they are compared with.

use chrono::{DateTime, Utc};
use chrono_tz::{
    America::New_York, America::Sao_Paulo, Asia::Kathmandu, Asia::Kolkata, Europe::Berlin, Pacific::Apia, Tz, UTC,
};
use proptest::prelude::*;

use super::*;
use crate::interval::IntervalError;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn hours(interval: Interval) -> i32 {
    interval.end.since(interval.start)
}

fn of_period(period: Period, zone: Tz, now: DateTime<Utc>, first: Option<Hour>) -> Interval {
    IntervalChoice::Period(period).interval(Calendar::new(zone, None), || now.into(), first)
}

/// Returns counts that began in 1970 and reach up to the refresh at `looked_at`.
fn counted_until(looked_at: DateTime<Utc>) -> Counted {
    Counted { from: Hour::containing(DateTime::UNIX_EPOCH), until: Hour::containing(looked_at) }
}

/// Returns the comparison of `choice` when the newest refresh was at `looked_at`.
fn compared(
    choice: IntervalChoice,
    comparison: Comparison,
    zone: Tz,
    now: DateTime<Utc>,
    looked_at: DateTime<Utc>,
) -> Option<Compared> {
    choice.compared(comparison, Calendar::new(zone, None), || now.into(), counted_until(looked_at))
}

/// Returns the interval that `period` is compared with when all views up to `now` are counted.
fn previous(period: Period, comparison: Comparison, zone: Tz, now: &str) -> Option<String> {
    let previous = compared(IntervalChoice::Period(period), comparison, zone, at(now), at(now))?.other;
    let text = |hour: Hour| hour.start().format("%Y-%m-%dT%H").to_string();
    Some(format!("{} {}", text(previous.start), text(previous.end)))
}

#[test]
fn periods_follow_the_callers_time_zone() {
    let now = at("2026-03-01T02:30:00Z");
    let utc = of_period(Period::Today, UTC, now, None);
    assert_eq!((utc.start.start(), utc.end.start()), (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z")));
    // In New York it is still February.
    let york = of_period(Period::ThisMonth, New_York, now, None);
    assert_eq!((york.start.start(), york.end.start()), (at("2026-02-01T05:00:00Z"), at("2026-03-01T05:00:00Z")));
    let last = of_period(Period::Last24Hours, New_York, now, None);
    assert_eq!((last.start.start(), last.end.start()), (at("2026-02-28T03:00:00Z"), at("2026-03-01T03:00:00Z")));
    let year = of_period(Period::ThisYear, UTC, now, None);
    assert_eq!((year.start.start(), year.end.start()), (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")));
    assert_eq!(hours(of_period(Period::Last7Days, UTC, now, None)), 7 * 24);
    assert_eq!(hours(of_period(Period::Last30Days, UTC, now, None)), 30 * 24);
    let months = of_period(Period::Last12Months, UTC, now, None);
    assert_eq!((months.start.start(), months.end.start()), (at("2025-04-01T00:00:00Z"), at("2026-04-01T00:00:00Z")));
    let yesterday = of_period(Period::Yesterday, UTC, now, None);
    assert_eq!(yesterday.end, utc.start);
    let last_month = of_period(Period::LastMonth, UTC, now, None);
    assert_eq!(last_month.start.start(), at("2026-02-01T00:00:00Z"));
}

#[test]
fn all_time_begins_with_the_first_counted_hour() {
    let now = at("2026-03-01T02:30:00Z");
    let first = Hour::containing(at("2015-05-17T10:00:00Z"));
    let all = of_period(Period::AllTime, UTC, now, Some(first));
    assert_eq!((all.start, all.end.start()), (first, at("2026-03-01T03:00:00Z")));
    assert_eq!(hours(of_period(Period::AllTime, UTC, now, None)), 0);
}

#[test]
fn days_are_23_and_25_hours_long_when_clocks_change() {
    for (now, length) in [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25), ("2026-10-26T12:00:00Z", 24)] {
        assert_eq!(hours(of_period(Period::Today, Berlin, at(now), None)), length, "{now}");
    }
    // In São Paulo clocks were put forward at midnight: the day began at 01:00, which is 03:00 UTC.
    let day = of_period(Period::Today, Sao_Paulo, at("2018-11-04T12:00:00Z"), None);
    assert_eq!((day.start.start(), hours(day)), (at("2018-11-04T03:00:00Z"), 23));
}

#[test]
fn days_in_half_hour_zones_begin_with_the_next_hour_and_are_not_exact() {
    let day = of_period(Period::Today, Kolkata, at("2026-01-10T12:00:00Z"), None);
    assert_eq!((day.start.start(), hours(day), day.exact), (at("2026-01-09T19:00:00Z"), 24, false));
    assert!(of_period(Period::Today, Berlin, at("2026-01-10T12:00:00Z"), None).exact);
    for (zone, now, begun) in [
        // 23:40 and 00:20 in Kolkata: the new day begins with the next whole hour of UTC.
        (Kolkata, "2025-06-10T18:10:00Z", "2025-06-09T19:00:00Z"),
        (Kolkata, "2025-06-10T18:50:00Z", "2025-06-09T19:00:00Z"),
        (Kolkata, "2025-06-10T19:00:00Z", "2025-06-10T19:00:00Z"),
        // 00:44 in Kathmandu.
        (Kathmandu, "2025-06-10T18:59:00Z", "2025-06-09T19:00:00Z"),
        (Kathmandu, "2025-06-10T19:00:00Z", "2025-06-10T19:00:00Z"),
    ] {
        let today = of_period(Period::Today, zone, at(now), None);
        assert_eq!((today.start.start(), hours(today), today.exact), (at(begun), 24, false), "{now} in {zone}");
    }
}

#[test]
fn skipped_date_has_no_hours() {
    // Samoa went from 29 to 31 December 2011.
    let week = of_period(Period::Last7Days, Apia, at("2011-12-31T00:00:00Z"), None);
    assert_eq!(hours(week), 6 * 24);
    let yesterday = of_period(Period::Yesterday, Apia, at("2011-12-31T00:00:00Z"), None);
    assert_eq!(
        (yesterday.start, hours(yesterday)),
        (of_period(Period::Today, Apia, at("2011-12-31T00:00:00Z"), None).start, 0)
    );
}

#[test]
fn ranges_are_cut_at_whole_hours() {
    let range = |start, end, zone| {
        let range = Range::new(at(start), at(end)).unwrap().interval(Calendar::new(zone, None));
        (range.start.start(), hours(range), range.exact)
    };
    let expected = (at("2026-01-01T00:00:00Z"), 5, false);
    assert_eq!(range("2026-01-01T00:30:00Z", "2026-01-01T05:00:00Z", UTC), expected);
    // A whole day in Kolkata, and its hours.
    let expected = (at("2026-01-01T19:00:00Z"), 24);
    assert_eq!(range("2026-01-01T18:30:00Z", "2026-01-02T18:30:00Z", Kolkata), (expected.0, expected.1, false));
    assert_eq!(range("2026-01-01T19:00:00Z", "2026-01-02T19:00:00Z", Kolkata), (expected.0, expected.1, true));
    assert_eq!(Range::new(at("2026-01-02T00:00:00Z"), at("2026-01-01T00:00:00Z")), Err(IntervalError::Reversed));
}

#[test]
fn tuesday_noon_is_compared_with_last_tuesday_noon() {
    use Comparison::{PreviousPeriod, SamePeriodLastYear};
    // A Tuesday.
    let now = "2026-03-03T12:00:00Z";
    for (period, before, last_year) in [
        (Period::Today, "2026-03-02T00 2026-03-02T12", "2025-03-03T00 2025-03-03T12"),
        (Period::Yesterday, "2026-03-01T00 2026-03-02T00", "2025-03-02T00 2025-03-03T00"),
        (Period::Last24Hours, "2026-03-01T13 2026-03-02T12", "2025-03-02T13 2025-03-03T12"),
        (Period::Last7Days, "2026-02-18T00 2026-02-24T12", "2025-02-25T00 2025-03-03T12"),
        (Period::Last30Days, "2026-01-03T00 2026-02-01T12", "2025-02-02T00 2025-03-03T12"),
        (Period::ThisMonth, "2026-02-01T00 2026-02-03T12", "2025-03-01T00 2025-03-03T12"),
        (Period::LastMonth, "2026-01-01T00 2026-02-01T00", "2025-02-01T00 2025-03-01T00"),
        (Period::Last12Months, "2024-04-01T00 2025-03-03T12", "2024-04-01T00 2025-03-03T12"),
        (Period::ThisYear, "2025-01-01T00 2025-03-03T12", "2025-01-01T00 2025-03-03T12"),
    ] {
        assert_eq!(previous(period, PreviousPeriod, UTC, now).as_deref(), Some(before), "{period:?}");
        assert_eq!(previous(period, SamePeriodLastYear, UTC, now).as_deref(), Some(last_year), "{period:?}");
    }
    for comparison in [PreviousPeriod, SamePeriodLastYear] {
        assert_eq!(previous(Period::AllTime, comparison, UTC, now), None);
    }
}

#[test]
fn current_hour_is_not_compared() {
    let noon = "2026-03-02T00 2026-03-02T12";
    let compared = |now| previous(Period::Today, Comparison::PreviousPeriod, UTC, now);
    assert_eq!(compared("2026-03-03T12:59:59Z").as_deref(), Some(noon));
    assert_eq!(compared("2026-03-03T00:59:59Z").as_deref(), Some("2026-03-02T00 2026-03-02T00"));
}

#[test]
fn hours_not_counted_yet_are_not_compared() {
    let choice = IntervalChoice::Period(Period::Yesterday);
    let compared = |looked_at| {
        let now = at("2026-03-03T12:00:00Z");
        let compared = compared(choice, Comparison::PreviousPeriod, UTC, now, at(looked_at)).unwrap();
        assert_eq!(compared.part.start.start(), at("2026-03-02T00:00:00Z"));
        assert_eq!(hours(compared.part), hours(compared.other));
        (compared.other.start.start(), compared.other.end.start())
    };
    let day = at("2026-03-01T00:00:00Z");
    // Yesterday is over, but only counted up to 10:00.
    assert_eq!(compared("2026-03-02T10:20:00Z"), (day, at("2026-03-01T10:00:00Z")));
    assert_eq!(compared("2026-02-02T10:20:00Z"), (day, day));
}

#[test]
fn months_of_different_lengths_are_compared_up_to_their_ends() {
    let compared = |now| previous(Period::ThisMonth, Comparison::PreviousPeriod, UTC, now).unwrap();
    assert_eq!(compared("2026-03-28T12:00:00Z"), "2026-02-01T00 2026-02-28T12");
    assert_eq!(compared("2026-03-29T00:00:00Z"), "2026-02-01T00 2026-03-01T00");
    assert_eq!(compared("2026-03-31T12:00:00Z"), "2026-02-01T00 2026-03-01T00");
    assert_eq!(compared("2026-04-30T23:00:00Z"), "2026-03-01T00 2026-03-30T23");
}

#[test]
fn days_are_compared_by_local_time_when_clocks_change() {
    let compared = |now| previous(Period::Today, Comparison::PreviousPeriod, Berlin, now).unwrap();
    // 2026-03-29 has 23 hours in Berlin: noon comes after 11 of them, the day before after 12.
    assert_eq!(compared("2026-03-29T10:00:00Z"), "2026-03-27T23 2026-03-28T11");
    assert_eq!(compared("2026-03-30T10:00:00Z"), "2026-03-28T23 2026-03-29T10");
    // 2026-10-25 has 25 hours.
    assert_eq!(compared("2026-10-25T11:00:00Z"), "2026-10-23T22 2026-10-24T10");
    assert_eq!(compared("2026-10-26T11:00:00Z"), "2026-10-24T22 2026-10-25T11");
    // São Paulo's 2018-11-04 began at 01:00: the day before began at midnight.
    let today = IntervalChoice::Period(Period::Today);
    let (now, looked_at) = (at("2018-11-04T15:00:00Z"), at("2018-11-04T03:30:00Z"));
    let after = tests::compared(today, Comparison::PreviousPeriod, Sao_Paulo, now, looked_at).unwrap().other;
    assert_eq!((after.start.start(), hours(after)), (at("2018-11-03T03:00:00Z"), 0));
}

#[test]
fn leap_day_has_no_counterpart_last_year() {
    let compared = |period, now| previous(period, Comparison::SamePeriodLastYear, UTC, now);
    assert_eq!(compared(Period::Today, "2024-02-29T12:00:00Z"), None);
    assert_eq!(compared(Period::Today, "2025-02-28T12:00:00Z").as_deref(), Some("2024-02-28T00 2024-02-28T12"));
    // 28 February is compared with 28 and 29 February: up to 1 March.
    assert_eq!(compared(Period::Yesterday, "2025-03-01T12:00:00Z").as_deref(), Some("2024-02-28T00 2024-03-01T00"));
    assert_eq!(compared(Period::ThisYear, "2024-02-29T12:00:00Z").as_deref(), Some("2023-01-01T00 2023-03-01T00"));
    // The leap day makes the last 24 hours longer or shorter a year before.
    for now in ["2024-02-29T12:30:00Z", "2024-03-01T12:30:00Z", "2025-03-01T12:30:00Z", "2025-02-28T23:30:00Z"] {
        assert_eq!(compared(Period::Last24Hours, now), None, "{now}");
    }
    let expected = Some("2023-02-28T00 2023-02-28T23");
    assert_eq!(compared(Period::Last24Hours, "2024-02-28T23:30:00Z").as_deref(), expected);
    let range = Range::new(at("2024-02-29T12:00:00Z"), at("2024-03-01T12:00:00Z")).map(IntervalChoice::Range).unwrap();
    let over = at("2024-04-01T00:00:00Z");
    assert_eq!(tests::compared(range, Comparison::SamePeriodLastYear, UTC, over, over), None);
}

#[test]
fn range_is_compared_with_equal_length_or_same_dates() {
    let range = Range::new(at("2026-03-20T10:00:00Z"), at("2026-04-02T10:00:00Z")).unwrap();
    let compared = |comparison, zone, looked_at| {
        let now = at("2027-01-01T00:00:00Z");
        let other = compared(IntervalChoice::Range(range), comparison, zone, now, at(looked_at)).unwrap().other;
        (other.start.start(), other.end.start())
    };
    let over = "2027-01-01T00:00:00Z";
    let expected = (at("2026-03-07T10:00:00Z"), at("2026-03-20T10:00:00Z"));
    assert_eq!(compared(Comparison::PreviousPeriod, Berlin, over), expected);
    let expected = (at("2026-03-07T10:00:00Z"), at("2026-03-08T10:00:00Z"));
    assert_eq!(compared(Comparison::PreviousPeriod, Berlin, "2026-03-21T10:30:00Z"), expected);
    // Berlin's clocks changed a day later in 2025 than in 2026, within both ranges.
    let expected = (at("2025-03-20T10:00:00Z"), at("2025-04-02T10:00:00Z"));
    assert_eq!(compared(Comparison::SamePeriodLastYear, Berlin, over), expected);
    let ancient =
        Range::new(at("0001-01-01T00:00:00Z"), at("9999-01-01T00:00:00Z")).map(IntervalChoice::Range).unwrap();
    for comparison in [Comparison::PreviousPeriod, Comparison::SamePeriodLastYear] {
        assert_eq!(tests::compared(ancient, comparison, UTC, at(over), at(over)), None);
    }
}

#[test]
fn whole_days_are_compared_where_hours_were_dropped() {
    let now = at("2026-07-20T12:30:00Z");
    let compared = |choice: IntervalChoice, zone, since: &str| {
        let calendar = Calendar::new(zone, Some(since.parse().unwrap()));
        let Compared { part, other, .. } =
            choice.compared(Comparison::PreviousPeriod, calendar, || now.into(), counted_until(now)).unwrap();
        assert_eq!(hours(part), hours(other), "{choice:?} {since}");
        (part.end.start(), other.start.start(), other.end.start())
    };
    let week = IntervalChoice::Period(Period::Last7Days);
    let start = at("2026-07-07T00:00:00Z");
    let noon = (at("2026-07-20T12:00:00Z"), start, at("2026-07-13T12:00:00Z"));
    assert_eq!(compared(week, UTC, "2026-07-13"), noon);
    let midnight = (at("2026-07-20T00:00:00Z"), start, at("2026-07-13T00:00:00Z"));
    assert_eq!(compared(week, UTC, "2026-07-14"), midnight);
    // Three days in New York, and the three days before, which begin at midnight UTC.
    let days = Range::new(at("2026-07-15T04:00:00Z"), at("2026-07-18T04:00:00Z")).map(IntervalChoice::Range).unwrap();
    let expected = (at("2026-07-18T04:00:00Z"), at("2026-07-12T00:00:00Z"), at("2026-07-15T00:00:00Z"));
    assert_eq!(compared(days, New_York, "2026-07-14"), expected);
}

#[test]
fn half_hour_zones_are_compared_with_equally_cut_days() {
    let choice = IntervalChoice::Period(Period::Today);
    let now = at("2026-01-10T12:00:00Z");
    let previous = compared(choice, Comparison::PreviousPeriod, Kolkata, now, now).unwrap().other;
    let expected = (at("2026-01-08T19:00:00Z"), at("2026-01-09T12:00:00Z"), false);
    assert_eq!((previous.start.start(), previous.end.start(), previous.exact), expected);
    let year = compared(choice, Comparison::SamePeriodLastYear, Kolkata, now, now).unwrap().other;
    assert_eq!((year.start.start(), year.end.start()), (at("2025-01-09T19:00:00Z"), at("2025-01-10T12:00:00Z")));
}

fn any_period() -> impl Strategy<Value = Period> {
    prop::sample::select(vec![
        Period::Today,
        Period::Yesterday,
        Period::Last24Hours,
        Period::Last7Days,
        Period::Last30Days,
        Period::ThisMonth,
        Period::LastMonth,
        Period::Last12Months,
        Period::ThisYear,
    ])
}

/// Draws a time in the years 2000 to 2030.
fn any_moment() -> impl Strategy<Value = DateTime<Utc>> {
    (946_684_800..1_924_992_000_i64).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
}

fn any_zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(chrono_tz::TZ_VARIANTS.as_slice())
}

proptest! {
    #[test]
    fn other_interval_grows_with_the_counted_part(
        zone in any_zone(),
        now in any_moment(),
        period in any_period(),
        last_year: bool,
    ) {
        let comparison = if last_year { Comparison::SamePeriodLastYear } else { Comparison::PreviousPeriod };
        let interval = of_period(period, zone, now, None);
        let mut last: Option<(Hour, Interval)> = None;
        for part in 0..=40 {
            let until = interval.start.plus((hours(interval) * part).div_euclid(40));
            let compared = compared(IntervalChoice::Period(period), comparison, zone, now, until.start());
            let Some(Compared { part, other, .. }) = compared else { return Ok(()) };
            prop_assert_eq!((part.start, part.end), (interval.start, until));
            prop_assert!(other.start <= other.end);
            prop_assert!(other.end <= interval.start || last_year);
            // Where the clocks are put back, the end of the other interval goes back too.
            let shown = |hour| Calendar::new(zone, None).local(hour);
            if let Some((_, last)) = last.filter(|(then, _)| shown(*then) <= shown(until)) {
                prop_assert_eq!(other.start, last.start);
                prop_assert!(last.end <= other.end, "{:?} {:?}", last, other);
            }
            last = Some((until, other));
        }
    }

    /// Checks that both sides have the same number of hours, so that with one view per minute `change` is 0.
    #[test]
    fn both_sides_have_the_same_number_of_whole_hours(
        zone in any_zone(),
        now in any_moment(),
        period in any_period(),
        last_year: bool,
        since_look in 0..7_200_i64,
    ) {
        let comparison = if last_year { Comparison::SamePeriodLastYear } else { Comparison::PreviousPeriod };
        let looked_at = now - chrono::TimeDelta::seconds(since_look);
        let Some(Compared { part, other, .. }) = compared(IntervalChoice::Period(period), comparison, zone, now, looked_at)
        else { return Ok(()) };
        prop_assert!(hours(part) == 0 || part.end.start() <= looked_at, "an hour that is not over is compared");
        let calendar = Calendar::new(zone, None);
        let ahead = |hour: Hour| calendar.local(hour) - hour.start().naive_utc();
        let days = match (period, comparison) {
            (Period::Today | Period::Yesterday, Comparison::PreviousPeriod) => Some(1),
            (Period::Last24Hours, Comparison::PreviousPeriod) => Some(1),
            (Period::Last7Days, Comparison::PreviousPeriod) => Some(7),
            (Period::Last30Days, Comparison::PreviousPeriod) => Some(30),
            (Period::Last24Hours, Comparison::SamePeriodLastYear) => {
                let days = (calendar.local(part.start) - calendar.local(other.start)).num_days();
                prop_assert!(days == 365 || days == 366, "{}", days);
                Some(days)
            }
            _ => None,
        };
        // This holds only if the clocks were not changed and no date was skipped in between.
        let bounds = [part.start, part.end, other.start, other.end];
        if let Some(days) = days.filter(|_| bounds.iter().all(|hour| ahead(*hour) == ahead(part.start))) {
            prop_assert_eq!(hours(part), hours(other));
            prop_assert_eq!(part.start.since(other.start), 24 * i32::try_from(days).unwrap());
        }
        if period == Period::Last24Hours && comparison == Comparison::PreviousPeriod {
            prop_assert_eq!((hours(part), hours(other)), (hours(part).min(23), hours(part)));
        }
    }

    /// Otherwise a cached response could become wrong before its `ETag` changes.
    #[test]
    fn intervals_change_only_at_whole_hours(
        zone in any_zone(),
        now in any_moment(),
        period in any_period(),
        last_year: bool,
    ) {
        let hour = Hour::containing(now).start();
        prop_assert_eq!(of_period(period, zone, now, None), of_period(period, zone, hour, None));
        let comparison = if last_year { Comparison::SamePeriodLastYear } else { Comparison::PreviousPeriod };
        let compared = |now| compared(IntervalChoice::Period(period), comparison, zone, now, hour);
        prop_assert_eq!(compared(now), compared(hour));
        // The end of `ALL_TIME` moves five minutes earlier, since views may be recorded that far ahead of the clock.
        let step = DateTime::from_timestamp(now.timestamp() - now.timestamp().rem_euclid(300), 0).unwrap();
        let all = |now| of_period(Period::AllTime, zone, now, Some(Hour::containing(DateTime::UNIX_EPOCH)));
        prop_assert_eq!(all(now), all(step));
    }

    /// Each bucket has one beside it, in the same order and within the other interval, and none is longer than a day or hour.
    #[test]
    fn buckets_have_counterparts_within_the_other_interval(
        zone in any_zone(),
        now in any_moment(),
        period in any_period(),
        comparison in prop::sample::select(vec![
            Comparison::PreviousPeriod, Comparison::SamePeriodLastYear, Comparison::SameWeekdaysLastYear,
        ]),
        granularity in prop::sample::select(vec![
            Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month,
        ]),
    ) {
        let choice = IntervalChoice::Period(period);
        let Some(compared) = compared(choice, comparison, zone, now, now) else { return Ok(()) };
        let calendar = Calendar::new(zone, None);
        let buckets = of_period(period, zone, now, None).buckets(granularity, calendar).unwrap();
        let others = compared.buckets(&buckets, granularity, calendar);
        prop_assert_eq!(others.len(), buckets.len());
        let mut reached = compared.whole.start;
        for other in &others {
            prop_assert!(reached <= other.start && other.start <= other.end && other.end <= compared.whole.end);
            reached = other.end;
            if granularity == Granularity::Hour {
                prop_assert!(other.end.since(other.start) <= 1);
            }
            if granularity == Granularity::Day {
                prop_assert!(other.end <= calendar.next_day(other.start).max(other.start.plus(25)));
            }
        }
        prop_assert_eq!(others.first().map(|other| other.start), Some(compared.whole.start));
        // The part that is compared is never longer than the whole.
        prop_assert!(compared.other.end <= compared.whole.end && compared.other.start == compared.whole.start);
    }
}

#[test]
fn days_of_a_longer_or_shorter_month_have_their_own_counterparts_or_none() {
    let of_month = |now: &str| {
        let choice = IntervalChoice::Period(Period::ThisMonth);
        let compared = compared(choice, Comparison::PreviousPeriod, UTC, at(now), at(now)).unwrap();
        let calendar = Calendar::new(UTC, None);
        let buckets = of_period(Period::ThisMonth, UTC, at(now), None).buckets(Granularity::Day, calendar).unwrap();
        let others = compared.buckets(&buckets, Granularity::Day, calendar);
        let text =
            |bucket: &Bucket| format!("{} {}", bucket.start.start().format("%m-%d"), bucket.end.since(bucket.start));
        others.iter().map(text).collect::<Vec<_>>()
    };
    let march = of_month("2026-03-10T00:00:00Z");
    assert_eq!(march[26..], ["02-27 24", "02-28 24", "03-01 0", "03-01 0", "03-01 0"]);
    let february = of_month("2026-02-10T00:00:00Z");
    assert_eq!((february.len(), february[27].as_str()), (28, "01-28 24"));
}

#[test]
fn weeks_begin_on_the_calendars_day() {
    let interval = of_period(Period::ThisMonth, UTC, at("2026-03-10T00:00:00Z"), None);
    let starts = |calendar: Calendar| {
        let buckets = interval.buckets(Granularity::Week, calendar).unwrap();
        buckets.iter().map(|bucket| (bucket.start.start().format("%d").to_string(), bucket.whole)).collect::<Vec<_>>()
    };
    let monday = Calendar::new(UTC, None);
    // 1 March 2026 is a Sunday.
    let text =
        |pairs: &[(&str, bool)]| pairs.iter().map(|(day, whole)| ((*day).to_owned(), *whole)).collect::<Vec<_>>();
    assert_eq!(
        starts(monday),
        text(&[("01", false), ("02", true), ("09", true), ("16", true), ("23", true), ("30", false)])
    );
    let sunday = monday.with_weeks_from(chrono::Weekday::Sun);
    assert_eq!(starts(sunday), text(&[("01", true), ("08", true), ("15", true), ("22", true), ("29", false)]));
}
