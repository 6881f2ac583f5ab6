//! The networks as their clients meet them, without sockets, and their journals beside it.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod cube;
mod esim_access;
mod esim_go;
mod faults;
mod plain;
mod properties;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use domain::{Clock, Ctx, Timestamp};
use serde_json::Value;
use upstream::{Credentials, Faults, Protocol, Reply, Request, Upstream};

/// A SIM, and the time at which the published requests were signed.
pub(crate) const SIM: &str = "89248044404413065327";
pub(crate) const START_MS: i64 = 1_674_197_059_220;

/// A clock that stands still until it is moved.
pub(crate) struct Hand(pub(crate) AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A network with its clock.
pub(crate) struct Played {
    pub(crate) upstream: Upstream,
    clock: Arc<Hand>,
}

impl Played {
    pub(crate) fn new(protocol: Protocol, faults: &str, seed: u64) -> Self {
        Self::with(protocol, faults, seed, Credentials::default())
    }

    pub(crate) fn with(
        protocol: Protocol,
        faults: &str,
        seed: u64,
        credentials: Credentials,
    ) -> Self {
        let faults = Faults::preset(faults).unwrap_or_else(|| Faults::parse(faults).unwrap());
        let clock = Arc::new(Hand(AtomicI64::new(START_MS * 1_000)));
        let ctx = Ctx::new(clock.clone(), rand::SeedableRng::seed_from_u64(0));
        let made = Upstream::with_credentials(protocol, faults, seed, ctx, credentials);
        Self { upstream: made.unwrap(), clock }
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub(crate) fn ask(&self, request: &Request) -> (u16, Value) {
        read(&self.upstream.handle(request))
    }

    /// What came of a reference: done, refused, failed in silence, repeated.
    pub(crate) fn count(&self, reference: &str) -> (u64, u64, u64, u64) {
        let count = self.upstream.counts().get(reference).copied().unwrap_or_default();
        (count.done, count.refused, count.silent_failures, count.repeated)
    }
}

/// The status and the JSON of an answer that came.
pub(crate) fn read(reply: &Reply) -> (u16, Value) {
    let answer = reply.answer().unwrap_or_else(|| panic!("no answer: {reply:?}"));
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
    }
}

/// A request to Cube that proves nothing but has the right form.
pub(crate) fn to_cube(method: &str, target: &str, body: Option<&Value>) -> Request {
    let time = START_MS.to_string();
    let headers = [("Authorization", "LF key/AAAA"), ("timestamp", &time), ("nonce", "1")];
    request(method, &format!("/cube/v4{target}"), &headers, body)
}

pub(crate) fn cube_order(po: &str, sims: &[&str]) -> Request {
    let item = serde_json::json!({"id": "CP-6HPXRQI88QSM", "quantity": 1, "sim_ids": sims});
    let body = serde_json::json!({"extra": {"po": po}, "items": [item]});
    to_cube("POST", "/orders/service", Some(&body))
}

pub(crate) fn to_access(path: &str, body: &Value) -> Request {
    request("POST", &format!("/api/v1/open{path}"), &[("RT-AccessCode", "code")], Some(body))
}

pub(crate) fn top_up(transaction: &str, iccid: &str) -> Request {
    let body = serde_json::json!({
        "iccid": iccid, "packageCode": "CP-6HPXRQI88QSM", "transactionId": transaction,
    });
    to_access("/esim/topup", &body)
}

pub(crate) fn to_go(method: &str, target: &str, body: Option<&Value>) -> Request {
    request(method, &format!("/v2.5{target}"), &[("X-API-Key", "key")], body)
}

pub(crate) fn go_order(kind: &str, iccids: &[&str]) -> Request {
    let item = serde_json::json!({
        "type": "bundle", "item": "esim_1GB", "quantity": iccids.len(), "iccids": iccids,
    });
    let body = serde_json::json!({"type": kind, "assign": true, "order": [item]});
    to_go("POST", "/orders", Some(&body))
}

pub(crate) fn to_plain(method: &str, target: &str, body: Option<&Value>) -> Request {
    request(method, &format!("/plain/v1{target}"), &[("X-API-Key", "key")], body)
}

pub(crate) fn plain_order(reference: &str, iccid: &str) -> Request {
    let body = serde_json::json!({"iccid": iccid, "product": "CP-6HPXRQI88QSM", "quantity": 1});
    to_plain("PUT", &format!("/orders/{reference}"), Some(&body))
}
