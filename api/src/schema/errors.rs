//! Errors in responses: a code for programs and a message for people, without internal details.

use std::{error::Error as StdError, sync::Arc};

use async_graphql::{Error, ErrorExtensions, ServerError, Value};
use sea_orm::DbErr;
use storage::error_kind::DbErrorKind;

use super::execution::{Cancelled, VersionChanged};
use crate::metrics;
use increments::{RecordError, ValidationError};
use reports::ReportError;

/// The code of an error, sent in `extensions.code`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BadUserInput,
    Unauthenticated,
    Forbidden,
    Overloaded,
    Unavailable,
    PayloadTooLarge,
    AnswerTooLarge,
    PersistedQueryNotSupported,
    ParseFailed,
    ValidationFailed,
    Internal,
}

impl Code {
    pub(crate) const ALL: [Self; 11] = [
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Overloaded,
        Self::Unavailable,
        Self::PayloadTooLarge,
        Self::AnswerTooLarge,
        Self::PersistedQueryNotSupported,
        Self::ParseFailed,
        Self::ValidationFailed,
        Self::Internal,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::Overloaded => "OVERLOADED",
            Self::Unavailable => "UNAVAILABLE",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::AnswerTooLarge => "ANSWER_TOO_LARGE",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::Internal => "INTERNAL_SERVER_ERROR",
        }
    }

    /// Returns whether the same request may succeed later.
    pub(crate) fn is_retryable(self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable)
    }

    /// Counts an error that is sent to a client.
    pub(crate) fn count(self) {
        metrics::errors(self).increment(1);
    }
}

/// Builds an error with its code.
pub(crate) fn error(code: Code, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| {
        extensions.set("code", code.as_str());
        extensions.set("retryable", code.is_retryable());
    })
}

/// Returns the code of an error; errors of the GraphQL library itself have none.
pub(crate) fn code_of(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Some(code),
        _ => None,
    }
}

/// Counts errors that are sent to a client, by their codes.
pub(crate) fn count_errors(errors: &[ServerError]) {
    for told in errors.iter().filter_map(code_of) {
        Code::ALL.into_iter().filter(|code| code.as_str() == told).for_each(Code::count);
    }
}

/// Counts one error that is sent to a client, and returns it.
pub(crate) fn count_error(error: ServerError) -> ServerError {
    count_errors(std::slice::from_ref(&error));
    error
}

/// Logs `source`, and returns an error that does not show it to the client.
fn internal(source: &(dyn StdError + 'static)) -> Error {
    tracing::error!(error = source, "request failed");
    error(Code::Internal, "internal error; the server's log says why")
}

pub(super) fn of_invalid(invalid: &ValidationError, place: &str) -> Error {
    error(Code::BadUserInput, format!("{place}{invalid}"))
}

pub(super) fn of_record(failure: &RecordError) -> Error {
    match failure {
        RecordError::Overloaded => error(Code::Overloaded, failure.to_string()),
        RecordError::Unavailable(_) => error(Code::Unavailable, failure.to_string()),
        RecordError::KeyReused => error(Code::BadUserInput, failure.to_string()),
        // The error was logged where the commit failed.
        RecordError::Refused(_) => error(Code::Internal, "internal error; the server's log says why"),
    }
}

pub(super) fn of_report(failure: &ReportError) -> Error {
    match failure {
        ReportError::Interval(interval) => error(Code::BadUserInput, interval.to_string()),
        ReportError::Database(source) => of_database(source),
        ReportError::VersionChanged => Error {
            source: Some(Arc::new(VersionChanged)),
            ..error(Code::Unavailable, "the report has changed meanwhile, try again")
        },
    }
}

pub(super) fn of_database(failure: &DbErr) -> Error {
    if DbErrorKind::is_timeout(failure) {
        tracing::warn!(error = failure as &dyn StdError, "a query took too long");
        return error(
            Code::Unavailable,
            "the query took too long; ask for a shorter interval or for fewer pages, or try again later",
        );
    }
    let why = match DbErrorKind::of(failure) {
        DbErrorKind::Refused => return internal(failure),
        DbErrorKind::DiskFull => "the database's disk is full",
        DbErrorKind::Conflict => {
            tracing::warn!(error = failure as &dyn StdError, "a query was in the way of other work of the database");
            let told = "the query was in the way of other work of the database, try again";
            return Error { source: Some(Arc::new(Cancelled)), ..error(Code::Unavailable, told) };
        }
        DbErrorKind::Unavailable => "the database can't be reached",
    };
    tracing::warn!(error = failure as &dyn StdError, "{why}");
    error(Code::Unavailable, format!("{why}, try again later"))
}
