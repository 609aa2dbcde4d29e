//! Content negotiation: the form of a response by the request's `accept` header.

use axum::http::{HeaderMap, header};

/// The media type of GraphQL over HTTP: the response's status says whether the request was valid.
pub(super) const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
/// The legacy media type, and the default: every well-formed request is answered with status 200.
pub(super) const JSON: &str = "application/json";
/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// The forms of a response that a client accepts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The media type of a response that is not a stream.
    pub(super) media: &'static str,
    /// Whether the response may be an event stream.
    pub(super) events: Events,
}

/// Whether a response may be a stream of server-sent events.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Events {
    No,
    /// Only subscriptions are streamed.
    Accepted,
    /// Every operation is streamed.
    Preferred,
}

impl Accepted {
    /// Reads the `accept` headers. Unknown media types and `q=0` are ignored; among equal qualities the first wins.
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
                // Preferred when listed before media types of equal quality.
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

/// Returns a media range's name and its quality: 1 when left out, 0 when malformed.
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
    fn accepted_form_of_the_highest_quality_is_chosen() {
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
