//! Idempotency keys by Stripe's rules: the same key and body have the same answer, another body is refused, and a key
//! is forgotten after 24 hours. Touches nothing.

use std::collections::HashMap;

use crate::error::ApiError;
use crate::exchange::{Answer, Request};
use crate::state::State;

/// How long a key is remembered, in seconds.
const REMEMBERED: i64 = 24 * 60 * 60;

/// The keys that were used.
pub(crate) type Keys = HashMap<String, Used>;

/// A key that was used.
#[derive(Debug)]
pub(crate) struct Used {
    at: i64,
    path: String,
    body: Vec<u8>,
    answer: Answer,
}

/// What is known of a key.
pub(crate) enum Known {
    /// Nothing.
    New,
    /// The answer to the same request.
    Answer(Answer),
    /// It was used for another request.
    Other(ApiError),
}

/// Whether a key was used, and for this request.
pub(crate) fn known(state: &mut State, key: &str, request: &Request) -> Known {
    let oldest = state.now.saturating_sub(REMEMBERED);
    state.keys.retain(|_, used| used.at > oldest);
    match state.keys.get(key) {
        None => Known::New,
        Some(used) if used.path == request.path && used.body == request.body => {
            Known::Answer(used.answer.clone())
        }
        Some(_) => {
            let message = format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. \
                 Try using a key other than '{key}' if you meant to execute a different request."
            );
            Known::Other(ApiError::new(400, "idempotency_error", message))
        }
    }
}

/// Keeps the answer to a request under its key.
pub(crate) fn keep(state: &mut State, key: String, request: &Request, answer: Answer) {
    let (path, body) = (request.path.clone(), request.body.clone());
    let used = Used { at: state.now, path, body, answer };
    state.keys.insert(key, used);
}
