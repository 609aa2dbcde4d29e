//! Any bytes as an access log: never a panic, no line gets lost, and only valid increments are counted.
//!
//! The first byte chooses the rules: its lowest bit counts assets, the next one bots. The rest is the file, which may be
//! compressed.
#![no_main]

use std::{
    io::{BufRead, BufReader, Cursor},
    sync::LazyLock,
};

use chrono::{DateTime, Utc};
use import::{Chunk, Chunks, ImportStats, Rules, from_raw};
use increments::{BackDating, IdempotencyKey, PageName, Views, check_at};
use libfuzzer_sys::fuzz_target;

/// A fixed time, so that findings are reproducible.
static NOW: LazyLock<DateTime<Utc>> = LazyLock::new(|| "2026-01-01T00:00:00Z".parse().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let Some((rules, file)) = bytes.split_first() else { return };
    let rules = Rules { include_assets: rules & 1 != 0, include_bots: rules & 2 != 0 };
    let log = from_raw(Cursor::new(file.to_vec()), None).unwrap();
    let Some(read) = read(log.reader, rules) else { return };
    for chunk in &read {
        check(chunk);
    }
    let mut sum = ImportStats::default();
    read.iter().for_each(|chunk| sum.add(chunk.stats.clone()));
    assert_eq!(sum.lines, sum.counted + sum.left_out_lines() + sum.unreadable);
    assert!(sum.to_string().lines().count() <= 1 + 1 + 1 + 5 + 1 + 5 + 1, "{sum}");
    if !file.starts_with(&[0x1f, 0x8b]) {
        let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        assert_eq!(sum.lines, lines as u64);
        assert_eq!(read.iter().map(|chunk| chunk.bytes).sum::<u64>(), file.len() as u64);
        // The result does not depend on how the log is read.
        assert_eq!(self::read(BufReader::with_capacity(3, file), rules).unwrap(), read);
    }
});

/// The decompressed log; none if it is truncated.
fn read(log: impl BufRead, rules: Rules) -> Option<Vec<Chunk>> {
    let mut chunks = Chunks::new(log, rules, *NOW);
    let mut read = Vec::new();
    while let Some(chunk) = chunks.next() {
        match chunk {
            Ok(chunk) => read.push(chunk),
            Err(_broken) => {
                assert!(chunks.next().is_none(), "no chunk follows a read error");
                return None;
            }
        }
    }
    Some(read)
}

/// Checks that the recorder accepts the counted increments.
fn check(chunk: &Chunk) {
    let Chunk { key, views, stats, bytes } = chunk;
    assert!(*bytes > 0);
    IdempotencyKey::of_import(key.clone()).unwrap();
    assert_eq!(stats.lines, stats.counted + stats.left_out_lines() + stats.unreadable);
    assert_eq!(views.values().sum::<i64>(), stats.counted as i64);
    for ((page, hour), views) in views {
        PageName::new(page.clone()).unwrap();
        Views::new(*views).unwrap();
        assert_eq!(check_at(*hour, *NOW, BackDating::Any), Ok(*hour));
        assert_eq!(hour.timestamp().rem_euclid(3_600), 0, "{hour}");
    }
}
