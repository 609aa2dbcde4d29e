//! `ETag`s of queries. They are also the keys of the cache of responses.
//!
//! A tag is a hash of everything that a response depends on: the program and its schema, the request, the media type,
//! the freshness of the report, which includes the version of its content, the status, and what the response shows of
//! the clock ([`ClockUse`]): the present hour, for instance, if its interval is relative. The resolvers' handle notes
//! what they read of the clock, so a field that is added later can't be forgotten here.
//!
//! The tags are weak (RFC 9110, 8.8.1): equal tags mean equivalent responses, not necessarily equal bytes.

use std::hash::{Hash, Hasher};

use reports::{
    ClockUse,
    freshness::{Freshness, RefreshStatus},
};
use sha2::{Digest, Sha256};

use crate::graphql::{may_require_freshness, sdl};

/// The most bytes of a request that are hashed. The hash is made before the request is parsed, and a mutation's
/// increments may have megabytes.
const PARTS_BYTES_MAX: usize = 64 * 1024;
/// The bytes of a hash in a tag.
const TAG_BYTES: usize = 16;

/// The hash of the parts of a tag that do not depend on the moment.
#[derive(Clone, Debug)]
pub(super) struct RequestHash {
    hash: Sha256,
    may_require_freshness: bool,
}

/// Returns the hash of the program's version and its schema, with which every tag begins.
pub(super) fn program() -> RequestHash {
    let mut hash = Sha256::new();
    add(&mut hash, Some(env!("CARGO_PKG_VERSION")));
    add(&mut hash, Some(&sdl()));
    RequestHash { hash, may_require_freshness: false }
}

impl RequestHash {
    /// Returns the hash of the request whose query, operation name and variables are `parts`. Returns none when the
    /// parts are so long that the request is probably a mutation.
    pub(super) fn request(mut self, parts: [Option<&str>; 3], media: &'static str) -> Option<Self> {
        let bytes: usize = parts.iter().flatten().map(|part| part.len()).sum();
        if bytes > PARTS_BYTES_MAX {
            return None;
        }
        for part in parts.into_iter().chain([Some(media)]) {
            add(&mut self.hash, part);
        }
        let [query, ..] = parts;
        self.may_require_freshness = query.is_some_and(may_require_freshness);
        Some(self)
    }

    /// Returns whether the query may require a freshness. Then a response that was right before may not be any more, although
    /// nothing has changed but the time.
    pub(super) fn may_require_freshness(&self) -> bool {
        self.may_require_freshness
    }

    /// Returns the tag of a response from the report's version in `freshness`. There is none before the first refresh;
    /// while one is under way, because the freshness that the response shows is about to change; and if the response
    /// shows the moment itself.
    pub(super) fn tag(&self, freshness: &Freshness, status: RefreshStatus, clock: ClockUse) -> Option<String> {
        self.state(freshness, status)?.tag(clock)
    }

    /// Returns the hash of the request and of the report's state, from which the tags are made. There is none before the
    /// first refresh and while one is under way.
    pub(super) fn state(&self, freshness: &Freshness, status: RefreshStatus) -> Option<StateHash> {
        let mut hash = HashWriter(self.hash.clone());
        // The times in the freshness tell apart databases with the same number of refreshes.
        freshness.is_settled().then(|| (freshness, status).hash(&mut hash))?;
        Some(StateHash(hash))
    }
}

/// The hash of everything in a tag but what the response shows of the clock.
#[derive(Clone)]
pub(super) struct StateHash(HashWriter);

impl StateHash {
    /// Returns the tag of a response with this use of the clock; none if it shows the moment itself.
    pub(super) fn tag(&self, clock: ClockUse) -> Option<String> {
        let Self(mut hash) = self.clone();
        (clock != ClockUse::Moment).then(|| clock.hash(&mut hash))?;
        Some(weak(&hash.0.finalize()))
    }
}

/// Returns the weak tag of a hash.
pub(super) fn weak(hash: &[u8]) -> String {
    format!("W/\"{}\"", hex::encode(hash.get(..TAG_BYTES).unwrap_or(hash)))
}

