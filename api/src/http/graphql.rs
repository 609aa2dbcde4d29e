//! GraphQL over HTTP, around the schema: <https://graphql.github.io/graphql-over-http/draft/>

use std::{borrow::Cow, sync::Arc};

use async_graphql::{
    Pos, Request, Response as Answer, ServerError, Variables,
    parser::types::{DocumentOperations, OperationType},
};
use async_graphql_axum::GraphQLProtocol;
use axum::{
    body::Body,
    extract::{
        Query, State,
        rejection::QueryRejection,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    App,
    body::{self, BodyError, Bytes},
    prepared::PreparedMutation,
    websocket,
};
use crate::schema::{self, AnswerSnapshot, Code, RecordPageViewsInput, code_of, error};

/// A query's text is at most this long: validating a document comes before every other limit.
const QUERY_BYTES_MAX: usize = 64 * 1024;

/// The current media type: the status tells whether the request was understood.
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
const GRAPHQL_RESPONSE_UTF8: &str = "application/graphql-response+json; charset=utf-8";
/// The old one: whatever was well-formed is answered with 200.
const JSON: &str = "application/json";
const JSON_UTF8: &str = "application/json; charset=utf-8";

/// A request's parameters, in a body. Variables may be long: they are read once it is known what for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
    #[serde(borrow)]
    operation_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    variables: Option<&'a RawValue>,
    #[serde(rename = "extensions")]
    _extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The same in an address, where objects are JSON texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryParameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// Why a request is not even tried.
struct Refusal {
    status: StatusCode,
    code: Code,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadUserInput, message)
    }
}

/// Queries, and the way to subscriptions.
pub(super) async fn get(
    State(app): State<App>,
    parameters: Result<Query<QueryParameters>, QueryRejection>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    protocol: Result<GraphQLProtocol, StatusCode>,
    headers: HeaderMap,
) -> Response {
    let media = media_type(&headers);
    if let Ok(socket) = socket {
        // Browsers ask nobody before they open a socket: a foreign page must not speak for its visitor.
        if !websocket::is_same_origin(&headers) {
            let message = "the page's origin may not open a socket here";
            return refuse(Refusal::new(StatusCode::FORBIDDEN, Code::Forbidden, message), media);
        }
        return websocket::upgrade(app, socket, protocol.ok());
    }
    let parameters = parameters.map_err(|wrong| Refusal::malformed(wrong.body_text()));
    match parameters.and_then(|Query(parameters)| parameters.parse()).and_then(queries_only) {
        Ok(request) => execute(&app, request, media).await,
        Err(refusal) => refuse(refusal, media),
    }
}

/// Queries and mutations.
pub(super) async fn post(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let media = media_type(&headers);
    let answered = async {
        let body = read(&app, &headers, body).await?;
        let parameters = Parameters::read(&body)?;
        if let Some((prepared, input)) = parameters.prepared(&app) {
            // What waits to be recorded is bounded by its number: its text need not wait with it.
            drop(body);
            return Ok(record(&app, &prepared, input, media).await);
        }
        Ok(execute(&app, parameters.parse()?, media).await)
    };
    answered.await.unwrap_or_else(|refusal| refuse(refusal, media))
}

async fn record(app: &App, prepared: &PreparedMutation, input: RecordPageViewsInput, media: &'static str) -> Response {
    match schema::record(&app.recorder, input).await {
        Ok(payload) => json(StatusCode::OK, media, &prepared.recorded(payload)),
        Err(failure) => {
            let answer = Answer::from_errors(vec![prepared.failed(failure)]);
            respond(StatusCode::OK, media, &answer, true)
        }
    }
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    // A form can't send this type, so no foreign page can make a browser record anything.
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(JSON) {
        let message = format!("content-type must be {JSON}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadUserInput, message));
    }
    body::read(body, app.body_bytes_max, &app.body_room).await.map_err(|wrong| match wrong {
        BodyError::TooLarge => {
            let message = format!("the body must be at most {} bytes", app.body_bytes_max);
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge, message)
        }
        BodyError::NoRoom => {
            let message = "too many large requests at once, try again later";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message)
        }
        BodyError::TooSlow => Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::BadUserInput, wrong.to_string()),
        BodyError::Broken(_) => Refusal::malformed(wrong.to_string()),
    })
}

impl<'a> Parameters<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        // Lists of requests are not answered, nor parameters in a list.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refusal::malformed("the body is not a GraphQL request: it must be one JSON object"));
        }
        serde_json::from_slice(body)
            .map_err(|wrong| Refusal::malformed(format!("the body is not a GraphQL request: {wrong}")))
    }

    /// What is to be recorded, if it is the mutation in its common form and well-formed.
    fn prepared(&self, app: &App) -> Option<(Arc<PreparedMutation>, RecordPageViewsInput)> {
        let prepared = app.prepared.get(&self.query, self.operation_name.as_deref())?;
        let input = prepared.input(self.variables?)?;
        Some((prepared, input))
    }

    fn parse(self) -> Result<Request, Refusal> {
        let variables = self.variables.map(|variables| serde_json::from_str(variables.get())).transpose();
        let variables = variables
            .map_err(|wrong| Refusal::malformed(format!("the body is not a GraphQL request: variables: {wrong}")))?;
        request(self.query.into_owned(), self.operation_name.map(Cow::into_owned), variables)
    }
}

