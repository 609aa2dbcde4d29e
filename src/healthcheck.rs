//! `analytics healthcheck`: queries a server's health endpoint, for health checks of containers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::{cli::HealthcheckSettings, terminal};

/// The time limit for the server's response. The server itself responds within two seconds, whatever its database does.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Prints the server's response.
///
/// # Errors
/// When the server does not respond in time, or not with a status of success.
pub(crate) async fn check(settings: &HealthcheckSettings) -> anyhow::Result<()> {
    let address = reachable(settings.listen);
    let path = if settings.live { "/health/live" } else { "/health/ready" };
    let response = timeout(RESPONSE_TIMEOUT, get(address, path)).await;
    let (is_success, text) = response.with_context(|| format!("{address} does not answer"))??;
    if !is_success {
        bail!("not ready: {}", text.trim());
    }
    terminal::print(&text);
    Ok(())
}

/// Returns the address of a server that listens on `listen`: the loopback address if it listens on all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends a GET request. Returns whether the status is one of success, and the body.
async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(bool, String)> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("can't connect to {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = async move {
        let response = sender.send_request(request).await?;
        let is_success = response.status().is_success();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((is_success, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection's future ends when the sender is dropped.
    tokio::join!(response, connection).0
}
