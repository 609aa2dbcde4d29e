//! The address to listen on, as people write it.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

/// Why a text is no address to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It is not of the form.
    #[error(
        "it must be ADDRESS:PORT, such as 127.0.0.1:8000 for this machine alone, 0.0.0.0:8000 for every address of IPv4, \
         [::]:8000 for every address, or localhost:8000"
    )]
    Form,
    /// The name leads to no address. The command line shows no sources of errors.
    #[error("can't find the address of {name}: {error}")]
    Name {
        /// The name.
        name: String,
        /// What the system says.
        error: io::Error,
    },
}

/// Reads an address to listen on. A name is looked up: one process listens on one address, so the first of IPv4 counts, and
/// the first of IPv6 where there is none.
///
/// # Errors
/// [`ListenError`].
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
    fn a_name_stands_for_its_address() {
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
    fn what_is_no_address_is_told_the_form() {
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
