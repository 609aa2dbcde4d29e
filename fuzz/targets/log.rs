//! Any bytes as an access log: never a panic, no line gets lost, and only valid increments are counted.
//!
//! The first byte chooses the rules: its lowest bit counts assets, the next one bots. The rest is the file, which may be
//! compressed.
#![no_main]

use std::{
    io::{BufReader, Cursor},
    sync::LazyLock,
};

use chrono::{DateTime, Utc};
use import::{
    Rules, from_raw,
    fuzzing::{Judged, judge},
};
use increments::{BackDating, PageName, check_at};
use libfuzzer_sys::fuzz_target;

/// A fixed time, so that findings are reproducible.
static NOW: LazyLock<DateTime<Utc>> = LazyLock::new(|| "2026-01-01T00:00:00Z".parse().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let Some((rules, file)) = bytes.split_first() else { return };
    let rules = Rules { include_assets: rules & 1 != 0, include_bots: rules & 2 != 0, assets: Vec::new() };
    let Ok(log) = from_raw(Cursor::new(file.to_vec()), None) else { return };
    let is_plain = log.compression.is_none();
    let Ok(Some(judged)) = judge(log.reader, &rules, *NOW) else { return };
    check(&judged);
    if is_plain {
        let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        assert!(judged.stats.lines <= lines as u64 && judged.bytes <= file.len() as u64);
        // The result does not depend on how the log is read.
        let again = judge(Box::new(BufReader::with_capacity(3, Cursor::new(file.to_vec()))), &rules, *NOW);
        assert_eq!(again.unwrap(), Some(judged));
    }
});

/// Checks that the recorder accepts what is counted.
fn check(judged: &Judged) {
    assert_eq!(judged.views.len() as u64, judged.stats.counted);
    assert!(judged.stats.counted + judged.stats.unreadable <= judged.stats.lines);
    for (page, hour) in &judged.views {
        PageName::new(page.clone()).unwrap();
        assert_eq!(check_at(hour.start(), *NOW, BackDating::Any), Ok(hour.start()));
    }
}
