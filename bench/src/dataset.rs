//! A migrated database with a known number of hourly rows, and the change that is measured.

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::Parser;
use entity::Hour;
use increments::{Committer, Increment, PageName, Recorder, RecorderSettings, Request, Views};
use reports::ReportSettings;
use sqlx::{Connection, Executor, PgConnection};
use storage::{Connections, Database, DatabaseSettings, clock};
use tokio::task::JoinSet;
use wolf::{Refresher, ReportKind};

use crate::{server::Server, terminal::Progress};

/// How many pages there are, each with a row an hour.
pub(crate) const PAGES: u16 = 10_000;

/// The service's settings as they are when nobody sets them.
#[derive(Debug, Parser)]
pub(crate) struct ServiceSettings {
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
    #[command(flatten)]
    pub(crate) recorder: RecorderSettings,
    #[command(flatten)]
    pub(crate) reports: ReportSettings,
}

/// A database, the handles to work on it, and what is in it.
#[derive(Debug)]
pub(crate) struct Dataset {
    name: String,
    pub(crate) url: String,
    pub(crate) database: Database,
    pub(crate) refresher: Refresher,
    /// For what the benchmark itself asks: a connection that no pool of the service has.
    pub(crate) admin: PgConnection,
    /// The hour that changes.
    pub(crate) last_hour: Hour,
    recorder: Recorder,
    committing: JoinSet<()>,
}

impl Dataset {
    /// `rows` hourly rows of [`PAGES`] pages in the hours up to the last full one, and the report of them, a
    /// materialized view.
    pub(crate) async fn create(server: &mut Server, rows: u64, progress: &Progress) -> anyhow::Result<Self> {
        let mut dataset = Self::empty(server.create_database().await?).await?;
        progress.step("fills page_views");
        dataset.fill(rows).await.context("can't fill the database")?;
        progress.step("fills the report");
        dataset.admin.execute("REFRESH MATERIALIZED VIEW page_views_report").await?;
        dataset.settle(progress).await?;
        Ok(dataset)
    }

    /// The same in an empty database of this name and address, which may be a Citus cluster's, with a report that is a table.
    pub(crate) async fn create_table(place: (String, String), rows: u64, progress: &Progress) -> anyhow::Result<Self> {
        let mut dataset = Self::empty(place).await?;
        wolf::distribute(&dataset.database).await.context("can't distribute the tables")?;
        progress.step("fills page_views");
        dataset.fill(rows).await.context("can't fill the database")?;
        progress.step("fills the report");
        let rebuilt = dataset.refresher.rebuild(Some(ReportKind::Table), &|_, _| {}).await;
        rebuilt.context("can't build the report")?;
        dataset.settle(progress).await?;
        Ok(dataset)
    }

    /// A migrated database without counts.
    async fn empty((name, url): (String, String)) -> anyhow::Result<Self> {
        let Recording { database, recorder, committing } = Recording::open(&url).await?;
        Ok(Self {
            refresher: Refresher::new(&database),
            admin: PgConnection::connect(&url).await?,
            name,
            url,
            database,
            last_hour: Hour::containing(clock::process_now()).plus(-1),
            recorder,
            committing,
        })
    }

