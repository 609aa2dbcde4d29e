//! Any bytes as a log whose format is found by its lines: never a panic, a format that is found reads a line, and what
//! `lines` checks.
#![no_main]

mod lines;

use access_logs::{SAMPLE_BYTES_MAX, detect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|log: &[u8]| {
    let sample = &log[..log.len().min(SAMPLE_BYTES_MAX)];
    match detect(sample) {
        Ok(Some(format)) => {
            let requests = lines::check(&format, log);
            let has_directive = log.windows(8).any(|word| word.eq_ignore_ascii_case(b"#fields:"));
            assert!(requests > 0 || has_directive, "{format} reads nothing");
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        Ok(None) => {}
        Err(unknown) => assert!(!unknown.to_string().is_empty()),
    }
});
