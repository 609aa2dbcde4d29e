//! Reading: intervals and buckets in the caller's time zone, covered by rows of the report; what was found out is kept
//! as long as the report stays the same.

mod answer;
mod cache;
mod calendar;
mod cover;
mod interval;
mod period;
mod queries;
mod question;
mod reader;
mod snapshot;

pub use answer::Answer;
pub use cache::CacheFigures;
pub use calendar::Calendar;
pub use interval::{Bucket, Granularity, Interval, IntervalError};
pub use period::{Compared, Comparison, Counted, IntervalChoice, Period, Range};
pub use queries::{After, PageFilter, PageRow};
pub use reader::{ReportError, ReportReader, ReportSettings};
pub use snapshot::Snapshot;
