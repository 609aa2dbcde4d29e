//! The settings of access: tokens, anonymous access, origins and rate limits.

use std::{fmt, io, net::SocketAddr, num::NonZeroU32, path::PathBuf, str::Utf8Error};

use clap::Args;

use super::{
    host::Host,
    origin::Origin,
    scopes::Scope,
    site::{Site, SitesError},
    token::{Token, TokenError},
};

/// The most tokens: each is compared with the token of every request.
pub(super) const TOKENS_MAX: usize = 1_000;
/// The most bytes of `--tokens-file`: [`TOKENS_MAX`] lines and as many comments need a third of it.
pub(super) const TOKENS_FILE_BYTES_MAX: u64 = 1024 * 1024;
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
#[command(next_help_heading = "Access")]
pub struct AccessSettings {
    /// A token as 'SCOPES sha256:HEX CLIENT', which `analytics token` prints. SCOPES are increments, reports and manage,
    /// separated by ','; the client's name is optional. Repeat the flag, or separate several tokens by ';'
    #[arg(long, env = "ANALYTICS_TOKEN", value_delimiter = ';', value_name = "TOKEN", hide_env_values = true)]
    pub token: Vec<TokenText>,
    /// A file with one token per line, read at the start, at SIGHUP, and when it changes; empty lines and lines that begin
    /// with # are ignored
    #[arg(long, env = "ANALYTICS_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// The scopes of requests without a token: increments, reports or both; never manage. By default there are none if there
    /// are tokens; if there are no tokens, both, on a loopback address only
    #[arg(long, env = "ANALYTICS_ANONYMOUS", value_delimiter = ',', value_name = "SCOPES", value_enum)]
    pub anonymous: Vec<Scope>,
    /// The most increments of a request without a token, unless everything is open to everybody
    #[arg(long, env = "ANALYTICS_ANONYMOUS_INCREMENTS", default_value_t = ANONYMOUS_INCREMENTS, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub anonymous_increments: u32,
    /// The most views of an increment without a token, unless everything is open to everybody
    #[arg(long, env = "ANALYTICS_ANONYMOUS_VIEWS", default_value_t = ANONYMOUS_VIEWS, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub anonymous_views: u32,
    /// Origins whose pages may send requests too, such as `https://example.org`. Repeat the flag, or separate several by ','
    #[arg(long, env = "ANALYTICS_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub allow_origin: Vec<Origin>,
    /// Host names of this server where everything is open to everybody, besides addresses and localhost, such as
    /// stats.example.org; requests for other names are refused (DNS rebinding). Repeat the flag, or separate several by ','
    #[arg(long, env = "ANALYTICS_HOST", value_delimiter = ',', value_name = "NAME")]
    pub host: Vec<Host>,
    /// Sites whose pages may have their views recorded by browsers, without a token, such as `https://example.org`. With
    /// =PREFIX, such as `https://blog.example.org=/blog`, PREFIX stands before the paths of the site's pages. Repeat the
    /// flag, or separate several by ','
    #[arg(long, env = "ANALYTICS_SITE", value_delimiter = ',', value_name = "URL[=PREFIX]")]
    pub site: Vec<Site>,
    /// The number of proxies in front that append to the X-Forwarded-For header, from which clients' addresses are taken
    #[arg(long, env = "ANALYTICS_TRUST_FORWARDED_FOR", default_value_t = 0, value_name = "PROXIES")]
    pub trust_forwarded_for: u8,
    /// Requests per second, and operations on WebSockets, of each token, and of each address without a token, whose
    /// increments each count as a request; 0 is no limit. Ignored where everything is open to everybody
    #[arg(long, env = "ANALYTICS_RATE_LIMIT", value_name = "COUNT", default_value_t = RATE_LIMIT)]
    pub rate_limit: u32,
    /// The most requests at once, after a pause
    #[arg(long, env = "ANALYTICS_RATE_BURST", value_name = "COUNT", default_value_t = RATE_BURST)]
    pub rate_burst: NonZeroU32,
    /// Increments per second of each token; 0 is no limit
    #[arg(long, env = "ANALYTICS_RATE_LIMIT_INCREMENTS", value_name = "COUNT", default_value_t = RATE_LIMIT_INCREMENTS)]
    pub rate_limit_increments: u32,
    /// The most increments at once, after a pause; a request with more is refused
    #[arg(long, env = "ANALYTICS_RATE_BURST_INCREMENTS", value_name = "COUNT", default_value_t = RATE_BURST_INCREMENTS)]
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
    /// `--anonymous` has the scope `manage`.
    #[error(
        "--anonymous: manage is never given to requests without a token, since it takes away what was counted; give it to a \
         token (`analytics token --scopes manage` makes one)"
    )]
    AnonymousManage,
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
    /// A line of `--tokens-file` is not UTF-8.
    #[error("--tokens-file, line {number}: not UTF-8")]
    Text {
        /// The line's number, counted from 1.
        number: usize,
        /// The decoding error.
        source: Utf8Error,
    },
    /// A line of `--tokens-file` has one token more than allowed.
    #[error("--tokens-file, line {number}: there must be at most {TOKENS_MAX} tokens, those of --token included")]
    TooManyLines {
        /// The line's number, counted from 1.
        number: usize,
    },
    /// `--tokens-file` is too long.
    #[error("--tokens-file must be at most {TOKENS_FILE_BYTES_MAX} bytes")]
    FileTooLong,
    /// `--tokens-file` is to be read again and is a folder, a pipe or a device.
    #[error("--tokens-file {} is not a regular file, so it is not read again", .file.display())]
    NotAFile {
        /// The path of the file.
        file: PathBuf,
    },
    /// `--tokens-file` can't be read.
    #[error("can't read --tokens-file {}{}", .file.display(), missing_file_advice(source))]
    File {
        /// The path of the file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has no tokens. This is an error, because the server could be open without tokens.
    #[error("--tokens-file has no tokens; `analytics token` prints a line for it")]
    NoTokens,
    /// The list of sites is wrong.
    #[error(transparent)]
    Sites(#[from] SitesError),
    /// There are more tokens than allowed.
    #[error("--token: there must be at most {TOKENS_MAX} tokens")]
    TooMany,
}

impl AccessSettings {
    /// Parses the tokens of `--token`.
    pub(super) fn given_tokens(&self) -> Result<Vec<Token>, AccessError> {
        let given =
            self.token.iter().enumerate().map(|(index, text)| {
                text.0.parse().map_err(|source| AccessError::Setting { number: index + 1, source })
            });
        let given = given.collect::<Result<Vec<Token>, _>>()?;
        if given.len() > TOKENS_MAX { Err(AccessError::TooMany) } else { Ok(given) }
    }
}

/// Returns what can be done about a file that does not exist, in parentheses.
fn missing_file_advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::NotFound { " (`analytics token` prints the lines of such a file)" } else { "" }
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
            site: Vec::new(),
            trust_forwarded_for: 0,
            rate_limit: RATE_LIMIT,
            rate_burst: RATE_BURST,
            rate_limit_increments: RATE_LIMIT_INCREMENTS,
            rate_burst_increments: RATE_BURST_INCREMENTS,
        }
    }
}
