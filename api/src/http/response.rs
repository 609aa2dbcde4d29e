//! Builds responses to GraphQL requests.

use std::convert::Infallible;

use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use chrono::TimeDelta;
use serde::Serialize;

use super::accept::JSON;

/// Responds with `answer` as JSON.
pub(super) fn respond(status: StatusCode, media: &'static str, answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(body) => respond_with(status, media, body.into()),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Responds with a text that is JSON already.
pub(super) fn respond_with(status: StatusCode, media: &'static str, body: Bytes) -> Response {
    let content_type = match media {
        JSON => "application/json; charset=utf-8",
        _ => "application/graphql-response+json; charset=utf-8",
    };
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// The validator of a response to GET, and how long it may be used without asking again.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    tag: String,
    /// Whole seconds; zero if it has to be validated each time.
    max_age: i64,
    /// Whether caches may give it to everybody.
    is_public: bool,
}

impl Validators {
    /// Returns those of a response that its client alone may store, and must validate each time.
    pub(super) fn of_tag(tag: String) -> Self {
        Self { tag, max_age: 0, is_public: false }
    }

    /// Returns those of a response that may be used for `lifetime`, by everybody if `is_public`.
    pub(super) fn with_lifetime(tag: String, lifetime: TimeDelta, is_public: bool) -> Self {
        Self { tag, max_age: lifetime.num_seconds(), is_public }
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }
}

impl IntoResponseParts for Validators {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        let Self { tag, max_age, is_public } = self;
        let whose = if is_public && max_age > 0 { "public" } else { "private" };
        let how_long = if max_age > 0 { format!("max-age={max_age}") } else { "no-cache".to_owned() };
        let values = [
            (header::ETAG, tag),
            (header::CACHE_CONTROL, format!("{whose}, {how_long}")),
            (header::VARY, "accept, authorization".to_owned()),
        ];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_str(&value) {
                parts.headers_mut().insert(name, value);
            }
        }
        Ok(parts)
    }
}