/// A hasher that feeds a SHA-256.
#[derive(Clone)]
struct HashWriter(Sha256);

impl Hasher for HashWriter {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not used: 64 bits are too few for a tag.
    fn finish(&self) -> u64 {
        0
    }
}

/// Hashes a part with its length, so that no two sequences of parts are the same bytes.
fn add(hash: &mut Sha256, part: Option<&str>) {
    let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX));
    hash.update(length.to_le_bytes());
    hash.update(part.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use chrono::{DateTime, Utc};
    use entity::report_refresh::{self, Newest};

    use super::*;

    /// Returns the freshness after the refresh `id`.
    fn freshness(id: i64, under_way: bool) -> Freshness {
        let began_at = DateTime::UNIX_EPOCH;
        let row = report_refresh::Model {
            id,
            as_of: Some(began_at),
            started_at: began_at,
            finished_at: (!under_way).then_some(began_at),
            next_refresh_at: None,
            overdue_at: None,
            hours_since: None,
            content_version: id,
            hours: 0,
            rows_changed: 0,
            error: None,
            looked_at: None,
            scheduled_at: Some(began_at),
            duration_ms: Some(0),
            elapsed_ms: None,
            hours_left: None,
        };
        let rows = Newest { row: Some(row.clone()), successful: Some(row), database_now: Some(began_at) };
        Freshness::of_rows(rows, began_at, Instant::now())
    }

    fn empty() -> RequestHash {
        RequestHash { hash: Sha256::new(), may_require_freshness: false }
    }

    fn tag(freshness: &Freshness, status: RefreshStatus, clock: ClockUse) -> Option<String> {
        empty().tag(freshness, status, clock)
    }

    #[test]
    fn no_tag_before_the_first_refresh_or_while_one_is_under_way_or_of_the_moment() {
        assert_eq!(tag(&Freshness::default(), RefreshStatus::Overdue, ClockUse::None), None);
        assert_eq!(tag(&freshness(7, true), RefreshStatus::Refreshing, ClockUse::None), None);
        assert_eq!(tag(&freshness(7, false), RefreshStatus::Fresh, ClockUse::Moment), None);
        let tag = tag(&freshness(7, false), RefreshStatus::Fresh, ClockUse::None).unwrap();
        assert_eq!((&tag[..3], tag.len()), ("W/\"", 3 + 2 * TAG_BYTES + 1));
    }

    #[test]
    fn tag_changes_with_all_that_a_response_depends_on() {
        let at = |text: &str| ClockUse::Hour(text.parse::<DateTime<Utc>>().unwrap().into());
        let [seventh, again, eighth] = [7, 7, 8].map(|id| freshness(id, false));
        let first = tag(&seventh, RefreshStatus::Fresh, at("2026-11-22T20:00:00Z"));
        assert_eq!(
            first,
            tag(&again, RefreshStatus::Fresh, at("2026-11-22T20:54:59Z")),
            "read again, in the same hour"
        );
        for (freshness, status, clock) in [
            (&eighth, RefreshStatus::Fresh, at("2026-11-22T20:00:00Z")),
            (&seventh, RefreshStatus::Overdue, at("2026-11-22T20:00:00Z")),
            (&seventh, RefreshStatus::Fresh, at("2026-11-22T20:55:00Z")),
            (&seventh, RefreshStatus::Fresh, ClockUse::None),
        ] {
            assert_ne!(first, tag(freshness, status, clock), "{status:?} {clock:?}");
        }
        let request = |parts| empty().request(parts, "application/json").unwrap();
        let of = |parts| request(parts).tag(&seventh, RefreshStatus::Fresh, ClockUse::None);
        assert_ne!(of([Some("ab"), None, Some("c")]), of([Some("a"), None, Some("bc")]));
        assert_ne!(of([Some(""), None, None]), of([None, None, None]));
        assert!(empty().request([None, None, Some(&"x".repeat(PARTS_BYTES_MAX + 1))], "").is_none());
    }
}
