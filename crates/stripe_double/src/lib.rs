//! Stripe, played: what a mall needs of it, with its own rules and a journal of what it really did. A protocol without
//! sockets over plain values; whoever serves it gives it time. It depends on nothing of the house, so that it shares
//! no mistake with the client.
//!
//! Money of it is play money: keys of live mode are refused.

mod cards;
mod control;
mod customers;
mod error;
mod events;
mod exchange;
mod keys;
mod money;
mod params;
mod payments;
mod refunds;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

pub use events::Delivery;
pub use exchange::{Answer, Reply, Request};
pub use state::Journal;

use error::ApiError;
use exchange::Answer as Response;
use keys::Known;
use params::Params;
use state::State;

/// The path of its own controls, which Stripe does not have.
pub const CONTROL: &str = "/_double/";

/// A Stripe of its own, with all that it holds.
#[derive(Debug)]
pub struct Double {
    state: Mutex<State>,
}

impl Double {
    /// An empty one. Ids are made of the seed; events are signed with the secret.
    pub fn new(seed: u64, webhook_secret: &str) -> Self {
        Self { state: Mutex::new(State::new(seed, webhook_secret)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic left is as good as what a crash leaves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a request at a time, in microseconds.
    pub fn answer(&self, now_micros: i64, request: &Request) -> Reply {
        let mut state = self.lock();
        state.now = now_micros.div_euclid(1_000_000).saturating_add(state.ahead);
        state.run_due();
        if let Some(call) = request.path.strip_prefix(CONTROL) {
            return Reply::now(control::answer(&mut state, call, request));
        }
        match state.faults.draw(request) {
            None => Reply::now(respond(&mut state, request)),
            Some(fault) => fault.befall(|| respond(&mut state, request)),
        }
    }

    /// The events that are to be delivered now: each comes again until it is [`Double::delivered`].
    pub fn due_events(&self, now_micros: i64) -> Vec<Delivery> {
        let mut state = self.lock();
        state.now = now_micros.div_euclid(1_000_000).saturating_add(state.ahead);
        state.run_due();
        events::due(&mut state, now_micros)
    }

    /// What came of a delivery.
    pub fn delivered(&self, event_id: &str, done: bool, now_micros: i64) {
        events::delivered(&mut self.lock(), event_id, done, now_micros);
    }

    /// What it really did.
    pub fn journal(&self) -> Journal {
        self.lock().journal.clone()
    }
}

/// The answer to a call of Stripe's API.
fn respond(state: &mut State, request: &Request) -> Response {
    let number = state.next("req");
    let answer = match authorised(request) {
        Ok(publishable) => answer_keyed(state, request, publishable),
        Err(error) => error.answer(),
    };
    answer.with_header("request-id", &number)
}

/// Whether the key is one that only apps have.
fn authorised(request: &Request) -> Result<bool, ApiError> {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let basic = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let basic = basic.and_then(decode_basic);
    let in_form = form_urlencoded::parse(&request.body)
        .find(|(name, _)| name == "key")
        .map(|(_, value)| value.into_owned());
    let key = bearer.map(str::to_owned).or(basic).or(in_form).unwrap_or_default();
    if key.contains("_live_") {
        let message = "This is a double of Stripe: it takes no keys of live mode.";
        return Err(ApiError::unauthorized(message));
    }
    match () {
        () if key.starts_with("pk_test_") => Ok(true),
        () if key.starts_with("sk_test_") || key.starts_with("rk_test_") => Ok(false),
        () if key.is_empty() => Err(ApiError::unauthorized("You did not provide an API key.")),
        () => Err(ApiError::unauthorized("Invalid API Key provided.")),
    }
}

/// The user's name of basic authentication.
fn decode_basic(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split(':').next().map(str::to_owned)
}

/// The answer, the same under the same key.
fn answer_keyed(state: &mut State, request: &Request, publishable: bool) -> Response {
    let key = request.header("idempotency-key").filter(|_| request.method == "POST");
    let Some(key) = key.map(str::to_owned) else { return execute(state, request, publishable).0 };
    match keys::known(state, &key, request) {
        Known::New => {}
        Known::Answer(answer) => return answer.with_header("idempotent-replayed", "true"),
        Known::Other(error) => return error.answer(),
    }
    let (answer, kept) = execute(state, request, publishable);
    if kept {
        keys::keep(state, key, request, answer.clone());
    }
    answer
}

/// Carries a request out; whether its key answers so from now on.
fn execute(state: &mut State, request: &Request, publishable: bool) -> (Response, bool) {
    let done = Params::parse(&request.query, &request.body).and_then(|params| {
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let (method, rest) = (request.method.as_str(), path.get(1..).unwrap_or_default());
        if publishable && !matches!((method, rest), ("POST", ["payment_intents", _, "confirm"])) {
            let message = "This API call cannot be made with a publishable API key.";
            return Err(ApiError::unauthorized(message));
        }
        route(state, (method, rest), &params, publishable)
    });
    match done {
        Ok(body) => (Response::json(200, &body), true),
        Err(error) => (error.answer(), error.is_kept),
    }
}

fn route(
    state: &mut State,
    (method, path): (&str, &[&str]),
    params: &Params,
    publishable: bool,
) -> Result<Value, ApiError> {
    match (method, path) {
        ("POST", ["customers"]) => customers::create(state, params),
        ("GET", ["customers", id]) => state.whole("customer", id, "id", params),
        ("POST", ["ephemeral_keys"]) => customers::ephemeral_key(state, params),
        ("POST", ["payment_intents"]) => payments::create(state, params),
        ("GET", ["payment_intents"]) => payments::list(state, params),
        ("GET", ["payment_intents", id]) => state.whole("payment_intent", id, "intent", params),
        ("POST", ["payment_intents", id]) => payments::update(state, id, params),
        ("POST", ["payment_intents", id, "confirm"]) => {
            payments::confirm(state, id, params, publishable)
        }
        ("POST", ["payment_intents", id, "cancel"]) => payments::cancel(state, id, params),
        ("GET", ["charges", id]) => state.whole("charge", id, "charge", params),
        ("POST", ["refunds"]) => refunds::create(state, params),
        ("GET", ["refunds"]) => state.list("refund", params, &["payment_intent", "charge"]),
        ("GET", ["refunds", id]) => state.whole("refund", id, "refund", params),
        ("GET", ["disputes"]) => state.list("dispute", params, &["payment_intent", "charge"]),
        ("GET", ["disputes", id]) => state.whole("dispute", id, "dispute", params),
        ("GET", ["events"]) => state.list("event", params, &["type"]),
        ("GET", ["events", id]) => state.whole("event", id, "id", params),
        ("GET", ["balance_transactions"]) => {
            state.list("balance_transaction", params, &["type", "source"])
        }
        ("GET", ["balance_transactions", id]) => {
            state.whole("balance_transaction", id, "id", params)
        }
        _ => {
            let path = path.join("/");
            let message = format!("Unrecognized request URL ({method}: /v1/{path}).");
            Err(ApiError::new(404, "invalid_request_error", message))
        }
    }
}

#[cfg(test)]
mod tests;
