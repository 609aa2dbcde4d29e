//! Handles GraphQL requests over HTTP, GET and POST: <https://graphql.github.io/graphql-over-http/draft/>

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use async_graphql::{Request, Response as Answer, ServerError, Variables, parser::types::OperationType};
use async_graphql_axum::GraphQLProtocol;
use axum::{
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{json, value::RawValue};
use storage::clock::Moment;

use super::{
    App,
    accept::{Accepted, Events, JSON},
    access::Principal,
    body::{self, BodyError},
    etag::{self, ETagBuilder, Known},
    event_stream,
    mutation_fast_path::FastPathMutation,
    operation::{self, AuthorizedOperation, ExecutionEvent, Operation},
    query_limits::QUERY_BYTES_MAX,
    subscriber_limits::Subscriber,
    websocket,
};
use crate::{
    memory_budget::Reservation,
    schema::{self, AnsweredFrom, Code, RecordPageViewsInput, RecordPageViewsPayload, code_of},
};

/// The parameters in the JSON body of a POST. Variables may be long, so they are parsed only when they are needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow)]
    query: Option<Cow<'a, str>>,
    #[serde(borrow)]
    operation_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    variables: Option<&'a RawValue>,
    #[serde(borrow)]
    extensions: Option<Extensions<'a>>,
}

/// The `extensions` of a request, of which only the names are read.
pub(super) type Extensions<'a> = HashMap<Cow<'a, str>, IgnoredAny>;

/// Returns the error for a request that has only the hash of a persisted query, or `None` if `extensions` has no hash.
/// Clients that send the hash first look for exactly this message, and then send the query itself:
/// <https://www.apollographql.com/docs/apollo-server/performance/apq>
pub(super) fn without_query(extensions: Option<&Extensions<'_>>) -> Option<(Code, &'static str)> {
    let is_hash = extensions.is_some_and(|extensions| extensions.contains_key("persistedQuery"));
    is_hash.then_some((Code::PersistedQueryNotSupported, "PersistedQueryNotSupported"))
}

/// The parameters in the URL of a GET, where `variables` and `extensions` are JSON texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryParameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// The content coding of a body that is not compressed.
const IDENTITY: &[u8] = b"identity";

/// The refusal of a request of which nothing is executed: an HTTP status, and a GraphQL error for the body.
pub(super) struct HttpError {
    status: StatusCode,
    code: Code,
    message: String,
    /// A header that belongs to the status, such as `Allow` or `Retry-After`.
    pub(super) hint: Option<(HeaderName, HeaderValue)>,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: hint(status) }
    }

    /// Converts the refusal into a GraphQL request error, which has no status.
    pub(super) fn into_error(self) -> ServerError {
        operation::failure(self.code, self.message)
    }

    fn without_query(extensions: Option<&Extensions<'_>>) -> Self {
        match without_query(extensions) {
            // 200, as Apollo's servers send it: Apollo's clients take every other status for a failure of the network.
            Some((code, message)) => Self::new(StatusCode::OK, code, message),
            None => Self::malformed("the request's query is missing"),
        }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadUserInput, message)
    }
}

