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
mod token;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tower_http::cors::CorsLayer;

pub(super) use self::address::{Network, Peer};
use self::rate::{RateKey, RateLimit};
pub use self::{
    host::{Host, ParseHostError},
    origin::{Origin, ParseOriginError},
    scopes::{ParseScopesError, Scope, Scopes},
    settings::{AccessError, AccessSettings, TokenText},
    token::{Token, TokenError},
};
use super::{App, body, graphql::HttpError};
use crate::{
    metrics,
    schema::{Code, RecordingTerms, error},
};
use increments::{Client, RecordingLimits};

/// The authorization scheme of tokens (RFC 6750).
const BEARER: &str = "Bearer";

/// The access rules of a server. A cheap handle: clone it.
#[derive(Clone)]
pub struct Access(Arc<Rules>);

#[derive(Default)]
struct Rules {
    tokens: Vec<Token>,
    /// The scopes of requests without a token.
    anonymous: Scopes,
    /// Whether every request has all scopes and no limits. Only a server on a loopback address can be open.
    is_open: bool,
    origins: Vec<Origin>,
    /// The host names that requests may be for, besides addresses and localhost; none where any name is accepted.
    hosts: Option<Vec<Host>>,
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
pub(super) struct Principal {
    access: Access,
    network: Network,
    who: RateKey,
    scopes: Scopes,
    client: Client,
}

/// The reason why a request is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AuthError {
    #[error("a token is needed, as 'authorization: Bearer TOKEN' in the headers or in connection_init")]
    NoToken,
    #[error("the authorization must be 'Bearer TOKEN'")]
    NotBearer,
    #[error("the token is not known here")]
    WrongToken,
    #[error("the token has not the scope {0}")]
    NoScope(Scope),
    #[error("too many requests, try again in {0} s")]
    TooOften(u64),
    #[error("everything is open here, so only addresses, localhost and the names that --host gives are answered for")]
    WrongHost,
}

impl Access {
    /// Returns the access rules of a server that listens on `listen`.
    ///
    /// # Errors
    /// When a token can't be read, or when the server would be open to everybody on an address that is not loopback.
    pub fn new(settings: &AccessSettings, listen: SocketAddr) -> Result<Self, AccessError> {
        let tokens = settings.tokens()?;
        let is_open = tokens.is_empty() && settings.anonymous.is_empty();
        if is_open && !listen.ip().to_canonical().is_loopback() {
            return Err(AccessError::OpenToAll(listen));
        }
        let anonymous = if is_open { Scopes::ALL } else { settings.anonymous.iter().copied().collect() };
        let rate = |per_second, burst| {
            let per_second = NonZeroU32::new(per_second).filter(|_| !is_open)?;
            Some(RateLimit::new(per_second, burst))
        };
        Ok(Self(Arc::new(Rules {
            tokens,
            anonymous,
            is_open,
            origins: settings.allow_origin.clone(),
            hosts: (anonymous == Scopes::ALL).then(|| settings.host.clone()),
            proxies: settings.trust_forwarded_for,
            rate: rate(settings.rate_limit, settings.rate_burst),
            token_increments: rate(settings.rate_limit_increments, settings.rate_burst_increments),
            limits_without_token: (!is_open)
                .then(|| RecordingLimits::anonymous(settings.anonymous_increments, settings.anonymous_views)),
        })))
    }

    /// Returns rules that permit nothing, for a process that serves only its health and metrics.
    #[must_use]
    pub fn nobody() -> Self {
        Self(Arc::default())
    }

