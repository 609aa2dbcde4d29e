//! The card that asks for a token, in Chromium, on all databases.

use api::access::{Token, TokenText};

use super::LIMIT_SECONDS;
use crate::{
    app::{Rung, TestApp},
    client_scripts::Script,
};

/// Runs a scenario with a server that gives reports only to those with the token `right`.
async fn use_dashboard(rung: Rung, scenario: &str) {
    let app = TestApp::start_with(rung, |settings| {
        let token = Token::of_secret("right", "reports".parse().unwrap(), None);
        settings.http.access.token = vec![TokenText::from(token.to_string())];
    })
    .await;
    app.record([("/a", "2026-03-01T00:00:00Z", 42)]).await;
    app.refresh().await;
    let url = format!("http://{}", app.address);
    let script = Script::start("dashboard-token.mjs", &[&url, "--scenario", scenario, "--limit", LIMIT_SECONDS]);
    script.finish(scenario).await;
}

macro_rules! scenarios {
    ($($rule:ident: $scenario:literal;)*) => {$(
        mod $rule {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                use_dashboard(Rung::Sqlite, $scenario).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                use_dashboard(Rung::MaterializedView, $scenario).await;
            }
        }
    )*};
}

scenarios! {
    token_is_kept_in_the_tab_until_it_is_forgotten: "tab";
    token_kept_on_the_device_opens_every_tab_until_it_is_forgotten_in_one: "device";
    nothing_but_the_card_is_shown_where_a_token_is_needed: "card";
}
