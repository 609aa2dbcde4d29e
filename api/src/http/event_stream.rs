//! Operations as server-sent events: "distinct connections mode" of
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.
//!
//! `next` carries a result, `complete` says that there are no more. A stream that ends without `complete` was cut off,
//! as when the server stops: its client comes back.

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

use super::{
    App,
    operation::{AuthorizedOperation, ExecutionEvent},
    subscriber_limits::SubscriberPermit,
};
use crate::schema::{AnswerText, AnsweredFrom};

/// Nothing, said so that a connection that is lost is noticed.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// With an empty line of data, without which browsers don't tell it to anybody.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");
/// What stands around a result, whose JSON has no line ends of its own.
const NEXT: [Bytes; 2] = [Bytes::from_static(b"event: next\ndata: "), Bytes::from_static(b"\n\n")];
/// The stream is live: no cache may keep it, no proxy hold it back.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Streams what the operation comes to, or why it was refused.
pub(super) fn respond(
    app: &App,
    operation: Result<AuthorizedOperation, ServerError>,
    place: SubscriberPermit,
) -> Response {
    // One waits to be sent while the next one is made.
    let (tx, events) = mpsc::channel(1);
    app.tasks.spawn(pump(app.clone(), operation, tx));
    // The place is taken as long as the connection is.
    let state = (events, place, app.timeouts.keep_alive);
    let body = stream::unfold(state, async |(mut events, place, keep_alive)| {
        let event: Event = timeout(keep_alive, events.recv()).await.unwrap_or(Some(Event::Other(COMMENT)))?;
        Some((stream::iter(event.pieces().map(Ok::<_, Infallible>)), (events, place, keep_alive)))
    });
    (HEADERS, Body::from_stream(body.flatten())).into_response()
}

/// What is sent at once.
enum Event {
    /// A result. Its text may be that of many streams.
    Next(AnswerText),
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
        Self::Next(AnswerText::small(&json!({ "errors": errors })))
    }
}

/// Executes apart from the connection: whether and how fast the client reads is nothing to the database. A subscription
/// ends with its client, or with the server; everything else runs to its end.
async fn pump(app: App, operation: Result<AuthorizedOperation, ServerError>, tx: mpsc::Sender<Event>) {
    let subscription = operation.as_ref().is_ok_and(|operation| operation.kind() == OperationType::Subscription);
    let say = async {
        match operation {
            Err(refused) => drop(tx.send(Event::of_errors(&[refused])).await),
            Ok(operation) => {
                let mut answers = std::pin::pin!(operation.answers(&app, AnsweredFrom::default()));
                while let Some(said) = answers.next().await {
                    let event = match said {
                        ExecutionEvent::Response { text, .. } => Event::Next(text),
                        ExecutionEvent::RequestErrors(errors) => Event::of_errors(&errors),
                    };
                    if tx.send(event).await.is_err() {
                        return;
                    }
                }
            }
        }
        // What ends because the server stops is not complete.
        if !(subscription && app.stop.is_cancelled()) {
            drop(tx.send(Event::Other(COMPLETE)).await);
        }
    };
    if subscription {
        tokio::select! { () = say => {} () = tx.closed() => {} () = app.stop.cancelled() => {} }
    } else {
        say.await;
    }
}
