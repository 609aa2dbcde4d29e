//! Why a line can't be read.

/// The reason why a line of a log or of counts can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A line of an access log.
    #[error(transparent)]
    Log(#[from] access_logs::LineError),
    /// A line of counts.
    #[error(transparent)]
    Count(#[from] counts::LineError),
}
