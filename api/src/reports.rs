//! Reading: intervals and buckets in the caller's time zone, covered by rows of the report.

mod cover;
mod interval;
mod queries;
mod reader;

pub use interval::{Granularity, Interval, IntervalError, Period};
pub use queries::{After, PageFilter, PageRow};
pub use reader::{Bucket, ReportError, ReportReader, Snapshot};
