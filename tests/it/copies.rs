//! For how long clients and caches may use the copy of a response that required a freshness.

use chrono::{DateTime, TimeDelta, Utc};
use reports::PresentHour;
use reqwest::{Response, header};
use serde_json::Value;
use storage::clock;
use wolf::{LockMode, Outcome, Schedule};

use crate::{
    app::{Rung, TestApp},
    on_all_databases,
    wait::eventually,
};

const AT: &str = "2026-03-01T00:00:00Z";

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

fn cache_control(response: &Response) -> &str {
    response.headers()[header::CACHE_CONTROL].to_str().unwrap()
}

/// Returns for how many seconds a copy may be used by `whose`: `public` or `private`.
fn max_age(cache_control: &str, whose: &str) -> i64 {
    cache_control.strip_prefix(&format!("{whose}, max-age=")).expect(cache_control).parse().unwrap()
}

on_all_databases! {
    async fn copy_of_a_cache_is_not_confirmed_when_it_has_become_too_stale(app: TestApp) {
        app.record([("/a", AT, 1)]).await;
        app.refresh().await;
        let get = async |tag: Option<&str>, arguments: &str| {
            let interval = "range: { start: \"2026-03-01T00:00:00Z\", end: \"2026-03-02T00:00:00Z\" }";
            let query = format!("{{ report(filter: {{ interval: {{ {interval} }} }}, {arguments}) {{ totals {{ views }} }} }}");
            let request = app.client.get(format!("http://{}/graphql", app.address)).query(&[("query", query)]);
            let request = tag.map_or_else(|| request.try_clone().unwrap(), |tag| request.try_clone().unwrap().header(header::IF_NONE_MATCH, tag));
            request.send().await.unwrap()
        };
        let tag_of = |response: &Response| Some(response.headers().get(header::ETAG)?.to_str().unwrap().to_owned());
        let first = get(None, "maxStalenessSeconds: 3600").await;
        // Without a schedule, the report may be refreshed at any time; so the bound alone counts.
        let seconds = max_age(cache_control(&first), "public");
        assert!((3000..3600).contains(&seconds), "{seconds}");
        let again = get(tag_of(&first).as_deref(), "maxStalenessSeconds: 3600").await;
        assert_eq!(again.status(), 304);
        assert!(max_age(cache_control(&again), "public") <= seconds);
        // A copy that has become too stale is never confirmed. On a busy machine a report may be that stale at once.
        let tag = loop {
            if let Some(tag) = tag_of(&get(None, "maxStalenessSeconds: 1").await) {
                break tag;
            }
            app.refresh().await;
        };
        eventually("the copy to be too stale", async || get(Some(&tag), "maxStalenessSeconds: 1").await.status() != 304).await;
        let late = get(Some(&tag), "maxStalenessSeconds: 1").await;
        assert_eq!((late.status().as_u16(), cache_control(&late)), (200, "no-store"));
        let late: Value = late.json().await.unwrap();
        assert_eq!((code(&late), &late["data"]), ("NOT_FRESH_ENOUGH", &Value::Null));
        // So is one of an own write, while what it asks for has come.
        let recorded_at = app.record([("/a", AT, 1)]).await;
        // One that begins within the same millisecond does not promise it.
        while app.refresh().await.as_of < Some(recorded_at) {}
        let own = |at: DateTime<Utc>| format!("notBefore: \"{}\"", at.to_rfc3339());
        let tag = tag_of(&get(None, &own(recorded_at)).await).unwrap();
        assert_eq!(get(Some(&tag), &own(recorded_at)).await.status(), 304);
        let early = get(Some(&tag), &own(recorded_at + TimeDelta::hours(1))).await;
        assert_eq!((early.status().as_u16(), cache_control(&early)), (200, "no-store"));
        assert_eq!(code(&early.json().await.unwrap()), "NOT_FRESH_ENOUGH");
        // What requires nothing is validated each time.
        assert_eq!(cache_control(&get(None, "maxStalenessSeconds: null").await), "private, no-cache");
    }
}

/// A report of today is another one tomorrow, however stale it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_is_used_no_longer_than_its_period_is_the_present_one() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/a", AT, 1)]).await;
    app.refresh().await;
    let query = "{ report(filter: { interval: { period: TODAY } }, maxStalenessSeconds: 86400) { totals { views } } }";
    eventually("an hour in which the period does not change", async || {
        let before = clock::process_now();
        let request = app.client.get(format!("http://{}/graphql", app.address)).query(&[("query", query)]);
        let response = request.send().await.unwrap();
        let end = PresentHour::from(before).holds().end;
        let [least, most] = [clock::process_now(), before].map(|at| (end - at).num_seconds());
        // In the hour's last second nobody may use a copy.
        if least < 2 {
            return false;
        }
        let seconds = max_age(cache_control(&response), "public");
        assert!((least..=most).contains(&seconds), "{seconds}: {least} to {most}");
        true
    })
    .await;
}

/// A copy may be used until the next refresh, by everybody unless a token was needed for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_of_a_cache_is_used_until_the_next_refresh() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/a", AT, 1)]).await;
    let every_minute: Schedule = "0 * * * * *".parse().unwrap();
    let refreshed = app.refresher.refresh(LockMode::Wait, Some(&every_minute)).await.unwrap();
    assert!(matches!(refreshed, Outcome::Refreshed(_)), "{refreshed:?}");
    let query = "{ report(maxStalenessSeconds: 86400) { freshness { nextRefreshAt } } }";
    for (authorization, whose) in [(None, "public"), (Some("Bearer any"), "private")] {
        eventually("a minute in which it has not to be refreshed", async || {
            app.refresher.refresh(LockMode::Wait, Some(&every_minute)).await.unwrap();
            let before = clock::process_now();
            let request = app.client.get(format!("http://{}/graphql", app.address)).query(&[("query", query)]);
            let request = match authorization {
                Some(authorization) => request.header(header::AUTHORIZATION, authorization),
                None => request,
            };
            let response = request.send().await.unwrap();
            let cache_control = cache_control(&response).to_owned();
            let answer: Value = response.json().await.unwrap();
            let next = &answer["data"]["report"]["freshness"]["nextRefreshAt"];
            let next: DateTime<Utc> = next.as_str().unwrap().parse().unwrap();
            let [least, most] = [clock::process_now(), before].map(|at| (next - at).num_seconds());
            // In its last second nobody may use a copy.
            if least < 2 {
                return false;
            }
            let seconds = max_age(&cache_control, whose);
            assert!((least..=most).contains(&seconds), "{seconds}: {least} to {most}");
            true
        })
        .await;
    }
}
