//! Queries that wait for a refresh: what each takes, and when the last one is answered.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use hdrhistogram::Histogram;
use hyper::body::Bytes;
use serde_json::json;
use storage::clock;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    dataset::Dataset,
    load::Connection,
    service::Service,
    subscribers::{self, Subscriber},
};

/// How long after the last query was sent all of them wait: the service has executed each once.
const SETTLED: Duration = Duration::from_secs(3);

/// How a client sends its queries.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Http,
    WebSocket,
}

/// A client with a connection of its own.
enum Client {
    Http(Box<Connection>),
    WebSocket(Box<Subscriber>),
}

impl Client {
    async fn open(address: &str, transport: Transport) -> anyhow::Result<Self> {
        Ok(match transport {
            Transport::Http => Self::Http(Box::new(Connection::open(address).await?)),
            Transport::WebSocket => Self::WebSocket(Box::new(Subscriber::connect(address).await?)),
        })
    }

    /// Sends a query, and returns the time at which its answer was read.
    async fn ask(&mut self, query: &str) -> anyhow::Result<DateTime<Utc>> {
        match self {
            Self::Http(connection) => {
                let body = Bytes::from(json!({ "query": query }).to_string());
                let (status, answer) = connection.post(body).await?;
                let text = || String::from_utf8_lossy(&answer).into_owned();
                ensure!(status.is_success() && answer.starts_with(br#"{"data":{"#), "{status}: {}", text());
                Ok(clock::process_now())
            }
            Self::WebSocket(subscriber) => subscriber.execute(query).await,
        }
    }
}

/// Clients of one service, which ask the same and at the same time.
pub(crate) struct Waiting {
    /// What each of them takes of the service's memory.
    pub(crate) bytes_each: u64,
    /// The service's memory before they came.
    before: u64,
    clients: Vec<Client>,
}

impl Waiting {
    /// Connects as many clients.
    pub(crate) async fn gather(service: &Service, transport: Transport, clients: u32) -> anyhow::Result<Self> {
        let before = service.memory_bytes()?;
        let opening = (0..clients).map(|_| Client::open(service.address(), transport));
        let clients = futures_util::stream::iter(opening)
            .buffer_unordered(subscribers::CONNECTING_MAX)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(Self { bytes_each: 0, before, clients })
    }

    /// Sends a query that waits from each client, and refreshes. `latency` counts how long after the commit of the refresh each
    /// was answered.
    pub(crate) async fn refresh(
        &mut self,
        service: &Service,
        dataset: &mut Dataset,
        query_of: impl Fn(u32) -> String,
        latency: &mut Histogram<u64>,
    ) -> anyhow::Result<()> {
        let clients = u64::try_from(self.clients.len())?;
        let mut asking = JoinSet::new();
        for (number, mut client) in (0..).zip(self.clients.drain(..)) {
            let query = query_of(number);
            asking.spawn(async move {
                let at = client.ask(&query).await?;
                anyhow::Ok((client, at))
            });
        }
        sleep(SETTLED).await;
        if let Some(answered) = asking.try_join_next() {
            answered??;
            anyhow::bail!("a query did not wait");
        }
        self.bytes_each = self.bytes_each.max(service.memory_bytes()?.saturating_sub(self.before).div_ceil(clients));
        let (_, finished_at) = subscribers::refresh(dataset).await?;
        while let Some(answered) = asking.join_next().await {
            let (client, at) = answered??;
            let us = (at - finished_at).num_microseconds().context("too long")?;
            latency.saturating_record(u64::try_from(us)?);
            self.clients.push(client);
        }
        Ok(())
    }
}
