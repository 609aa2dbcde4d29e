//! Handles GraphQL requests over HTTP, GET and POST: <https://graphql.github.io/graphql-over-http/draft/>

use async_graphql::{ServerError, parser::types::OperationType};
use async_graphql_axum::GraphQLProtocol;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use headers::{HeaderMapExt, IfNoneMatch};
use serde_json::json;
use storage::clock::Moment;

use super::{
    accept::{Accepted, Events, JSON},
    body::{self, BufferedBody},
    error::{HttpError, header_of},
    etag::RequestHash,
    event_stream,
    parameters::{Parameters, QueryParameters},
    response::{Validators, respond, respond_with},
    response_cache::is_named,
    state::App,
    subscriber_limits::Subscriber,
    websocket,
};
use crate::{
    access::{Principal, Scope},
    error_code::Code,
    graphql::{AuthorizedOperation, ExecutionEvent, Operation, errors::code_of},
    memory_budget::Reservation,
};

/// The content coding of a body that is not compressed.
const IDENTITY: &[u8] = b"identity";

/// Answers GET: executes queries, and opens sockets and event streams.
pub(super) async fn get(
    State(app): State<App>,
    principal: Result<Principal, HttpError>,
    parameters: Result<Query<QueryParameters>, QueryRejection>,
    socket: Result<websocket::Upgrade, StatusCode>,
    protocol: Result<GraphQLProtocol, StatusCode>,
    headers: HeaderMap,
) -> Response {
    let accepted = Accepted::of(&headers);
    let principal = match principal {
        Ok(principal) => principal,
        Err(refusal) => return refusal.respond(accepted.media),
    };
    if let Ok(socket) = socket {
        return websocket::upgrade(app, principal, socket, protocol.is_ok(), &headers);
    }
    let response = async {
        let Query(parameters) = parameters.map_err(|wrong| HttpError::malformed(wrong.body_text()))?;
        let request = app.responses.request(parameters.parts(), accepted.media);
        let if_none_match: Option<IfNoneMatch> = headers.typed_get();
        if if_none_match.is_none()
            && let Some((tag, cached)) = cached(&app, &principal, accepted, request.as_ref()).await
        {
            return Ok((Validators::of_tag(tag), cached).into_response());
        }
        let memory = parameters.reserve(&app.body_memory)?;
        let operation = match Operation::read(parameters.parse()?) {
            // A foreign page can make a browser send a GET, so a GET must not change anything.
            Ok(operation) if operation.kind() == OperationType::Mutation => {
                let message = "mutations are not answered by GET, use POST";
                return Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadUserInput, message));
            }
            Ok(operation) => operation.with_memory(memory).authorize(&principal)?,
            Err(refused) => return Ok(execute(&app, &principal, Err(refused), accepted, None).await.0),
        };
        if let Some((request, if_none_match)) = request.as_ref().zip(if_none_match.as_ref())
            && operation.kind() == OperationType::Query
            && let Some(tag) = app.responses.current(request, if_none_match).await
        {
            app.executor.count_not_modified();
            return Ok((StatusCode::NOT_MODIFIED, Validators::of_tag(tag), ()).into_response());
        }
        let (response, executed) = execute(&app, &principal, Ok(operation), accepted, request).await;
        let Some(Executed { tag, lifetime }) = executed else { return Ok(response) };
        let validators = match lifetime {
            Some(lifetime) => Validators::with_lifetime(tag, lifetime, !headers.contains_key(header::AUTHORIZATION)),
            None => Validators::of_tag(tag),
        };
        let has_copy =
            if_none_match.is_some_and(|named| named != IfNoneMatch::any() && is_named(&named, validators.tag()));
        if has_copy {
            return Ok((StatusCode::NOT_MODIFIED, validators, ()).into_response());
        }
        Ok((validators, response).into_response())
    };
    response.await.unwrap_or_else(|refusal: HttpError| refusal.respond(accepted.media))
}

/// Answers POST: executes queries and mutations, and streams subscriptions as server-sent events.
pub(super) async fn post(
    State(app): State<App>,
    principal: Result<Principal, HttpError>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let accepted = Accepted::of(&headers);
    let principal = principal.and_then(|principal| Ok(principal.require_any_scope().map(|()| principal)?));
    let principal = match principal.and_then(|principal| check_kind(&headers).map(|()| principal)) {
        Ok(principal) => principal,
        Err(refusal) => {
            body::discard(body).await;
            return refusal.respond(accepted.media);
        }
    };
    let response = async {
        let body = body::read(body, app.body_bytes_max, &app.body_memory).await?;
        let memory = body::reserve_values(&body, &app.body_memory)?;
        let is_stream = accepted.events == Events::Preferred;
        let mutation = Parameters::read(&body)?.fast_path(&app.executor).filter(|_| !is_stream);
        let Some(mutation) = mutation else {
            // Boxed, so that the future of a mutation is small: it is moved more than once.
            return Box::pin(execute_general(&app, &principal, accepted, body, memory)).await;
        };
        // Requests waiting to be recorded are bounded by their number, so the memory of the body is released here.
        drop((body, memory));
        Ok(match app.executor.record(mutation, principal.recording()?).await {
            Ok(text) => respond_with(StatusCode::OK, accepted.media, text.into()),
            Err(response) => respond(StatusCode::OK, accepted.media, &response),
        })
    };
    response.await.unwrap_or_else(|refusal: HttpError| refusal.respond(accepted.media))
}

