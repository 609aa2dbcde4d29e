//! What can be set about the Wolf.

use clap::{Args, ValueEnum};

use crate::{report_kind::ReportKind, schedule::Schedule};

/// When the report is refreshed, and what kind of relation it is.
#[derive(Args, Clone, Debug)]
pub struct WolfSettings {
    /// When to refresh the report, in UTC: six fields, 'second minute hour day month weekday'
    #[arg(long, env = "ANALYTICS_REFRESH_CRON", default_value = "*/10 * * * * *")]
    pub refresh_cron: Schedule,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the flag's own text is shown by --help, a comment here would replace the heading")]
    pub report_kind: ReportKindSetting,
}

/// What kind of relation the report is to be.
#[derive(Args, Copy, Clone, Debug)]
pub struct ReportKindSetting {
    /// What the report is on PostgreSQL; 'auto' leaves it as it is. On SQLite it is always a table
    #[arg(
        long = "report-kind",
        env = "ANALYTICS_REPORT_KIND",
        default_value = "auto",
        value_enum,
        value_name = "KIND"
    )]
    choice: Choice,
}

impl ReportKindSetting {
    /// The kind that is asked for, if one is.
    #[must_use]
    pub fn pinned(self) -> Option<ReportKind> {
        match self.choice {
            Choice::Auto => None,
            Choice::MaterializedView => Some(ReportKind::MaterializedView),
            Choice::Table => Some(ReportKind::Table),
        }
    }
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Choice {
    Auto,
    MaterializedView,
    Table,
}
