//! The dashboard's list of pages, and the search for pages.

use super::refreshed;
use crate::{
    app::{Rung, TestApp},
    on_all_databases,
};

on_all_databases! {
    async fn focus_and_selection_stay_and_nothing_is_drawn_without_a_change(app: TestApp) {
        refreshed(&app, "dashboard-pages.mjs", "refreshes").await;
    }

    async fn pages_are_found_by_name_and_title_in_any_case_as_one_types(app: TestApp) {
        refreshed(&app, "dashboard-pages.mjs", "find").await;
    }

    async fn every_page_of_a_long_list_is_reached_and_its_place_stays(app: TestApp) {
        refreshed(&app, "dashboard-pages.mjs", "long-list").await;
    }
}

// Only the browser's layout is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_any_length_take_one_line() {
    let app = TestApp::start(Rung::Sqlite).await;
    refreshed(&app, "dashboard-pages.mjs", "names").await;
}
