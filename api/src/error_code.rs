//! The codes of errors, which programs act on.

use crate::metrics;

/// The code of an error, sent in `extensions.code`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BadUserInput,
    Unauthenticated,
    Forbidden,
    Overloaded,
    Unavailable,
    PartlyRecorded,
    NotFreshEnough,
    PayloadTooLarge,
    AnswerTooLarge,
    PersistedQueryNotSupported,
    ParseFailed,
    ValidationFailed,
    Internal,
}

impl Code {
    pub(crate) const ALL: [Self; 13] = [
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Overloaded,
        Self::Unavailable,
        Self::PartlyRecorded,
        Self::NotFreshEnough,
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
            Self::PartlyRecorded => "PARTLY_RECORDED",
            Self::NotFreshEnough => "NOT_FRESH_ENOUGH",
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
        matches!(self, Self::Overloaded | Self::Unavailable | Self::NotFreshEnough)
    }

    /// Counts an error that is sent to a client.
    pub(crate) fn count(self) {
        metrics::errors(self.as_str()).increment(1);
    }

    /// Begins to count the errors of every code, from 0.
    pub(crate) fn describe_all() {
        for code in Self::ALL {
            metrics::errors(code.as_str()).increment(0);
        }
    }
}
