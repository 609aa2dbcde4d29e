//! DNS rebinding: a server without tokens answers only for host names that it knows.

use api::access::{AccessSettings, Scope};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{RECORD, start_with_tokens};
use crate::{
    app::{Rung, TestApp, TestDatabase},
    client_scripts::Script,
    process::Server,
    wait::wait_for,
    websocket::{WebSocket, refused_upgrade},
};

/// Sends a request byte for byte, and returns the whole response.
async fn raw(address: &str, head: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    wait_for("an answer", connection.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

async fn get(address: &str, path: &str, host: &str) -> String {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n"), "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_server_refuses_unknown_host_names_with_421() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        settings.http.access.host = vec!["stats.example.org".parse().unwrap()];
    })
    .await;
    let port = app.address.rsplit_once(':').unwrap().1;
    let asked = "/graphql?query=%7B%20freshness%20%7B%20status%20%7D%20%7D";
    for path in ["/", "/dashboard/main.js", "/graphiql", "/schema.graphql", asked] {
        for host in ["127.0.0.1", "[::1]", "localhost", "a.localhost", "stats.example.org"] {
            assert_eq!(status(&get(&app.address, path, &format!("{host}:{port}")).await), 200, "{host} {path}");
        }
        let refused = get(&app.address, path, &format!("rebind.example:{port}")).await;
        assert_eq!(status(&refused), 421, "{path}: {refused}");
        assert!(refused.contains("--host") && refused.contains(r#""code":"FORBIDDEN""#), "{refused}");
    }
    let body = json!({ "query": RECORD, "variables": { "input": { "increments": [{ "page": "/a" }] } } }).to_string();
    for (target, version, host, expected) in [
        ("/graphql", "1.1", Some("localhost"), 200),
        ("/graphql", "1.1", Some("rebind.example"), 421),
        ("/graphql", "1.1", Some("localhost\r\nhost: rebind.example"), 421),
        ("http://localhost/graphql", "1.1", Some("localhost"), 200),
        ("http://rebind.example/graphql", "1.1", Some("localhost"), 421),
        ("http://localhost/graphql", "1.1", Some("rebind.example"), 421),
        ("/graphql", "1.1", None, 421),
        ("/graphql", "1.0", None, 200),
        ("/graphql", "1.0", Some("rebind.example"), 421),
    ] {
        let host = host.map(|host| format!("host: {host}\r\n")).unwrap_or_default();
        let head = format!("POST {target} HTTP/{version}\r\n{host}content-type: application/json\r\n");
        let answer = raw(&app.address, &head, &body).await;
        assert_eq!(status(&answer), expected, "{head}: {answer}");
    }
    assert_eq!(app.counts().await.values().sum::<i64>(), 3, "what was refused was not recorded");
    let (status, answer) = refused_upgrade(WebSocket::open_with(&app.address, &[("host", "rebind.example")]).await);
    assert_eq!((status.as_u16(), &answer["errors"][0]["extensions"]["code"]), (421, &json!("FORBIDDEN")));
    WebSocket::open_with(&app.address, &[("host", "localhost")]).await.unwrap();
    // Health checks may use any host name.
    assert_eq!(self::status(&get(&app.address, "/health/ready", "analytics-1").await), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_name_is_checked_only_where_all_scopes_are_anonymous() {
    let asked = "/graphql?query=%7B%20__typename%20%7D";
    let app = start_with_tokens(|_access| {}).await;
    assert_eq!(status(&get(&app.address, asked, "rebind.example").await), 401, "a page has no token");
    let app = start_with_tokens(|access| access.anonymous = vec![Scope::Reports]).await;
    assert_eq!(status(&get(&app.address, asked, "stats.example.org").await), 200, "it is meant for the public");
    let open_to_all =
        AccessSettings { anonymous: vec![Scope::Reports, Scope::Increments], ..AccessSettings::default() };
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.access = open_to_all).await;
    assert_eq!(status(&get(&app.address, asked, "rebind.example").await), 421);
}

/// A page in Chromium whose host name resolves to the server, and the responses that it gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dns_rebinding_page_in_a_browser_reads_and_records_nothing() {
    const NAME: &str = "rebind.example";
    let database = TestDatabase::create(Rung::Sqlite).await;
    for is_known in [false, true] {
        let server = Server::start(&database, if is_known { &["--host", NAME] } else { &[] });
        let script = Script::start("rebinding.mjs", &[&server.url(""), "--name", NAME, "--limit", "120"]);
        let lines = script.finish("rebinding.mjs").await;
        let [seen] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(seen["origin"].as_str().unwrap().contains(NAME), "{seen}");
        let expected = if is_known { 200 } else { 421 };
        assert_eq!(seen["page"], expected, "{seen}");
        for asked in ["read", "readByGet", "record", "schema", "graphiql"] {
            assert_eq!(seen[asked]["status"], expected, "{asked}: {seen}");
        }
        assert_eq!(seen["opened"], is_known, "{seen}");
        let recorded = crate::app::counts(&database.connect().await).await.values().sum::<i64>();
        assert_eq!(recorded, i64::from(is_known), "{seen}");
        assert!(is_known || !seen["read"]["text"].as_str().unwrap().contains("totals"), "{seen}");
    }
}
