//! The counts of one version of the report, one portion after the other.

use std::{collections::HashMap, pin::pin, time::Duration};

use chrono::{DateTime, Days, NaiveDate, Utc};
use counts::{Count, CountedTime};
use entity::{Hour, page_views_report::hour_column};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use storage::snapshot::Snapshots;
use tokio::time::{Instant, interval_at};

use crate::{
    error::ReportError,
    freshness::Freshness,
    groups,
    page_filter::PageFilter,
    queries::{span, titles, views_by_hour},
    snapshot::Snapshot,
    sql::Sql,
};

/// The most rows of the report in a portion. A row has the counts of a page in a day.
const ROWS_MAX: usize = 1_000;
/// The most days that a statement looks at, so that it ends within its time limit where the filter admits few pages.
const DAYS_MAX: u64 = 31;
/// The time between two statements while the receiver of a portion is waited for. PostgreSQL ends a transaction that has
/// none for 10 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// The counts of one version of the report, by day and page. It holds a connection and a snapshot until it is dropped.
#[derive(Debug)]
pub struct Export {
    snapshot: Snapshot,
    pages: PageFilter,
    start: Option<Hour>,
    end: Option<Hour>,
    first_day: NaiveDate,
    /// The day that the next statement begins with.
    day: NaiveDate,
    /// The day behind the last one.
    end_day: NaiveDate,
    /// The last row that was read, if there are more of the same days.
    after: Option<(NaiveDate, String)>,
}

impl Export {
    /// Begins the export of the counts of `pages` from the hour of `start` on, and before the hour of `end`. A day whose
    /// hours are not known belongs to the hour that it begins with.
    pub(crate) async fn begin(
        snapshots: &Snapshots,
        pages: PageFilter,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> Result<Self, ReportError> {
        let [start, end] = [start, end].map(|bound| bound.map(Hour::containing));
        let snapshot = Snapshot::begin(snapshots).await?;
        groups::check(&snapshot.transaction, pages.groups()).await?;
        let span = span(&snapshot.transaction).await?;
        let nothing = Hour::containing(DateTime::UNIX_EPOCH);
        let (first, behind) = span.map_or((nothing, nothing), |span| (span.first.day_start(), span.end));
        let first = start.map_or(first, |start| start.max(first));
        let behind = end.map_or(behind, |end| end.min(behind));
        let day = first.date();
        let end_day = if first < behind { behind.plus(-1).day_start().plus(24).date() } else { day };
        Ok(Self { snapshot, pages, start, end, first_day: day, day, end_day, after: None })
    }

    /// Returns the freshness of the version.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.snapshot.freshness
    }

    /// Returns the number of days that were exported, and of all days.
    #[must_use]
    pub fn days(&self) -> (u64, u64) {
        let days = |until: NaiveDate| (until - self.first_day).num_days().unsigned_abs();
        (days(self.day), days(self.end_day))
    }

    /// Returns the next counts; none at the end.
    ///
    /// # Errors
    /// [`ReportError::Database`]. [`ReportError::VersionChanged`] on a Citus cluster, if a refresh has changed the report
    /// meanwhile.
    pub async fn next_portion(&mut self) -> Result<Option<Vec<Count>>, ReportError> {
        while self.day < self.end_day {
            let window_end = self.day.checked_add_days(Days::new(DAYS_MAX)).unwrap_or(self.end_day).min(self.end_day);
            let rows = self.read(window_end).await?;
            let mut counts = Vec::new();
            for row in &rows {
                self.add_counts(row, &mut counts)?;
            }
            if !counts.is_empty() {
                self.add_titles(&mut counts).await?;
            }
            if !self.snapshot.transaction.is_consistent().await? {
                return Err(ReportError::VersionChanged);
            }
            match rows.last().filter(|_| rows.len() == ROWS_MAX) {
                Some(last) => {
                    self.day = last.try_get_by_index(0)?;
                    self.after = Some((self.day, last.try_get_by_index(25)?));
                }
                None => (self.day, self.after) = (window_end, None),
            }
            if !counts.is_empty() {
                return Ok(Some(counts));
            }
        }
        Ok(None)
    }

    /// Waits for `taking`, which takes a portion, and keeps the snapshot alive meanwhile.
    ///
    /// # Errors
    /// [`ReportError::Database`] when the snapshot is lost.
    pub async fn while_taken<T>(&self, taking: impl Future<Output = T>) -> Result<T, ReportError> {
        let mut taking = pin!(taking);
        let mut ticks = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        loop {
            tokio::select! {
                biased;
                taken = &mut taking => return Ok(taken),
                _ = ticks.tick() => {
                    self.snapshot.transaction.execute_unprepared("SELECT 1").await?;
                }
            }
        }
    }

    /// Reads the next rows before the day `end`: `date`, the views of its 24 hours, `name` and `views`.
    async fn read(&self, end: NaiveDate) -> Result<Vec<QueryResult>, DbErr> {
        let db = &self.snapshot.transaction;
        let mut sql = Sql::new(db);
        let hours: Vec<_> = (0..24).map(|hour| format!("row.{}", hour_column(hour))).collect();
        let begin = match &self.after {
            Some((day, name)) => format!("(row.date, row.name) > ({}, {})", sql.bind(*day), sql.bind(name.as_str())),
            None => format!("row.date >= {}", sql.bind(self.day)),
        };
        let end = sql.bind(end);
        let condition = self.pages.condition(&mut sql, "row").unwrap_or_else(|| "TRUE".to_owned());
        let text = include_str!("export/rows.sql")
            .replace("{hours}", &hours.join(", "))
            .replace("{begin}", &begin)
            .replace("{end}", &end)
            .replace("{condition}", &condition)
            .replace("{rows_max}", &ROWS_MAX.to_string());
        db.query_all_raw(sql.statement(&text)).await
    }

    /// Adds the counts of a row within the range: of the hours that are known, and of the rest of the day.
    fn add_counts(&self, row: &QueryResult, counts: &mut Vec<Count>) -> Result<(), DbErr> {
        let is_asked =
            |hour: Hour| self.start.is_none_or(|start| hour >= start) && self.end.is_none_or(|end| hour < end);
        let (page, views): (String, i64) = (row.try_get_by_index(25)?, row.try_get_by_index(26)?);
        let day: NaiveDate = row.try_get_by_index(0)?;
        let hours = views_by_hour(row, 0)?;
        let rest = views - hours.iter().map(|(_, views)| views).sum::<i64>();
        let count = |time, views| Count { page: page.clone(), title: None, time, views };
        let hours = hours.into_iter().filter(|(hour, views)| is_asked(*hour) && *views > 0);
        counts.extend(hours.map(|(hour, views)| count(CountedTime::Hour(hour), views)));
        if rest > 0 && is_asked(Hour::new(day, 0)) {
            counts.push(count(CountedTime::Day(day), rest));
        }
        Ok(())
    }

    async fn add_titles(&self, counts: &mut [Count]) -> Result<(), DbErr> {
        let mut names: Vec<_> = counts.iter().map(|count| count.page.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let titles: HashMap<_, _> = titles(&self.snapshot.transaction, names.iter().map(String::as_str)).await?;
        for count in counts {
            count.title = titles.get(&count.page).cloned();
        }
        Ok(())
    }
}
