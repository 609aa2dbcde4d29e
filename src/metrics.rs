//! Collects the metrics of this process and renders them in Prometheus' text format.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use api::http::MetricsRenderer;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use storage::Database;
use tokio_util::sync::CancellationToken;
use wolf::StaleHours;

use crate::follow::FollowMetrics;

const BUILD_INFO: &str = "analytics_build_info";
const CONNECTIONS: &str = "analytics_database_connections";
const CONNECTIONS_MAX: &str = "analytics_database_max_connections";

/// The time between two aggregations of the histograms' samples. Until then each sample is kept in memory.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// A handle to the metrics of this process.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts to collect metrics. Has to be called once, before the services are created.
    ///
    /// # Errors
    /// When it was called before.
    pub(crate) fn collect() -> anyhow::Result<Self> {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in
            api::metrics::HISTOGRAMS.into_iter().chain(increments::HISTOGRAMS).chain(wolf::HISTOGRAMS)
        {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).context("metrics are collected already")?;
        describe_gauge!(
            BUILD_INFO,
            "Always 1; the labels are the version of the program and the commit that it is built from."
        );
        describe_gauge!(CONNECTIONS, "Connections that a pool has open, by whether they are in use.");
        describe_gauge!(CONNECTIONS_MAX, "Connections that a pool may have open.");
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "commit" => crate::BUILT_FROM).set(1);
        Ok(Self(handle))
    }

    /// Returns the renderer for the metrics endpoint. Before it renders, it measures the connection pools, and the
    /// stale hours and what is followed if they are given.
    pub(crate) fn metrics_renderer(
        &self,
        database: &Database,
        stale_hours: Option<StaleHours>,
        followed: Option<FollowMetrics>,
    ) -> MetricsRenderer {
        let (handle, database, stale_hours) = (self.0.clone(), database.clone(), stale_hours.map(Arc::new));
        MetricsRenderer::new(move || {
            let (handle, database, stale_hours) = (handle.clone(), database.clone(), stale_hours.clone());
            let followed = followed.clone();
            async move {
                observe_pools(&database);
                followed.iter().for_each(FollowMetrics::observe);
                if let Some(stale_hours) = stale_hours {
                    stale_hours.observe().await;
                }
                handle.render()
            }
        })
    }

    /// Aggregates the samples periodically, until `stop` is cancelled.
    pub(crate) async fn run_upkeep(self, stop: CancellationToken) {
        let mut clock = tokio::time::interval(UPKEEP_PERIOD);
        while stop.run_until_cancelled(clock.tick()).await.is_some() {
            self.0.run_upkeep();
        }
    }
}

fn observe_pools(database: &Database) {
    for pool in database.pools() {
        let busy = pool.open.saturating_sub(pool.idle);
        gauge!(CONNECTIONS, "pool" => pool.name, "state" => "idle").set(pool.idle);
        gauge!(CONNECTIONS, "pool" => pool.name, "state" => "busy").set(busy);
        gauge!(CONNECTIONS_MAX, "pool" => pool.name).set(pool.max);
    }
}
