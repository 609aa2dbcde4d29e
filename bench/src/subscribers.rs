//! Many subscribers and waiting queries of one service: what each takes, and when the last one is told of a refresh.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use storage::clock;
use tokio::{sync::Notify, task::JoinSet, time::timeout};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{Message, Utf8Bytes, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

use crate::{
    cli::SubscriberSettings,
    dataset::{Dataset, PAGES},
    figures,
    load::{self, quantile_ms},
    machine,
    server::Server,
    service::{self, Place, Service},
    terminal::Progress,
    waiting::{Transport, Waiting},
};

/// The selection of a report, with the number of its refresh.
const REPORT: &str = "{ freshness { refreshId status asOf } totals { views } series(granularity: DAY) { start views } pages { nodes { page views } } }";
/// The selection of the report of one page.
const REPORT_OF_PAGE: &str =
    "{ freshness { refreshId status asOf } totals { views } series(granularity: DAY) { start views } }";
/// What is subscribed to: names, and selections that say which refresh it is.
const SUBSCRIPTIONS: [(&str, &str); 2] = [("freshness", FRESHNESS), ("report", "subscription { report {report} }")];
/// What each subscribes to that has a page of its own.
const OF_PAGE: &str = "subscription { report(filter: { pages: { names: [\"{page}\"] } }) {of_page} }";
/// Queries that wait for what was recorded at the time `{at}`: of all pages, and of a page each.
const WAITING: &str = "{ report(notBefore: \"{at}\", waitMs: 30000) {report} }";
const WAITING_OF_PAGE: &str =
    "{ report(filter: { pages: { names: [\"{page}\"] } }, notBefore: \"{at}\", waitMs: 30000) {of_page} }";
/// How many of the pages a refresh changes, where each subscriber has its own.
const CHANGED: [u16; 3] = [1, 100, PAGES];
pub(crate) const FRESHNESS: &str = "subscription { freshness { refreshId status asOf } }";
/// The size of each client's read buffer, in bytes: the library clears it whenever it looks for a message.
const READ_BYTES: usize = 4 * 1024;
/// How many connect at the same time.
pub(crate) const CONNECTING_MAX: usize = 200;
/// How queries that wait are sent.
const WAITING_BY: [(&str, Transport); 2] =
    [("query that waits", Transport::Http), ("query that waits on a socket", Transport::WebSocket)];
/// The longest that is waited for everybody to be told.
const TOLD_MAX: Duration = Duration::from_secs(60);
/// The service's settings: refreshes are this program's.
pub(crate) const SERVE: [&str; 6] =
    ["--report-kind", "table", "--refresh-cron", "0 0 0 1 1 *", "--connections-each", "30000"];
/// The service's database user, to tell its statements from this program's.
const USER: &str = "served";

/// Who was told of which refresh, and how long after it was over.
#[derive(Debug, Default)]
struct Board {
    told: Mutex<HashMap<i64, Vec<DateTime<Utc>>>>,
    /// How many are to be told of each.
    audience: usize,
    all_told: Notify,
}

/// Measures both subscriptions and prints the table.
pub(crate) async fn run(settings: &SubscriberSettings) -> anyhow::Result<()> {
    service::build()?;
    let mut server = Server::start_with(&["log_statement=all", "log_line_prefix=%u|"]).await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    progress.print(&format!(
        "\n{} subscribers, {} refreshes:\n\n| subscription | KiB each | told after ms: p50 | p99 | most | statements of the service for each refresh |\n\
         | --- | --: | --: | --: | --: | --: |",
        figures::count(settings.subscribers),
        settings.refreshes
    ));
    let topics: Vec<Topic> = if settings.different {
        let name = |changed| {
            let (changed, pages) = (figures::count(u32::from(changed)), figures::count(u32::from(PAGES)));
            format!("a page each, {changed} of {pages} pages changed")
        };
        let subscriptions = CHANGED.map(|changed| Topic { name: name(changed), query: OF_PAGE, waits: None, changed });
        let waiting = WAITING_BY.map(|(waiting, transport)| Topic {
            name: format!("{waiting}, {}", name(PAGES)),
            query: WAITING_OF_PAGE,
            waits: Some(transport),
            changed: PAGES,
        });
        subscriptions.into_iter().chain(waiting).collect()
    } else {
        let subscriptions = SUBSCRIPTIONS.map(|(name, query)| (name, query, None));
        let topics = subscriptions.into_iter().chain(WAITING_BY.map(|(name, by)| (name, WAITING, Some(by))));
        topics.map(|(name, query, waits)| Topic { name: name.to_owned(), query, waits, changed: 1 }).collect()
    };
    for topic in topics {
        progress.part(&topic.name);
        let mut dataset = Dataset::create(&mut server, u64::from(PAGES) * 24, &progress).await?;
        dataset.convert_to_table().await?;
        dataset.refresher.refresh(wolf::LockMode::Wait, None).await?;
        let row = measure(&server, &mut dataset, &topic, settings, &progress).await?;
        progress.print(&row);
        dataset.drop(&server).await?;
    }
    Ok(())
}

/// What many wait for.
struct Topic {
    name: String,
    query: &'static str,
    /// How it is asked before each refresh, if it is not subscribed to.
    waits: Option<Transport>,
    /// How many of the pages each refresh changes.
    changed: u16,
}

async fn measure(
    server: &Server,
    dataset: &mut Dataset,
    topic: &Topic,
    settings: &SubscriberSettings,
    progress: &Progress,
) -> anyhow::Result<String> {
    let made = format!("DROP ROLE IF EXISTS {USER}; CREATE ROLE {USER} SUPERUSER LOGIN");
    dataset.admin.execute(AssertSqlSafe(made)).await?;
    let url = dataset.url.replacen("postgres@", &format!("{USER}@"), 1);
    ensure!(url != dataset.url, "the address of the database has no user");
    let service = Service::start(server, Place::Postgres, &url, &SERVE).await?;
    progress.step("connects");
    let (mut latency, mut statements) = (load::latencies()?, 0);
    let mut told = match topic.waits {
        Some(transport) => Told::Waiting(Waiting::gather(&service, transport, settings.subscribers).await?),
        None => {
            Told::Subscribers(Audience::gather(&service, |number| topic.query_of(number), settings.subscribers).await?)
        }
    };
    for number in 1..=settings.refreshes {
        progress.step(format!("refresh {number} of {}", settings.refreshes));
        let recorded_at = dataset.change_some(topic.changed).await?;
        let said = server.log()?.len();
        match &mut told {
            Told::Subscribers(audience) => drop(audience.refresh(dataset, &mut latency).await?),
            Told::Waiting(waiting) => {
                let at = recorded_at.to_rfc3339_opts(SecondsFormat::Millis, true);
                let query_of = |number| topic.query_of(number).replace("{at}", &at);
                waiting.refresh(&service, dataset, query_of, &mut latency).await?;
            }
        }
        statements += said_by_service(&server.log()?[said..]);
    }
    let each = match told {
        Told::Subscribers(audience) => {
            let each = audience.bytes_each;
            audience.leave().await;
            each
        }
        Told::Waiting(waiting) => waiting.bytes_each,
    };
    service.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "printed with a digit")]
    let kib = each as f64 / 1_024.0;
    Ok(format!(
        "| {} | {kib:.1} | {} | {} | {} | {:.1} |",
        topic.name,
        quantile_ms(&latency, 0.5),
        quantile_ms(&latency, 0.99),
        quantile_ms(&latency, 1.0),
        f64::from(statements) / f64::from(settings.refreshes),
    ))
}

