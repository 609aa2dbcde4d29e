//! A page of its own on the dashboard, and figures taken along.

use super::refreshed;
use crate::{
    app::{Rung, TestApp},
    on_all_databases,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_of_its_own_tells_its_share_its_days_and_its_neighbours() {
    for rung in [Rung::Sqlite, Rung::MaterializedView, Rung::Table] {
        let app = TestApp::start_with(rung, |settings| {
            let sites = ["https://www.example.org", "https://blog.example.org=/blog"];
            settings.http.access.site = sites.map(|site| site.parse().unwrap()).into();
        })
        .await;
        refreshed(&app, "dashboard-own-page.mjs", "own").await;
    }
}

on_all_databases! {
    async fn figures_are_taken_along_as_csv_without_formulas(app: TestApp) {
        refreshed(&app, "dashboard-own-page.mjs", "take-along").await;
    }
}
