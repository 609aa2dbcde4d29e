//! The inputs of queries: filters, intervals, comparisons and granularities.

use std::sync::Arc;

use async_graphql::{Enum, InputObject, OneofObject};
use chrono::{DateTime, Utc, Weekday};
use chrono_tz::Tz;

use super::errors::error;
use crate::error_code::Code;
use jobs::PageSelection;
use reports::{self, IntervalChoice, Range};

/// The most page names in a filter. A job may name as many.
pub(super) const NAMES_MAX: usize = 1_000;
const _: () = assert!(NAMES_MAX <= jobs::NAMES_MAX);
/// The most conditions of a combined filter.
pub(super) const CONDITIONS_MAX: usize = 20;
/// The number of pages, or sections, listed when the query does not say.
const LISTED_DEFAULT: i32 = 10;
/// The most pages, or sections, in one list.
pub(super) const LISTED_MAX: i32 = 1_000;
/// The most bytes of a text in a filter.
pub(super) const TEXT_BYTES_MAX: usize = 1_024;

/// Which views a report is about.
#[derive(Debug, Default, InputObject)]
pub(crate) struct ReportFilter {
    /// `LAST_7_DAYS` when left out.
    interval: Option<IntervalInput>,
    /// All pages when left out.
    pages: Option<PageFilter>,
    /// An IANA name.
    #[graphql(default_with = "Some(\"UTC\".to_owned())")]
    time_zone: Option<String>,
    /// The day on which the weeks of series begin.
    #[graphql(default_with = "Some(WeekStart::Monday)")]
    week_start: Option<WeekStart>,
}

/// The first day of a week.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum WeekStart {
    /// As ISO 8601 has it.
    #[default]
    Monday,
    /// As in the calendars of North America, Japan and others.
    Sunday,
}

/// One or the other.
#[derive(Debug, OneofObject)]
pub(crate) enum IntervalInput {
    /// A predefined interval, cut in the filter's time zone.
    Period(Period),
    /// Any hours.
    Range(TimeRange),
}

/// From start, up to and without end; cut at whole hours of the time zone, and where they are not whole hours of UTC, at the
/// hours of UTC that the calendar gives their names.
#[derive(Debug, InputObject)]
pub(crate) struct TimeRange {
    /// The first moment.
    start: DateTime<Utc>,
    /// The moment after the last one.
    end: DateTime<Utc>,
}

/// The predefined intervals. Days are counted with the current one, which may not be over.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "reports::Period")]
pub(crate) enum Period {
    /// From midnight to the next midnight.
    Today,
    /// The day before today.
    Yesterday,
    /// The current hour and the 23 before it.
    #[graphql(name = "LAST_24_HOURS")]
    Last24Hours,
    /// Today and the 6 days before it.
    #[graphql(name = "LAST_7_DAYS")]
    Last7Days,
    /// Today and the 29 days before it.
    #[graphql(name = "LAST_30_DAYS")]
    Last30Days,
    /// The calendar month that today is in.
    ThisMonth,
    /// The calendar month before that.
    LastMonth,
    /// This month and the 11 before it.
    #[graphql(name = "LAST_12_MONTHS")]
    Last12Months,
    /// The calendar year that today is in.
    ThisYear,
    /// From the first counted hour to the end of the current one.
    AllTime,
}

/// What a report's totals are compared with. An interval that is not over yet is compared with as much of the other one:
/// up to the same time of day as `freshness.asOf`, cut at the hour below.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "reports::Comparison")]
pub(crate) enum Comparison {
    /// The period before: yesterday, the 7 days before, the calendar month before, the 12 months before. The 24 hours
    /// before; of a range, what is as long and right before it.
    PreviousPeriod,
    /// The same dates and times of day a year before. 29 February has none in most years.
    SamePeriodLastYear,
    /// The same weekdays and times of day 52 weeks before.
    SameWeekdaysLastYear,
}

/// The size of a series' buckets, cut in the filter's time zone.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "reports::Granularity")]
pub(crate) enum Granularity {
    /// One hour.
    Hour,
    /// Midnight to midnight.
    Day,
    /// From the filter's `weekStart` to the next one.
    Week,
    /// A calendar month.
    Month,
}

/// Exactly one of these.
#[derive(Debug, OneofObject)]
pub(crate) enum PageFilter {
    /// Pages by name, at most 1,000.
    Names(Vec<String>),
    /// Pages whose names begin so.
    Prefix(String),
    /// Pages whose names have this in them. It looks at all pages of the interval; what takes too long is stopped, with the
    /// error `UNAVAILABLE`.
    Contains(String),
    /// Pages whose names or titles have a text in them, with the limits of `contains`.
    Search(PageSearch),
    /// Pages of a declared group, by its name. Its sums and series cost what those of the whole site cost, its number of pages and
    /// its lists what those of `contains` cost. While the report does not have its sums, the error is `UNAVAILABLE`.
    Group(String),
    /// Pages by several conditions.
    Combined(PageCombination),
}

