//! Views as browsers send them, over plain HTTP: `POST /views` and `GET /view.gif`. tests/it/browsers.rs has a browser.

use std::{fs, num::NonZeroU32, path::Path};

use api::{
    access::{AccessSettings, Site},
    http::OptOut,
};
use entity::page;
use reqwest::{Method, RequestBuilder, Response, header};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use sha2::{Digest, Sha384};

use crate::{
    access,
    app::{Rung, Settings, TestApp, TestDatabase},
    process::Server,
};

const SITE: &str = "https://example.org";
const BLOG: &str = "https://blog.example.org";
const FOREIGN: &str = "https://example.org.evil.example";
const TEXT: &str = "text/plain;charset=UTF-8";
const RUNGS: [Rung; 2] = [Rung::Sqlite, Rung::Table];

fn sites() -> Vec<Site> {
    [SITE, "https://blog.example.org=/blog"].map(|site| site.parse().unwrap()).to_vec()
}

/// Starts a server of two sites where every request but a view needs a token.
async fn start(rung: Rung, set: impl FnOnce(&mut Settings)) -> TestApp {
    TestApp::start_with(rung, |settings| {
        settings.http.access = AccessSettings {
            token: vec![access::token("all", "increments,reports")],
            site: sites(),
            ..AccessSettings::default()
        };
        set(settings);
    })
    .await
}

