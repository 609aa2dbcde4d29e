//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    dataset::{PAGES, ServiceSettings},
    pages::{Kind, Popularity},
};

const MILLION: u64 = 1_000_000;
const ROWS: [u64; 2] = [MILLION, 5 * MILLION];
const ROWS_LARGE: u64 = 20 * MILLION;
const ROWS_LATENCY: u64 = 5 * MILLION;

/// The load and scale benchmarks. Prints Markdown for bench/RESULTS.md.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The report's refresh: the merge against the database's own, by the number of hourly rows
    Refresh(RefreshSettings),
    /// Recording over HTTP against the released binary: single increments, batches and new pages, on both databases;
    /// beside it a server that answers a constant, and what the database does alone
    Ingest(IngestSettings),
    /// The import of a large access log, on both databases
    Import(ImportSettings),
    /// Reports: from the report and from the counts, cold and warm
    Report(ReportSettings),
    /// Many pages: lists, numbers of pages and refreshes, on both databases, beside DuckDB with the same rows
    Pages(PageSettings),
    /// A Citus cluster of a coordinator and three workers beside one plain server: recording and refreshes, as ratios
    Citus(CitusSettings),
    /// A job that removes many views: how long recording takes meanwhile, on both databases
    Removal(RemovalSettings),
    /// Declared groups: what a refresh costs by the number of groups a page, and a group's sums, on both databases
    Groups(GroupSettings),
    /// Greedy and careless clients: the most memory that the service takes under each attack, beside its bound
    Bounds,
    /// The dashboard in Chromium: each interaction until it is drawn, with 13 months of 1,047 pages, on both databases
    Dashboard(DashboardSettings),
    /// Subscribers of freshness and of a report, and queries that wait: their memory, and when the last one is told
    Subscribers(SubscriberSettings),
    /// This service beside the stock handlers of async-graphql-axum, on the same schema and database
    Transport(TransportSettings),
    /// Serves the schema with the stock handlers, for `transport`
    #[command(hide = true)]
    StockServer(ServiceSettings),
    /// Reads the mutation's bodies and answers a constant, for `ingest`
    #[command(hide = true)]
    ConstantServer,
}

/// What of a cluster is measured.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CitusPart {
    /// Single increments and batches over HTTP
    Recording,
    /// What the nodes are asked for a commit, by their logs
    Statements,
    /// Refreshes of many changed counts, and of one among many pages
    Refreshing,
}

/// How a cluster is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct CitusSettings {
    /// The folder of the programs of a PostgreSQL that has the extension
    #[arg(long, value_name = "FOLDER", default_value = "/usr/lib/postgresql/15/bin")]
    pub(crate) postgres: PathBuf,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',',
        default_values_t = [CitusPart::Recording, CitusPart::Statements, CitusPart::Refreshing])]
    pub(crate) parts: Vec<CitusPart>,
    /// How long each load is measured, after a warm-up of 2 seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How often each load is measured, in turns; the medians count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
}

/// How a removal is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemovalSettings {
    /// The number of pages that are removed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) pages: u32,
    /// The hours in which each of them was viewed once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) hours: u16,
    /// In how many jobs they are removed, one after the other; the medians count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) turns: u32,
    /// How long recording is measured without a job, before each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
}

/// How groups are measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct GroupSettings {
    /// How many days the pages were viewed, each in one hour
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(2..=730))]
    pub(crate) days: u16,
    /// How often each refresh is measured, in turns; the medians count
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// How often each question is asked, in turns, without a cache
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) asked: u32,
}

/// How the import is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImportSettings {
    /// The size of the log, in the combined format
    #[arg(long, default_value_t = 2_000 * MILLION)]
    pub(crate) bytes: u64,
    /// How often each import is measured; the run with the median time counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Another build of the program, measured in turns with this one
    #[arg(long, value_name = "FILE")]
    pub(crate) other: Option<PathBuf>,
}

/// How the two transports are compared.
#[derive(Args, Clone, Debug)]
pub(crate) struct TransportSettings {
    /// How long each load is measured, after a warm-up of 2 seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How often each load is measured, in turns; the medians count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// How many subscribe to the freshness at once
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=25_000))]
    pub(crate) subscribers: u32,
    /// How many refreshes they are told of in each run
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) refreshes: u32,
}

/// How reports are measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReportSettings {
    /// The number of hourly rows, a multiple of 10,000
    #[arg(long, default_value_t = 5 * MILLION, value_parser = parse_rows)]
    pub(crate) rows: u64,
    /// How often each question is asked of the database and of the service without its cache, one after the other
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) asked: u32,
    /// How long the service is asked with its cache, by many at once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
}

