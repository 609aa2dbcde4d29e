//! Operations over WebSocket: one task for each socket, and one for each query or mutation.
//!
//! An operation is executed apart from its socket, so a client that does not read delays only itself: no other client, and no
//! operation that holds a connection to the database. The answers of a socket's queries and mutations wait in a queue of a
//! few places, which these get in turn; of a subscription the newest event waits. A query or mutation that has begun runs to
//! its end.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod protocol;
mod socket;

use std::{collections::HashMap, error::Error, pin::pin, sync::Arc};

use async_graphql::{Request, ServerError, parser::types::OperationType};
use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub(super) use self::socket::Upgrade;
use self::{
    protocol::{Action, Closing, Key, Protocol, ServerMessage},
    socket::Socket,
};
use super::{
    accept::JSON,
    body,
    error::HttpError,
    state::App,
    subscriber_limits::{Subscriber, SubscriberPermit},
    timeouts::Timeouts,
};
use crate::{
    access::{AuthError, Principal, TokenList},
    error_code::Code,
    graphql::{
        AuthorizedOperation, ExecutionEvent, Operation, ResponseText, Turn,
        errors::{count_error, request_error},
    },
    memory_budget::Reservation,
};

/// The name of the subprotocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// The name of the older subprotocol of `subscriptions-transport-ws`. It is accepted only to tell its clients which
/// subprotocol to use: if the handshake refused it, they would learn only that the connection failed.
const LEGACY_PROTOCOL: &str = "graphql-ws";
/// The most bytes of a message from a client: a query and its variables.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The most messages of a socket's queries and mutations that wait to be sent. Each may hold one more.
const WAITING_MAX: usize = 4;
/// The most queries and mutations of one socket that are executed, or hold a response to be sent, at the same time.
const EXECUTING_MAX: usize = 4;

/// Upgrades the connection to a WebSocket, unless the page's origin is not allowed or there are too many sockets.
/// `graphql` says whether the client has offered any subprotocol of GraphQL.
pub(super) fn upgrade(
    app: App,
    principal: Principal,
    upgrade: Upgrade,
    graphql: bool,
    headers: &HeaderMap,
) -> Response {
    // Browsers open sockets without a CORS preflight: without this check a foreign page could act for its visitor.
    if !app.access.allows_socket(headers) {
        let message = "the page's origin may not open a socket here";
        return HttpError::new(StatusCode::FORBIDDEN, Code::Forbidden, message).respond(JSON);
    }
    let permit = match app.subscriber_limits.take(Subscriber::Socket, principal.limit_key()) {
        Ok(permit) => permit,
        Err(refusal) => return refusal.respond(JSON),
    };
    let (upgrading, response) = upgrade.accept(&[PROTOCOL, LEGACY_PROTOCOL]);
    let tasks = app.tasks.clone();
    tasks.spawn(async move {
        match upgrading.socket(MESSAGE_BYTES_MAX).await {
            Ok(socket) => serve(app, principal, socket, graphql, permit).await,
            Err(error) => debug!(error = &error as &dyn Error, "a client has left"),
        }
    });
    response
}

/// Serves a socket until the client leaves or breaks the protocol, or the server stops; then closes it with a reason if
/// the client is still there.
async fn serve(app: App, principal: Principal, mut socket: Socket, graphql: bool, _permit: SubscriberPermit) {
    let timeouts = app.timeouts;
    let closing = match socket.protocol() {
        Some(PROTOCOL) => Session::new(app, principal, &mut socket).run().await,
        Some(LEGACY_PROTOCOL) => {
            let closing = Closing::not_spoken("legacy");
            let message = json!({ "type": "connection_error", "payload": { "message": closing.reason } });
            // A client that has left needs no reason.
            drop(timeout(timeouts.close, socket.send(Message::text(message.to_string()))).await);
            Some(closing)
        }
        _ => Some(Closing::not_spoken(if graphql { "unknown" } else { "none of GraphQL" })),
    };
    let Some(Closing { code, reason }) = closing else { return };
    let goodbye = async {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        if let Err(error) = socket.send(Message::Close(Some(frame))).await {
            debug!(error = &error as &dyn Error, "a client had left");
            return;
        }
        // Closing with unread data would reset the connection, and the client could not read the reason.
        while let Some(Ok(_)) = socket.receive().await {}
    };
    if timeout(timeouts.close, goodbye).await.is_err() {
        debug!("a client did not agree to be closed");
    }
}

/// A message from an operation to its socket.
struct OutgoingMessage {
    key: Key,
    message: Option<OutputMessage>,
    /// Whether it is the operation's last message.
    last: bool,
}

enum OutputMessage {
    Next { id: Arc<str>, text: ResponseText },
    Other(String),
}

