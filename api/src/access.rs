//! Authentication, authorization and rate limits. Every GraphQL request passes through here before anything else is
//! done for it.
//!
//! A handler takes a `Principal`, the authenticated client, and cannot act without it: an operation can be executed
//! only after `Operation::authorize`, and increments are recorded on the terms of `Principal::recording`.

mod address;
mod host;
mod origin;
mod rate;
mod scopes;
mod settings;
mod site;
mod token;
mod tokens;
mod tokens_file;

use std::{
    future::pending,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use tokio::sync::watch;
use tower_http::cors::CorsLayer;

pub(crate) use self::{
    address::{Network, Peer},
    site::SiteError,
    tokens::TokenList,
};
pub use self::{
    host::{Host, ParseHostError},
    origin::{Origin, ParseOriginError},
    scopes::{ParseScopesError, Scope, Scopes},
    settings::{AccessError, AccessSettings, TokenText},
    site::{ParseSiteError, Site, SitesError},
    token::{Token, TokenError},
    tokens_file::TokensFileWatch,
};
use self::{
    rate::{RateKey, RateLimit},
    site::Sites,
    tokens::{TokenChanges, Tokens},
    tokens_file::TokensFile,
};
use crate::{error_code::Code, metrics};
use increments::{Client, RecordingLimits};

/// The authorization scheme of tokens (RFC 6750).
const BEARER: &str = "Bearer";

/// The access rules of a server. A cheap handle: clone it.
#[derive(Clone)]
pub struct Access(Arc<Rules>);

#[derive(Default)]
struct Rules {
    tokens: Tokens,
    /// The file that some of the tokens are from.
    tokens_file: Option<TokensFile>,
    /// The scopes of requests without a token.
    anonymous: Scopes,
    /// Whether every request has all scopes but `manage`, and no limits. Only a server on a loopback address can be open.
    is_open: bool,
    origins: Vec<Origin>,
    /// The host names that requests may be for, besides addresses and localhost; none where any name is accepted.
    hosts: Option<Vec<Host>>,
    /// The sites whose pages may have their views recorded by browsers.
    sites: Sites,
    /// How many trusted proxies stand in front of this server.
    proxies: u8,
    /// Limits requests, and the increments of requests without a token.
    rate: Option<RateLimit>,
    /// Limits the increments of each token.
    token_increments: Option<RateLimit>,
    /// Limits the increments and views in a request without a token; none where everything is open.
    limits_without_token: Option<RecordingLimits>,
}

/// The sender of a request: a token's holder, or an anonymous client by its address.
#[derive(Clone)]
pub(crate) struct Principal {
    access: Access,
    network: Network,
    who: RateKey,
    scopes: Scopes,
    client: Client,
}

/// The right to change what was counted.
#[derive(Clone, Debug)]
pub(crate) struct ManagingTerms {
    /// The client that idempotency keys belong to.
    pub(crate) client: Client,
}

/// The terms on which a client records.
#[derive(Clone)]
pub(crate) struct RecordingTerms {
    /// The client that idempotency keys belong to.
    pub(crate) client: Client,
    pub(crate) limits: RecordingLimits,
    /// The principal whose increments are counted; none if they are not limited.
    principal: Option<Principal>,
    /// Whether no mutation of the operation has been counted yet.
    is_first: Arc<AtomicBool>,
}

impl RecordingTerms {
    /// Counts a mutation's increments: with a token against the limit on increments, without one against that on
    /// requests. In the latter case the operation was already counted as one request, which pays for one increment of
    /// its first mutation.
    ///
    /// # Errors
    /// [`AuthError::TooManyIncrements`] when there are more increments than the burst,
    /// [`AuthError::IncrementsTooOften`] when the limit is exceeded.
    pub(crate) fn count(&self, increments: u32) -> Result<(), AuthError> {
        let Some(principal) = &self.principal else { return Ok(()) };
        principal.count_increments(increments, self.is_first.swap(false, Ordering::Relaxed))
    }

    /// Returns terms without limits, of an anonymous client.
    pub(crate) fn unlimited() -> Self {
        let is_first = Arc::new(AtomicBool::new(true));
        Self { client: Client::anonymous(), limits: RecordingLimits::WIDEST, principal: None, is_first }
    }
}

/// The reason why a request is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("a token is needed, as 'authorization: Bearer TOKEN' in the headers or in connection_init")]
    NoToken,
    #[error("the authorization must be 'Bearer TOKEN'")]
    NotBearer,
    #[error("the token is not known here")]
    WrongToken,
    #[error(
        "what was counted is changed only with a token that has the scope manage, and this server has no tokens: start it with \
         --tokens-file"
    )]
    NoTokensHere,
    #[error("the token has not the scope {0}")]
    NoScope(Scope),
    #[error("the token is not known here any more")]
    TokenRemoved,
    #[error("the token has no longer the scope {0}")]
    ScopeRemoved(Scope),
    #[error("too many requests, try again in {0} s")]
    TooOften(u64),
    #[error("everything is open here, so only addresses, localhost and the names that --host gives are answered for")]
    WrongHost,
    #[error("input.increments must be at most {max}, which is {setting}, not {increments}")]
    TooManyIncrements { max: u32, setting: &'static str, increments: u32 },
    #[error("too many increments, try again in {0} s")]
    IncrementsTooOften(u64),
}

