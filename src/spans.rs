//! Exports spans to an OpenTelemetry collector.

use std::{str::FromStr, time::Duration};

use hyper::{Uri, http::uri::Scheme};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter, warn};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, Targets, filter_fn},
    registry::LookupSpan,
};

/// The path of the collector's endpoint for spans.
const PATH: &str = "/v1/traces";
/// The time limit for sending the remaining spans at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The address of a collector that accepts OTLP over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(Uri);

/// The error for a text that is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("an endpoint is http://HOST:PORT, without a path, such as http://127.0.0.1:4318")]
pub(crate) struct ParseEndpointError;

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, ParseEndpointError> {
        let uri: Uri = text.parse().map_err(|_unreadable| ParseEndpointError)?;
        let is_plain = uri.scheme() == Some(&Scheme::HTTP) && uri.path() == "/" && uri.query().is_none();
        if is_plain { Ok(Self(uri)) } else { Err(ParseEndpointError) }
    }
}

/// The crates whose spans are exported.
const OUR_CRATES: [&str; 5] = ["api", "increments", "reports", "storage", "wolf"];

/// An exporter of spans. Up to 2,048 spans wait to be sent; if the collector does not answer, further ones are dropped.
#[derive(Debug)]
pub(crate) struct Export(SdkTracerProvider);

impl Export {
    /// Returns an exporter to this endpoint.
    pub(crate) fn to(Endpoint(uri): &Endpoint) -> Result<Self, ExporterBuildError> {
        let endpoint = format!("{}{PATH}", uri.to_string().trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
        let resource = Resource::builder().with_service_name(env!("CARGO_PKG_NAME")).build();
        Ok(Self(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
    }

    /// Returns the layer that exports the spans of [`OUR_CRATES`]. Events are not exported; they are in the log.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let ours = Targets::new().with_targets(OUR_CRATES.map(|name| (name, LevelFilter::DEBUG)));
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")));
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false);
        layer.with_filter(ours.and(filter_fn(|metadata| metadata.is_span())))
    }

    /// Sends the remaining spans, for two seconds at most.
    pub(crate) fn finish(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_TIMEOUT) {
            warn!(error = %error, "not all spans could be sent");
        }
    }
}
