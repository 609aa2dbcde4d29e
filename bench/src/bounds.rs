//! Greedy and careless clients: the most memory that the service takes under each attack, beside its bound.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    machine,
    server::Server,
    service::{self, Place, Service},
    terminal::Progress,
};

/// What docs/bounds.md says that the process may take, whatever its clients do.
const BOUND_MIB: u64 = 768;
/// As long names as there may be make as large answers as there may be.
const PAGES: usize = 1_000;
const NAME_BYTES: usize = 1_000;
/// How long an attack lasts before its memory is read.
const ATTACK: Duration = Duration::from_secs(8);
/// How long a client that takes nothing is waited for, and some time more.
const DROPPED_MAX: Duration = Duration::from_secs(60);
/// The longest that the service may take to have what it was sent in its report.
const READY_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Two of the longest lists.
const LARGE: &str = "a: report(filter: { interval: { period: ALL_TIME } }) { ...P } \
                     b: report(filter: { interval: { period: ALL_TIME } }) { ...P }";
const LARGE_FRAGMENT: &str =
    "fragment P on Report { pages(first: 1000) { edges { cursor node { page } } nodes { page } } }";
const LARGE_OF_ONE: &str = "report(filter: { interval: { period: ALL_TIME } }) { ...P }";
const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

/// What a client does.
#[derive(Copy, Clone, Debug)]
enum Attack {
    Series,
    UnreadAnswers,
    UnreadEvents,
    UnreadSockets,
    /// Of so many bytes each.
    UnfinishedHeads(usize),
    SilentConnections,
    Values,
}

const ATTACKS: [(Attack, &str, &[&str]); 8] = [
    (Attack::Series, "99 aliases of a series of 9,840 hours, by 8 clients", &[]),
    (Attack::UnreadAnswers, "40 answers of 7 MB, unread", &[]),
    (Attack::UnreadEvents, "100 event streams of 7 MB, unread", &[]),
    (Attack::UnreadSockets, "10 sockets with 50 subscriptions of 3.5 MB each, unread", &[]),
    (Attack::UnfinishedHeads(360_000), "300 unfinished heads of 360 KB", &[]),
    (Attack::UnfinishedHeads(60_000), "300 unfinished heads of 60 KB", &[]),
    (Attack::SilentConnections, "205 silent connections of one address", &["--connections", "200"]),
    (Attack::Values, "32 bodies of 8 MB: 4 million values, or 99,000 texts", &[]),
];

/// Runs each attack against a service of its own and prints the table.
pub(crate) async fn run() -> anyhow::Result<()> {
    if !cfg!(debug_assertions) {
        service::build()?;
    }
    let server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    progress
        .print("\n| attack | what became of it | MiB before | most MiB | bound MiB |\n| --- | --- | --: | --: | --: |");
    for (attack, name, arguments) in ATTACKS {
        progress.part(name);
        progress.step("starts");
        let arguments = [&["--refresh-cron", "* * * * * *"], arguments].concat();
        let service = Service::start(&server, Place::Sqlite, "", &arguments).await?;
        fill(&service).await?;
        let before = mib(service.memory_peak_bytes()?);
        progress.step("attacks");
        let outcome = attack.run(&service).await.with_context(|| format!("{attack:?}"))?;
        let peak = mib(service.memory_peak_bytes()?);
        progress.print(&format!("| {name} | {outcome} | {before} | {peak} | {BOUND_MIB} |"));
        ensure!(peak <= BOUND_MIB, "{peak} MiB are more than the bound");
        service.stop()?;
    }
    Ok(())
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1_024 * 1_024)
}

/// Records pages with long names, and waits until the report has them.
async fn fill(service: &Service) -> anyhow::Result<()> {
    let page = |index: usize| json!({ "page": format!("/{index}/{}", "x".repeat(NAME_BYTES)) });
    let increments: Vec<_> = (0..PAGES).map(page).collect();
    let query = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
    let answer = ask(service, query, &json!({ "input": { "increments": increments } })).await?;
    ensure!(answer["data"]["recordPageViews"]["views"] == PAGES, "{answer}");
    let begun = Instant::now();
    loop {
        let answer = ask(service, "{ report { totals { pages } } }", &Value::Null).await?;
        if answer["data"]["report"]["totals"]["pages"] == PAGES {
            return Ok(());
        }
        ensure!(begun.elapsed() < READY_MAX, "the report does not have what was recorded: {answer}");
        sleep(PAUSE).await;
    }
}

