//! Pictures of the main states of the dashboard, at four widths, in light and dark. They stay in
//! `target/tmp/dashboard-states`, to be looked at.

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::access::{Token, TokenText};
use serde_json::json;

use crate::{
    app::{Rung, TestApp, TestDatabase},
    client_scripts::Script,
    process::Server,
};

/// How long the pictures of a server may take, on a busy machine.
const LIMIT_SECONDS: &str = "600";
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/dashboard-states");
const YEAR: [&str; 15] = [
    "empty",
    "days-7",
    "months-13",
    "tip",
    "calendar",
    "matches",
    "keys",
    "compared",
    "page",
    "sections",
    "folder",
    "changed",
    "last-rows",
    "nothing-found",
    "overdue",
];
const WIDTHS: [u32; 4] = [360, 768, 1_280, 1_600];

/// The paths of the pictures of these states.
fn pictures(states: &[&str]) -> Vec<PathBuf> {
    let names = states.iter().flat_map(|state| {
        let sizes = WIDTHS.iter().flat_map(|width| ["light", "dark"].map(|scheme| (width, scheme)));
        sizes.map(move |(width, scheme)| Path::new(FOLDER).join(format!("{state}-{width}-{scheme}.png")))
    });
    names.collect()
}

/// Starts a scenario, without the pictures that an earlier run has made.
fn start(scenario: &str, url: &str, states: &[&str]) -> Script {
    fs::create_dir_all(FOLDER).unwrap();
    for picture in pictures(states).iter().filter(|picture| picture.exists()) {
        fs::remove_file(picture).unwrap();
    }
    let arguments = [url, "--scenario", scenario, "--folder", FOLDER, "--limit", LIMIT_SECONDS];
    Script::start("dashboard-states.mjs", &arguments)
}

fn assert_pictures(states: &[&str]) {
    let missing: Vec<_> = pictures(states).into_iter().filter(|picture| !picture.exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_of_13_months_fit_at_each_width_and_have_no_barriers() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &["--services", "increments,reports"]);
    let wolf = Server::start(&database, &["--services", "wolf", "--refresh-cron", "*/2 * * * * *"]);
    let mut script = start("year", &server.url(""), &YEAR);
    assert_eq!(script.next().await, Some(json!({ "next": "kill" })));
    drop(wolf);
    script.send_line("killed").await;
    script.finish("year").await;
    assert_pictures(&YEAR);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn card_for_the_token_fits_at_each_width_and_has_no_barriers() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        let token = Token::of_secret("right", "reports".parse().unwrap(), None);
        settings.http.access.token = vec![TokenText::from(token.to_string())];
    })
    .await;
    start("token", &format!("http://{}", app.address), &["token"]).finish("token").await;
    assert_pictures(&["token"]);
}
