//! Many clients, each with a connection of its own that it keeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{LATENCY_DIGITS, LATENCY_MAX_US, Measured, bodies::Bodies, usage::Usage};

/// When requests are sent.
#[derive(Copy, Clone, Debug)]
pub(super) enum Pace {
    /// Each client's next one as soon as its last one is answered.
    AtOnce,
    /// So many increments a second in all, whether the answers are there or not: what waits is late from when it was due.
    PerSecond(f64),
}

/// Clients that send the same kind of request.
#[derive(Copy, Clone, Debug)]
pub(super) struct Load<'a> {
    pub(super) address: &'a str,
    pub(super) connections: usize,
    pub(super) pace: Pace,
}

/// What they were told.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) measured: Measured,
    /// All increments that were acknowledged, those of the warm-up included.
    pub(super) acknowledged: u64,
    /// Increments whose outcome nobody knows.
    pub(super) unknown: u64,
}

/// What one client was told, in requests.
#[derive(Debug, Default)]
struct Told {
    /// Of those that were accepted and are measured.
    latencies_us: Vec<u64>,
    /// Of those that are measured.
    refused: u64,
    acknowledged: u64,
    unknown: u64,
}

/// When a load is measured.
#[derive(Copy, Clone, Debug)]
struct Times {
    counted_from: Instant,
    end: Instant,
}

/// One connection, and what is sent on it.
struct Client {
    address: String,
    bodies: Arc<Bodies>,
    next: Arc<AtomicUsize>,
    times: Times,
    /// When its first request is due, and how long it is from one to the next.
    due: Option<(Instant, Duration)>,
    told: Told,
}

impl Load<'_> {
    /// Sends for `warm_up`, and then for `duration`, which is what is measured.
    pub(super) async fn run(
        self,
        bodies: Bodies,
        warm_up: Duration,
        duration: Duration,
        usage: impl Fn() -> anyhow::Result<Usage>,
    ) -> anyhow::Result<Sent> {
        let batch = bodies.batch;
        let (bodies, next) = (Arc::new(bodies), Arc::default());
        let begin = Instant::now();
        let times = Times { counted_from: begin + warm_up, end: begin + warm_up + duration };
        let interval = self.interval(batch);
        let mut clients = JoinSet::new();
        for index in 0..u32::try_from(self.connections)? {
            // Those that keep a pace begin one after the other.
            let due = interval.map(|interval| (begin + interval.mul_f64(f64::from(index) / self.clients()), interval));
            let (address, bodies, next) = (self.address.to_owned(), Arc::clone(&bodies), Arc::clone(&next));
            clients.spawn(Client { address, bodies, next, times, due, told: Told::default() }.run());
        }
        sleep_until(times.counted_from).await;
        let before = usage()?;
        sleep_until(times.end).await;
        let usage = usage()?.since(before);
        let told = clients.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        summarise(told, u64::try_from(batch)?, usage, duration)
    }

    /// How long each client waits from request to request.
    fn interval(self, batch: usize) -> Option<Duration> {
        let Pace::PerSecond(increments) = self.pace else { return None };
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let batch = batch as f64;
        Some(Duration::from_secs_f64(self.clients() * batch / increments))
    }

    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    fn clients(self) -> f64 {
        self.connections as f64
    }
}

impl Client {
    async fn run(mut self) -> anyhow::Result<Told> {
        let stream = TcpStream::connect(&self.address).await.context("can't connect to the service")?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // In one task: what one of the two wakes is there already.
        tokio::select! {
            ended = connection => ended.context("the service closed a connection")?,
            sent = self.send(&mut sender) => sent?,
        }
        Ok(self.told)
    }

    async fn send(&mut self, sender: &mut SendRequest<Full<Bytes>>) -> anyhow::Result<()> {
        loop {
            let begin = match &mut self.due {
                Some((due, interval)) => {
                    let begin = *due;
                    *due += *interval;
                    sleep_until(begin).await;
                    begin
                }
                None => Instant::now(),
            };
            if begin >= self.times.end {
                return Ok(());
            }
            let body = self.bodies.get(self.next.fetch_add(1, Ordering::Relaxed));
            let request = Request::builder()
                .method(Method::POST)
                .uri("/graphql")
                .header(header::HOST, &self.address)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(body))?;
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let answer = answer.into_body().collect().await?.to_bytes();
            self.note(begin, status, &answer)?;
        }
    }

    fn note(&mut self, begin: Instant, status: StatusCode, answer: &[u8]) -> anyhow::Result<()> {
        let counted = begin >= self.times.counted_from;
        // The answer of what was recorded begins so; errors take their time to be read.
        if status == StatusCode::OK && answer.starts_with(br#"{"data":{"recordPageViews":{"#) {
            self.told.acknowledged += 1;
            if counted {
                self.told.latencies_us.push(u64::try_from(begin.elapsed().as_micros())?);
            }
            return Ok(());
        }
        let answer: serde_json::Value = serde_json::from_slice(answer).context("an answer that is no JSON")?;
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some("OVERLOADED") => self.told.refused += u64::from(counted),
            Some("UNAVAILABLE") => self.told.unknown += 1,
            _ => bail!("the service answered {status} with {answer}"),
        }
        Ok(())
    }
}

fn summarise(told: Vec<Told>, batch: u64, usage: Usage, duration: Duration) -> anyhow::Result<Sent> {
    let mut latency = Histogram::new_with_max(LATENCY_MAX_US, LATENCY_DIGITS)?;
    let (mut refused, mut acknowledged, mut unknown) = (0, 0, 0);
    for client in told {
        refused += client.refused * batch;
        acknowledged += client.acknowledged * batch;
        unknown += client.unknown * batch;
        client.latencies_us.into_iter().for_each(|us| latency.saturating_record(us));
    }
    let measured = Measured::new(latency, batch, refused, usage, duration);
    Ok(Sent { measured, acknowledged, unknown })
}