/// The clients that are told of a refresh.
enum Told {
    Subscribers(Audience),
    Waiting(Waiting),
}

impl Topic {
    fn query_of(&self, number: u32) -> String {
        let query = self.query.replace("{report}", REPORT).replace("{of_page}", REPORT_OF_PAGE);
        query.replace("{page}", &format!("/page/{:05}", number % u32::from(PAGES)))
    }
}

/// Subscribers that are connected to one service.
pub(crate) struct Audience {
    /// What each of them takes of the service's memory.
    pub(crate) bytes_each: u64,
    board: Arc<Board>,
    listening: JoinSet<anyhow::Result<()>>,
}

impl Audience {
    /// Connects `subscribers` subscribers, each of its `query`, and each of which has its first value.
    pub(crate) async fn gather(
        service: &Service,
        query: impl Fn(u32) -> String,
        subscribers: u32,
    ) -> anyhow::Result<Self> {
        let board = Arc::new(Board { audience: usize::try_from(subscribers)?, ..Board::default() });
        let before = service.memory_bytes()?;
        let mut listening = JoinSet::new();
        let mut opening = futures_util::stream::iter(0..subscribers)
            .map(|number| {
                let query = query(number);
                async move { Subscriber::open(service.address(), &query).await }
            })
            .buffer_unordered(CONNECTING_MAX);
        while let Some(subscriber) = opening.next().await {
            listening.spawn(subscriber?.listen(Arc::clone(&board)));
        }
        let bytes_each = service.memory_bytes()?.saturating_sub(before).div_ceil(u64::from(subscribers));
        Ok(Self { bytes_each, board, listening })
    }

    /// Refreshes, and waits until every subscriber was told, which `latency` counts from the commit of the refresh.
    /// Returns when the last one was, from then on.
    pub(crate) async fn refresh(
        &self,
        dataset: &mut Dataset,
        latency: &mut Histogram<u64>,
    ) -> anyhow::Result<Duration> {
        let (refresh, finished_at) = refresh(dataset).await?;
        let board = &self.board;
        let all = timeout(TOLD_MAX, async {
            loop {
                let all_told = board.all_told.notified();
                if board.told_of(refresh) >= board.audience {
                    return;
                }
                all_told.await;
            }
        });
        all.await.with_context(|| format!("only {} of {} were told", board.told_of(refresh), board.audience))?;
        let mut last = 0;
        for at in board.lock().remove(&refresh).unwrap_or_default() {
            let us = u64::try_from((at - finished_at).num_microseconds().unwrap_or_default())?;
            latency.saturating_record(us);
            last = last.max(us);
        }
        Ok(Duration::from_micros(last))
    }

