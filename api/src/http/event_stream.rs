//! Operations as server-sent events: "distinct connections mode" of
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.
//!
//! The event `next` carries a result, and `complete` ends the stream. A stream that ends without `complete` was cut
//! off, for instance because the server stops: its client reconnects. A subscription whose token is removed ends with an
//! error and `complete`.

use std::convert::Infallible;

use async_graphql::{ServerError, parser::types::OperationType};
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use super::{state::App, subscriber_limits::SubscriberPermit};
use crate::{
    access::Principal,
    graphql::{
        AuthorizedOperation, ExecutionEvent, ResponseText,
        errors::{count_error, request_error},
    },
};

/// A comment, sent as a keep-alive so that a lost connection is noticed.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// The last event. It has an empty `data` line because browsers do not dispatch an event without one.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");
/// The bytes before and after a result, whose JSON has no line breaks of its own.
const NEXT: [Bytes; 2] = [Bytes::from_static(b"event: next\ndata: "), Bytes::from_static(b"\n\n")];
/// The headers of a live stream: caches must not store it, and proxies must not buffer it.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Responds with a stream of the operation's results, or of the one error that refused it.
pub(super) fn respond(
    app: &App,
    principal: &Principal,
    operation: Result<AuthorizedOperation, ServerError>,
    permit: SubscriberPermit,
) -> Response {
    // One event waits to be sent while the next one is computed.
    let (tx, events) = mpsc::channel(1);
    app.tasks.spawn(pump(app.clone(), principal.clone(), operation, tx));
    // The permit is held as long as the connection is open.
    let state = (events, permit, app.timeouts.keep_alive);
    let body = stream::unfold(state, async |(mut events, permit, keep_alive)| {
        let event: Event = timeout(keep_alive, events.recv()).await.unwrap_or(Some(Event::Other(COMMENT)))?;
        Some((stream::iter(event.pieces().map(Ok::<_, Infallible>)), (events, permit, keep_alive)))
    });
    (HEADERS, Body::from_stream(body.flatten())).into_response()
}

/// One event on the stream, or a comment.
enum Event {
    /// A result, whose text many streams may share.
    Next(ResponseText),
    Other(Bytes),
}

impl Event {
    fn pieces(self) -> impl Iterator<Item = Bytes> {
        let [before, after] = NEXT;
        let (first, rest) = match self {
            Self::Next(text) => (before, Some([text.into_bytes(), after])),
            Self::Other(bytes) => (bytes, None),
        };
        std::iter::once(first).chain(rest.into_iter().flatten())
    }

    fn of_errors(errors: &[ServerError]) -> Self {
        Self::Next(ResponseText::small(&json!({ "errors": errors })))
    }
}

/// Executes the operation apart from the connection, so that a slow client does not hold up the database. A
/// subscription ends when its client disconnects, loses a scope that it needs, or the server stops; queries and mutations
/// run to their end.
async fn pump(
    app: App,
    principal: Principal,
    operation: Result<AuthorizedOperation, ServerError>,
    tx: mpsc::Sender<Event>,
) {
    let subscription = operation.as_ref().ok().filter(|operation| operation.kind() == OperationType::Subscription);
    let scopes = subscription.map(AuthorizedOperation::scopes);
    let send = async {
        match operation {
            Err(refused) => drop(tx.send(Event::of_errors(&[refused])).await),
            Ok(operation) => {
                let mut events = std::pin::pin!(app.executor.execute(operation));
                while let Some(event) = events.next().await {
                    let event = match event {
                        ExecutionEvent::Response { text, .. } => Event::Next(text),
                        ExecutionEvent::RequestErrors(errors) => Event::of_errors(&errors),
                    };
                    if tx.send(event).await.is_err() {
                        return;
                    }
                }
            }
        }
        // A subscription that ends because the server stops is not complete.
        if !(scopes.is_some() && app.stop.is_cancelled()) {
            drop(tx.send(Event::Other(COMPLETE)).await);
        }
    };
    let Some(scopes) = scopes else { return send.await };
    let denied = tokio::select! {
        () = send => return,
        () = tx.closed() => return,
        () = app.stop.cancelled() => return,
        denied = principal.loses(scopes) => denied,
    };
    let error = count_error(request_error(denied.code(), denied.to_string()));
    let end = async {
        drop(tx.send(Event::of_errors(&[error])).await);
        drop(tx.send(Event::Other(COMPLETE)).await);
    };
    tokio::select! { () = end => {} () = app.stop.cancelled() => {} }
}
