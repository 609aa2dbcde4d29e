//! Extracts the principal of a request, and refuses requests for other hosts.

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts, Request, State},
    http::{StatusCode, header, header::HeaderValue, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{body, error::HttpError};
use crate::access::{Access, AuthError, Peer, Principal};

/// Refuses requests for host names that are not this server's with 421 Misdirected Request.
pub(super) async fn check_host(State(access): State<Access>, request: Request, next: Next) -> Response {
    if access.answers_for(&request) {
        return next.run(request).await;
    }
    body::discard(request.into_body()).await;
    HttpError::from(AuthError::WrongHost).into_response()
}

impl<S: Send + Sync> FromRequestParts<S> for Principal
where
    Access: FromRef<S>,
{
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let peer = ConnectInfo::<Peer>::from_request_parts(parts, state).await;
        let ConnectInfo(peer) = peer.map_err(|_not_served_so| HttpError::from(AuthError::NoToken))?;
        Ok(Access::from_ref(state).principal(peer, &parts.headers)?)
    }
}

impl From<AuthError> for HttpError {
    fn from(denied: AuthError) -> Self {
        // The challenges of RFC 6750, section 3.
        let challenge = |text| Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(text)));
        let (status, header) = match denied {
            AuthError::NoToken => (StatusCode::UNAUTHORIZED, challenge("Bearer")),
            AuthError::NotBearer => (StatusCode::UNAUTHORIZED, challenge("Bearer error=\"invalid_request\"")),
            AuthError::WrongToken | AuthError::TokenRemoved => {
                (StatusCode::UNAUTHORIZED, challenge("Bearer error=\"invalid_token\""))
            }
            AuthError::NoScope(_) | AuthError::ScopeRemoved(_) => {
                (StatusCode::FORBIDDEN, challenge("Bearer error=\"insufficient_scope\""))
            }
            AuthError::NoTokensHere => (StatusCode::FORBIDDEN, None),
            AuthError::WrongHost => (StatusCode::MISDIRECTED_REQUEST, None),
            AuthError::TooManyIncrements { .. } => (StatusCode::BAD_REQUEST, None),
            AuthError::TooOften(seconds) | AuthError::IncrementsTooOften(seconds) => {
                (StatusCode::TOO_MANY_REQUESTS, Some((header::RETRY_AFTER, HeaderValue::from(seconds))))
            }
        };
        let refusal = Self::new(status, denied.code(), denied.to_string());
        match header {
            Some((name, value)) => refusal.with_header(name, value),
            None => refusal,
        }
    }
}
