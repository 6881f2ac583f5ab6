//! Disputes: the bank takes a payment back, and is answered with evidence. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::charges::{book, own};
use crate::error::ApiError;
use crate::state::{State, Timer};

/// What a dispute costs, in the smallest unit. It comes back with what is won.
const FEE: i64 = 1_500;
/// How long there is to answer.
const EVIDENCE_SECONDS: i64 = 7 * 86_400;
/// The most characters of all evidence.
const EVIDENCE_CHARS_MAX: usize = 150_000;

/// Evidence in words. Evidence in files is not played.
const UPDATE: &[&str] = &[
    "evidence[access_activity_log]",
    "evidence[billing_address]",
    "evidence[cancellation_policy_disclosure]",
    "evidence[cancellation_rebuttal]",
    "evidence[customer_email_address]",
    "evidence[customer_name]",
    "evidence[customer_purchase_ip]",
    "evidence[duplicate_charge_explanation]",
    "evidence[duplicate_charge_id]",
    "evidence[product_description]",
    "evidence[refund_policy_disclosure]",
    "evidence[refund_refusal_explanation]",
    "evidence[service_date]",
    "evidence[shipping_address]",
    "evidence[shipping_carrier]",
    "evidence[shipping_date]",
    "evidence[shipping_tracking_number]",
    "evidence[uncategorized_text]",
    "submit",
];
/// The texts that decide a dispute, with what they lead to.
const DECIDING: [(&str, &str); 2] = [("winning_evidence", "won"), ("losing_evidence", "lost")];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("GET", "/v1/disputes", &["charge", "payment_intent"], |call| {
        call.list("dispute", &["charge", "payment_intent"])
    }),
    Route::new("GET", "/v1/disputes/*", &[], |call| own(call, "dispute")),
    Route::new("POST", "/v1/disputes/*", UPDATE, update),
    Route::new("POST", "/v1/disputes/*/close", &[], close),
];

/// The bank takes a charge back, and the account pays for it.
pub(crate) fn begin(state: &mut State, charge: &str, reason: &str) {
    let id = state.id("dp");
    let of = state.shown(charge);
    let amount = state.number(charge, "amount");
    state.add(json!({
        "id": id, "object": "dispute", "amount": amount, "balance_transactions": [],
        "charge": charge, "currency": of["currency"], "evidence": evidence(None),
        "evidence_details": {"due_by": state.now + EVIDENCE_SECONDS, "has_evidence": false,
            "past_due": false, "submission_count": 0},
        "is_charge_refundable": false, "metadata": {}, "payment_intent": of["payment_intent"],
        "reason": reason, "status": "needs_response",
    }));
    book_of(state, &id, -amount, FEE);
    state.merge(charge, json!({"disputed": true, "dispute": id}));
    state.note("dispute", &id);
    state.emit("charge.dispute.created", &id, Value::Null);
    state.emit("charge.dispute.funds_withdrawn", &id, Value::Null);
}

/// A line of the books, which the dispute shows.
fn book_of(state: &mut State, id: &str, amount: i64, fee: i64) {
    let line = book(state, "adjustment", id, amount, fee);
    let mut lines = state.field(id, "balance_transactions").as_array().cloned().unwrap_or_default();
    lines.push(state.shown(&line));
    state.merge(id, json!({"balance_transactions": lines}));
}

/// All evidence with what is given changed; an empty text takes one away.
fn evidence(given: Option<(&Call<'_>, &Value)>) -> Value {
    let mut evidence = serde_json::Map::new();
    for param in UPDATE {
        let name = param.strip_prefix("evidence[").and_then(|name| name.strip_suffix(']'));
        let Some(name) = name else { continue };
        let value = given.map_or(Value::Null, |(call, old)| match call.params.given(param) {
            Some(_) => json!(call.params.text(param)),
            None => old[name].clone(),
        });
        evidence.insert(name.to_owned(), value);
    }
    Value::Object(evidence)
}

fn update(call: &mut Call<'_>) -> Answered {
    let id = call.own("dispute", "dispute")?;
    let metadata = call.params.metadata(&call.state.field(&id, "metadata"))?;
    let submits = call.params.boolean("submit")?;
    let is_given = call.params.has("evidence");
    // What is told is sent unless it is to wait.
    let submits = submits.unwrap_or(is_given);
    if (is_given || submits) && call.state.text(&id, "status") != "needs_response" {
        return Err(ApiError::invalid("This dispute does not take evidence any more.").kept());
    }
    let evidence = evidence(Some((call, &call.state.field(&id, "evidence"))));
    let texts = evidence.as_object().into_iter().flat_map(|all| all.values());
    let texts: Vec<&str> = texts.filter_map(Value::as_str).collect();
    if texts.iter().map(|text| text.chars().count()).sum::<usize>() > EVIDENCE_CHARS_MAX {
        let message = format!("Evidence can have up to {EVIDENCE_CHARS_MAX} characters in all.");
        return Err(ApiError::param("evidence", message));
    }
    let mut details = call.state.field(&id, "evidence_details");
    details["has_evidence"] = json!(!texts.is_empty());
    let mut fields = json!({"metadata": metadata});
    if submits {
        let count = details["submission_count"].as_i64().unwrap_or_default();
        details["submission_count"] = json!(count.saturating_add(1));
        fields["status"] = json!("under_review");
        let text = evidence["uncategorized_text"].as_str().unwrap_or_default();
        if let Some((_, status)) = DECIDING.iter().find(|(word, _)| *word == text) {
            call.state.soon(Timer::DisputeEnds { dispute: id.clone(), status });
        }
    }
    fields["evidence"] = evidence;
    fields["evidence_details"] = details;
    let previous = call.state.merge(&id, fields);
    call.state.emit("charge.dispute.updated", &id, previous);
    Ok(call.show(&id))
}

/// The bank has decided.
pub(crate) fn end(state: &mut State, id: &str, status: &str) {
    state.enter_of(id);
    if state.text(id, "status") == "under_review" {
        decide(state, id, status);
    }
    state.leave();
}

fn decide(state: &mut State, id: &str, status: &str) {
    let previous = state.merge(id, json!({"status": status}));
    if status == "won" {
        book_of(state, id, state.number(id, "amount"), -FEE);
        state.note("dispute_won", id);
    }
    state.emit("charge.dispute.closed", id, previous);
    if status == "won" {
        state.emit("charge.dispute.funds_reinstated", id, Value::Null);
    }
}

/// The dispute is accepted.
fn close(call: &mut Call<'_>) -> Answered {
    let id = call.own("dispute", "dispute")?;
    if call.state.text(&id, "status") != "needs_response" {
        return Err(ApiError::invalid("This dispute is already closed.").kept());
    }
    decide(call.state, &id, "lost");
    Ok(call.show(&id))
}
