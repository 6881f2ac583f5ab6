//! Webhooks: what is to be delivered when, signed, repeated until it is taken. Touches nothing.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::state::scrambled;

/// The pauses before each repeat, in seconds; faster than Stripe's, which takes hours.
const PAUSES: [i64; 8] = [1, 5, 30, 120, 600, 3_600, 10_800, 43_200];
/// How long a delivery may be on its way, in seconds; then it counts as failed.
const UNDERWAY_SECONDS_MAX: i64 = 60;
/// The furthest that shuffling puts a delivery off, in seconds.
const SHUFFLE_SECONDS: i64 = 3;

/// A webhook that is to be delivered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Says which one it was to [`crate::Double::delivered`].
    pub id: u64,
    /// The event's id.
    pub event: String,
    /// The endpoint.
    pub url: String,
    /// The value of the header `Stripe-Signature`.
    pub signature: String,
    /// The body's bytes.
    pub body: Vec<u8>,
}

#[derive(Debug)]
struct Planned {
    event: String,
    body: String,
    due: i64,
    tries: usize,
    is_underway: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    url: Option<String>,
    secret: String,
    planned: BTreeMap<u64, Planned>,
    /// When each is due, so that a look does not pass those that are not.
    by_time: BTreeSet<(i64, u64)>,
    made: u64,
    is_dropping: bool,
    copies: u64,
    is_shuffling: bool,
}

impl Webhooks {
    pub(crate) fn new(url: Option<String>, secret: String) -> Self {
        Self { url, secret, ..Self::default() }
    }

    /// Where webhooks go from now on.
    pub(crate) fn deliver_to(&mut self, url: String) {
        self.url = Some(url);
    }

    /// How many are due or on their way.
    pub(crate) fn waiting(&self, now: i64) -> usize {
        self.planned.values().filter(|it| it.is_underway || it.due <= now).count()
    }

    pub(crate) fn plan(&mut self, event: &str, body: &str, now: i64) {
        if self.url.is_none() || self.is_dropping {
            return;
        }
        for copy in 0..=self.copies {
            self.made = self.made.saturating_add(1);
            let chance =
                scrambled(&format!("{event}/{copy}"), 1).bytes().next().unwrap_or_default();
            let pause =
                if self.is_shuffling { i64::from(chance) % (SHUFFLE_SECONDS + 1) } else { 0 };
            let due = now.saturating_add(pause);
            let planned = Planned {
                event: event.to_owned(),
                body: body.to_owned(),
                due,
                tries: 0,
                is_underway: false,
            };
            self.planned.insert(self.made, planned);
            self.by_time.insert((due, self.made));
        }
    }

    /// What is due by the double's clock, so many at most, signed with the real time.
    pub(crate) fn due(&mut self, now: i64, real_now: i64, many: usize) -> Vec<Delivery> {
        let Some(url) = self.url.clone() else { return Vec::new() };
        let due = self.by_time.range(..=(now, u64::MAX)).take(many);
        let due: Vec<(i64, u64)> = due.copied().collect();
        let mut deliveries = Vec::new();
        for (time, id) in due {
            self.by_time.remove(&(time, id));
            let Some(it) = self.planned.get_mut(&id) else { continue };
            it.due = now.saturating_add(UNDERWAY_SECONDS_MAX);
            it.is_underway = true;
            self.by_time.insert((it.due, id));
            let body = it.body.clone().into_bytes();
            let signature = sign(&self.secret, real_now, &body);
            let event = it.event.clone();
            deliveries.push(Delivery { id, event, url: url.clone(), signature, body });
        }
        deliveries
    }

    /// What came of a delivery.
    pub(crate) fn delivered(&mut self, id: u64, is_taken: bool, now: i64) {
        let Some(it) = self.planned.get_mut(&id) else { return };
        self.by_time.remove(&(it.due, id));
        it.is_underway = false;
        match PAUSES.get(it.tries).filter(|_| !is_taken) {
            Some(pause) => {
                it.tries = it.tries.saturating_add(1);
                it.due = now.saturating_add(*pause);
                self.by_time.insert((it.due, id));
            }
            None => {
                self.planned.remove(&id);
            }
        }
    }

    pub(crate) fn set(&mut self, wanted: &Value) -> Value {
        self.is_dropping = wanted["drop"].as_bool().unwrap_or(self.is_dropping);
        self.is_shuffling = wanted["shuffle"].as_bool().unwrap_or(self.is_shuffling);
        self.copies = match &wanted["duplicate"] {
            Value::Bool(is_doubling) => u64::from(*is_doubling),
            other => other.as_u64().unwrap_or(self.copies).min(10),
        };
        let waiting = self.planned.len();
        json!({
            "drop": self.is_dropping, "duplicate": self.copies, "shuffle": self.is_shuffling,
            "waiting": waiting,
        })
    }
}

/// `t=<seconds>,v1=<hex>`: HMAC-SHA256 over the time, a point and the body.
pub(crate) fn sign(secret: &str, seconds: i64, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new(); // No length of a key is refused.
    };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
}
