//! `page_views_report`: the materialization of `page_views_live`, the only relation that queries read.
//!
//! A row of [`Grain::Day`] or [`Grain::Month`] has the views of one page, or of the whole site, in one bucket; that of a
//! day also has them by hour, in columns ([`hour_column`]). A row of [`Grain::Page`] tells of a page, whatever the time.
//! Groups of pages have rows of grains of their own, so that no page's name collides with a group's.
//! The site's rows also tell of the pages' rows in their bucket, where that is known.

use chrono::NaiveDate;
use sea_orm::{DbBackend, entity::prelude::*};

/// What a report row is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Grain {
    /// One day, with its hours.
    #[sea_orm(string_value = "day")]
    Day,
    /// One month; its `date` is the month's first day.
    #[sea_orm(string_value = "month")]
    Month,
    /// A page; its `date` is [`PAGE_DATE`].
    #[sea_orm(string_value = "page")]
    Page,
    /// A declared group of pages; its `name` is the group's, its `date` is [`PAGE_DATE`].
    #[sea_orm(string_value = "group")]
    Group,
    /// One day of a group, with its hours.
    #[sea_orm(string_value = "group_day")]
    GroupDay,
    /// One month of a group.
    #[sea_orm(string_value = "group_month")]
    GroupMonth,
    /// The groups of a page that is in any; its `date` is [`PAGE_DATE`].
    #[sea_orm(string_value = "member")]
    Member,
}

impl Grain {
    /// Returns the value in the column `grain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Page => "page",
            Self::Group => "group",
            Self::GroupDay => "group_day",
            Self::GroupMonth => "group_month",
            Self::Member => "member",
        }
    }
}

/// The relation's name.
pub const RELATION: &str = "page_views_report";

/// The `name` of rows with the whole site's sums. A page's name is never empty.
pub const SITE: &str = "";

/// The `date` of all rows that are of no time, so that a page's row is found by its key.
pub const PAGE_DATE: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();

/// The index of the site's rows, by grain and date.
pub const SITE_INDEX: &str = "page_views_report_of_site";

/// The index of the rows with the flag `top`, by grain and date.
pub const TOP_INDEX: &str = "page_views_report_top";

/// Returns what has SQLite read the report by `index`, to be written behind the relation's name. It would read the key, which
/// begins with the same columns. PostgreSQL knows from its statistics that the index has few rows.
#[must_use]
pub fn indexed_by(backend: DbBackend, index: &str) -> String {
    if backend == DbBackend::Sqlite { format!(" INDEXED BY {index}") } else { String::new() }
}

/// Returns the name of the column with a day's views in the hour `of_day`, 0 to 23. It is null if the hour has no views, or
/// was dropped.
#[must_use]
pub fn hour_column(of_day: i16) -> String {
    format!("hour_{of_day:02}")
}

/// A row of the report. Only the Wolf writes the table.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "page_views_report")]
pub struct Model {
    /// What the row is about.
    #[sea_orm(primary_key, auto_increment = false)]
    pub grain: Grain,
    /// The bucket's first day in UTC, or [`PAGE_DATE`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub date: Date,
    /// The page's name, or [`SITE`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The sum of the bucket's views; 0 at [`Grain::Page`].
    pub views: i64,
    /// Set if the page is among the most viewed ones of its bucket: wherever the site's `top_views` is known, every page
    /// with at least as many views is.
    pub top: Option<bool>,
    /// The page's title, at [`Grain::Page`]. At [`Grain::Group`] the reason why the group's sums are not complete, if they are
    /// not; at [`Grain::Member`] the page's groups as a JSON list.
    pub title: Option<String>,
    /// The last day on which the page was viewed, only at [`Grain::Page`].
    pub last_date: Option<Date>,
    /// The number of pages that have a row in the bucket, only on the site's rows; `None` if it is not known.
    pub pages: Option<i64>,
    /// The number of pages that were viewed on this day and not since, only on the site's rows of days; `None` if it is
    /// not known.
    pub last_pages: Option<i64>,
    /// The views from which on pages are sure to be marked as `top`, only on the site's rows; `None` if it is not known.
    pub top_views: Option<i64>,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
