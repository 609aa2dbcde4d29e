//! Entry points of the fuzz targets: the service without its listener, and the WebSocket protocol without a socket.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Router, extract::Request};
use tokio_util::sync::CancellationToken;

pub use super::websocket::fuzzing::converse;
use super::{HttpSettings, Services};
use crate::access::{Access, Peer};

/// Returns the service that [`super::serve`] serves, to be called directly, with a client on this machine.
pub fn service(services: Services, access: Access, settings: &HttpSettings) -> Router {
    let (routes, _tasks) = super::service(services, access, settings, CancellationToken::new());
    Router::new().fallback(move |request: Request| {
        let mut routes = routes.clone();
        async move { routes.answer(request, Peer(IpAddr::V4(Ipv4Addr::LOCALHOST))).await }
    })
}
