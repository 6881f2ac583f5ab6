//! The double's controls, outside Stripe's paths: faults, clock, webhooks, the end user, and what really happened.
//! Touches the state only.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::exchange::{Answer, Reply, Request};
use crate::{Double, payment_intents};

/// Where the controls begin.
pub(crate) const PREFIX: &str = "/_double/";
/// The furthest that the clock is moved at once: ten years, in seconds.
const SECONDS_MAX: i64 = 315_360_000;

pub(crate) fn answer(double: &mut Double, request: &Request, real_micros: i64) -> Reply {
    let call = request.path.strip_prefix(PREFIX).unwrap_or_default();
    let body: Result<Value, String> = match request.body.as_slice() {
        [] => Ok(json!({})),
        bytes => {
            serde_json::from_slice(bytes).map_err(|error| format!("the body is no JSON: {error}"))
        }
    };
    let body = match body {
        Ok(body) => body,
        Err(message) => return refuse(400, &message),
    };
    if let (Some(intent), "POST") = (call.strip_prefix("pay/"), request.method.as_str()) {
        double.state.enter_of(intent);
        let played = payment_intents::play(&mut double.state, intent, &body);
        double.state.leave();
        return Reply::now(match played {
            Ok(intent) => Answer::json(200, &intent),
            Err(error) => error.answer(),
        });
    }
    let answered = match (request.method.as_str(), call) {
        ("GET", "journal") => Ok(journal(double)),
        ("GET", "faults") => Ok(double.faults.to_json()),
        ("POST", "faults") => double.faults.add(&body),
        ("DELETE", "faults") => Ok(double.faults.clear()),
        ("GET", "webhooks") => Ok(double.state.webhooks.set(&Value::Null)),
        ("POST", "webhooks") => Ok(double.state.webhooks.set(&body)),
        ("GET", "clock") => Ok(json!({"now": double.state.now})),
        ("POST", "clock") => advance(double, &body, real_micros),
        _ => return refuse(404, "no such control: see docs/STRIPE-DOUBLE.md"),
    };
    match answered {
        Ok(body) => Reply::now(Answer::json(200, &body)),
        Err(message) => refuse(400, &message),
    }
}

fn refuse(status: u16, message: &str) -> Reply {
    Reply::now(Answer::json(status, &json!({"error": {"type": "double", "message": message}})))
}

fn advance(double: &mut Double, body: &Value, real_micros: i64) -> Result<Value, String> {
    if let Some(ahead) = body["ahead_seconds"].as_i64() {
        // Where it is to be in all: the same again changes nothing, and it never goes back.
        if !(0..=SECONDS_MAX).contains(&ahead) {
            return Err(format!("ahead_seconds is from 0 to {SECONDS_MAX}"));
        }
        double.ahead = double.ahead.max(ahead);
        double.settle(real_micros);
        let waiting = double.state.webhooks.waiting(double.state.now);
        let next_in = double.state.next_at().map(|at| at.saturating_sub(double.state.now));
        return Ok(
            json!({"now": double.state.now, "waiting": waiting, "next_in_seconds": next_in}),
        );
    }
    let seconds = body["advance_seconds"].as_i64();
    let seconds = seconds.filter(|seconds| (0..=SECONDS_MAX).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("advance_seconds is from 0 to {SECONDS_MAX}"))?;
    double.ahead = double.ahead.saturating_add(seconds);
    double.settle(real_micros);
    Ok(json!({"now": double.state.now}))
}

/// All that happened to money, and its sums by the metadata `payment`.
fn journal(double: &Double) -> Value {
    let mut sums: BTreeMap<String, BTreeMap<&str, i64>> = BTreeMap::new();
    for effect in &double.state.effects {
        let payment = effect["metadata"]["payment"].as_str().unwrap_or_default();
        let payment = if payment.is_empty() {
            let intent = effect["payment_intent"].as_str().unwrap_or_default();
            double.state.field(intent, "metadata")["payment"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        } else {
            payment.to_owned()
        };
        let (count, sum) = match effect["effect"].as_str().unwrap_or_default() {
            "charge" => ("charges", "charged"),
            "refund" => ("refunds", "refunded"),
            "dispute" => ("disputes", "disputed"),
            "dispute_won" => ("disputes_won", "reinstated"),
            "refund_failed" => ("refunds_failed", "refunds_failed_amount"),
            _ => continue,
        };
        let sums = sums.entry(payment).or_default();
        *sums.entry(count).or_default() += 1;
        *sums.entry(sum).or_default() += effect["amount"].as_i64().unwrap_or_default();
    }
    json!({"effects": double.state.effects, "by_payment": sums})
}
