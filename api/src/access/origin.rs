//! Requests from web pages of other origins: CORS, and the check of a socket's origin.

use std::{str::FromStr, time::Duration};

use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may cache the response to a CORS preflight request.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// An origin as browsers write it, such as `https://example.org` or `http://localhost:3000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// The error for a text that is not an origin.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is http:// or https:// and a host, perhaps :PORT, and nothing behind, such as https://example.org")]
pub struct ParseOriginError;

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        let text = text.to_ascii_lowercase();
        let uri: Uri = text.parse().map_err(|_unreadable| ParseOriginError)?;
        let authority = uri.authority().ok_or(ParseOriginError)?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or(ParseOriginError)?;
        if text != format!("{scheme}://{authority}") || text.contains(['@', '*']) {
            return Err(ParseOriginError);
        }
        HeaderValue::try_from(text).map(Self).map_err(|_not_visible| ParseOriginError)
    }
}

/// Returns the CORS layer that lets pages of these origins send GraphQL requests over HTTP and read the responses.
pub(super) fn cors(origins: &[Origin]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::ACCEPT, header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG, header::RETRY_AFTER, header::WWW_AUTHENTICATE])
        .max_age(REMEMBERED)
}

/// Returns the CORS layer that lets pages of these origins send views and read the responses. A beacon needs no preflight
/// request; a page that sends a view as JSON does.
pub(super) fn cors_of_sites(origins: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER])
        .max_age(REMEMBERED)
}

/// Returns whether the request has no `origin`, and so comes from no web page, or this server's origin (that of
/// `host`), or one of `origins`.
pub(super) fn may_open_socket(headers: &HeaderMap, origins: &[Origin]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    if origins.iter().any(|allowed| allowed.0 == origin) {
        return true;
    }
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    page.is_some() && page == headers.get(header::HOST).and_then(|host| host.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_parsed_to_the_form_that_browsers_send() {
        for (text, origin) in [
            ("https://example.org", "https://example.org"),
            ("HTTP://LocalHost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().0, origin);
        }
        for text in [
            "",
            "*",
            "null",
            "example.org",
            "https://example.org/",
            "https://a/b",
            "ftp://a",
            "https://a@b",
            "https://*.a",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(ParseOriginError), "{text}");
        }
    }
}
