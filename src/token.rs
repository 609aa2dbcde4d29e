//! Makes a token.

use anyhow::Context;
use api::{
    http::access::{Scopes, Token},
    increments::ClientName,
};

use crate::terminal;

/// A token has as many random bytes: nobody guesses one.
const RANDOM_BYTES: usize = 32;
/// What tokens begin with, so that a program that looks for secrets in the wrong places knows one.
const PREFIX: &str = "analytics_";

/// Prints a new token, and what a server needs to know of it.
pub(crate) fn make(scopes: Scopes, client: Option<ClientName>) -> anyhow::Result<()> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).context("the system has no random numbers")?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let secret = format!("{PREFIX}{digits}");
    let token = Token::of_secret(&secret, scopes, client);
    terminal::print(&format!("token, for the client: {secret}\nline for --tokens-file: {token}\n"));
    Ok(())
}
