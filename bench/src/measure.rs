//! One refresh, measured.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use sea_orm::ConnectionTrait;
use sqlx::PgConnection;
use storage::Purpose;
use wolf::{LockMode, Outcome};

use crate::{
    dataset::Dataset,
    figures::{self, median},
    terminal::Progress,
};

/// Connections that were not asked to say what they counted do so by themselves within 10 seconds.
const COUNTED_MAX: Duration = Duration::from_secs(20);
/// The pause between two looks.
const COUNTED_PAUSE: Duration = Duration::from_millis(20);

/// What one refresh took.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sample {
    /// From the call to its return.
    pub(crate) duration: Duration,
    /// How many report rows it says it changed.
    rows_changed: i64,
    /// What the whole server wrote ahead meanwhile.
    wal_bytes: i64,
    /// Of the report's rows that were updated, the share that touched no index; a materialized view updates none.
    hot: Option<f64>,
}

/// The same refresh several times.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Sample>);

/// How large the report is.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Size {
    rows: i64,
    table_bytes: i64,
    index_bytes: i64,
}

impl Samples {
    /// Changes every page's row of the last hour and refreshes, `runs` times.
    pub(crate) async fn take(dataset: &mut Dataset, runs: u32, progress: &Progress) -> anyhow::Result<Self> {
        let mut samples = Self::default();
        for run in 1..=runs {
            progress.step(format!("refreshes, run {run} of {runs}"));
            samples.take_one(dataset).await?;
        }
        Ok(samples)
    }

    /// Once more; then compares the report with its definition.
    pub(crate) async fn take_one(&mut self, dataset: &mut Dataset) -> anyhow::Result<()> {
        let table = dataset.is_table().await?;
        self.0.push(Sample::take(dataset).await?);
        ensure!(table == dataset.is_table().await?, "the refresh turned the report into another kind");
        dataset.check().await
    }

    /// The median.
    pub(crate) fn duration(&self) -> Duration {
        self.median(|sample| sample.duration).unwrap_or_default()
    }

    /// Cells of a table: runs, median, least and most milliseconds, rows, WAL, HOT. The head is [`Self::HEAD`].
    pub(crate) fn cells(&self) -> String {
        let durations = || self.0.iter().map(|sample| sample.duration);
        format!(
            "{} | {} | {} to {} | {} | {} | {}",
            self.0.len(),
            figures::ms(self.duration()),
            figures::ms(durations().min().unwrap_or_default()),
            figures::ms(durations().max().unwrap_or_default()),
            figures::count(self.median(|sample| sample.rows_changed).unwrap_or_default()),
            figures::mib(self.median(|sample| sample.wal_bytes).unwrap_or_default()),
            figures::percent(self.median(|sample| sample.hot).flatten()),
        )
    }

    pub(crate) const HEAD: &'static str = "runs | ms | least to most | rows changed | WAL MiB | HOT";
    pub(crate) const RULE: &'static str = "--: | --: | --: | --: | --: | --:";

    fn median<T: Copy + PartialOrd>(&self, of: impl Fn(&Sample) -> T) -> Option<T> {
        median(self.0.iter().map(of))
    }
}

impl Sample {
    async fn take(dataset: &mut Dataset) -> anyhow::Result<Self> {
        dataset.change().await?;
        have_counted(dataset).await?;
        let before = Counters::read(&mut dataset.admin).await?;
        let begun = Instant::now();
        let outcome = dataset.refresher.refresh(LockMode::Wait, None).await;
        let duration = begun.elapsed();
        let wal_bytes = Counters::read(&mut dataset.admin).await?.wal_bytes - before.wal_bytes;
        let Outcome::Refreshed(done) = outcome.context("the refresh failed")? else {
            bail!("another process refreshes the benchmark's report");
        };
        let hot = if dataset.is_table().await? {
            let after = Counters::read_settled(dataset, &before, done.rows_changed).await?;
            share(after.hot - before.hot, after.updated - before.updated)
        } else {
            None
        };
        Ok(Self { duration, rows_changed: done.rows_changed, wal_bytes, hot })
    }
}

/// What the server counts.
#[derive(Copy, Clone, Debug)]
struct Counters {
    wal_bytes: i64,
    inserted: i64,
    updated: i64,
    hot: i64,
}

impl Counters {
    async fn read(connection: &mut PgConnection) -> anyhow::Result<Self> {
        const SQL: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
                                  n_tup_ins, n_tup_upd, n_tup_hot_upd
                           FROM pg_stat_user_tables WHERE relid = 'page_views_report'::regclass";
        let row = sqlx::query_as(SQL).fetch_one(connection).await;
        let (wal_bytes, inserted, updated, hot) = row.context("can't read the statistics")?;
        Ok(Self { wal_bytes, inserted, updated, hot })
    }

    /// As soon as they have all rows that were written since `before`.
    async fn read_settled(dataset: &mut Dataset, before: &Self, rows: i64) -> anyhow::Result<Self> {
        have_counted(dataset).await?;
        let begun = Instant::now();
        loop {
            let now = Self::read(&mut dataset.admin).await?;
            if now.inserted + now.updated - before.inserted - before.updated >= rows {
                return Ok(now);
            }
            ensure!(begun.elapsed() < COUNTED_MAX, "the statistics never had the {rows} rows that were written");
            tokio::time::sleep(COUNTED_PAUSE).await;
        }
    }
}

impl Size {
    /// The report's.
    pub(crate) async fn read(connection: &mut PgConnection) -> anyhow::Result<Self> {
        const SQL: &str = "SELECT (SELECT count(*) FROM page_views_report),
                                  pg_table_size('page_views_report'), pg_indexes_size('page_views_report')";
        let row = sqlx::query_as(SQL).fetch_one(connection).await;
        let (rows, table_bytes, index_bytes) = row.context("can't read the report's size")?;
        Ok(Self { rows, table_bytes, index_bytes })
    }

    /// Cells of a table: rows, the relation, its indexes. The head is [`Self::HEAD`].
    pub(crate) fn cells(&self) -> String {
        let Self { rows, table_bytes, index_bytes } = *self;
        format!("{} | {} | {}", figures::count(rows), figures::mib(table_bytes), figures::mib(index_bytes))
    }

    pub(crate) const HEAD: &'static str = "report rows | relation MiB | indexes MiB";
    pub(crate) const RULE: &'static str = "--: | --: | --:";
}

/// The server's connections count for themselves and say it now and then: the Wolf's say it now.
async fn have_counted(dataset: &Dataset) -> anyhow::Result<()> {
    let wolf = dataset.wolf();
    let mut transactions = Vec::new();
    for _ in 0..wolf.pool_use("wolf").open {
        transactions.push(wolf.begin(Purpose::Change).await?);
    }
    for transaction in transactions {
        transaction.execute_unprepared("SELECT pg_stat_force_next_flush()").await?;
        transaction.commit().await?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "printed as whole percent")]
fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
