//! A cache of whole responses by their `ETag`: a query is answered from memory, or with 304, until something changes
//! that its response depends on.

use headers::{ETag, IfNoneMatch};
use moka::{future::Cache, policy::EvictionPolicy};
use reports::{
    ClockUse, Provenance,
    freshness::{Freshness, FreshnessFeed},
};
use storage::clock::Moment;

use super::etag::{self, RequestHash};
use crate::{graphql::ResponseText, metrics};

/// The most bytes of a response that is cached: a longer one would displace many others.
const RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// The approximate memory of an entry beside its response, in bytes.
const ENTRY_BYTES: usize = 256;

/// A cache of responses by `ETag`. A cheap handle: clone it.
#[derive(Clone)]
pub(super) struct ResponseCache {
    /// The source of the present freshness; none where no reports are served.
    feed: Option<FreshnessFeed>,
    program: RequestHash,
    /// The responses; none when the cache is turned off.
    responses: Option<Cache<String, ResponseText>>,
}

impl ResponseCache {
    /// Returns a cache of about `bytes_max` bytes at most; 0 turns it off. Responses have `ETag`s all the same.
    pub(super) fn new(feed: Option<FreshnessFeed>, bytes_max: u64) -> Self {
        let weigh = |_: &String, response: &ResponseText| {
            u32::try_from(response.bytes().len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(bytes_max).weigher(weigh);
        // LRU in place of moka's frequency-based default: a refresh makes even the most popular entries useless.
        let responses = (bytes_max > 0).then(|| cache.eviction_policy(EvictionPolicy::lru()).build());
        Self { feed, program: etag::program(), responses }
    }

    /// Returns the hash of the request whose query, operation name and variables are `parts`; none if its response can
    /// have no `ETag`.
    pub(super) fn request(&self, parts: [Option<&str>; 3], media: &'static str) -> Option<RequestHash> {
        self.feed.as_ref()?;
        self.program.clone().request(parts, media)
    }

    /// Returns the response that is valid now and its `ETag`, if it is cached. That of a request that may require a freshness
    /// never is: whether it is valid is known only when it has been executed.
    pub(super) async fn get(&self, request: &RequestHash) -> Option<(String, ResponseText)> {
        if request.may_require_freshness() {
            return None;
        }
        let responses = self.responses.as_ref()?;
        for tag in tags_at(request, &self.feed.as_ref()?.known()?, Moment::now()) {
            if let Some(response) = responses.get(&tag).await {
                return Some((tag, response));
            }
        }
        None
    }

    /// Returns the `ETag` of the client's copy if that copy is still current, unless the request may require a freshness.
    pub(super) async fn current(&self, request: &RequestHash, if_none_match: &IfNoneMatch) -> Option<String> {
        // `*` names no copy.
        if *if_none_match == IfNoneMatch::any() || request.may_require_freshness() {
            return None;
        }
        // When the database can't be reached, the query itself reports the error.
        let freshness = self.feed.as_ref()?.read().await.ok()?;
        tags_at(request, &freshness, Moment::now()).find(|tag| is_named(if_none_match, tag))
    }

    /// Caches the response, unless it is longer than [`RESPONSE_BYTES_MAX`] or for a request that may require a freshness, and
    /// returns its `ETag` if it has one.
    pub(super) async fn store(
        &self,
        request: &RequestHash,
        provenance: &Provenance,
        response: ResponseText,
    ) -> Option<String> {
        let Provenance { freshness, status, clock, .. } = provenance;
        let tag = request.tag(freshness, *status, *clock)?;
        let is_kept = response.bytes().len() <= RESPONSE_BYTES_MAX && !request.may_require_freshness();
        if let Some(responses) = self.responses.as_ref().filter(|_| is_kept) {
            responses.insert(tag.clone(), response).await;
        }
        Some(tag)
    }

    /// Sets the gauge of the cache's size.
    pub(super) async fn observe(&self) {
        let Some(responses) = &self.responses else { return metrics::observe_response_cache(0) };
        responses.run_pending_tasks().await;
        metrics::observe_response_cache(responses.weighted_size());
    }
}

/// Returns whether a client has a copy with this tag. The comparison is weak (RFC 9110, 13.1.2).
pub(super) fn is_named(if_none_match: &IfNoneMatch, tag: &str) -> bool {
    tag.parse::<ETag>().is_ok_and(|tag| !if_none_match.precondition_passes(&tag))
}

/// Returns the tags that a response to the request can have at `now`: its use of the clock is known only when it has
/// been executed.
fn tags_at(request: &RequestHash, freshness: &Freshness, now: Moment) -> impl Iterator<Item = String> {
    let state = request.state(freshness, freshness.status(now.monotonic));
    let uses = [ClockUse::Hour(now.wall.into()), ClockUse::None];
    state.into_iter().flat_map(move |state| uses.into_iter().filter_map(move |clock| state.tag(clock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_is_compared_weakly() {
        let named = IfNoneMatch::from(r#"W/"a""#.parse::<ETag>().unwrap());
        assert!(is_named(&named, r#"W/"a""#) && is_named(&named, r#""a""#) && !is_named(&named, r#"W/"b""#));
    }

    #[tokio::test]
    async fn cache_respects_its_bounds() {
        let text = |bytes: usize| ResponseText::small(&"x".repeat(bytes));
        let cache = ResponseCache::new(None, 10_000).responses.unwrap();
        for number in 0..100 {
            cache.insert(number.to_string(), text(1_000)).await;
        }
        cache.run_pending_tasks().await;
        assert!((5_000..=10_000).contains(&cache.weighted_size()), "{}", cache.weighted_size());
        assert!(ResponseCache::new(None, 0).responses.is_none());
    }
}
