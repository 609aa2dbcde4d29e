//! Whole answers as they were sent, by their entity tags: a query is answered from memory until something has changed that
//! its answer depends on.

use entity::clock::Moment;
use moka::{future::Cache, policy::EvictionPolicy};

use super::{
    App,
    access::{Principal, Scope},
    etag::ETagBuilder,
};
use crate::{metrics, schema::AnswerText};

/// Longer answers are not kept: one would take the place of many.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What an entry takes beside its answer, in bytes, about.
const ENTRY_BYTES: usize = 256;

/// The answers that are kept. A cheap handle: clone it.
#[derive(Clone)]
pub(super) struct ResponseCache(Option<Cache<String, AnswerText>>);

impl ResponseCache {
    /// At most about `bytes_max` in all; 0 keeps none.
    pub(super) fn new(bytes_max: u64) -> Self {
        let weigh =
            |_: &String, answer: &AnswerText| u32::try_from(answer.bytes().len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        let cache = Cache::builder().max_capacity(bytes_max).weigher(weigh);
        // By age alone: what was asked often before a refresh is not asked again after it.
        Self((bytes_max > 0).then(|| cache.eviction_policy(EvictionPolicy::lru()).build()))
    }

    /// The answer that `caller` would get now, and its tag. Whoever may not read reports gets none: the general way says
    /// why.
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

    /// Tells the metrics how much is kept.
    pub(super) async fn observe(&self) {
        let Some(cache) = &self.0 else { return metrics::observe_response_cache(0) };
        cache.run_pending_tasks().await;
        metrics::observe_response_cache(cache.weighted_size());
    }

    /// Keeps the answer that has this tag.
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
    async fn no_more_is_kept_than_may_be() {
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
