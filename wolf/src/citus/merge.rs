//! The merge on a Citus cluster: each node adds the changes of its pages to their rows of the report. Only what concerns the
//! whole site comes to the coordinator: sums by hour, and numbers of pages.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use entity::{Grain, Hour};
use sea_orm::{ConnectionTrait, DbErr, Value};
use storage::Transaction;

use super::{execute, groups, marks, query, use_few_connections};
use crate::{
    merge::{StaleHour, hour_columns},
    site_rows::{self, Bucket, SiteRow},
    top_pages::TopPages,
};

/// Each node looks the rows up by their keys, whatever it takes the numbers of rows to be: no statistics tell how many marks there
/// are, and by a hash join it reads all counts that it has. The settings reach the nodes by the first one.
const BY_LOOK_UP: [&str; 3] = [
    "SET LOCAL citus.propagate_set_commands = 'local'",
    "SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_mergejoin = off",
];
/// Resets the settings, on the nodes too, for later statements of the transaction.
const RESET: [&str; 3] = [
    "SET LOCAL enable_hashjoin = DEFAULT",
    "SET LOCAL enable_mergejoin = DEFAULT",
    "SET LOCAL citus.propagate_set_commands = DEFAULT",
];

/// Adds the changes of the counts of `hours` whose marks are there now to the report, and brings titles up to date if
/// `has_titles`: if any have marks. `old` have marks of another kind, which the caller deletes. Returns the number of changed
/// rows.
pub(crate) async fn merge(
    transaction: &Transaction,
    hours: &[Hour],
    old: &[StaleHour],
    has_titles: bool,
    top_pages: TopPages,
) -> Result<u64, DbErr> {
    use_few_connections(transaction).await?;
    for setting in BY_LOOK_UP {
        transaction.execute_unprepared(setting).await?;
    }
    if !old.is_empty() {
        marks::mark_old_hours(transaction, old).await?;
    }
    let mut rows = 0;
    if !hours.is_empty() {
        marks::take(transaction, hours).await?;
        rows += add_hours(transaction, top_pages).await?;
    }
    if has_titles {
        marks::take_titles(transaction).await?;
        rows += execute(transaction, include_str!("retitle.sql"), []).await?;
    }
    marks::delete_taken(transaction).await?;
    for setting in RESET {
        transaction.execute_unprepared(setting).await?;
    }
    Ok(rows)
}

/// Adds the changes of the counts whose marks are taken to the report. Returns the number of changed rows.
async fn add_hours(transaction: &Transaction, top_pages: TopPages) -> Result<u64, DbErr> {
    if execute(transaction, include_str!("find_deltas.sql"), []).await? == 0 {
        return Ok(0);
    }
    let site = SiteDeltas::read(transaction).await?;
    let mut site_rows = site_rows::read(transaction, site.buckets()).await?;
    for bucket in site.buckets() {
        let site_row = site_rows.entry(bucket).or_insert_with(SiteRow::of_new_bucket);
        raise_top_views(transaction, bucket, site_row, &site, top_pages).await?;
        if let Some(pages) = &mut site_row.pages {
            *pages += site.new_pages.get(&bucket).copied().unwrap_or_default();
        }
    }
    let mut rows = add_to_pages(transaction, &site, &site_rows).await?;
    for (bucket, site_row) in &site_rows {
        rows += insert_pages(transaction, *bucket, *site_row, &site).await?;
        rows += add_to_site(transaction, *bucket, *site_row, &site).await?;
    }
    let site_rows = limit_flags(transaction, site_rows, top_pages).await?;
    site_rows::write(transaction, &site_rows).await?;
    if site.has_new_pages() {
        rows += view_pages(transaction).await?;
    }
    rows += groups::add(transaction).await?;
    execute(transaction, "DELETE FROM merge_deltas", []).await?;
    Ok(rows)
}

/// What the changes come to for the whole site.
struct SiteDeltas {
    hours: BTreeMap<Hour, HourSum>,
    /// The numbers of pages that are new in a day or a month.
    new_pages: BTreeMap<Bucket, i64>,
}

/// What an hour changes by.
#[derive(Copy, Clone)]
struct HourSum {
    views: i64,
    /// The number of its counts that change, and how many of them are of pages that are new in its day and in its month.
    counts: i64,
    new_in_day: i64,
    new_in_month: i64,
    /// The most that a page grows by.
    most_views: i64,
}

impl HourSum {
    /// The number of its counts of pages that are new in its day or in its month.
    fn new_in(&self, grain: Grain) -> i64 {
        if grain == Grain::Day { self.new_in_day } else { self.new_in_month }
    }
}

