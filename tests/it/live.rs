//! The live report: now, and again after every refresh, each event of one moment.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{cache::agreed_sum, on_all_databases};

/// How long the next message may take: a report that is not sent fails the test.
const MESSAGE_MAX: Duration = Duration::from_secs(60);

const LIVE: &str = "subscription ($of: IntervalInput) { report(filter: { interval: $of }) {
    freshness { refreshId status }
    totals { views pages }
    series(granularity: MONTH) { views }
    pages(first: 1000) { nodes { views } }
} }";
/// Sum, number of pages, series, list.
const QUESTIONS: u64 = 4;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(address: &str) -> Socket {
    let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    say(&mut socket, json!({ "type": "connection_init" })).await;
    assert_eq!(next(&mut socket).await.unwrap()["type"], "connection_ack");
    socket
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn subscribe(socket: &mut Socket, query: &str, variables: Value) {
    let payload = json!({ "query": query, "variables": variables });
    say(socket, json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
}

/// The next message; the code of the close frame when there is one.
async fn next(socket: &mut Socket) -> Result<Value, Option<u16>> {
    loop {
        let message = tokio::time::timeout(MESSAGE_MAX, socket.next()).await.expect("waited in vain for a message");
        match message.expect("the socket is closed").unwrap() {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return Err(frame.map(|frame| frame.code.into())),
            _ => {}
        }
    }
}

/// The next report, whose parts agree.
async fn next_report(socket: &mut Socket) -> Value {
    let message = next(socket).await.unwrap();
    let report = message["payload"]["data"]["report"].clone();
    assert!(report.is_object(), "{message}");
    agreed_sum(&report);
    report
}

/// The report of the refresh `id`.
async fn report_of(socket: &mut Socket, id: i64) -> Value {
    loop {
        let report = next_report(socket).await;
        let of: i64 = report["freshness"]["refreshId"].as_str().unwrap().parse().unwrap();
        assert!(of <= id, "{report} is newer than {id}");
        if of == id {
            return report;
        }
    }
}

fn year() -> Value {
    json!({ "of": { "range": { "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" } } })
}

on_all_databases! {
    async fn a_live_report_is_sent_now_and_after_every_refresh(app: TestApp) {
        let mut socket = connect(&app.address).await;
        subscribe(&mut socket, LIVE, year()).await;
        let never = next_report(&mut socket).await;
        assert_eq!((&never["freshness"]["refreshId"], &never["totals"]["views"]), (&json!("0"), &json!(0)));
        let mut sum = 0;
        for views in [3, 4, 0, 5] {
            if views > 0 {
                app.record([("/a", "2026-03-01T00:00:00Z", views), ("/b", "2026-04-01T00:00:00Z", 1)]).await;
                sum += views + 1;
            }
            let done = app.refresh().await;
            let report = report_of(&mut socket, done.id).await;
            assert_eq!(report["totals"]["views"], sum, "{report}");
        }
    }

    async fn however_many_subscribe_each_thing_is_found_out_once(app: TestApp) {
        let mut sockets = Vec::new();
        for _ in 0..60 {
            let mut socket = connect(&app.address).await;
            subscribe(&mut socket, LIVE, year()).await;
            next_report(&mut socket).await;
            sockets.push(socket);
        }
        // A silent one, whose reports are larger than what waits for it.
        let mut silent = connect(&app.address).await;
        let hours = json!({ "of": { "range": { "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" } } });
        let series = "subscription ($of: IntervalInput) { report(filter: { interval: $of }) { series(granularity: HOUR) { start end views complete } } }";
        subscribe(&mut silent, series, hours).await;
        assert!(next(&mut silent).await.is_ok());
        const REFRESHES: u64 = 5;
        let before = app.reader.cache_figures().computed;
        for views in 1..=REFRESHES {
            app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
            let done = app.refresh().await;
            for socket in &mut sockets {
                assert_eq!(report_of(socket, done.id).await["totals"]["views"], views);
            }
        }
        // The silent one's are one more each, or two if it comes late.
        let computed = app.reader.cache_figures().computed - before;
        assert!((REFRESHES * QUESTIONS..=REFRESHES * (QUESTIONS + 2)).contains(&computed), "{computed} computations");
    }

    // What others follow already is not what is said first to whoever comes: the clock has moved on.
    async fn who_comes_late_is_told_how_old_the_report_is_by_then(app: TestApp) {
        let query = "subscription { report { freshness { refreshId stalenessSeconds } totals { views } } }";
        let done = app.refresh().await;
        let (mut early, mut late) = (connect(&app.address).await, connect(&app.address).await);
        let staleness = |message: &Value| {
            let freshness = &message["payload"]["data"]["report"]["freshness"];
            assert_eq!(freshness["refreshId"], done.id.to_string(), "{message}");
            freshness["stalenessSeconds"].as_f64().unwrap()
        };
        subscribe(&mut early, query, Value::Null).await;
        let first = staleness(&next(&mut early).await.unwrap());
        tokio::time::sleep(Duration::from_millis(300)).await;
        subscribe(&mut late, query, Value::Null).await;
        let second = staleness(&next(&mut late).await.unwrap());
        assert!(second >= first + 0.3, "{first} {second}");
        // From then on both are told the same, and whoever leaves takes nothing from the other.
        app.refresh().await;
        let told = [next(&mut early).await.unwrap(), next(&mut late).await.unwrap()];
        assert_eq!(told[0], told[1]);
        drop(early);
        let again = app.refresh().await;
        let told = next(&mut late).await.unwrap();
        assert_eq!(told["payload"]["data"]["report"]["freshness"]["refreshId"], again.id.to_string());
    }

    async fn a_live_report_ends_with_the_server(app: TestApp) {
        let mut socket = connect(&app.address).await;
        subscribe(&mut socket, LIVE, year()).await;
        next_report(&mut socket).await;
        app.stop.cancel();
        assert_eq!(next(&mut socket).await.unwrap_err(), Some(1012), "clients come back after a restart");
        app.reader.finish().await;
        app.stopped().await;
    }

    async fn a_wrong_filter_is_refused_at_once(app: TestApp) {
        let mut socket = connect(&app.address).await;
        let reversed = json!({ "of": { "range": { "start": "2027-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z" } } });
        subscribe(&mut socket, LIVE, reversed).await;
        let message = next(&mut socket).await.unwrap();
        assert!(message.to_string().contains("BAD_USER_INPUT"), "{message}");
    }
}