    /// Disconnects all of them.
    pub(crate) async fn leave(mut self) {
        self.listening.shutdown().await;
    }
}

/// Refreshes the report. Returns the refresh's number, and the time that the clock showed right before its commit.
pub(crate) async fn refresh(dataset: &mut Dataset) -> anyhow::Result<(i64, DateTime<Utc>)> {
    let wolf::Outcome::Refreshed(done) = dataset.refresher.refresh(wolf::LockMode::Wait, None).await? else {
        bail!("somebody else refreshes")
    };
    let finished_at = sqlx::query_scalar("SELECT finished_at FROM report_refreshes WHERE id = $1")
        .bind(done.id)
        .fetch_one(&mut dataset.admin)
        .await?;
    Ok((done.id, finished_at))
}

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

/// What a subscriber notes of a message. The rest is read over.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    freshness: Option<ToldFreshness<'a>>,
    #[serde(borrow)]
    report: Option<Report<'a>>,
}

#[derive(Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    freshness: ToldFreshness<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldFreshness<'a> {
    refresh_id: &'a str,
    status: &'a str,
}

/// A client of the protocol `graphql-transport-ws`.
pub(crate) struct Subscriber(Socket);

impl Subscriber {
    /// Connects, and subscribes to nothing yet.
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let stream = tokio::net::TcpStream::connect(address).await?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        let mut subscriber = Self(socket);
        subscriber.say(json!({ "type": "connection_init" })).await?;
        ensure!(subscriber.hear().await?["type"] == "connection_ack", "the service did not acknowledge");
        Ok(subscriber)
    }

    /// As soon as it has its first value.
    pub(crate) async fn open(address: &str, query: &str) -> anyhow::Result<Self> {
        let mut subscriber = Self::connect(address).await?;
        subscriber.subscribe(query).await?;
        let first = subscriber.hear().await?;
        ensure!(first["type"] == "next", "the first value is {first}");
        Ok(subscriber)
    }

    async fn subscribe(&mut self, query: &str) -> anyhow::Result<()> {
        self.say(json!({ "type": "subscribe", "id": "1", "payload": { "query": query } })).await
    }

    /// Executes a query, and returns the time at which its answer was read.
    pub(crate) async fn execute(&mut self, query: &str) -> anyhow::Result<DateTime<Utc>> {
        self.subscribe(query).await?;
        let answer = self.hear_text().await?;
        let at = clock::process_now();
        ensure!(answer.contains(r#""payload":{"data":{"#), "{answer}");
        ensure!(self.hear().await?["type"] == "complete", "the service did not complete");
        Ok(at)
    }

    async fn say(&mut self, message: Value) -> anyhow::Result<()> {
        Ok(self.0.send(Message::text(message.to_string())).await?)
    }

    /// Returns the next message.
    pub(crate) async fn hear(&mut self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.hear_text().await?)?)
    }

    async fn hear_text(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the service closed a socket")?? {
                Message::Text(text) => return Ok(text),
                Message::Close(frame) => bail!("the service closed a socket: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Notes every refresh that is over.
    async fn listen(mut self, board: Arc<Board>) -> anyhow::Result<()> {
        loop {
            let text = self.hear_text().await?;
            let Event { payload: Payload { data } } = serde_json::from_str(&text)?;
            let freshness = data.freshness.or(data.report.map(|report| report.freshness));
            let freshness = freshness.with_context(|| format!("an event without the freshness: {text}"))?;
            if freshness.status != "REFRESHING" {
                board.note(freshness.refresh_id.parse()?, clock::process_now());
            }
        }
    }
}

impl Board {
    /// Notes that somebody was told of a refresh at the time `at`.
    fn note(&self, refresh: i64, at: DateTime<Utc>) {
        let mut all = self.lock();
        let told = all.entry(refresh).or_default();
        told.push(at);
        if told.len() == self.audience {
            self.all_told.notify_one();
        }
    }

    fn told_of(&self, refresh: i64) -> usize {
        self.lock().get(&refresh).map_or(0, Vec::len)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Vec<DateTime<Utc>>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many statements of the service's are in a part of the log.
fn said_by_service(log: &str) -> u32 {
    let own = log.lines().filter(|line| {
        let (user, rest) = line.split_once('|').unwrap_or_default();
        user == USER && (rest.contains("execute ") || rest.contains("statement: "))
    });
    u32::try_from(own.count()).unwrap_or(u32::MAX)
}