impl Access {
    /// Returns the limits of requests without a token that record, if they have others than those with one.
    pub(crate) fn limits_without_token(&self) -> Option<RecordingLimits> {
        self.0.limits_without_token
    }

    /// Returns the access rules of a server that listens on `listen`.
    ///
    /// # Errors
    /// When a token can't be read, when the server would be open to everybody on an address that is not loopback, when
    /// requests without a token were to have the scope `manage`, or when the list of sites is wrong.
    pub fn new(settings: &AccessSettings, listen: SocketAddr) -> Result<Self, AccessError> {
        let given = settings.given_tokens()?;
        let (tokens, tokens_file) = match &settings.tokens_file {
            Some(path) => TokensFile::open(path, given).map(|(file, tokens)| (tokens, Some(file)))?,
            None => (given, None),
        };
        if settings.anonymous.contains(&Scope::Manage) {
            return Err(AccessError::AnonymousManage);
        }
        let is_open = tokens.is_empty() && settings.anonymous.is_empty();
        if is_open && !listen.ip().to_canonical().is_loopback() {
            return Err(AccessError::OpenToAll(listen));
        }
        let anonymous = if is_open { Scopes::WITHOUT_TOKEN } else { settings.anonymous.iter().copied().collect() };
        let rate = |per_second, burst| {
            let per_second = NonZeroU32::new(per_second).filter(|_| !is_open)?;
            Some(RateLimit::new(per_second, burst))
        };
        Ok(Self(Arc::new(Rules {
            tokens: Tokens::new(tokens),
            tokens_file,
            anonymous,
            is_open,
            origins: settings.allow_origin.clone(),
            hosts: (anonymous == Scopes::WITHOUT_TOKEN).then(|| settings.host.clone()),
            sites: Sites::new(&settings.site)?,
            proxies: settings.trust_forwarded_for,
            rate: rate(settings.rate_limit, settings.rate_burst),
            token_increments: rate(settings.rate_limit_increments, settings.rate_burst_increments),
            limits_without_token: (!is_open)
                .then(|| RecordingLimits::anonymous(settings.anonymous_increments, settings.anonymous_views)),
        })))
    }

    /// Returns rules that permit nothing, for a process that serves only its health and metrics.
    #[must_use]
    pub fn deny_all() -> Self {
        Self(Arc::default())
    }

    /// Authenticates a request from `peer` and counts it against its rate limit. Without a token it is anonymous.
    ///
    /// # Errors
    /// When the `authorization` header is malformed or its token unknown, or when the rate limit is exceeded.
    pub(crate) fn principal(&self, peer: Peer, headers: &HeaderMap) -> Result<Principal, AuthError> {
        let anonymous = self.anonymous(peer, headers);
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        match anonymous.with(shown) {
            Ok(principal) => principal.check_rate().map(|()| principal),
            // A failed attempt counts against the address's rate limit, which so bounds the guessing of tokens.
            Err(denied) => Err(anonymous.check_rate().err().unwrap_or(denied)),
        }
    }

    /// Returns the principal of a request from `peer` without a token.
    fn anonymous(&self, peer: Peer, headers: &HeaderMap) -> Principal {
        let network = Network::of_client(peer, headers, self.0.proxies);
        Principal {
            access: self.clone(),
            network,
            who: RateKey::Address(network),
            scopes: self.0.anonymous,
            client: Client::anonymous(),
        }
    }

