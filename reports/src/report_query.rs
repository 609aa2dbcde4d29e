//! The queries that the report answers, and their results: keys and values of the cache.

use std::{mem::size_of, sync::Arc};

use entity::{Hour, report_change};
use storage::Transaction;

use super::{
    calendar::Calendar,
    cover::{RowRange, cover, cover_each},
    error::ReportError,
    groups::{self, Group},
    interval::{Bucket, Granularity, Interval},
    page_count::page_count,
    page_figures::{self, Viewed, add, boundaries},
    page_filter::PageFilter,
    page_list::{self, PageOrder},
    period::Compared,
    queries::{self, PageCursor, PageRow, Span, SumsOf},
    rows::parts,
    sections::{self, SectionRow},
};

/// The most pages of which a statement tells what queries of single pages ask for.
const PAGES_PER_BATCH_MAX: usize = 1_000;
/// The most rows or points that it reads of all of them, about.
const PARTS_PER_BATCH_MAX: usize = 100_000;
/// The most days beside whole months in a cover, and the fewest of a month.
const DAYS_OF_COVER: usize = 62;
const DAYS_OF_MONTH: usize = 28;

/// A query whose result depends on it and on the content of the report alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReportQuery {
    FirstHour,
    /// All declared groups.
    Groups,
    /// The groups of a page, if the filter's groups are complete.
    GroupsOf(Arc<str>, Arc<PageFilter>),
    /// The pages that a filter has to look for.
    Matches(Arc<PageFilter>),
    Views(Interval, Arc<PageFilter>),
    PageCount(Interval, Arc<PageFilter>),
    Series(Interval, Arc<PageFilter>, Granularity, Calendar),
    /// The series of the other interval beside that of the interval.
    PreviousSeries(Interval, Compared, Arc<PageFilter>, Granularity, Calendar),
    Pages(Interval, Arc<PageFilter>, PageOrder, Option<PageCursor>, u64),
    /// The views of each of some pages.
    ViewsOf(Interval, Arc<[String]>),
    SeriesOf(Interval, Arc<[String]>, Granularity, Calendar),
    Viewed(Arc<[String]>),
    /// The sections below a prefix.
    Sections(Interval, Arc<PageFilter>, Arc<str>, Option<PageCursor>, u64),
    /// The views of each of some sections below a prefix.
    ViewsOfSections(Interval, Arc<PageFilter>, Arc<str>, Arc<[String]>),
}

/// The result of a query: each kind of query has one kind of result. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum QueryResult {
    Hour(Option<Hour>),
    Groups(Arc<[Group]>),
    Names(Arc<[String]>),
    /// The names of the pages, unless they are many.
    Matches(Option<Arc<PageFilter>>),
    Number(i64),
    Series(Arc<[Bucket]>),
    Pages(Arc<[PageRow]>),
    Numbers(Arc<[i64]>),
    SeriesOf(Arc<[Vec<Bucket>]>),
    Viewed(Arc<[Option<Viewed>]>),
    Sections(Arc<[SectionRow]>),
}

impl ReportQuery {
    /// Returns the filter whose pages the query is of, if it has one and does not ask about the filter itself.
    fn filter(&self) -> Option<&PageFilter> {
        match self {
            Self::FirstHour | Self::Groups | Self::GroupsOf(..) | Self::Matches(_) => None,
            Self::ViewsOf(..) | Self::SeriesOf(..) | Self::Viewed(_) => None,
            Self::Views(_, filter)
            | Self::PageCount(_, filter)
            | Self::Series(_, filter, ..)
            | Self::PreviousSeries(_, _, filter, ..)
            | Self::Pages(_, filter, ..)
            | Self::Sections(_, filter, ..)
            | Self::ViewsOfSections(_, filter, ..) => Some(filter),
        }
    }

    /// Returns the names of the pages whose rows alone the result depends on, if these are named.
    pub(super) fn names(&self) -> Option<&[String]> {
        match (self, self.filter()) {
            (Self::ViewsOf(_, names) | Self::SeriesOf(_, names, ..) | Self::Viewed(names), _) => Some(names),
            (_, Some(PageFilter::Names(names))) => Some(names),
            _ => None,
        }
    }

