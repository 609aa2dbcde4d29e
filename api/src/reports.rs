//! Reading: intervals and buckets in the caller's time zone, covered by rows of the report.

mod calendar;
mod cover;
mod interval;
mod period;
mod queries;
mod reader;

pub use interval::{Granularity, Interval, IntervalError};
pub use period::{Comparison, IntervalChoice, Period, Range};
pub use queries::{After, PageFilter, PageRow};
pub use reader::{Bucket, ReportError, ReportReader, Snapshot};
