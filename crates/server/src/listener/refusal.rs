//! What hyper says by itself of a head that it cannot read: an answer without a body, which nobody can
//! give it other words for. So it is known by its bytes when it is about to be written, and another is
//! written in its place. If hyper's form changes, its answer passes as it is, and the stories in
//! `it/slow_clients.rs` fail.

use api::Early;

/// More than any of these answers has.
const BYTES_MAX: usize = 256;

/// What hyper refuses, if these bytes are a refusal of its own. An answer of the API is none: it has
/// more headers than these.
pub(super) fn of_hyper(written: &[u8]) -> Option<Early> {
    if written.len() > BYTES_MAX || !written.starts_with(b"HTTP/1.") {
        return None;
    }
    let mut lines = str::from_utf8(written).ok()?.strip_suffix("\r\n\r\n")?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?;
    let early = [Early::Malformed, Early::PathTooLong, Early::HeadTooLarge]
        .into_iter()
        .find(|early| early.status().as_str() == status)?;
    let is_bare = |line: &str| {
        matches!(line, "connection: close" | "content-length: 0") || line.starts_with("date: ")
    };
    lines.all(is_bare).then_some(early)
}
