//! Subscriptions over WebSocket, in the protocol `graphql-transport-ws`.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response, parser::types::OperationType};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    http::{HeaderMap, HeaderValue, header},
    response::IntoResponse,
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{self, BoxStream},
};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::{App, graphql};
use crate::schema::{self, AnalyticsSchema};

/// The protocol's name.
const PROTOCOL: &str = "graphql-transport-ws";
/// A message from a client is at most this long: a query and its variables.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How much may wait for a client that does not read.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Runs each operation of a socket like a request of its own.
#[derive(Clone)]
struct PerOperation {
    schema: AnalyticsSchema,
    tasks: TaskTracker,
}

impl Executor for PerOperation {
    async fn execute(&self, request: Request) -> Response {
        let mut answer = schema::execute(&self.schema, request).await;
        answer.errors.iter_mut().for_each(graphql::complete);
        answer
    }

    fn execute_stream(&self, mut request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        if schema::operation_type(&mut request) != Some(OperationType::Subscription) {
            // In a task of its own, to its end: on a client that does not read it would stop half-way, with a
            // connection to the database in its hands.
            let executor = self.clone();
            let answer = self.tasks.spawn(async move { executor.execute(request).await });
            return Box::pin(stream::once(answer).filter_map(async |answer| answer.ok()));
        }
        let answers = schema::execute_stream(&self.schema, request, session_data);
        Box::pin(answers.map(|mut answer| {
            answer.errors.iter_mut().for_each(graphql::complete);
            answer
        }))
    }
}

/// Whether the request comes from no page, or from one of this server's own.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let page = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    page.is_some() && page == text(header::HOST)
}

pub(super) fn upgrade(
    app: App,
    upgrade: WebSocketUpgrade,
    protocol: Option<GraphQLProtocol>,
) -> axum::response::Response {
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .on_upgrade(move |socket| {
            let sockets = app.sockets.clone();
            sockets.track_future(talk(app, socket, protocol))
        })
        .into_response()
}

/// Until the client leaves or the server stops; then the client is told to come back.
async fn talk(app: App, socket: WebSocket, protocol: Option<GraphQLProtocol>) {
    let negotiated = socket.protocol().is_some_and(|protocol| protocol == PROTOCOL);
    let (mut sink, stream) = socket.split();
    let Some(protocol) = protocol.filter(|_| negotiated) else {
        // 4406, "Subprotocol not acceptable", is the protocol's own code for it.
        let close = CloseFrame { code: 4406, reason: "Subprotocol not acceptable".into() };
        drop(sink.send(Message::Close(Some(close))).await);
        return;
    };
    let executor = PerOperation { schema: app.schema, tasks: app.sockets };
    let stream = stream.take_until(app.stop.cancelled());
    GraphQLWebSocket::new_with_pair(&mut sink, stream, executor, protocol).serve().await;
    if app.stop.is_cancelled() {
        let close = CloseFrame { code: close_code::RESTART, reason: "the server restarts".into() };
        if let Err(error) = sink.send(Message::Close(Some(close))).await {
            debug!(error = &error as &dyn std::error::Error, "a client had left");
        }
    }
}
