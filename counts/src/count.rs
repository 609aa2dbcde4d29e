//! A count: the views of a page in an hour, or in a day whose hours are not known.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use entity::Hour;

/// The most views of one line of a file.
pub const VIEWS_MAX: i64 = 1_000_000_000_000;

/// The views of a page in an hour or a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The page's name.
    pub page: String,
    /// The page's title, if it is known.
    pub title: Option<String>,
    /// The time of the views.
    pub time: CountedTime,
    /// The number of views.
    pub views: i64,
}

/// The time of a count.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountedTime {
    /// An hour.
    Hour(Hour),
    /// A day (UTC) whose hours are not known.
    Day(NaiveDate),
}

impl CountedTime {
    /// Returns the first hour of the time.
    #[must_use]
    pub fn first_hour(self) -> Hour {
        match self {
            Self::Hour(hour) => hour,
            Self::Day(day) => Hour::new(day, 0),
        }
    }

    /// Returns the name of its length.
    pub(crate) fn grain(self) -> &'static str {
        match self {
            Self::Hour(_) => "hour",
            Self::Day(_) => "day",
        }
    }

    /// Returns its beginning: the time of an hour, the date of a day.
    pub(crate) fn start(self) -> String {
        match self {
            Self::Hour(hour) => hour.start().to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::Day(day) => day.to_string(),
        }
    }

    /// Reads the beginning. A date is that of a day, unless `grain` says that the count is one of the day's first hour.
    pub(crate) fn parse(start: &str, grain: Option<&str>) -> Option<Self> {
        let day = start.parse::<NaiveDate>().ok();
        let hour = start.parse::<DateTime<Utc>>().ok().map(Hour::containing);
        match (grain.filter(|grain| !grain.is_empty()), day, hour) {
            (None | Some("day"), Some(day), _) => Some(Self::Day(day)),
            (Some("day"), None, Some(hour)) => Some(Self::Day(hour.date())),
            (None | Some("hour"), None, Some(hour)) => Some(Self::Hour(hour)),
            (Some("hour"), Some(day), _) => Some(Self::Hour(Hour::new(day, 0))),
            _ => None,
        }
    }
}
