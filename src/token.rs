//! `analytics token`: creates a token.

use anyhow::Context;
use api::access::Token;

use crate::{cli::TokenSettings, terminal};

/// The number of random bytes of a token, too many to be guessed.
const RANDOM_BYTES: usize = 32;
/// The prefix of tokens, by which secret scanners can recognize a leaked one.
const PREFIX: &str = "analytics_";

/// Prints a new token, and the line for the server's file of tokens.
pub(crate) fn create(settings: TokenSettings) -> anyhow::Result<()> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).context("the system has no random numbers")?;
    let digits = hex::encode(random);
    let secret = format!("{PREFIX}{digits}");
    let token = Token::of_secret(&secret, settings.scopes, settings.client);
    terminal::print(&format!("token, for the client: {secret}\nline for --tokens-file: {token}\n"));
    Ok(())
}
