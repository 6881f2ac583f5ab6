//! The trace that the work in hand belongs to, so that an order's request and its provisioning share one.
//!
//! It goes with the task, not with the arguments: what writes a job may stand deep below whoever knows.

use domain::{TraceId, TraceParent};
use tracing::Span;

tokio::task_local! {
    static CURRENT: TraceId;
}

/// Does some work as part of a trace.
pub async fn within<W: Future>(trace: TraceId, work: W) -> W::Output {
    CURRENT.scope(trace, work).await
}

/// The trace of the work in hand, if it is part of one.
pub fn current() -> Option<TraceId> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// The same as it is stored with a job; empty where there is none.
pub(crate) fn text() -> String {
    current().map(|trace| trace.to_string()).unwrap_or_default()
}

/// Makes a span the child of the caller's step, for those who collect spans. The trace itself is that of
/// [`within`].
#[cfg(feature = "otel")]
pub fn adopt(span: &Span, parent: Option<TraceParent>) {
    use opentelemetry::Context;
    use opentelemetry::trace as otel;
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let Some(parent) = parent else { return };
    let flags = otel::TraceFlags::default().with_sampled(parent.sampled);
    let trace = otel::TraceId::from_bytes(parent.trace.bytes());
    let step = otel::SpanId::from_bytes(parent.span.to_be_bytes());
    let parent = otel::SpanContext::new(trace, step, flags, true, otel::TraceState::default());
    // An error means that nobody collects this span.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Nobody collects spans.
#[cfg(not(feature = "otel"))]
pub fn adopt(_: &Span, _: Option<TraceParent>) {}