/// Returns the header that belongs to a status: `Allow` to 405, `Retry-After` (in seconds) to 429 and 503.
fn hint(status: StatusCode) -> Option<(HeaderName, HeaderValue)> {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, HeaderValue::from_static("POST"))),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Some((header::RETRY_AFTER, HeaderValue::from_static("1")))
        }
        _ => None,
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        refuse(self, JSON)
    }
}

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
        Err(refusal) => return refuse(refusal, accepted.media),
    };
    if let Ok(socket) = socket {
        return websocket::upgrade(app, principal, socket, protocol.is_ok(), &headers);
    }
    let answered = async {
        let Query(parameters) = parameters.map_err(|wrong| HttpError::malformed(wrong.body_text()))?;
        let tagger = ETagBuilder::new(&app, parameters.parts(), accepted.media);
        let known = Known::of(&headers);
        if known.is_empty()
            && let Some((tag, kept)) = kept(&app, &principal, accepted, tagger.as_ref()).await
        {
            return Ok((validators(&tag), kept).into_response());
        }
        let room = parameters.room(&app)?;
        let operation = Operation::read(parameters.parse()?).map(|operation| operation.holding(room));
        let mut operation = match operation {
            // A foreign page can make a browser send a GET, so a GET must not change anything.
            Ok(operation) if operation.kind() == OperationType::Mutation => {
                let message = "mutations are not answered by GET, use POST";
                return Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadUserInput, message));
            }
            Ok(operation) => operation,
            Err(refused) => return Ok(answer(&app, &principal, Err(refused), accepted, None).await),
        };
        let tagger = tagger.filter(|_| etag::is_tagged(&mut operation));
        let operation = operation.authorize(&principal)?;
        if let Some(tag) = not_modified(&app, tagger.as_ref(), &known).await {
            app.operations.not_modified.increment(1);
            return Ok((StatusCode::NOT_MODIFIED, validators(&tag)).into_response());
        }
        let tagged = tagger.map(|tagger| Cacheable { tagger, is_told: true });
        Ok(answer(&app, &principal, Ok(operation), accepted, tagged).await)
    };
    answered.await.unwrap_or_else(|refusal| refuse(refusal, accepted.media))
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
            return refuse(refusal, accepted.media);
        }
    };
    let answered = async {
        let body = read(&app, body).await?;
        let mut room = body::room_for_values(&body, &app.body_room)?;
        let parameters = Parameters::read(&body)?;
        if accepted.events != Events::Preferred
            && let Some(recorder) = &app.recorder
            && let Some((prepared, input)) = parameters.prepared(&app)
        {
            // Requests waiting to be recorded are bounded by their number, so the memory of the body is released here.
            drop((body, room));
            let recorded = schema::record(recorder, input, principal.recording()?);
            return Ok(record(&app, recorded, &prepared, accepted.media).await);
        }
        let tagger = ETagBuilder::new(&app, parameters.parts(), accepted.media);
        if let Some((_, kept)) = kept(&app, &principal, accepted, tagger.as_ref()).await {
            return Ok(kept);
        }
        room.merge(body::room_for_document(parameters.query.as_deref().unwrap_or_default(), &app.body_room)?);
        let operation = Operation::read(parameters.parse()?);
        if let Some(of_text) = body.into_room() {
            room.merge(of_text);
        }
        let (operation, tagged) = match operation {
            Ok(mut operation) => {
                let tagger = tagger.filter(|_| etag::is_tagged(&mut operation));
                let operation = operation.holding(room).authorize(&principal)?;
                (Ok(operation), tagger.map(|tagger| Cacheable { tagger, is_told: false }))
            }
            Err(unreadable) => (Err(unreadable), None),
        };
        Ok(answer(&app, &principal, operation, accepted, tagged).await)
    };
    answered.await.unwrap_or_else(|refusal| refuse(refusal, accepted.media))
}

async fn record(
    app: &App,
    recorded: impl Future<Output = async_graphql::Result<RecordPageViewsPayload>>,
    prepared: &FastPathMutation,
    media: &'static str,
) -> Response {
    let answer = match operation::in_time(app.request_max, &app.operations.mutations, recorded).await {
        Ok(Ok(payload)) => return respond(StatusCode::OK, media, &prepared.recorded(payload)),
        Ok(Err(failure)) => Answer::from_errors(vec![prepared.failed(failure)]),
        Err(late) => late,
    };
    schema::count_errors(&answer.errors);
    respond(StatusCode::OK, media, &answer)
}

/// Refuses a body that is compressed or whose content type is not JSON, with 415.
fn check_kind(headers: &HeaderMap) -> Result<(), HttpError> {
    let encoding =
        headers.get(header::CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(IDENTITY));
    if encoding.is_some() {
        let message = "the body must not be compressed: content-encoding is not supported";
        let refusal = HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadUserInput, message);
        let hint = (header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        return Err(HttpError { hint: Some(hint), ..refusal });
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

async fn read(app: &App, body: Body) -> Result<body::Bytes, HttpError> {
    Ok(body::read(body, app.body_bytes_max, &app.body_room).await?)
}

impl From<BodyError> for HttpError {
    fn from(wrong: BodyError) -> Self {
        let (status, code) = match wrong {
            BodyError::TooLarge(_) | BodyError::TooManyValues => (StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge),
            BodyError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded),
            BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, Code::BadUserInput),
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, Code::BadUserInput),
        };
        Self::new(status, code, wrong.to_string())
    }
}

