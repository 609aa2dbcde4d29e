//! Rate limits per client.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::{Mutex, PoisonError},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::StateStore,
};
use lru::LruCache;

use super::{address::Network, token::TokenId};

/// The client that a rate limit counts: a token, or an address.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RateKey {
    Token(TokenId),
    Address(Network),
}

/// The most clients whose state is kept; the least recently used is evicted first. An evicted client starts again with
/// a full burst.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// A rate limit for each client: so many requests a second, and a burst of so many at once after a pause.
pub(super) struct RateLimit<C: Clock = MonotonicClock> {
    limiter: RateLimiter<RateKey, Recent, C, NoOpMiddleware<C::Instant>>,
    burst: NonZeroU32,
}

impl RateLimit {
    pub(super) fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::with_clock(per_second, burst, MonotonicClock)
    }
}

impl<C: Clock> RateLimit<C> {
    fn with_clock(per_second: NonZeroU32, burst: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self { limiter: RateLimiter::new(quota, Recent::new(), clock), burst }
    }

    /// Returns how many requests may come at once after a pause.
    pub(super) fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Counts one request.
    ///
    /// # Errors
    /// The number of seconds after which to try again, when the limit is exceeded.
    pub(super) fn check(&self, who: RateKey) -> Result<(), u64> {
        self.check_many(who, 1)
    }

    /// Counts `count` requests at once, or none of them. A `count` above the burst counts as the burst.
    ///
    /// # Errors
    /// The number of seconds after which to try again, when the limit is exceeded.
    pub(super) fn check_many(&self, who: RateKey, count: u32) -> Result<(), u64> {
        let Some(count) = NonZeroU32::new(count.min(self.burst.get())) else { return Ok(()) };
        // The outer error is impossible: it would report a count above the burst.
        let Ok(checked) = self.limiter.check_key_n(&who, count) else { return Ok(()) };
        checked.map_err(|not_until| {
            let wait = not_until.wait_time_from(self.limiter.clock().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        })
    }
}

/// The limiter's state of the clients that sent requests most recently.
struct Recent(Mutex<LruCache<RateKey, Nanos>>);

impl Recent {
    fn new() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_MAX)))
    }
}

impl StateStore for Recent {
    type Key = RateKey;

    fn measure_and_replace<T, F, E>(&self, who: &RateKey, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // After a panic in another thread at worst one client's state is missing.
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (measured, next) = measure(recent.get(who).copied())?;
        recent.put(*who, next);
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use governor::clock::FakeRelativeClock;

    use super::{
        super::{scopes::Scopes, token::Token},
        *,
    };

    fn token() -> RateKey {
        RateKey::Token(Token::of_secret("a", Scopes::WITHOUT_TOKEN, None).id())
    }

    fn count(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn at(address: u32) -> RateKey {
        RateKey::Address(Network::of(Ipv4Addr::from(address).into()))
    }

    #[test]
    fn client_over_its_limit_waits_and_others_do_not() {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::with_clock(count(2), count(4), clock.clone());
        assert_eq!((0..5).map(|_| limit.check(at(1))).filter(Result::is_ok).count(), 4);
        assert_eq!(limit.check(at(1)), Err(1));
        assert_eq!((limit.check(at(2)), limit.check(token())), (Ok(()), Ok(())));
        clock.advance(Duration::from_millis(500));
        assert_eq!((limit.check(at(1)), limit.check(at(1))), (Ok(()), Err(1)));
    }

    #[test]
    fn requests_counted_together_count_all_or_none() {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::with_clock(count(2), count(10), clock.clone());
        assert_eq!((limit.check_many(at(1), 6), limit.check_many(at(1), 6)), (Ok(()), Err(1)));
        assert_eq!((limit.check_many(at(1), 4), limit.check(at(1))), (Ok(()), Err(1)));
        assert_eq!(limit.check_many(at(1), 10), Err(5), "none of the refused are counted");
        assert_eq!(limit.check_many(at(1), 0), Ok(()));
        clock.advance(Duration::from_secs(5));
        assert_eq!(limit.check_many(at(1), 10), Ok(()));
    }

    #[test]
    fn exhausted_limit_returns_the_seconds_to_wait() {
        let limit = RateLimit::with_clock(count(1), count(1), FakeRelativeClock::default());
        assert_eq!((limit.check(at(1)), limit.check(at(1))), (Ok(()), Err(1)));
    }

    #[test]
    fn kept_clients_are_bounded_and_an_active_one_is_not_evicted() {
        let limit = RateLimit::with_clock(count(1), count(1), FakeRelativeClock::default());
        for address in 0..200_000 {
            assert_eq!(limit.check(at(address)), Ok(()));
            assert_eq!(limit.check(token()).is_ok(), address == 0);
        }
        assert_eq!(limit.limiter.into_state_store().0.into_inner().unwrap().len(), REMEMBERED_MAX.get());
    }
}