fn request(query: String, operation_name: Option<String>, variables: Option<Variables>) -> Result<Request, Refusal> {
    if query.len() > QUERY_BYTES_MAX {
        let message = format!("query must be at most {QUERY_BYTES_MAX} bytes; put values into variables");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge, message));
    }
    let mut request = Request::new(query).variables(variables.unwrap_or_default());
    request.operation_name = operation_name;
    Ok(request)
}

impl QueryParameters {
    fn parse(self) -> Result<Request, Refusal> {
        let query = self.query.ok_or_else(|| Refusal::malformed("the parameter query is missing"))?;
        fn object<T: for<'a> Deserialize<'a>>(name: &str, text: Option<String>) -> Result<Option<T>, Refusal> {
            let parsed = text.filter(|text| !text.is_empty()).map(|text| serde_json::from_str(&text)).transpose();
            parsed.map_err(|wrong| Refusal::malformed(format!("the parameter {name} is not a JSON object: {wrong}")))
        }
        let variables = object("variables", self.variables)?;
        object::<serde_json::Map<_, _>>("extensions", self.extensions)?;
        request(query, self.operation_name.filter(|name| !name.is_empty()), variables)
    }
}

/// What a browser can be made to GET must not change anything.
fn queries_only(mut request: Request) -> Result<Request, Refusal> {
    if operation_type(&mut request) == Some(OperationType::Mutation) {
        let message = "mutations are not answered by GET, use POST";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadUserInput, message));
    }
    Ok(request)
}

/// What the request would do; nothing when it can't be parsed or does not say which of its operations it means.
pub(super) fn operation_type(request: &mut Request) -> Option<OperationType> {
    let name = request.operation_name.clone();
    let document = request.parsed_query().ok()?;
    let operation = match &document.operations {
        DocumentOperations::Single(operation) => Some(operation),
        DocumentOperations::Multiple(operations) => operations.get(name?.as_str()),
    };
    operation.map(|operation| operation.node.ty)
}

async fn execute(app: &App, request: Request, media: &'static str) -> Response {
    let mut answer = app.schema.execute(request.data(AnswerSnapshot::default())).await;
    answer.errors.iter_mut().for_each(complete);
    // An error of the request, in contrast to one of a field, has no path; then nothing was executed.
    let executed = answer.errors.is_empty() || answer.errors.iter().any(|error| !error.path.is_empty());
    let status = if executed || media == JSON { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    respond(status, media, &answer, executed)
}

/// Gives the GraphQL library's own errors their codes.
pub(super) fn complete(failure: &mut ServerError) {
    if code_of(failure).is_some() {
        return;
    }
    // What the resolvers say has a code already; what else has a path is an argument that can't be read.
    let code = if !failure.path.is_empty() {
        Code::BadUserInput
    } else if is_parse_error(&failure.message) {
        Code::ParseFailed
    } else {
        Code::ValidationFailed
    };
    let extensions = failure.extensions.get_or_insert_default();
    extensions.set("code", code.as_str());
    extensions.set("retryable", code.is_retryable());
}

/// The library's parser shows the place in the text that it could not read.
fn is_parse_error(message: &str) -> bool {
    message.trim_start().starts_with("--> ")
}

fn refuse(refusal: Refusal, media: &'static str) -> Response {
    let failure = error(refusal.code, refusal.message).into_server_error(Pos::default());
    let mut failure = ServerError { locations: Vec::new(), ..failure };
    complete(&mut failure);
    let mut response = respond(refusal.status, media, &Answer::from_errors(vec![failure]), false);
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn respond(status: StatusCode, media: &'static str, answer: &Answer, executed: bool) -> Response {
    if executed {
        json(status, media, answer)
    } else {
        // Nothing was executed: there is no `data`, not even null.
        json(status, media, &serde_json::json!({ "errors": answer.errors }))
    }
}

fn json(status: StatusCode, media: &'static str, answer: &impl Serialize) -> Response {
    let content_type = if media == JSON { JSON_UTF8 } else { GRAPHQL_RESPONSE_UTF8 };
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    match serde_json::to_vec(answer) {
        Ok(body) => (status, content_type, body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The current type for those who ask for it, the old one for everybody else.
fn media_type(headers: &HeaderMap) -> &'static str {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let asks = accepted.flat_map(|value| value.split(',')).any(|media| media.trim().starts_with(GRAPHQL_RESPONSE));
    if asks { GRAPHQL_RESPONSE } else { JSON }
}
