//! A cache of whole responses by their `ETag`: a query is answered from memory until something changes that its
//! response depends on.

use moka::{future::Cache, policy::EvictionPolicy};
use storage::clock::Moment;

use super::{
    App,
    access::{Principal, Scope},
    etag::ETagBuilder,
};
use crate::{metrics, schema::AnswerText};

/// The most bytes of a response that is cached: a longer one would displace many others.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The approximate memory of an entry beside its response, in bytes.
const ENTRY_BYTES: usize = 256;

/// A cache of responses by `ETag`; none when it is turned off. A cheap handle: clone it.
#[derive(Clone)]
pub(super) struct ResponseCache(Option<Cache<String, AnswerText>>);

impl ResponseCache {
    /// Returns a cache of about `bytes_max` bytes at most; 0 turns it off.
    pub(super) fn new(bytes_max: u64) -> Self {
        let weigh =
            |_: &String, answer: &AnswerText| u32::try_from(answer.bytes().len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        let cache = Cache::builder().max_capacity(bytes_max).weigher(weigh);
        // LRU in place of moka's frequency-based default: a refresh makes even the most popular entries useless.
        Self((bytes_max > 0).then(|| cache.eviction_policy(EvictionPolicy::lru()).build()))
    }

    /// Returns the response that is valid now and its `ETag`, if it is cached. Returns none when `principal` may not
    /// read reports: executing the operation then yields the error.
    pub(super) async fn get(
        &self,
        app: &App,
        principal: &Principal,
        tagger: &ETagBuilder,
    ) -> Option<(String, AnswerText)> {
        let cache = self.0.as_ref().filter(|_| principal.require_scope(Scope::Reports).is_ok())?;
        let tag = tagger.tag(&app.feed.as_ref()?.known()?, Moment::now())?;
        let answer = cache.get(&tag).await?;
        Some((tag, answer))
    }

    /// Sets the gauge of the cache's size.
    pub(super) async fn observe(&self) {
        let Some(cache) = &self.0 else { return metrics::observe_response_cache(0) };
        cache.run_pending_tasks().await;
        metrics::observe_response_cache(cache.weighted_size());
    }

    /// Caches the response under its `ETag`, unless it is longer than [`ANSWER_BYTES_MAX`].
    pub(super) async fn keep(&self, tag: &str, answer: AnswerText) {
        if let Some(cache) = self.0.as_ref().filter(|_| answer.bytes().len() <= ANSWER_BYTES_MAX) {
            cache.insert(tag.to_owned(), answer).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cache_respects_its_bounds() {
        let kept = ResponseCache::new(10_000);
        for number in 0..100 {
            kept.keep(&number.to_string(), AnswerText::small(&"x".repeat(1_000))).await;
        }
        let cache = kept.0.unwrap();
        cache.run_pending_tasks().await;
        assert!((5_000..=10_000).contains(&cache.weighted_size()), "{}", cache.weighted_size());
        let kept = ResponseCache::new(10_000_000);
        kept.keep("long", AnswerText::small(&"x".repeat(ANSWER_BYTES_MAX))).await;
        assert!(kept.0.unwrap().get("long").await.is_none());
        assert!(ResponseCache::new(0).0.is_none());
    }
}