/// How many pages are measured, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct PageSettings {
    /// Numbers of pages
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000],
        value_parser = clap::value_parser!(u32).range(10_000..=5_000_000))]
    pub(crate) pages: Vec<u32>,
    /// About how many hourly rows there are, more than pages
    #[arg(long, default_value_t = 6 * MILLION)]
    pub(crate) rows: u64,
    /// How many days they are of
    #[arg(long, default_value_t = 1_096, value_parser = clap::value_parser!(i32).range(365..=3_660))]
    pub(crate) days: i32,
    /// How often the pages are viewed, beside each other
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Popularity::Zipf, Popularity::Uniform])]
    pub(crate) popularity: Vec<Popularity>,
    /// The databases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Postgresql, Kind::Sqlite])]
    pub(crate) databases: Vec<Kind>,
    /// How often each question is asked, all answerers in turns, unless that takes long; the medians count
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) asked: u32,
    /// How many refreshes of each kind are measured; the medians count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub(crate) refreshes: u32,
    /// Another build of the program, measured in turns with this one on databases of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) other: Option<PathBuf>,
}

/// How the dashboard is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct DashboardSettings {
    /// How often each interaction is measured; the medians count
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
}

/// How subscribers are measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubscriberSettings {
    /// How many subscribe at once
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=25_000))]
    pub(crate) subscribers: u32,
    /// How many refreshes they are told of
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) refreshes: u32,
    /// Each subscribes to a report of a page of its own
    #[arg(long)]
    pub(crate) different: bool,
}

/// How recording is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct IngestSettings {
    /// How long each load is measured, after a warm-up of 2 seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How often each load is measured; the run with the median rate counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Only loads whose names contain this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Another build of the program, measured in turns with this one
    #[arg(long, value_name = "FILE")]
    pub(crate) other: Option<PathBuf>,
    /// Measure single increments with each of these numbers of committers instead
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    pub(crate) committers: Vec<u32>,
    /// Further arguments of the server, in one text
    #[arg(long, value_name = "ARGUMENTS", default_value = "", allow_hyphen_values = true)]
    pub(crate) serve: String,
}

/// What is measured, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct RefreshSettings {
    /// Numbers of hourly rows, multiples of 10,000 [default: 1000000,5000000; with --latency 5000000]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = parse_rows)]
    rows: Vec<u64>,
    /// 20 million hourly rows too (allow 25 GB of disk)
    #[arg(long)]
    large: bool,
    /// How often the merge is measured; the median counts
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// How often the native refresh is measured (with 20 million rows or more: once)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    native_runs: u32,
    /// Measure what writers and readers notice of the merge instead
    #[arg(long)]
    pub(crate) latency: bool,
    /// How long writers and readers are measured without refreshes, and during refreshes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How long each writer and reader waits between two requests
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub(crate) pause_ms: u64,
    /// A running server, as a superuser, instead of one of its own: databases `analytics_bench_*` come and go there
    #[arg(long, value_name = "URL")]
    pub(crate) postgres_url: Option<String>,
}

impl RefreshSettings {
    /// How many hourly rows there shall be, one database each.
    pub(crate) fn rows(&self) -> Vec<u64> {
        let mut rows = match self.rows.as_slice() {
            [] if self.latency => vec![ROWS_LATENCY],
            [] => ROWS.to_vec(),
            rows => rows.to_vec(),
        };
        if self.large && !rows.contains(&ROWS_LARGE) {
            rows.push(ROWS_LARGE);
        }
        rows
    }

    /// How often the native refresh of `rows` hourly rows is measured: it takes minutes.
    pub(crate) fn native_runs(&self, rows: u64) -> u32 {
        if rows < ROWS_LARGE { self.native_runs } else { 1 }
    }
}

fn parse_rows(text: &str) -> Result<u64, String> {
    let rows: u64 = text.parse().map_err(|error| format!("{error}"))?;
    let pages = u64::from(PAGES);
    if rows == 0 || !rows.is_multiple_of(pages) {
        return Err(format!("must be a multiple of {pages}, the number of pages: every page has a row each hour"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rows_come_in_whole_hours() {
        assert_eq!(parse_rows("50000"), Ok(50_000));
        assert!(parse_rows("0").is_err());
        assert!(parse_rows("15000").is_err());
    }
}
