//! The chart, its table and what is around them, in Chromium: on both databases where a report's figures count, and on one
//! where only the browser does.

use super::LIMIT_SECONDS;
use crate::{
    app::{Rung, TestDatabase},
    client_scripts::Script,
    process::Server,
};

/// Runs a scenario of the file with a server that has counted nothing.
pub(super) async fn use_dashboard(rung: Rung, file: &str, scenario: &str) {
    let database = TestDatabase::create(rung).await;
    if !matches!(rung, Rung::Sqlite) {
        database.migrate().await.close().await.unwrap();
    }
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    let script = Script::start(file, &[&server.url(""), "--scenario", scenario, "--limit", LIMIT_SECONDS]);
    script.finish(scenario).await;
}

macro_rules! scenarios {
    ($($rule:ident: $file:literal, $scenario:literal;)*) => {$(
        mod $rule {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                use_dashboard(Rung::Sqlite, $file, $scenario).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                use_dashboard(Rung::MaterializedView, $file, $scenario).await;
            }
        }
    )*};
}

macro_rules! layouts {
    ($($rule:ident: $file:literal, $scenario:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            use_dashboard(Rung::Sqlite, $file, $scenario).await;
        }
    )*};
}

scenarios! {
    series_of_120_points_is_a_line_that_marks_what_is_not_over: "dashboard-chart.mjs", "line";
    buckets_that_tower_above_all_others_are_broken_unless_the_whole_height_is_chosen: "dashboard-chart.mjs", "spike";
    other_period_is_drawn_told_and_in_the_address: "dashboard-time.mjs", "compare";
    earlier_and_later_are_as_long_and_end_where_counting_does: "dashboard-time.mjs", "steps";
    buckets_are_shown_alone_by_mouse_and_keys: "dashboard-time.mjs", "zoom";
    days_are_chosen_on_a_calendar_of_what_was_counted: "dashboard-time.mjs", "calendar";
}

layouts! {
    axis_has_weekdays_up_to_five_weeks: "dashboard-chart.mjs", "weekdays";
    tooltip_never_covers_the_plot: "dashboard-chart.mjs", "tooltip";
    table_is_readable_at_every_width_with_the_last_row_whole: "dashboard-chart.mjs", "table";
    row_of_periods_fades_where_it_goes_on: "dashboard-chart.mjs", "strip";
    report_stays_readable_while_the_next_one_loads: "dashboard-chart.mjs", "busy";
    paper_is_light_and_has_the_bars: "dashboard-chart.mjs", "paper";
    forced_colors_keep_the_bars: "dashboard-chart.mjs", "forced-colors";
    first_tap_tells_of_a_bucket_and_the_second_shows_it_alone: "dashboard-time.mjs", "touch";
    keys_are_listed_and_can_be_turned_off: "dashboard-time.mjs", "keys";
    weeks_begin_as_in_the_language_of_the_browser: "dashboard-time.mjs", "weeks";
    dates_and_numbers_are_in_the_language_of_the_browser: "dashboard-time.mjs", "german";
}
