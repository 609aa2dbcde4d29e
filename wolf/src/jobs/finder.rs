//! Finds the days of which a job changes the counts, some at a time.
//!
//! The report tells which days a page has. No index has its rows by name, so the months of pages are looked up first, and
//! then the days of these months. Where no pages are selected, the days are read one after the other.

use std::collections::{BTreeSet, VecDeque};

use chrono::NaiveDate;
use entity::{Grain, Hour, job::PageSelection};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use storage::Transaction;

use crate::{
    counts::Bounds,
    pages,
    recount::{present, site_dates, site_months},
    sent::Bucketed,
};

/// How many pages are looked through at a time for those that are selected.
const PAGES_PER_LOOK: u64 = 1_000;
/// How many pages' months are looked up at a time.
const NAMES_PER_LOOK: usize = 50;
/// How many months' days are looked up at a time.
const MONTHS_PER_LOOK: usize = 100;

/// What is found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) days: BTreeSet<Bucketed>,
    /// Selected pages that have no rows in the report, if the whole of a page is looked for.
    pub(super) without_rows: Vec<String>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.days.is_empty() && self.without_rows.is_empty()
    }
}

/// A search for days.
#[derive(Debug)]
pub(super) struct Finder {
    bounds: Bounds,
    names: Names,
    /// Names that are looked up before the others.
    exact: VecDeque<String>,
    months: VecDeque<Bucketed>,
    days: VecDeque<Bucketed>,
}

/// Where the names come from.
#[derive(Debug)]
enum Names {
    /// The pages that are left to be looked up.
    Listed(VecDeque<String>),
    /// The selected ones of the pages after this one.
    Selected(PageSelection, String),
    /// All pages of each of these days, of the first one those after the name. None before the days are known.
    OfDays(Option<VecDeque<NaiveDate>>, String),
}

impl Finder {
    pub(super) fn new(pages: Option<PageSelection>, bounds: Bounds) -> Self {
        let mut exact = VecDeque::new();
        let names = match pages {
            None => Names::OfDays(None, String::new()),
            Some(PageSelection::Names(names)) => Names::Listed(names.into()),
            Some(PageSelection::Prefix(prefix)) => {
                // The prefix may be a page's name itself, and all others come after it.
                exact.push_back(prefix.clone());
                Names::Selected(PageSelection::Prefix(prefix.clone()), prefix)
            }
            Some(selection) => Names::Selected(selection, String::new()),
        };
        Self { bounds, names, exact, months: VecDeque::new(), days: VecDeque::new() }
    }

    /// Returns the next days, at most `limit` of them, or nothing at the end.
    pub(super) async fn next(&mut self, transaction: &Transaction, limit: usize) -> Result<Found, DbErr> {
        let mut found = Found::default();
        loop {
            while found.days.len() < limit
                && let Some(day) = self.days.pop_front()
            {
                found.days.insert(day);
            }
            if found.days.len() >= limit {
                return Ok(found);
            }
            if !self.months.is_empty() {
                self.days_of_months(transaction).await?;
            } else if !found.is_empty() || !self.look_up(transaction, limit, &mut found).await? {
                return Ok(found);
            }
        }
    }

    /// Looks up the next names. Returns whether there were any.
    async fn look_up(&mut self, transaction: &Transaction, limit: usize, found: &mut Found) -> Result<bool, DbErr> {
        let bounds = self.bounds;
        let names: Vec<String> = match &mut self.names {
            _ if !self.exact.is_empty() => self.exact.drain(..).collect(),
            Names::Listed(names) => names.drain(..names.len().min(NAMES_PER_LOOK)).collect(),
            Names::Selected(selection, after) => {
                let pages = pages::after(transaction, after, PAGES_PER_LOOK).await?;
                let Some((last, _)) = pages.last() else { return Ok(false) };
                if let PageSelection::Prefix(prefix) = &*selection
                    && !pages.iter().any(|(name, _)| name.starts_with(prefix.as_str()))
                {
                    return Ok(false);
                }
                after.clone_from(last);
                let selected = pages.into_iter().filter(|(name, title)| selection.admits(name, title.as_deref()));
                let names: Vec<String> = selected.map(|(name, _)| name).collect();
                if names.is_empty() {
                    return Ok(true);
                }
                names
            }
            Names::OfDays(dates, after) => {
                if dates.is_none() {
                    let all = site_dates(transaction, Grain::Day).await?;
                    *dates = Some(all.into_iter().filter(|date| bounds.touch(*date)).collect());
                }
                let Some(date) = dates.as_ref().and_then(|dates| dates.front().copied()) else { return Ok(false) };
                let rows = names_of_day(transaction, date, after, limit).await?;
                match rows.last() {
                    Some(last) => after.clone_from(last),
                    None => {
                        dates.as_mut().and_then(VecDeque::pop_front);
                        after.clear();
                    }
                }
                self.days.extend(rows.into_iter().map(|name| (date, name)));
                return Ok(true);
            }
        };
        if names.is_empty() {
            return Ok(false);
        }
        for names in names.chunks(NAMES_PER_LOOK) {
            self.months_of_names(transaction, names, found).await?;
        }
        Ok(true)
    }

    async fn months_of_names(
        &mut self,
        transaction: &Transaction,
        names: &[String],
        found: &mut Found,
    ) -> Result<(), DbErr> {
        let months: Vec<_> = site_months(transaction).await?;
        let candidates: Vec<_> =
            names.iter().flat_map(|name| months.iter().map(move |month| (*month, name.clone()))).collect();
        let mut there = present(transaction, Grain::Month, &candidates).await?;
        if self.bounds == Bounds::default() {
            let with_rows: BTreeSet<&str> = there.iter().map(|(_, name)| name.as_str()).collect();
            found.without_rows.extend(names.iter().filter(|name| !with_rows.contains(name.as_str())).cloned());
        }
        there.sort_unstable_by(|one, other| (&one.1, one.0).cmp(&(&other.1, other.0)));
        self.months.extend(there);
        Ok(())
    }

    async fn days_of_months(&mut self, transaction: &Transaction) -> Result<(), DbErr> {
        let months: Vec<_> = self.months.drain(..self.months.len().min(MONTHS_PER_LOOK)).collect();
        let candidates: Vec<_> = months
            .iter()
            .flat_map(|(month, name)| {
                let end = Hour::new(*month, 0).next_month_start().date();
                month.iter_days().take_while(move |day| *day < end).map(move |day| (day, name.clone()))
            })
            .filter(|(day, _)| self.bounds.touch(*day))
            .collect();
        let mut there = present(transaction, Grain::Day, &candidates).await?;
        there.sort_unstable_by(|one, other| (&one.1, one.0).cmp(&(&other.1, other.0)));
        self.days.extend(there);
        Ok(())
    }
}

/// Returns the pages of a day whose names come after `after`, in order.
async fn names_of_day(
    transaction: &Transaction,
    date: NaiveDate,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, DbErr> {
    let sql = format!("{} LIMIT {limit}", include_str!("finder/names_of_day.sql").trim_end());
    let values = [date.into(), after.into()];
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    let rows = transaction.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
