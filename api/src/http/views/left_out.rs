//! Views that are left out although their request is in order.

use axum::http::{HeaderMap, header};

use crate::{http::view_settings::OptOut, metrics};

/// The headers by which browsers tell that a page is only loaded in advance: of the Fetch standard, and older ones.
const PURPOSES: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];
/// The word in these headers.
const PREFETCH: &str = "prefetch";

/// The reason why a view is left out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// The user agent is a known bot.
    Bot,
    /// The page is loaded in advance, and perhaps never seen.
    Prefetch,
    /// The browser sends Global Privacy Control, which is honored here.
    Gpc,
    /// The browser sends Do Not Track, which is honored here.
    Dnt,
}

impl LeftOut {
    const ALL: [Self; 4] = [Self::Bot, Self::Prefetch, Self::Gpc, Self::Dnt];

    /// Returns the first reason to leave out a view with these headers, if there is one.
    pub(super) fn of(headers: &HeaderMap, honored: &[OptOut]) -> Option<Self> {
        let is_on = |name: &str| headers.get(name).is_some_and(|value| value == "1");
        let is_prefetched = |name: &&str| headers.get(*name).is_some_and(|value| is_prefetch(value.as_bytes()));
        let user_agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        if user_agent.is_some_and(|user_agent| bots::is_known_bot(&user_agent)) {
            Some(Self::Bot)
        } else if PURPOSES.iter().any(is_prefetched) {
            Some(Self::Prefetch)
        } else if honored.contains(&OptOut::Gpc) && is_on("sec-gpc") {
            Some(Self::Gpc)
        } else if honored.contains(&OptOut::Dnt) && is_on("dnt") {
            Some(Self::Dnt)
        } else {
            None
        }
    }

    /// Counts a view that is left out for this reason.
    pub(super) fn count(self) {
        metrics::views_left_out(self.name()).increment(1);
    }

    /// Begins to count the views of every reason, from 0.
    pub(super) fn describe() {
        metrics::describe_views_left_out();
        for reason in Self::ALL {
            metrics::views_left_out(reason.name()).increment(0);
        }
    }

    /// Returns the reason's name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Prefetch => "prefetch",
            Self::Gpc => "gpc",
            Self::Dnt => "dnt",
        }
    }
}

/// Returns whether a purpose such as `prefetch;prerender` is that of a page that is loaded in advance.
fn is_prefetch(purpose: &[u8]) -> bool {
    purpose.get(..PREFETCH.len()).is_some_and(|word| word.eq_ignore_ascii_case(PREFETCH.as_bytes()))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0";
    const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

    fn judged(headers: &[(&'static str, &'static str)], honored: &[OptOut]) -> Option<LeftOut> {
        let pair = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        LeftOut::of(&headers.iter().copied().map(pair).collect(), honored)
    }

    #[test]
    fn bots_and_pages_loaded_in_advance_are_left_out() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("user-agent", BROWSER)], None),
            (&[("user-agent", BOT)], Some(LeftOut::Bot)),
            (&[("user-agent", BOT), ("sec-purpose", "prefetch")], Some(LeftOut::Bot)),
            (&[("sec-purpose", "prefetch")], Some(LeftOut::Prefetch)),
            (&[("sec-purpose", "prefetch;prerender")], Some(LeftOut::Prefetch)),
            (&[("purpose", "Prefetch")], Some(LeftOut::Prefetch)),
            (&[("x-moz", "prefetch")], Some(LeftOut::Prefetch)),
            (&[("sec-purpose", "")], None),
        ] {
            assert_eq!(judged(headers, &[]), expected, "{headers:?}");
        }
    }

    #[test]
    fn opt_out_is_honored_only_where_it_is_set() {
        for (name, signal, reason) in [("sec-gpc", OptOut::Gpc, LeftOut::Gpc), ("dnt", OptOut::Dnt, LeftOut::Dnt)] {
            let both = [OptOut::Gpc, OptOut::Dnt];
            assert_eq!(judged(&[(name, "1")], &[signal]), Some(reason));
            assert_eq!(judged(&[(name, "1")], &both), Some(reason));
            for other in [&[][..], &both.into_iter().filter(|other| *other != signal).collect::<Vec<_>>()] {
                assert_eq!(judged(&[(name, "1")], other), None, "{name} {other:?}");
            }
            assert_eq!(judged(&[(name, "0")], &both), None);
        }
    }
}
