//! The dashboard, from files that are in the binary: no build step, no internet.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::Embed;

use super::etag::Known;

/// Nothing is loaded from elsewhere, nothing runs or styles the page from within it, and no text can become markup.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";
/// Asked for each time, and answered by "not modified": modules of two versions must not meet on a page.
const CACHE: &str = "no-cache";

#[derive(Embed)]
#[folder = "assets/dashboard"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "*.LICENSE.txt"]
struct Files;

pub(super) async fn page(headers: HeaderMap) -> Response {
    respond("index.html", &headers)
}

pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    respond(&name, &headers)
}

fn respond(name: &str, asked: &HeaderMap) -> Response {
    let Some(file) = Files::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let hash = file.metadata.sha256_hash();
    // Weak: compressed or not, it is the same.
    let tag = format!("W/\"{}\"", hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
    let known = Known::of(asked).has(&tag);
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, file.metadata.mimetype()),
        (header::CACHE_CONTROL, CACHE),
        (header::ETAG, &tag),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    if known { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, file.data).into_response() }
}
