//! Idempotency keys: the same key and request has the same answer for a day. Touches nothing.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::exchange::{Answer, Request};

/// How long a key is known, in seconds of the double's clock.
const KEY_SECONDS: i64 = 86_400;
/// The most characters of a key.
const KEY_CHARS_MAX: usize = 255;

#[derive(Debug)]
struct Kept {
    fingerprint: Vec<u8>,
    answer: Answer,
    until: i64,
    /// Microseconds of the real clock until which the first call is still on its way.
    busy_until: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Keys {
    kept: BTreeMap<String, Kept>,
    /// Until when each is known, the first to be forgotten first.
    order: VecDeque<(i64, String)>,
}

fn fingerprint(request: &Request) -> Vec<u8> {
    let head = format!("{} {}?{}\n", request.method, request.path, request.query);
    Sha256::new().chain_update(head).chain_update(&request.body).finalize().to_vec()
}

impl Keys {
    /// The answer that was given under the request's key, if one was.
    pub(crate) fn replay(
        &mut self,
        request: &Request,
        now: i64,
        real_micros: i64,
    ) -> Result<Option<Answer>, ApiError> {
        self.forget(now);
        let Some(key) = key(request) else { return Ok(None) };
        if key.chars().count() > KEY_CHARS_MAX {
            let message = "Idempotency keys may be up to 255 characters long.";
            return Err(ApiError::invalid(message));
        }
        let Some(kept) = self.kept.get(key) else { return Ok(None) };
        if kept.fingerprint != fingerprint(request) {
            let message = format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. \
                 Try using a key other than '{key}' if you meant to execute a different request."
            );
            return Err(ApiError::new(400, "idempotency_error", message));
        }
        if real_micros < kept.busy_until {
            let message = format!(
                "There is currently another in-progress request using this Idempotent Key: {key}. Try again later."
            );
            let error = ApiError::new(409, "idempotency_error", message);
            return Err(error.code("idempotency_key_in_use"));
        }
        Ok(Some(kept.answer.clone().with_header("idempotent-replayed", "true")))
    }

    pub(crate) fn keep(&mut self, request: &Request, answer: &Answer, now: i64, busy_until: i64) {
        let Some(key) = key(request) else { return };
        let (fingerprint, answer) = (fingerprint(request), answer.clone());
        let until = now.saturating_add(KEY_SECONDS);
        let kept = Kept { fingerprint, answer, until, busy_until };
        self.kept.insert(key.to_owned(), kept);
        self.order.push_back((until, key.to_owned()));
    }

    /// Forgets what is too old. Keys are met in the order in which they came: not all are looked at each time.
    fn forget(&mut self, now: i64) {
        while let Some((_, key)) = self.order.pop_front_if(|(until, _)| *until <= now) {
            if self.kept.get(&key).is_some_and(|kept| kept.until <= now) {
                self.kept.remove(&key);
            }
        }
    }
}

/// The key of a request that has one; others than POST have none.
pub(crate) fn key(request: &Request) -> Option<&str> {
    request.header("idempotency-key").filter(|_| request.method == "POST")
}
