//! Events: kept, and delivered with real signatures until they were taken, or lost, doubled and disordered on demand.
//! Touches nothing.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::state::State;

/// How long after a delivery that failed the next one is tried, in seconds.
const RETRY: i64 = 5;

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub event_id: String,
    /// The bytes that are signed and sent.
    pub body: Vec<u8>,
    /// The value of `Stripe-Signature`.
    pub signature: String,
}

/// What waits to be delivered.
#[derive(Debug)]
pub(crate) struct Outbox {
    secret: String,
    waiting: Vec<(i64, String)>,
    /// Whether events are lost from now on.
    pub(crate) dropping: bool,
    /// How often each comes.
    pub(crate) times: usize,
    /// Whether later ones come first.
    pub(crate) backwards: bool,
}

impl Outbox {
    pub(crate) fn new(secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            waiting: Vec::new(),
            dropping: false,
            times: 1,
            backwards: false,
        }
    }
}

/// Tells of something that happened to an object.
pub(crate) fn tell(state: &mut State, kind: &str, object: &Value) {
    let id = state.next("evt");
    let event = json!({
        "id": id, "object": "event", "type": kind, "created": state.now, "livemode": false,
        "api_version": "2025-02-24.acacia", "pending_webhooks": 1, "data": {"object": object},
        "request": {"id": null, "idempotency_key": null},
    });
    state.add("event", event);
    if !state.outbox.dropping {
        state.outbox.waiting.push((i64::MIN, id));
    }
}

/// The deliveries that are due. Signatures have the time of whoever serves it: that one checks them.
pub(crate) fn due(state: &mut State, now_micros: i64) -> Vec<Delivery> {
    let seconds = now_micros.div_euclid(1_000_000);
    let due = state.outbox.waiting.iter().filter(|(at, _)| *at <= seconds);
    let mut ids: Vec<String> = due.map(|(_, id)| id.clone()).collect();
    if state.outbox.backwards {
        ids.reverse();
    }
    let mut deliveries = Vec::new();
    for event_id in ids {
        let Some(event) = state.find("event", &event_id) else { continue };
        let body = event.to_string().into_bytes();
        let signature = sign(&state.outbox.secret, seconds, &body);
        for _ in 0..state.outbox.times {
            let (event_id, body) = (event_id.clone(), body.clone());
            deliveries.push(Delivery { event_id, body, signature: signature.clone() });
        }
    }
    deliveries
}

/// What came of a delivery.
pub(crate) fn delivered(state: &mut State, event_id: &str, done: bool, now_micros: i64) {
    let seconds = now_micros.div_euclid(1_000_000);
    if done {
        state.outbox.waiting.retain(|(_, id)| id != event_id);
    }
    for (at, id) in &mut state.outbox.waiting {
        if id == event_id {
            *at = seconds.saturating_add(RETRY);
        }
    }
}

fn sign(secret: &str, seconds: i64, body: &[u8]) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
}
