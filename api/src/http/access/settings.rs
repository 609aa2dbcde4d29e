//! The settings of access: tokens, anonymous access, origins and rate limits.

use std::{fmt, fs, io, net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::Args;

use super::{
    host::Host,
    origin::Origin,
    scopes::Scope,
    token::{Token, TokenError},
};

/// The most tokens: each is compared with the token of every request.
const TOKENS_MAX: usize = 1_000;
/// The default of `--rate-limit`, in requests a second.
const RATE_LIMIT: u32 = 500;
/// The default of `--rate-burst`, in requests.
const RATE_BURST: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// The default of `--rate-limit-increments`, in increments a second.
const RATE_LIMIT_INCREMENTS: u32 = 50_000;
/// The default of `--rate-burst-increments`: ten requests of the largest size, and half of the default of
/// `--queue-increments`.
const RATE_BURST_INCREMENTS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
/// The default of `--anonymous-increments`: as many as a page may gather while it is offline.
const ANONYMOUS_INCREMENTS: u32 = 100;
/// The default of `--anonymous-views`: one, so that the rate limit on increments also limits views. Two views of a page
/// are sent as two increments.
const ANONYMOUS_VIEWS: u32 = 1;

/// Who may do what, and how often.
#[derive(Args, Clone, Debug)]
pub struct AccessSettings {
    /// A token as 'SCOPES sha256:HEX CLIENT', which `analytics token` prints; scopes are increments, reports or both, and the
    /// client's name may be left out. Repeat it, or separate several by ';'
    #[arg(long, env = "ANALYTICS_TOKEN", value_delimiter = ';', value_name = "TOKEN", hide_env_values = true)]
    pub token: Vec<TokenText>,
    /// A file with a token in each line, read at start; empty lines and those that begin with # are left out
    #[arg(long, env = "ANALYTICS_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// What may be done without a token: increments, reports or both. When left out: nothing where there are tokens,
    /// and without tokens everything, on a loopback address only
    #[arg(long, env = "ANALYTICS_ANONYMOUS", value_delimiter = ',', value_name = "SCOPES", value_enum)]
    pub anonymous: Vec<Scope>,
    /// How many increments a request may have that is sent without a token, where not everything is open
    #[arg(long, env = "ANALYTICS_ANONYMOUS_INCREMENTS", default_value_t = ANONYMOUS_INCREMENTS, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub anonymous_increments: u32,
    /// How many views each of them may count
    #[arg(long, env = "ANALYTICS_ANONYMOUS_VIEWS", default_value_t = ANONYMOUS_VIEWS, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub anonymous_views: u32,
    /// Origins whose pages may ask too, such as `https://example.org`; repeat it, or separate several by ','
    #[arg(long, env = "ANALYTICS_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub allow_origin: Vec<Origin>,
    /// Names that this server answers for where everything is open to everybody, besides addresses and localhost, such as
    /// stats.example.org: a page of any other name could be led here by its DNS. Repeat it, or separate several by ','
    #[arg(long, env = "ANALYTICS_HOST", value_delimiter = ',', value_name = "NAME")]
    pub host: Vec<Host>,
    /// How many proxies in front add to the header x-forwarded-for; clients' addresses are taken from there
    #[arg(long, env = "ANALYTICS_TRUST_FORWARDED_FOR", default_value_t = 0, value_name = "PROXIES")]
    pub trust_forwarded_for: u8,
    /// Requests, and operations on sockets, that each token may send in a second, and each address without one, whose
    /// increments count one by one; 0 is no limit. Not where everything is open, on a loopback address without tokens
    #[arg(long, env = "ANALYTICS_RATE_LIMIT", default_value_t = RATE_LIMIT)]
    pub rate_limit: u32,
    /// How many of them may come at once after a pause
    #[arg(long, env = "ANALYTICS_RATE_BURST", default_value_t = RATE_BURST)]
    pub rate_burst: NonZeroU32,
    /// Increments that each token may record in a second; 0 is no limit
    #[arg(long, env = "ANALYTICS_RATE_LIMIT_INCREMENTS", default_value_t = RATE_LIMIT_INCREMENTS)]
    pub rate_limit_increments: u32,
    /// How many of them may come at once after a pause; a request that has more is refused
    #[arg(long, env = "ANALYTICS_RATE_BURST_INCREMENTS", default_value_t = RATE_BURST_INCREMENTS)]
    pub rate_burst_increments: NonZeroU32,
}

/// The unparsed text of a token setting. `Debug` does not show it, because it may be a secret put there by mistake.
#[derive(Clone)]
pub struct TokenText(String);

/// An error in the settings of access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The server would be open to everybody on an address that other machines can reach.
    #[error(
        "{0} can be reached from other machines: set --token or --tokens-file (`analytics token` makes one), or say with \
         --anonymous increments,reports what is open to everybody"
    )]
    OpenToAll(SocketAddr),
    /// A value of `--token` is not a token.
    #[error("--token, number {number}")]
    Setting {
        /// The position of the value, counted from 1.
        number: usize,
        /// The parse error.
        source: TokenError,
    },
    /// A line of `--tokens-file` is not a token.
    #[error("--tokens-file, line {number}")]
    Line {
        /// The line's number, counted from 1.
        number: usize,
        /// The parse error.
        source: TokenError,
    },
    /// `--tokens-file` can't be read.
    #[error("can't read --tokens-file {}", .file.display())]
    File {
        /// The path of the file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has no tokens. This is an error, because the server could be open without tokens.
    #[error("--tokens-file has no tokens")]
    NoTokens,
    /// There are more tokens than allowed.
    #[error("there must be at most {TOKENS_MAX} tokens")]
    TooMany,
}

impl AccessSettings {
    /// Parses all tokens, those of `--token` and those in the file.
    pub(super) fn tokens(&self) -> Result<Vec<Token>, AccessError> {
        let given =
            self.token.iter().enumerate().map(|(index, text)| {
                text.0.parse().map_err(|source| AccessError::Setting { number: index + 1, source })
            });
        let mut tokens = given.collect::<Result<Vec<Token>, _>>()?;
        if let Some(file) = &self.tokens_file {
            let text = fs::read_to_string(file).map_err(|source| AccessError::File { file: file.clone(), source })?;
            let before = tokens.len();
            for (index, line) in text.lines().enumerate().filter(|(_, line)| is_token(line)) {
                tokens.push(line.parse().map_err(|source| AccessError::Line { number: index + 1, source })?);
            }
            if tokens.len() == before {
                return Err(AccessError::NoTokens);
            }
        }
        if tokens.len() > TOKENS_MAX { Err(AccessError::TooMany) } else { Ok(tokens) }
    }
}

/// Returns whether a line is meant to be a token: it is neither empty nor a comment.
fn is_token(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

impl From<String> for TokenText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenText")
    }
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            token: Vec::new(),
            tokens_file: None,
            anonymous: Vec::new(),
            anonymous_increments: ANONYMOUS_INCREMENTS,
            anonymous_views: ANONYMOUS_VIEWS,
            allow_origin: Vec::new(),
            host: Vec::new(),
            trust_forwarded_for: 0,
            rate_limit: RATE_LIMIT,
            rate_burst: RATE_BURST,
            rate_limit_increments: RATE_LIMIT_INCREMENTS,
            rate_burst_increments: RATE_BURST_INCREMENTS,
        }
    }
}
