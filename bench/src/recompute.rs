//! The same change in aggregates that compute whole buckets anew, as `TimescaleDB`'s continuous aggregates do: its hour
//! from the counts, and its day from the hours, without months and without the site.
//!
//! Plain tables and statements, so what `TimescaleDB` does besides (what became invalid, which chunks) is not in it. The
//! source of what it does: `DELETE` and `INSERT ... SELECT` of the range of buckets in
//! `tsl/src/continuous_aggs/materialize.c`; and an index by bucket and one by name and bucket on each aggregate.

use std::time::{Duration, Instant};

use anyhow::ensure;
use entity::Hour;
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    dataset::Dataset,
    figures::{self, median},
};

const CREATE: &str = "
    CREATE TABLE hours_anew AS SELECT date + hour * interval '1 hour' AS bucket, name, views FROM page_views;
    CREATE TABLE days_anew AS
        SELECT date_trunc('day', bucket) AS bucket, name, sum(views)::bigint AS views FROM hours_anew GROUP BY 1, 2;
    CREATE INDEX ON hours_anew (bucket DESC);
    CREATE INDEX ON hours_anew (name, bucket DESC);
    CREATE INDEX ON days_anew (bucket DESC);
    CREATE INDEX ON days_anew (name, bucket DESC);";

const DELETE_HOUR: &str = "DELETE FROM hours_anew WHERE bucket >= $1 AND bucket < $1 + interval '1 hour'";
const INSERT_HOUR: &str = "
    INSERT INTO hours_anew
    SELECT date + hour * interval '1 hour' AS bucket, name, sum(views)::bigint FROM page_views
    WHERE date = $1::date AND hour = extract(hour FROM $1)::smallint GROUP BY 1, 2";
const DELETE_DAY: &str = "DELETE FROM days_anew WHERE bucket >= $1 AND bucket < $1 + interval '1 day'";
const INSERT_DAY: &str = "
    INSERT INTO days_anew
    SELECT date_trunc('day', bucket) AS bucket, name, sum(views)::bigint FROM hours_anew
    WHERE bucket >= $1 AND bucket < $1 + interval '1 day' GROUP BY 1, 2";
/// How many pages' days are not what the counts sum to.
const DIFFERING: &str = "
    SELECT count(*)
    FROM (SELECT name, sum(views)::bigint AS views FROM page_views WHERE date = $1::date GROUP BY name) AS counted
    FULL JOIN (SELECT name, views FROM days_anew WHERE bucket = $1) AS day USING (name)
    WHERE day.views IS DISTINCT FROM counted.views";

/// How long each run took.
#[derive(Debug)]
pub(crate) struct Recomputed(Vec<Duration>);

impl Recomputed {
    /// Makes the two aggregates.
    pub(crate) async fn prepare(dataset: &mut Dataset) -> anyhow::Result<Self> {
        dataset.admin.execute(CREATE).await?;
        dataset.admin.execute("VACUUM (ANALYZE) hours_anew, days_anew").await?;
        Ok(Self(Vec::new()))
    }

    /// Changes every page's row of the last hour and computes its hour and day anew; then compares the day.
    pub(crate) async fn take_one(&mut self, dataset: &mut Dataset) -> anyhow::Result<()> {
        dataset.change().await?;
        let begun = Instant::now();
        recompute(&mut dataset.admin, dataset.last_hour).await?;
        self.0.push(begun.elapsed());
        let day = dataset.last_hour.day_start().start().naive_utc();
        let differing: i64 = sqlx::query_scalar(DIFFERING).bind(day).fetch_one(&mut dataset.admin).await?;
        ensure!(differing == 0, "{differing} days that were computed anew are wrong");
        Ok(())
    }

    /// The median.
    pub(crate) fn duration(&self) -> Duration {
        median(self.0.iter().copied()).unwrap_or_default()
    }

    /// The milliseconds, as text.
    pub(crate) fn ms(&self) -> String {
        let [least, most] = [self.0.iter().min(), self.0.iter().max()].map(|bound| bound.copied().unwrap_or_default());
        let (median, least, most) = (figures::ms(self.duration()), figures::ms(least), figures::ms(most));
        format!("{median} ms ({least} to {most}, {} runs)", self.0.len())
    }
}

/// One aggregate after the other, each in a transaction.
async fn recompute(connection: &mut PgConnection, hour: Hour) -> anyhow::Result<()> {
    let (hour, day) = (hour.start().naive_utc(), hour.day_start().start().naive_utc());
    for (delete, insert, bucket) in [(DELETE_HOUR, INSERT_HOUR, hour), (DELETE_DAY, INSERT_DAY, day)] {
        let mut transaction = connection.begin().await?;
        sqlx::query(delete).bind(bucket).execute(&mut *transaction).await?;
        sqlx::query(insert).bind(bucket).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
