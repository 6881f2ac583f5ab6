//! Controls that Stripe does not have: an end user who pays, faults on demand, its clock, what becomes of events, and
//! the journal. Touches nothing.

use serde_json::{Value, json};

use crate::cards::Card;
use crate::error::ApiError;
use crate::exchange::{Answer, Reply, Request};
use crate::payments;
use crate::state::State;

/// What befalls a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The connection is closed, and nothing was done.
    DropBefore,
    /// It is done, and the connection is closed.
    DropAfter,
    /// It is refused with a status, and nothing was done.
    Status(u16),
    /// It is done, and yet a status tells of trouble.
    StatusAfter(u16),
    /// It is done, and the answer takes so many milliseconds.
    Delay(u64),
}

/// A fault that waits for its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    method: String,
    /// A part of the path.
    path: String,
    times: u64,
    what: What,
}

/// The faults that wait.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// The fault that befalls a request, if one waits for it.
    pub(crate) fn draw(&mut self, request: &Request) -> Option<Fault> {
        let meets = |fault: &&mut Fault| {
            fault.times > 0
                && (fault.method.is_empty() || fault.method == request.method)
                && request.path.contains(&fault.path)
        };
        let fault = self.0.iter_mut().find(meets)?;
        fault.times -= 1;
        Some(fault.clone())
    }
}

impl Fault {
    pub(crate) fn befall(&self, respond: impl FnOnce() -> Answer) -> Reply {
        let trouble = |status| {
            let kind = if status == 429 { "rate_limit_error" } else { "api_error" };
            ApiError::new(status, kind, "An error on demand.").answer()
        };
        match self.what {
            What::DropBefore => Reply::dropped(),
            What::DropAfter => {
                respond();
                Reply::dropped()
            }
            What::Status(status) => Reply::now(trouble(status)),
            What::StatusAfter(status) => {
                respond();
                Reply::now(trouble(status))
            }
            What::Delay(delay_ms) => Reply { answer: Some(respond()), delay_ms },
        }
    }

    fn read(value: &Value) -> Option<Self> {
        let number = |name: &str| value[name].as_u64();
        let status = number("status").and_then(|status| u16::try_from(status).ok());
        let what = match value["kind"].as_str()? {
            "drop_before" => What::DropBefore,
            "drop_after" => What::DropAfter,
            "status" => What::Status(status?),
            "status_after" => What::StatusAfter(status?),
            "delay" => What::Delay(number("milliseconds")?),
            _ => return None,
        };
        Some(Self {
            method: value["method"].as_str().unwrap_or_default().to_owned(),
            path: value["path"].as_str().unwrap_or_default().to_owned(),
            times: number("times").unwrap_or(1),
            what,
        })
    }
}

/// The answer of a control.
pub(crate) fn answer(state: &mut State, call: &str, request: &Request) -> Answer {
    let given: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let done = match (request.method.as_str(), call.split_once('/').unwrap_or((call, ""))) {
        ("GET", ("journal", "")) => Ok(json!({
            "charged": state.journal.charged, "refunded": state.journal.refunded,
        })),
        ("POST", ("pay", intent)) => pay(state, intent, &given),
        ("POST", ("faults", "")) => Fault::read(&given).map_or_else(
            || {
                Err(ApiError::invalid(
                    "kind: drop_before, drop_after, status, status_after or delay",
                ))
            },
            |fault| {
                state.faults.0.push(fault);
                Ok(json!({}))
            },
        ),
        ("DELETE", ("faults", "")) => {
            state.faults.0.clear();
            Ok(json!({}))
        }
        ("POST", ("clock", "")) => {
            let seconds = given["advance_seconds"].as_i64().unwrap_or_default().max(0);
            state.ahead = state.ahead.saturating_add(seconds);
            state.now = state.now.saturating_add(seconds);
            state.run_due();
            Ok(json!({"now": state.now}))
        }
        ("POST", ("webhooks", "")) => {
            let flag = |name: &str| given[name].as_bool().unwrap_or_default();
            state.outbox.dropping = flag("drop");
            state.outbox.times = if flag("duplicate") { 2 } else { 1 };
            state.outbox.backwards = flag("shuffle");
            Ok(json!({}))
        }
        _ => Err(ApiError::new(404, "invalid_request_error", "no such control")),
    };
    match done {
        Ok(body) => Answer::json(200, &body),
        Err(error) => error.answer(),
    }
}

/// Plays the end user, who pays with a card; a card that wants a proof is given it.
fn pay(state: &mut State, intent: &str, given: &Value) -> Result<Value, ApiError> {
    let card = given["card"].as_str().unwrap_or("pm_card_visa");
    let found = Card::by_token(card).or_else(|| Card::by_number(card));
    let card = found.ok_or_else(|| ApiError::param("card", "not a test card"))?;
    let seconds = given["after_seconds"].as_i64().unwrap_or_default().max(0);
    payments::pay(state, intent, card, seconds)?;
    let waits =
        state.find("payment_intent", intent).is_some_and(|it| it["status"] == "requires_action");
    if waits && given["proves"].as_bool().unwrap_or(true) {
        payments::pay(state, intent, card, seconds)?;
    }
    Ok(state.find("payment_intent", intent).cloned().unwrap_or_default())
}
