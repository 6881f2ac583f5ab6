//! Spans of requests and jobs for an OpenTelemetry collector, over OTLP and HTTP. Behind the feature `otel`;
//! set by the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, …).

use anyhow::Context;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::telemetry::AnyLayer;

/// Without one of these nothing is sent: a collector on this machine is not taken for granted.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// Traces on their way to a collector. When it goes, all that waits is sent.
pub(crate) struct Export(SdkTracerProvider);

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Traces have the ids that log lines and jobs have.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let current = mall::trace::current();
        current.map_or_else(|| self.0.new_trace_id(), |trace| TraceId::from_bytes(trace.bytes()))
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Starts to send spans, if the environment says where to.
pub(crate) fn start() -> anyhow::Result<Option<(Export, AnyLayer)>> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let disabled = std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    if disabled || !ENDPOINTS.into_iter().any(set) {
        return Ok(None);
    }
    // The exporter's HTTP client has no provider of its own. An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder().with_http().build().context("OpenTelemetry")?;
    let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "simmall".to_owned());
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_id_generator(Ids::default())
        .with_resource(Resource::builder().with_service_name(name).build())
        .build();
    let tracer = provider.tracer("simmall");
    // Ours only: a library's spans are nobody's business here, least of all the exporter's own.
    let ours = Targets::new()
        .with_target("api", LevelFilter::INFO)
        .with_target("mall", LevelFilter::INFO)
        .with_target("server", LevelFilter::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours).boxed();
    Ok(Some((Export(provider), layer)))
}
