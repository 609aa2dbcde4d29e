//! A limit on how many of something each client may have at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::access::Network;

/// Limits how many permits each client may hold. Only clients that hold any take memory. A cheap handle: clone it.
#[derive(Clone)]
pub(super) struct PerClient {
    each: u32,
    taken: Arc<Mutex<HashMap<Network, u32>>>,
}

/// One of a client's permits, given back when it is dropped.
pub(super) struct PerClientPermit {
    client: Network,
    of: PerClient,
}

impl PerClient {
    /// Allows each client `each` permits at once.
    pub(super) fn new(each: u32) -> Self {
        Self { each, taken: Arc::default() }
    }

    pub(super) fn each(&self) -> u32 {
        self.each
    }

    /// Returns one more permit for the client, or none if it holds as many as it may.
    pub(super) fn take(&self, client: Network) -> Option<PerClientPermit> {
        let mut taken = self.lock();
        let count = taken.entry(client).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(PerClientPermit { client, of: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Network, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PerClientPermit {
    fn drop(&mut self) {
        let mut taken = self.of.lock();
        match taken.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            // The client's last permit: its entry is removed.
            _ => drop(taken.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_limited_separately_and_forgotten_without_permits() {
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|address| Network::of(address.parse().unwrap()));
        let shares = PerClient::new(2);
        let of_a = [shares.take(a), shares.take(a)];
        assert!(of_a.iter().all(Option::is_some) && shares.take(a).is_none() && shares.take(b).is_some());
        drop(of_a);
        assert!(shares.lock().is_empty() && shares.take(a).is_some());
    }
}
