//! Compares periods, buckets and local dates in every time zone with a simple model: a list of hours, each with its
//! date.

use std::collections::HashSet;

use chrono_tz::{America::New_York, Asia::Kolkata, Europe::Berlin, Pacific::Apia, UTC};
use proptest::prelude::*;

use super::*;
use crate::{Granularity, Interval, IntervalChoice, Period, Range};

/// An hour of the model.
#[derive(Copy, Clone, Debug)]
struct Named {
    hour: Hour,
    /// The local time, by the zone's offset floored to whole hours.
    local: NaiveDateTime,
    /// The greatest local date so far: days never repeat.
    date: NaiveDate,
}

/// Returns the hours from the one that contains `from` to the one that contains `to`.
fn model(zone: Tz, since: Option<Hour>, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Named> {
    let mut hours: Vec<Named> = Vec::new();
    let mut hour = Hour::containing(from);
    while hour.start() <= to {
        let utc = hour.start().naive_utc();
        let shown = hour.start().with_timezone(&zone).naive_local();
        let whole_hours = TimeDelta::hours((shown - utc).num_seconds().div_euclid(3_600));
        let local = if since.is_some_and(|since| hour < since) { utc } else { utc + whole_hours };
        let date = hours.last().map_or(local.date(), |last| last.date.max(local.date()));
        hours.push(Named { hour, local, date });
        hour = hour.plus(1);
    }
    hours
}

fn month(date: NaiveDate) -> i32 {
    date.year() * 12 + i32::try_from(date.month0()).unwrap()
}

/// Returns whether the day `date` is in the period.
fn is_in(period: Period, date: NaiveDate, today: NaiveDate) -> bool {
    let days = (today - date).num_days();
    let months = month(today) - month(date);
    match period {
        Period::Today => days == 0,
        Period::Yesterday => days == 1,
        Period::Last7Days => (0..7).contains(&days),
        Period::Last30Days => (0..30).contains(&days),
        Period::ThisMonth => months == 0,
        Period::LastMonth => months == 1,
        Period::Last12Months => (0..12).contains(&months),
        Period::ThisYear => date.year() == today.year(),
        Period::Last24Hours | Period::AllTime => unreachable!(),
    }
}

/// Returns a key that is equal for all hours of a bucket and different for other buckets.
fn bucket_of(granularity: Granularity, named: &Named, since: Option<Hour>) -> (i64, NaiveDate) {
    let date = named.date;
    match granularity {
        Granularity::Hour if since.is_some_and(|since| named.hour < since) => (0, date),
        Granularity::Hour => (named.hour.start().timestamp(), date),
        Granularity::Day => (0, date),
        Granularity::Week => (0, date - Days::new(date.weekday().num_days_from_monday().into())),
        Granularity::Month => (0, date.with_day(1).unwrap()),
    }
}

fn check_buckets(hours: &[Named], interval: Interval, granularity: Granularity, calendar: Calendar) {
    let within = |named: &&Named| interval.start <= named.hour && named.hour < interval.end;
    let key = |named: &Named| bucket_of(granularity, named, calendar.hours_since);
    let mut expected: Vec<(Hour, NaiveDateTime)> = Vec::new();
    let (mut keys, mut last) = (HashSet::new(), None);
    for named in hours.iter().filter(within) {
        if last != Some(key(named)) {
            last = Some(key(named));
            assert!(keys.insert(key(named)), "{granularity:?} comes twice: {named:?}");
            expected.push((named.hour, named.local));
        }
    }
    let buckets = interval.buckets(granularity, calendar).unwrap();
    let found: Vec<_> = buckets.iter().map(|bucket| (bucket.start, bucket.local_start)).collect();
    assert_eq!(found, expected, "{granularity:?}");
    let ends: Vec<_> = buckets.iter().map(|bucket| bucket.end).collect();
    let starts = buckets.iter().skip(1).map(|bucket| bucket.start).chain((!buckets.is_empty()).then_some(interval.end));
    assert_eq!(ends, starts.collect::<Vec<_>>());

    // A bucket is cut if the hour just outside of the interval belongs to it too.
    let key_at = |hour: Hour| key(&hours[usize::try_from(hour.since(hours[0].hour)).unwrap()]);
    for bucket in &buckets {
        let own = key_at(bucket.start);
        let is_cut = key_at(bucket.start.plus(-1)) == own || key_at(bucket.end) == own;
        assert_eq!(bucket.whole, !is_cut, "{granularity:?}: {bucket:?} in {interval:?}");
    }
}

/// Periods of a year are drawn rarely: the model needs most of its time for them.
fn any_period() -> impl Strategy<Value = Period> {
    let short = vec![
        Period::Today,
        Period::Yesterday,
        Period::Last7Days,
        Period::Last30Days,
        Period::ThisMonth,
        Period::LastMonth,
    ];
    prop_oneof![
        20 => prop::sample::select(short),
        1 => prop::sample::select(vec![Period::Last12Months, Period::ThisYear]),
    ]
}

fn check_period(
    zone: Tz,
    now: DateTime<Utc>,
    period: Period,
    granularity: Granularity,
    hours_since: Option<NaiveDate>,
) {
    let calendar = Calendar::new(zone, hours_since);
    let days = if matches!(period, Period::Last12Months | Period::ThisYear) { 800 } else { 70 };
    let hours = model(zone, calendar.hours_since, now - TimeDelta::days(days), now + TimeDelta::days(400.min(days)));
    let today = hours.iter().find(|named| named.hour == Hour::containing(now)).unwrap().date;
    let interval = IntervalChoice::Period(period).interval(calendar, || now.into(), None);
    let expected: Vec<_> =
        hours.iter().filter(|named| is_in(period, named.date, today)).map(|named| named.hour).collect();
    let found: Vec<_> = (0..interval.end.since(interval.start)).map(|hours| interval.start.plus(hours)).collect();
    assert_eq!(found, expected, "{period:?} at {now} in {zone}");
    // A period that has not ended contains now.
    if !matches!(period, Period::Yesterday | Period::LastMonth) {
        assert!(found.contains(&Hour::containing(now)), "{period:?} at {now} in {zone}");
    }
    let is_named_as_shown = |hour: Hour| {
        let named = hours.iter().find(|named| named.hour == hour).unwrap();
        named.local == hour.start().with_timezone(&zone).naive_local()
    };
    if interval.exact {
        assert!(is_named_as_shown(interval.start) && is_named_as_shown(interval.end), "{interval:?} in {zone}");
    }
    // A year has too many points by the hour.
    if granularity != Granularity::Hour || days == 70 {
        check_buckets(&hours, interval, granularity, calendar);
    }
    let last_day = IntervalChoice::Period(Period::Last24Hours).interval(calendar, || now.into(), None);
    assert!(last_day.start < last_day.end && last_day.end == Hour::containing(now).plus(1));
    check_buckets(&hours, last_day, Granularity::Day, calendar);
}

/// Checks that ranges can begin and end at every day's boundary, and that boundaries never go back.
fn check_ranges(zone: Tz, now: DateTime<Utc>, hours_since: Option<NaiveDate>) {
    let calendar = Calendar::new(zone, hours_since);
    let hours = model(zone, calendar.hours_since, now - TimeDelta::days(5), now + TimeDelta::days(2));
    let mut last = Hour::containing(DateTime::UNIX_EPOCH);
    for pair in hours.windows(2).skip(72) {
        let [before, named] = pair else { unreachable!() };
        if before.date < named.date {
            assert_eq!(calendar.cut(named.hour.start()), named.hour, "the start of {} in {zone}", named.date);
            // The minutes at which the clocks reach this date. There are two if they are put back right after midnight.
            let around = TimeDelta::hours(if hours_since.is_some() { 20 } else { 2 });
            let is_reached = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive() >= named.date;
            let goes_over = |at: &DateTime<Utc>| is_reached(*at) && !is_reached(*at - TimeDelta::minutes(1));
            let minutes = -around.num_minutes()..around.num_minutes();
            let midnights = minutes.map(|minutes| named.hour.start() + TimeDelta::minutes(minutes)).filter(goes_over);
            let cuts: Vec<_> = midnights.map(|midnight| calendar.cut(midnight)).collect();
            assert!(cuts.contains(&named.hour), "midnight of {} in {zone}: {cuts:?}", named.date);
        }
        for minutes in [0, 15, 30, 45] {
            let cut = calendar.cut(named.hour.start() + TimeDelta::minutes(minutes));
            assert!(last <= cut, "{named:?} in {zone}");
            assert!(!calendar.is_dropped(cut) || cut.of_day() == 0, "{named:?} in {zone}");
            last = cut;
        }
    }
}

/// Returns the hours of the years 2000 to 2030 in which the clocks of `zone` were changed.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    const WEEK_HOURS: i32 = 7 * 24;
    let ahead = |hour: Hour| zone.offset_from_utc_datetime(&hour.start().naive_utc()).fix();
    let weeks = (0..1_617).map(|weeks| Hour::containing(DateTime::UNIX_EPOCH).plus((1_566 + weeks) * WEEK_HOURS));
    let changed = weeks.filter(|week| ahead(*week) != ahead(week.plus(WEEK_HOURS)));
    let hour_of =
        |week: Hour| (0..WEEK_HOURS).map(|hours| week.plus(hours)).find(|hour| ahead(*hour) != ahead(hour.plus(1)));
    changed.filter_map(hour_of).map(Hour::start).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    /// Checks every zone at a random moment, and at one near a change of its clocks if there was any.
    #[test]
    fn periods_and_buckets_are_those_of_the_calendar_in_every_zone(
        draws in prop::collection::vec(
            (0..978_220_800_i64, -100_000..100_000_i64, any::<prop::sample::Index>(), any_period(), 0..4_usize, prop::option::of(0..60_i64)),
            chrono_tz::TZ_VARIANTS.len(),
        )
    ) {
        for (zone, (seconds, offset, change, period, granularity, kept_days)) in chrono_tz::TZ_VARIANTS.into_iter().zip(draws) {
            let changes = changes(zone);
            let near = (!changes.is_empty()).then(|| *change.get(&changes) + TimeDelta::seconds(offset));
            let any = DateTime::from_timestamp(946_684_800 + seconds, 0).unwrap();
            for now in [Some(any), near].into_iter().flatten() {
                let since = kept_days.map(|days| (now - TimeDelta::days(days + 2)).date_naive());
                let granularity = [Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month][granularity];
                check_period(zone, now, period, granularity, since);
                check_ranges(zone, now, since);
            }
        }
    }
}

