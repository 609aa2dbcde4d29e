//! The scalars `SafeInt` and `LocalDateTime`.

use async_graphql::{InputValueError, InputValueResult, Number, Scalar, ScalarType, Value};
use chrono::NaiveDateTime;
use serde::Deserialize;

/// The greatest whole number up to which JavaScript holds all of them exactly: 2^53 - 1.
const SAFE_MAX: u64 = (1 << 53) - 1;

/// A whole number that JavaScript holds exactly.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct SafeInt(pub i64);

/// The error for a number that JavaScript may not hold exactly.
#[derive(Debug, thiserror::Error)]
#[error("not between -(2^53 - 1) and 2^53 - 1")]
pub(crate) struct OutOfSafeRange;

impl TryFrom<i64> for SafeInt {
    type Error = OutOfSafeRange;

    fn try_from(number: i64) -> Result<Self, OutOfSafeRange> {
        if number.unsigned_abs() <= SAFE_MAX { Ok(Self(number)) } else { Err(OutOfSafeRange) }
    }
}

/// A whole number that JavaScript holds exactly: between -(2^53 - 1) and 2^53 - 1.
#[Scalar(name = "SafeInt", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc7493#section-2.2")]
impl ScalarType for SafeInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        number.and_then(|number| Self::try_from(number).ok()).ok_or_else(|| InputValueError::expected_type(value))
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Number(number) if number.as_i64().is_some_and(|number| Self::try_from(number).is_ok()))
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(self.0))
    }
}

/// The format of a `LocalDateTime`.
const LOCAL_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// A date and a time of day without an offset from UTC.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalDateTime(pub NaiveDateTime);

/// A date and a time of day as the calendar and the clocks of a place show them, without an offset from UTC, such as
/// `2026-11-25T00:00:00`: RFC 3339's `full-date`, the letter T and its `partial-time` without fractions of a second. It is
/// no moment by itself: where clocks are put back, two hours have the same one.
#[Scalar(name = "LocalDateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339#section-5.6")]
impl ScalarType for LocalDateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let local = match &value {
            Value::String(text) => NaiveDateTime::parse_from_str(text, LOCAL_FORMAT).ok(),
            _ => None,
        };
        local.map(Self).ok_or_else(|| InputValueError::expected_type(value))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.format(LOCAL_FORMAT).to_string())
    }
}
