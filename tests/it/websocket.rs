//! A client of the protocol `graphql-transport-ws`, as far down as single frames.

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::HeaderValue,
        protocol::{CloseFrame, Role},
    },
};

use crate::wait::wait_for;

const SUBPROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

/// One connection, without any automatic answer but that of the WebSocket library to pings.
#[derive(Debug)]
pub(crate) struct WebSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl WebSocket {
    /// Connects, and sends nothing yet. Errs when the server refuses the upgrade.
    pub(crate) async fn open(address: &str) -> Result<Self, tungstenite::Error> {
        Self::open_with(address, &[]).await
    }

    /// Connects with these headers, and sends nothing yet. Errs when the server refuses the upgrade.
    pub(crate) async fn open_with(address: &str, headers: &[(&'static str, &str)]) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        for (name, value) in headers.iter().chain(&[SUBPROTOCOL]) {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        Ok(Self(connect_async(request).await?.0))
    }

    /// Upgrades `stream` with one more header line, and returns the head of the response too. The library's own client
    /// closes the connection when the server chooses no subprotocol.
    pub(crate) async fn upgrade(mut stream: TcpStream, header: &str) -> (Self, String) {
        let request = format!(
            "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n",
            stream.peer_addr().unwrap()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(wait_for("the response to the upgrade", stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let stream = MaybeTlsStream::Plain(stream);
        (Self(WebSocketStream::from_raw_socket(stream, Role::Client, None).await), head)
    }

    /// Connects and waits for `connection_ack`.
    pub(crate) async fn connect(address: &str) -> Self {
        let mut socket = Self::open(address).await.unwrap();
        socket.send(&json!({ "type": "connection_init" })).await;
        assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
        socket
    }

    /// Sends `connection_init` and returns the answer, or how the connection was closed.
    pub(crate) async fn init(&mut self, payload: Value) -> Result<Value, Closed> {
        self.send(&json!({ "type": "connection_init", "payload": payload })).await;
        self.next_or_close().await
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_frame(Message::text(message.to_string())).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: Message) {
        self.0.send(frame).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        self.subscribe_with(id, &json!({ "query": query })).await;
    }

    /// Begins an operation with a payload of one's own: variables, extensions.
    pub(crate) async fn subscribe_with(&mut self, id: &str, payload: &Value) {
        self.send(&json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    pub(crate) async fn complete(&mut self, id: &str) {
        self.send(&json!({ "type": "complete", "id": id })).await;
    }

    /// The next frame of any kind; none when the connection has ended.
    pub(crate) async fn next_frame(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        wait_for("a frame", self.0.next()).await
    }

    /// The next message as text, or how the connection was closed instead.
    async fn next_text_or_close(&mut self) -> Result<String, Closed> {
        loop {
            match self.next_frame().await.expect("the connection has ended without a close frame").unwrap() {
                Message::Text(text) => return Ok(text.to_string()),
                Message::Close(frame) => return Err(Closed::from(frame.expect("a close frame without a code"))),
                _ => {}
            }
        }
    }

    /// The next message, or how the connection was closed instead.
    pub(crate) async fn next_or_close(&mut self) -> Result<Value, Closed> {
        let text = wait_for("a message", self.next_text_or_close()).await;
        text.map(|text| serde_json::from_str(&text).unwrap())
    }

    /// The next message; fails when the connection is closed instead.
    pub(crate) async fn next(&mut self) -> Value {
        self.next_or_close().await.unwrap()
    }

    /// The next message as it was sent; fails when the connection is closed instead.
    pub(crate) async fn next_text(&mut self) -> String {
        self.next_text_or_close().await.unwrap()
    }

    /// The next message of one operation; those of others are skipped.
    pub(crate) async fn next_of(&mut self, id: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["id"] == id {
                return message;
            }
        }
    }

    /// How the connection is closed; messages before that are skipped.
    pub(crate) async fn expect_close(mut self) -> Closed {
        loop {
            if let Err(closed) = self.next_text_or_close().await {
                return closed;
            }
        }
    }

    /// The connection below, to be read byte by byte.
    pub(crate) fn into_stream(self) -> TcpStream {
        let MaybeTlsStream::Plain(stream) = self.0.into_inner() else { panic!("a connection without TLS") };
        stream
    }
}

/// Code and reason of a close frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Closed {
    pub(crate) fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned() }
    }
}

impl From<CloseFrame> for Closed {
    fn from(frame: CloseFrame) -> Self {
        Self { code: frame.code.into(), reason: frame.reason.to_string() }
    }
}

/// Status and body with which an upgrade was refused.
pub(crate) fn refused_upgrade(opened: Result<WebSocket, tungstenite::Error>) -> (StatusCode, Value) {
    match opened {
        Err(tungstenite::Error::Http(response)) => {
            (response.status(), serde_json::from_slice(response.body().as_ref().unwrap()).unwrap())
        }
        other => panic!("{other:?}"),
    }
}