    /// Authenticates a request from `peer` and counts it against its rate limit. Without a token it is anonymous.
    ///
    /// # Errors
    /// When the `authorization` header is malformed or its token unknown, or when the rate limit is exceeded.
    fn principal(&self, peer: Peer, headers: &HeaderMap) -> Result<Principal, AuthError> {
        let network = Network::of_client(peer, headers, self.0.proxies);
        let anonymous = Principal {
            access: self.clone(),
            network,
            who: RateKey::Address(network),
            scopes: self.0.anonymous,
            client: Client::anonymous(),
        };
        let said = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        match anonymous.with(said) {
            Ok(principal) => principal.check_rate().map(|()| principal),
            // A failed attempt counts against the address's rate limit, which so bounds the guessing of tokens.
            Err(denied) => Err(anonymous.check_rate().err().unwrap_or(denied)),
        }
    }

    /// Returns the token of this secret and its index. Compares all tokens, so that the time tells nothing about which
    /// one matched.
    fn find(&self, secret: &str) -> Option<(usize, &Token)> {
        let hash = token::hash(secret);
        self.0.tokens.iter().enumerate().fold(None, |found, token| if token.1.is(&hash) { Some(token) } else { found })
    }

    /// Returns whether a connection's peer address is the client's, as far as the settings say, and not a proxy's.
    pub(super) fn sees_clients(&self) -> bool {
        self.0.proxies == 0
    }

    /// Returns the CORS layer for the allowed origins, or none if there are no such origins.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        (!self.0.origins.is_empty()).then(|| origin::cors(&self.0.origins))
    }

    /// Returns whether the request may open a socket: it comes from no web page, from one of this server, or from one
    /// of an allowed origin.
    pub(super) fn allows_socket(&self, headers: &HeaderMap) -> bool {
        origin::may_open_socket(headers, &self.0.origins)
    }
}

/// Refuses requests for host names that are not this server's with 421 Misdirected Request, where anonymous clients
/// have all scopes. See `host` for the reason.
pub(super) async fn check_host(State(app): State<App>, request: Request, next: Next) -> Response {
    match &app.access.0.hosts {
        Some(hosts) if !host::is_for(&request, hosts) => {
            body::discard(request.into_body()).await;
            HttpError::from(AuthError::WrongHost).into_response()
        }
        _ => next.run(request).await,
    }
}

impl Principal {
    /// Returns this principal with the rights of the token in `authorization`, or unchanged without one. A server that
    /// is open ignores tokens.
    ///
    /// # Errors
    /// When the text is not `Bearer TOKEN`, or the token is unknown.
    pub(super) fn with(&self, authorization: Option<&str>) -> Result<Self, AuthError> {
        let Some(said) = authorization.filter(|_| !self.access.0.is_open) else { return Ok(self.clone()) };
        let (scheme, secret) = said.split_once(' ').ok_or(AuthError::NotBearer)?;
        if !scheme.eq_ignore_ascii_case(BEARER) {
            return Err(AuthError::NotBearer);
        }
        let (place, token) = self.access.find(secret.trim()).ok_or(AuthError::WrongToken)?;
        Ok(Self { who: RateKey::Token(place), scopes: token.scopes, client: token.client.clone(), ..self.clone() })
    }

    /// Counts one request or operation against the rate limit.
    ///
    /// # Errors
    /// [`AuthError::TooOften`] when the limit is exceeded.
    pub(super) fn check_rate(&self) -> Result<(), AuthError> {
        let Some(rate) = &self.access.0.rate else { return Ok(()) };
        rate.check(self.who).map_err(|seconds| {
            metrics::rate_limited().increment(1);
            AuthError::TooOften(seconds)
        })
    }

    /// Counts a mutation's increments: with a token against the limit on increments, without one against that on
    /// requests. In the latter case the operation was already counted as one request, which pays for one increment of
    /// its first mutation.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when there are more increments than the burst, `OVERLOADED` when the limit is exceeded.
    fn count_increments(&self, increments: u32, is_first: bool) -> async_graphql::Result<()> {
        let rules = &self.access.0;
        let (rate, setting, more) = match self.who {
            RateKey::Token(_) => (&rules.token_increments, "--rate-burst-increments", increments),
            RateKey::Address(_) => (&rules.rate, "--rate-burst", increments.saturating_sub(u32::from(is_first))),
        };
        let Some(rate) = rate else { return Ok(()) };
        if increments > rate.burst() {
            let message =
                format!("input.increments must be at most {}, which is {setting}, not {increments}", rate.burst());
            return Err(error(Code::BadUserInput, message));
        }
        rate.check_many(self.who, more).map_err(|seconds| {
            metrics::rate_limited().increment(1);
            error(Code::Overloaded, format!("too many increments, try again in {seconds} s"))
        })
    }

