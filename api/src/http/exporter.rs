//! Begins exports, of which few may be under way.

use std::{error::Error, sync::Arc, time::Duration};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use reports::{Export, PageFilter, ReportError, ReportReader};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tracing::warn;

use super::error::HttpError;
use crate::error_code::Code;

/// The most exports at the same time. Each holds a connection and a snapshot.
const EXPORTS_MAX: usize = 2;

/// The most time that an export waits for another one to end.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// Begins exports of the report.
pub(super) struct Exporter {
    reader: ReportReader,
    room: Arc<Semaphore>,
}

impl Exporter {
    pub(super) fn new(reader: ReportReader) -> Self {
        // A connection is left for queries, if there is more than one.
        let exports = usize::try_from(reader.connections_max()).unwrap_or(EXPORTS_MAX).saturating_sub(1);
        Self { reader, room: Arc::new(Semaphore::new(exports.clamp(1, EXPORTS_MAX))) }
    }

    /// Begins an export. It is under way until its permit is dropped.
    pub(super) async fn begin(
        &self,
        pages: PageFilter,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> Result<(Export, OwnedSemaphorePermit), HttpError> {
        // The export before may be about to end.
        let room = timeout(ROOM_WAIT_MAX, Arc::clone(&self.room).acquire_owned()).await;
        let Ok(Ok(permit)) = room else {
            let message = "as many exports as there may be at the same time are under way";
            return Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message));
        };
        Ok((self.reader.export(pages, start, end).await?, permit))
    }
}

impl From<ReportError> for HttpError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::UnknownGroup(_) => return Self::malformed(format!("group: {error}")),
            ReportError::IncompleteGroup { .. } => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, error.to_string());
            }
            _ => {}
        }
        warn!(error = &error as &dyn Error, "an export can't be made");
        let message = "the counts can't be read now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
    }
}
