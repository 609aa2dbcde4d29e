//! What the settings tell the page: its title, and the sites whose pages are counted.

use api::access::{Token, TokenText};
use serde_json::{Value, json};

use super::LIMIT_SECONDS;
use crate::{
    app::{Rung, Settings, TestApp},
    client_scripts::Script,
};

const HOSTILE: &str = "</title><script>alert(1)</script><img src=x onerror=alert(2)> &amp; \"'`${3}";

fn titled(settings: &mut Settings, title: &str) {
    settings.http.dashboard.site_title = Some(title.parse().unwrap());
    settings.http.access.site =
        ["https://www.example.org", "https://blog.example.org=/blog"].map(|site| site.parse().unwrap()).into();
}

fn with_token(settings: &mut Settings) {
    let token = Token::of_secret("right", "reports".parse().unwrap(), None);
    settings.http.access.token = vec![TokenText::from(token.to_string())];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn site_title_is_in_the_heading_and_the_document_title_as_text() {
    for rung in [Rung::Sqlite, Rung::MaterializedView] {
        for title in ["Example’s figures", HOSTILE, &"Ẅ".repeat(85)] {
            let app = TestApp::start_with(rung, |settings| titled(settings, title)).await;
            app.refresh().await;
            let url = format!("http://{}", app.address);
            let mut script =
                Script::start("dashboard-site.mjs", &[&url, "--scenario", "title", "--limit", LIMIT_SECONDS]);
            script.send_line(title).await;
            script.finish("title").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn site_title_is_shown_before_a_token_is_given_and_stays_when_the_server_goes() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        titled(settings, "Example’s figures");
        with_token(settings);
    })
    .await;
    app.refresh().await;
    let mut script = Script::start(
        "dashboard-site.mjs",
        &[&format!("http://{}", app.address), "--scenario", "token", "--limit", LIMIT_SECONDS],
    );
    assert_eq!(script.next().await, Some(json!({ "next": "stop" })));
    app.stop.cancel();
    script.send_line("stopped").await;
    script.finish("token").await;
}

async fn settings(app: &TestApp, secret: Option<&str>, tag: Option<&str>) -> (u16, String, Value) {
    let mut request = app.client.get(format!("http://{}/dashboard/settings.json", app.address));
    if let Some(secret) = secret {
        request = request.bearer_auth(secret);
    }
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let response = request.send().await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["cache-control"], "private, no-cache");
    assert!(
        headers.get_all("vary").iter().any(|names| names.to_str().unwrap().contains("authorization")),
        "{headers:?}"
    );
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    (status, tag, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_page_show_sites_only_to_readers_of_reports() {
    let plain = TestApp::start(Rung::Sqlite).await;
    let (status, _, none) = settings(&plain, None, None).await;
    assert_eq!((status, none), (200, json!({ "title": null, "sites": [] })));

    let sites = json!([
        { "origin": "https://www.example.org", "prefix": "" },
        { "origin": "https://blog.example.org", "prefix": "/blog" },
    ]);
    let open = TestApp::start_with(Rung::Sqlite, |settings| titled(settings, "Example")).await;
    assert_eq!(settings(&open, None, None).await.2, json!({ "title": "Example", "sites": sites }));

    let closed = TestApp::start_with(Rung::Sqlite, |settings| {
        titled(settings, "Example");
        with_token(settings);
        let recorder = Token::of_secret("recorder", "increments".parse().unwrap(), None);
        settings.http.access.token.push(TokenText::from(recorder.to_string()));
    })
    .await;
    let [mut hidden, mut shown] = [String::new(), String::new()];
    for (secret, sites) in
        [(None, json!([])), (Some("wrong"), json!([])), (Some("recorder"), json!([])), (Some("right"), sites)]
    {
        let (status, tag, told) = settings(&closed, secret, None).await;
        assert_eq!((status, told), (200, json!({ "title": "Example", "sites": sites })), "{secret:?}");
        assert_eq!(settings(&closed, secret, Some(&tag)).await.0, 304, "{secret:?}");
        *(if secret == Some("right") { &mut shown } else { &mut hidden }) = tag;
    }
    assert_eq!(settings(&closed, Some("right"), Some(&hidden)).await.0, 200, "a tag is of what is shown");
    assert_eq!(settings(&closed, None, Some(&shown)).await.0, 200);
}

/// Each wrong token counts against the rate limit, so that this address is no way to guess tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_page_are_refused_over_the_rate_limit() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        with_token(settings);
        settings.http.access.rate_limit = 1;
        settings.http.access.rate_burst = 3.try_into().unwrap();
    })
    .await;
    let ask = || app.client.get(format!("http://{}/dashboard/settings.json", app.address)).bearer_auth("wrong").send();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(ask().await.unwrap().status().as_u16());
    }
    assert_eq!((statuses[0], statuses.contains(&429)), (200, true), "{statuses:?}");
}

#[test]
fn wrong_site_titles_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for title in ["", " ", "a\nb", "a\u{202e}b", &"x".repeat(257)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytics"));
        let command = command.args(["--listen", "127.0.0.1:0", "--site-title", title]).current_dir(&folder);
        let output = command.env_remove("DATABASE_URL").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{title:?}: {stderr}");
        assert!(stderr.contains("1 to 256 bytes"), "{title:?}: {stderr}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing was begun");
}
