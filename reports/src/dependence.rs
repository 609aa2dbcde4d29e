//! What the event of a live report was read from, by which it can be told whether a later event would be the same.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use entity::Hour;
use tokio::sync::OwnedSemaphorePermit;

use super::{present::PresentHour, report_query::ReportQuery};

/// What an event shows, beside the freshness, depends on this alone.
#[derive(Clone, Debug)]
pub struct Dependence {
    /// The newest version of the content that is known to have the same.
    pub(super) version: i64,
    pub(super) named: Named,
    pub(super) hours: Hours,
}

/// What was read of named pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// The hashes of the pages' names.
    pub(super) pages: Vec<u64>,
    /// The first counted hour of the site, if it was read.
    pub(super) first_hour: Option<Option<Hour>>,
}

/// The hours that a view's intervals, buckets and comparisons depend on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Hours {
    pub(super) present: PresentHour,
    /// The hour up to which all views are counted.
    pub(super) looked_at: Option<Hour>,
    pub(super) hours_since: Option<NaiveDate>,
}

/// What an event has read so far.
#[derive(Debug)]
pub(super) struct EventReads {
    /// `None` once anything was read that is not of named pages.
    named: Mutex<Option<Named>>,
    /// The event's turn, until its view is dropped.
    _turn: OwnedSemaphorePermit,
}

impl EventReads {
    pub(super) fn new(turn: OwnedSemaphorePermit) -> Self {
        Self { named: Mutex::new(Some(Named::default())), _turn: turn }
    }

    /// Notes that the event depends on the result of a query. For the first counted hour that is left to `note_first_hour`.
    pub(super) fn note(&self, query: &ReportQuery) {
        let mut all = self.lock();
        match (all.as_mut(), query.page_hashes()) {
            // Most events ask for the same pages again and again.
            (Some(named), Some(pages)) if named.pages.ends_with(&pages) => {}
            (Some(named), Some(pages)) => named.pages.extend(pages),
            (Some(_), None) if !matches!(query, ReportQuery::FirstHour) => *all = None,
            _ => {}
        }
    }

    pub(super) fn note_first_hour(&self, first_hour: Option<Hour>) {
        if let Some(named) = self.lock().as_mut() {
            named.first_hour = Some(first_hour);
        }
    }

    /// Notes that the event depends on the version of the report.
    pub(super) fn note_version(&self) {
        *self.lock() = None;
    }

    pub(super) fn named(&self) -> Option<Named> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
