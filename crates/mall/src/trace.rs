//! The trace that a request or job belongs to: written with every job, so that what a request set off can
//! be followed.

tokio::task_local! {
    /// The trace of the request or job that runs in this task.
    pub static TRACE: String;
}

/// The trace of whatever runs now; empty where there is none.
pub(crate) fn current() -> String {
    TRACE.try_with(Clone::clone).unwrap_or_default()
}