    /// Counts a view that a browser sends against the rate limit of its address. It needs no token.
    ///
    /// # Errors
    /// [`AuthError::TooOften`] when the limit is exceeded.
    pub(crate) fn count_view(&self, peer: Peer, headers: &HeaderMap) -> Result<(), AuthError> {
        self.anonymous(peer, headers).check_rate()
    }

    /// Returns the site of the page that sent a request: by its headers, and if they do not tell by `named`, the site's
    /// URL.
    ///
    /// # Errors
    /// When that is none of the sites that the settings name.
    pub(crate) fn site(&self, headers: &HeaderMap, named: Option<&str>) -> Result<&Site, SiteError> {
        self.0.sites.of_request(headers, named)
    }

    /// Returns the watch over the file of tokens, if there is one.
    #[must_use]
    pub fn tokens_file_watch(&self) -> Option<TokensFileWatch> {
        self.0.tokens_file.clone().map(|file| TokensFileWatch::new(self.clone(), file))
    }

    /// Puts other tokens into force. Sockets and event streams notice.
    fn replace_tokens(&self, tokens: Vec<Token>) -> TokenChanges {
        self.0.tokens.replace(tokens)
    }

    /// Returns how many tokens are in force.
    fn token_count(&self) -> usize {
        self.0.tokens.current().len()
    }

    /// Returns whether a connection's peer address is the client's, as far as the settings say, and not a proxy's.
    pub(crate) fn sees_clients(&self) -> bool {
        self.0.proxies == 0
    }

    /// Returns the CORS layer for the allowed origins, or none if there are no such origins.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        (!self.0.origins.is_empty()).then(|| origin::cors(&self.0.origins))
    }

    /// Returns the CORS layer by which pages of the sites can read whether their views were recorded.
    pub(crate) fn cors_of_sites(&self) -> CorsLayer {
        origin::cors_of_sites(self.0.sites.origins())
    }

    /// Returns whether this server answers for the host names of the request: for any, unless anonymous clients have all
    /// scopes. See `host` for the reason.
    pub(crate) fn answers_for(&self, request: &Request) -> bool {
        self.0.hosts.as_ref().is_none_or(|hosts| host::is_for(request, hosts))
    }

    /// Returns whether the request may open a socket: it comes from no web page, from one of this server, or from one
    /// of an allowed origin.
    pub(crate) fn allows_socket(&self, headers: &HeaderMap) -> bool {
        origin::may_open_socket(headers, &self.0.origins)
    }
}

impl Principal {
    /// Returns this principal with the rights of the token in `authorization`, or unchanged without one. A server that
    /// is open ignores tokens.
    ///
    /// # Errors
    /// When the text is not `Bearer TOKEN`, or the token is unknown.
    pub(crate) fn with(&self, authorization: Option<&str>) -> Result<Self, AuthError> {
        let Some(shown) = authorization.filter(|_| !self.access.0.is_open) else { return Ok(self.clone()) };
        let (scheme, secret) = shown.split_once(' ').ok_or(AuthError::NotBearer)?;
        if !scheme.eq_ignore_ascii_case(BEARER) {
            return Err(AuthError::NotBearer);
        }
        let token = self.access.0.tokens.of_secret(secret.trim()).ok_or(AuthError::WrongToken)?;
        Ok(Self { who: RateKey::Token(token.id()), scopes: token.scopes, client: token.client, ..self.clone() })
    }

    /// Returns a receiver of all later changes of the tokens in force.
    pub(crate) fn watch_tokens(&self) -> watch::Receiver<Arc<TokenList>> {
        self.access.0.tokens.watch()
    }

    /// Returns this principal with the rights that its token has now.
    ///
    /// # Errors
    /// [`AuthError::TokenRemoved`] when the token is gone, [`AuthError::ScopeRemoved`] when it lacks a scope that it had.
    pub(crate) fn renewed(&self) -> Result<Self, AuthError> {
        let RateKey::Token(id) = self.who else { return Ok(self.clone()) };
        let tokens = self.access.0.tokens.current();
        let token = tokens.with_id(id).ok_or(AuthError::TokenRemoved)?;
        match self.scopes.missing_in(token.scopes) {
            Some(lost) => Err(AuthError::ScopeRemoved(lost)),
            None => Ok(Self { scopes: token.scopes, client: token.client.clone(), ..self.clone() }),
        }
    }

