//! Leads requests to their handlers.

use std::convert::Infallible;

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::Method,
    response::Response,
};
use tower_service::Service;

use super::{GRAPHQL, error::HttpError, graphql, state::App};
use crate::access::Peer;

/// The handlers of all addresses. Cheap to clone.
#[derive(Clone)]
pub(super) struct Routes {
    router: Router,
    /// Where POST requests to `/graphql` need no router: there are services, and no layer stands around the handler.
    graphql: Option<App>,
}

impl Routes {
    /// Returns the routes of `router`, which has been made for `app`.
    pub(super) fn new(router: Router, app: Option<App>) -> Self {
        Self { router, graphql: app.filter(|app| app.access.cors().is_none()) }
    }

    /// Answers a request from `peer`.
    ///
    /// POST requests to `/graphql` go to their handler at once. The router does the same, and takes as much processor
    /// time as all else that an increment of its own costs in this crate: it boxes each layer and handler, and each of
    /// their futures.
    pub(super) async fn answer(&mut self, mut request: Request, peer: Peer) -> Result<Response, Infallible> {
        if let Some(app) = &self.graphql
            && request.method() == Method::POST
            && request.uri().path() == GRAPHQL
            && app.access.answers_for(&request)
        {
            let (head, body) = request.into_parts();
            let principal = app.access.principal(peer, &head.headers).map_err(HttpError::from);
            return Ok(graphql::post(State(app.clone()), principal, head.headers, body).await);
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        self.router.call(request).await
    }
}
