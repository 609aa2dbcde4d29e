//! The tokens in force, which may change while the server runs.

use std::sync::Arc;

use tokio::sync::watch;

use super::token::{self, Token, TokenId};

/// A list of tokens, which does not change.
#[derive(Default)]
pub(crate) struct TokenList(Vec<Token>);

impl TokenList {
    /// Returns the token of this secret. Compares all tokens, so that the time tells nothing about which one matched.
    fn of_secret(&self, secret: &str) -> Option<&Token> {
        let hash = token::hash(secret);
        self.0.iter().fold(None, |found, token| if token.is(&hash) { Some(token) } else { found })
    }

    /// Returns the token with this identity: of several lines with one hash the last one, as for a secret.
    pub(super) fn with_id(&self, id: TokenId) -> Option<&Token> {
        self.0.iter().rfind(|token| token.id() == id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns how many tokens of this list `other` does not have.
    fn count_missing_in(&self, other: &Self) -> usize {
        self.0.iter().filter(|token| other.with_id(token.id()).is_none()).count()
    }
}

/// The tokens in force. Receivers are notified of every change.
pub(super) struct Tokens(watch::Sender<Arc<TokenList>>);

/// The difference between two lists of tokens, in numbers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenChanges {
    pub(super) tokens: usize,
    pub(super) added: usize,
    pub(super) removed: usize,
}

impl Tokens {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self(watch::Sender::new(Arc::new(TokenList(tokens))))
    }

    /// Returns the tokens in force now.
    pub(super) fn current(&self) -> Arc<TokenList> {
        Arc::clone(&self.0.borrow())
    }

    /// Returns a copy of the token of this secret.
    pub(super) fn of_secret(&self, secret: &str) -> Option<Token> {
        self.current().of_secret(secret).cloned()
    }

    /// Returns a receiver of all later changes.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<TokenList>> {
        self.0.subscribe()
    }

    /// Puts other tokens into force.
    pub(super) fn replace(&self, tokens: Vec<Token>) -> TokenChanges {
        let new = Arc::new(TokenList(tokens));
        let old = self.0.send_replace(Arc::clone(&new));
        TokenChanges { tokens: new.len(), added: new.count_missing_in(&old), removed: old.count_missing_in(&new) }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}
