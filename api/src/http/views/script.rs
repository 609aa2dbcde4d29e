//! Serves the script that counts views in browsers, and writes the tags that embed it.
//!
//! `api/scripts/count.js` is its source, `api/scripts/served/` has what is served: the source without comments, under a
//! name with its hash. A page's `integrity` pins one of these files, so each that a release had stays there, and works
//! with every later release.

use std::{fmt, str::FromStr};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use headers::{HeaderMapExt, IfNoneMatch};
use rust_embed::Embed;
use tower_http::compression::CompressionLayer;
use url::Url;

use crate::http::{etag, response_cache::is_named};

/// The current file.
const CURRENT: &str = "count.04f15831be80d8bd.js";
/// Its hash, as a page's `integrity` has it.
const INTEGRITY: &str = "sha384-BPFYMb6A2L28x7VkNfA0O6yStHEvipfM+/R3CgcFGH9XHVwvoyd2+88SVdYsJf3b";

/// The address of the current script for pages that do not pin it.
const UNPINNED: &str = "/count.js";
/// Lets a browser use its copy for an hour, and then ask whether it is still current. An older script works as well.
const UNPINNED_CACHE: &str = "public, max-age=3600, must-revalidate";
/// A file with a hash in its name never changes.
const PINNED_CACHE: &str = "public, max-age=31536000, immutable";

#[derive(Embed)]
#[folder = "scripts/served"]
#[include = "count.*.js"]
struct Scripts;

/// The base address by which browsers reach the service, such as `https://stats.example.org/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl(Url);

/// The error for a text that is not the address of a service.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service's address is a URL that begins with http:// or https://, such as https://stats.example.org")]
pub struct ParseServiceUrlError;

impl FromStr for ServiceUrl {
    type Err = ParseServiceUrlError;

    fn from_str(text: &str) -> Result<Self, ParseServiceUrlError> {
        let mut url: Url = text.parse().map_err(|_not_a_url| ParseServiceUrlError)?;
        if !["http", "https"].contains(&url.scheme()) || url.query().is_some() || url.fragment().is_some() {
            return Err(ParseServiceUrlError);
        }
        if !url.path().ends_with('/') {
            let folder = format!("{}/", url.path());
            url.set_path(&folder);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text stands in attributes.
        formatter.write_str(&self.0.as_str().replace('&', "&amp;"))
    }
}

/// Returns the lines to put into the pages of a site: the current script, which no server can replace by another one, and
/// an image for browsers without scripts.
#[must_use]
pub fn snippet(service: &ServiceUrl) -> String {
    format!(
        "<script defer src=\"{service}{CURRENT}\" crossorigin\n  integrity=\"{INTEGRITY}\"></script>\n\
         <noscript><img src=\"{service}view.gif\" alt=\"\" referrerpolicy=\"no-referrer-when-downgrade\"></noscript>\n"
    )
}

/// Returns the routes of the scripts.
pub(in crate::http) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut routes = Router::new();
    routes = routes.route(UNPINNED, get(async |headers: HeaderMap| respond(CURRENT, UNPINNED_CACHE, &headers)));
    for name in Scripts::iter() {
        let path = format!("/{name}");
        routes = routes.route(&path, get(async move |headers: HeaderMap| respond(&name, PINNED_CACHE, &headers)));
    }
    routes.layer(CompressionLayer::new())
}

fn respond(name: &str, cache: &str, request: &HeaderMap) -> Response {
    let Some(file) = Scripts::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    // Weak, because the compressed and the plain file share the tag.
    let tag = etag::weak(&file.metadata.sha256_hash());
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, cache),
        (header::ETAG, &tag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A page of any site may load it with `integrity`, and may isolate itself (COEP).
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    let is_current = request.typed_get().is_some_and(|named: IfNoneMatch| is_named(&named, &tag));
    if is_current { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, file.data).into_response() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippet_has_the_address_as_an_attribute_can_have_it() {
        for (text, start) in [
            ("https://stats.example.org", "https://stats.example.org/"),
            ("HTTP://stats.example.org:8000/", "http://stats.example.org:8000/"),
            ("https://example.org/stats", "https://example.org/stats/"),
            ("https://example.org/\"><a&b", "https://example.org/%22%3E%3Ca&amp;b/"),
        ] {
            let service: ServiceUrl = text.parse().unwrap();
            let tags = snippet(&service);
            assert_eq!(tags.matches(start).count(), 2, "{tags}");
            assert_eq!(tags.lines().count(), 3, "{tags}");
        }
        for wrong in ["", "stats.example.org", "ftp://stats.example.org", "https://a?b", "https://a/#b"] {
            assert_eq!(wrong.parse::<ServiceUrl>(), Err(ParseServiceUrlError), "{wrong}");
        }
    }
}