    /// Returns an error unless the principal has this scope.
    pub(super) fn require_scope(&self, scope: Scope) -> Result<(), AuthError> {
        match self.who {
            _ if self.scopes.has(scope) => Ok(()),
            RateKey::Token(_) => Err(AuthError::NoScope(scope)),
            RateKey::Address(_) => Err(AuthError::NoToken),
        }
    }

    /// Returns an error unless the principal has at least one scope.
    pub(super) fn require_any_scope(&self) -> Result<(), AuthError> {
        if self.scopes.is_empty() { Err(AuthError::NoToken) } else { Ok(()) }
    }

    /// Returns the terms on which the principal records increments: its client, its limits and its counter.
    ///
    /// # Errors
    /// When the principal lacks the scope `increments`.
    pub(super) fn recording(&self) -> Result<RecordingTerms, AuthError> {
        self.require_scope(Scope::Increments)?;
        let without_token = matches!(self.who, RateKey::Address(_)).then_some(self.access.0.limits_without_token);
        let (principal, is_first) = (self.clone(), AtomicBool::new(true));
        Ok(RecordingTerms {
            client: self.client.clone(),
            limits: without_token.flatten().unwrap_or(RecordingLimits::WIDEST),
            count: Arc::new(move |increments| {
                principal.count_increments(increments, is_first.swap(false, Ordering::Relaxed))
            }),
        })
    }

    /// Returns the key by which sockets and event streams are counted per client, or none on an open server, where they
    /// are not.
    pub(super) fn limit_key(&self) -> Option<Network> {
        (!self.access.0.is_open).then_some(self.network)
    }
}

impl FromRequestParts<App> for Principal {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, HttpError> {
        let peer = ConnectInfo::<Peer>::from_request_parts(parts, app).await;
        let ConnectInfo(peer) = peer.map_err(|_not_served_so| HttpError::from(AuthError::NoToken))?;
        Ok(app.access.principal(peer, &parts.headers)?)
    }
}

impl AuthError {
    pub(super) fn code(self) -> Code {
        match self {
            Self::NoToken | Self::NotBearer | Self::WrongToken => Code::Unauthenticated,
            Self::NoScope(_) | Self::WrongHost => Code::Forbidden,
            Self::TooOften(_) => Code::Overloaded,
        }
    }
}

impl From<AuthError> for HttpError {
    fn from(denied: AuthError) -> Self {
        // The challenges of RFC 6750, section 3.
        let challenge = |text| Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(text)));
        let (status, hint) = match denied {
            AuthError::NoToken => (StatusCode::UNAUTHORIZED, challenge("Bearer")),
            AuthError::NotBearer => (StatusCode::UNAUTHORIZED, challenge("Bearer error=\"invalid_request\"")),
            AuthError::WrongToken => (StatusCode::UNAUTHORIZED, challenge("Bearer error=\"invalid_token\"")),
            AuthError::NoScope(_) => (StatusCode::FORBIDDEN, challenge("Bearer error=\"insufficient_scope\"")),
            AuthError::WrongHost => (StatusCode::MISDIRECTED_REQUEST, None),
            AuthError::TooOften(seconds) => {
                (StatusCode::TOO_MANY_REQUESTS, Some((header::RETRY_AFTER, HeaderValue::from(seconds))))
            }
        };
        let mut refusal = Self::new(status, denied.code(), denied.to_string());
        refusal.hint = hint;
        refusal
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Access").field("tokens", &self.0.tokens.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
