//! The same change, refreshed natively and merged, by the number of hourly rows.

use std::time::{Duration, Instant};

use crate::{
    cli::RefreshSettings,
    covering::{self, Covering},
    dataset::{Dataset, PAGES},
    figures::{self, ratio},
    measure::{Samples, Size},
    recompute::Recomputed,
    server::Server,
    terminal::Progress,
};

/// What the database's own refresh of 5 million hourly rows took where `TimescaleDB` was measured, and what
/// `TimescaleDB`'s continuous aggregates took there.
const NATIVE_THERE: Duration = Duration::from_secs(100);
const TIMESCALE_THERE: Duration = Duration::from_millis(650);
const ROWS_THERE: u64 = 5_000_000;

/// What was measured at one number of hourly rows.
#[derive(Debug)]
struct Measured {
    rows: u64,
    native: Duration,
    converted: Duration,
    merge: Duration,
    /// Only where it is compared.
    recomputed: Option<Recomputed>,
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
    let (mut measured, mut coverings) = (Vec::new(), Vec::new());
    for rows in settings.rows() {
        progress.part(&format!("{} rows", figures::count(rows)));
        let mut dataset = Dataset::create(server, rows, &progress).await?;
        let result = async {
            measured.push(measure(&mut dataset, rows, settings, &progress).await?);
            if settings.covering {
                coverings.push(Covering::measure(&mut dataset, rows, settings, &progress).await?);
            }
            anyhow::Ok(())
        };
        let result = result.await;
        progress.step("drops the database");
        dataset.drop(server).await?;
        result?;
    }
    print_ratios(&measured, &progress);
    if settings.covering {
        covering::print(&coverings, &progress);
    }
    Ok(())
}

async fn measure(
    dataset: &mut Dataset,
    rows: u64,
    settings: &RefreshSettings,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    let native = Samples::take(dataset, settings.native_runs(rows), progress).await?;
    print_row(dataset, rows, "native", &native, progress).await?;
    progress.step("turns the report into a table");
    let begun = Instant::now();
    dataset.convert_to_table().await?;
    let converted = begun.elapsed();
    dataset.settle(progress).await?;
    let merge = Samples::take(dataset, settings.runs, progress).await?;
    print_row(dataset, rows, "merge", &merge, progress).await?;
    let recomputed = match rows {
        ROWS_THERE => Some(Recomputed::measure(dataset, settings.runs, progress).await?),
        _ => None,
    };
    Ok(Measured { rows, native: native.duration(), converted, merge: merge.duration(), recomputed })
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

fn print_ratios(measured: &[Measured], progress: &Progress) {
    progress.print(
        "\n| hourly rows | native ms | merge ms | native / merge | merge / that of the first line | view into table ms |\n\
         | --: | --: | --: | --: | --: | --: |",
    );
    for line in measured {
        progress.print(&format!(
            "| {} | {} | {} | {:.0} | {:.2} | {} |",
            figures::count(line.rows),
            figures::ms(line.native),
            figures::ms(line.merge),
            ratio(line.native, line.merge),
            ratio(line.merge, measured.first().map_or(line.merge, |first| first.merge)),
            figures::ms(line.converted),
        ));
    }
    for line in measured {
        let Some(recomputed) = line.recomputed else { continue };
        progress.print(&format!(
            "\nAt {} hourly rows hour and day of each page, computed anew by plain statements, take {}: the merge is {:.1} times as fast.",
            figures::count(line.rows),
            recomputed.ms(),
            ratio(recomputed.duration, line.merge),
        ));
        let scaled = TIMESCALE_THERE.mul_f64(ratio(line.native, NATIVE_THERE));
        progress.print(&format!(
            "\nTimescaleDB's {} ms beside a native refresh of {} ms are {} ms here: the merge is {:.1} times as fast.",
            figures::ms(TIMESCALE_THERE),
            figures::ms(NATIVE_THERE),
            figures::ms(scaled),
            ratio(scaled, line.merge),
        ));
    }
}
