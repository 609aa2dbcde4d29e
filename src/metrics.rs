//! The metrics of this process: the one place that knows who collects them, and how they are written down.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use api::http::MetricsRenderer;
use entity::Database;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use wolf::StaleHours;

const BUILD_INFO: &str = "analytics_build_info";
const CONNECTIONS: &str = "analytics_database_connections";
const CONNECTIONS_MAX: &str = "analytics_database_max_connections";

/// How often what was measured is summed, if nobody asks for it: until then every single figure is kept.
const SUM_EVERY: Duration = Duration::from_secs(5);

/// Collects what is measured from now on in this process.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// To be called once, before the parts that are measured are made.
    pub(crate) fn collect() -> anyhow::Result<Self> {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in api::metrics::HISTOGRAMS.into_iter().chain(wolf::HISTOGRAMS) {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).context("metrics are collected already")?;
        describe_gauge!(BUILD_INFO, "Always 1; the label is the version of the program.");
        describe_gauge!(CONNECTIONS, "Connections that a pool has open, by whether they are in use.");
        describe_gauge!(CONNECTIONS_MAX, "Connections that a pool may have open.");
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1);
        Ok(Self(handle))
    }

    /// How they are written down, with what the services themselves do not know.
    pub(crate) fn metrics_renderer(&self, database: &Database, stale_hours: Option<StaleHours>) -> MetricsRenderer {
        let (handle, database, stale_hours) = (self.0.clone(), database.clone(), stale_hours.map(Arc::new));
        MetricsRenderer::new(move || {
            let (handle, database, stale_hours) = (handle.clone(), database.clone(), stale_hours.clone());
            async move {
                observe_pools(&database);
                if let Some(stale_hours) = stale_hours {
                    stale_hours.observe().await;
                }
                handle.render()
            }
        })
    }

    /// Sums what was measured, again and again, until `stop`.
    pub(crate) async fn sum(self, stop: CancellationToken) {
        let mut clock = tokio::time::interval(SUM_EVERY);
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
