//! Serves the dashboard and `GraphiQL` from files that are embedded in the binary: they need no build step and no
//! internet.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use headers::{HeaderMapExt, IfNoneMatch};
use rust_embed::Embed;

use super::{etag, response_cache::is_named};

/// Makes browsers revalidate each file, mostly answered by 304, so that a page never mixes modules of two versions.
const CACHE: &str = "no-cache";

/// A page and the files that it loads.
pub(super) trait Page: Embed {
    /// What the page may load and do.
    const CONTENT_SECURITY_POLICY: &str;
}

#[derive(Embed)]
#[folder = "assets/dashboard"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "*.LICENSE.txt"]
pub(super) struct Dashboard;

impl Page for Dashboard {
    /// Allows resources of this server only, forbids inline scripts and styles, and keeps scripts from turning text into
    /// markup.
    const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'";
}

#[derive(Embed)]
#[folder = "assets/graphiql"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "*.LICENSE.txt"]
pub(super) struct GraphiQl;

impl Page for GraphiQl {
    /// Allows resources of this server only, its editor's workers among them. The hash is that of the one `style` element
    /// that `GraphiQL` creates while it runs, which keeps the page from scrolling behind an open menu. Only the editor, the
    /// descriptions of the schema and the addresses of the workers may turn text into markup or scripts.
    const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
         style-src 'self' 'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='; \
         img-src 'self' data:; font-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types descriptions workers defaultWorkerFactory tokenizeToString standaloneColorizer editorViewLayer \
         domLineBreaksComputer diffReview diffEditorWidget editorGhostText stickyScrollViewLayer dompurify";
}

/// Serves the page itself.
pub(super) async fn page<P: Page>(headers: HeaderMap) -> Response {
    respond::<P>("index.html", &headers)
}

/// Serves a file that the page loads.
pub(super) async fn file<P: Page>(Path(name): Path<String>, headers: HeaderMap) -> Response {
    respond::<P>(&name, &headers)
}

fn respond<P: Page>(name: &str, request: &HeaderMap) -> Response {
    let Some(file) = P::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    // Weak, because the compressed and the plain file share the tag.
    let tag = etag::weak(&file.metadata.sha256_hash());
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, file.metadata.mimetype()),
        (header::CACHE_CONTROL, CACHE),
        (header::ETAG, &tag),
        (header::CONTENT_SECURITY_POLICY, P::CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let is_current = request.typed_get().is_some_and(|named: IfNoneMatch| is_named(&named, &tag));
    if is_current { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, file.data).into_response() }
}
