//! No request takes for ever: whatever is behind this layer is cut off when its time is over.

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use domain::Locale;
use wire::Code;

use crate::answer::Voice;
use crate::signed::accepted_locale;

/// Answers that the mall is not available where an answer takes too long. The work is dropped, and
/// with it its transaction; if that was committed already, the caller's repetition finds it done.
pub(crate) async fn cut_off(
    State(time_max): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let locale = accepted_locale(request.headers()).unwrap_or(Locale::EnUs);
    tokio::time::timeout(time_max, next.run(request)).await.unwrap_or_else(|_| {
        tracing::error!(seconds = time_max.as_secs(), "a request took too long and was cut off");
        Voice::new(locale).refuse(Code::Unavailable)
    })
}

/// Whether a body was cut off because it did not come in time: the listener says so in the words of the
/// standard library.
pub(crate) fn timed_out(error: &(dyn Error + 'static)) -> bool {
    let of_io = error.downcast_ref::<io::Error>();
    of_io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.source().is_some_and(timed_out)
}
