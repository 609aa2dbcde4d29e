//! Builds responses to GraphQL requests.

use axum::{
    body::Bytes,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
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

/// Returns the caching headers of a response to GET: browsers may store it but must revalidate it, shared caches must
/// not store it.
pub(super) fn validators(tag: &str) -> [(HeaderName, String); 3] {
    let text = str::to_owned;
    [
        (header::ETAG, text(tag)),
        (header::CACHE_CONTROL, text("private, no-cache")),
        (header::VARY, text("accept, authorization")),
    ]
}