impl Attack {
    /// Returns what became of it, in words.
    async fn run(self, service: &Service) -> anyhow::Result<String> {
        match self {
            Self::Series => {
                let aliases: Vec<_> =
                    (0..99).map(|index| format!("s{index}: series(granularity: HOUR) {{ start views }}")).collect();
                let range = r#"range: { start: "2025-01-01T00:00:00Z", end: "2026-02-15T00:00:00Z" }"#;
                let query = format!("{{ report(filter: {{ interval: {{ {range} }} }}) {{ {} }} }}", aliases.join(" "));
                let answers = join_all((0..8).map(|_| ask(service, &query, &Value::Null))).await;
                let answers = answers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
                let code = &answers[0]["errors"][0]["extensions"]["code"];
                Ok(format!("refused: {}", code.as_str().unwrap_or("not at all")))
            }
            Self::UnreadAnswers => {
                let request = post(&json!({ "query": format!("{{ {LARGE} }} {LARGE_FRAGMENT}") }), "application/json");
                unread(service, (0..40).map(|_| request.clone()).collect()).await
            }
            Self::UnreadEvents => {
                let request = |index: usize| {
                    let query = format!("subscription {{ s{index}: {LARGE_OF_ONE} }} {LARGE_FRAGMENT}");
                    post(&json!({ "query": query }), "text/event-stream")
                };
                unread(service, (0..100).map(request).collect()).await
            }
            Self::UnreadSockets => unread(service, (0..10).map(socket).collect()).await,
            Self::UnfinishedHeads(bytes) => {
                let head = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: {}", "x".repeat(bytes)).into_bytes();
                let _connections = open(service, "127.0.0.1", vec![head; 300]).await?;
                sleep(ATTACK).await;
                Ok(format!("{} MiB after {} s", mib(service.memory_bytes()?), ATTACK.as_secs()))
            }
            Self::SilentConnections => {
                let _silent = open(service, "127.0.0.2", vec![Vec::new(); 205]).await?;
                let begun = Instant::now();
                let mut health = TcpStream::connect(service.address()).await?;
                health.write_all(HEALTH).await?;
                let mut answer = [0; 1_024];
                let size = timeout(DROPPED_MAX, health.read(&mut answer)).await??;
                ensure!(answer[..size].starts_with(b"HTTP/1.1 200"), "{:?}", &answer[..size]);
                Ok(format!("health waits {} ms", begun.elapsed().as_millis()))
            }
            Self::Values => {
                let texts = vec!["x".repeat(70); 99_000];
                let numbers = vec![0; 4_000_000];
                let query = "{ freshness { status } }";
                let bodies = [
                    json!({ "query": query, "variables": { "unused": texts } }),
                    json!({ "query": query, "variables": { "unused": numbers } }),
                ];
                let requests: Vec<_> = bodies.iter().map(|body| post(body, "application/json")).collect();
                let statuses = join_all((0..32).map(|index| status(service, &requests[index % 2]))).await;
                let statuses = statuses.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
                let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
                Ok(format!("{} answered, {} refused, {} overloaded", count(200), count(413), count(503)))
            }
        }
    }
}

/// Sends each request on a connection of its own and reads nothing; returns what the service does then.
async fn unread(service: &Service, requests: Vec<Vec<u8>>) -> anyhow::Result<String> {
    let held = open(service, "127.0.0.1", requests).await?;
    sleep(ATTACK).await;
    let during = mib(service.memory_bytes()?);
    let begun = Instant::now();
    let query = format!("{{ {LARGE} }} {LARGE_FRAGMENT}");
    loop {
        let answer = ask(service, &query, &Value::Null).await?;
        if answer.get("errors").is_none() {
            break;
        }
        ensure!(begun.elapsed() < DROPPED_MAX, "there is no room again: {answer}");
        sleep(PAUSE).await;
    }
    drop(held);
    Ok(format!(
        "{during} MiB after {} s; others have room after {} s more",
        ATTACK.as_secs(),
        begun.elapsed().as_secs()
    ))
}

/// Opens a connection for each request, from `source`, and sends it. The system holds little for these clients.
async fn open(service: &Service, source: &str, requests: Vec<Vec<u8>>) -> anyhow::Result<Vec<TcpStream>> {
    let mut connections = Vec::new();
    for request in requests {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4 * 1024)?;
        socket.bind(format!("{source}:0").parse()?)?;
        let mut connection = socket.connect(service.address().parse()?).await?;
        // What is refused may be closed before all of it is sent.
        drop(timeout(ATTACK, connection.write_all(&request)).await);
        connections.push(connection);
    }
    Ok(connections)
}

/// Opens a WebSocket and subscribes to as much as a socket may.
fn socket(index: usize) -> Vec<u8> {
    let upgrade = b"GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    let mut request = upgrade.to_vec();
    request.extend(frame(&format!("{:200}", r#"{"type":"connection_init"}"#)));
    for id in 0..50 {
        let query = format!("subscription {{ s{index}_{id}: {LARGE_OF_ONE} }} {LARGE_FRAGMENT}");
        let message = json!({ "type": "subscribe", "id": id.to_string(), "payload": { "query": query } });
        request.extend(frame(&message.to_string()));
    }
    request
}

/// A client's frame with a text of 126 to 65,535 bytes; its mask is zero.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0x81, 0x80 | 126][..], &length, &[0; 4], text.as_bytes()].concat()
}

fn post(body: &Value, accept: &str) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {accept}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Asks, and reads all of the answer.
async fn answer(service: &Service, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(service.address()).await?;
    connection.write_all(request).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn status(service: &Service, request: &[u8]) -> anyhow::Result<u16> {
    let answer = answer(service, request).await?;
    let status = answer.get(9..12).context("no answer")?;
    Ok(std::str::from_utf8(status)?.parse()?)
}

async fn ask(service: &Service, query: &str, variables: &Value) -> anyhow::Result<Value> {
    let request = post(&json!({ "query": query, "variables": variables }), "application/json");
    let answer = answer(service, &request).await?;
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { bail!("no answer") };
    Ok(serde_json::from_slice(&answer[head + 4..])?)
}
