//! Serves the dashboard from files that are embedded in the binary: it needs no build step and no internet.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::Embed;

use super::etag::Known;

/// Allows resources of this server only, forbids inline scripts and styles, and keeps scripts from turning text into
/// markup.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";
/// Makes browsers revalidate each file, mostly answered by 304, so that a page never mixes modules of two versions.
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
    // Weak, because the compressed and the plain file share the tag.
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
