//! The recount: brings the report's rows of some pages' days to what is counted, whether they grow, shrink or go.
//!
//! A merge is driven from the counts, so it does not see what is counted no more. Here the days are given, by the job that
//! has changed their counts in the same transaction. Their months, the site's rows and the pages' rows change by the
//! difference, so the sums add up after each recount. A row without views is deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use entity::{
    Grain, Hour, kept_day,
    page_views_report::{self, Column as Report, RELATION, SITE, SITE_INDEX, hour_column, indexed_by},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryResult, Statement,
    sea_query::{Alias, Expr, ExprTrait, IntoIden, OnConflict, Query},
};
use storage::Transaction;

use crate::{
    bound_list,
    error::{Context, WolfError},
    groups::{Groups, memberships},
    merge::page_rows,
    sent::{self, Bucketed},
    site_rows::{self, Bucket, SiteRow},
    top_pages::TopPages,
};

/// The most rows of one statement: their values stay below the most that SQLite (32,766) and PostgreSQL (65,535) take.
const ROWS_PER_STATEMENT: usize = 500;
const HOURS: usize = 24;
/// What fails when a statement does.
const RECOUNT: &str = "bring the report to what is counted";

/// What a recount did.
#[derive(Debug, Default)]
pub(crate) struct Recounted {
    /// The number of report rows that it wrote or deleted.
    pub(crate) rows_changed: u64,
    /// The pages that have no views any more.
    pub(crate) gone: Vec<String>,
    /// The buckets of which a flagged row has gone, or is not among the most viewed any more.
    pub(crate) lost_flags: BTreeSet<Bucket>,
}

/// The views of a row; those of a month have no hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Views {
    all: i64,
    hours: [i64; HOURS],
}

/// A row of the report, of a page or the site.
#[derive(Clone, Debug, Default)]
struct Row {
    views: Views,
    top: bool,
    pages: Option<i64>,
    top_views: Option<i64>,
}

impl Views {
    fn change(&mut self, by: &Self) {
        self.all += by.all;
        for (hour, by) in self.hours.iter_mut().zip(by.hours) {
            *hour += by;
        }
    }

    fn minus(&self, other: &Self) -> Self {
        let hours = std::array::from_fn(|hour| self.hours[hour] - other.hours[hour]);
        Self { all: self.all - other.all, hours }
    }

    /// Whether these can be the views of a row.
    fn is_possible(&self) -> bool {
        self.all >= 0 && self.hours.iter().all(|views| *views >= 0)
    }
}

impl Row {
    fn of_new_bucket() -> Self {
        let SiteRow { pages, top_views } = SiteRow::of_new_bucket();
        Self { pages, top_views, ..Self::default() }
    }

    /// Reads a row of `reported.sql`.
    fn read(row: &QueryResult) -> Result<(Bucketed, Self), DbErr> {
        let mut hours = [0; HOURS];
        for (index, hour) in hours.iter_mut().enumerate() {
            *hour = row.try_get_by_index::<Option<i64>>(6 + index)?.unwrap_or_default();
        }
        let read = Self {
            views: Views { all: row.try_get_by_index(2)?, hours },
            top: row.try_get_by_index::<Option<bool>>(3)?.unwrap_or_default(),
            pages: row.try_get_by_index(4)?,
            top_views: row.try_get_by_index(5)?,
        };
        Ok(((row.try_get_by_index(0)?, row.try_get_by_index(1)?), read))
    }
}

/// The rows of a grain that are to be written or deleted, by date and name.
#[derive(Debug, Default)]
struct Changes {
    written: Vec<(Bucketed, Row)>,
    deleted: Vec<Bucketed>,
    inserted: Vec<Bucketed>,
}

