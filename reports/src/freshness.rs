//! Freshness: how current the report is, and the feed that publishes every change of it.

mod age;
mod feed;
mod listener;
mod metrics;
mod notifications;
mod required;
mod shared_look;
mod status;

pub use entity::report_refresh::Model as Refresh;
pub use feed::FreshnessFeed;
pub(crate) use feed::Versions;
pub use listener::FreshnessListener;
pub use required::RequiredFreshness;
pub use status::{Freshness, RefreshProgress, RefreshStatus};
