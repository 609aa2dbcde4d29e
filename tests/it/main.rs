//! Everything that touches a database, a socket, a process or a browser: one binary, each test with its own real
//! database.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says so by panicking"
)]

mod access;
mod app;
mod architecture;
mod back_pressure;
mod backends;
mod backup;
mod bounds;
mod browser_views;
mod browsers;
mod cache;
mod calendar;
mod carried_results;
#[cfg(feature = "citus-tests")]
mod citus;
mod client_keys;
mod client_scripts;
mod clients;
mod clocks;
mod cluster;
mod combined_filters;
mod command_line;
mod comparison;
mod conflicts;
mod containers;
mod copies;
mod crash;
mod dashboard;
mod dead_links;
mod demo;
mod dependencies;
mod disk_full;
mod documents;
mod durability;
mod etags;
mod event_streams;
mod exactly_once;
mod export;
mod faults;
mod follow;
mod fresh_reads;
mod freshness;
mod groups;
mod growing_logs;
mod http;
mod import;
mod import_of_counts;
mod interleavings;
mod jobs;
mod jobs_api;
mod jobs_cli;
mod load;
mod log_formats;
mod logs;
mod machine_clock;
mod maintenance;
mod metrics;
mod migrations;
mod model;
mod modules;
mod mutation_fast_path;
mod name_server;
mod page_lists;
mod pooler;
mod poolers;
mod process;
mod progress;
mod proxy;
mod random_queries;
mod recording;
mod refresh;
mod refused_databases;
mod report_fields;
mod report_subscriptions;
mod report_swap;
mod reports;
mod response_cache;
mod responses;
mod roles;
mod search;
mod selections;
mod services;
mod slow_statements;
mod small_disk;
mod snapshot;
mod spans;
mod sql_files;
mod standbys;
mod startup;
mod systemd;
mod test_command;
mod times_of_day;
mod tls;
mod upgrades;
mod verify;
mod version;
mod wait;
mod websocket;
mod websocket_protocol;
mod wrong_values;

/// Makes a test of each function: on SQLite, on PostgreSQL with the report as materialized view, and as table.
macro_rules! on_all_databases {
    ($(async fn $name:ident($app:ident: TestApp) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all of them")]
            use super::*;
            async fn test($app: crate::app::TestApp) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                test(crate::app::TestApp::start(crate::app::Rung::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres_with_a_materialized_view() {
                test(crate::app::TestApp::start(crate::app::Rung::MaterializedView).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres_with_a_table() {
                test(crate::app::TestApp::start(crate::app::Rung::Table).await).await;
            }
        }
    )*};
}
pub(crate) use on_all_databases;
