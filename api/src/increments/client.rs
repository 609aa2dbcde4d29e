//! The clients that idempotency keys belong to: equal keys of two clients are two keys.

use std::{fmt, str::FromStr, sync::Arc};

/// A client's name is at most this long.
const NAME_BYTES_MAX: usize = 64;
/// The client of all requests without a token. An address would not do: it may change between two tries of a request.
const ANONYMOUS: &str = "(anonymous)";
/// Stands with the keys of imports, and with those that any client claimed before keys belonged to clients.
const SHARED: &str = "";

/// A client's name, such as `shop.example`: 1 to 64 ASCII letters, digits, `.`, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(Arc<str>);

/// Reports that a text is no client's name.
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

/// The client that sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The text that its keys are stored with. No name has brackets or a colon.
    id: Arc<str>,
    /// The text that those of its keys may be stored with that it claimed before it had its `id`.
    former: Arc<str>,
}

impl Client {
    /// Returns the client of all requests without a token.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { id: ANONYMOUS.into(), former: SHARED.into() }
    }

    /// Returns the client of a token with this `fingerprint`. Without a `name` the token is a client of its own, and when it
    /// is given one the keys that it claimed before are still known.
    #[must_use]
    pub fn of_token(fingerprint: &str, name: Option<&ClientName>) -> Self {
        match name {
            Some(name) => Self { id: Arc::clone(&name.0), former: fingerprint.into() },
            None => Self { id: fingerprint.into(), former: SHARED.into() },
        }
    }

    /// Returns the client of all imports: a log counts once, whatever process imports it.
    pub(super) fn import() -> Self {
        Self { id: SHARED.into(), former: SHARED.into() }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the ids under which a key of this client may stand besides its own. Other clients may have used the key there,
    /// so a request is the same only if its increments are, too.
    pub(super) fn former_ids(&self) -> [&str; 2] {
        [SHARED, &self.former]
    }

    /// Returns the second of them.
    pub(super) fn former_id(&self) -> &str {
        &self.former
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["shop", "shop.example", "A-1_b", &"a".repeat(NAME_BYTES_MAX)] {
            assert_eq!(name.parse::<ClientName>().unwrap().to_string(), name);
        }
        for text in ["", "a b", "(anonymous)", "sha256:00", "é", "a\u{202e}", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(text.parse::<ClientName>(), Err(ParseClientNameError), "{text}");
        }
    }
}
