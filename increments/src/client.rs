//! The clients that idempotency keys belong to: the same text is a different key for each client.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest name of a client, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The id of the one client that all requests without a token belong to. Their addresses do not tell clients apart: an
/// address may change between two tries of a request.
const ANONYMOUS: &str = "(anonymous)";
/// The id in the keys of imports, and in the keys of older program versions, where keys did not belong to clients.
const SHARED: &str = "";

/// A client's name, such as `shop.example`: 1 to 64 ASCII letters, digits, `.`, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(Arc<str>);

/// The error for a text that is no client's name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client's name is 1 to {NAME_BYTES_MAX} letters, digits, '.', '-' and '_', all ASCII")]
pub struct ParseClientNameError;

impl FromStr for ClientName {
    type Err = ParseClientNameError;

    fn from_str(text: &str) -> Result<Self, ParseClientNameError> {
        let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_of_names) {
            return Err(ParseClientNameError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A client that sends requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The id that the client's keys are stored with: its name, its token's fingerprint or a constant. No name has
    /// brackets or a colon, so the three can't be equal. None is [`ANONYMOUS`].
    id: Option<Arc<str>>,
    /// The id that the client's older keys may be stored with, from before it had its `id`. None is [`SHARED`].
    former: Option<Arc<str>>,
}

impl Client {
    /// Returns the client of all requests without a token.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { id: None, former: None }
    }

    /// Returns the client of the token with this `fingerprint`. A token without a `name` is a client of its own. If the
    /// token gets a name later, its earlier keys remain valid.
    #[must_use]
    pub fn of_token(fingerprint: &str, name: Option<&ClientName>) -> Self {
        match name {
            Some(name) => Self { id: Some(Arc::clone(&name.0)), former: Some(fingerprint.into()) },
            None => Self { id: Some(fingerprint.into()), former: None },
        }
    }

    /// Returns the id that the client's keys are stored with.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or(ANONYMOUS)
    }

    /// Returns the other ids that a key of this client may be stored with. Other clients may have used the same key
    /// with these ids, so a request counts as a duplicate only if its increments are the same too.
    pub(super) fn former_ids(&self) -> [&str; 2] {
        [SHARED, self.former_id()]
    }

    /// Returns the id that the client had before it got its name, if it had another.
    #[must_use]
    pub fn id_before_its_name(&self) -> Option<&str> {
        self.former.as_deref()
    }

    /// Returns the second of the [former ids](Self::former_ids).
    pub(super) fn former_id(&self) -> &str {
        self.former.as_deref().unwrap_or(SHARED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_64_letters_digits_dots_dashes_and_underscores() {
        for name in ["shop", "shop.example", "A-1_b", &"a".repeat(NAME_BYTES_MAX)] {
            assert_eq!(name.parse::<ClientName>().unwrap().to_string(), name);
        }
        for text in ["", "a b", "(anonymous)", "sha256:00", "é", "a\u{202e}", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(text.parse::<ClientName>(), Err(ParseClientNameError), "{text}");
        }
    }
}