    /// Returns the hashes of these names.
    pub(super) fn page_hashes(&self) -> Option<Vec<u64>> {
        Some(self.names()?.iter().map(|name| report_change::hash(name)).collect())
    }

    /// Returns the query of many pages that tells the result of this one of a single page, without names, and the page's name.
    pub(super) fn of_one_page(&self) -> Option<(Self, &str)> {
        let many = match self {
            Self::Views(interval, _) | Self::PageCount(interval, _) | Self::ViewsOf(interval, _) => {
                Self::ViewsOf(*interval, [].into())
            }
            Self::Series(interval, _, granularity, calendar) | Self::SeriesOf(interval, _, granularity, calendar) => {
                Self::SeriesOf(*interval, [].into(), *granularity, *calendar)
            }
            Self::Viewed(_) => Self::Viewed([].into()),
            _ => return None,
        };
        match self.names() {
            Some([name]) => Some((many, name)),
            _ => None,
        }
    }

    /// Returns the same query of the pages `of`, if it is one of many pages.
    pub(super) fn of_pages(mut self, of: Arc<[String]>) -> Self {
        if let Self::ViewsOf(_, names) | Self::SeriesOf(_, names, ..) | Self::Viewed(names) = &mut self {
            *names = of;
        }
        self
    }

    /// Returns the most pages of which the query is to be made at once.
    pub(super) fn pages_max(&self) -> usize {
        let days = |interval: &Interval| interval.end.start().signed_duration_since(interval.start.start()).num_days();
        let days = |interval: &Interval| usize::try_from(days(interval)).unwrap_or(0);
        // About as many rows, or points, has each page.
        let of_each = match self {
            Self::ViewsOf(interval, _) => days(interval).min(DAYS_OF_COVER + days(interval).div_euclid(DAYS_OF_MONTH)),
            Self::SeriesOf(interval, _, granularity, calendar) => {
                days(interval).max(interval.points(*granularity, *calendar).unwrap_or(0))
            }
            _ => DAYS_OF_COVER,
        };
        PARTS_PER_BATCH_MAX.div_euclid(of_each.max(1)).clamp(1, PAGES_PER_BATCH_MAX)
    }

    /// Returns whether the result is made of sums of views.
    pub(super) fn is_sum(&self) -> bool {
        matches!(self, Self::Views(..) | Self::Series(..) | Self::PreviousSeries(..))
    }

    /// Returns the names of the groups whose sums or pages are asked for.
    fn groups(&self) -> Vec<&str> {
        match self {
            Self::GroupsOf(_, filter) | Self::Matches(filter) => filter.groups(),
            _ => self.filter().map_or_else(Vec::new, PageFilter::groups),
        }
    }

    /// Returns the [filter](Self::filter), some of whose pages may have to be looked for.
    pub(super) fn filter_mut(&mut self) -> Option<&mut Arc<PageFilter>> {
        match self {
            Self::FirstHour | Self::Groups | Self::GroupsOf(..) | Self::Matches(_) => None,
            Self::ViewsOf(..) | Self::SeriesOf(..) | Self::Viewed(_) => None,
            Self::Views(_, filter)
            | Self::PageCount(_, filter)
            | Self::Series(_, filter, ..)
            | Self::PreviousSeries(_, _, filter, ..)
            | Self::Pages(_, filter, ..)
            | Self::Sections(_, filter, ..)
            | Self::ViewsOfSections(_, filter, ..) => Some(filter),
        }
    }

