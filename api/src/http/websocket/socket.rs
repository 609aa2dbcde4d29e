//! A WebSocket: its handshake, and messages that are sent in fragments.

use axum::{
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{
            Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

use super::protocol;
use crate::graphql::ResponseText;

/// The size of each socket's read buffer, in bytes. The WebSocket library clears it whenever it looks for a message.
const READ_BYTES: usize = 1024;
/// The most bytes of a frame that carries a result. Longer messages are sent in several frames, so that each socket's
/// write buffer stays within this size, whatever it has sent before.
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// A request to upgrade a connection to a WebSocket: <https://www.rfc-editor.org/rfc/rfc6455#section-4.2>
pub(in crate::http) struct Upgrade {
    key: HeaderValue,
    offered: Vec<String>,
    on_upgrade: OnUpgrade,
}

/// A WebSocket whose handshake is not complete yet.
pub(super) struct Upgrading {
    on_upgrade: OnUpgrade,
    protocol: Option<&'static str>,
}

/// One end of a WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    protocol: Option<&'static str>,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, StatusCode> {
        let headers = &parts.headers;
        let is_upgrade = parts.method == Method::GET
            && tokens(headers, header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
            && tokens(headers, header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
            && tokens(headers, header::SEC_WEBSOCKET_VERSION).eq(["13"]);
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_upgrade).cloned();
        let offered = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let (key, on_upgrade) = key.zip(on_upgrade).ok_or(StatusCode::UPGRADE_REQUIRED)?;
        Ok(Self { key, offered, on_upgrade })
    }
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

impl Upgrade {
    /// Accepts the upgrade with the first of `protocols` that the client offers, or without a subprotocol.
    pub(super) fn accept(self, protocols: &[&'static str]) -> (Upgrading, Response) {
        let mut known = protocols.iter().copied();
        let protocol = known.find(|protocol| self.offered.iter().any(|offered| offered == protocol));
        let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket")];
        let accept = [(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(self.key.as_bytes()))];
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers, accept, Body::empty()).into_response();
        if let Some(protocol) = protocol {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        (Upgrading { on_upgrade: self.on_upgrade, protocol }, response)
    }
}

impl Upgrading {
    /// Returns the socket once the response is sent. It accepts messages of at most `message_bytes_max` bytes.
    ///
    /// Errs when the connection ends before that.
    pub(super) async fn socket(self, message_bytes_max: usize) -> Result<Socket, hyper::Error> {
        let upgraded = TokioIo::new(self.on_upgrade.await?);
        let config = WebSocketConfig::default()
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max))
            .read_buffer_size(READ_BYTES)
            // Each frame is sent before the next one is made, so there is nothing to buffer.
            .write_buffer_size(0);
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
        Ok(Socket { stream, protocol: self.protocol })
    }
}

impl Socket {
    pub(super) fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    pub(super) async fn receive(&mut self) -> Option<Result<Message, Error>> {
        self.stream.next().await
    }

    pub(super) async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.stream.send(message).await
    }

    /// Sends the result of an operation. Many sockets may share the text: only the part in the frame that is being sent
    /// is copied.
    pub(super) async fn send_next(&mut self, id: &str, text: ResponseText) -> Result<(), Error> {
        let (before, after) = protocol::around_next(id);
        let text = text.into_bytes();
        if before.len() + text.len() + after.len() <= FRAME_BYTES_MAX {
            let message = [before.as_bytes(), &text, after.as_bytes()].concat();
            drop(text);
            return self.stream.send(Message::Frame(Frame::message(message, OpCode::Data(Data::Text), true))).await;
        }
        self.send_frame(before.into(), Data::Text, false).await?;
        let mut rest = text;
        while !rest.is_empty() {
            let frame = rest.split_to(end_of_frame(&rest));
            self.send_frame(frame, Data::Continue, false).await?;
        }
        self.send_frame(Bytes::from_static(after.as_bytes()), Data::Continue, true).await
    }

    async fn send_frame(&mut self, bytes: Bytes, data: Data, is_last: bool) -> Result<(), Error> {
        self.stream.send(Message::Frame(Frame::message(bytes, OpCode::Data(data), is_last))).await
    }
}

/// Returns the length in bytes of the next frame of a UTF-8 text: a frame does not end within a character.
fn end_of_frame(text: &[u8]) -> usize {
    if text.len() <= FRAME_BYTES_MAX {
        return text.len();
    }
    let is_begin = |index: &usize| text[*index] & 0b1100_0000 != 0b1000_0000;
    (1..=FRAME_BYTES_MAX).rev().find(is_begin).unwrap_or(FRAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_do_not_end_within_a_character() {
        assert_eq!(end_of_frame(b"abc"), 3);
        let text = format!("{}üü", "x".repeat(FRAME_BYTES_MAX - 1));
        assert_eq!(end_of_frame(text.as_bytes()), FRAME_BYTES_MAX - 1);
        assert_eq!(end_of_frame(&[0x80; FRAME_BYTES_MAX + 1]), FRAME_BYTES_MAX, "invalid UTF-8 is cut anywhere");
    }
}
