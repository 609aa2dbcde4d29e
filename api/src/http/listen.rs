//! Parses the address to listen on.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

/// An error of parsing an address to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The text is not of the form `ADDRESS:PORT`.
    #[error(
        "it must be ADDRESS:PORT, such as 127.0.0.1:8000 for this machine alone, 0.0.0.0:8000 for every address of IPv4, \
         [::]:8000 for every address, or localhost:8000"
    )]
    Form,
    /// The name has no address. The message includes its cause, because the command line shows no error sources.
    #[error("can't find the address of {name}: {error}")]
    Name {
        /// The name.
        name: String,
        /// The system's error.
        error: io::Error,
    },
}

/// Parses an address to listen on. A name is looked up, and its first IPv4 address is used, or its first IPv6 address
/// where it has no IPv4 address: a process listens on one address.
///
/// # Errors
/// When the text is not of the form `ADDRESS:PORT`, or the name has no address.
pub fn listen_address(text: &str) -> Result<SocketAddr, ListenError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (name, port) = text.rsplit_once(':').ok_or(ListenError::Form)?;
    let port: u16 = port.parse().ok().ok_or(ListenError::Form)?;
    if name.is_empty() || name.contains([':', '/', ' ']) {
        return Err(ListenError::Form);
    }
    let failed = |error| ListenError::Name { name: name.to_owned(), error };
    let addresses = (name, port).to_socket_addrs().map_err(failed)?;
    let first = addresses.min_by_key(SocketAddr::is_ipv6);
    first.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_or_name_with_a_port_is_parsed() {
        for (text, address) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("[::1]:1", "[::1]:1"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("localhost:8000", "127.0.0.1:8000"),
        ] {
            assert_eq!(listen_address(text).unwrap(), address.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn error_for_malformed_text_shows_the_expected_form() {
        for text in ["", "8000", ":8000", "localhost", "localhost:", "localhost:http", "localhost:65536", "::1:8000"] {
            let told = listen_address(text).unwrap_err().to_string();
            assert!(told.contains("ADDRESS:PORT") && told.contains("127.0.0.1:8000"), "{text}: {told}");
        }
        for text in ["http://localhost:8000", "nowhere.invalid:8000"] {
            assert!(listen_address(text).is_err(), "{text}");
        }
        let told = listen_address("nowhere.invalid:8000").unwrap_err().to_string();
        assert!(told.contains("the address of nowhere.invalid"), "{told}");
    }
}
