//! The protocol `graphql-transport-ws` without a socket: decides on the action that each message demands.
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>

use std::{collections::HashMap, fmt, ops::Deref};

use async_graphql::{Request, ServerError, Variables};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error_code::Code,
    http::parameters::{Extensions, without_query},
};

/// The most bytes of an operation's id.
const ID_BYTES_MAX: usize = 128;
/// The most bytes of a close frame's reason: 125 less the code's 2 (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// A message from the client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit {
        payload: Option<Map<String, Value>>,
    },
    Ping {
        payload: Option<Map<String, Value>>,
    },
    Pong {
        #[serde(rename = "payload")]
        _payload: Option<Map<String, Value>>,
    },
    Subscribe {
        id: String,
        payload: Subscribe,
    },
    Complete {
        id: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscribe {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<Extensions<'static>>,
}

/// A message from the server; `next` is made by [`around_next`].
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Map<String, Value>>,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

impl ServerMessage<'_> {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Returns the text before and after a result in a `next` message.
pub(super) fn around_next(id: &str) -> (String, &'static str) {
    let id = Value::from(id);
    (format!(r#"{{"type":"next","id":{id},"payload":"#), "}")
}

/// The client's `Authorization`, which its `Debug` output does not show.
pub(super) struct Secret(String);

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A key that tells an operation from later ones with the same id.
pub(super) type Key = u64;

/// The action that a message demands.
#[derive(Debug)]
pub(super) enum Action {
    Nothing,
    Send(String),
    /// Authenticate the client: acknowledge it, or close the socket if it is denied.
    Admit {
        authorization: Option<Secret>,
    },
    /// Execute the request, and call [`Protocol::ended`] when that is over.
    Start {
        key: Key,
        id: String,
        request: Box<Request>,
    },
    /// Send this error in place of executing the operation.
    Refuse {
        id: String,
        code: Code,
        message: String,
    },
    /// Cancel the operation: its client waits for no more messages of it.
    Stop {
        key: Key,
    },
    Close(Closing),
}

/// The code and the reason with which the server closes a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl Closing {
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        while reason.len() > REASON_BYTES_MAX {
            reason.pop();
        }
        Self { code, reason }
    }

    pub(super) fn malformed(why: &str) -> Self {
        Self::new(4400, why)
    }
}

/// The state of the protocol on one socket.
#[derive(Debug)]
pub(super) struct Protocol {
    /// The most operations under way at the same time.
    operations_max: usize,
    acknowledged: bool,
    last_key: Key,
    /// The operations that the client waits for, by their ids.
    live: HashMap<String, Key>,
    /// The ids of operations that have not ended, including ones that the client has completed.
    running: HashMap<Key, String>,
}

impl Protocol {
    pub(super) fn new(operations_max: usize) -> Self {
        Self { operations_max, acknowledged: false, last_key: 0, live: HashMap::new(), running: HashMap::new() }
    }

    pub(super) fn receive(&mut self, text: &str) -> Action {
        match serde_json::from_str(text) {
            Err(wrong) => Action::Close(Closing::malformed(&format!("malformed message: {wrong}"))),
            Ok(ClientMessage::ConnectionInit { .. }) if self.acknowledged => {
                Action::Close(Closing::new(4429, "Too many initialisation requests"))
            }
            Ok(ClientMessage::ConnectionInit { payload }) => {
                Action::Admit { authorization: payload.and_then(authorization) }
            }
            Ok(ClientMessage::Ping { payload }) => Action::Send(ServerMessage::Pong { payload }.text()),
            Ok(ClientMessage::Pong { .. }) => Action::Nothing,
            Ok(ClientMessage::Subscribe { .. }) if !self.acknowledged => {
                Action::Close(Closing::new(4401, "Unauthorized"))
            }
            Ok(ClientMessage::Subscribe { id, payload }) => self.subscribe(id, payload),
            Ok(ClientMessage::Complete { id }) => match self.live.remove(&id) {
                Some(key) => Action::Stop { key },
                // The operation had just ended.
                None => Action::Nothing,
            },
        }
    }

    /// Marks the client as admitted, and returns the message that says so.
    pub(super) fn acknowledge(&mut self) -> String {
        self.acknowledged = true;
        ServerMessage::ConnectionAck.text()
    }

    fn subscribe(&mut self, id: String, payload: Subscribe) -> Action {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Action::Close(Closing::malformed(&format!(
                "malformed message: id must be 1 to {ID_BYTES_MAX} bytes"
            )));
        }
        if self.live.contains_key(&id) {
            return Action::Close(Closing::new(4409, format!("Subscriber for {id} already exists")));
        }
        let Some(query) = payload.query else {
            return match without_query(payload.extensions.as_ref()) {
                Some((code, message)) => Action::Refuse { id, code, message: message.to_owned() },
                None => Action::Close(Closing::malformed("malformed message: missing field `query`")),
            };
        };
        if self.running.len() >= self.operations_max {
            let message =
                format!("a socket may have {} operations under way; wait for some to end", self.operations_max);
            return Action::Refuse { id, code: Code::Overloaded, message };
        }
        self.last_key += 1;
        let key = self.last_key;
        self.live.insert(id.clone(), key);
        self.running.insert(key, id.clone());
        let mut request = Request::new(query).variables(payload.variables.unwrap_or_default());
        request.operation_name = payload.operation_name;
        Action::Start { key, id, request: Box::new(request) }
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// Returns whether the client waits for messages of the operation.
    pub(super) fn is_live(&self, key: Key) -> bool {
        self.running.get(&key).is_some_and(|id| self.live.get(id) == Some(&key))
    }

    /// Removes an operation that is over; its id is free again.
    pub(super) fn ended(&mut self, key: Key) {
        let live = self.is_live(key);
        if let Some(id) = self.running.remove(&key).filter(|_| live) {
            self.live.remove(&id);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }
}

/// Returns the field `authorization`, in any case, because people copy the name from HTTP headers. A value that is not
/// a string counts as an empty one, not as a missing one.
fn authorization(payload: Map<String, Value>) -> Option<Secret> {
    let (_, value) = payload.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    match value {
        Value::Null => None,
        Value::String(text) => Some(Secret(text)),
        _ => Some(Secret(String::new())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OPERATIONS_MAX: usize = 100;

    fn acknowledged() -> Protocol {
        let mut protocol = Protocol::new(OPERATIONS_MAX);
        assert!(matches!(protocol.receive(r#"{"type":"connection_init"}"#), Action::Admit { authorization: None }));
        let said: Value = serde_json::from_str(&protocol.acknowledge()).unwrap();
        assert_eq!(said, json!({ "type": "connection_ack" }));
        protocol
    }

    fn said(step: Action) -> Value {
        let Action::Send(text) = step else { panic!("{step:?}") };
        serde_json::from_str(&text).unwrap()
    }

    fn closed(step: Action) -> (u16, String) {
        let Action::Close(closing) = step else { panic!("{step:?}") };
        assert!(closing.reason.len() <= REASON_BYTES_MAX, "a close frame has no room for more");
        (closing.code, closing.reason)
    }

    fn subscribe(id: &str) -> String {
        json!({ "type": "subscribe", "id": id, "payload": { "query": "{ a }" } }).to_string()
    }

    fn started(step: Action) -> Key {
        let Action::Start { key, .. } = step else { panic!("{step:?}") };
        key
    }

    fn complete(id: &str) -> String {
        json!({ "type": "complete", "id": id }).to_string()
    }

    #[test]
    fn malformed_message_closes_the_socket_with_4400() {
        let long = json!({ "type": "subscribe", "id": "x".repeat(129), "payload": { "query": "" } }).to_string();
        for text in [
            "",
            "x",
            "[]",
            "1",
            "null",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"start","id":"1"}"#,
            r#"{"type":"next","id":"1"}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":""}}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":""}}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"","variables":[]}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"","extensions":1}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"ping","payload":1}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            &long,
            &"[".repeat(60_000),
            &format!("{{\"type\":\"{}\"}}", "ü".repeat(100)),
        ] {
            assert_eq!(closed(acknowledged().receive(text)).0, 4400, "{text}");
        }
    }

    #[test]
    fn connection_init_is_sent_once_and_before_any_operation() {
        assert_eq!(closed(Protocol::new(OPERATIONS_MAX).receive(&subscribe("1"))), (4401, "Unauthorized".to_owned()));
        let mut protocol = acknowledged();
        assert!(protocol.is_acknowledged());
        let again = protocol.receive(r#"{"type":"connection_init","payload":{}}"#);
        assert_eq!(closed(again), (4429, "Too many initialisation requests".to_owned()));
    }

    #[test]
    fn authorization_is_found_in_any_case_and_never_logged() {
        for (payload, shown) in [
            (json!({ "authorization": "Bearer x" }), Some("Bearer x")),
            (json!({ "Authorization": "Bearer x" }), Some("Bearer x")),
            (json!({ "authorization": null }), None),
            (json!({ "authorization": 1 }), Some("")),
            (json!({ "token": "x" }), None),
            (Value::Null, None),
        ] {
            let init = json!({ "type": "connection_init", "payload": payload }).to_string();
            let step = Protocol::new(OPERATIONS_MAX).receive(&init);
            assert!(!format!("{step:?}").contains("Bearer"));
            let Action::Admit { authorization } = step else { panic!("{step:?}") };
            assert_eq!(authorization.as_deref(), shown, "{payload}");
        }
    }

    #[test]
    fn pings_are_answered_at_any_time() {
        for mut protocol in [Protocol::new(OPERATIONS_MAX), acknowledged()] {
            assert_eq!(said(protocol.receive(r#"{"type":"ping"}"#)), json!({ "type": "pong" }));
            let pong = said(protocol.receive(r#"{"type":"ping","payload":{"a":1}}"#));
            assert_eq!(pong, json!({ "type": "pong", "payload": { "a": 1 } }));
            assert!(matches!(protocol.receive(r#"{"type":"pong"}"#), Action::Nothing));
        }
    }

    #[test]
    fn id_is_taken_until_its_operation_ends() {
        let mut protocol = acknowledged();
        let first = started(protocol.receive(&subscribe("1")));
        assert!(protocol.is_live(first));
        let reason = "Subscriber for 1 already exists".to_owned();
        assert_eq!(closed(protocol.receive(&subscribe("1"))), (4409, reason));
        started(protocol.receive(&subscribe("2")));
        protocol.ended(first);
        let second = started(protocol.receive(&subscribe("1")));
        assert!(!protocol.is_live(first) && protocol.is_live(second));
        let long = "ü".repeat(64);
        started(protocol.receive(&subscribe(&long)));
        assert_eq!(closed(protocol.receive(&subscribe(&long))).0, 4409);
    }

    #[test]
    fn messages_of_a_completed_operation_are_not_those_of_the_next_with_its_id() {
        let mut protocol = acknowledged();
        let first = started(protocol.receive(&subscribe("1")));
        assert!(matches!(protocol.receive(&complete("1")), Action::Stop { key } if key == first));
        assert!(matches!(protocol.receive(&complete("1")), Action::Nothing), "a second complete is ignored");
        let second = started(protocol.receive(&subscribe("1")));
        assert!(!protocol.is_live(first) && protocol.is_live(second));
        protocol.ended(first);
        assert!(protocol.is_live(second), "the end of the first does not end the second");
        protocol.ended(second);
        assert!(protocol.is_idle());
    }

    #[test]
    fn operations_are_bounded_and_completed_ones_count_until_they_end() {
        let mut protocol = acknowledged();
        let keys: Vec<_> =
            (0..OPERATIONS_MAX).map(|id| started(protocol.receive(&subscribe(&id.to_string())))).collect();
        let is_refused =
            |step: Action| matches!(step, Action::Refuse { id, code: Code::Overloaded, .. } if id == "more");
        assert!(is_refused(protocol.receive(&subscribe("more"))));
        assert!(matches!(protocol.receive(&complete("0")), Action::Stop { .. }));
        assert!(is_refused(protocol.receive(&subscribe("more"))));
        protocol.ended(keys[0]);
        started(protocol.receive(&subscribe("more")));
    }
}
