//! Who may do what, and how often: everybody who asks passes here before anything else is done for them.
//!
//! A handler takes a `Principal`, and only through it comes by what it needs: an operation can be executed when the caller
//! has permitted it (`Operation::permitted`), and increments are recorded with what `Principal::recording` gives.

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
use self::rate::{RateLimit, RateKey};
pub use self::{
    host::{Host, ParseHostError},
    origin::{Origin, ParseOriginError},
    scopes::{ParseScopesError, Scope, Scopes},
    settings::{AccessError, AccessSettings, TokenText},
    token::{Token, TokenError},
};
use super::{App, body, graphql::HttpError};
use crate::{
    increments::{Client, RecordingLimits},
    metrics,
    schema::{Code, RecordingTerms, error},
};

/// What a token is sent as.
const BEARER: &str = "Bearer";

/// Who may do what.
#[derive(Clone)]
pub struct Access(Arc<Rules>);

#[derive(Default)]
struct Rules {
    tokens: Vec<Token>,
    /// What may be done without a token.
    anonymous: Scopes,
    /// Whoever reaches this server may do everything: nobody but this machine can.
    is_open: bool,
    origins: Vec<Origin>,
    /// The names of this server, besides addresses and localhost; none where requests for any name are answered.
    hosts: Option<Vec<Host>>,
    proxies: u8,
    /// Bounds requests, and the increments of requests without a token.
    rate: Option<RateLimit>,
    /// Bounds the increments of tokens.
    token_increments: Option<RateLimit>,
    /// Bounds a request without a token; none where everything is open.
    limits_without_token: Option<RecordingLimits>,
}

/// Whoever sent a request, as far as it matters.
#[derive(Clone)]
pub(super) struct Principal {
    access: Access,
    network: Network,
    who: RateKey,
    scopes: Scopes,
    client: Client,
}

/// Why a caller gets nothing.
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
    /// # Errors
    /// When a token can't be read, or when everybody could reach a server that asks for none.
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

    /// For a process that answers nothing but its health: nobody may do anything else.
    #[must_use]
    pub fn nobody() -> Self {
        Self(Arc::default())
    }

    /// The caller at `peer`. The error says that it has shown something, and not what is needed.
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
            // Guessing is asking, too.
            Err(denied) => Err(anonymous.check_rate().err().unwrap_or(denied)),
        }
    }

    /// The place of this secret's token. All are compared, whichever it is.
    fn find(&self, secret: &str) -> Option<(usize, &Token)> {
        let hash = token::hash(secret);
        self.0.tokens.iter().enumerate().fold(None, |found, token| if token.1.is(&hash) { Some(token) } else { found })
    }

    /// Returns whether a connection's other end is its client, as far as is known, and not a proxy before many clients.
    pub(super) fn sees_clients(&self) -> bool {
        self.0.proxies == 0
    }

    /// What lets pages of the allowed origins ask over HTTP, if there are any.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        (!self.0.origins.is_empty()).then(|| origin::cors(&self.0.origins))
    }

    /// Whether the request comes from no page, or from one that may open a socket.
    pub(super) fn allows_socket(&self, headers: &HeaderMap) -> bool {
        origin::may_open_socket(headers, &self.0.origins)
    }
}

/// Refuses a request for another host, where the hosts of this server are known.
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
    /// The same, with what it says to be allowed. On a server that is open to all nobody needs to say anything.
    pub(super) fn with(&self, authorization: Option<&str>) -> Result<Self, AuthError> {
        let Some(said) = authorization.filter(|_| !self.access.0.is_open) else { return Ok(self.clone()) };
        let (scheme, secret) = said.split_once(' ').ok_or(AuthError::NotBearer)?;
        if !scheme.eq_ignore_ascii_case(BEARER) {
            return Err(AuthError::NotBearer);
        }
        let (place, token) = self.access.find(secret.trim()).ok_or(AuthError::WrongToken)?;
        Ok(Self { who: RateKey::Token(place), scopes: token.scopes, client: token.client.clone(), ..self.clone() })
    }

    /// Counts one thing that is asked for; the error says that there were too many.
    pub(super) fn check_rate(&self) -> Result<(), AuthError> {
        let Some(rate) = &self.access.0.rate else { return Ok(()) };
        rate.check(self.who).map_err(|seconds| {
            metrics::rate_limited().increment(1);
            AuthError::TooOften(seconds)
        })
    }

    /// Counts the increments of a mutation: a token's by themselves, others as requests. The operation was counted as one of
    /// these already, so its first mutation has one increment less to count.
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

    pub(super) fn require_scope(&self, scope: Scope) -> Result<(), AuthError> {
        match self.who {
            _ if self.scopes.has(scope) => Ok(()),
            RateKey::Token(_) => Err(AuthError::NoScope(scope)),
            RateKey::Address(_) => Err(AuthError::NoToken),
        }
    }

    /// Whether there is anything that it may do.
    pub(super) fn require_any_scope(&self) -> Result<(), AuthError> {
        if self.scopes.is_empty() { Err(AuthError::NoToken) } else { Ok(()) }
    }

    /// What is needed to record increments.
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

    /// What its sockets and streams are counted by; nothing where they are not.
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
        // As RFC 6750 has it.
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
