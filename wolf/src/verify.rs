//! Compares the report with its definition, row by row.

use std::{fmt, time::Duration};

use chrono::NaiveDate;
use entity::page_views_report::PAGE_DATE;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};
use storage::{Database, Transaction, snapshot::Snapshots};
use tokio::time::timeout;

use crate::{
    citus,
    error::{Context, WolfError},
    groups::{BUILDING, build::pages_in_other_groups},
    refresh::marked_hours,
};

/// The most differences that are listed; all are counted.
const DIFFERENCES_MAX: u32 = 100;
/// How often the report of a Citus cluster is compared while increments are recorded.
const CLUSTER_TRIES_MAX: u32 = 10;
/// How long a transaction that holds the report is waited for: a swap holds it for moments only.
const SNAPSHOT_WAIT_MAX: Duration = Duration::from_secs(10);

/// A row that differs from its definition.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Difference {
    /// `hour`, `day` or `month`, of groups `group_hour`, `group_day` or `group_month`; `page`, `member` or `group`.
    pub grain: String,
    /// The page's name, empty for the whole site; or the group's.
    pub name: String,
    /// The bucket's first day.
    pub date: NaiveDate,
    /// The bucket's hour of the day.
    pub hour: i16,
    /// The sum of the counts; `None` if there should be no such row.
    pub expected_views: Option<i64>,
    /// The report's views; `None` if it has no such row.
    pub reported_views: Option<i64>,
    /// The page's title, on month rows.
    pub expected_title: Option<String>,
    /// The report's title.
    pub reported_title: Option<String>,
    /// How many differ of those that were read with it.
    differences: i64,
}

/// A summary that differs from the rows that it tells of: a flag, a number of pages, or the last day of a page.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct WrongSummary {
    /// `day`, `month` or `page`.
    pub grain: String,
    /// The page's name, empty for the whole site.
    pub name: String,
    /// The bucket's first day.
    pub date: NaiveDate,
    /// What is wrong.
    pub summary: String,
    differences: i64,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// The number of sums, titles and summaries that differ.
    pub count: i64,
    /// The sum of all counts.
    pub views: i64,
    /// The first 100 sums and titles that differ, by grain and time.
    pub differences: Vec<Difference>,
    /// The first 100 summaries that differ, by grain and time.
    pub summaries: Vec<WrongSummary>,
}

/// Compares the report of `database` with its definition while recording and refreshes go on: in one snapshot, or, on a Citus
/// cluster, again until nothing has changed meanwhile or nothing differs.
/// Hours that changed since the last refresh are taken as reported; the sums over them are compared.
///
/// # Errors
/// [`WolfError::Database`] and [`WolfError::ReportLocked`]; on a Citus cluster [`WolfError::NotAtRest`].
pub async fn verify(database: &Database) -> Result<Verification, WolfError> {
    for _ in 0..CLUSTER_TRIES_MAX {
        let transaction = begin(database).await?;
        let before = marks(&transaction).await?;
        let verification = compare(database.kind.backend(), &transaction).await?;
        // The nodes of a cluster are read at different moments: what was recorded or refreshed meanwhile is no difference.
        let is_certain = verification.count == 0
            || !transaction.is_distributed()
            || (transaction.is_consistent().await.context("end the verification")?
                && marks(&transaction).await? == before);
        transaction.rollback().await.context("end the verification")?;
        if is_certain {
            return Ok(verification);
        }
    }
    Err(WolfError::NotAtRest { tries: CLUSTER_TRIES_MAX })
}

/// Begins a snapshot of the report.
async fn begin(database: &Database) -> Result<Transaction, WolfError> {
    let snapshots = Snapshots::new(&database.background, &database.clock, entity::page_views_report::RELATION);
    let begun = timeout(SNAPSHOT_WAIT_MAX, snapshots.begin()).await;
    let locked = |_elapsed| WolfError::ReportLocked { waited_s: SNAPSHOT_WAIT_MAX.as_secs() };
    begun.map_err(locked)?.context("begin the verification")
}

/// Returns the number of marks on a Citus cluster.
async fn marks(transaction: &Transaction) -> Result<i64, WolfError> {
    if !transaction.is_distributed() {
        return Ok(0);
    }
    let sql = "SELECT count(*) FROM stale_pages";
    let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let marks = row.and_then(|row| row.map_or(Ok(0), |row| row.try_get_by_index(0)));
    marks.context("count the stale marks")
}

