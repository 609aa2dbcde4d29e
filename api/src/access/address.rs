//! Client addresses. They are used for limits only: `Debug` of these types shows no address, so that none is logged.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::http::{HeaderMap, HeaderName};

/// The header to which each proxy appends the address that sent it the request.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The bits of an IPv6 address that identify a network: providers assign at least a /64 to each customer.
const IPV6_CUSTOMER_BITS: u32 = 64;

/// The address at the other end of a connection: a client's or a proxy's.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A client's IPv4 address or IPv6 /64 network, since a client can use every address of its network.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// Returns the network of an address. An IPv4-mapped IPv6 address counts as IPv4.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let mask = u128::MAX << (Ipv6Addr::BITS - IPV6_CUSTOMER_BITS);
                Ipv6Addr::from(address.to_bits() & mask).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    /// Returns the client's network when `proxies` trusted proxies, each of which appends to `x-forwarded-for`, stand
    /// between it and this server. Only the last `proxies` entries are trusted: earlier ones may be forged by the
    /// client. Falls back to `peer` when there is no such entry or it is not an address.
    pub(super) fn of_client(peer: Peer, headers: &HeaderMap, proxies: u8) -> Self {
        let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let mut behind: Vec<_> = values.flat_map(|value| value.split(',')).collect();
        behind.reverse();
        let forwarded = usize::from(proxies).checked_sub(1).and_then(|index| address(behind.get(index)?.trim()));
        Self::of(forwarded.unwrap_or(peer.0))
    }
}

/// Parses the address in `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`: the header has no standard, and
/// some proxies add the client's port.
fn address(text: &str) -> Option<IpAddr> {
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
        .or_else(|| in_brackets().map(IpAddr::from))
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Peer")
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    fn client(proxies: u8, forwarded: &[&'static str]) -> Network {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, axum::http::HeaderValue::from_static(value));
        }
        Network::of_client(Peer("10.0.0.1".parse().unwrap()), &headers, proxies)
    }

    #[test]
    fn client_address_is_the_one_that_the_outermost_trusted_proxy_saw() {
        assert!(client(0, &["192.0.2.1"]) == network("10.0.0.1"), "no proxy is trusted");
        assert!(client(1, &["192.0.2.9, 192.0.2.1"]) == network("192.0.2.1"), "the client may forge the first");
        assert!(client(2, &["192.0.2.9, 192.0.2.1", "192.0.2.2"]) == network("192.0.2.1"));
        for forwarded in [&[][..], &["unknown"], &["192.0.2.1, "], &["192.0.2.1:"], &["192.0.2.1:x"], &["[192.0.2.1]"]]
        {
            assert!(client(1, forwarded) == network("10.0.0.1"), "{forwarded:?}");
        }
        assert!(client(2, &["192.0.2.1"]) == network("10.0.0.1"), "the request bypassed a proxy");
    }

    #[test]
    fn forwarded_address_is_parsed_with_and_without_port() {
        for forwarded in ["192.0.2.1:54321", "192.0.2.9:1, 192.0.2.1:2", "[::ffff:192.0.2.1]:80"] {
            assert!(client(1, &[forwarded]) == network("192.0.2.1"), "{forwarded}");
        }
        for forwarded in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", "192.0.2.1:80, [2001:db8::1]:443 "] {
            assert!(client(1, &[forwarded]) == network("2001:db8::1"), "{forwarded}");
        }
    }

    #[test]
    fn addresses_of_an_ipv6_network_are_one_client() {
        assert!(network("2001:db8::1") == network("2001:db8::ffff:1"));
        assert!(network("2001:db8::1") != network("2001:db8:0:1::1"));
        assert!(network("::ffff:192.0.2.1") == network("192.0.2.1"));
        assert!(network("192.0.2.1") != network("192.0.2.2"));
    }

    #[test]
    fn debug_output_shows_no_address() {
        let peer = Peer("192.0.2.1".parse().unwrap());
        assert!(!format!("{peer:?} {:?}", Network::of(peer.0)).contains("192"));
    }
}
