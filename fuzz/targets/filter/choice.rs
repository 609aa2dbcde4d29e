//! Variables that are mostly valid, so that the code behind the checks is reached.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::TZ_VARIANTS;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use serde_json::{Value, json};

use super::service::{PAGES, hours_with_views};

const PERIODS: [&str; 10] = [
    "TODAY",
    "YESTERDAY",
    "LAST_24_HOURS",
    "LAST_7_DAYS",
    "LAST_30_DAYS",
    "THIS_MONTH",
    "LAST_MONTH",
    "LAST_12_MONTHS",
    "THIS_YEAR",
    "ALL_TIME",
];
const SECONDS_PER_DAY: i64 = 86_400;
/// From before the year 1 to after 9999, as Unix times.
const SECONDS: std::ops::RangeInclusive<i64> = -62_200_000_000..=253_500_000_000;

/// The variables of [`super::service::REPORT`].
pub fn variables(choices: &mut Unstructured) -> Result<Value> {
    Ok(json!({
        "filter": { "interval": interval(choices)?, "pages": pages(choices)?, "timeZone": zone(choices)? },
        "granularity": *choices.choose(&["HOUR", "DAY", "WEEK", "MONTH"])?,
        "compareTo": *choices.choose(&[None, Some("PREVIOUS_PERIOD"), Some("SAME_PERIOD_LAST_YEAR")])?,
        "first": first(choices)?,
    }))
}

fn interval(choices: &mut Unstructured) -> Result<Value> {
    Ok(match choices.int_in_range(0..=3)? {
        0 => json!({ "period": *choices.choose(&PERIODS)? }),
        1 => json!({ "range": { "start": text(time(choices)?), "end": text(time(choices)?) } }),
        2 => {
            let (start, days) = (time(choices)?, choices.int_in_range(0..=800)?);
            let length = TimeDelta::days(days) + TimeDelta::minutes(choices.int_in_range(0..=1_440)?);
            json!({ "range": { "start": text(start), "end": text(start + length) } })
        }
        _ => Value::Null,
    })
}

/// Any time, or one near a view.
fn time(choices: &mut Unstructured) -> Result<DateTime<Utc>> {
    let seconds = match choices.arbitrary()? {
        true => choices.int_in_range(SECONDS)?,
        false => {
            let hour = choices.choose(hours_with_views())?;
            hour.timestamp() + choices.int_in_range(-40 * SECONDS_PER_DAY..=40 * SECONDS_PER_DAY)?
        }
    };
    Ok(DateTime::from_timestamp(seconds, 0).unwrap_or_default())
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn zone(choices: &mut Unstructured) -> Result<Value> {
    Ok(match choices.int_in_range(0..=3)? {
        0 => Value::Null,
        1 => "UTC".into(),
        _ => choices.choose(&TZ_VARIANTS)?.name().into(),
    })
}

fn pages(choices: &mut Unstructured) -> Result<Value> {
    if choices.int_in_range(0..=4)? > 0 {
        return condition(choices);
    }
    let list = |choices: &mut Unstructured| {
        let count = choices.int_in_range(0..=3)?;
        (0..count).map(|_| condition(choices)).filter(|one| !matches!(one, Ok(Value::Null))).collect::<Result<Value>>()
    };
    let any = if choices.arbitrary()? { list(choices)? } else { Value::Null };
    Ok(json!({ "combined": { "any": any, "not": list(choices)? } }))
}

fn condition(choices: &mut Unstructured) -> Result<Value> {
    Ok(match choices.int_in_range(0..=6)? {
        0 => Value::Null,
        1 => {
            let count = choices.int_in_range(0..=3)?;
            let names = (0..count).map(|_| name(choices)).collect::<Result<Vec<_>>>()?;
            json!({ "names": names })
        }
        2 => json!({ "prefix": part(choices)? }),
        3 => json!({ "contains": part(choices)? }),
        4 => json!({ "contains": choices.arbitrary::<&str>()? }),
        5 => json!({ "search": { "text": part(choices)?, "ignoreCase": choices.arbitrary::<bool>()? } }),
        _ => json!({ "search": { "text": choices.arbitrary::<&str>()?, "ignoreCase": false } }),
    })
}

fn name<'a>(choices: &mut Unstructured<'a>) -> Result<&'a str> {
    match choices.int_in_range(0..=3)? {
        0 => choices.arbitrary(),
        _ => choices.choose(&PAGES).copied(),
    }
}

/// A piece of a page's name.
fn part(choices: &mut Unstructured) -> Result<String> {
    let characters: Vec<char> = choices.choose(&PAGES)?.chars().collect();
    let start = choices.int_in_range(0..=characters.len() - 1)?;
    let end = choices.int_in_range(start + 1..=characters.len())?;
    Ok(characters[start..end].iter().collect())
}

fn first(choices: &mut Unstructured) -> Result<Value> {
    Ok(match choices.int_in_range(0..=3)? {
        0 => Value::Null,
        1 => choices.int_in_range(-1..=1_001)?.into(),
        _ => choices.int_in_range(1..=12)?.into(),
    })
}
