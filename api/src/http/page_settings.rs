//! Serves the dashboard's settings to its page, as `/dashboard/settings.json`.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use headers::{HeaderMapExt, IfNoneMatch};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    accept::JSON, dashboard_settings::SiteTitle, error::HttpError, etag, response_cache::is_named, state::App,
};
use crate::access::{Principal, Scope, Site};

/// What the page needs of the settings.
#[derive(Serialize)]
struct PageSettings<'a> {
    title: Option<&'a SiteTitle>,
    /// In the order of the setting.
    sites: &'a [Site],
}

/// Serves the title to everybody, and the sites only to those who may read reports: not everybody may know which sites
/// share a server. A wrong token is no error here, since the request for the report fails with it.
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