/// The state of one socket.
struct Session<'a> {
    app: App,
    principal: Principal,
    socket: &'a mut Socket,
    protocol: Protocol,
    tx: mpsc::Sender<OutgoingMessage>,
    outputs: mpsc::Receiver<OutgoingMessage>,
    /// The messages of the subscriptions.
    subscriptions: SelectAll<BoxStream<'static, OutgoingMessage>>,
    /// Tokens that cancel the operations that need not run to their end: all of them, or one.
    stop_all: CancellationToken,
    stop_one: HashMap<Key, CancellationToken>,
    executing: Arc<Semaphore>,
    timing: Timing,
    tokens: TokenChanges,
    /// The close frame to send once the operations under way have ended.
    closing: Option<Closing>,
}

/// The deadlines of a session.
struct Timing {
    timeouts: Timeouts,
    /// The deadline for the client's `connection_init`.
    init_until: Option<Instant>,
    next_ping: Instant,
    /// Whether the client has sent anything since the last ping.
    has_received: bool,
    /// The deadline for responses under way; set when the server stops.
    answers_until: Option<Instant>,
}

/// The changes of the tokens in force.
type TokenChanges = watch::Receiver<Arc<TokenList>>;

/// The end of a session: the close frame to send, or `None` if the client has gone.
type Done = Option<Closing>;

impl<'a> Session<'a> {
    fn new(app: App, principal: Principal, socket: &'a mut Socket) -> Self {
        let (tx, outputs) = mpsc::channel(WAITING_MAX);
        Self {
            tokens: principal.watch_tokens(),
            closing: None,
            principal,
            socket,
            protocol: Protocol::new(app.socket_operations),
            tx,
            outputs,
            subscriptions: SelectAll::new(),
            stop_all: CancellationToken::new(),
            stop_one: HashMap::new(),
            executing: Arc::new(Semaphore::new(EXECUTING_MAX)),
            timing: Timing::new(app.timeouts),
            app,
        }
    }

    async fn run(mut self) -> Done {
        let stop = self.app.stop.clone();
        let _stop_all = self.stop_all.clone().drop_guard();
        // The tokens may have changed since the upgrade.
        self.renew_principal();
        // Both outlive the messages: to wait anew for each of them would take longer than to send it.
        let (mut timer, mut stopped) = (pin!(sleep_until(self.timing.next())), pin!(stop.cancelled()));
        loop {
            if let Some(closing) = self.closing.take_if(|_| self.protocol.is_idle()) {
                return Some(closing);
            }
            let stopping = self.timing.answers_until.is_some();
            let next = self.timing.next();
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            // `select!` polls in random order, so neither a busy client nor busy operations starve the other.
            let done = tokio::select! {
                frame = self.socket.receive() => self.on_frame(frame).await,
                Some(output) = self.outputs.recv() => self.send_output(output).await,
                Some(output) = self.subscriptions.next() => self.send_output(output).await,
                () = &mut timer => self.on_timer().await,
                Ok(()) = self.tokens.changed() => {
                    self.renew_principal();
                    Ok(())
                }
                () = &mut stopped, if !stopping => {
                    self.close_when_idle(Closing::restart());
                    self.timing.answers_until = Some(Instant::now() + self.timing.timeouts.answers);
                    Ok(())
                }
            };
            if let Err(done) = done {
                return done;
            }
        }
    }

    /// Ends subscriptions, without `complete`, and then closes the socket as soon as queries and mutations have ended.
    fn close_when_idle(&mut self, closing: Closing) {
        self.stop_all.cancel();
        self.closing.get_or_insert(closing);
    }

    /// Gives the client the rights that its token has now. If these are fewer than before, the socket is closed.
    fn renew_principal(&mut self) {
        self.tokens.mark_unchanged();
        match self.principal.renewed() {
            Ok(principal) => self.principal = principal,
            Err(denied) if self.closing.is_none() => self.close_when_idle(Closing::of_denied(denied)),
            Err(_denied) => {}
        }
    }

    async fn on_frame(&mut self, frame: Option<Result<Message, tungstenite::Error>>) -> Result<(), Done> {
        self.timing.has_received = true;
        match frame {
            Some(Ok(Message::Text(text))) => {
                let action = self.protocol.receive(&text);
                self.apply(action, &text).await
            }
            Some(Ok(Message::Binary(_))) => Err(Some(Closing::malformed("malformed message: messages are texts"))),
            // The WebSocket library answers pings and close frames, and yields nothing after a close frame.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => Ok(()),
            Some(Err(error)) => Err(Some(Closing::of_error(&error))),
            None => Err(None),
        }
    }

