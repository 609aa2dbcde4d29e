//! In which form an answer is wanted: what the header `accept` comes to.

use axum::http::{HeaderMap, header};

/// The current media type: the status tells whether the request was understood.
pub(super) const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
/// The old one, and what everybody gets who does not say: whatever was well-formed is answered with 200.
pub(super) const JSON: &str = "application/json";
/// Server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// What a client accepts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The media type of an answer that is no stream.
    pub(super) media: &'static str,
    /// Whether it may be a stream of events.
    pub(super) events: Events,
}

/// Whether an answer may be a stream of events.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Events {
    No,
    /// What can only be streamed is.
    Accepted,
    /// Everything is.
    Preferred,
}

impl Accepted {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (mut media, mut events): (Option<(&str, f32)>, Option<f32>) = (None, None);
        for range in values.flat_map(|value| value.split(',')) {
            let (name, quality) = parse(range);
            if quality <= 0.0 {
                continue;
            }
            let known = [GRAPHQL_RESPONSE, JSON].into_iter().find(|known| name.eq_ignore_ascii_case(known));
            if name.eq_ignore_ascii_case(EVENT_STREAM) {
                // Listed before what is wanted as much: preferred.
                let before = media.is_none_or(|(_, best)| quality > best);
                events = Some(if before { quality } else { quality.min(f32::MIN_POSITIVE) });
            } else if let Some(known) = known
                && media.is_none_or(|(_, best)| quality > best)
            {
                media = Some((known, quality));
            }
        }
        let events = match (events, media) {
            (None, _) => Events::No,
            (Some(stream), Some((_, quality))) if stream < quality => Events::Accepted,
            (Some(_), _) => Events::Preferred,
        };
        Self { media: media.map_or(JSON, |(known, _)| known), events }
    }
}

/// A media range and its quality.
fn parse(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_wanted_most() {
        for (accept, media, events) in [
            ("", JSON, Events::No),
            ("*/*", JSON, Events::No),
            ("text/html", JSON, Events::No),
            ("application/json", JSON, Events::No),
            ("application/graphql-response+json", GRAPHQL_RESPONSE, Events::No),
            (
                "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
                GRAPHQL_RESPONSE,
                Events::No,
            ),
            ("application/graphql-response+json,application/json;q=0.9", GRAPHQL_RESPONSE, Events::No),
            ("application/json;q=0.9,application/graphql-response+json", GRAPHQL_RESPONSE, Events::No),
            ("application/json, application/graphql-response+json;q=0.1", JSON, Events::No),
            ("application/graphql-response+json;q=0, */*", JSON, Events::No),
            ("Application/GraphQL-Response+JSON", GRAPHQL_RESPONSE, Events::No),
            ("text/event-stream", JSON, Events::Preferred),
            ("text/event-stream;q=0", JSON, Events::No),
            ("text/event-stream, multipart/mixed", JSON, Events::Preferred),
            ("text/event-stream, application/json", JSON, Events::Preferred),
            ("application/json, text/event-stream", JSON, Events::Accepted),
            ("text/event-stream;q=0.5, application/json", JSON, Events::Accepted),
            ("application/json;q=0.5, text/event-stream", JSON, Events::Preferred),
            (
                "application/graphql-response+json, application/json, text/event-stream, multipart/mixed",
                GRAPHQL_RESPONSE,
                Events::Accepted,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Accepted::of(&headers), Accepted { media, events }, "{accept}");
        }
    }
}
