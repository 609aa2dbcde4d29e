//! GraphQL over any transport: operations are parsed, checked against limits, authorized and executed.
//!
//! Nothing here knows of HTTP. An `Operation` is read from a request and authorized for a principal; the
//! `OperationExecutor` executes it and returns `ExecutionEvent`s: one for a query or mutation, one per event of a
//! subscription.

pub(crate) mod errors;
mod event;
mod executor;
mod mutation_fast_path;
mod operation;
mod query_limits;
mod request_key;
mod response_budget;
mod schema;
mod selection;
mod shared_executions;
mod shared_subscriptions;
mod stock;
mod turn;
mod waiting_reads;

pub(crate) use event::ExecutionEvent;
pub(crate) use executor::OperationExecutor;
pub(crate) use mutation_fast_path::FastPathRequest;
pub(crate) use operation::{AuthorizedOperation, Operation};
pub(crate) use query_limits::QUERY_BYTES_MAX;
pub(crate) use response_budget::{ResponseBounds, ResponseText};
pub use schema::sdl;
pub(crate) use schema::{PageFilter, PageSearch, ServerLimits, may_require_freshness};
pub use stock::StockExecutor;
pub(crate) use turn::Turn;
