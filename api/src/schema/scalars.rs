//! `SafeInt`.

use async_graphql::{InputValueError, InputValueResult, Number, Scalar, ScalarType, Value};
use serde::Deserialize;

/// The greatest whole number below which JavaScript has all of them: 2^53 - 1.
const SAFE_MAX: u64 = (1 << 53) - 1;

/// A whole number that JavaScript holds exactly.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct SafeInt(pub i64);

/// A number that JavaScript may not hold exactly.
#[derive(Debug, thiserror::Error)]
#[error("not between -(2^53 - 1) and 2^53 - 1")]
pub(crate) struct Unsafe;

impl TryFrom<i64> for SafeInt {
    type Error = Unsafe;

    fn try_from(number: i64) -> Result<Self, Unsafe> {
        if number.unsigned_abs() <= SAFE_MAX { Ok(Self(number)) } else { Err(Unsafe) }
    }
}

/// A whole number that JavaScript holds exactly: between -(2^53 - 1) and 2^53 - 1.
#[Scalar(name = "SafeInt")]
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
