//! Any messages in any order over a WebSocket: never a panic, and every message follows the protocol.
//!
//! One message a line; `api::http::fuzzing::converse` documents the other kinds of lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| api::http::fuzzing::converse(&String::from_utf8_lossy(bytes)));