fn hour(text: &str) -> Hour {
    Hour::containing(text.parse().unwrap())
}

#[test]
fn offsets_are_floored_to_whole_hours() {
    let local = |zone, at: &str| Calendar::new(zone, None).local(hour(at)).format("%Y-%m-%dT%H:%M").to_string();
    assert_eq!(local(Kolkata, "2026-01-09T19:00:00Z"), "2026-01-10T00:00");
    assert_eq!(local(chrono_tz::America::St_Johns, "2026-01-10T04:00:00Z"), "2026-01-10T00:00");
    assert_eq!(local(chrono_tz::Pacific::Chatham, "2026-01-10T11:00:00Z"), "2026-01-11T00:00");
    assert_eq!(local(Berlin, "2026-01-09T23:00:00Z"), "2026-01-10T00:00");
}

#[test]
fn skipped_date_has_no_hours_and_repeated_date_is_one_day() {
    let date = |text: &str| text.parse::<NaiveDate>().unwrap();
    let apia = Calendar::new(Apia, None);
    assert_eq!(apia.day_start(date("2011-12-30")), apia.day_start(date("2011-12-31")));
    assert_eq!(apia.date(apia.day_start(date("2011-12-31"))), date("2011-12-31"));
    // At Casey clocks were put back by three hours on 5 March 2010 at 02:00, so they showed 4 March for an hour again.
    let casey = Calendar::new(chrono_tz::Antarctica::Casey, None);
    assert_eq!(casey.local(hour("2010-03-04T15:00:00Z")).date(), date("2010-03-04"));
    assert_eq!(casey.date(hour("2010-03-04T15:00:00Z")), date("2010-03-05"));
    assert_eq!(casey.day_start(date("2010-03-05")), hour("2010-03-04T13:00:00Z"));
    // Kwajalein had 30 September 1969 for 47 hours.
    let kwajalein = Calendar::new(chrono_tz::Pacific::Kwajalein, None);
    let [start, end] = ["1969-09-30", "1969-10-01"].map(|day| kwajalein.day_start(date(day)));
    assert_eq!(end.since(start), 47);
}

