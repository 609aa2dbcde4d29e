//! Views that browsers send, one a request: `POST /views` for scripts, `GET /view.gif` for pages without scripts and feed
//! readers. They need no token, but the page has to be one of a site that the settings name.
//!
//! A view is recorded as a mutation records one: it is answered after the commit.

mod fields;
mod left_out;
mod page;
pub(super) mod script;

use axum::{
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use entity::Hour;
use increments::{Increment, RecordError, Request, Title, Views};
use storage::clock;

pub use self::script::{ParseServiceUrlError, ServiceUrl, snippet};
use self::{
    fields::{BodyKind, FieldError, Fields},
    left_out::LeftOut,
    page::PageError,
};
use super::{body, error::HttpError, state::App};
use crate::{
    access::{Peer, Site, SiteError},
    error_code::Code,
};

/// The most bytes of a view's body: those of the longest title, and of the longest URL that usual servers take.
const VIEW_BYTES_MAX: usize = 16 * 1024;
/// A transparent image of one pixel.
const GIF: &[u8; 42] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\
    \x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;";

/// Makes browsers ask for each view, and lets pages that isolate themselves (COEP) embed the response.
const HEADERS: [(HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin")];

/// Begins to count the views that are left out, from 0.
pub(super) fn describe_metrics() {
    LeftOut::describe();
}

/// Records the view that a script sends. Answers 202 after the commit.
pub(super) async fn post(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let checked = check(&app, peer, &headers, None).and_then(|site| Ok((site, BodyKind::of(&headers)?)));
    let (site, kind) = match checked {
        Ok(checked) => checked,
        Err(refusal) => {
            body::discard(body).await;
            return Err(refusal);
        }
    };
    let body = body::read(body, VIEW_BYTES_MAX, &app.body_memory).await?;
    let fields = kind.read(&body).await?;
    drop(body);
    let page = fields.page.as_deref().ok_or(PageError::Missing)?;
    record(&app, site, &headers, page, fields.title.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, HEADERS).into_response())
}

/// Records a view of the page that embeds the image: the one that the parameter `page` names, or that of the `referer`.
/// Answers 202 after the commit.
pub(super) async fn get_gif(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let fields = Fields::of_form(uri.query().unwrap_or_default().as_bytes());
    let site = check(&app, peer, &headers, fields.site.as_deref())?;
    let page = match &fields.page {
        Some(page) => page,
        None => page::of_referer(&headers).ok_or(PageError::MissingInReferer)?,
    };
    record(&app, site, &headers, page, fields.title.as_deref()).await?;
    Ok(gif())
}

/// Answers a request for the image's headers. It is no view.
pub(super) async fn head_gif() -> Response {
    gif()
}

fn gif() -> Response {
    (StatusCode::ACCEPTED, HEADERS, [(header::CONTENT_TYPE, "image/gif")], GIF.as_slice()).into_response()
}

/// Counts the request against the rate of its address, and returns the site that it comes from.
fn check<'a>(app: &'a App, peer: Peer, headers: &HeaderMap, named: Option<&str>) -> Result<&'a Site, HttpError> {
    app.access.count_view(peer, headers)?;
    Ok(app.access.site(headers, named)?)
}

/// Records one view of the page, now, unless it is one to leave out.
async fn record(app: &App, site: &Site, headers: &HeaderMap, page: &str, title: Option<&str>) -> Result<(), HttpError> {
    let settings = &app.views;
    let page = page::name(site, page, &settings.keep_parameter)?;
    if let Some(left_out) = LeftOut::of(headers, &settings.honor) {
        left_out.count();
        return Ok(());
    }
    let increment = Increment {
        page,
        views: Views::ONE,
        hour: Hour::containing(clock::process_now()),
        at: None,
        title: title.and_then(Title::of_page),
    };
    let request = Request::new(vec![increment], None);
    let request = if settings.replace_titles { request } else { request.without_replacing_titles() };
    Ok(app.executor.record_view(request).await?)
}

impl From<SiteError> for HttpError {
    fn from(error: SiteError) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, error.to_string())
    }
}

impl From<PageError> for HttpError {
    fn from(error: PageError) -> Self {
        Self::malformed(error.to_string())
    }
}

impl From<FieldError> for HttpError {
    fn from(error: FieldError) -> Self {
        let status = match error {
            FieldError::Kind | FieldError::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FieldError::Unreadable(_) | FieldError::NoText(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, Code::BadUserInput, error.to_string())
    }
}

impl From<RecordError> for HttpError {
    fn from(error: RecordError) -> Self {
        let unavailable = "the view could not be recorded now; whether it was counted is not known";
        let (status, code, message) = match error {
            RecordError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, error.to_string()),
            RecordError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, unavailable.to_owned()),
            // A view has no key, has one page, and is no import. A refusal was logged where the commit failed.
            RecordError::KeyReused
            | RecordError::PartlyRecorded
            | RecordError::ImportedMeanwhile
            | RecordError::Refused(_) => {
                let message = "the view could not be recorded; the server's log says why";
                (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, message.to_owned())
            }
        };
        Self::new(status, code, message)
    }
}