    /// Carries out the action that the message `text` demands.
    async fn apply(&mut self, action: Action, text: &str) -> Result<(), Done> {
        match action {
            Action::Nothing => Ok(()),
            Action::Send(text) => self.send(Message::text(text)).await,
            Action::Admit { authorization } => match self.admit(authorization.as_deref()) {
                Ok(()) => {
                    let acknowledgement = self.protocol.acknowledge();
                    self.send(Message::text(acknowledgement)).await
                }
                Err(denied) => Err(Some(Closing::of_denied(denied))),
            },
            Action::Start { key, id, request } => {
                let operation = match self.authorize(*request, text) {
                    Ok(operation) => operation,
                    Err(refused) => {
                        self.protocol.ended(key);
                        return self.send(Message::text(error_message(&id, &[refused]))).await;
                    }
                };
                let stop = self.stop_all.child_token();
                self.stop_one.insert(key, stop.clone());
                let id = id.into();
                if operation.kind() == OperationType::Subscription {
                    self.subscriptions.push(Subscription::new(&self.app, key, id, operation, stop).messages().boxed());
                } else {
                    let turn = Arc::new(Turn::new(Arc::clone(&self.executing), stop));
                    let task = OperationTask { key, id, turn, tx: self.tx.clone() };
                    self.app.tasks.spawn(task.run(self.app.clone(), operation));
                }
                Ok(())
            }
            Action::Refuse { id, code, message } => {
                self.send(Message::text(error_message(&id, &[count_error(request_error(code, message))]))).await
            }
            Action::Stop { key } => {
                self.stop_one.get(&key).inspect(|stop| stop.cancel());
                Ok(())
            }
            Action::Close(closing) => Err(Some(closing)),
        }
    }

    /// Returns the operation of the message `text`, with memory for it.
    ///
    /// Errs when the client may not execute it, or not now.
    fn authorize(&mut self, request: Request, text: &str) -> Result<AuthorizedOperation, ServerError> {
        let denied = |denied: AuthError| count_error(request_error(denied.code(), denied.to_string()));
        let memory = self.reserve(text, &request.query).map_err(count_error)?;
        self.principal = self.principal.renewed().map_err(denied)?;
        self.principal.check_rate().map_err(denied)?;
        Operation::read(request)?.with_memory(memory).authorize(&self.principal).map_err(denied)
    }

    /// Reserves memory for an operation's document and variables.
    ///
    /// Errs when they have too many values, or the memory for requests is used up.
    fn reserve(&self, text: &str, query: &str) -> Result<Reservation, ServerError> {
        let memory = &self.app.body_memory;
        let reserved = body::reserve_values(text.as_bytes(), memory).and_then(|mut reserved| {
            reserved.merge(body::reserve_document(query, memory)?);
            Ok(reserved)
        });
        reserved.map_err(|wrong| HttpError::from(wrong).into_error())
    }

    /// Authenticates the client. The token in `connection_init` takes precedence over that of the upgrade, because
    /// browsers set no headers there.
    ///
    /// Errs when the token is not valid, or the client has no scope at all.
    fn admit(&mut self, authorization: Option<&str>) -> Result<(), AuthError> {
        self.principal = self.principal.with(authorization)?;
        self.principal.require_any_scope()
    }

    async fn send_output(&mut self, output: OutgoingMessage) -> Result<(), Done> {
        let wanted = self.protocol.is_live(output.key);
        if output.last {
            self.protocol.ended(output.key);
            self.stop_one.remove(&output.key);
        }
        match output.message.filter(|_| wanted) {
            Some(OutputMessage::Next { id, text }) => is_sent(self.socket.send_next(&id, text).await),
            Some(OutputMessage::Other(text)) => self.send(Message::text(text)).await,
            None => Ok(()),
        }
    }

    async fn on_timer(&mut self) -> Result<(), Done> {
        let now = Instant::now();
        if self.timing.answers_until.is_some_and(|until| until <= now) {
            return Err(Some(self.closing.take().unwrap_or_else(Closing::restart)));
        }
        if self.protocol.is_acknowledged() {
            self.timing.init_until = None;
        }
        if self.timing.init_until.is_some_and(|until| until <= now) {
            return Err(Some(Closing::new(4408, "Connection initialisation timeout")));
        }
        if self.timing.next_ping > now {
            return Ok(());
        }
        if !self.timing.has_received {
            // A frame may have arrived just now, or while a message was being sent.
            match self.socket.receive().now_or_never() {
                Some(frame) => self.on_frame(frame).await?,
                None => {
                    debug!("a client is silent and is dropped");
                    return Err(None);
                }
            }
        }
        self.timing.has_received = false;
        self.timing.next_ping = now + self.timing.timeouts.ping;
        self.send(Message::Ping(Vec::new().into())).await
    }

    /// Sends a message. The connection's write timeout bounds the wait for a client that does not read.
    async fn send(&mut self, message: Message) -> Result<(), Done> {
        is_sent(self.socket.send(message).await)
    }
}