async fn compare(backend: DbBackend, transaction: &Transaction) -> Result<Verification, WolfError> {
    let (mut count, differences) =
        differences(backend, transaction).await.context("compare the report with its definition")?;
    let sql = include_str!("verify/summaries.sql").replace("{limit}", &DIFFERENCES_MAX.to_string());
    let summaries = WrongSummary::find_by_statement(Statement::from_string(backend, sql)).all(transaction).await;
    let mut summaries = summaries.context("compare the report's summaries with its rows")?;
    count += summaries.first().map_or(0, |first| first.differences);
    for name in pages_in_other_groups(transaction).await.context("compare the groups of pages with their patterns")? {
        count += 1;
        if summaries.len() < usize::try_from(DIFFERENCES_MAX).unwrap_or(usize::MAX) {
            let (grain, summary) = ("page".to_owned(), "is in other groups than their patterns say".to_owned());
            summaries.push(WrongSummary { grain, name, date: PAGE_DATE, summary, differences: 0 });
        }
    }
    const VIEWS: &str = "SELECT CAST(coalesce(sum(views), 0) AS bigint) FROM counted_hours";
    let row = transaction.query_one_raw(Statement::from_string(backend, VIEWS)).await;
    let views = row.and_then(|row| row.map_or(Ok(0), |row| row.try_get_by_index(0)));
    let views = views.context("sum the counts")?;
    Ok(Verification { count, views, differences, summaries })
}

/// Returns how many sums and titles differ, and the first ones by grain and time.
async fn differences(backend: DbBackend, transaction: &Transaction) -> Result<(i64, Vec<Difference>), DbErr> {
    let queries = if transaction.is_distributed() {
        citus::differences(marked_hours(backend), DIFFERENCES_MAX)
    } else {
        vec![query_of_differences(backend)]
    };
    let (mut count, mut differences) = (0, Vec::new());
    for sql in queries {
        let found = Difference::find_by_statement(Statement::from_string(backend, sql)).all(transaction).await?;
        count += found.first().map_or(0, |first| first.differences);
        differences.extend(found);
    }
    differences.sort_by(|one, other| one.place().cmp(&other.place()));
    differences.truncate(usize::try_from(DIFFERENCES_MAX).unwrap_or(usize::MAX));
    Ok((count, differences))
}

fn query_of_differences(backend: DbBackend) -> String {
    let (month, page_date, retitled, member_of) = match backend {
        DbBackend::Postgres => (
            "date_trunc('month', date::timestamp)::date",
            "'1970-01-01'::date",
            "SELECT name FROM stale_titles UNION ALL SELECT name FROM stale_pages WHERE date IS NULL",
            "LATERAL jsonb_array_elements_text(page_memberships.member_of::jsonb) AS member_of (value)",
        ),
        _ => (
            "date(date, 'start of month')",
            "'1970-01-01'",
            "SELECT name FROM stale_titles",
            "json_each(page_memberships.member_of) AS member_of",
        ),
    };
    include_str!("verify/differences.sql")
        .replace("{marked}", marked_hours(backend))
        .replace("{retitled}", retitled)
        .replace("{member_of}", member_of)
        .replace("{building}", BUILDING)
        .replace("{month}", month)
        .replace("{page_date}", page_date)
        .replace("{limit}", &DIFFERENCES_MAX.to_string())
}

impl Difference {
    /// Returns what differences are ordered by.
    fn place(&self) -> impl Ord {
        (&self.grain, self.date, self.hour, &self.name)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grain, name, date, hour, .. } = self;
        let views = |views: Option<i64>| views.map_or_else(|| "no row".to_owned(), |views| format!("{views} views"));
        let name = if name.is_empty() { "the whole site" } else { name };
        write!(f, "{grain} {date} {hour:02}:00 of {name}: ")?;
        if self.expected_views != self.reported_views {
            return write!(f, "{} expected, {} reported", views(self.expected_views), views(self.reported_views));
        }
        write!(f, "title {:?} expected, {:?} reported", self.expected_title, self.reported_title)
    }
}

impl fmt::Display for WrongSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grain, name, date, summary, .. } = self;
        let name = if name.is_empty() { "the whole site" } else { name };
        match grain.as_str() {
            "page" => write!(f, "page {name}: {summary}"),
            _ => write!(f, "{grain} {date} of {name}: {summary}"),
        }
    }
}
