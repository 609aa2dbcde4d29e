//! Reports: intervals and buckets in the client's time zone, covered by rows of `page_views_report`, with results cached
//! by the version of its content.

mod cache;
mod calendar;
mod cover;
mod interval;
mod period;
mod queries;
mod reader;
mod report_query;
mod snapshot;
mod view;

pub use cache::CacheFigures;
pub use calendar::Calendar;
pub use interval::{Bucket, Granularity, Interval, IntervalError};
pub use period::{Compared, Comparison, Counted, IntervalChoice, Period, Range};
pub use queries::{PageCursor, PageFilter, PageRow};
pub use reader::{ReportError, ReportReader, ReportSettings};
pub use view::ReportView;