#[test]
fn dates_are_those_of_utc_where_hours_were_dropped() {
    let since: NaiveDate = "2026-03-10".parse().unwrap();
    for zone in [UTC, Berlin, Kolkata, New_York] {
        let calendar = Calendar::new(zone, Some(since));
        for days in 1..10 {
            let date = since - Days::new(days);
            assert_eq!(calendar.day_start(date), Hour::new(date, 0), "{zone}");
            // Local midnight and midnight in UTC.
            let midnight = NaiveDateTime::new(date, NaiveTime::MIN);
            let local = zone.from_local_datetime(&midnight).unwrap().with_timezone(&Utc);
            assert_eq!([calendar.cut(local), calendar.cut(midnight.and_utc())], [Hour::new(date, 0); 2], "{zone}");
        }
        let days: Vec<_> = (0..14).map(|days| calendar.day_start(since - Days::new(10) + Days::new(days))).collect();
        assert!(days.is_sorted_by(|a, b| a < b), "{zone}");
    }
    let range = Range::new("2026-03-01T05:00:00Z".parse().unwrap(), "2026-03-03T05:00:00Z".parse().unwrap()).unwrap();
    let interval = range.interval(Calendar::new(New_York, Some(since)));
    assert_eq!((interval.start, interval.end), (hour("2026-03-01T00:00:00Z"), hour("2026-03-03T00:00:00Z")));
}

fn before(step: CalendarOffset, at: &str) -> String {
    step.before(at.parse().unwrap()).format("%Y-%m-%dT%H:%M").to_string()
}

#[test]
fn day_that_a_month_lacks_becomes_the_day_after_the_month() {
    for (step, at, expected) in [
        (CalendarOffset::Days(7), "2026-03-03T12:00:00", "2026-02-24T12:00"),
        (CalendarOffset::Months(1), "2026-03-28T12:00:00", "2026-02-28T12:00"),
        (CalendarOffset::Months(1), "2026-03-29T12:00:00", "2026-03-01T00:00"),
        (CalendarOffset::Months(1), "2026-03-31T12:00:00", "2026-03-01T00:00"),
        (CalendarOffset::Months(12), "2024-02-29T12:00:00", "2023-03-01T00:00"),
        (CalendarOffset::Months(12), "2025-02-28T12:00:00", "2024-02-28T12:00"),
        (CalendarOffset::Months(12), "2025-03-01T00:00:00", "2024-03-01T00:00"),
    ] {
        assert_eq!(before(step, at), expected, "{at}");
    }
}
