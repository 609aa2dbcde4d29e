//! Serves `GraphiQL` from files that are embedded in the binary: it works without internet.

use axum::{
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::Embed;

/// Allows resources of this server only. The hash is that of the one `style` element that `GraphiQL` creates while it
/// runs, which keeps the page from scrolling behind an open menu.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='; \
     img-src 'self' data:; font-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Lets browsers cache a file for an hour: files change only with the binary.
const CACHE: &str = "max-age=3600";

#[derive(Embed)]
#[folder = "assets/graphiql"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "*.LICENSE.txt"]
struct Files;

pub(super) async fn page() -> Response {
    respond("index.html")
}

pub(super) async fn file(Path(name): Path<String>) -> Response {
    respond(&name)
}

fn respond(name: &str) -> Response {
    let Some(file) = Files::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, file.metadata.mimetype()),
        (header::CACHE_CONTROL, CACHE),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, file.data).into_response()
}