    /// Waits until the principal's token is gone or lacks one of these scopes, and returns which of the two. Never returns for
    /// an anonymous client.
    pub(crate) async fn loses(&self, scopes: Scopes) -> AuthError {
        let RateKey::Token(id) = self.who else { return pending().await };
        let mut tokens = self.watch_tokens();
        loop {
            match tokens.borrow_and_update().with_id(id) {
                None => return AuthError::TokenRemoved,
                Some(token) => {
                    if let Some(lost) = scopes.missing_in(token.scopes) {
                        return AuthError::ScopeRemoved(lost);
                    }
                }
            }
            if tokens.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// Counts one request or operation against the rate limit.
    ///
    /// # Errors
    /// [`AuthError::TooOften`] when the limit is exceeded.
    pub(crate) fn check_rate(&self) -> Result<(), AuthError> {
        let Some(rate) = &self.access.0.rate else { return Ok(()) };
        rate.check(self.who).map_err(|seconds| {
            metrics::rate_limited().increment(1);
            AuthError::TooOften(seconds)
        })
    }

    /// Implements [`RecordingTerms::count`].
    fn count_increments(&self, increments: u32, is_first: bool) -> Result<(), AuthError> {
        let rules = &self.access.0;
        let (rate, setting, more) = match self.who {
            RateKey::Token(_) => (&rules.token_increments, "--rate-burst-increments", increments),
            RateKey::Address(_) => (&rules.rate, "--rate-burst", increments.saturating_sub(u32::from(is_first))),
        };
        let Some(rate) = rate else { return Ok(()) };
        if increments > rate.burst() {
            return Err(AuthError::TooManyIncrements { max: rate.burst(), setting, increments });
        }
        rate.check_many(self.who, more).map_err(|seconds| {
            metrics::rate_limited().increment(1);
            AuthError::IncrementsTooOften(seconds)
        })
    }

    /// Returns an error unless the principal has this scope.
    pub(crate) fn require_scope(&self, scope: Scope) -> Result<(), AuthError> {
        match self.who {
            _ if self.scopes.has(scope) => Ok(()),
            RateKey::Token(_) => Err(AuthError::NoScope(scope)),
            RateKey::Address(_) if self.access.0.is_open => Err(AuthError::NoTokensHere),
            RateKey::Address(_) => Err(AuthError::NoToken),
        }
    }

    /// Returns an error unless the principal has at least one scope.
    pub(crate) fn require_any_scope(&self) -> Result<(), AuthError> {
        if self.scopes.is_empty() { Err(AuthError::NoToken) } else { Ok(()) }
    }

    /// Returns the terms on which the principal records increments: its client, its limits and its counter.
    ///
    /// # Errors
    /// When the principal lacks the scope `increments`.
    pub(crate) fn recording(&self) -> Result<RecordingTerms, AuthError> {
        self.require_scope(Scope::Increments)?;
        let without_token = matches!(self.who, RateKey::Address(_)).then_some(self.access.0.limits_without_token);
        Ok(RecordingTerms {
            client: self.client.clone(),
            limits: without_token.flatten().unwrap_or(RecordingLimits::WIDEST),
            principal: Some(self.clone()),
            is_first: Arc::new(AtomicBool::new(true)),
        })
    }

    /// Returns the right to change what was counted.
    ///
    /// # Errors
    /// When the principal lacks the scope `manage`.
    pub(crate) fn managing(&self) -> Result<ManagingTerms, AuthError> {
        self.require_scope(Scope::Manage)?;
        Ok(ManagingTerms { client: self.client.clone() })
    }

    /// Returns the key by which sockets and event streams are counted per client, or none on an open server, where they
    /// are not.
    pub(crate) fn limit_key(&self) -> Option<Network> {
        (!self.access.0.is_open).then_some(self.network)
    }
}

impl AuthError {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::NoToken | Self::NotBearer | Self::WrongToken | Self::TokenRemoved => Code::Unauthenticated,
            Self::NoTokensHere | Self::NoScope(_) | Self::ScopeRemoved(_) | Self::WrongHost => Code::Forbidden,
            Self::TooManyIncrements { .. } => Code::BadUserInput,
            Self::TooOften(_) | Self::IncrementsTooOften(_) => Code::Overloaded,
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Access").field("tokens", &self.token_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
