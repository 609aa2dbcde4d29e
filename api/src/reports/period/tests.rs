//! Intervals and what they are compared with, by the calendar.

use chrono_tz::{America::New_York, America::Sao_Paulo, Asia::Kolkata, Europe::Berlin, UTC};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn hours(interval: Interval) -> i32 {
    interval.end.since(interval.start)
}

fn of_period(period: Period, zone: Tz, now: DateTime<Utc>, first: Option<Hour>) -> Interval {
    IntervalChoice::Period(period).interval(zone, now, first)
}

/// The interval that `period` is compared with when all up to `now` is counted.
fn previous(period: Period, comparison: Comparison, zone: Tz, now: &str) -> Option<String> {
    let previous = IntervalChoice::Period(period).previous(comparison, zone, at(now), Some(at(now)))?;
    let text = |hour: Hour| hour.start().format("%Y-%m-%dT%H").to_string();
    Some(format!("{} {}", text(previous.start), text(previous.end)))
}

#[test]
fn periods_are_the_callers_days() {
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
fn all_time_begins_with_the_first_count() {
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
    // In São Paulo clocks were put forward at midnight: the day began at 01:00, which is 03:00 in UTC.
    let day = of_period(Period::Today, Sao_Paulo, at("2018-11-04T12:00:00Z"), None);
    assert_eq!((day.start.start(), hours(day)), (at("2018-11-04T03:00:00Z"), 23));
}

#[test]
fn half_hour_zones_are_cut_at_the_hour_below_and_say_so() {
    let day = of_period(Period::Today, Kolkata, at("2026-01-10T12:00:00Z"), None);
    assert_eq!((day.start.start(), hours(day), day.exact), (at("2026-01-09T18:00:00Z"), 24, false));
    assert!(of_period(Period::Today, Berlin, at("2026-01-10T12:00:00Z"), None).exact);
}

#[test]
fn ranges_are_cut_at_whole_hours() {
    let range = Range::new(at("2026-01-01T00:30:00Z"), at("2026-01-01T05:00:00Z")).unwrap().interval();
    assert_eq!((range.start.start(), hours(range), range.exact), (at("2026-01-01T00:00:00Z"), 5, false));
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
fn the_hour_under_way_has_not_elapsed() {
    let noon = "2026-03-02T00 2026-03-02T12";
    let compared = |now| previous(Period::Today, Comparison::PreviousPeriod, UTC, now);
    assert_eq!(compared("2026-03-03T12:59:59Z").as_deref(), Some(noon));
    assert_eq!(compared("2026-03-03T00:59:59Z").as_deref(), Some("2026-03-02T00 2026-03-02T00"));
}

#[test]
fn what_is_not_counted_yet_is_not_compared() {
    let choice = IntervalChoice::Period(Period::Yesterday);
    let compared = |as_of| {
        let previous = choice.previous(Comparison::PreviousPeriod, UTC, at("2026-03-03T12:00:00Z"), as_of).unwrap();
        (previous.start.start(), previous.end.start())
    };
    let day = at("2026-03-01T00:00:00Z");
    // Yesterday is over, but counted until ten only.
    assert_eq!(compared(Some(at("2026-03-02T10:20:00Z"))), (day, at("2026-03-01T10:00:00Z")));
    assert_eq!(compared(Some(at("2026-02-02T10:20:00Z"))), (day, day));
    assert_eq!(compared(None), (day, day));
}

#[test]
fn months_of_other_lengths_are_compared_up_to_their_ends() {
    let compared = |now| previous(Period::ThisMonth, Comparison::PreviousPeriod, UTC, now).unwrap();
    assert_eq!(compared("2026-03-28T12:00:00Z"), "2026-02-01T00 2026-02-28T12");
    assert_eq!(compared("2026-03-29T00:00:00Z"), "2026-02-01T00 2026-03-01T00");
    assert_eq!(compared("2026-03-31T12:00:00Z"), "2026-02-01T00 2026-03-01T00");
    assert_eq!(compared("2026-04-30T23:00:00Z"), "2026-03-01T00 2026-03-30T23");
}

#[test]
fn days_are_compared_by_their_clocks_when_those_change() {
    let compared = |now| previous(Period::Today, Comparison::PreviousPeriod, Berlin, now).unwrap();
    // 2026-03-29 has 23 hours in Berlin: noon comes after 11 of them, the day before after 12.
    assert_eq!(compared("2026-03-29T10:00:00Z"), "2026-03-27T23 2026-03-28T11");
    assert_eq!(compared("2026-03-30T10:00:00Z"), "2026-03-28T23 2026-03-29T10");
    // 2026-10-25 has 25.
    assert_eq!(compared("2026-10-25T11:00:00Z"), "2026-10-23T22 2026-10-24T10");
    assert_eq!(compared("2026-10-26T11:00:00Z"), "2026-10-24T22 2026-10-25T11");
    // São Paulo's 2018-11-04 began at 01:00: the day before began at midnight.
    let after = IntervalChoice::Period(Period::Today).previous(
        Comparison::PreviousPeriod,
        Sao_Paulo,
        at("2018-11-04T15:00:00Z"),
        Some(at("2018-11-04T03:30:00Z")),
    );
    assert_eq!(after.map(|day| (day.start.start(), hours(day))), Some((at("2018-11-03T03:00:00Z"), 0)));
}

#[test]
fn a_leap_day_has_no_last_year() {
    let compared = |period, now| previous(period, Comparison::SamePeriodLastYear, UTC, now);
    assert_eq!(compared(Period::Today, "2024-02-29T12:00:00Z"), None);
    assert_eq!(compared(Period::Today, "2025-02-28T12:00:00Z").as_deref(), Some("2024-02-28T00 2024-02-28T12"));
    // 28 February is compared with 28 and 29 February: up to 1 March.
    assert_eq!(compared(Period::Yesterday, "2025-03-01T12:00:00Z").as_deref(), Some("2024-02-28T00 2024-03-01T00"));
    assert_eq!(compared(Period::ThisYear, "2024-02-29T12:00:00Z").as_deref(), Some("2023-01-01T00 2023-03-01T00"));
}

#[test]
fn a_range_is_compared_with_what_is_as_long_and_with_the_same_dates() {
    let range = Range::new(at("2026-03-20T10:00:00Z"), at("2026-04-02T10:00:00Z")).unwrap();
    let compared = |comparison, zone, as_of| {
        let previous =
            IntervalChoice::Range(range).previous(comparison, zone, at("2027-01-01T00:00:00Z"), Some(at(as_of)));
        previous.map(|previous| (previous.start.start(), previous.end.start())).unwrap()
    };
    let over = "2027-01-01T00:00:00Z";
    let expected = (at("2026-03-07T10:00:00Z"), at("2026-03-20T10:00:00Z"));
    assert_eq!(compared(Comparison::PreviousPeriod, Berlin, over), expected);
    let expected = (at("2026-03-07T10:00:00Z"), at("2026-03-08T10:00:00Z"));
    assert_eq!(compared(Comparison::PreviousPeriod, Berlin, "2026-03-21T10:30:00Z"), expected);
    // Berlin's clocks changed a day later in 2025 than in 2026, within both ranges.
    let expected = (at("2025-03-20T10:00:00Z"), at("2025-04-02T10:00:00Z"));
    assert_eq!(compared(Comparison::SamePeriodLastYear, Berlin, over), expected);
    let ancient = Range::new(at("0001-01-01T00:00:00Z"), at("9999-01-01T00:00:00Z")).unwrap();
    let ancient = IntervalChoice::Range(ancient).previous(Comparison::PreviousPeriod, UTC, at(over), Some(at(over)));
    assert!(ancient.is_some_and(|ancient| ancient.start.start() == at("0001-01-01T00:00:00Z")));
}

#[test]
fn half_hour_zones_are_compared_with_what_is_cut_alike() {
    let choice = IntervalChoice::Period(Period::Today);
    let now = at("2026-01-10T12:00:00Z");
    let previous = choice.previous(Comparison::PreviousPeriod, Kolkata, now, Some(now)).unwrap();
    let expected = (at("2026-01-08T18:00:00Z"), at("2026-01-09T12:00:00Z"), false);
    assert_eq!((previous.start.start(), previous.end.start(), previous.exact), expected);
    let year = choice.previous(Comparison::SamePeriodLastYear, Kolkata, now, Some(now)).unwrap();
    assert_eq!((year.start.start(), year.end.start()), (at("2025-01-09T18:00:00Z"), at("2025-01-10T12:00:00Z")));
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

proptest! {
    #[test]
    fn periods_follow_each_other_in_every_zone(
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.as_slice()),
        seconds in 0..2_500_000_000_i64,
    ) {
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let of = |period| of_period(period, zone, now, None);
        let hour = Hour::containing(now);
        for period in [Period::Today, Period::Last7Days, Period::Last30Days, Period::ThisMonth, Period::ThisYear] {
            let interval = of(period);
            prop_assert!(interval.start <= hour && now < interval.end.start() + chrono::TimeDelta::hours(1), "{period:?}");
        }
        prop_assert_eq!(of(Period::Yesterday).end, of(Period::Today).start);
        prop_assert_eq!(of(Period::LastMonth).end, of(Period::ThisMonth).start);
        prop_assert_eq!(of(Period::Last7Days).end, of(Period::Today).end);
        prop_assert_eq!(hours(of(Period::Last24Hours)), 24);
    }

    #[test]
    fn what_is_compared_with_grows_with_what_is_counted(
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.as_slice()),
        seconds in 0..2_500_000_000_i64,
        period in any_period(),
        last_year: bool,
    ) {
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let comparison = if last_year { Comparison::SamePeriodLastYear } else { Comparison::PreviousPeriod };
        let interval = of_period(period, zone, now, None);
        let length = interval.end.since(interval.start);
        let mut last: Option<(Hour, Interval)> = None;
        for part in 0..=40 {
            let counted = interval.start.plus((length * part).div_euclid(40));
            let as_of = Some(counted.start());
            let previous = IntervalChoice::Period(period).previous(comparison, zone, now, as_of);
            let Some(previous) = previous else { return Ok(()) };
            prop_assert!(previous.start <= previous.end);
            prop_assert!(previous.end <= interval.start || last_year);
            let shown = |hour: Hour| hour.start().with_timezone(&zone).naive_local();
            // Where clocks are put back, so is what they are compared with.
            if let Some((_, last)) = last.filter(|(then, _)| shown(*then) <= shown(counted)) {
                prop_assert_eq!(previous.start, last.start);
                prop_assert!(last.end <= previous.end, "{:?} {:?}", last, previous);
            }
            last = Some((counted, previous));
        }
    }
}