impl SiteDeltas {
    async fn read(transaction: &Transaction) -> Result<Self, DbErr> {
        let mut hours = BTreeMap::new();
        for row in query(transaction, include_str!("site_deltas.sql"), []).await? {
            let number = |index| row.try_get_by_index::<i64>(index);
            let sum = HourSum {
                views: number(2)?,
                counts: number(3)?,
                new_in_day: number(4)?,
                new_in_month: number(5)?,
                most_views: number(6)?,
            };
            hours.insert(Hour::new(row.try_get_by_index(0)?, row.try_get_by_index(1)?), sum);
        }
        let mut new_pages = BTreeMap::new();
        for (grain, sql) in
            [(Grain::Day, include_str!("new_in_days.sql")), (Grain::Month, include_str!("new_in_months.sql"))]
        {
            if hours.values().all(|sum: &HourSum| sum.new_in(grain) == 0) {
                continue;
            }
            // A page is one new page, however many of its hours there are.
            for row in query(transaction, sql, []).await? {
                new_pages.insert((grain, row.try_get_by_index(0)?), row.try_get_by_index(1)?);
            }
        }
        Ok(Self { hours, new_pages })
    }

    /// The days and months that change.
    fn buckets(&self) -> BTreeSet<Bucket> {
        let of_hour = |hour: &Hour| [(Grain::Day, hour.date()), (Grain::Month, hour.month_start().date())];
        self.hours.keys().flat_map(of_hour).collect()
    }

    /// Whether a page was viewed on a day for the first time.
    fn has_new_pages(&self) -> bool {
        self.hours.values().any(|sum| sum.new_in(Grain::Day) > 0)
    }

    /// The changes of the hours of a bucket.
    fn hours_of(&self, (grain, date): Bucket) -> impl Iterator<Item = (Hour, HourSum)> {
        let is_in = move |hour: &Hour| match grain {
            Grain::Day => hour.date() == date,
            _ => hour.month_start().date() == date,
        };
        self.hours.iter().map(|(hour, sum)| (*hour, *sum)).filter(move |(hour, _)| is_in(hour))
    }
}

/// Raises from how many views on the rows of a bucket are flagged, if many pages grow by more than that.
async fn raise_top_views(
    transaction: &Transaction,
    bucket: Bucket,
    site_row: &mut SiteRow,
    site: &SiteDeltas,
    top_pages: TopPages,
) -> Result<(), DbErr> {
    let (grain, date) = bucket;
    let counts: i64 = site.hours_of(bucket).map(|(_, sum)| sum.counts).sum();
    let most_possible: i64 = site.hours_of(bucket).map(|(_, sum)| sum.most_views.max(0)).sum();
    let flags_max = i64::try_from(top_pages.rows_max()).unwrap_or(i64::MAX);
    // Fewer pages cannot raise it, and none that grow by less.
    let Some(top_views) = site_row.top_views.filter(|least| counts > flags_max && most_possible >= *least) else {
        return Ok(());
    };
    let end = match grain {
        Grain::Day => date.succ_opt().unwrap_or(NaiveDate::MAX),
        _ => Hour::new(date, 0).next_month_start().date(),
    };
    let values = [date.into(), end.into(), (flags_max + 1).into(), top_views.into()];
    let most = query(transaction, include_str!("most_added.sql"), values).await?;
    let most = most.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<i64>, _>>()?;
    top_pages.raise(&mut site_row.top_views, || most.iter().copied());
    Ok(())
}

/// Adds the changes to the rows that pages have of their days and months, on their nodes.
async fn add_to_pages(
    transaction: &Transaction,
    site: &SiteDeltas,
    site_rows: &BTreeMap<Bucket, SiteRow>,
) -> Result<u64, DbErr> {
    // A page that is new in a month is new in its days.
    if site.hours.values().all(|sum| sum.new_in(Grain::Month) == sum.counts) {
        return Ok(0);
    }
    let mut values: Vec<Value> = Vec::new();
    let mut top_views = String::from("CASE");
    for ((grain, date), site_row) in site_rows {
        if let Some(least) = site_row.top_views {
            values.extend([Value::from(grain.as_str()), (*date).into(), least.into()]);
            let last = values.len();
            top_views += &format!(
                " WHEN report.grain = ${}::text AND report.date = ${}::date THEN ${last}::bigint",
                last - 2,
                last - 1
            );
        }
    }
    let top_views = if values.is_empty() { "NULL::bigint".to_owned() } else { top_views + " END" };
    let hours: BTreeSet<i16> = site.hours.keys().map(|hour| hour.of_day()).collect();
    let hours = Vec::from_iter(hours);
    let sql = include_str!("add_to_pages.sql")
        .replace("{top_views}", &top_views)
        .replace("{no_hours}", &", NULL::bigint".repeat(hours.len()));
    execute(transaction, &hour_columns::fill_in(&sql, &hours, "delta", |index| sum_of_hour(hours[index])), values).await
}

