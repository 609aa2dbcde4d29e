//! What can be set about the dashboard, and how the page is told: `/dashboard/settings.json`.

use std::str::FromStr;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use clap::Args;
use headers::{HeaderMapExt, IfNoneMatch};
use increments::is_allowed_in_names;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{accept::JSON, error::HttpError, etag, response_cache::is_named, state::App};
use crate::access::{Principal, Scope, Site};

/// The most bytes of the title, so that it fits into the page's head.
const TITLE_BYTES_MAX: usize = 256;

/// What can be set about the dashboard.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Dashboard")]
pub struct DashboardSettings {
    /// The title of the dashboard, such as the name of your site, instead of Analytics. Whoever opens the page sees it,
    /// even without a token
    #[arg(long, env = "ANALYTICS_SITE_TITLE", value_name = "TITLE")]
    pub site_title: Option<SiteTitle>,
}

/// The title of the dashboard: 1 to 256 bytes without spaces around them, without control characters and
/// [bidirectional ones](increments::is_bidirectional_control).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteTitle(String);

/// The error for a text that is not a title.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a title has 1 to {TITLE_BYTES_MAX} bytes and no control characters, bidirectional ones included")]
pub struct ParseSiteTitleError;

impl FromStr for SiteTitle {
    type Err = ParseSiteTitleError;

    fn from_str(text: &str) -> Result<Self, ParseSiteTitleError> {
        let title = text.trim_matches(' ');
        let is_title = !title.trim().is_empty() && title.len() <= TITLE_BYTES_MAX;
        let is_allowed = is_title && title.chars().all(is_allowed_in_names);
        is_allowed.then(|| Self(title.to_owned())).ok_or(ParseSiteTitleError)
    }
}

/// What the page needs of the settings.
#[derive(Serialize)]
struct PageSettings<'a> {
    title: Option<&'a SiteTitle>,
    /// In the order of the setting.
    sites: &'a [Site],
}

/// Serves the settings to the page. The sites are shown only to those who may read reports: which sites share a server
/// is not for everybody. A wrong token is no error here; the report says that.
pub(super) async fn get(
    State(app): State<App>,
    principal: Result<Principal, HttpError>,
    request: HeaderMap,
) -> Result<Response, HttpError> {
    let may_read = match principal {
        Ok(principal) => principal.require_scope(Scope::Reports).is_ok(),
        Err(refusal) if refusal.is_about_rate() => return Err(refusal),
        Err(_no_known_token) => false,
    };
    let sites = if may_read { app.sites.as_slice() } else { &[] };
    let settings = PageSettings { title: app.dashboard.site_title.as_ref(), sites };
    Ok(respond(serde_json::json!(settings).to_string(), &request))
}

fn respond(body: String, request: &HeaderMap) -> Response {
    let tag = etag::weak(&Sha256::digest(&body));
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, JSON),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::VARY, "authorization"),
        (header::ETAG, &tag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let is_current = request.typed_get().is_some_and(|named: IfNoneMatch| is_named(&named, &tag));
    if is_current { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, body).into_response() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_is_short_and_has_no_control_characters() {
        for (text, title) in [
            ("Example", "Example"),
            ("  Example’s  figures ", "Example’s  figures"),
            ("</title><script>alert(1)</script>&amp;", "</title><script>alert(1)</script>&amp;"),
            ("日本語 🦀", "日本語 🦀"),
            (&"x".repeat(TITLE_BYTES_MAX), &"x".repeat(TITLE_BYTES_MAX)),
        ] {
            assert_eq!(text.parse(), Ok(SiteTitle(title.to_owned())), "{text}");
        }
        for text in
            ["", "   ", "\u{a0}", "a\nb", "\ta", "a\u{0}", "a\u{85}b", "a\u{202e}b", "\u{2066}a", &"ä".repeat(129)]
        {
            assert_eq!(text.parse::<SiteTitle>(), Err(ParseSiteTitleError), "{text:?}");
        }
    }
}
