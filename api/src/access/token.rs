//! Tokens. The server knows only their hashes.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::scopes::{ParseScopesError, Scopes};
use increments::{Client, ClientName, ParseClientNameError};

/// The prefix of a hash, which leaves room for other kinds of hashes.
const KIND: &str = "sha256:";
/// The bytes of a SHA-256 hash.
const HASH_BYTES: usize = 32;
/// The bytes of a token's hash that identify its client in stored idempotency keys when the token has no name.
const FINGERPRINT_BYTES: usize = 16;

/// The identity of a token: the beginning of its hash.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenId([u8; FINGERPRINT_BYTES]);

/// A token's scopes, hash and optional client name. Its text is `SCOPES sha256:HEX NAME`, such as
/// `increments,reports sha256:9f86… shop`, or the same without the name.
///
/// Secrets are 256 random bits and cannot be guessed, so a salt or a slow hash would add no protection.
#[derive(Clone)]
pub struct Token {
    pub(super) scopes: Scopes,
    pub(super) client: Client,
    hash: [u8; HASH_BYTES],
    name: Option<ClientName>,
}

/// The error for a text that is not a token. It does not repeat the text, which may be a secret put there by mistake.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text does not have two or three words.
    #[error("a token is 'SCOPES sha256:HEX' or 'SCOPES sha256:HEX CLIENT', as `analytics token` prints it")]
    Form,
    /// The first word is not a list of scopes.
    #[error(transparent)]
    Scopes(#[from] ParseScopesError),
    /// The second word is not a hash.
    #[error("the hash must be sha256: and 64 hexadecimal digits")]
    Hash,
    /// The third word is not a client's name.
    #[error(transparent)]
    Name(#[from] ParseClientNameError),
}

impl Token {
    /// Returns the token with this secret, these scopes and, if given, this client name.
    #[must_use]
    pub fn of_secret(secret: &str, scopes: Scopes, name: Option<ClientName>) -> Self {
        Self::new(scopes, hash(secret), name)
    }

    fn new(scopes: Scopes, hash: [u8; HASH_BYTES], name: Option<ClientName>) -> Self {
        let fingerprint = format!("{KIND}{}", hex::encode(&hash[..FINGERPRINT_BYTES]));
        Self { scopes, client: Client::of_token(&fingerprint, name.as_ref()), hash, name }
    }

    /// Returns the token's identity, which its holder's secret does not follow from.
    pub(super) fn id(&self) -> TokenId {
        let mut id = [0; FINGERPRINT_BYTES];
        id.copy_from_slice(&self.hash[..FINGERPRINT_BYTES]);
        TokenId(id)
    }

    /// Returns whether the token has this hash, in constant time.
    pub(super) fn is(&self, hash: &[u8; HASH_BYTES]) -> bool {
        self.hash.ct_eq(hash).into()
    }
}

/// Returns the SHA-256 hash of a secret.
pub(super) fn hash(secret: &str) -> [u8; HASH_BYTES] {
    Sha256::digest(secret).into()
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut words = text.split_whitespace();
        let (Some(scopes), Some(hash), name, None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(TokenError::Form);
        };
        let digits = hash.strip_prefix(KIND).ok_or(TokenError::Hash)?;
        let mut hash = [0; HASH_BYTES];
        hex::decode_to_slice(digits, &mut hash).map_err(|_not_hexadecimal| TokenError::Hash)?;
        Ok(Self::new(scopes.parse()?, hash, name.map(str::parse).transpose()?))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {KIND}{}", self.scopes, hex::encode(self.hash))?;
        self.name.iter().try_for_each(|name| write!(formatter, " {name}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of "test", made by `sha256sum`.
    const OF_TEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn token_text_round_trips() {
        let line = format!("increments,reports {OF_TEST}");
        let token: Token = line.parse().unwrap();
        assert_eq!(token.scopes, Scopes::WITHOUT_TOKEN);
        assert_eq!(token.to_string(), line);
        assert!(token.is(&hash("test")) && !token.is(&hash("Test")) && !token.is(&hash("")));
        assert_eq!(Token::of_secret("test", Scopes::WITHOUT_TOKEN, None).to_string(), line);
        let named = format!("{line} shop");
        assert_eq!(Token::of_secret("test", Scopes::WITHOUT_TOKEN, "shop".parse().ok()).to_string(), named);
        assert_eq!(named.parse::<Token>().unwrap().to_string(), named);
        let managing = format!("reports,manage {OF_TEST} office");
        assert_eq!(managing.parse::<Token>().unwrap().to_string(), managing);
        let capitals = format!("reports  {}", OF_TEST.to_uppercase().replace("SHA256", "sha256"));
        assert!(capitals.parse::<Token>().unwrap().is(&hash("test")));
    }

    #[test]
    fn errors_do_not_repeat_the_text() {
        for text in [
            "",
            "reports",
            "reports secret",
            "reports sha256:secret",
            "secret sha256:00",
            &format!("secret {OF_TEST}"),
            &format!("reports,{OF_TEST}"),
            &format!("reports {OF_TEST}0"),
            &format!("reports {OF_TEST} secret secret"),
            &format!("reports {OF_TEST} (secret)"),
            &format!("reports {}ü", &OF_TEST[..OF_TEST.len() - 2]),
            &format!("reports {}+f", &OF_TEST[..OF_TEST.len() - 2]),
        ] {
            let wrong = text.parse::<Token>().unwrap_err();
            assert!(!format!("{wrong} {wrong:?}").contains("secret"), "{text}: {wrong}");
        }
    }

    #[test]
    fn client_is_identified_by_its_name_or_token() {
        let client = |line: &str| line.parse::<Token>().unwrap().client;
        let other = OF_TEST.replace("9f86", "9f87");
        let named = |hash: &str| client(&format!("increments {hash} shop"));
        let nameless = |hash: &str| client(&format!("increments {hash}"));
        assert_eq!(nameless(OF_TEST), nameless(OF_TEST));
        assert_ne!(nameless(OF_TEST), nameless(&other));
        assert_ne!(named(OF_TEST), nameless(OF_TEST));
        assert_eq!(
            named(OF_TEST),
            Client::of_token("sha256:9f86d081884c7d659a2feaa0c55ad015", "shop".parse().ok().as_ref())
        );
        assert_ne!(named(OF_TEST), named(&other), "each knows what its own token has sent without a name");
    }

    #[test]
    fn debug_output_shows_no_hash() {
        let text = format!("{:?}", Token::of_secret("test", Scopes::WITHOUT_TOKEN, None));
        assert!(!text.contains("9f86") && !text.contains("159"), "{text}");
    }
}
