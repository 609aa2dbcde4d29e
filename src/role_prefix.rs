//! The prefix of the names of logins.

use std::str::FromStr;

/// The longest prefix. PostgreSQL truncates names to 63 bytes, and the longest suffix, `_increments`, has 11.
const PREFIX_BYTES_MAX: usize = 48;

/// The prefix of the logins' names. It is inserted into SQL without quotes.
#[derive(Clone, Debug)]
pub(crate) struct RolePrefix(String);

/// The error for a text that is not a prefix.
#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error(
    "a prefix is a lower-case letter, then lower-case letters, digits or _, at most {PREFIX_BYTES_MAX} in all, such as \
     analytics"
)]
pub(crate) struct ParseRolePrefixError;

impl RolePrefix {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RolePrefix {
    type Err = ParseRolePrefixError;

    fn from_str(text: &str) -> Result<Self, ParseRolePrefixError> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = text.bytes().next().is_some_and(|first| first.is_ascii_lowercase()) && text.bytes().all(is_plain);
        if is_name && text.len() <= PREFIX_BYTES_MAX { Ok(Self(text.to_owned())) } else { Err(ParseRolePrefixError) }
    }
}
