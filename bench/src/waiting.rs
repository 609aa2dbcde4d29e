//! Queries that wait for a refresh: what each takes, and when the last one is answered.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt};
use hdrhistogram::Histogram;
use hyper::body::Bytes;
use serde_json::json;
use storage::clock;
use tokio::{task::JoinSet, time::sleep};

use crate::{dataset::Dataset, load::Connection, service::Service, subscribers};

/// How long after the last query was sent all of them wait: the service has executed each once.
const SETTLED: Duration = Duration::from_secs(3);

/// Clients of one service, each with a connection of its own, which ask the same and at the same time.
pub(crate) struct Waiting {
    /// What each of them takes of the service's memory.
    pub(crate) bytes_each: u64,
    /// The service's memory before they came.
    before: u64,
    connections: Vec<Connection>,
}

impl Waiting {
    /// Connects as many clients.
    pub(crate) async fn gather(service: &Service, clients: u32) -> anyhow::Result<Self> {
        let before = service.memory_bytes()?;
        let opening = (0..clients).map(|_| Connection::open(service.address()));
        let connections = futures_util::stream::iter(opening)
            .buffer_unordered(subscribers::CONNECTING_MAX)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(Self { bytes_each: 0, before, connections })
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
        let clients = u64::try_from(self.connections.len())?;
        let mut asking = JoinSet::new();
        for (number, mut connection) in (0..).zip(self.connections.drain(..)) {
            let body = Bytes::from(json!({ "query": query_of(number) }).to_string());
            asking.spawn(async move {
                let (status, answer) = connection.post(body).await?;
                let text = || String::from_utf8_lossy(&answer).into_owned();
                ensure!(status.is_success() && answer.starts_with(br#"{"data":{"#), "{status}: {}", text());
                anyhow::Ok((connection, clock::process_now()))
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
            let (connection, at) = answered??;
            let us = (at - finished_at).num_microseconds().context("too long")?;
            latency.saturating_record(u64::try_from(us)?);
            self.connections.push(connection);
        }
        Ok(())
    }
}