impl<'a> Parameters<'a> {
    fn read(body: &'a [u8]) -> Result<Self, HttpError> {
        // Checked here because serde would accept an array as the parameters in their order.
        match body.trim_ascii_start().first() {
            Some(b'{') => {}
            Some(b'[') => {
                let message = "the body is not a GraphQL request: batches (lists of requests) are not supported, send each \
                               in a request of its own; one mutation records many increments";
                return Err(HttpError::malformed(message));
            }
            _ => return Err(HttpError::malformed("the body is not a GraphQL request: it must be one JSON object")),
        }
        serde_json::from_slice(body)
            .map_err(|wrong| HttpError::malformed(format!("the body is not a GraphQL request: {wrong}")))
    }

    /// Returns the mutation and its input if the document has the form of the fast path and the input is well-formed.
    fn prepared(&self, app: &App) -> Option<(Arc<FastPathMutation>, RecordPageViewsInput)> {
        let prepared = app.prepared.get(self.query.as_deref()?, self.operation_name.as_deref())?;
        let input = prepared.input(self.variables?)?;
        Some((prepared, input))
    }

    /// Returns the parts of the request that determine the response: query, operation name and variables.
    fn parts(&self) -> [Option<&str>; 3] {
        [self.query.as_deref(), self.operation_name.as_deref(), self.variables.map(RawValue::get)]
    }

    fn parse(self) -> Result<Request, HttpError> {
        let variables = self.variables.map(|variables| serde_json::from_str(variables.get())).transpose();
        let variables = variables
            .map_err(|wrong| HttpError::malformed(format!("the body is not a GraphQL request: variables: {wrong}")))?;
        let query = self.query.ok_or_else(|| HttpError::without_query(self.extensions.as_ref()))?;
        request(query.into_owned(), self.operation_name.map(Cow::into_owned), variables)
    }
}

fn request(query: String, operation_name: Option<String>, variables: Option<Variables>) -> Result<Request, HttpError> {
    if query.len() > QUERY_BYTES_MAX {
        let message = format!("query must be at most {QUERY_BYTES_MAX} bytes; put values into variables");
        return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge, message));
    }
    let mut request = Request::new(query).variables(variables.unwrap_or_default());
    request.operation_name = operation_name;
    Ok(request)
}

impl QueryParameters {
    /// Reserves memory for the request's document and variables.
    ///
    /// Errs with 413 when they have too many values, and with 503 when the memory for requests is used up.
    fn room(&self, app: &App) -> Result<Reservation, HttpError> {
        let [query, variables] = [&self.query, &self.variables].map(|part| part.as_deref().unwrap_or_default());
        let mut room = body::room_for_values(variables.as_bytes(), &app.body_room)?;
        room.merge(body::room_for_document(query, &app.body_room)?);
        Ok(room)
    }

    fn parse(&self) -> Result<Request, HttpError> {
        fn object<T: for<'a> Deserialize<'a>>(name: &str, text: Option<&String>) -> Result<Option<T>, HttpError> {
            let parsed = text.filter(|text| !text.is_empty()).map(|text| serde_json::from_str(text)).transpose();
            parsed.map_err(|wrong| HttpError::malformed(format!("the parameter {name} is not a JSON object: {wrong}")))
        }
        let variables = object("variables", self.variables.as_ref())?;
        let extensions: Option<Extensions<'_>> = object("extensions", self.extensions.as_ref())?;
        let query = self.query.clone().filter(|query| !query.is_empty());
        let query = query.ok_or_else(|| HttpError::without_query(extensions.as_ref()))?;
        request(query, self.operation_name.clone().filter(|name| !name.is_empty()), variables)
    }

