//! Begins exports, of which few may be under way.

use std::{error::Error, sync::Arc};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use reports::{Export, PageFilter, ReportError, ReportReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use super::error::HttpError;
use crate::error_code::Code;

/// The most exports at the same time. Each holds a connection and a snapshot.
const EXPORTS_MAX: usize = 2;

/// Begins exports of the report.
pub(super) struct Exporter {
    reader: ReportReader,
    room: Arc<Semaphore>,
}

impl Exporter {
    pub(super) fn new(reader: ReportReader) -> Self {
        Self { reader, room: Arc::new(Semaphore::new(EXPORTS_MAX)) }
    }

    /// Begins an export. It is under way until its permit is dropped.
    pub(super) async fn begin(
        &self,
        pages: PageFilter,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> Result<(Export, OwnedSemaphorePermit), HttpError> {
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_full| {
            let message = format!("{EXPORTS_MAX} exports are under way, which is the most");
            HttpError::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message)
        })?;
        Ok((self.reader.export(pages, start, end).await?, permit))
    }
}

impl From<ReportError> for HttpError {
    fn from(error: ReportError) -> Self {
        warn!(error = &error as &dyn Error, "an export can't be made");
        let message = "the counts can't be read now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
    }
}
