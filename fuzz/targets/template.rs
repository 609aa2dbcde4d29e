//! The first line as what `--format` takes, the others as a log: never a panic, a template reads back as it is printed,
//! and what `lines` checks.
#![no_main]

mod lines;

use access_logs::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (text, log) = input.split_at(end);
    let Ok(text) = str::from_utf8(text) else { return };
    match text.parse::<Format>() {
        Ok(format) => {
            lines::check(&format, log);
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
