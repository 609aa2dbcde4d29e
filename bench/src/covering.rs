//! Whether the index by hour should cover the views: reads from the index alone, against HOT updates.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use api::reports::{Interval, PageFilter};
use sqlx::{AssertSqlSafe, Executor};

use crate::{
    cli::RefreshSettings,
    dataset::Dataset,
    figures::{self, median},
    latency::uncached,
    measure::{Samples, Size},
    terminal::Progress,
};

/// What the index has besides its name: `(what it is called in the results, its columns)`.
const INDEXES: [(&str, &str); 2] =
    [("plain", "(grain, date, hour, name)"), ("covering", "(grain, date, hour, name) INCLUDE (views)")];
/// How often each read is timed.
const READS: u32 = 7;
const HOURS_PER_DAY: i32 = 24;
/// The two intervals that are read, in days up to that of the hour that changes.
const DAYS: [i32; 2] = [20, 30];
/// How many pages are read.
const TOP: u64 = 10;

/// What was measured with each index.
#[derive(Debug)]
pub(crate) struct Covering(Vec<(&'static str, Index)>);

#[derive(Debug)]
struct Index {
    merge: Samples,
    size: Size,
    top_pages: Vec<Duration>,
}

impl Covering {
    /// Measures merges, and reads after them, with each index; the report is a table.
    pub(crate) async fn measure(
        dataset: &mut Dataset,
        settings: &RefreshSettings,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let mut indexes = Vec::new();
        for (kind, columns) in INDEXES {
            progress.step(format!("builds the {kind} index"));
            replace_index(dataset, columns).await?;
            dataset.settle(progress).await?;
            let merge = Samples::take(dataset, settings.runs, progress).await?;
            progress.step("reads the top pages");
            let mut top_pages = Vec::new();
            for days in DAYS {
                top_pages.push(time_top_pages(dataset, days).await?);
            }
            let size = Size::read(&mut dataset.admin).await?;
            indexes.push((kind, Index { merge, size, top_pages }));
        }
        Ok(Self(indexes))
    }
}

/// Prints the table of `(hourly rows, what was measured)`.
pub(crate) fn print<'a>(coverings: impl Iterator<Item = (u64, &'a Covering)>, progress: &Progress) {
    let [days, more_days] = DAYS;
    progress.print(&format!(
        "\n### The index by hour, plain and covering\n\n\
         | hourly rows | index | {} | {} | top {TOP} pages of {days} days, ms | of {more_days} days, ms |\n\
         | --: | --- | {} | {} | --: | --: |",
        Samples::HEAD,
        Size::HEAD,
        Samples::RULE,
        Size::RULE
    ));
    for (rows, covering) in coverings {
        for (kind, index) in &covering.0 {
            let reads: Vec<_> = index.top_pages.iter().copied().map(figures::ms).collect();
            progress.print(&format!(
                "| {} | {kind} | {} | {} | {} |",
                figures::count(rows),
                index.merge.cells(),
                index.size.cells(),
                reads.join(" | ")
            ));
        }
    }
}

/// Puts a unique index with these columns in the place of the key, which is in the order of time.
async fn replace_index(dataset: &mut Dataset, columns: &str) -> anyhow::Result<()> {
    dataset.admin.execute("DROP INDEX page_views_report_key").await?;
    let create = format!("CREATE UNIQUE INDEX page_views_report_key ON page_views_report {columns}");
    dataset.admin.execute(AssertSqlSafe(create)).await?;
    Ok(())
}

/// The median time of the reports' own query, which reads daily rows, and monthly ones of months that are whole.
async fn time_top_pages(dataset: &Dataset, days: i32) -> anyhow::Result<Duration> {
    let end = dataset.last_hour.day_start().plus(HOURS_PER_DAY);
    let interval = Interval::of_range(end.plus(-days * HOURS_PER_DAY).start(), end.start())?;
    let reader = uncached(&dataset.database);
    let mut durations = Vec::new();
    for _ in 0..READS {
        let view = reader.uncached_view().await?;
        let begun = Instant::now();
        let pages = view.pages(interval, &Arc::new(PageFilter::All), None, TOP).await?;
        durations.push(begun.elapsed());
        ensure!(u64::try_from(pages.len())? == TOP, "{} pages instead of {TOP}", pages.len());
    }
    Ok(median(durations).unwrap_or_default())
}
