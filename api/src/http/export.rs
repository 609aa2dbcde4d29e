//! Sends the counts as a file: `GET /export.csv` and `GET /export.jsonl`.
//!
//! A task reads one portion after the other from one snapshot, and waits for the client between them, so that an export of
//! any length takes the memory of few portions. It ends when the client leaves.

mod parameters;

use std::{error::Error, io, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::SecondsFormat;
use counts::Form;
use futures_util::{Stream, stream};
use headers::{HeaderMapExt, IfNoneMatch};
use reports::{ClockUse, Export, ReportError};
use storage::clock::Moment;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::parameters::ExportParameters;
use super::{error::HttpError, response::Validators, state::App};
use crate::access::{Principal, Scope};

/// The most time that an export may take. A snapshot that is held keeps the database from clearing away old rows.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// The most portions that wait for the client, besides the one being sent.
const PORTIONS_AHEAD_MAX: usize = 1;

/// The header with the `asOf` of the report that was exported: every increment recorded until then is in it.
const AS_OF: &str = "analytics-as-of";

/// A part of the body, or its end. Without an end the body is not complete, and the connection is closed.
enum Part {
    Lines(Bytes),
    End,
}

/// Sends the counts as CSV.
pub(super) async fn get_csv(
    State(app): State<App>,
    principal: Result<Principal, HttpError>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    get(app, principal, &method, &uri, &headers, Form::Csv).await.unwrap_or_else(IntoResponse::into_response)
}

/// Sends the counts as JSON Lines.
pub(super) async fn get_jsonl(
    State(app): State<App>,
    principal: Result<Principal, HttpError>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    get(app, principal, &method, &uri, &headers, Form::Jsonl).await.unwrap_or_else(IntoResponse::into_response)
}

async fn get(
    app: App,
    principal: Result<Principal, HttpError>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    principal?.require_scope(Scope::Reports)?;
    let (media_type, disposition) = match form {
        Form::Csv => ("text/csv; charset=utf-8; header=present", "attachment; filename=\"counts.csv\""),
        Form::Jsonl => ("application/jsonl; charset=utf-8", "attachment; filename=\"counts.jsonl\""),
    };
    let ExportParameters { pages, start, end } = ExportParameters::parse(uri.query().unwrap_or_default())?;
    let request = app.responses.request([Some(uri.path()), uri.query(), None], media_type);
    if let Some((request, if_none_match)) = request.as_ref().zip(headers.typed_get::<IfNoneMatch>())
        && let Some(tag) = app.responses.current(request, &if_none_match).await
    {
        return Ok((StatusCode::NOT_MODIFIED, Validators::of_tag(tag), ()).into_response());
    }
    let Some(exporter) = &app.exporter else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let (export, permit) = exporter.begin(pages, start, end).await?;
    let freshness = export.freshness();
    let status = freshness.status(Moment::now().monotonic);
    let tag = request.and_then(|request| request.tag(freshness, status, ClockUse::None));
    let as_of = freshness.as_of.map(|as_of| as_of.to_rfc3339_opts(SecondsFormat::Micros, true));
    let body = if method == Method::HEAD { Body::empty() } else { body(&app, export, form, permit) };
    let fixed = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let as_of = [(AS_OF, as_of.unwrap_or_else(|| "never".to_owned()))];
    Ok(match tag {
        Some(tag) => (fixed, as_of, Validators::of_tag(tag), body).into_response(),
        None => (fixed, as_of, [(header::CACHE_CONTROL, "no-store")], body).into_response(),
    })
}

/// Returns the body, which a task of the server makes.
fn body(app: &App, export: Export, form: Form, permit: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = mpsc::channel(PORTIONS_AHEAD_MAX);
    let stop = app.stop.clone();
    app.tasks.spawn(async move {
        if let Err(error) = send_in_time((export, permit), form, &sender, &stop).await {
            warn!(error = &error as &dyn Error, "an export was cut off");
        }
    });
    Body::from_stream(parts(receiver))
}

/// Returns the parts as they come, and an error in place of an end that never came.
fn parts(receiver: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Lines(lines)) => Some((Ok(lines), Some(receiver))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the export was cut off")), None)),
        }
    })
}

/// The reason why an export was not sent to its end.
#[derive(Debug, thiserror::Error)]
enum CutOff {
    #[error("it took longer than {} minutes", TIME_MAX.as_secs().div_euclid(60))]
    Time,
    #[error("the server stops")]
    Stopped,
    #[error("the counts can't be read")]
    Read(#[from] ReportError),
    #[error("the counts can't be written")]
    Write(#[from] io::Error),
}

async fn send_in_time(
    export: (Export, OwnedSemaphorePermit),
    form: Form,
    sender: &mpsc::Sender<Part>,
    stop: &CancellationToken,
) -> Result<(), CutOff> {
    tokio::select! {
        sent = send(export, form, sender) => sent,
        // The client has gone.
        () = sender.closed() => Ok(()),
        () = stop.cancelled() => Err(CutOff::Stopped),
        () = sleep(TIME_MAX) => Err(CutOff::Time),
    }
}

async fn send(
    (mut export, permit): (Export, OwnedSemaphorePermit),
    form: Form,
    sender: &mpsc::Sender<Part>,
) -> Result<(), CutOff> {
    let mut lines = form.beginning()?;
    loop {
        // A client that has gone is noticed elsewhere.
        drop(export.while_taken(sender.send(Part::Lines(lines.into()))).await?);
        let Some(counts) = export.next_portion().await? else { break };
        lines = form.lines(&counts)?;
    }
    // Before the client sees the end, and may ask for another export.
    drop((export, permit));
    drop(sender.send(Part::End).await);
    Ok(())
}
