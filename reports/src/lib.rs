//! The service Analytics: reads the report, and tells how fresh it is.
//!
//! A [`ReportReader`] makes [`ReportView`]s, each of one version of the report: intervals and buckets in the client's time
//! zone, covered by rows of `page_views_report`, with results cached by the version of its content. A
//! [`FreshnessFeed`](freshness::FreshnessFeed) publishes every change of the report's freshness.
//!
//! ```no_run
//! use reports::{PageFilter, ReportReader, ReportSettings, freshness::FreshnessFeed};
//! # async fn example(
//! #     database: storage::Database, settings: ReportSettings, stop: tokio_util::sync::CancellationToken,
//! #     interval: reports::Interval,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//!
//! let (feed, listener) = FreshnessFeed::new(&database);
//! let reader = ReportReader::new(&database, feed, &settings);
//! let listening = listener.run(stop); // for as long as the service lives
//!
//! let view = reader.view().await?;
//! let views = view.views(interval, &PageFilter::All.into()).await?;
//! println!("{views} views as of {:?}", view.freshness().as_of);
//! # listening.await;
//! # Ok(())
//! # }
//! ```

mod batches;
mod cache;
mod calendar;
mod changes;
mod cover;
mod dependence;
mod error;
mod export;
pub mod freshness;
mod groups;
mod interval;
mod metrics;
mod page_count;
mod page_figures;
mod page_filter;
mod page_list;
mod period;
mod present;
mod queries;
mod range;
mod reader;
mod report_query;
mod rows;
mod search;
mod sections;
mod snapshot;
mod sql;
mod view;
mod ways;

pub use cache::CacheFigures;
pub use calendar::Calendar;
pub use dependence::Dependence;
pub use error::ReportError;
pub use export::Export;
pub use groups::Group;
pub use interval::{Bucket, Granularity, Interval, IntervalError, POINTS_MAX};
pub use page_figures::Viewed;
pub use page_filter::PageFilter;
pub use page_list::PageOrder;
pub use period::{Compared, Comparison, Counted, IntervalChoice, Period};
pub use present::{ClockUse, PresentHour, Provenance};
pub use queries::{PageCursor, PageRow};
pub use range::Range;
pub use reader::{EVENTS_MAX, ReportReader, ReportSettings, Reports};
pub use search::PageSearch;
pub use sections::SectionRow;
pub use view::ReportView;
