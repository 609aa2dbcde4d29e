//! The state that all request handlers share.

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dashboard_settings::DashboardSettings, exporter::Exporter, response_cache::ResponseCache,
    subscriber_limits::SubscriberLimits, timeouts::Timeouts, view_settings::ViewSettings,
};
use crate::{
    access::{Access, Site},
    graphql::OperationExecutor,
    memory_budget::MemoryBudget,
};

/// A handle of the state. Cheap to clone: a request clones it several times.
#[derive(Clone)]
pub(super) struct App(Arc<AppState>);

/// The state that all request handlers share.
pub(super) struct AppState {
    pub(super) executor: OperationExecutor,
    pub(super) responses: ResponseCache,
    /// Begins exports; none where no reports are served.
    pub(super) exporter: Option<Exporter>,
    pub(super) access: Access,
    /// The settings of views that browsers send.
    pub(super) views: ViewSettings,
    pub(super) dashboard: DashboardSettings,
    /// The sites in the order of the setting.
    pub(super) sites: Vec<Site>,
    /// The most bytes of a request's body.
    pub(super) body_bytes_max: usize,
    /// The memory of the bodies of all requests, and of what is read of them.
    pub(super) body_memory: MemoryBudget,
    pub(super) subscriber_limits: SubscriberLimits,
    /// The most operations under way on one socket.
    pub(super) socket_operations: usize,
    pub(super) timeouts: Timeouts,
    pub(super) stop: CancellationToken,
    /// Sockets, and operations that may outlive their request.
    pub(super) tasks: TaskTracker,
}

impl App {
    pub(super) fn new(state: AppState) -> Self {
        Self(Arc::new(state))
    }
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl FromRef<App> for Access {
    fn from_ref(app: &App) -> Self {
        app.access.clone()
    }
}