/// Inserts the rows of the pages that are new in a bucket, on their nodes.
async fn insert_pages(
    transaction: &Transaction,
    bucket: Bucket,
    site_row: SiteRow,
    site: &SiteDeltas,
) -> Result<u64, DbErr> {
    let (grain, date) = bucket;
    if site.hours_of(bucket).all(|(_, sum)| sum.new_in(grain) == 0) {
        return Ok(0);
    }
    let hours: Vec<_> = site.hours_of(bucket).map(|(hour, _)| hour.of_day()).collect();
    let sql = match grain {
        Grain::Day => hour_columns::fill_in(include_str!("insert_into_day.sql"), &hours, "delta", |index| {
            sum_of_hour(hours[index])
        }),
        _ => include_str!("insert_into_month.sql").to_owned(),
    };
    execute(transaction, &sql, [date.into(), site_row.top_views.into()]).await
}

fn sum_of_hour(hour: i16) -> String {
    format!("CAST(sum(views) FILTER (WHERE hour = {hour}) AS bigint)")
}

/// Cuts the flags back where there are too many. They are counted first, of all buckets at once.
async fn limit_flags(
    transaction: &Transaction,
    mut site_rows: BTreeMap<Bucket, SiteRow>,
    top_pages: TopPages,
) -> Result<BTreeMap<Bucket, SiteRow>, DbErr> {
    let flagged = site_rows.iter().filter(|(_, site_row)| site_row.top_views.is_some());
    let values: Vec<Value> =
        flagged.flat_map(|((grain, date), _)| [Value::from(grain.as_str()), (*date).into()]).collect();
    if values.is_empty() {
        return Ok(site_rows);
    }
    let bucket = |index: usize| format!("(${}::text, ${}::date)", 2 * index + 1, 2 * index + 2);
    let buckets: Vec<_> = (0..values.len().div_euclid(2)).map(bucket).collect();
    let sql = include_str!("count_flags.sql").replace("{buckets}", &buckets.join(", "));
    let flags_max = i64::try_from(top_pages.rows_max()).unwrap_or(i64::MAX);
    let mut too_many = BTreeMap::new();
    for row in query(transaction, &sql, values).await? {
        let bucket = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        if row.try_get_by_index::<i64>(2)? > flags_max {
            too_many.extend(site_rows.remove_entry(&bucket));
        }
    }
    site_rows.extend(top_pages.limit_flags(transaction, too_many).await?);
    Ok(site_rows)
}

/// Adds to the site's row of a bucket, or inserts it.
async fn add_to_site(
    transaction: &Transaction,
    bucket: Bucket,
    site_row: SiteRow,
    site: &SiteDeltas,
) -> Result<u64, DbErr> {
    let (grain, date) = bucket;
    let views: i64 = site.hours_of(bucket).map(|(_, sum)| sum.views).sum();
    let mut values: Vec<Value> =
        vec![grain.as_str().into(), date.into(), views.into(), site_row.pages.into(), site_row.top_views.into()];
    let mut hours = Vec::new();
    if grain == Grain::Day {
        for (hour, sum) in site.hours_of(bucket) {
            hours.push(hour.of_day());
            values.push(sum.views.into());
        }
    }
    let sql =
        hour_columns::fill_in(include_str!("add_to_site.sql"), &hours, "excluded", |index| format!("${}", 6 + index));
    execute(transaction, &sql, values).await
}

/// Brings the rows of pages up to date, and the numbers of pages by their last days.
async fn view_pages(transaction: &Transaction) -> Result<u64, DbErr> {
    let mut last_pages: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for row in query(transaction, include_str!("last_days.sql"), []).await? {
        let (before, after, pages) =
            (row.try_get_by_index::<Option<NaiveDate>>(0)?, row.try_get_by_index(1)?, row.try_get_by_index::<i64>(2)?);
        *last_pages.entry(after).or_default() += pages;
        if let Some(before) = before {
            *last_pages.entry(before).or_default() -= pages;
        }
    }
    let rows = execute(transaction, include_str!("view_pages.sql"), []).await?;
    if !last_pages.is_empty() {
        site_rows::add_last_pages(transaction, last_pages).await?;
    }
    Ok(rows)
}
