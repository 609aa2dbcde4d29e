//! Subscriptions of the report: one event at once and one after every refresh, each of one version.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use entity::report_refresh;
use futures_util::{StreamExt, poll};
use reports::EVENTS_MAX;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait};
use serde_json::{Value, json};
use storage::clock;

use crate::{
    app::Rung,
    cache::agreed_sum,
    on_all_databases,
    wait::{eventually, wait_for},
    websocket::WebSocket,
};

const LIVE: &str = "subscription ($of: IntervalInput) { report(filter: { interval: $of }) {
    freshness { refreshId status }
    totals { views pages }
    series(granularity: MONTH) { views }
    pages(first: 1000) { nodes { views } }
} }";
/// Sum, number of pages, series, list.
const QUESTIONS: u64 = 4;

/// The next report, whose parts agree.
async fn next_report(socket: &mut WebSocket) -> Value {
    let message = socket.next().await;
    let report = message["payload"]["data"]["report"].clone();
    assert!(report.is_object(), "{message}");
    agreed_sum(&report);
    report
}

/// The report of the refresh `id`.
async fn report_of(socket: &mut WebSocket, id: i64) -> Value {
    loop {
        let report = next_report(socket).await;
        let of: i64 = report["freshness"]["refreshId"].as_str().unwrap().parse().unwrap();
        assert!(of <= id, "{report} is newer than {id}");
        if of == id {
            return report;
        }
    }
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn year() -> Value {
    json!({ "of": { "range": { "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" } } })
}

on_all_databases! {
    async fn report_subscriber_gets_a_report_first_and_after_every_refresh(app: TestApp) {
        let mut socket = WebSocket::connect(&app.address).await;
        socket.subscribe_with("1", &json!({ "query": LIVE, "variables": year() })).await;
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

    async fn identical_subscriptions_compute_each_report_once(app: TestApp) {
        let mut sockets = Vec::new();
        for _ in 0..60 {
            let mut socket = WebSocket::connect(&app.address).await;
            socket.subscribe_with("1", &json!({ "query": LIVE, "variables": year() })).await;
            next_report(&mut socket).await;
            sockets.push(socket);
        }
        // A client that does not read, with reports larger than the buffers.
        let mut silent = WebSocket::connect(&app.address).await;
        let hours = json!({ "of": { "range": { "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" } } });
        let series = "subscription ($of: IntervalInput) { report(filter: { interval: $of }) { series(granularity: HOUR) { start end views complete } } }";
        silent.subscribe_with("1", &json!({ "query": series, "variables": hours })).await;
        silent.next().await;
        const REFRESHES: u64 = 5;
        let before = app.reader.cache_figures().computed;
        for views in 1..=REFRESHES {
            app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
            let done = app.refresh().await;
            for socket in &mut sockets {
                assert_eq!(report_of(socket, done.id).await["totals"]["views"], views);
            }
        }
        // The client that does not read adds one computation each, or two if it lags.
        let computed = app.reader.cache_figures().computed - before;
        assert!((REFRESHES * QUESTIONS..=REFRESHES * (QUESTIONS + 2)).contains(&computed), "{computed} computations");
    }

    // The first event of a late subscriber is not the last event of the others: the clock has moved on.
    async fn late_subscriber_gets_the_current_staleness(app: TestApp) {
        let query = "subscription { report { freshness { refreshId stalenessSeconds } totals { views } } }";
        let done = app.refresh().await;
        let (mut early, mut late) = (WebSocket::connect(&app.address).await, WebSocket::connect(&app.address).await);
        let staleness = |message: &Value| {
            let freshness = &message["payload"]["data"]["report"]["freshness"];
            assert_eq!(freshness["refreshId"], done.id.to_string(), "{message}");
            freshness["stalenessSeconds"].as_f64().unwrap()
        };
        early.subscribe_with("1", &json!({ "query": query })).await;
        let first = staleness(&early.next().await);
        let mut since = first;
        eventually("the clock to move on by a tenth of a second", async || {
            let now = app.data("{ freshness { stalenessSeconds } }", json!({})).await;
            since = now["freshness"]["stalenessSeconds"].as_f64().unwrap();
            since >= first + 0.1
        })
        .await;
        late.subscribe_with("1", &json!({ "query": query })).await;
        let second = staleness(&late.next().await);
        assert!(second >= since, "{first} {since} {second}");
        // From then on both get the same events, and one of them leaving does not affect the other.
        app.refresh().await;
        let events = [early.next().await, late.next().await];
        assert_eq!(events[0], events[1]);
        drop(early);
        let again = app.refresh().await;
        let event = late.next().await;
        assert_eq!(event["payload"]["data"]["report"]["freshness"]["refreshId"], again.id.to_string());
    }

    async fn event_that_waits_for_its_turn_is_of_the_newest_version(app: TestApp) {
        app.refresh().await;
        let mut events = Box::pin(app.reader.follow());
        drop(events.next().await);
        let mut views = Vec::new();
        for _ in 0..EVENTS_MAX {
            // It has its turn as long as it is read from.
            views.push(Box::pin(app.reader.follow()).next().await.unwrap().unwrap());
        }
        for _ in 0..2 {
            let done = app.refresh().await;
            app.until_freshness("the refresh", |freshness| freshness.refresh_id == done.id).await;
            assert!(poll!(events.next()).is_pending(), "all turns are taken");
        }
        app.reader.view().await.unwrap();
        let newest = app.feed.known().unwrap();
        views.pop();
        let view = wait_for("its turn", events.next()).await.unwrap().unwrap();
        assert_eq!(view.freshness().refresh_id, newest.refresh_id);
        assert!(poll!(events.next()).is_pending(), "it skips to the newest");
    }

    async fn refresh_that_begins_wakes_only_those_who_watch_the_freshness(app: TestApp) {
        app.refresh().await;
        let (wakes, mut events) = (Arc::new(Wakes::default()), Box::pin(app.reader.follow()));
        drop(events.next().await);
        let mut freshness = Box::pin(app.feed.subscribe());
        drop(freshness.next().await);
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        let begun = report_refresh::ActiveModel {
            started_at: Set(clock::process_now()),
            content_version: Set(app.feed.known().unwrap().content_version),
            ..Default::default()
        };
        begun.insert(&app.database.background).await.unwrap();
        if app.test_database.rung != Rung::Sqlite {
            app.database.background.execute_unprepared("NOTIFY report_refreshes").await.unwrap();
        }
        wait_for("the beginning", freshness.next()).await.unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        app.refresh().await;
        eventually("the event", async || wakes.0.load(Ordering::Relaxed) > 0).await;
        assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_ready());
    }

    async fn report_subscription_is_closed_with_1012_when_the_server_stops(app: TestApp) {
        let mut socket = WebSocket::connect(&app.address).await;
        socket.subscribe_with("1", &json!({ "query": LIVE, "variables": year() })).await;
        next_report(&mut socket).await;
        app.stop.cancel();
        assert_eq!(socket.expect_close().await.code, 1012, "clients come back after a restart");
        app.reader.finish().await;
        app.stopped().await;
    }

    async fn report_subscription_with_a_wrong_filter_is_refused(app: TestApp) {
        let mut socket = WebSocket::connect(&app.address).await;
        let reversed = json!({ "of": { "range": { "start": "2027-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z" } } });
        socket.subscribe_with("1", &json!({ "query": LIVE, "variables": reversed })).await;
        let message = socket.next().await;
        assert!(message.to_string().contains("BAD_USER_INPUT"), "{message}");
    }
}
