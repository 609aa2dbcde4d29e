//! Refreshes, on the cluster and on the plain server in turns: of many changed counts, and of one among many pages.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::Executor;
use wolf::LockMode;

use super::cluster::{Cluster, WORKERS};
use crate::{
    cli::CitusSettings,
    dataset::{Dataset, PAGES},
    figures::{self, median, ratio},
    server::Server,
    terminal::Progress,
};

/// How many hourly rows there are at first.
const ROWS: u64 = 1_000_000;
/// How many pages there are in the end.
const MANY_PAGES: i32 = 1_000_000;
/// How often each refresh is measured for each run of the recording.
const REFRESHES_A_RUN: u32 = 3;

/// Measures the refreshes and prints the table.
pub(super) async fn run(
    plain: &mut Server,
    cluster: &mut Cluster,
    settings: &CitusSettings,
    progress: &Progress,
) -> anyhow::Result<()> {
    progress.part("refreshes, plain");
    let on_plain = Dataset::create_table(plain.create_database().await?, ROWS, progress).await?;
    progress.part("refreshes, cluster");
    let on_cluster = Dataset::create_table(cluster.create_database(WORKERS).await?, ROWS, progress).await?;
    let mut both = [on_plain, on_cluster];
    progress.print("\n| refresh | plain ms | cluster ms | cluster / plain |\n| --- | --: | --: | --: |");
    let runs = settings.runs * REFRESHES_A_RUN;
    let many = measure(&mut both, runs, true, progress).await?;
    print("10,000 changed rows, 10,000 pages", many, progress);
    let one = measure(&mut both, runs, false, progress).await?;
    print("one changed row, 10,000 pages", one, progress);
    for dataset in &mut both {
        progress.step("adds pages");
        add_pages(dataset).await?;
        dataset.settle(progress).await?;
    }
    let one_of_many = measure(&mut both, runs, false, progress).await?;
    print("one changed row, 1,000,000 pages", one_of_many, progress);
    let [plain, cluster] = [0, 1].map(|index| ratio(one_of_many[index], one[index]));
    progress.print(&format!("| the last one / the one before it | {plain:.2} | {cluster:.2} | |"));
    for dataset in &both {
        progress.step("compares the report with its definition");
        let verified = wolf::verify(&dataset.database).await.context("can't verify the report")?;
        ensure!(verified.differences.is_empty(), "the report differs: {:?}", verified.differences);
    }
    Ok(())
}

/// The median times of refreshes of all pages' counts of an hour, or of one.
async fn measure(both: &mut [Dataset; 2], runs: u32, all: bool, progress: &Progress) -> anyhow::Result<[Duration; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        progress.step(format!("refreshes, run {run} of {runs}"));
        for (dataset, times) in both.iter().zip(&mut times) {
            if all {
                dataset.change().await?;
            } else {
                dataset.change_one().await?;
            }
            let begun = Instant::now();
            dataset.refresher.refresh(LockMode::Wait, None).await.context("the refresh failed")?;
            times.push(begun.elapsed());
        }
    }
    Ok(times.map(|times| median(times).unwrap_or_default()))
}

fn print(name: &str, [plain, cluster]: [Duration; 2], progress: &Progress) {
    let of_plain = ratio(cluster, plain);
    progress.print(&format!("| {name} | {} | {} | {of_plain:.2} |", figures::ms(plain), figures::ms(cluster)));
}

/// Adds pages, each viewed once two days before, up to [`MANY_PAGES`], and builds the report of them.
async fn add_pages(dataset: &mut Dataset) -> anyhow::Result<()> {
    let hour = dataset.last_hour.plus(-48);
    let pages = format!("generate_series({PAGES}, {MANY_PAGES} - 1) AS page");
    let insert =
        format!("INSERT INTO pages (name, first_seen_at) SELECT '/page/' || page, clock_timestamp() FROM {pages}");
    dataset.admin.execute(sqlx::AssertSqlSafe(insert)).await?;
    let insert = format!(
        "INSERT INTO page_views (name, date, hour, views, updated_at)
         SELECT '/page/' || page, $1, $2, 1, clock_timestamp() FROM {pages}"
    );
    let insert = sqlx::query(sqlx::AssertSqlSafe(insert)).bind(hour.date()).bind(hour.of_day());
    insert.execute(&mut dataset.admin).await?;
    dataset.refresher.rebuild(None, &|_, _| {}).await.context("can't rebuild the report")?;
    Ok(())
}