/// Pages by several conditions: at least one, and at most 20 with 1,000 names in all.
#[derive(Debug, InputObject)]
pub(crate) struct PageCombination {
    /// Only pages of which one of these is true; all pages when left out.
    pub(crate) any: Option<Vec<PageCondition>>,
    /// But no pages of which one of these is true.
    pub(crate) not: Option<Vec<PageCondition>>,
}

/// Exactly one of these, each as in `PageFilter`.
#[derive(Debug, OneofObject)]
pub(crate) enum PageCondition {
    /// Pages by name.
    Names(Vec<String>),
    /// Pages whose names begin so.
    Prefix(String),
    /// Pages whose names have this in them.
    Contains(String),
    /// Pages whose names or titles have a text in them.
    Search(PageSearch),
    /// Pages of a declared group.
    Group(String),
}

/// A text in the names or titles of pages.
#[derive(Debug, InputObject)]
pub(crate) struct PageSearch {
    /// 1 to 1,024 bytes, no control characters.
    pub(crate) text: String,
    /// Whether capital and small letters are the same, in any script. Accents are never ignored.
    #[graphql(default = true)]
    pub(crate) ignore_case: bool,
}

/// A filter whose parts were checked.
#[derive(Clone, Debug)]
pub(super) struct ParsedFilter {
    pub(super) interval: IntervalChoice,
    pub(super) pages: Arc<reports::PageFilter>,
    pub(super) zone: Tz,
    pub(super) week_start: Weekday,
}

impl ReportFilter {
    pub(super) fn parse(self) -> async_graphql::Result<ParsedFilter> {
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        let zone: Tz = zone.parse().map_err(|_unknown| {
            let message =
                format!("filter.timeZone must be an IANA name such as Europe/Berlin, not \"{}\"", shortened(zone));
            error(Code::BadUserInput, message)
        })?;
        let interval = match self.interval {
            None => IntervalChoice::Period(reports::Period::Last7Days),
            Some(IntervalInput::Period(period)) => IntervalChoice::Period(period.into()),
            Some(IntervalInput::Range(TimeRange { start, end })) => IntervalChoice::Range(
                Range::new(start, end).map_err(|wrong| error(Code::BadUserInput, wrong.to_string()))?,
            ),
        };
        let pages = self.pages.map_or(Ok(reports::PageFilter::All), PageFilter::parse)?;
        let week_start = match self.week_start.unwrap_or_default() {
            WeekStart::Monday => Weekday::Mon,
            WeekStart::Sunday => Weekday::Sun,
        };
        Ok(ParsedFilter { interval, pages: Arc::new(pages), zone, week_start })
    }
}

impl PageFilter {
    /// Checks the filter.
    ///
    /// # Errors
    /// When a text is empty, too long or has control characters, or when there are too many names or conditions.
    pub(crate) fn parse(self) -> async_graphql::Result<reports::PageFilter> {
        let (any, not) = self.check("filter.pages")?;
        let filters = |conditions: Vec<_>| conditions.into_iter().map(PageCondition::filter).collect();
        Ok(reports::PageFilter::combined(any.map(filters), filters(not)))
    }

    /// Returns the pages that a job is about: those that a report with this filter has. `field` is the filter's path.
    pub(super) fn select(self, field: &str) -> async_graphql::Result<PageSelection> {
        let is_combined = matches!(self, Self::Combined(_));
        let (any, not) = self.check(field)?;
        let selections = |conditions: Vec<_>| conditions.into_iter().map(PageCondition::selection).collect();
        let selections =
            any.map(selections).map_or(Some(None), |any: Option<Vec<_>>| any.map(Some)).zip(selections(not));
        let Some((any, not)) = selections else {
            return Err(error(Code::BadUserInput, format!("{field} must not have a group: name its pages otherwise")));
        };
        match any.as_deref() {
            Some([PageSelection::Names(names)]) if names.is_empty() && !is_combined => {
                let message = format!("{field}.names must be 1 to {NAMES_MAX} names, not 0");
                Err(error(Code::BadUserInput, message))
            }
            Some([one]) if !is_combined => Ok(one.clone()),
            _ => Ok(PageSelection::Combined { any, not }),
        }
    }

    /// Returns the conditions of which one is true of the pages, and those of which none is. `field` is the filter's path.
    ///
    /// Errs when a text is too long or has control characters, or there are too many names or conditions.
    fn check(self, field: &str) -> async_graphql::Result<Conditions> {
        let condition = match self {
            Self::Names(names) => PageCondition::Names(names),
            Self::Prefix(prefix) => PageCondition::Prefix(prefix),
            Self::Contains(part) => PageCondition::Contains(part),
            Self::Search(search) => PageCondition::Search(search),
            Self::Group(group) => PageCondition::Group(group),
            Self::Combined(combination) => return combination.check(&format!("{field}.combined")),
        };
        condition.check(field)?;
        Ok((Some(vec![condition]), Vec::new()))
    }
}