    /// Returns the parts of the request that determine the response: query, operation name and variables.
    fn parts(&self) -> [Option<&str>; 3] {
        [self.query.as_deref(), self.operation_name.as_deref(), self.variables.as_deref()]
    }
}

/// Returns the `ETag` of the client's copy if that copy is still current.
async fn not_modified(app: &App, tagger: Option<&ETagBuilder>, known: &Known<'_>) -> Option<String> {
    if known.is_empty() {
        return None;
    }
    // When the database can't be reached, the query itself reports the error.
    let freshness = app.feed.as_ref()?.read().await.ok()?;
    tagger?.tag(&freshness, Moment::now()).filter(|tag| known.has(tag))
}

/// Returns the cached response and its `ETag`, if there is one and the client does not prefer an event stream.
async fn kept(
    app: &App,
    principal: &Principal,
    accepted: Accepted,
    tagger: Option<&ETagBuilder>,
) -> Option<(String, Response)> {
    if accepted.events == Events::Preferred {
        return None;
    }
    let (tag, answer) = app.kept.get(app, principal, tagger?).await?;
    app.operations.from_memory.increment(1);
    Some((tag, respond_with(StatusCode::OK, accepted.media, answer.into_bytes())))
}

/// Marks a response that may be cached.
struct Cacheable {
    tagger: ETagBuilder,
    /// Whether the `ETag` is sent to the client: with GET, not with POST.
    is_told: bool,
}

async fn answer(
    app: &App,
    principal: &Principal,
    operation: Result<AuthorizedOperation, ServerError>,
    accepted: Accepted,
    tagged: Option<Cacheable>,
) -> Response {
    let subscription = operation.as_ref().is_ok_and(|operation| operation.kind() == OperationType::Subscription);
    if accepted.events == Events::Preferred || (subscription && accepted.events == Events::Accepted) {
        return match app.subscriber_limits.take(Subscriber::EventStream, principal.limit_key()) {
            Ok(place) => event_stream::respond(app, operation, place),
            Err(refusal) => refuse(refusal, accepted.media),
        };
    }
    let media = accepted.media;
    let operation = match operation {
        Ok(_) if subscription => {
            let message = "subscriptions are answered over WebSocket, or with accept: text/event-stream";
            return refuse(HttpError::malformed(message), media);
        }
        Ok(operation) => operation,
        Err(failure) => return request_errors(media, &[failure]),
    };
    let from = AnsweredFrom::default();
    match ExecutionEvent::only(operation.answers(app, from.clone())).await {
        ExecutionEvent::RequestErrors(errors) => request_errors(media, &errors),
        ExecutionEvent::Response { text, is_whole } => {
            let answered = from.freshness_and_moment().filter(|_| is_whole);
            let response = respond_with(StatusCode::OK, media, text.bytes().clone());
            let Some((Cacheable { tagger, is_told }, (freshness, moment))) = tagged.zip(answered) else {
                return response;
            };
            let Some(tag) = tagger.tag(freshness, *moment) else { return response };
            app.kept.keep(&tag, text).await;
            if is_told { (validators(&tag), response).into_response() } else { response }
        }
    }
}

/// Returns the caching headers of a response to GET: browsers may store it but must revalidate it, shared caches must
/// not store it.
fn validators(tag: &str) -> [(HeaderName, String); 3] {
    let text = str::to_owned;
    [
        (header::ETAG, text(tag)),
        (header::CACHE_CONTROL, text("private, no-cache")),
        (header::VARY, text("accept, authorization")),
    ]
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
    response.headers_mut().extend(hint(status));
    response
}

pub(super) fn refuse(refusal: HttpError, media: &'static str) -> Response {
    refusal.code.count();
    let (status, hint) = (refusal.status, refusal.hint.clone());
    let mut response = respond(status, media, &json!({ "errors": [refusal.into_error()] }));
    response.headers_mut().extend(hint);
    response
}

fn respond(status: StatusCode, media: &'static str, answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(body) => respond_with(status, media, body.into()),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn respond_with(status: StatusCode, media: &'static str, body: Bytes) -> Response {
    let content_type = match media {
        JSON => "application/json; charset=utf-8",
        _ => "application/graphql-response+json; charset=utf-8",
    };
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}
