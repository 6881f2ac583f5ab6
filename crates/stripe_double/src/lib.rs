//! Stripe, played: the part of its API that a mall uses, with its rules, its test cards, its webhooks and faults at
//! will, so that test mode runs the same client without an account and without the internet. For tests, partners
//! and operators; no money moves.
//!
//! Pure: no sockets, files, ambient time or randomness. A program gives it requests with their times and does with
//! the connection what the [`Reply`] says. Ids come from a seed and a counter, so that the same requests at the same
//! times make the same objects: whoever keeps the requests for which [`Double::must_keep`] says so can play them again.

mod auth;
mod call;
mod cards;
mod catalog;
mod charges;
mod control;
mod customers;
mod disputes;
mod error;
mod exchange;
mod faults;
mod idempotency;
mod invoices;
mod money;
mod params;
mod payment_intents;
mod refunds;
mod search;
mod setup_intents;
mod state;
mod subscriptions;
mod test_clocks;
#[cfg(test)]
mod tests;
mod webhooks;

use serde_json::{Value, json};

pub use exchange::{Answer, Reply, Request};
pub use webhooks::Delivery;

use auth::Caller;
use call::{Call, Route};
use error::ApiError;
use faults::{Fault, Faults};
use idempotency::Keys;
use params::Params;
use state::{State, Timer};
use webhooks::Webhooks;

/// The one version of the API that is played.
pub const VERSION: &str = "2025-02-24.acacia";

const MICROS: i64 = 1_000_000;

/// All calls.
const TABLES: &[&[Route]] = &[
    customers::ROUTES,
    payment_intents::ROUTES,
    charges::ROUTES,
    disputes::ROUTES,
    refunds::ROUTES,
    setup_intents::ROUTES,
    catalog::ROUTES,
    subscriptions::ROUTES,
    invoices::ROUTES,
    test_clocks::ROUTES,
];

/// What a double is made of.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The secret keys that are taken; none means any of test mode.
    pub secret_keys: Vec<String>,
    /// Signs webhooks (`whsec_…`).
    pub webhook_secret: String,
    /// Where webhooks go; without it none are planned.
    pub webhook_url: Option<String>,
    /// Makes ids repeatable.
    pub seed: u64,
}

/// Stripe, played.
#[derive(Debug)]
pub struct Double {
    secret_keys: Vec<String>,
    state: State,
    faults: Faults,
    keys: Keys,
    /// How many seconds its clock is ahead of the real one.
    ahead: i64,
    writes: u64,
    reads: u64,
    seed: u64,
}

impl Double {
    /// A Stripe to which nothing has happened yet.
    pub fn new(config: Config) -> Self {
        let Config { secret_keys, webhook_secret, webhook_url, seed } = config;
        let state = State::new(seed, Webhooks::new(webhook_url, webhook_secret));
        let (faults, keys) = (Faults::default(), Keys::default());
        Self { secret_keys, state, faults, keys, ahead: 0, writes: 0, reads: 0, seed }
    }

    /// Whether a request may change anything, so that it must be kept before it is answered.
    pub fn must_keep(&self, request: &Request) -> bool {
        request.method != "GET" || self.faults.matches(&request.method, &request.path)
    }

    /// Does what has become due by a time.
    fn settle(&mut self, real_micros: i64) {
        let now = real_micros.div_euclid(MICROS).saturating_add(self.ahead);
        self.state.request = Value::Null;
        self.state.late_seconds = None;
        self.state.late_fee_seconds = None;
        while let Some(timer) = self.state.next_due(now) {
            happen(&mut self.state, timer);
        }
        self.state.now = now;
    }

    /// Answers a request, or does not. The time is the real one, in microseconds since 1970.
    pub fn answer(&mut self, now_micros: i64, request: &Request) -> Reply {
        self.settle(now_micros);
        if request.path.starts_with(control::PREFIX) {
            return control::answer(self, request, now_micros);
        }
        let number = if self.must_keep(request) { &mut self.writes } else { &mut self.reads };
        *number = number.saturating_add(1);
        let text = format!("{}/{}/{number}", self.seed, request.method);
        let request_id = format!("req_{}", state::scrambled(&text, 14));
        let fault = self.faults.take(&request.method, &request.path);
        match fault {
            Some(Fault::DropBefore) => return Reply::dropped(),
            Some(Fault::Status(status, false)) => {
                return Reply::now(finished(failure(status), request, &request_id));
            }
            Some(Fault::LateSuccess(seconds)) => self.state.late_seconds = Some(seconds),
            Some(Fault::LateFee(seconds)) => self.state.late_fee_seconds = Some(seconds),
            _ => {}
        }
        self.state.request =
            json!({"id": request_id, "idempotency_key": idempotency::key(request)});
        let first = self.state.effects.len();
        let delay_ms = if let Some(Fault::Delay(ms)) = fault { ms } else { 0 };
        let answer = self.answer_once(now_micros, delay_ms, fault.as_ref(), request, &request_id);
        let told = match fault {
            Some(Fault::DropAfter) => "nothing",
            Some(Fault::Status(_, _)) => "failure",
            _ => "answered",
        };
        for effect in self.state.effects.iter_mut().skip(first) {
            effect["told"] = json!(told);
        }
        let answer = Some(answer).filter(|_| fault != Some(Fault::DropAfter));
        Reply { answer, delay_ms }
    }