/// Brings the report's rows of `days` to what is counted. The report is a table.
pub(crate) async fn recount(
    transaction: &Transaction,
    days: &BTreeSet<Bucketed>,
    top_pages: TopPages,
) -> Result<Recounted, WolfError> {
    if days.is_empty() {
        return Ok(Recounted::default());
    }
    let counted = counted(transaction, days).await.context(RECOUNT)?;
    let reported = reported(transaction, Grain::Day, days.iter()).await.context(RECOUNT)?;
    let mut recount = Recount { transaction, recounted: Recounted::default(), grown_flags: BTreeSet::new() };
    let mut by_day: BTreeMap<&Bucketed, Views> = BTreeMap::new();
    let mut by_month: BTreeMap<Bucketed, Views> = BTreeMap::new();
    for day in days {
        let difference = |views: &Views| match reported.get(day) {
            Some(row) => views.minus(&row.views),
            None => views.clone(),
        };
        let difference = difference(counted.get(day).unwrap_or(&Views::default()));
        if difference != Views::default() {
            let month = (Hour::new(day.0, 0).month_start().date(), day.1.clone());
            by_month.entry(month).or_default().all += difference.all;
            by_day.insert(day, difference);
        }
    }
    if by_day.is_empty() {
        return Ok(recount.recounted);
    }
    recount.groups(&by_day).await?;
    let day_changes = recount.grain(Grain::Day, by_day.into_iter().map(|(day, views)| (day.clone(), views)), reported);
    let day_changes = day_changes.await?;
    by_month.retain(|_, views| views.all != 0);
    let months = self::reported(transaction, Grain::Month, by_month.keys()).await.context(RECOUNT)?;
    recount.grain(Grain::Month, by_month.into_iter(), months).await?;
    let Recount { mut recounted, grown_flags, .. } = recount;
    let site_rows = site_rows::read(transaction, grown_flags).await.context(RECOUNT)?;
    let site_rows = top_pages.limit_flags(transaction, site_rows).await.context(RECOUNT)?;
    site_rows::write(transaction, &site_rows).await.context(RECOUNT)?;
    recounted.rows_changed += page_rows(transaction, day_changes, &mut recounted.gone).await.context(RECOUNT)?;
    Ok(recounted)
}

struct Recount<'a> {
    transaction: &'a Transaction,
    recounted: Recounted,
    /// The buckets in which a row was flagged.
    grown_flags: BTreeSet<Bucket>,
}

impl Recount<'_> {
    /// Changes the rows of a grain, the pages' and the site's, by `differences`.
    async fn grain(
        &mut self,
        grain: Grain,
        differences: impl Iterator<Item = (Bucketed, Views)>,
        mut reported: HashMap<Bucketed, Row>,
    ) -> Result<Changes, WolfError> {
        let differences: BTreeMap<_, _> = differences.collect();
        let site: BTreeSet<_> = differences.keys().map(|(date, _)| (*date, SITE.to_owned())).collect();
        let mut site_rows = self::reported(self.transaction, grain, site.iter()).await.context(RECOUNT)?;
        let mut changes = Changes::default();
        let mut impossible = 0;
        for (bucket, difference) in differences {
            let site = (bucket.0, SITE.to_owned());
            let is_new_bucket = !site_rows.contains_key(&site);
            let site_row = site_rows.entry(site).or_insert_with(Row::of_new_bucket);
            site_row.views.change(&difference);
            let before = reported.remove(&bucket);
            let (exists, mut row) = (before.is_some(), before.unwrap_or_default());
            row.views.change(&difference);
            impossible += u64::from(!row.views.is_possible() || (exists && is_new_bucket));
            let was_top = row.top;
            row.top = row.views.all > 0 && site_row.top_views.map_or(was_top, |least| row.views.all >= least);
            match (was_top, row.top) {
                (true, false) => drop(self.recounted.lost_flags.insert((grain, bucket.0))),
                (false, true) => drop(self.grown_flags.insert((grain, bucket.0))),
                _ => {}
            }
            let (was_there, is_there) = (i64::from(exists), i64::from(row.views.all > 0));
            site_row.pages = site_row.pages.map(|pages| pages - was_there + is_there);
            match (exists, row.views.all > 0) {
                (true, false) => changes.deleted.push(bucket),
                (false, false) => {}
                (exists, true) => {
                    if !exists {
                        changes.inserted.push(bucket.clone());
                    }
                    changes.written.push((bucket, row));
                }
            }
        }
        impossible += site_rows.values().filter(|row| !row.views.is_possible()).fold(0, |rows, _| rows + 1);
        if impossible > 0 {
            return Err(WolfError::RowsMissing { rows: impossible });
        }
        let (written, deleted): (Vec<_>, Vec<_>) = site_rows.into_iter().partition(|(_, row)| row.views.all > 0);
        let written = changes.written.iter().chain(&written);
        let rows = write(self.transaction, grain, &written.collect::<Vec<_>>()).await.context(RECOUNT)?;
        let deleted = changes.deleted.iter().chain(deleted.iter().map(|(site, _)| site));
        let deleted = delete(self.transaction, grain, &deleted.cloned().collect::<Vec<_>>()).await.context(RECOUNT)?;
        self.recounted.rows_changed += rows + deleted;
        Ok(changes)
    }
}

