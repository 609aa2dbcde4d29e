//! Builds responses to GraphQL requests.

use axum::{
    body::Bytes,
    http::{StatusCode, header},
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