    /// Reads the result from the report.
    pub(super) async fn execute(&self, db: &Transaction) -> Result<QueryResult, ReportError> {
        groups::check(db, self.groups()).await?;
        match self {
            Self::Matches(filter) => {
                return Ok(QueryResult::Matches(queries::matches(db, filter).await?.map(Arc::new)));
            }
            Self::Groups => return Ok(QueryResult::Groups(groups::groups(db).await?.into())),
            Self::GroupsOf(page, _) => return Ok(QueryResult::Names(groups::groups_of(db, page).await?.into())),
            _ => {}
        }
        let Some(span) = queries::span(db).await? else { return self.of_nothing() };
        let rows = |interval: &Interval| cover_of_counted(interval, span);
        Ok(match self {
            Self::FirstHour => QueryResult::Hour(Some(span.first)),
            Self::Matches(_) | Self::Groups | Self::GroupsOf(..) => return self.of_nothing(),
            Self::Views(interval, filter) => QueryResult::Number(queries::views(db, &rows(interval), filter).await?),
            Self::PageCount(interval, filter) => {
                QueryResult::Number(page_count(db, interval.start, &rows(interval), span, filter).await?)
            }
            Self::Series(interval, filter, granularity, calendar) => {
                let buckets = interval.buckets(*granularity, *calendar)?;
                QueryResult::Series(fill_series(db, buckets, filter).await?.into())
            }
            Self::PreviousSeries(interval, compared, filter, granularity, calendar) => {
                let buckets = interval.buckets(*granularity, *calendar)?;
                let buckets = compared.buckets(&buckets, *granularity, *calendar);
                QueryResult::Series(fill_series(db, buckets, filter).await?.into())
            }
            Self::Pages(interval, filter, order, after, limit) => {
                let parts = parts(&rows(interval));
                let compared = match order {
                    PageOrder::Change(Some(Compared { part, other, .. })) => {
                        Some([part, other].map(|of| self::parts(&rows(of))))
                    }
                    _ => None,
                };
                let list = page_list::List { parts: &parts, filter, after: after.as_ref(), limit: *limit };
                QueryResult::Pages(list.pages(db, *order, compared).await?.into())
            }
            Self::ViewsOf(interval, names) => {
                QueryResult::Numbers(page_figures::views(db, &rows(interval), names).await?.into())
            }
            Self::SeriesOf(interval, names, granularity, calendar) => {
                let buckets = interval.buckets(*granularity, *calendar)?;
                QueryResult::SeriesOf(page_figures::series(db, &buckets, names).await?.into())
            }
            Self::Viewed(names) => QueryResult::Viewed(page_figures::viewed(db, names).await?.into()),
            Self::Sections(interval, filter, prefix, after, limit) => {
                let parts = parts(&rows(interval));
                let sections = sections::sections(db, &parts, filter, prefix, after.as_ref(), *limit);
                QueryResult::Sections(sections.await?.into())
            }
            Self::ViewsOfSections(interval, filter, prefix, names) => {
                let parts = parts(&rows(interval));
                QueryResult::Numbers(sections::views(db, &parts, filter, prefix, names).await?.into())
            }
        })
    }

    /// Returns the result on a report without rows.
    fn of_nothing(&self) -> Result<QueryResult, ReportError> {
        Ok(match self {
            Self::FirstHour => QueryResult::Hour(None),
            Self::Matches(_) => QueryResult::Matches(None),
            Self::Groups => QueryResult::Groups([].into()),
            Self::GroupsOf(..) => QueryResult::Names([].into()),
            Self::Views(..) | Self::PageCount(..) => QueryResult::Number(0),
            Self::Series(interval, _, granularity, calendar) => {
                QueryResult::Series(interval.buckets(*granularity, *calendar)?.into())
            }
            Self::PreviousSeries(interval, compared, _, granularity, calendar) => {
                let buckets = interval.buckets(*granularity, *calendar)?;
                QueryResult::Series(compared.buckets(&buckets, *granularity, *calendar).into())
            }
            Self::Pages(..) => QueryResult::Pages([].into()),
            Self::ViewsOf(_, names) | Self::ViewsOfSections(.., names) => {
                QueryResult::Numbers(vec![0; names.len()].into())
            }
            Self::SeriesOf(interval, names, granularity, calendar) => {
                let buckets = interval.buckets(*granularity, *calendar)?;
                QueryResult::SeriesOf(vec![buckets; names.len()].into())
            }
            Self::Viewed(names) => QueryResult::Viewed(vec![None; names.len()].into()),
            Self::Sections(..) => QueryResult::Sections([].into()),
        })
    }

    /// The memory that it takes, in bytes, about.
    fn bytes(&self) -> usize {
        let variable = match self {
            Self::FirstHour | Self::Groups => 0,
            Self::GroupsOf(page, filter) => page.len() + filter.bytes(),
            Self::Matches(filter)
            | Self::Views(_, filter)
            | Self::PageCount(_, filter)
            | Self::Series(_, filter, ..)
            | Self::PreviousSeries(_, _, filter, ..) => filter.bytes(),
            Self::Pages(_, filter, _, after, _) => filter.bytes() + bytes_of_cursor(after.as_ref()),
            Self::ViewsOf(_, names) | Self::SeriesOf(_, names, ..) | Self::Viewed(names) => bytes_of_texts(names),
            Self::Sections(_, filter, prefix, after, _) => {
                filter.bytes() + prefix.len() + bytes_of_cursor(after.as_ref())
            }
            Self::ViewsOfSections(_, filter, prefix, names) => filter.bytes() + prefix.len() + bytes_of_texts(names),
        };
        size_of::<Self>() + variable
    }
}

