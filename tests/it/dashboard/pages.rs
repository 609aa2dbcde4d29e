//! The dashboard's list of pages, and the search for pages.

use serde_json::json;

use super::LIMIT_SECONDS;
use crate::{app::TestApp, client_scripts::Script, on_all_databases};

/// Runs a scenario, and refreshes the report whenever it says so.
async fn run(app: &TestApp, scenario: &str) {
    let url = format!("http://{}", app.address);
    let mut script = Script::start("dashboard-pages.mjs", &[&url, "--scenario", scenario, "--limit", LIMIT_SECONDS]);
    while let Some(next) = script.next().await {
        assert_eq!(next, json!({ "next": "refresh" }));
        app.refresh().await;
        script.send_line("refreshed").await;
    }
    script.finish(scenario).await;
}

on_all_databases! {
    async fn focus_and_selection_stay_and_nothing_is_drawn_without_a_change(app: TestApp) {
        run(&app, "refreshes").await;
    }

    async fn pages_are_found_by_name_and_title_in_any_case_as_one_types(app: TestApp) {
        run(&app, "find").await;
    }

    async fn every_page_of_a_long_list_is_reached_and_its_place_stays(app: TestApp) {
        run(&app, "long-list").await;
    }

    async fn names_of_any_length_take_one_line(app: TestApp) {
        run(&app, "names").await;
    }
}
