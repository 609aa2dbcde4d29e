//! Subscriptions that are the same: each event is found out, and put into JSON, once for all who follow.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::Request;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::operation::ExecutionEvent;

/// What makes two subscriptions the same: everybody who may subscribe is told the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    query: String,
    operation_name: Option<String>,
    variables: String,
}

/// The newest event of each subscription that anybody follows. A cheap handle: clone it.
#[derive(Clone, Default)]
pub(super) struct SharedSubscriptions(Arc<Mutex<HashMap<Key, LatestEvent>>>);

/// Nothing, as long as the first event is being found out. The text of an event is one for all.
type LatestEvent = watch::Sender<Option<ExecutionEvent>>;

impl SharedSubscriptions {
    /// What `execute` says of `request`: the state of now, then one event on every change. Who is slow skips to the
    /// newest. Only what is said first, which the clock may have a part in, is found out for each who follows.
    pub(super) fn follow(
        &self,
        request: Request,
        tasks: &TaskTracker,
        execute: impl Fn(Request) -> BoxStream<'static, ExecutionEvent>,
    ) -> BoxStream<'static, ExecutionEvent> {
        let key = Key::of(&request);
        let mut all = self.lock();
        let (newest, first) = match all.get(&key) {
            Some(sender) => {
                // Before it is asked what the first event is: nothing falls between.
                let newest = sender.subscribe();
                let is_begun = newest.borrow().is_some();
                (newest, is_begun.then(|| execute(request).take(1)))
            }
            None => {
                let (sender, newest) = watch::channel(None);
                all.insert(key.clone(), sender.clone());
                tasks.spawn(self.clone().tell(key, sender, execute(request)));
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
            Some(first) => first.chain(following).boxed(),
            None => following.boxed(),
        }
    }

    /// As long as anybody follows and there is something to tell.
    async fn tell(self, key: Key, newest: LatestEvent, mut events: BoxStream<'static, ExecutionEvent>) {
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => drop(newest.send_replace(Some(event))),
                    None => break,
                },
                () = newest.closed() => if newest.receiver_count() == 0 {
                    let mut all = self.lock();
                    // Nobody can have come since: it takes the lock.
                    if newest.receiver_count() == 0 {
                        all.remove(&key);
                        return;
                    }
                }
            }
        }
        self.lock().remove(&key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, LatestEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn of(request: &Request) -> Self {
        Self {
            query: request.query.clone(),
            operation_name: request.operation_name.clone(),
            variables: serde_json::to_string(&request.variables).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{super::operation::panicked, *};
    use crate::schema::AnswerText;

    /// The number of the execution, then numbers from elsewhere.
    fn told(said: Option<ExecutionEvent>) -> String {
        match said {
            Some(ExecutionEvent::Response { text, .. }) => String::from_utf8(text.bytes().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn answer(number: u32) -> ExecutionEvent {
        ExecutionEvent::Response { text: AnswerText::small(&serde_json::json!({ "data": number })), is_whole: true }
    }

    #[tokio::test]
    async fn what_is_the_same_is_executed_once_and_forgotten_when_nobody_follows() {
        let (shared_subscriptions, tasks, executed) =
            (SharedSubscriptions::default(), TaskTracker::new(), Arc::new(AtomicU32::new(0)));
        let changes = watch::Sender::new(100);
        let follow = |query: &str| {
            let changes = changes.subscribe();
            shared_subscriptions.follow(Request::new(query), &tasks, |_request| {
                let mut changes = changes.clone();
                changes.mark_unchanged();
                let first = answer(executed.fetch_add(1, Ordering::Relaxed));
                let later = stream::unfold(changes, async |mut changes| {
                    changes.changed().await.ok()?;
                    let number = *changes.borrow_and_update();
                    Some((answer(number), changes))
                });
                stream::iter([first]).chain(later).boxed()
            })
        };
        let data = |number: u32| format!("{{\"data\":{number}}}");
        let (mut a, mut other) = (follow("{ a }"), follow("{ b }"));
        assert_eq!((told(a.next().await), told(other.next().await)), (data(0), data(1)));
        let mut b = follow("{ a }");
        assert_eq!(told(b.next().await), data(2), "its own, of now");
        changes.send_replace(101);
        assert_eq!((told(a.next().await), told(b.next().await)), (data(101), data(101)));
        drop(a);
        changes.send_replace(102);
        assert_eq!(
            (told(b.next().await), told(other.next().await)),
            (data(102), data(102)),
            "who is slow skips to the newest"
        );
        assert_eq!(executed.load(Ordering::Relaxed), 3);
        assert_eq!(shared_subscriptions.lock().len(), 2);
        drop((b, other));
        tasks.close();
        tasks.wait().await;
        assert!(shared_subscriptions.lock().is_empty());
    }

    #[tokio::test]
    async fn what_ends_ends_for_all() {
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
