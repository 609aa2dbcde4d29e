//! `SafeInt`.

use async_graphql::{InputValueError, InputValueResult, Number, Scalar, ScalarType, Value};

/// The greatest whole number below which JavaScript has all of them: 2^53 - 1.
const SAFE_MAX: u64 = (1 << 53) - 1;

/// A whole number that JavaScript holds exactly.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SafeInt(pub i64);

/// A whole number that JavaScript holds exactly: between -(2^53 - 1) and 2^53 - 1.
#[Scalar(name = "SafeInt")]
impl ScalarType for SafeInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        match number {
            Some(number) if number.unsigned_abs() <= SAFE_MAX => Ok(Self(number)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Number(number) if number.as_i64().is_some_and(|number| number.unsigned_abs() <= SAFE_MAX))
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(self.0))
    }
}
