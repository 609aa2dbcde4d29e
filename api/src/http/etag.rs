//! Entity tags: who has the answer already is told so, without asking the report.
//!
//! A tag is made of everything that the answer depends on: the program, its schema, the request, the form, what is known
//! of the refreshes, and the clock. The refreshes stand for the report's content by its version. There is no tag while a
//! refresh is under way: what it says of itself will not hold for long.
//!
//! The clock moves an interval such as TODAY and makes a report overdue. The latter is part of the tag. The former
//! happens at whole minutes that are multiples of five: at whole hours of UTC, with which all days begin in every zone
//! (`reports/calendar.rs`), and five minutes before them (what may be recorded ahead of the clock). Whatever else comes to
//! depend on the clock must move at these minutes only, or be named in [`MOVES_ALWAYS`].
//!
//! An answer has one moment, and its tag is of that moment: a clock that jumps while it is put together changes neither.
//!
//! The tags are weak. They say that two answers mean the same, and promise nothing of the order of their bytes.

use async_graphql::parser::types::OperationType;
use axum::http::{HeaderMap, header};
use entity::clock::Moment;
use sha2::{Digest, Sha256};

use super::{App, operation::Operation};
use crate::{freshness::Freshness, schema::sdl};

/// How long an interval stands still at least.
const STEP_SECONDS: i64 = 5 * 60;
/// Fields that are another with every moment: there is no tag for who asks for them.
const MOVES_ALWAYS: [&str; 1] = ["stalenessSeconds"];

/// What a tag is made of is hashed before it is known what is asked; increments may have megabytes.
const PARTS_BYTES_MAX: usize = 64 * 1024;

/// Knows what of an answer does not depend on the moment.
#[derive(Debug)]
pub(super) struct ETagBuilder(Sha256);

/// Whether all that the operation's answer depends on is in its tag.
pub(super) fn is_tagged(operation: &mut Operation) -> bool {
    operation.kind() == OperationType::Query && !MOVES_ALWAYS.iter().any(|field| operation.has_field(field))
}

impl ETagBuilder {
    /// For a query whose text, operation name and variables are `parts`; none where nothing is read, or if they are so
    /// long that it is rather something to record.
    pub(super) fn new(app: &App, parts: [Option<&str>; 3], media: &'static str) -> Option<Self> {
        let bytes: usize = parts.iter().flatten().map(|part| part.len()).sum();
        if app.feed.is_none() || bytes > PARTS_BYTES_MAX {
            return None;
        }
        let mut hash = Sha256::new();
        hash.update(app.program.as_slice());
        for part in parts.into_iter().chain([Some(media)]) {
            add(&mut hash, part);
        }
        Some(Self(hash))
    }

    /// The tag of the answer from what `freshness` stands for, at `now`.
    pub(super) fn tag(&self, freshness: &Freshness, now: Moment) -> Option<String> {
        if !freshness.is_settled() {
            return None;
        }
        let mut hash = self.0.clone();
        // Everything that is known, and what is added one day too. The times in it tell databases apart that have
        // counted the same number of refreshes.
        add(&mut hash, Some(&format!("{freshness:?} {:?}", freshness.status(now.monotonic))));
        hash.update(now.wall.timestamp().div_euclid(STEP_SECONDS).to_le_bytes());
        let digest = hash.finalize();
        Some(format!("W/\"{}\"", digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()))
    }
}

/// Stands for the program and its schema.
pub(super) fn program() -> [u8; 32] {
    let mut hash = Sha256::new();
    add(&mut hash, Some(env!("CARGO_PKG_VERSION")));
    add(&mut hash, Some(&sdl()));
    hash.finalize().into()
}

/// The tags of the answers that a client has.
#[derive(Debug)]
pub(super) struct Known<'a>(Vec<&'a str>);

impl<'a> Known<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        Self(values.flat_map(|value| value.split(',').map(str::trim)).map(opaque).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, tag: &str) -> bool {
        self.0.contains(&opaque(tag))
    }
}

/// Weak or not: who compares tags for a GET does not mind.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// With its length, so that no two sequences of parts are the same bytes.
fn add(hash: &mut Sha256, part: Option<&str>) {
    let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX));
    hash.update(length.to_le_bytes());
    hash.update(part.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use chrono::TimeDelta;

    use super::*;

    fn tag(freshness: &Freshness, wall: &str) -> Option<String> {
        tag_at(freshness, wall, Instant::now())
    }

    fn tag_at(freshness: &Freshness, wall: &str, monotonic: Instant) -> Option<String> {
        ETagBuilder(Sha256::new()).tag(freshness, Moment { wall: wall.parse().unwrap(), monotonic })
    }

    fn known(id: i64, under_way: bool) -> Freshness {
        Freshness::of_test(id, under_way, Instant::now(), None)
    }

    #[test]
    fn there_is_no_tag_before_the_first_refresh_and_while_one_is_under_way() {
        assert_eq!(tag(&Freshness::default(), "2026-11-22T20:00:00Z"), None);
        assert_eq!(tag(&known(7, true), "2026-11-22T20:00:00Z"), None);
        assert!(tag(&known(7, false), "2026-11-22T20:00:00Z").unwrap().starts_with("W/\""));
    }

    #[test]
    fn a_tag_moves_with_the_refreshes_and_with_whatever_the_clock_moves() {
        let said = Instant::now();
        let [seventh, eighth] = [7, 8].map(|id| Freshness::of_test(id, false, said, Some(TimeDelta::seconds(60))));
        let after = |freshness, seconds| tag_at(freshness, "2026-11-22T20:00:00Z", said + Duration::from_secs(seconds));
        assert_eq!(after(&seventh, 0), after(&seventh, 59));
        assert_ne!(after(&seventh, 0), after(&eighth, 0), "another refresh");
        assert_ne!(after(&seventh, 0), after(&seventh, 61), "it has become overdue");
        let freshness = known(7, false);
        let now = tag(&freshness, "2026-11-22T20:00:00Z");
        assert_eq!(now, tag(&freshness, "2026-11-22T20:04:59Z"));
        // The next hour, with which days begin; any step; what may be recorded ahead of the clock reaches the next hour.
        for (before, after) in [
            ("2026-11-22T20:59:59Z", "2026-11-22T21:00:00Z"),
            ("2026-11-22T18:14:59Z", "2026-11-22T18:15:00Z"),
            ("2026-11-22T20:54:59Z", "2026-11-22T20:55:00Z"),
        ] {
            assert_ne!(tag(&freshness, before), tag(&freshness, after), "{before}");
        }
    }

    #[test]
    fn the_tags_of_a_client_are_read() {
        let mut headers = HeaderMap::new();
        assert!(Known::of(&headers).is_empty());
        headers.append(header::IF_NONE_MATCH, "W/\"a\", \"b\"".parse().unwrap());
        headers.append(header::IF_NONE_MATCH, "W/\"c\"".parse().unwrap());
        let known = Known::of(&headers);
        assert!(
            ["W/\"a\"", "W/\"b\"", "W/\"c\""].iter().all(|tag| known.has(tag)) && !known.has("W/\"d\""),
            "{known:?}"
        );
    }
}
