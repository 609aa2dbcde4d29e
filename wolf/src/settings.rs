//! The Wolf's settings.

use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use storage::Database;

use crate::{error::WolfError, refresher::Refresher, report_kind::ReportKind, schedule::Schedule};

/// When the report is refreshed, what kind of relation it is, and what is dropped when it is old.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Refreshes")]
pub struct WolfSettings {
    /// When to refresh the report, in UTC: a cron expression of six fields, 'second minute hour day month weekday'
    #[arg(long, env = "ANALYTICS_REFRESH_CRON", default_value = "*/10 * * * * *", value_name = "CRON")]
    pub refresh_cron: Schedule,
    /// The shortest time in milliseconds between two refreshes that clients ask for (requestRefresh)
    #[arg(long, env = "ANALYTICS_REQUESTED_REFRESH_PAUSE_MS", default_value_t = 1_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=86_400_000))]
    pub requested_refresh_pause_ms: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a comment here would replace the heading of --help")]
    pub report_kind: ReportKindSetting,
    /// Delete hourly rows that are older than this many hours, in whole days; the sums of days and months stay. By default
    /// all hours are kept
    #[arg(long, env = "ANALYTICS_KEEP_HOURS", value_name = "HOURS", value_parser = clap::value_parser!(u32).range(48..=1_000_000))]
    pub keep_hours: Option<u32>,
}

/// What kind of relation the report is to be.
#[derive(Args, Copy, Clone, Debug)]
#[command(next_help_heading = "Refreshes")]
pub struct ReportKindSetting {
    /// What the report is on PostgreSQL. With 'auto' it is a materialized view until a refresh takes too long, and then a
    /// table. On SQLite it is always a table
    #[arg(
        long = "report-kind",
        env = "ANALYTICS_REPORT_KIND",
        default_value = "auto",
        value_enum,
        value_name = "KIND"
    )]
    choice: Choice,
    /// Milliseconds that a refresh of the materialized view may take with '--report-kind auto'
    #[arg(long, env = "ANALYTICS_MATERIALIZED_VIEW_LIMIT_MS", default_value_t = 5_000, value_name = "MS")]
    materialized_view_limit_ms: u32,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Choice {
    Auto,
    MaterializedView,
    Table,
}

impl ReportKindSetting {
    /// Creates a refresher with this setting. A report pinned to the other kind is converted now, or after a later refresh if
    /// a transaction would block that.
    ///
    /// # Errors
    /// As [`Refresher::ensure_kind`].
    pub async fn refresher(self, database: &Database) -> Result<Refresher, WolfError> {
        let refresher = Refresher::new(database);
        let pinned = match self.choice {
            Choice::Auto => {
                let limit = TimeDelta::milliseconds(self.materialized_view_limit_ms.into());
                return Ok(refresher.converting_views_slower_than(limit));
            }
            Choice::MaterializedView => ReportKind::MaterializedView,
            Choice::Table => ReportKind::Table,
        };
        let refresher = refresher.pinned_to(pinned);
        refresher.convert_if_free(pinned).await?;
        Ok(refresher)
    }
}
