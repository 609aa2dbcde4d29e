//! The GraphQL server: it records increments, and serves reports and their freshness.
//!
//! Resolvers get handles that can do only their job ([`increments::Recorder`], [`reports::ReportReader`],
//! [`freshness::FreshnessFeed`]), never the database itself.

pub mod freshness;
pub mod http;
pub mod increments;
mod memory_budget;
pub mod metrics;
pub mod reports;
pub mod schema;
