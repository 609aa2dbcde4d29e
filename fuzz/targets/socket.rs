//! Any messages in any order over a WebSocket: never a panic, and always what the protocol says.
//!
//! One message a line; `api::http::fuzzing::converse` tells what else a line may be.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| api::http::fuzzing::converse(&String::from_utf8_lossy(bytes)));
