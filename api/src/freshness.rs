//! How fresh the report is, and the feed that tells everybody when that changes.

mod age;
mod feed;
mod listener;
mod status;
mod tail;

pub(crate) use feed::Changes;
pub use feed::FreshnessFeed;
pub use status::{Freshness, RefreshStatus};
pub use tail::FreshnessTail;