/// Executes the operation of a POST in the general way.
async fn execute_general(
    app: &App,
    principal: &Principal,
    accepted: Accepted,
    body: BufferedBody,
    mut memory: Reservation,
) -> Result<Response, HttpError> {
    let parameters = Parameters::read(&body)?;
    let request = app.responses.request(parameters.parts(), accepted.media);
    if let Some((_, cached)) = cached(app, principal, accepted, request.as_ref()).await {
        return Ok(cached);
    }
    memory.merge(parameters.reserve_document(&app.body_memory)?);
    let operation = Operation::read(parameters.parse()?);
    if let Some(of_text) = body.into_reservation() {
        memory.merge(of_text);
    }
    let operation = match operation {
        Ok(operation) => Ok(operation.with_memory(memory).authorize(principal)?),
        Err(unreadable) => Err(unreadable),
    };
    Ok(execute(app, principal, operation, accepted, request).await.0)
}

/// Refuses a body that is compressed or whose content type is not JSON, with 415.
fn check_kind(headers: &HeaderMap) -> Result<(), HttpError> {
    let encoding =
        headers.get(header::CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(IDENTITY));
    if encoding.is_some() {
        let message = "the body must not be compressed: content-encoding is not supported";
        let refusal = HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadUserInput, message);
        return Err(refusal.with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    // HTML forms can't send this type, so a foreign page can't make a browser record anything (CSRF).
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(JSON) {
        let message =
            format!("content-type must be {JSON}: forms, files (multipart) and bare queries are not supported");
        return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadUserInput, message));
    }
    Ok(())
}

/// Returns the cached response and its `ETag`, if there is one and the client does not prefer an event stream. Returns
/// none when `principal` may not read reports: executing the operation then yields the error.
async fn cached(
    app: &App,
    principal: &Principal,
    accepted: Accepted,
    request: Option<&RequestHash>,
) -> Option<(String, Response)> {
    if accepted.events == Events::Preferred || principal.require_scope(Scope::Reports).is_err() {
        return None;
    }
    let (tag, text) = app.responses.get(request?).await?;
    app.executor.count_cached();
    Some((tag, respond_with(StatusCode::OK, accepted.media, text.into_bytes())))
}

/// What an executed response depends on.
struct Executed {
    tag: String,
    /// How long a copy may be used without asking again, if the request required a freshness.
    lifetime: Option<TimeDelta>,
}

/// Executes the operation and caches its response. Returns the response, and what it depends on if it has an `ETag`.
async fn execute(
    app: &App,
    principal: &Principal,
    operation: Result<AuthorizedOperation, ServerError>,
    accepted: Accepted,
    request: Option<RequestHash>,
) -> (Response, Option<Executed>) {
    let subscription = operation.as_ref().is_ok_and(|operation| operation.kind() == OperationType::Subscription);
    if accepted.events == Events::Preferred || (subscription && accepted.events == Events::Accepted) {
        let response = match app.subscriber_limits.take(Subscriber::EventStream, principal.limit_key()) {
            Ok(permit) => event_stream::respond(app, principal, operation, permit),
            Err(refusal) => refusal.respond(accepted.media),
        };
        return (response, None);
    }
    let media = accepted.media;
    let operation = match operation {
        Ok(_) if subscription => {
            let message = "subscriptions are answered over WebSocket, or with accept: text/event-stream";
            return (HttpError::malformed(message).respond(media), None);
        }
        Ok(operation) => operation,
        Err(failure) => return (request_errors(media, &[failure]), None),
    };
    match app.executor.execute_to_end(operation).await {
        ExecutionEvent::RequestErrors(errors) => (request_errors(media, &errors), None),
        ExecutionEvent::Response { text, provenance } => {
            let response = respond_with(StatusCode::OK, media, text.bytes().clone());
            let Some((request, provenance)) = request.zip(provenance) else { return (response, None) };
            let lifetime = provenance.lifetime(Moment::now());
            let tag = app.responses.store(&request, &provenance, text).await;
            (response, tag.map(|tag| Executed { tag, lifetime }))
        }
    }
}

/// Responds to a request of which nothing was executed: with `errors`, and without `data`.
fn request_errors(media: &'static str, errors: &[ServerError]) -> Response {
    let is_overloaded = errors.iter().filter_map(code_of).any(|code| code == Code::Overloaded.as_str());
    let status = match media {
        _ if is_overloaded => StatusCode::SERVICE_UNAVAILABLE,
        JSON => StatusCode::OK,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = respond(status, media, &json!({ "errors": errors }));
    response.headers_mut().extend(header_of(status));
    response
}
