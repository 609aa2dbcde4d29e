//! Many clients, each with a connection of its own that it keeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{figures, usage::Usage};

/// Greater latencies are counted as this one, in microseconds.
const LATENCY_MAX_US: u64 = 600_000_000;
const LATENCY_DIGITS: u8 = 3;
/// How long bodies that are sent once may take.
const ONCE_MAX: Duration = Duration::from_secs(3_600);

/// When requests are sent.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Pace {
    /// Each client's next one as soon as its last one is answered.
    AtOnce,
    /// So many a second in all, whether the answers are there or not: what waits is late from when it was due.
    PerSecond(f64),
}

/// Clients that send the same kind of request.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) address: &'a str,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
}

/// What they were told. All but `acknowledged` and `unknown` leaves the warm-up out.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Of what was accepted: from the request, or from when it was due, to the answer, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// Requests that were refused because there were too many.
    pub(crate) refused: u64,
    pub(crate) usage: Usage,
    /// How long it was measured.
    pub(crate) duration: Duration,
    /// All requests that were answered.
    pub(crate) acknowledged: u64,
    /// All requests whose outcome nobody knows.
    pub(crate) unknown: u64,
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
    bodies: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
    /// Whether each body is sent once only.
    once: bool,
    times: Times,
    /// When its first request is due, and how long it is from one to the next.
    due: Option<(Instant, Duration)>,
    told: Told,
}

impl Load<'_> {
    /// Sends for `warm_up`, and then for `duration`, which is what is measured.
    pub(crate) async fn run(
        self,
        bodies: Arc<[Bytes]>,
        warm_up: Duration,
        duration: Duration,
        usage: impl Fn() -> anyhow::Result<Usage>,
    ) -> anyhow::Result<Sent> {
        let next = Arc::default();
        let begin = Instant::now();
        let times = Times { counted_from: begin + warm_up, end: begin + warm_up + duration };
        let interval = self.interval();
        let mut clients = JoinSet::new();
        for index in 0..u32::try_from(self.connections)? {
            // Those that keep a pace begin one after the other.
            let due = interval.map(|interval| (begin + interval.mul_f64(f64::from(index) / self.clients()), interval));
            let (address, bodies, next) = (self.address.to_owned(), Arc::clone(&bodies), Arc::clone(&next));
            clients.spawn(Client { address, bodies, next, once: false, times, due, told: Told::default() }.run());
        }
        sleep_until(times.counted_from).await;
        let before = usage()?;
        sleep_until(times.end).await;
        let usage = usage()?.since(before);
        let told = clients.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        summarise(told, usage, duration)
    }

    /// Sends each of `bodies` once, and measures until the last one is answered.
    pub(crate) async fn run_once(
        self,
        bodies: Arc<[Bytes]>,
        usage: impl Fn() -> anyhow::Result<Usage>,
    ) -> anyhow::Result<Sent> {
        let next = Arc::default();
        let begin = Instant::now();
        let times = Times { counted_from: begin, end: begin + ONCE_MAX };
        let before = usage()?;
        let mut clients = JoinSet::new();
        for _ in 0..self.connections {
            let (address, bodies, next) = (self.address.to_owned(), Arc::clone(&bodies), Arc::clone(&next));
            clients.spawn(Client { address, bodies, next, once: true, times, due: None, told: Told::default() }.run());
        }
        let told = clients.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let duration = begin.elapsed();
        summarise(told, usage()?.since(before), duration)
    }

    /// How long each client waits from request to request.
    fn interval(self) -> Option<Duration> {
        let Pace::PerSecond(requests) = self.pace else { return None };
        Some(Duration::from_secs_f64(self.clients() / requests))
    }

    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    fn clients(self) -> f64 {
        self.connections as f64
    }
}

impl Client {
    async fn run(mut self) -> anyhow::Result<Told> {
        let mut connection = Connection::open(&self.address).await?;
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
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            if begin >= self.times.end || (self.once && next >= self.bodies.len()) {
                return Ok(self.told);
            }
            let body = self.bodies[next % self.bodies.len()].clone();
            let (status, answer) = connection.post(body).await?;
            self.note(begin, status, &answer)?;
        }
    }

    fn note(&mut self, begin: Instant, status: StatusCode, answer: &[u8]) -> anyhow::Result<()> {
        let counted = begin >= self.times.counted_from;
        // An answer without errors begins so.
        if status == StatusCode::OK && answer.starts_with(br#"{"data":{"#) {
            self.told.acknowledged += 1;
            if counted {
                self.told.latencies_us.push(u64::try_from(begin.elapsed().as_micros())?);
            }
            return Ok(());
        }
        let answer: Value = serde_json::from_slice(answer).context("an answer that is no JSON")?;
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some("OVERLOADED") => self.told.refused += u64::from(counted),
            Some("UNAVAILABLE") => self.told.unknown += 1,
            _ => bail!("the service answered {status} with {answer}"),
        }
        Ok(())
    }
}

/// One connection, kept from request to request.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    sender: SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<TcpStream>, Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("can't connect to the service")?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { address: address.to_owned(), sender, driver })
    }

    /// Posts `body` to the GraphQL endpoint.
    pub(crate) async fn post(&mut self, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/graphql")
            .header(header::HOST, &self.address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let answered = async {
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        // In one task: what one of the two wakes is there already.
        tokio::select! {
            biased;
            answered = answered => answered,
            ended = &mut self.driver => {
                ended?;
                bail!("the service closed a connection")
            }
        }
    }

    /// Asks a query, which must succeed. Returns how long the answer took to come, and the answer.
    pub(crate) async fn query(&mut self, query: &str) -> anyhow::Result<(Duration, Value)> {
        let body = Bytes::from(json!({ "query": query }).to_string());
        let begun = Instant::now();
        let (status, answer) = self.post(body).await?;
        let took = begun.elapsed();
        let answer: Value = serde_json::from_slice(&answer)?;
        ensure!(status.is_success() && answer.get("errors").is_none(), "the service answered {status} with {answer}");
        Ok((took, answer))
    }
}

fn summarise(told: Vec<Told>, usage: Usage, duration: Duration) -> anyhow::Result<Sent> {
    let (mut refused, mut acknowledged, mut unknown) = (0, 0, 0);
    let mut latency = latencies()?;
    for client in told {
        refused += client.refused;
        acknowledged += client.acknowledged;
        unknown += client.unknown;
        client.latencies_us.into_iter().for_each(|us| latency.saturating_record(us));
    }
    Ok(Sent { latency, refused, usage, duration, acknowledged, unknown })
}

/// For latencies in microseconds.
pub(crate) fn latencies() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LATENCY_MAX_US, LATENCY_DIGITS)?)
}

/// The latency that this share of the requests did not exceed, in milliseconds, as people read it.
pub(crate) fn quantile_ms(latency: &Histogram<u64>, quantile: f64) -> String {
    figures::ms(Duration::from_micros(latency.value_at_quantile(quantile)))
}

impl Sent {
    /// Accepted requests.
    pub(crate) fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate, rounded when it is printed")]
        let requests = self.latency.len() as f64;
        requests / self.duration.as_secs_f64()
    }
}