fn is_sent(sent: Result<(), tungstenite::Error>) -> Result<(), Done> {
    sent.map_err(|error| {
        debug!(error = &error as &dyn Error, "a client has left, or takes nothing");
        None
    })
}

impl Timing {
    fn new(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            init_until: Some(now + timeouts.init),
            next_ping: now + timeouts.ping,
            has_received: true,
            answers_until: None,
            timeouts,
        }
    }

    fn next(&self) -> Instant {
        [self.init_until, self.answers_until].into_iter().flatten().fold(self.next_ping, Instant::min)
    }
}

impl Closing {
    fn not_spoken(offered: &str) -> Self {
        Self::new(4406, format!("Subprotocol not acceptable: {offered}, use {PROTOCOL}"))
    }

    /// Returns 1012, Service Restart, upon which clients reconnect.
    fn restart() -> Self {
        Self::new(CloseCode::Restart.into(), "the server restarts")
    }

    fn of_denied(denied: AuthError) -> Self {
        denied.code().count();
        Self::new(4403, format!("{}: {denied}", denied.code().as_str()))
    }

    fn of_error(error: &tungstenite::Error) -> Self {
        if matches!(error, tungstenite::Error::Capacity(_)) {
            return Self::new(CloseCode::Size.into(), format!("messages must be at most {MESSAGE_BYTES_MAX} bytes"));
        }
        Self::new(CloseCode::Protocol.into(), "not WebSocket")
    }
}

/// A subscription of a socket.
struct Subscription {
    key: Key,
    id: Arc<str>,
    /// The token that is cancelled when the server stops.
    server_stop: CancellationToken,
    stop: CancellationToken,
    events: BoxStream<'static, ExecutionEvent>,
}

impl Subscription {
    fn new(app: &App, key: Key, id: Arc<str>, operation: AuthorizedOperation, stop: CancellationToken) -> Self {
        let events = app.executor.execute(operation).take_until(stop.clone().cancelled_owned()).boxed();
        Self { key, id, server_stop: app.stop.clone(), stop, events }
    }

    /// Returns all messages, the last one included.
    fn messages(self) -> impl Stream<Item = OutgoingMessage> + Send + use<> {
        stream::unfold(Some(self), async |subscription| Some(subscription?.next().await))
    }

    /// Waits for the next message. Returns it, and the subscription unless that was the last one.
    async fn next(mut self) -> (OutgoingMessage, Option<Self>) {
        let key = self.key;
        let (message, rest) = match self.events.next().await {
            Some(ExecutionEvent::Response { text, .. }) => {
                (Some(OutputMessage::Next { id: Arc::clone(&self.id), text }), Some(self))
            }
            Some(ExecutionEvent::RequestErrors(errors)) => {
                (Some(OutputMessage::Other(error_message(&self.id, &errors))), None)
            }
            // The client of a cancelled subscription does not wait for a last message. One that ends because the server stops
            // is not complete: its client is to reconnect.
            None if self.stop.is_cancelled() || self.server_stop.is_cancelled() => (None, None),
            None => (Some(OutputMessage::Other(ServerMessage::Complete { id: &self.id }.text())), None),
        };
        (OutgoingMessage { key, message, last: rest.is_none() }, rest)
    }
}

/// The task of a query or mutation, which runs apart from its socket.
struct OperationTask {
    key: Key,
    id: Arc<str>,
    turn: Arc<Turn>,
    tx: mpsc::Sender<OutgoingMessage>,
}

impl OperationTask {
    async fn run(self, app: App, operation: AuthorizedOperation) {
        // It can be cancelled only while it has no permit.
        let last = if self.turn.take().await { self.execute(&app, operation).await } else { None };
        self.send(last.map(OutputMessage::Other), true).await;
    }

    /// Sends the operation's messages except the last one, which it returns.
    async fn execute(&self, app: &App, operation: AuthorizedOperation) -> Option<String> {
        let mut events = pin!(app.executor.execute(operation.with_turn(Arc::clone(&self.turn))));
        while let Some(event) = events.next().await {
            let message = match event {
                ExecutionEvent::Response { text, .. } => OutputMessage::Next { id: Arc::clone(&self.id), text },
                ExecutionEvent::RequestErrors(errors) => return Some(error_message(&self.id, &errors)),
            };
            if !self.send(Some(message), false).await {
                return None;
            }
        }
        Some(ServerMessage::Complete { id: &self.id }.text())
    }

    /// Sends a message to the socket's task. Returns whether that task still runs.
    async fn send(&self, message: Option<OutputMessage>, last: bool) -> bool {
        self.tx.send(OutgoingMessage { key: self.key, message, last }).await.is_ok()
    }
}

fn error_message(id: &str, payload: &[ServerError]) -> String {
    ServerMessage::Error { id, payload }.text()
}
