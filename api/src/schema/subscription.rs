//! What can be watched.

use async_graphql::{Context, Subscription};
use futures_util::{Stream, StreamExt};

use super::freshness::Freshness;
use crate::freshness::FreshnessFeed;

/// What can be watched.
#[derive(Copy, Clone, Debug)]
pub struct Subscription;

/// What can be watched.
#[Subscription]
impl Subscription {
    /// The current value first, then one on every change.
    async fn freshness(&self, context: &Context<'_>) -> async_graphql::Result<impl Stream<Item = Freshness> + use<>> {
        Ok(context.data::<FreshnessFeed>()?.subscribe().map(|freshness| Freshness::from(&freshness)))
    }
}
