//! What is answered about push endpoints (names chosen). Times are epoch milliseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub endpoint_id: String,
    /// `url` or `listener`.
    pub kind: String,
    /// Where pushes go; empty for a listener.
    pub url: String,
    /// What it is, for people.
    pub description: String,
    /// The event types that it is told; empty: all.
    pub events: Vec<String>,
    /// `on`, `paused`, or `off` where the mall switched it off.
    pub state: String,
    /// Why it is off; empty otherwise.
    pub off_reason: String,
    /// When it was added.
    pub created_at: i64,
    /// Since when nothing but failures came of it.
    pub failing_since: Option<i64>,
    /// How many tries failed since the last success.
    pub failures: i64,
    /// When it is tried again, where it failed so often that its events wait.
    pub probe_at: Option<i64>,
    /// When it was tried last.
    pub tried_at: Option<i64>,
    /// When a try succeeded last.
    pub succeeded_at: Option<i64>,
    /// How many events wait; of more than 10,000 that many are told.
    pub waiting: i64,
    /// The keys that sign, the newest first.
    pub keys: Vec<Key>,
}

/// A key that signs, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The id by which `x-lf-signature` names it.
    pub key_id: String,
    /// When it was made.
    pub created_at: i64,
    /// From when on nothing is signed with it.
    pub retires_at: Option<i64>,
}

/// All endpoints of a partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The oldest first.
    pub endpoints: Vec<Endpoint>,
}

/// A key that was just made. Its text is not shown again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedKey {
    /// The id by which `x-lf-signature` names it.
    pub key_id: String,
    /// The key as hexadecimal text.
    pub hex: String,
    /// The same key as libraries of Standard Webhooks want it.
    pub whsec: String,
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedKey({})", self.key_id)
    }
}

/// An endpoint with a key that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedEndpoint {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its new key.
    pub key: IssuedKey,
}

/// One try to tell an endpoint something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it was signed and sent.
    pub tried_at: i64,
    /// How long it took until the answer, or until it had failed.
    pub latency_ms: i64,
    /// The HTTP status; `null` where no answer came.
    pub status: Option<i64>,
    /// Why no answer came, for programs; empty otherwise.
    pub failure: String,
    /// The beginning of the answer, or words about the failure.
    pub said: String,
}

/// What came of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The sample.
    pub event_id: String,
    /// `delivered`, `failed`, or `waiting` for a listener.
    pub state: String,
    /// The try; `null` for a listener.
    pub attempt: Option<Try>,
}

/// An event as an endpoint was told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// What it is about: the id of an order, an ICCID, … Events of one subject go in their order.
    pub subject: String,
    /// The event's place among those of its subject, from 1.
    pub sequence: i64,
    /// When it happened.
    pub occurred_at: i64,
    /// When the mall recorded it.
    pub recorded_at: i64,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    /// How many tries counted.
    pub tries: i64,
    /// When it is due, if it waits.
    pub due_at: Option<i64>,
    /// When it was delivered or given up.
    pub decided_at: Option<i64>,
    /// The tries, the newest first.
    pub attempts: Vec<Try>,
    /// The bytes that are signed and sent; only where one event was asked for.
    pub body: Option<String>,
}

/// A page of deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// The newest first.
    pub deliveries: Vec<Delivery>,
    /// What `cursor` the next page has; `null` after the last.
    pub next_cursor: Option<String>,
}

/// How many events are sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resent {
    /// So many wait again by this call.
    pub count: i64,
    /// Go on with this `cursor`; `null` if that was all.
    pub next_cursor: Option<String>,
}

/// An event as it would have been pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEvent {
    /// The event.
    pub event_id: String,
    /// The headers of its push.
    pub headers: BTreeMap<String, String>,
    /// The bytes that were signed.
    pub body: String,
}

/// What waits for a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Those that waited longest first, and of each subject only what comes first.
    pub events: Vec<SignedEvent>,
}