/// Returns the cover of what is counted in `interval`. Where the interval begins or ends outside of `span`, it may as well
/// begin or end with a month, which has one row for each page where the days have many.
fn cover_of_counted(interval: &Interval, span: Span) -> Vec<RowRange> {
    let start = if interval.start <= span.first { span.first.month_start() } else { interval.start };
    let end = if interval.end >= span.end { span.end.plus(-1).next_month_start() } else { interval.end };
    // Nothing is counted outside of the span, and an empty interval stays empty.
    if interval.start < interval.end && interval.start < span.end && interval.end > span.first {
        cover(start, end)
    } else {
        Vec::new()
    }
}

/// Adds the views of the report's rows to `buckets`.
async fn fill_series(
    db: &Transaction,
    mut buckets: Vec<Bucket>,
    filter: &PageFilter,
) -> Result<Vec<Bucket>, ReportError> {
    let ranges = cover_each(&boundaries(&buckets));
    for sum in queries::buckets(db, &ranges, filter, SumsOf::AllPages).await? {
        add(&mut buckets, &sum);
    }
    Ok(buckets)
}

impl QueryResult {
    /// Returns the result of `query`, of a single page, from this one of many, in which the page is at `place`.
    pub(super) fn of_page(&self, query: &ReportQuery, place: usize) -> Option<Self> {
        Some(match (query, self) {
            (ReportQuery::Views(..), Self::Numbers(numbers)) => Self::Number(*numbers.get(place)?),
            (ReportQuery::PageCount(..), Self::Numbers(numbers)) => Self::Number(i64::from(*numbers.get(place)? > 0)),
            (ReportQuery::ViewsOf(..), Self::Numbers(numbers)) => Self::Numbers([*numbers.get(place)?].into()),
            (ReportQuery::Series(..), Self::SeriesOf(all)) => Self::Series(all.get(place)?.clone().into()),
            (ReportQuery::SeriesOf(..), Self::SeriesOf(all)) => Self::SeriesOf([all.get(place)?.clone()].into()),
            (ReportQuery::Viewed(..), Self::Viewed(all)) => Self::Viewed([all.get(place)?.clone()].into()),
            _ => return None,
        })
    }

    /// The memory that it takes together with its query, in bytes, about.
    pub(super) fn bytes_with(&self, query: &ReportQuery) -> usize {
        let variable = match self {
            Self::Hour(_) | Self::Number(_) => 0,
            Self::Groups(groups) => groups.iter().map(Group::bytes).sum(),
            Self::Names(names) => bytes_of_texts(names),
            Self::Matches(filter) => filter.as_deref().map_or(0, PageFilter::bytes),
            Self::Series(buckets) => buckets.len() * size_of::<Bucket>(),
            Self::Pages(rows) => rows.iter().map(bytes_of_row).sum(),
            Self::Numbers(numbers) => size_of_val::<[i64]>(numbers),
            Self::SeriesOf(all) => {
                all.iter().map(|buckets| size_of::<Vec<Bucket>>() + buckets.len() * size_of::<Bucket>()).sum()
            }
            Self::Viewed(all) => all.iter().map(Viewed::bytes).sum(),
            Self::Sections(rows) => rows.iter().map(SectionRow::bytes).sum(),
        };
        size_of::<Self>() + variable + query.bytes()
    }
}

fn bytes_of_row(row: &PageRow) -> usize {
    size_of::<PageRow>() + row.name.capacity() + row.title.as_ref().map_or(0, String::capacity)
}

fn bytes_of_cursor(cursor: Option<&PageCursor>) -> usize {
    cursor.map_or(0, |cursor| cursor.name.capacity())
}

fn bytes_of_texts(texts: &[String]) -> usize {
    texts.iter().map(|text| size_of::<String>() + text.capacity()).sum()
}
