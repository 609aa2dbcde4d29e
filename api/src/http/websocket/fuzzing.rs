//! Drives the protocol with arbitrary messages, and compares it with a simple model of it.

use std::collections::{BTreeMap, HashMap};

use async_graphql::Request;
use serde_json::{Value, json};

use super::{
    Operation,
    protocol::{Action, Closing, Key, Protocol},
};
use crate::{error_code::Code, graphql::errors::code_of};

/// The most bytes of a close frame's reason: 125 less the code's 2 (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;
/// The most bytes of an operation's id, as docs/bounds.md says.
const ID_BYTES_MAX: usize = 128;
/// The default limit of operations under way on a socket.
const OPERATIONS_MAX: usize = 100;

/// Passes each line to the protocol until the socket is closed. A line is a message; or `+ID` or `-ID`, the message
/// that begins or completes an operation; or `~N`, the end of the N-th operation under way, counted from 0.
///
/// # Panics
/// When the protocol does something else than the model expects, which is a finding.
pub fn converse(lines: &str) {
    let mut conversation = Session::new();
    for line in lines.lines() {
        let goes_on = match line.split_at_checked(1) {
            Some(("+", id)) => {
                let message = json!({ "type": "subscribe", "id": id, "payload": { "query": "{ __typename }" } });
                let expected = conversation.expected(id);
                conversation.receive(&message.to_string(), Some(expected))
            }
            Some(("-", id)) => {
                let message = json!({ "type": "complete", "id": id });
                let expected = if conversation.live.contains_key(id) { Expected::Stop } else { Expected::Nothing };
                conversation.receive(&message.to_string(), Some(expected))
            }
            Some(("~", place)) => {
                conversation.end(place.parse().unwrap_or_default());
                true
            }
            _ => conversation.receive(line, None),
        };
        if !goes_on {
            return;
        }
        conversation.check();
    }
}

struct Session {
    protocol: Protocol,
    acknowledged: bool,
    last_key: Key,
    live: HashMap<String, Key>,
    running: BTreeMap<Key, String>,
}

/// The action that the model expects after a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Expected {
    Nothing,
    Start,
    Overloaded,
    Stop,
    Close(u16),
}

impl Session {
    fn new() -> Self {
        Self {
            protocol: Protocol::new(OPERATIONS_MAX),
            acknowledged: false,
            last_key: 0,
            live: HashMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Returns the action expected after a message that begins an operation.
    fn expected(&self, id: &str) -> Expected {
        if !self.acknowledged {
            Expected::Close(4401)
        } else if id.is_empty() || id.len() > ID_BYTES_MAX {
            Expected::Close(4400)
        } else if self.live.contains_key(id) {
            Expected::Close(4409)
        } else if self.running.len() >= OPERATIONS_MAX {
            Expected::Overloaded
        } else {
            Expected::Start
        }
    }

    /// Passes a message to the protocol and checks its action. Returns whether the socket stays open.
    fn receive(&mut self, text: &str, expected: Option<Expected>) -> bool {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let kind = message["type"].as_str().unwrap_or_default();
        let id = message["id"].as_str().unwrap_or_default();
        let (found, goes_on) = match self.protocol.receive(text) {
            Action::Nothing => {
                let had_ended = kind == "complete" && !self.live.contains_key(id);
                assert!(kind == "pong" || had_ended, "{text}");
                (Expected::Nothing, true)
            }
            Action::Send(said) => {
                let said: Value = serde_json::from_str(&said).unwrap_or_default();
                assert_eq!((kind, &said["type"]), ("ping", &json!("pong")), "{text}");
                assert_eq!(said["payload"], message["payload"], "{text}");
                return true;
            }
            Action::Admit { .. } => {
                assert!(kind == "connection_init" && !self.acknowledged, "{text}");
                let said: Value = serde_json::from_str(&self.protocol.acknowledge()).unwrap_or_default();
                assert_eq!(said, json!({ "type": "connection_ack" }));
                self.acknowledged = true;
                return true;
            }
            Action::Start { key, id: begun, request } => {
                assert_eq!((kind, id), ("subscribe", begun.as_str()), "{text}");
                assert_eq!(self.expected(id), Expected::Start, "{text}");
                assert!(key > self.last_key, "keys are never used again");
                read(*request);
                self.last_key = key;
                self.live.insert(begun.clone(), key);
                self.running.insert(key, begun);
                (Expected::Start, true)
            }
            Action::Refuse { id: refused, code: Code::PersistedQueryNotSupported, .. } => {
                assert_eq!((kind, id), ("subscribe", refused.as_str()), "{text}");
                assert!(self.acknowledged && message["payload"].get("query").is_none_or(Value::is_null), "{text}");
                return true;
            }
            Action::Refuse { id: refused, code, .. } => {
                assert_eq!((kind, id, code), ("subscribe", refused.as_str(), Code::Overloaded), "{text}");
                assert_eq!(self.expected(id), Expected::Overloaded, "{text}");
                (Expected::Overloaded, true)
            }
            Action::Stop { key } => {
                assert_eq!((kind, self.live.remove(id)), ("complete", Some(key)), "{text}");
                (Expected::Stop, true)
            }
            Action::Close(Closing { code, reason }) => {
                assert!(reason.len() <= REASON_BYTES_MAX, "a close frame has no room for {reason}");
                let is_due = match code {
                    4400 => true,
                    4401 | 4409 => kind == "subscribe" && self.expected(id) == Expected::Close(code),
                    4429 => kind == "connection_init" && self.acknowledged,
                    _ => false,
                };
                assert!(is_due, "{text} closes with {code}");
                (Expected::Close(code), false)
            }
        };
        assert_eq!(expected.unwrap_or(found), found, "{text}");
        goes_on
    }

    fn end(&mut self, place: usize) {
        let Some((&key, id)) = self.running.iter().nth(place) else { return };
        if self.live.get(id) == Some(&key) {
            self.live.remove(id);
        }
        self.running.remove(&key);
        self.protocol.ended(key);
        assert!(!self.protocol.is_live(key), "an operation that has ended is not live");
    }

    fn check(&self) {
        assert_eq!(self.protocol.is_acknowledged(), self.acknowledged);
        assert_eq!(self.protocol.is_idle(), self.running.is_empty());
        assert!(self.running.len() <= OPERATIONS_MAX);
        for (key, id) in &self.running {
            assert_eq!(self.protocol.is_live(*key), self.live.get(id) == Some(key), "{id}");
        }
    }
}

/// Checks that a query that can't be read is refused with the code of a parse or validation error.
fn read(request: Request) {
    if let Err(refused) = Operation::read(request) {
        let code = code_of(&refused).unwrap_or_default();
        assert!([Code::ParseFailed.as_str(), Code::ValidationFailed.as_str()].contains(&code), "{code}: {refused:?}");
    }
}