fn request(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> RequestBuilder {
    let request = app.client.request(method, format!("http://{}{path}", app.address));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

/// Sends a view of a page as the script does.
fn beacon(app: &TestApp, page: &str, headers: &[(&str, &str)]) -> RequestBuilder {
    request(app, Method::POST, "/views", headers).header("content-type", TEXT).body(json!({ "page": page }).to_string())
}

/// Asks for the image.
fn image(app: &TestApp, query: &[(&str, &str)], headers: &[(&str, &str)]) -> RequestBuilder {
    request(app, Method::GET, "/view.gif", headers).query(query)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// The status, code and message of a refusal.
async fn refusal(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text:?}"));
    let error = &answer["errors"][0];
    let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (status, field(&error["extensions"]["code"]), field(&error["message"]))
}

/// The pages with their views, of all hours.
async fn pages(app: &TestApp) -> Vec<(String, i64)> {
    let mut pages: Vec<(String, i64)> = Vec::new();
    for ((page, ..), views) in app.counts().await {
        match pages.last_mut().filter(|(last, _)| *last == page) {
            Some((_, sum)) => *sum += views,
            None => pages.push((page, views)),
        }
    }
    pages
}

fn counted(pages: &[(&str, i64)]) -> Vec<(String, i64)> {
    pages.iter().map(|(page, views)| ((*page).to_owned(), *views)).collect()
}

async fn title(app: &TestApp, name: &str) -> Option<String> {
    let page = page::Entity::find_by_id(name).one(&app.database.readers).await.unwrap();
    page.unwrap_or_else(|| panic!("{name} is not recorded")).title
}

/// Asserts that the response has no body and is not stored.
async fn assert_accepted(response: Response) {
    assert_eq!((response.status().as_u16(), &response.headers()["cache-control"]), (202, &"no-store".parse().unwrap()));
    assert_eq!(response.headers()["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(response.headers().get(header::SET_COOKIE), None);
    assert_eq!(response.bytes().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_is_recorded_in_each_form_that_a_beacon_can_have() {
    const BOUNDARY: &str = "----WebKitFormBoundaryA";
    for rung in RUNGS {
        let app = start(rung, |_settings| {}).await;
        let part = |name: &str, value: &str| {
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let parts = format!("{}{}--{BOUNDARY}--\r\n", part("title", "Ünser"), part("page", "/a"));
        let json = json!({ "page": "/a", "title": "Ünser", "views": 1_000, "at": "2001-01-01T00:00:00Z" }).to_string();
        for (content_type, body) in [
            (TEXT, json.clone()),
            ("application/json", json),
            (TEXT, "page=%2Fa&title=%C3%9Cnser&views=7".to_owned()),
            ("application/x-www-form-urlencoded;charset=UTF-8", "page=/a&title=%C3%9Cnser".to_owned()),
            (&format!("multipart/form-data; boundary={BOUNDARY}"), parts),
        ] {
            let before = app.counts().await.values().sum::<i64>();
            let request = request(&app, Method::POST, "/views", &[("origin", SITE), ("content-type", content_type)]);
            assert_accepted(request.body(body).send().await.unwrap()).await;
            assert_eq!(pages(&app).await, counted(&[("/a", before + 1)]), "{rung:?} {content_type}: one view, at once");
        }
        let hour = app.counts().await.into_keys().next().unwrap();
        let now = entity::Hour::containing(storage::clock::process_now());
        assert!((hour.1, hour.2) >= (now.plus(-1).date(), now.plus(-1).of_day()), "{hour:?}: it is of now");
        assert_eq!(title(&app, "/a").await.as_deref(), Some("Ünser"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_is_recorded_only_for_pages_of_named_sites() {
    for rung in RUNGS {
        let app = start(rung, |_settings| {}).await;
        for (headers, expected) in [
            (&[("origin", SITE)][..], 202),
            (&[("origin", BLOG)], 202),
            (&[("referer", "https://example.org/x")], 202),
            (&[("origin", SITE), ("referer", "https://evil.example/")], 202),
            (&[("origin", FOREIGN)], 403),
            (&[("origin", "http://example.org")], 403),
            (&[("origin", "https://example.org:8443")], 403),
            (&[("origin", "null")], 403),
            (&[("origin", FOREIGN), ("referer", "https://example.org/x")], 403),
            (&[("referer", "https://evil.example/https://example.org/")], 403),
            (&[], 403),
        ] {
            assert_eq!(status(beacon(&app, "/a", headers)).await, expected, "{headers:?}");
            let query = [("page", "/gif")];
            assert_eq!(status(image(&app, &query, headers)).await, expected, "{headers:?}");
            if expected == 403 {
                let (_, code, message) = refusal(beacon(&app, "/a", headers)).await;
                assert_eq!(code, "FORBIDDEN");
                assert!(message.contains("origin"), "{message}");
            }
        }
        // An image of mail or of a feed reader names its site. A script can't: its browser tells the origin.
        for (site, headers, expected) in [
            (SITE, &[][..], 202),
            ("https://example.org/", &[], 202),
            (FOREIGN, &[], 403),
            ("", &[], 403),
            (SITE, &[("referer", "https://mail.example/")], 403),
            (SITE, &[("origin", "null")], 403),
        ] {
            let query = [("page", "/gif"), ("site", site)];
            assert_eq!(status(image(&app, &query, headers)).await, expected, "{site} {headers:?}");
        }
        let body = json!({ "page": "/a", "site": SITE }).to_string();
        assert_eq!(status(request(&app, Method::POST, "/views", &[("content-type", TEXT)]).body(body)).await, 403);
        let expected = [("/a", 3), ("/blog/a", 1), ("/blog/gif", 1), ("/gif", 5)];
        assert_eq!(pages(&app).await, counted(&expected), "{rung:?}");
    }
}

/// Neither a server that is open on a loopback address nor one that lets everybody record takes views of foreign pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_view_is_recorded_where_no_site_is_named() {
    let app = TestApp::start(Rung::Sqlite).await;
    for origin in [SITE, "http://localhost", &format!("http://{}", app.address)] {
        let (status, code, message) = refusal(beacon(&app, "/a", &[("origin", origin)])).await;
        assert_eq!((status, code.as_str()), (403, "FORBIDDEN"));
        assert!(message.contains("--site"), "{message}");
    }
    assert_eq!(status(image(&app, &[("page", "/a"), ("site", SITE)], &[])).await, 403);
    assert!(app.counts().await.is_empty());
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.access.site = sites()).await;
    assert_eq!(status(beacon(&app, "/a", &[("origin", SITE)])).await, 202);
    assert_eq!(status(beacon(&app, "/a", &[("origin", SITE), ("host", "rebind.example")])).await, 421, "--host");
    assert_eq!(app.counts().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_is_a_path_or_an_address_of_its_site() {
    for rung in RUNGS {
        let app =
            start(rung, |settings| settings.http.views.keep_parameter = vec!["id".to_owned(), "lang".to_owned()]).await;
        for (page, name) in [
            ("/a?utm_source=x#top", "/a"),
            ("https://example.org/a", "/a"),
            ("/ä?id=1", "/%C3%A4?id=1"),
            ("/list?lang=de&page=2&id=7", "/list?id=7&lang=de"),
            ("/list?id=7&lang=de", "/list?id=7&lang=de"),
        ] {
            let before = pages(&app).await.iter().find(|(page, _)| page == name).map_or(0, |(_, views)| *views);
            assert_eq!(status(beacon(&app, page, &[("origin", SITE)])).await, 202);
            let after = pages(&app).await.into_iter().find(|(page, _)| page == name);
            assert_eq!(after, Some((name.to_owned(), before + 1)), "{page}");
        }
        let long = format!("/{}", "a".repeat(1_024));
        let recorded = pages(&app).await;
        for (body, message) in [
            (
                json!({ "page": "https://blog.example.org/" }),
                "page must be a path that begins with /, or a URL of https://example.org",
            ),
            (json!({ "page": "a" }), "page must be a path that begins with /, or a URL of https://example.org"),
            (json!({ "page": "" }), "page must be a path that begins with /, or a URL of https://example.org"),
            (json!({ "page": long }), "page must be 1 to 1024 bytes long, not 1025"),
            (json!({ "page": 7 }), "page must be a string"),
            (json!({ "title": "A" }), "page must be given: a path that begins with /, or a URL of the site"),
        ] {
            let request = request(&app, Method::POST, "/views", &[("origin", SITE), ("content-type", TEXT)]);
            let refused = refusal(request.body(body.to_string())).await;
            assert_eq!(refused, (400, "BAD_USER_INPUT".to_owned(), message.to_owned()));
        }
        assert_eq!(pages(&app).await, recorded, "what was refused is not recorded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_is_bounded_and_of_a_known_kind() {
    const VIEW_BYTES_MAX: usize = 16 * 1024;
    let app = start(Rung::Sqlite, |_settings| {}).await;
    let send = |content_type: &str, body: String| {
        request(&app, Method::POST, "/views", &[("origin", SITE), ("content-type", content_type)]).body(body)
    };
    let query = |bytes: usize| format!("page=/a?{}", "x".repeat(bytes - "page=/a?".len()));
    assert_eq!(status(send(TEXT, query(VIEW_BYTES_MAX))).await, 202);
    let (status, code, message) = refusal(send(TEXT, query(VIEW_BYTES_MAX + 1))).await;
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (413, "PAYLOAD_TOO_LARGE", "the body must be at most 16384 bytes")
    );
    for (content_type, body, expected) in [
        ("text/html", "page=/a", 415),
        ("image/gif", "page=/a", 415),
        (TEXT, "{", 400),
        ("multipart/form-data", "", 400),
    ] {
        let (status, code, _) = refusal(send(content_type, body.to_owned())).await;
        assert_eq!((status, code.as_str()), (expected, "BAD_USER_INPUT"), "{content_type} {body}");
    }
    let compressed = send(TEXT, "page=/a".to_owned()).header("content-encoding", "gzip");
    assert_eq!(refusal(compressed).await.0, 415);
    assert_eq!(pages(&app).await, counted(&[("/a", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn image_counts_a_view_of_the_page_that_it_names_or_of_its_referer() {
    for rung in RUNGS {
        let app = start(rung, |_settings| {}).await;
        let response = image(&app, &[("page", "/a"), ("title", "A")], &[("origin", BLOG)]).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (202, &"image/gif".parse().unwrap())
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["cross-origin-resource-policy"], "cross-origin");
        let body = response.bytes().await.unwrap();
        assert!(body.starts_with(b"GIF89a\x01\0\x01\0") && body.ends_with(b";"), "{body:?}");
        assert_eq!(title(&app, "/blog/a").await.as_deref(), Some("A"));
        for (query, referer, expected) in [
            (&[][..], "https://blog.example.org/b?utm=1", 202),
            (&[("page", "/c")], "https://example.org/", 202),
            (&[("page", "/c")], "https://example.org/other", 202),
            (&[("page", "https://example.org/c")], "https://example.org/", 202),
            // Of which page is not known: browsers tell only the origin to other sites.
            (&[], "https://example.org/", 400),
            (&[], "https://example.org", 400),
            (&[("page", "https://blog.example.org/c")], "https://example.org/", 400),
        ] {
            assert_eq!(status(image(&app, query, &[("referer", referer)])).await, expected, "{query:?} {referer}");
        }
        let (_, code, message) = refusal(image(&app, &[], &[("referer", "https://example.org/")])).await;
        assert_eq!(code, "BAD_USER_INPUT");
        assert!(message.starts_with("page must be given") && message.contains("referrerpolicy"), "{message}");
        assert_eq!(status(image(&app, &[("site", SITE)], &[])).await, 400);
        for method in [Method::HEAD, Method::OPTIONS] {
            let request = request(&app, method, "/view.gif?page=/a", &[("origin", SITE)]);
            assert!(request.send().await.unwrap().status().is_success());
        }
        assert_eq!(status(request(&app, Method::POST, "/view.gif?page=/a", &[("origin", SITE)])).await, 405);
        assert_eq!(status(request(&app, Method::GET, "/views?page=/a", &[("origin", SITE)])).await, 405);
        assert_eq!(pages(&app).await, counted(&[("/blog/a", 1), ("/blog/b", 1), ("/c", 3)]), "{rung:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn title_is_kept_by_a_page_without_one_or_by_setting() {
    for rung in RUNGS {
        for replaces in [false, true] {
            let app = start(rung, |settings| settings.http.views.replace_titles = replaces).await;
            let view = async |title: &str| {
                let body = json!({ "page": "/a", "title": title }).to_string();
                let request = request(&app, Method::POST, "/views", &[("origin", SITE), ("content-type", TEXT)]);
                assert_eq!(status(request.body(body)).await, 202);
                self::title(&app, "/a").await
            };
            assert_eq!(view("").await, None);
            assert_eq!(view(" First\n").await.as_deref(), Some("First"));
            assert_eq!(view("Second").await.as_deref(), Some(if replaces { "Second" } else { "First" }));
            assert_eq!(view(" ").await.as_deref(), Some(if replaces { "Second" } else { "First" }));
            // A title that is too long or bent is no reason to lose the view.
            let bent = format!("\u{202e}{}", "é".repeat(600));
            assert_eq!(view(&bent).await, Some(if replaces { "é".repeat(512) } else { "First".to_owned() }));
            assert_eq!(pages(&app).await, counted(&[("/a", 5)]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_bots_and_in_advance_and_against_a_wish_are_accepted_and_left_out() {
    const BOT: (&str, &str) =
        ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
    const BROWSER: (&str, &str) =
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0");
    for rung in RUNGS {
        for (honor, expected) in [(vec![], 6), (vec![OptOut::Gpc], 4), (vec![OptOut::Gpc, OptOut::Dnt], 2)] {
            let app = start(rung, |settings| settings.http.views.honor = honor).await;
            for header in [BOT, ("sec-purpose", "prefetch;prerender"), ("sec-gpc", "1"), ("dnt", "1"), BROWSER] {
                let headers = [("origin", SITE), header];
                assert_accepted(beacon(&app, "/a", &headers).send().await.unwrap()).await;
                assert_eq!(status(image(&app, &[("page", "/a")], &headers)).await, 202, "{header:?}");
            }
            assert_eq!(pages(&app).await, counted(&[("/a", expected)]), "{rung:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_an_address_have_its_rate_limit() {
    let app = start(Rung::Sqlite, |settings| {
        (settings.http.access.rate_limit, settings.http.access.rate_burst) = (1, NonZeroU32::new(5).unwrap());
        settings.http.access.trust_forwarded_for = 1;
    })
    .await;
    let from = |address| [("origin", SITE), ("x-forwarded-for", address)];
    let mut accepted = 0;
    let refused = loop {
        let response = beacon(&app, "/a", &from("192.0.2.1")).send().await.unwrap();
        if response.status() != 202 {
            break response;
        }
        accepted += 1;
    };
    assert!(accepted >= 5, "{accepted}");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["access-control-allow-origin"], SITE, "the page may read why");
    let answer: Value = refused.json().await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"], json!({ "code": "OVERLOADED", "retryable": true }));
    assert_eq!(status(image(&app, &[("page", "/a")], &from("192.0.2.2"))).await, 202, "of another address");
    assert_eq!(pages(&app).await, counted(&[("/a", accepted + 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_sites_can_read_the_responses() {
    let app = start(Rung::Sqlite, |_settings| {}).await;
    for (origin, is_allowed) in [(SITE, true), (BLOG, true), (FOREIGN, false), ("null", false)] {
        for path in ["/views", "/view.gif"] {
            let preflight = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ];
            let response = request(&app, Method::OPTIONS, path, &preflight).send().await.unwrap();
            let headers = response.headers();
            let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), allowed), (200, is_allowed.then_some(origin)), "{path}");
            assert!(headers[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains("POST"));
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "content-type");
            assert_eq!(headers.get(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
        }
        for request in
            [beacon(&app, "/a", &[("origin", origin)]), image(&app, &[("page", "/a")], &[("origin", origin)])]
        {
            let response = request.send().await.unwrap();
            let allowed = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned();
            assert_eq!(allowed.is_some(), is_allowed, "{origin}");
            let vary: Vec<_> = response.headers().get_all(header::VARY).iter().collect();
            assert!(vary.iter().any(|value| value.to_str().unwrap().contains("origin")), "{vary:?}");
        }
    }
    assert_eq!(pages(&app).await, counted(&[("/a", 2), ("/blog/a", 2)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn script_is_revalidated_and_its_pinned_file_never_changes() {
    let app = start(Rung::Sqlite, |_settings| {}).await;
    let get =
        async |path: &str, headers: &[(&str, &str)]| request(&app, Method::GET, path, headers).send().await.unwrap();
    let snippet = api::http::snippet(&"https://stats.example.org".parse().unwrap());
    let (_, rest) = snippet.split_once("https://stats.example.org/count.").unwrap();
    let pinned = format!("/count.{}", rest.split('"').next().unwrap());
    let mut texts = Vec::new();
    for (path, cache) in
        [("/count.js", "public, max-age=3600, must-revalidate"), (&pinned, "public, max-age=31536000, immutable")]
    {
        let response = get(path, &[]).await;
        assert_eq!(response.status(), 200);
        for (name, value) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("cache-control", cache),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(response.headers()[name], value, "{path}");
        }
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(get(path, &[("if-none-match", &tag)]).await.status(), 304);
        let compressed = get(path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(compressed.headers()["content-encoding"], "gzip");
        let size = compressed.bytes().await.unwrap().len();
        assert!(size < 1_024, "{size} bytes");
        texts.push(response.text().await.unwrap());
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(get("/count.0123456789abcdef.js", &[]).await.status(), 404);
}

/// Returns the script without comments and indentation, as it is served.
fn without_comments(source: &str) -> String {
    let lines = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The hashes of all scripts that pages may have pinned. Never remove one: its pages would not be counted any more.
const PINNED: [&str; 1] =
    ["04f15831be80d8bdbcc7b56435f0343bac92b4712f8a97ccfbf4770a0705187f571d5c2fa32776fbcf1255d62c25fddb"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_script_that_pages_may_have_pinned_is_served_unchanged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("api/scripts");
    let current = without_comments(&fs::read_to_string(folder.join("count.js")).unwrap());
    let digest = hex::encode(Sha384::digest(&current));
    let file = folder.join("served").join(format!("count.{}.js", &digest[..16]));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &current).unwrap();
    }
    let advice = "run this test with UPDATE=1, set CURRENT and INTEGRITY in api/src/http/views/script.rs (openssl dgst \
                  -sha384 -binary FILE | base64), and add the hash to PINNED if the script before was released";
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), current, "{}: {advice}", file.display());
    let app = start(Rung::Sqlite, |_settings| {}).await;
    let get = async |path: &str| {
        let response = request(&app, Method::GET, path, &[]).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(get("/count.js").await, (200, current), "{advice}");
    for pinned in PINNED {
        let (status, text) = get(&format!("/count.{}.js", &pinned[..16])).await;
        assert_eq!((status, hex::encode(Sha384::digest(text)).as_str()), (200, pinned));
    }
    let served: Vec<_> = folder.join("served").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(served.len(), PINNED.len(), "{served:?} are all known");
    assert!(PINNED.contains(&digest.as_str()), "{advice}: {digest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_for_views_are_there_only_with_the_service_increments() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    for (services, [script, view]) in
        [("increments", [200, 202]), ("increments,reports", [200, 202]), ("reports", [404, 404]), ("wolf", [404, 404])]
    {
        let server = Server::start(&database, &["--services", services, "--site", SITE]);
        let get = async |path: &str| {
            let request = server.client.get(server.url(path)).header("referer", "https://example.org/a");
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!((get("/count.js").await, get("/view.gif").await), (script, view), "{services}");
    }
}

#[test]
fn wrong_sites_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, reason) in [
        (&["--site", "example.org"][..], "a site is http:// or https://"),
        (&["--site", "https://example.org/blog"], "a site is"),
        (&["--site", "https://blog.example.org=blog"], "PREFIX begins with /"),
        (&["--site", "https://example.org,https://example.org=/a"], "--site names https://example.org twice"),
        (&["--honor", "cookies"], "gpc"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytics"));
        let command = command.args(["--listen", "127.0.0.1:0"]).args(arguments).current_dir(&folder);
        let output = command.env_remove("DATABASE_URL").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing was begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_that_cannot_be_committed_is_not_acknowledged() {
    let app = start(Rung::Table, |settings| settings.recorder.record_timeout_ms = 1).await;
    let lock = app.database.background.begin(storage::Purpose::Change).await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&lock, "LOCK TABLE pages IN EXCLUSIVE MODE").await.unwrap();
    let response = beacon(&app, "/a", &[("origin", SITE)]).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"], json!({ "code": "UNAVAILABLE", "retryable": true }));
    assert!(!answer.to_string().contains("idempotency"), "{answer}: a view has no key");
    lock.rollback().await.unwrap();
}
