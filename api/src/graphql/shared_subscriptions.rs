//! Shares identical subscriptions: each event is computed and serialized once for all their subscribers.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::Request;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{event::ExecutionEvent, request_key::RequestKey};

/// The latest event of each subscription that has subscribers. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SharedSubscriptions(Arc<Mutex<HashMap<RequestKey, LatestEvent>>>);

/// The channel of a subscription: `None` until the first event is computed. All subscribers share an event's text.
type LatestEvent = watch::Sender<Option<ExecutionEvent>>;

impl SharedSubscriptions {
    /// Returns the events of `request`: the current state, then one event on every change. A slow subscriber skips to
    /// the latest event. Only the first event, which may depend on the clock, is executed for each subscriber. All events are
    /// executed by `tasks`, whether the stream is polled or not.
    pub(super) fn follow(
        &self,
        request: Request,
        tasks: &TaskTracker,
        execute: impl Fn(Request) -> BoxStream<'static, ExecutionEvent>,
    ) -> BoxStream<'static, ExecutionEvent> {
        let key = RequestKey::of(&request);
        let mut all = self.lock();
        let (newest, first) = match all.get(&key) {
            Some(sender) => {
                // Subscribes before the first event is computed, so that no change is missed in between.
                let newest = sender.subscribe();
                let is_begun = newest.borrow().is_some();
                (newest, is_begun.then(|| AbortOnDropHandle::new(tasks.spawn(execute(request).into_future()))))
            }
            None => {
                let (sender, newest) = watch::channel(None);
                all.insert(key.clone(), sender.clone());
                tasks.spawn(self.clone().publish(key, sender, execute(request)));
                (newest, None)
            }
        };
        drop(all);
        let following = stream::unfold(newest, async |mut newest| {
            newest.changed().await.ok()?;
            let event = newest.borrow_and_update().clone()?;
            Some((event, newest))
        });
        match first {
            Some(first) => {
                let first = stream::once(first).filter_map(async |executed| executed.ok()?.0);
                first.chain(following).boxed()
            }
            None => following.boxed(),
        }
    }

    /// Publishes the events until they end or the last subscriber has gone.
    async fn publish(self, key: RequestKey, newest: LatestEvent, mut events: BoxStream<'static, ExecutionEvent>) {
        let mut closed = pin!(newest.closed());
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => drop(newest.send_replace(Some(event))),
                    None => break,
                },
                () = &mut closed => {
                    let mut all = self.lock();
                    // `follow` subscribes under the same lock: no subscriber can be added from here on.
                    if newest.receiver_count() == 0 {
                        all.remove(&key);
                        return;
                    }
                    closed.set(newest.closed());
                }
            }
        }
        self.lock().remove(&key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestKey, LatestEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::yield_now;

    use super::{
        super::{errors::panicked, response_budget::ResponseText},
        *,
    };

    /// Returns the text of a response.
    fn text(event: Option<ExecutionEvent>) -> String {
        match event {
            Some(ExecutionEvent::Response { text, .. }) => String::from_utf8(text.bytes().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn answer(number: u32) -> ExecutionEvent {
        ExecutionEvent::Response { text: ResponseText::small(&serde_json::json!({ "data": number })), provenance: None }
    }

    #[tokio::test]
    async fn identical_subscriptions_share_events_and_are_removed_with_the_last_subscriber() {
        let (shared_subscriptions, tasks, executed) =
            (SharedSubscriptions::default(), TaskTracker::new(), Arc::new(AtomicU32::new(0)));
        let changes = watch::Sender::new(100);
        let follow = |query: &str| {
            let changes = changes.subscribe();
            shared_subscriptions.follow(Request::new(query), &tasks, |_request| {
                let mut changes = changes.clone();
                changes.mark_unchanged();
                let executed = Arc::clone(&executed);
                let first = stream::once(async move { answer(executed.fetch_add(1, Ordering::Relaxed)) });
                let later = stream::unfold(changes, async |mut changes| {
                    changes.changed().await.ok()?;
                    let number = *changes.borrow_and_update();
                    Some((answer(number), changes))
                });
                first.chain(later).boxed()
            })
        };
        let data = |number: u32| format!("{{\"data\":{number}}}");
        let (mut a, mut other) = (follow("{ a }"), follow("{ b }"));
        assert_eq!((text(a.next().await), text(other.next().await)), (data(0), data(1)));
        let mut b = follow("{ a }");
        yield_now().await;
        assert_eq!(executed.load(Ordering::Relaxed), 3, "executed though its subscriber does not poll");
        assert_eq!(text(b.next().await), data(2), "a first event of its own");
        changes.send_replace(101);
        assert_eq!((text(a.next().await), text(b.next().await)), (data(101), data(101)));
        drop(a);
        changes.send_replace(102);
        assert_eq!(
            (text(b.next().await), text(other.next().await)),
            (data(102), data(102)),
            "a slow subscriber skips to the latest event"
        );
        assert_eq!(executed.load(Ordering::Relaxed), 3);
        assert_eq!(shared_subscriptions.lock().len(), 2);
        drop((b, other));
        tasks.close();
        tasks.wait().await;
        assert!(shared_subscriptions.lock().is_empty());
    }

    #[tokio::test]
    async fn end_of_the_events_ends_the_stream_of_every_subscriber() {
        let (shared_subscriptions, tasks) = (SharedSubscriptions::default(), TaskTracker::new());
        let refused = |_request| stream::iter([ExecutionEvent::RequestErrors(vec![panicked()])]).boxed();
        let (mut a, mut b) = (
            shared_subscriptions.follow(Request::new("{ a }"), &tasks, refused),
            shared_subscriptions.follow(Request::new("{ a }"), &tasks, refused),
        );
        for follower in [&mut a, &mut b] {
            assert!(matches!(follower.next().await, Some(ExecutionEvent::RequestErrors(_))));
            assert!(follower.next().await.is_none());
        }
        assert!(shared_subscriptions.lock().is_empty());
    }
}
