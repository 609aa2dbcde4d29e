//! The connections to the database, PostgreSQL or SQLite: settings, one pool for each kind of work, transactions,
//! consistent snapshots, clocks, backups, and the kinds of database errors.
//!
//! Nothing here knows what is stored.

pub mod backup;
pub mod clock;
pub mod connections;
pub mod database;
pub mod error_kind;
pub mod idle;
pub mod nodes;
pub mod snapshot;

pub use connections::{Connections, Purpose, Transaction};
pub use database::{ConnectionSettings, Database, DatabaseError, DatabaseKind, DatabaseSettings};
pub use error_kind::DbErrorKind;
pub use idle::Idle;

/// The upper bounds of the buckets of metrics of durations, in seconds: from cached responses to ones that no client waits for.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