impl Recount<'_> {
    /// Changes the rows of the groups of the pages whose days change by `differences`.
    async fn groups(&mut self, differences: &BTreeMap<&Bucketed, Views>) -> Result<(), WolfError> {
        let mut groups = Groups::read(self.transaction).await.context(RECOUNT)?;
        if groups.is_empty() {
            return Ok(());
        }
        let pages = differences.keys().map(|(_, name)| name.as_str()).collect();
        let members = groups.of_pages(self.transaction, pages).await.context(RECOUNT)?;
        let (mut days, mut months) = (BTreeMap::<Bucketed, Views>::new(), BTreeMap::<Bucketed, Views>::new());
        for ((date, name), difference) in differences {
            for group in groups.with_rows(&members, name, *date) {
                days.entry((*date, group.clone())).or_default().change(difference);
            }
            let month = Hour::new(*date, 0).month_start().date();
            for group in groups.with_rows(&members, name, month) {
                months.entry((month, group.clone())).or_default().all += difference.all;
            }
        }
        for (grain, differences) in [(Grain::GroupDay, days), (Grain::GroupMonth, months)] {
            let mut rows = reported(self.transaction, grain, differences.keys()).await.context(RECOUNT)?;
            for (bucket, difference) in differences {
                rows.entry(bucket).or_default().views.change(&difference);
            }
            let impossible = rows.values().filter(|row| !row.views.is_possible()).fold(0, |rows, _| rows + 1);
            if impossible > 0 {
                return Err(WolfError::RowsMissing { rows: impossible });
            }
            let (written, deleted): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, row)| row.views.all > 0);
            let deleted: Vec<_> = deleted.into_iter().map(|(bucket, _)| bucket).collect();
            let written: Vec<_> = written.iter().collect();
            self.recounted.rows_changed += write(self.transaction, grain, &written).await.context(RECOUNT)?;
            self.recounted.rows_changed += delete(self.transaction, grain, &deleted).await.context(RECOUNT)?;
        }
        Ok(())
    }
}

/// Reads what is counted of `days`. Days without views are left out.
async fn counted(transaction: &Transaction, days: &BTreeSet<Bucketed>) -> Result<HashMap<Bucketed, Views>, DbErr> {
    let backend = transaction.get_database_backend();
    let mut counted: HashMap<Bucketed, Views> = HashMap::new();
    let hours = sent::joined(backend, include_str!("counts/of_days.sql"), days.iter());
    for row in transaction.query_all_raw(hours).await? {
        let (hour, views): (i16, i64) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
        let day = counted.entry((row.try_get_by_index(0)?, row.try_get_by_index(1)?)).or_default();
        day.all += views;
        if let Some(of_hour) = usize::try_from(hour).ok().and_then(|hour| day.hours.get_mut(hour)) {
            *of_hour += views;
        }
    }
    let kept = kept_day::Entity::find()
        .filter(
            Expr::tuple([kept_day::Column::Date, kept_day::Column::Name].map(Expr::col))
                .in_subquery(bound_list::days(backend, days.iter())),
        )
        .all(transaction);
    for row in kept.await? {
        counted.entry((row.date, row.name)).or_default().all += row.views;
    }
    counted.retain(|_, views| views.all > 0);
    Ok(counted)
}