    /// As the recorder would have, hour by hour, with views between 1 and 100 that are the same in every run.
    async fn fill(&mut self, rows: u64) -> anyhow::Result<()> {
        let hours = i32::try_from(rows.div_euclid(u64::from(PAGES)))?;
        sqlx::query(
            "INSERT INTO pages (name, first_seen_at)
             SELECT '/page/' || lpad(page::text, 5, '0'), clock_timestamp() FROM generate_series(0, $1 - 1) AS page",
        )
        .bind(i32::from(PAGES))
        .execute(&mut self.admin)
        .await?;
        let filled = sqlx::query(
            "INSERT INTO page_views (name, date, hour, views, updated_at)
             SELECT '/page/' || lpad(page::text, 5, '0'), at::date, extract(hour FROM at)::smallint,
                    1 + (hashint8(page) # hashint8(extract(epoch FROM at)::bigint) & 2147483647) % 100,
                    at AT TIME ZONE 'UTC'
             FROM generate_series($1 - ($2 - 1) * interval '1 hour', $1, interval '1 hour') AS hours (at),
                  generate_series(0, $3 - 1) AS pages (page)
             ORDER BY at, page",
        )
        .bind(self.last_hour.start().naive_utc())
        .bind(hours)
        .bind(i32::from(PAGES))
        .execute(&mut self.admin)
        .await?;
        ensure!(filled.rows_affected() == rows, "{} rows instead of {rows}", filled.rows_affected());
        Ok(())
    }

    /// Lets the database tidy up, so that what is measured next does not pay for what came before.
    pub(crate) async fn settle(&mut self, progress: &Progress) -> anyhow::Result<()> {
        progress.step("vacuums");
        self.admin.execute("VACUUM (ANALYZE) pages, page_views, page_views_report").await?;
        self.admin.execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Turns the report into a table.
    pub(crate) async fn convert_to_table(&self) -> anyhow::Result<()> {
        self.refresher.ensure_kind(ReportKind::Table).await.context("can't make the report a table")?;
        Ok(())
    }

    /// Whether the report is a table; else it is a materialized view.
    pub(crate) async fn is_table(&mut self) -> anyhow::Result<bool> {
        const SQL: &str = "SELECT relkind = 'r' FROM pg_class WHERE oid = 'page_views_report'::regclass";
        Ok(sqlx::query_scalar(SQL).fetch_one(&mut self.admin).await?)
    }

    /// Records one view more of every page in the last hour, in one transaction.
    pub(crate) async fn change(&self) -> anyhow::Result<()> {
        self.change_some(PAGES).await?;
        Ok(())
    }

    /// Records one view more of each of the first `pages` pages in the last hour, in one transaction. Returns when they were
    /// recorded.
    pub(crate) async fn change_some(&self, pages: u16) -> anyhow::Result<DateTime<Utc>> {
        let increments: anyhow::Result<Vec<_>> = (0..pages).map(|page| increment(page, self.last_hour)).collect();
        let recorded =
            self.recorder.record(Request::new(increments?, None)).await.context("can't record the change")?;
        Ok(recorded.recorded_at)
    }

    /// Records one view of one page in the last hour.
    pub(crate) async fn change_one(&self) -> anyhow::Result<()> {
        self.change_some(1).await?;
        Ok(())
    }

    /// A recorder like that of a service which records on one connection.
    pub(crate) fn one_writer(&self) -> anyhow::Result<(Recorder, Committer)> {
        let settings = service_settings("postgres://127.0.0.1", &["--committers", "1"])?;
        Ok(Recorder::new(&self.database, &settings.recorder))
    }

    /// The Wolf's connections, to have them say what they have counted.
    pub(crate) fn wolf(&self) -> &Connections {
        &self.database.background
    }

    /// Fails unless the report has what its definition says of the hour that changes, its day and its month.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        let buckets =
            [("hour", self.last_hour), ("day", self.last_hour.day_start()), ("month", self.last_hour.month_start())];
        for (grain, bucket) in buckets {
            let differing: i64 = sqlx::query_scalar(
                "SELECT count(*)
                 FROM (SELECT * FROM page_views_live WHERE grain = $1 AND date = $2 AND hour = $3) AS live
                 FULL JOIN (SELECT * FROM page_views_report WHERE grain = $1 AND date = $2 AND hour = $3) AS report
                     USING (name)
                 WHERE live.views IS DISTINCT FROM report.views OR live.title IS DISTINCT FROM report.title",
            )
            .bind(grain)
            .bind(bucket.date())
            .bind(bucket.of_day())
            .fetch_one(&mut self.admin)
            .await?;
            ensure!(differing == 0, "{differing} rows of the report's changed {grain} are not as its definition says");
        }
        Ok(())
    }

    /// Closes every connection and drops the database.
    pub(crate) async fn drop(mut self, server: &Server) -> anyhow::Result<()> {
        drop(self.recorder);
        while let Some(ended) = self.committing.join_next().await {
            ended?;
        }
        self.admin.close().await?;
        self.database.close().await?;
        server.drop_database(&self.name).await
    }
}

/// A migrated database and a recorder.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) database: Database,
    pub(crate) recorder: Recorder,
    committing: JoinSet<()>,
}

impl Recording {
    /// Migrates the database at `url` and records in it, as the service does when nobody sets anything.
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        let settings = service_settings(url, &[])?;
        let database = Database::connect(&settings.database).await?;
        database.migrate(migration::up).await.context("can't migrate the database")?;
        let (recorder, committer) = Recorder::new(&database, &settings.recorder);
        let mut committing = JoinSet::new();
        committing.spawn(committer.run(Default::default()));
        Ok(Self { database, recorder, committing })
    }

    /// Distributes the tables of a Citus cluster.
    pub(crate) async fn distribute(&self) -> anyhow::Result<()> {
        wolf::distribute(&self.database).await.context("can't distribute the tables")
    }

    /// Closes every connection.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        drop(self.recorder);
        while let Some(ended) = self.committing.join_next().await {
            ended?;
        }
        Ok(self.database.close().await?)
    }
}

/// One view of a page.
pub(crate) fn increment(page: u16, hour: Hour) -> anyhow::Result<Increment> {
    Ok(Increment {
        page: PageName::new(format!("/page/{page:05}"))?,
        views: Views::new(1)?,
        hour,
        at: None,
        title: None,
    })
}

pub(crate) fn service_settings(url: &str, arguments: &[&str]) -> anyhow::Result<ServiceSettings> {
    let arguments = ["analytics", "--database-url", url].into_iter().chain(arguments.iter().copied());
    Ok(ServiceSettings::try_parse_from(arguments)?)
}
