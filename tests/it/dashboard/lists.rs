//! The orders of the dashboard's list, and its sections.

use super::refreshed;
use crate::on_all_databases;

on_all_databases! {
    async fn pages_are_ordered_by_views_change_and_name_and_tell_how_they_changed(app: TestApp) {
        refreshed(&app, "dashboard-lists.mjs", "orders").await;
    }

    async fn sections_lead_down_and_up_with_sums(app: TestApp) {
        refreshed(&app, "dashboard-lists.mjs", "sections").await;
    }
}