    /// Executes a request unless its key was answered before.
    fn answer_once(
        &mut self,
        now_micros: i64,
        delay_ms: u64,
        fault: Option<&Fault>,
        request: &Request,
        request_id: &str,
    ) -> Answer {
        let now = self.state.now;
        let executed = match self.admit(request, now_micros) {
            Err(error) => Err(error),
            Ok(Admitted::Replay(answer)) => return answer,
            Ok(Admitted::New(caller, params)) => self.execute(request, caller, &params),
        };
        let is_kept = executed.as_ref().map_or_else(|error| error.is_kept, |_| true);
        let mut answer = match executed {
            Ok(object) => Answer::json(200, &object),
            Err(error) => error.answer(),
        };
        if let Some(Fault::Status(status, true)) = fault {
            answer = failure(*status);
        }
        let answer = finished(answer, request, request_id);
        if is_kept {
            let delay = i64::try_from(delay_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
            self.keys.keep(request, &answer, now, now_micros.saturating_add(delay));
        }
        answer
    }

    fn admit(&mut self, request: &Request, now_micros: i64) -> Result<Admitted, ApiError> {
        let is_json = request.header("content-type").is_some_and(|it| it.contains("json"));
        if is_json && !request.body.is_empty() {
            let message = "Invalid request: bodies are application/x-www-form-urlencoded.";
            return Err(ApiError::invalid(message));
        }
        let params = Params::parse(&request.query, &request.body)?;
        let caller = auth::caller(request, &params, &self.secret_keys)?;
        if let Some(version) = request.header("stripe-version").filter(|it| *it != VERSION) {
            let message =
                format!("This double plays the API version {VERSION} only, not {version}.");
            return Err(ApiError::invalid(message));
        }
        Ok(match self.keys.replay(request, self.state.now, now_micros)? {
            Some(answer) => Admitted::Replay(answer),
            None => Admitted::New(caller, params),
        })
    }

    fn execute(
        &mut self,
        request: &Request,
        caller: Caller,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let (method, path) = (request.method.as_str(), request.path.trim_end_matches('/'));
        let mut routes = TABLES.iter().copied().flatten();
        let found = routes.find_map(|route| Some((route, route.matches(method, path)?)));
        let Some((route, ids)) = found else {
            let message = format!("Unrecognized request URL ({method}: {path}).");
            return Err(ApiError::new(404, "invalid_request_error", message));
        };
        let is_public = caller == Caller::Public;
        if is_public && !route.is_public {
            let message = "This API call cannot be made with a publishable API key. Please use a secret API key.";
            return Err(ApiError::unauthorized(message).code("secret_key_required"));
        }
        if path == "/v1/ephemeral_keys" && request.header("stripe-version").is_none() {
            let message = "This endpoint requires the Stripe-Version header.";
            return Err(ApiError::invalid(message));
        }
        route.check(params)?;
        if let Some(clock) = test_clocks::of_call(&self.state, &ids, params) {
            self.state.enter(&clock);
        }
        let mut call = Call { state: &mut self.state, params, ids, path, is_public };
        let answered = (route.run)(&mut call);
        self.state.leave();
        let mut object = answered?;
        for path in params.list("expand") {
            self.state.expand(&mut object, path)?;
        }
        Ok(object)
    }

    /// Takes the webhooks that are due, so many at most, each of which is to be delivered now. The time is the
    /// real one.
    pub fn due_events(&mut self, now_micros: i64, many: usize) -> Vec<Delivery> {
        self.settle(now_micros);
        self.state.webhooks.due(self.state.now, now_micros.div_euclid(MICROS), many)
    }

    /// Where webhooks go from now on.
    pub fn deliver_to(&mut self, url: impl Into<String>) {
        self.state.webhooks.deliver_to(url.into());
    }

    /// How many webhooks are due or on their way. The time is the real one.
    pub fn waiting(&mut self, now_micros: i64) -> usize {
        self.settle(now_micros);
        self.state.webhooks.waiting(self.state.now)
    }

    /// All that happened to money, in its order: `effect`, `amount`, `payment_intent` and more.
    pub fn effects(&self) -> &[Value] {
        &self.state.effects
    }

    /// What came of a delivery: one that was not taken (with a status of 2xx) is repeated later.
    pub fn delivered(&mut self, now_micros: i64, id: u64, is_taken: bool) {
        self.settle(now_micros);
        self.state.webhooks.delivered(id, is_taken, self.state.now);
    }
}

/// What happens by itself at its time.
fn happen(state: &mut State, timer: Timer) {
    match timer {
        Timer::Succeeds { intent, method } => charges::succeed(state, &intent, &method),
        Timer::Books { charge } => charges::book_late(state, &charge),
        Timer::RefundEnds { refund, status } => refunds::end(state, &refund, status),
        Timer::PeriodEnds { subscription } => subscriptions::renew(state, &subscription),
        Timer::Expires { subscription } => subscriptions::expire(state, &subscription),
        Timer::Collects { invoice } => invoices::collect(state, &invoice),
        Timer::DisputeEnds { dispute, status } => disputes::end(state, &dispute, status),
        Timer::Advances { clock, target } => test_clocks::arrive(state, &clock, target),
    }
}

enum Admitted {
    Replay(Answer),
    New(Caller, Params),
}

/// What Stripe says when it is not well, or asked too much.
fn failure(status: u16) -> Answer {
    let error = match status {
        429 => ApiError::new(429, "invalid_request_error", "Too many requests. Please slow down.")
            .code("rate_limit"),
        409 => {
            ApiError::new(409, "invalid_request_error", "This object cannot be accessed right now.")
                .code("lock_timeout")
        }
        status => ApiError::new(status, "api_error", "An unknown error occurred."),
    };
    error.answer()
}

/// An answer with the headers that each has.
fn finished(answer: Answer, request: &Request, request_id: &str) -> Answer {
    let answer =
        answer.with_header("request-id", request_id).with_header("stripe-version", VERSION);
    match idempotency::key(request) {
        Some(key) if key.is_ascii() && !key.contains(char::is_control) => {
            answer.with_header("idempotency-key", key).with_header("original-request", request_id)
        }
        _ => answer,
    }
}