/// Reads the report's rows of `buckets` of a grain.
async fn reported<'a>(
    transaction: &Transaction,
    grain: Grain,
    buckets: impl Iterator<Item = &'a Bucketed>,
) -> Result<HashMap<Bucketed, Row>, DbErr> {
    let sql = include_str!("recount/reported.sql").replace("{grain}", &format!("'{}'", grain.as_str()));
    let rows = transaction.query_all_raw(sent::joined(transaction.get_database_backend(), &sql, buckets)).await?;
    rows.iter().map(Row::read).collect()
}

/// Writes rows, whether they are there or not. Returns how many.
async fn write(transaction: &Transaction, grain: Grain, rows: &[&(Bucketed, Row)]) -> Result<u64, DbErr> {
    let hours = || (0..HOURS).map(|hour| Alias::new(hour_column(i16::try_from(hour).unwrap_or_default())).into_iden());
    let fixed = [Report::Views, Report::Top, Report::Pages, Report::TopViews].map(IntoIden::into_iden);
    let key = [Report::Grain, Report::Date, Report::Name].map(IntoIden::into_iden);
    for portion in rows.chunks(ROWS_PER_STATEMENT) {
        let mut insert = Query::insert();
        let columns = key.iter().cloned().chain([Report::LastPages.into_iden()]);
        insert.into_table(Alias::new(RELATION)).columns(columns.chain(fixed.iter().cloned()).chain(hours()));
        for ((date, name), row) in portion {
            let is_site = name == SITE;
            let last_pages = (is_site && grain == Grain::Day).then_some(0_i64);
            let mut values: Vec<Expr> = vec![
                grain.as_str().into(),
                (*date).into(),
                name.as_str().into(),
                last_pages.into(),
                row.views.all.into(),
                row.top.then_some(true).into(),
                row.pages.filter(|_| is_site).into(),
                row.top_views.filter(|_| is_site).into(),
            ];
            values.extend(row.views.hours.iter().map(|views| Expr::from(Some(*views).filter(|views| *views != 0))));
            insert.values(values).map_err(|error| DbErr::Custom(error.to_string()))?;
        }
        insert.on_conflict(
            OnConflict::columns(key.iter().cloned()).update_columns(fixed.iter().cloned().chain(hours())).to_owned(),
        );
        transaction.execute(&insert).await?;
    }
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

/// Deletes rows. Returns how many.
async fn delete(transaction: &Transaction, grain: Grain, rows: &[Bucketed]) -> Result<u64, DbErr> {
    let mut deleted = 0;
    for portion in rows.chunks(ROWS_PER_STATEMENT) {
        let backend = transaction.get_database_backend();
        let delete = page_views_report::Entity::delete_many().filter(Report::Grain.eq(grain)).filter(
            Expr::tuple([Report::Date, Report::Name].map(Expr::col))
                .in_subquery(bound_list::days(backend, portion.iter())),
        );
        deleted += delete.exec(transaction).await?.rows_affected;
    }
    Ok(deleted)
}

/// Brings the rows of pages up to date whose days were inserted or deleted. Adds the names of pages without views to `gone`.
async fn page_rows(transaction: &Transaction, changes: Changes, gone: &mut Vec<String>) -> Result<u64, DbErr> {
    let mut viewed: BTreeMap<String, NaiveDate> = BTreeMap::new();
    for (date, name) in changes.inserted {
        viewed.entry(name).and_modify(|last| *last = Ord::max(date, *last)).or_insert(date);
    }
    let mut rows = page_rows::view(transaction, viewed).await?;
    let mut deleted: BTreeMap<String, BTreeSet<NaiveDate>> = BTreeMap::new();
    for (date, name) in changes.deleted {
        deleted.entry(name).or_default().insert(date);
    }
    if deleted.is_empty() {
        return Ok(rows);
    }
    let before = page_rows::last_dates(transaction, deleted.keys().cloned().collect()).await?;
    let before: BTreeMap<_, _> = before.into_iter().filter_map(|(name, last)| Some((name, last?))).collect();
    let without_last =
        before.into_iter().filter(|(name, last)| deleted[name].contains(last)).collect::<BTreeMap<_, _>>();
    if without_last.is_empty() {
        return Ok(rows);
    }
    let last_dates = last_dates(transaction, without_last.keys().cloned().collect()).await?;
    let mut last_pages: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    let (mut lowered, mut ended) = (Vec::new(), Vec::new());
    for (name, before) in without_last {
        *last_pages.entry(before).or_default() -= 1;
        match last_dates.get(&name) {
            Some(last) => {
                *last_pages.entry(*last).or_default() += 1;
                lowered.push((name, *last));
            }
            None => ended.push((page_views_report::PAGE_DATE, name)),
        }
    }
    rows += page_rows::write(transaction, lowered).await?;
    rows += delete(transaction, Grain::Page, &ended).await?;
    rows += delete(transaction, Grain::Member, &ended).await?;
    let names: Vec<_> = ended.iter().map(|(_, name)| name.clone()).collect();
    memberships::delete(transaction, &names).await?;
    site_rows::add_last_pages(transaction, last_pages).await?;
    gone.extend(ended.into_iter().map(|(_, name)| name));
    Ok(rows)
}

/// Returns the last day on which each of the pages was viewed. Pages without views are left out.
///
/// No index has the report's rows by name. A page has few months, and its last one has few days.
async fn last_dates(transaction: &Transaction, names: Vec<String>) -> Result<HashMap<String, NaiveDate>, DbErr> {
    let months = site_months(transaction).await?;
    let candidates: Vec<_> =
        names.iter().flat_map(|name| months.iter().map(move |month| (*month, name.clone()))).collect();
    let last_months = last_of(transaction, Grain::Month, &candidates).await?;
    let days = last_months.into_iter().flat_map(|(name, month)| {
        let end = Hour::new(month, 0).next_month_start().date();
        month.iter_days().take_while(move |day| *day < end).map(move |day| (day, name.clone()))
    });
    last_of(transaction, Grain::Day, &days.collect::<Vec<_>>()).await
}

async fn last_of(
    transaction: &Transaction,
    grain: Grain,
    candidates: &[Bucketed],
) -> Result<HashMap<String, NaiveDate>, DbErr> {
    let mut last: HashMap<String, NaiveDate> = HashMap::new();
    for (date, name) in present(transaction, grain, candidates).await? {
        last.entry(name).and_modify(|last| *last = Ord::max(date, *last)).or_insert(date);
    }
    Ok(last)
}

/// Returns those of `buckets` in which the page has a row.
pub(crate) async fn present(
    transaction: &Transaction,
    grain: Grain,
    buckets: &[Bucketed],
) -> Result<Vec<Bucketed>, DbErr> {
    let sql = include_str!("recount/present.sql").replace("{grain}", &format!("'{}'", grain.as_str()));
    let statement = sent::joined(transaction.get_database_backend(), &sql, buckets.iter());
    let rows = transaction.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Returns the first days of all months that have views.
pub(crate) async fn site_months<C: ConnectionTrait>(db: &C) -> Result<Vec<NaiveDate>, DbErr> {
    site_dates(db, Grain::Month).await
}

/// Returns the dates of all buckets of a grain that have views, in order.
pub(crate) async fn site_dates<C: ConnectionTrait>(db: &C, grain: Grain) -> Result<Vec<NaiveDate>, DbErr> {
    let backend = db.get_database_backend();
    let index = indexed_by(backend, SITE_INDEX);
    let sql =
        format!("SELECT date FROM {RELATION}{index} WHERE grain = '{}' AND name = '' ORDER BY date", grain.as_str());
    let rows = db.query_all_raw(Statement::from_string(backend, sql)).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
