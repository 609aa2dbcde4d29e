//! The hosts for which a server answers requests where anonymous clients have all scopes.
//!
//! The owner of a domain can make it resolve to this server's address (DNS rebinding). A browser then treats this
//! server as the origin of the pages that it loaded from that domain, and lets them read its responses. Only the
//! request's host distinguishes such a page from the server's own.

use std::{net::Ipv6Addr, str::FromStr};

use axum::{
    extract::Request,
    http::{HeaderMap, Uri, Version, header},
};

/// The name of the machine itself. Browsers do not look it or names under it up in the DNS (RFC 6761, 6.3).
const LOCALHOST: &str = "localhost";
/// The most bytes of a name (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// A host name without a port, in lower case, such as `stats.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

/// The error for a text that is not a host name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host is a name such as stats.example.org, without http:// and without a port")]
pub struct ParseHostError;

impl FromStr for Host {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, ParseHostError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_of_names) {
            return Err(ParseHostError);
        }
        Ok(Self(name))
    }
}

/// Returns whether every host that the request names is an IP address, `localhost` or a name under it, or one of
/// `hosts`. An HTTP/1.0 request may name no host, which is safe because browsers do not send such requests.
pub(super) fn is_for(request: &Request, hosts: &[Host]) -> bool {
    let named = named(request.uri(), request.headers());
    match named.as_deref() {
        Some([]) => request.version() < Version::HTTP_11,
        Some(named) => named.iter().all(|authority| is_known(authority, hosts)),
        None => false,
    }
}

/// Returns every host that the request names, in its target and its `host` headers; `None` if a header is not text.
fn named<'a>(target: &'a Uri, headers: &'a HeaderMap) -> Option<Vec<&'a str>> {
    let header = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok());
    target.authority().map(|authority| Some(authority.as_str())).into_iter().chain(header).collect()
}

/// Returns whether an authority's host, with or without a port, is one that this server answers for.
fn is_known(authority: &str, hosts: &[Host]) -> bool {
    if let Some((address, port)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let name = match authority.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => authority,
    };
    // An IPv4 address also parses as a name. Browsers send it in dotted decimal form, however the user wrote it.
    let Ok(Host(name)) = name.parse() else { return false };
    let is_local = || name.strip_suffix(LOCALHOST).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.parse::<std::net::Ipv4Addr>().is_ok() || is_local() || hosts.iter().any(|host| host.0 == name)
}

/// Returns whether the text can be a port, which may be empty (RFC 3986, 3.2.3).
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn answers(target: &str, version: Version, hosts: &[&str]) -> bool {
        let mut request = Request::builder().uri(target).version(version);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        is_for(&request.body(Body::empty()).unwrap(), &["stats.example.org".parse().unwrap()])
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_accepted() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8000",
            "192.0.2.1:8000",
            "[::1]",
            "[::1]:8000",
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "a.localhost:8000",
            "stats.example.org",
            "Stats.Example.Org.:443",
            "localhost:",
        ] {
            assert!(answers("/", Version::HTTP_11, &[host]), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "",
            "rebind.example",
            "rebind.example:8000",
            "example.org",
            "a.stats.example.org",
            "stats.example.org.rebind.example",
            "notlocalhost",
            "localhost.rebind.example",
            "127.0.0.1.rebind.example",
            "127.0.0.1:8000@rebind.example",
            "user@localhost",
            "localhost:8000:1",
            "localhost:x",
            "[::1",
            "[::1]x",
            "[rebind.example]",
            "::1",
            "localhost, rebind.example",
            "127.1",
            "2130706433",
        ] {
            assert!(!answers("/", Version::HTTP_11, &[host]), "{host}");
        }
    }

    #[test]
    fn every_host_that_a_request_names_is_checked() {
        assert!(answers("http://localhost:8000/", Version::HTTP_11, &["localhost:8000"]));
        for (target, host) in [("http://rebind.example/", "localhost"), ("http://localhost/", "rebind.example")] {
            assert!(!answers(target, Version::HTTP_11, &[host]), "{target} {host}");
        }
        assert!(!answers("/", Version::HTTP_11, &["localhost", "rebind.example"]));
        assert!(!answers("/", Version::HTTP_11, &[]), "HTTP/1.1 requires a host (RFC 9112, 3.2)");
        assert!(answers("/", Version::HTTP_10, &[]));
        assert!(!answers("/", Version::HTTP_10, &["rebind.example"]));
        assert!(!answers("http://rebind.example/", Version::HTTP_10, &[]));
    }

    #[test]
    fn host_setting_is_a_name_without_scheme_or_port() {
        assert_eq!("Increments".parse::<Host>().unwrap().0, "increments", "a container's name, for instance");
        for text in ["", ".", "http://stats.example.org", "stats.example.org:80", "*", "a b", "[::1]", &"a".repeat(254)]
        {
            assert_eq!(text.parse::<Host>(), Err(ParseHostError), "{text}");
        }
    }
}