/// The conditions of which one is true of pages, if there are any, and those of which none is.
type Conditions = (Option<Vec<PageCondition>>, Vec<PageCondition>);

impl PageCombination {
    fn check(self, field: &str) -> async_graphql::Result<Conditions> {
        let refused = |message: String| Err(error(Code::BadUserInput, message));
        let Self { any, not } = self;
        if any.as_ref().is_some_and(Vec::is_empty) {
            return refused(format!("{field}.any must not be empty: leave it out for all pages"));
        }
        let not = not.unwrap_or_default();
        let conditions = || any.iter().flatten().chain(&not);
        let number = conditions().count();
        if number == 0 || number > CONDITIONS_MAX {
            return refused(format!("{field} must have 1 to {CONDITIONS_MAX} conditions, not {number}"));
        }
        for (list, conditions) in [("any", any.as_deref().unwrap_or_default()), ("not", &not)] {
            for (index, condition) in conditions.iter().enumerate() {
                condition.check(&format!("{field}.{list}[{index}]"))?;
            }
        }
        let names = conditions().map(|condition| match condition {
            PageCondition::Names(names) => names.len(),
            _ => 0,
        });
        let names: usize = names.sum();
        if names > NAMES_MAX {
            return refused(format!("{field} must have at most {NAMES_MAX} names in all, not {names}"));
        }
        Ok((any, not))
    }
}

impl PageCondition {
    fn filter(self) -> reports::PageFilter {
        match self {
            Self::Names(names) => reports::PageFilter::Names(names),
            Self::Prefix(prefix) => reports::PageFilter::Prefix(prefix),
            Self::Contains(part) => reports::PageFilter::Contains(part),
            Self::Search(PageSearch { text, ignore_case }) => {
                reports::PageFilter::Search(reports::PageSearch::new(&text, ignore_case))
            }
            Self::Group(group) => reports::PageFilter::Group(group),
        }
    }

    /// Converts the condition into a job's selection of pages. Returns `None` for a group, whose patterns may change before the
    /// job is done.
    fn selection(self) -> Option<PageSelection> {
        Some(match self {
            Self::Names(names) => PageSelection::Names(names),
            Self::Prefix(prefix) => PageSelection::Prefix(prefix),
            Self::Contains(part) => PageSelection::Contains(part),
            Self::Search(PageSearch { text, ignore_case }) => PageSelection::Search { text, ignore_case },
            Self::Group(_) => return None,
        })
    }

    fn check(&self, field: &str) -> async_graphql::Result<()> {
        match self {
            Self::Names(names) => {
                if names.len() > NAMES_MAX {
                    let message = format!("{field}.names must be at most {NAMES_MAX} names, not {}", names.len());
                    return Err(error(Code::BadUserInput, message));
                }
                names
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, name)| check_text(&format!("{field}.names[{index}]"), name))
            }
            Self::Prefix(prefix) => check_text(&format!("{field}.prefix"), prefix),
            Self::Contains(part) => check_text(&format!("{field}.contains"), part),
            Self::Search(PageSearch { text, .. }) => check_text(&format!("{field}.search.text"), text),
            Self::Group(group) => check_text(&format!("{field}.group"), group),
        }
    }
}

/// Returns how many items of the list `field` are asked for. Errs when they are too many.
pub(super) fn listed(field: &str, first: Option<i32>) -> async_graphql::Result<usize> {
    let first = first.unwrap_or(LISTED_DEFAULT);
    let is_allowed = (0..=LISTED_MAX).contains(&first);
    let listed = usize::try_from(first).ok().filter(|_| is_allowed);
    listed.ok_or_else(|| error(Code::BadUserInput, format!("{field}.first must be 0 to {LISTED_MAX}, not {first}")))
}

/// Returns the complexity of a list whose items have each this complexity.
pub(super) fn list_complexity(first: Option<i32>, of_item: usize) -> usize {
    usize::try_from(first.unwrap_or(LISTED_DEFAULT)).unwrap_or_default().saturating_mul(of_item)
}

/// The order of a list of pages. Equal pages are ordered by name.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum PageOrder {
    /// The most viewed first.
    #[default]
    Views,
    /// The greatest difference between `comparableViews` and `previous` first, whether they rose or fell. Pages that were viewed
    /// only in the other period are listed too, with 0 views. It reads all pages of both periods; what takes too long is
    /// stopped, with the error `UNAVAILABLE`. Not in subscriptions.
    Change,
    /// By name, in the order of Unicode's code points.
    Name,
}

pub(super) fn check_text(field: &str, text: &str) -> async_graphql::Result<()> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        let message = format!("{field} must be 1 to {TEXT_BYTES_MAX} bytes long, not {}", text.len());
        return Err(error(Code::BadUserInput, message));
    }
    // No page's name has a control character, and PostgreSQL's texts can't hold U+0000.
    if text.chars().any(char::is_control) {
        return Err(error(Code::BadUserInput, format!("{field} must not have control characters")));
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}
