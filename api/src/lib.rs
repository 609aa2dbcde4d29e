//! The GraphQL server: increments come in, reports and their freshness go out.
//!
//! Resolvers get handles that can do only their job ([`increments::Recorder`], [`reports::ReportReader`],
//! [`freshness::FreshnessFeed`]) and never the database.

pub mod freshness;
pub mod http;
pub mod increments;
mod memory_budget;
pub mod metrics;
pub mod reports;
pub mod schema;
