//! The same change, refreshed natively and merged, by the number of hourly rows.

use std::time::{Duration, Instant};

use crate::{
    cli::RefreshSettings,
    dataset::{Dataset, PAGES},
    figures::{self, ratio},
    measure::{Samples, Size},
    server::Server,
    terminal::Progress,
};

/// A database with one number of hourly rows, and what was measured there.
#[derive(Debug)]
struct Scale {
    rows: u64,
    dataset: Dataset,
    native: Duration,
    /// How long the view took to become a table.
    converted: Duration,
    merges: Samples,
}

/// Measures each number of rows and prints the tables.
pub(crate) async fn run(server: &mut Server, settings: &RefreshSettings) -> anyhow::Result<()> {
    let progress = Progress::new();
    progress.print(&format!(
        "\n### The refresh of {} changed rows\n\n| hourly rows | refresh | {} | {} |\n| --: | --- | {} | {} |",
        figures::count(PAGES),
        Samples::HEAD,
        Size::HEAD,
        Samples::RULE,
        Size::RULE
    ));
    let mut scales = Vec::new();
    let result = measure(server, settings, &mut scales, &progress).await;
    if result.is_ok() {
        print_ratios(&scales, &progress);
    }
    for scale in scales {
        progress.step("drops the database");
        scale.dataset.drop(server).await?;
    }
    result
}

/// The native refresh of one number of rows after the other; then merges in turns, so that a machine that is slower for
/// a while is so for all.
async fn measure(
    server: &mut Server,
    settings: &RefreshSettings,
    scales: &mut Vec<Scale>,
    progress: &Progress,
) -> anyhow::Result<()> {
    for rows in settings.rows() {
        progress.part(&format!("{} rows", figures::count(rows)));
        let dataset = Dataset::create(server, rows, progress).await?;
        scales.push(Scale::new(rows, dataset));
        if let Some(scale) = scales.last_mut() {
            scale.measure_native(settings, progress).await?;
        }
    }
    progress.part("in turns");
    for run in 1..=settings.runs {
        for scale in &mut *scales {
            progress.step(format!("merges, run {run} of {}", settings.runs));
            scale.merges.take_one(&mut scale.dataset).await?;
        }
    }
    for scale in scales {
        print_row(&mut scale.dataset, scale.rows, "merge", &scale.merges, progress).await?;
    }
    Ok(())
}

impl Scale {
    fn new(rows: u64, dataset: Dataset) -> Self {
        Self { rows, dataset, native: Duration::ZERO, converted: Duration::ZERO, merges: Samples::default() }
    }

    /// Refreshes the view, and prepares what comes after that.
    async fn measure_native(&mut self, settings: &RefreshSettings, progress: &Progress) -> anyhow::Result<()> {
        let native = Samples::take(&mut self.dataset, settings.native_runs(self.rows), progress).await?;
        self.native = native.duration();
        print_row(&mut self.dataset, self.rows, "native", &native, progress).await?;
        progress.step("turns the report into a table");
        let begun = Instant::now();
        self.dataset.convert_to_table().await?;
        self.converted = begun.elapsed();
        self.dataset.settle(progress).await
    }
}

async fn print_row(
    dataset: &mut Dataset,
    rows: u64,
    refresh: &str,
    samples: &Samples,
    progress: &Progress,
) -> anyhow::Result<()> {
    let size = Size::read(&mut dataset.admin).await?;
    progress.print(&format!("| {} | {refresh} | {} | {} |", figures::count(rows), samples.cells(), size.cells()));
    Ok(())
}

fn print_ratios(scales: &[Scale], progress: &Progress) {
    progress.print(
        "\n| hourly rows | native ms | merge ms | native / merge | merge / that of the first line | view into table ms |\n\
         | --: | --: | --: | --: | --: | --: |",
    );
    let first = scales.first().map_or(Duration::ZERO, |first| first.merges.duration());
    for scale in scales {
        let merge = scale.merges.duration();
        progress.print(&format!(
            "| {} | {} | {} | {:.0} | {:.2} | {} |",
            figures::count(scale.rows),
            figures::ms(scale.native),
            figures::ms(merge),
            ratio(scale.native, merge),
            ratio(merge, first),
            figures::ms(scale.converted),
        ));
    }
}
