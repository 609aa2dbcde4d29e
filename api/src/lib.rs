//! The GraphQL API over HTTP: it passes mutations to the service `increments`, and queries and subscriptions to the service
//! `reports`.
//!
//! Resolvers get handles that can do only their job ([`increments::Recorder`], [`reports::ReportReader`],
//! [`reports::freshness::FreshnessFeed`]), never the database itself.

pub mod access;
mod error_code;
pub mod graphql;
pub mod http;
mod memory_budget;
pub mod metrics;
