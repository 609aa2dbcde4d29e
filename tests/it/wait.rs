//! Waits for a condition or a future. A wait that is too long fails the test with the name of what it waited for.
//! Nothing else in `tests/it` sleeps (`tests/it/architecture.rs` holds that): the result of a test does not depend on
//! the speed of the machine.

use std::time::{Duration, Instant};

/// How long a test waits for something that has to come. So long that a machine ten times slower passes, too.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds, and fails with `what` if it never does.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < WAIT_MAX, "waited in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits on this thread until `condition` holds, and fails with `what` if it never does.
pub(crate) fn eventually_blocking(what: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < WAIT_MAX, "waited in vain: {}", what());
        std::thread::sleep(POLL);
    }
}

/// Waits for `future`, and fails with `what` if it never ends.
pub(crate) async fn wait_for<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, future).await.unwrap_or_else(|_elapsed| panic!("waited in vain: {what}"))
}

/// The pause between two requests of a client under load, or the length of a fault. No check rests on it.
pub(crate) async fn pace(pause: Duration) {
    tokio::time::sleep(pause).await;
}
