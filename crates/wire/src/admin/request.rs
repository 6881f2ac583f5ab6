//! The partners' request log.

use super::record::kinds::{COUNT, FREE};
use super::record::{Kind, records};

/// How a request can end.
pub const OUTCOMES: &[&str] = &["succeeded", "failed"];

records! {
    /// A request that a partner made, or that named it, and how it was answered.
    LoggedRequest {
        /// Its number, as the answer had it in `x-request-id`.
        request_id: String = Kind::Id("req"),
        /// When it came.
        at: String = Kind::Time,
        /// Method and template of its route.
        route: String = FREE,
        /// Whether it was done.
        outcome: String = Kind::Word(OUTCOMES),
        /// The HTTP status of the answer; 499 where the caller went away before.
        status: i64 = COUNT,
        /// `SUCCESS`, or the answer's `data.code`.
        code: String = FREE,
        /// The scheme of its signature; left out where it did not hold, or was not looked at.
        scheme: Option<String> = FREE,
        /// The key that it was signed with; left out under the keyless scheme.
        key_id: Option<String> = FREE,
        /// Whether the signed content held empty strings.
        empty_kept: Option<bool> = Kind::Bool,
        /// Whether the signed content held the path's parameters.
        path_kept: Option<bool> = Kind::Bool,
        /// How long it took, in microseconds.
        took_us: i64 = COUNT,
        /// Where it came from.
        address: String = FREE,
        /// Its trace, as on the lines of the log.
        trace_id: String = Kind::Hex(32),
        /// The content as the server built it, where the signature does not match. What is a person's or
        /// unknown is replaced by what it is; an ICCID keeps its first six and last four digits.
        sign_content: Option<String> = Kind::Text { min: 0, max: 4_096 },
        /// What the client did, where the signature does not match: words such as `keys-unsorted`;
        /// `unexplained`, `too-large` or `not-searched` where nothing is known.
        causes: Option<Vec<String>> = Kind::List(&FREE, 32),
    }
}
