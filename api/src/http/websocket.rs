//! Subscriptions over WebSocket, in the protocol `graphql-transport-ws`.

use async_graphql::{Data, Executor, Request, Response};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::IntoResponse,
};
use futures_util::{SinkExt, StreamExt, stream::BoxStream};
use tracing::debug;

use super::App;
use crate::schema::{AnalyticsSchema, AnswerSnapshot};

/// The protocol's name.
const PROTOCOL: &str = "graphql-transport-ws";
/// A message from a client is at most this long: a query and its variables.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How much may wait for a client that does not read.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Runs each operation of a socket like a request of its own.
#[derive(Clone)]
struct PerOperation(AnalyticsSchema);

impl Executor for PerOperation {
    async fn execute(&self, request: Request) -> Response {
        self.0.execute(request.data(AnswerSnapshot::default())).await
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<std::sync::Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        Executor::execute_stream(&self.0, request.data(AnswerSnapshot::default()), session_data)
    }
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
    let executor = PerOperation(app.schema);
    let stream = stream.take_until(app.stop.cancelled());
    GraphQLWebSocket::new_with_pair(&mut sink, stream, executor, protocol).serve().await;
    if app.stop.is_cancelled() {
        let close = CloseFrame { code: close_code::RESTART, reason: "the server restarts".into() };
        if let Err(error) = sink.send(Message::Close(Some(close))).await {
            debug!(error = &error as &dyn std::error::Error, "a client had left");
        }
    }
}
