//! `ETag`s of queries: a GET is answered 304 Not Modified without querying the report while the client's copy is
//! current. They are also the keys of the response cache.
//!
//! A tag is a hash of everything that a response depends on: the program and its schema, the request, the media type,
//! the freshness of the report, and the clock. The freshness includes the version of the report's content. There is no
//! tag while a refresh is under way, because the freshness that the response shows is about to change.
//!
//! A response depends on the clock in two ways. The report becomes overdue: that status is part of the tag. And an
//! interval such as TODAY moves, at minutes that are multiples of five only: at whole hours of UTC, where all days begin
//! in every time zone (`reports/calendar.rs`), and five minutes earlier, because views may be recorded up to five
//! minutes ahead of the clock. So the tag changes every five minutes. A new field that depends on the clock must change
//! at these minutes only, or be listed in [`MOVES_ALWAYS`].
//!
//! A response and its tag are computed for the same moment, so a clock that jumps meanwhile does not separate them.
//!
//! The tags are weak (RFC 9110, 8.8.1): equal tags mean equivalent responses, not necessarily equal bytes.

use async_graphql::parser::types::OperationType;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use storage::clock::Moment;

use super::{App, operation::Operation};
use crate::schema::sdl;
use reports::freshness::Freshness;

/// The seconds between changes of the tag by the clock: the shortest time between two moves of an interval.
const STEP_SECONDS: i64 = 5 * 60;
/// Fields whose value changes with every moment. A query that selects one has no tag.
const MOVES_ALWAYS: [&str; 1] = ["stalenessSeconds"];

/// The most bytes of a request that are hashed. The hash is made before the request is parsed, and a mutation's
/// increments may have megabytes.
const PARTS_BYTES_MAX: usize = 64 * 1024;

/// The hash of everything in a tag that does not depend on the moment.
#[derive(Debug)]
pub(super) struct ETagBuilder(Sha256);

/// Returns whether a tag covers everything that the operation's response depends on.
pub(super) fn is_tagged(operation: &mut Operation) -> bool {
    operation.kind() == OperationType::Query && !MOVES_ALWAYS.iter().any(|field| operation.has_field(field))
}

impl ETagBuilder {
    /// Returns a builder for the request whose query, operation name and variables are `parts`. Returns none when this
    /// process serves no reports, or when the parts are so long that the request is probably a mutation.
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

    /// Returns the tag of the response from the report's version in `freshness` at `now`; none before the first refresh
    /// and while one is under way.
    pub(super) fn tag(&self, freshness: &Freshness, now: Moment) -> Option<String> {
        if !freshness.is_settled() {
            return None;
        }
        let mut hash = self.0.clone();
        // `Debug` includes every field of the freshness, also those that are added later. Its times tell apart
        // databases with the same number of refreshes.
        add(&mut hash, Some(&format!("{freshness:?} {:?}", freshness.status(now.monotonic))));
        hash.update(now.wall.timestamp().div_euclid(STEP_SECONDS).to_le_bytes());
        let digest = hash.finalize();
        Some(format!("W/\"{}\"", digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()))
    }
}

/// Returns a hash of the program's version and its schema.
pub(super) fn program() -> [u8; 32] {
    let mut hash = Sha256::new();
    add(&mut hash, Some(env!("CARGO_PKG_VERSION")));
    add(&mut hash, Some(&sdl()));
    hash.finalize().into()
}

/// The `ETag`s of the copies that a client has, from its `if-none-match` headers.
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

/// Removes the mark of a weak tag: `if-none-match` is compared weakly (RFC 9110, 13.1.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Hashes a part with its length, so that no two sequences of parts are the same bytes.
fn add(hash: &mut Sha256, part: Option<&str>) {
    let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX));
    hash.update(length.to_le_bytes());
    hash.update(part.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use chrono::{DateTime, TimeDelta};
    use entity::report_refresh::{self, Newest};

    use super::*;

    fn tag(freshness: &Freshness, wall: &str) -> Option<String> {
        tag_at(freshness, wall, Instant::now())
    }

    fn tag_at(freshness: &Freshness, wall: &str, monotonic: Instant) -> Option<String> {
        ETagBuilder(Sha256::new()).tag(freshness, Moment { wall: wall.parse().unwrap(), monotonic })
    }

    /// Returns the freshness after the refresh `id`, that becomes overdue `overdue_after` after `read_at`.
    fn freshness(id: i64, under_way: bool, read_at: Instant, overdue_after: Option<TimeDelta>) -> Freshness {
        let began_at = DateTime::UNIX_EPOCH;
        let row = report_refresh::Model {
            id,
            as_of: Some(began_at),
            started_at: began_at,
            finished_at: (!under_way).then_some(began_at),
            next_refresh_at: None,
            overdue_at: overdue_after.map(|after| began_at + after),
            hours_since: None,
            content_version: id,
            hours: 0,
            rows_changed: 0,
            error: None,
            looked_at: None,
            scheduled_at: Some(began_at),
            duration_ms: Some(0),
            elapsed_ms: None,
        };
        let rows = Newest { row: Some(row.clone()), successful: Some(row), database_now: Some(began_at) };
        Freshness::of_rows(rows, began_at, read_at)
    }

    fn known(id: i64, under_way: bool) -> Freshness {
        freshness(id, under_way, Instant::now(), None)
    }

    #[test]
    fn no_tag_before_the_first_refresh_or_while_one_is_under_way() {
        assert_eq!(tag(&Freshness::default(), "2026-11-22T20:00:00Z"), None);
        assert_eq!(tag(&known(7, true), "2026-11-22T20:00:00Z"), None);
        assert!(tag(&known(7, false), "2026-11-22T20:00:00Z").unwrap().starts_with("W/\""));
    }

    #[test]
    fn tag_changes_with_each_refresh_when_overdue_and_every_five_minutes() {
        let said = Instant::now();
        let [seventh, eighth] = [7, 8].map(|id| freshness(id, false, said, Some(TimeDelta::seconds(60))));
        let after = |freshness, seconds| tag_at(freshness, "2026-11-22T20:00:00Z", said + Duration::from_secs(seconds));
        assert_eq!(after(&seventh, 0), after(&seventh, 59));
        assert_ne!(after(&seventh, 0), after(&eighth, 0), "another refresh");
        assert_ne!(after(&seventh, 0), after(&seventh, 61), "it has become overdue");
        let freshness = known(7, false);
        let now = tag(&freshness, "2026-11-22T20:00:00Z");
        assert_eq!(now, tag(&freshness, "2026-11-22T20:04:59Z"));
        // A whole hour, where days begin; any step of five minutes; five minutes before an hour, from when on views may
        // be recorded in it.
        for (before, after) in [
            ("2026-11-22T20:59:59Z", "2026-11-22T21:00:00Z"),
            ("2026-11-22T18:14:59Z", "2026-11-22T18:15:00Z"),
            ("2026-11-22T20:54:59Z", "2026-11-22T20:55:00Z"),
        ] {
            assert_ne!(tag(&freshness, before), tag(&freshness, after), "{before}");
        }
    }

    #[test]
    fn if_none_match_is_parsed() {
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
