//! Errors in responses: a code for programs and a message for people, without internal details.

use std::{error::Error as StdError, sync::Arc};

use async_graphql::{Error, ErrorExtensions, Pos, ServerError, Value};
use increments::{RecordError, ValidationError};
use jobs::JobError;
use reports::{ReportError, freshness::RequiredFreshness};
use sea_orm::DbErr;
use storage::DbErrorKind;

use crate::{access::AuthError, error_code::Code};

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
    for sent in errors.iter().filter_map(code_of) {
        Code::ALL.into_iter().filter(|code| code.as_str() == sent).for_each(Code::count);
    }
}

/// Counts one error that is sent to a client, and returns it.
pub(crate) fn count_error(error: ServerError) -> ServerError {
    count_errors(std::slice::from_ref(&error));
    error
}

/// Marks a field error caused by the report changing during the request; the request is then retried.
#[derive(Debug)]
pub(super) struct VersionChanged;

/// Marks a field error caused by a statement in conflict with other work of the database: a standby, for instance,
/// cancels statements that hold up its replay.
#[derive(Debug)]
pub(super) struct Cancelled;

/// Logs `source`, and returns an error that does not show it to the client.
fn internal(source: &(dyn StdError + 'static)) -> Error {
    tracing::error!(error = source, "request failed");
    error(Code::Internal, INTERNAL)
}

pub(super) fn of_invalid(invalid: &ValidationError, place: &str) -> Error {
    error(Code::BadUserInput, format!("{place}{invalid}"))
}

pub(super) fn of_record(failure: &RecordError) -> Error {
    match failure {
        RecordError::Overloaded => error(Code::Overloaded, failure.to_string()),
        RecordError::Unavailable(_) => error(Code::Unavailable, failure.to_string()),
        RecordError::PartlyRecorded => error(Code::PartlyRecorded, failure.to_string()),
        RecordError::KeyReused | RecordError::ImportedMeanwhile => error(Code::BadUserInput, failure.to_string()),
        // The error was logged where the commit failed.
        RecordError::Refused(_) => error(Code::Internal, INTERNAL),
    }
}

pub(super) fn of_report(failure: &ReportError) -> Error {
    match failure {
        ReportError::Interval(interval) => error(Code::BadUserInput, interval.to_string()),
        ReportError::UnknownGroup(_) => error(Code::BadUserInput, format!("filter.pages: {failure}")),
        ReportError::IncompleteGroup { .. } => error(Code::Unavailable, format!("{failure}; try again later")),
        ReportError::Database(source) => of_database(source),
        ReportError::NotFreshEnough { required, as_of } => {
            let reached = as_of.map_or_else(
                || "there was no refresh yet".to_owned(),
                |as_of| format!("asOf is {}", as_of.to_rfc3339()),
            );
            let wanted = match required {
                RequiredFreshness { not_before: Some(not_before), .. }
                    if as_of.is_none_or(|as_of| as_of < *not_before) =>
                {
                    format!("report.notBefore is {}", not_before.to_rfc3339())
                }
                _ => "it is staler than report.maxStalenessSeconds".to_owned(),
            };
            let failure = error(Code::NotFreshEnough, format!("the report is not fresh enough: {wanted}, {reached}"));
            let as_of = as_of.map_or(Value::Null, |as_of| Value::from(as_of.to_rfc3339()));
            failure.extend_with(|_, extensions| extensions.set("asOf", as_of))
        }
        ReportError::VersionChanged => Error {
            source: Some(Arc::new(VersionChanged)),
            ..error(Code::Unavailable, "the report has changed meanwhile, try again")
        },
    }
}

/// Converts the error of a job that is not taken. `field` is the field of the input that an error about the pages is about.
pub(super) fn of_job(failure: &JobError, field: &str) -> Error {
    let field = match failure {
        JobError::Database(source) => return of_database(source),
        JobError::TooManyJobs => return error(Code::Overloaded, failure.to_string()),
        JobError::UnknownPage(_) | JobError::UnknownImport | JobError::UndoneAlready => field,
        JobError::SameName | JobError::AliasOfItself | JobError::TargetIsAlias => "input.to",
        JobError::TooManyAliases => "input.keepAlias",
        JobError::KeyReused => "input.idempotencyKey",
    };
    error(Code::BadUserInput, format!("{field}: {failure}"))
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
            let message = "the query was in the way of other work of the database, try again";
            return Error { source: Some(Arc::new(Cancelled)), ..error(Code::Unavailable, message) };
        }
        DbErrorKind::Unavailable => "the database can't be reached",
    };
    tracing::warn!(error = failure as &dyn StdError, "{why}");
    error(Code::Unavailable, format!("{why}, try again later"))
}

/// Converts a refusal to let a client record.
pub(super) fn of_auth(denied: AuthError) -> Error {
    error(denied.code(), denied.to_string())
}

/// Builds a request error, which has neither location nor path.
pub(crate) fn request_error(code: Code, message: impl Into<String>) -> ServerError {
    let failure = error(code, message).into_server_error(Pos::default());
    ServerError { locations: Vec::new(), ..failure }
}

/// Builds the error for a panic. The log has the panic's message and location already.
pub(super) fn panicked() -> ServerError {
    request_error(Code::Internal, INTERNAL)
}

const INTERNAL: &str = "internal error; the server's log says why";

/// The beginnings of the GraphQL library's messages about arguments and variables that can't be read.
const INPUT_ERRORS: [&str; 3] = ["Expected input type ", "Failed to parse ", "Variable "];

/// Gives an error of the GraphQL library its code. The message of an unforeseen one is logged and replaced, so that no
/// client sees internal details.
pub(super) fn assign_code(failure: &mut ServerError) {
    if code_of(failure).is_some() {
        return;
    }
    // The errors of the resolvers have a code already.
    let code = if failure.path.is_empty() {
        Code::ValidationFailed
    } else if INPUT_ERRORS.iter().any(|beginning| failure.message.starts_with(beginning)) {
        Code::BadUserInput
    } else {
        tracing::error!(error.message = failure.message, "a resolver failed in a way that has no code");
        INTERNAL.clone_into(&mut failure.message);
        Code::Internal
    };
    set_code(failure, code);
}

pub(super) fn set_code(failure: &mut ServerError, code: Code) {
    let extensions = failure.extensions.get_or_insert_default();
    extensions.set("code", code.as_str());
    extensions.set("retryable", code.is_retryable());
}

#[cfg(test)]
mod tests {
    use async_graphql::PathSegment;

    use super::*;

    #[test]
    fn messages_of_unforeseen_errors_are_not_sent() {
        let failed = |message: &str, at_a_field: bool| {
            let mut failure = ServerError::new(message, None);
            if at_a_field {
                failure.path = vec![PathSegment::Field("report".to_owned())];
            }
            assign_code(&mut failure);
            (code_of(&failure).unwrap().to_owned(), failure.message)
        };
        assert_eq!(
            failed("Data `x::Secret` does not exist.", true),
            ("INTERNAL_SERVER_ERROR".to_owned(), INTERNAL.to_owned())
        );
        assert_eq!(failed("Failed to parse \"SafeInt\": no", true).0, "BAD_USER_INPUT");
        assert_eq!(
            failed("Unknown field", false),
            ("GRAPHQL_VALIDATION_FAILED".to_owned(), "Unknown field".to_owned())
        );
    }
}
