//! What can be asked of the report, and what is answered: the entries of the cache.

use std::{mem::size_of, sync::Arc};

use entity::Hour;

use super::{
    calendar::Calendar,
    interval::{Bucket, Granularity, Interval},
    queries::{After, PageFilter, PageRow},
    reader::ReportError,
    snapshot::Snapshot,
};

/// One thing to be found out; the answer depends on it and on the report alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    FirstHour,
    Views(Interval, Arc<PageFilter>),
    PageCount(Interval, Arc<PageFilter>),
    Series(Interval, Arc<PageFilter>, Granularity, Calendar),
    Pages(Interval, Arc<PageFilter>, Option<After>, u64),
}

/// What was found out. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Hour(Option<Hour>),
    Number(i64),
    Series(Arc<[Bucket]>),
    Pages(Arc<[PageRow]>),
}

impl Question {
    pub(super) async fn ask(&self, snapshot: &Snapshot) -> Result<Value, ReportError> {
        Ok(match self {
            Self::FirstHour => Value::Hour(snapshot.first_hour().await?),
            Self::Views(interval, filter) => Value::Number(snapshot.views(*interval, filter).await?),
            Self::PageCount(interval, filter) => Value::Number(snapshot.page_count(*interval, filter).await?),
            Self::Series(interval, filter, granularity, calendar) => {
                Value::Series(snapshot.series(*interval, filter, *granularity, *calendar).await?.into())
            }
            Self::Pages(interval, filter, after, limit) => {
                Value::Pages(snapshot.pages(*interval, filter, after.as_ref(), *limit).await?.into())
            }
        })
    }

    /// What it takes of the memory, in bytes, about.
    fn bytes(&self) -> usize {
        let variable = match self {
            Self::FirstHour => 0,
            Self::Views(_, filter) | Self::PageCount(_, filter) | Self::Series(_, filter, ..) => {
                bytes_of_filter(filter)
            }
            Self::Pages(_, filter, after, _) => {
                bytes_of_filter(filter) + after.as_ref().map_or(0, |after| after.name.capacity())
            }
        };
        size_of::<Self>() + variable
    }
}

impl Value {
    /// What it takes of the memory together with its question, in bytes, about.
    pub(super) fn bytes_with(&self, question: &Question) -> usize {
        let variable = match self {
            Self::Hour(_) | Self::Number(_) => 0,
            Self::Series(buckets) => buckets.len() * size_of::<Bucket>(),
            Self::Pages(rows) => rows.iter().map(bytes_of_row).sum(),
        };
        size_of::<Self>() + variable + question.bytes()
    }
}

fn bytes_of_row(row: &PageRow) -> usize {
    size_of::<PageRow>() + row.name.capacity() + row.title.as_ref().map_or(0, String::capacity)
}

fn bytes_of_filter(filter: &PageFilter) -> usize {
    let text = |text: &String| size_of::<String>() + text.capacity();
    size_of::<PageFilter>()
        + match filter {
            PageFilter::All => 0,
            PageFilter::Names(names) => names.iter().map(text).sum(),
            PageFilter::Prefix(part) | PageFilter::Contains(part) => text(part),
        }
}
