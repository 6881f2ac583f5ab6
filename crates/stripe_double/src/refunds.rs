//! Refunds: never more than was taken; some banks take a while, and some refuse late. Touches nothing.

use serde_json::{Value, json};

use crate::cards::{Behaviour, Card};
use crate::error::ApiError;
use crate::params::Params;
use crate::state::{Later, State};
use crate::{events, money};

/// How long a bank takes for a refund that is pending, or that it refuses late; seconds.
const BANK_TAKES: i64 = 60;

pub(crate) fn create(state: &mut State, params: &Params) -> Result<Value, ApiError> {
    params.check(&[&[
        "payment_intent",
        "charge",
        "amount",
        "reason",
        "metadata",
        "metadata[*]",
        "expand[*]",
    ]])?;
    let intent_id = params.required("payment_intent")?.to_owned();
    let intent = state.find("payment_intent", &intent_id).cloned();
    let intent = intent
        .ok_or_else(|| ApiError::no_such(400, "payment_intent", &intent_id, "payment_intent"))?;
    let Some(charge_id) = intent["latest_charge"].as_str().map(str::to_owned) else {
        let message = format!(
            "This PaymentIntent ({intent_id}) does not have a successful charge to refund."
        );
        return Err(ApiError::invalid(message).code("payment_intent_unexpected_state"));
    };
    let charge = state.change("charge", &charge_id, (400, "charge"))?.clone();
    let number = |name: &str| charge[name].as_i64().unwrap_or_default();
    let left = number("amount").saturating_sub(number("amount_refunded"));
    if left == 0 {
        let message = format!("Charge {charge_id} has already been refunded.");
        return Err(ApiError::invalid(message).code("charge_already_refunded"));
    }
    if charge["disputed"] == true {
        let message = format!("Charge {charge_id} has been charged back; cannot issue a refund.");
        return Err(ApiError::invalid(message).code("charge_disputed"));
    }
    let amount = params.integer("amount")?.unwrap_or(left);
    let currency = charge["currency"].as_str().unwrap_or_default().to_owned();
    money::check_unit(amount, &currency, "amount")?;
    if amount < 1 || amount > left {
        let message = format!(
            "Refund amount ({}) is greater than unrefunded amount on charge ({})",
            money::shown(amount, &currency),
            money::shown(left, &currency)
        );
        return Err(ApiError::param("amount", message));
    }
    let metadata = params.metadata(&Value::Null)?;
    let card = intent["payment_method"].as_str().and_then(Card::by_token);
    let (id, moved) = (state.next("re"), state.next("txn"));
    let status = match card.map(|card| card.behaviour) {
        Some(Behaviour::RefundPends) => "pending",
        _ => "succeeded",
    };
    let refund = json!({
        "id": id, "object": "refund", "amount": amount, "currency": currency, "charge": charge_id,
        "payment_intent": intent_id, "status": status, "reason": params.text("reason"),
        "metadata": metadata, "created": state.now, "balance_transaction": moved,
    });
    book(state, (&moved, &id), (amount.saturating_neg(), &currency));
    let refund = state.add("refund", refund);
    *state.journal.refunded.entry(intent_id).or_default() += amount;
    let charge = state.change("charge", &charge_id, (400, "charge"))?;
    let gone = charge["amount_refunded"].as_i64().unwrap_or_default().saturating_add(amount);
    charge["amount_refunded"] = json!(gone);
    charge["refunded"] = json!(charge["amount"].as_i64() == Some(gone));
    let charge = charge.clone();
    match card.map(|card| card.behaviour) {
        Some(Behaviour::RefundPends) => state.later(BANK_TAKES, Later::Refund(id, "succeeded")),
        Some(Behaviour::RefundFails) => state.later(BANK_TAKES, Later::Refund(id, "failed")),
        _ => {}
    }
    events::tell(state, "refund.created", &refund);
    events::tell(state, "charge.refunded", &charge);
    Ok(state.expanded(refund, params, ""))
}

fn book(state: &mut State, (id, source): (&str, &str), (amount, currency): (i64, &str)) {
    let kind = if amount < 0 { "refund" } else { "refund_failure" };
    let transaction = json!({
        "id": id, "object": "balance_transaction", "amount": amount, "fee": 0, "net": amount,
        "currency": currency, "type": kind, "source": source, "created": state.now,
        "status": "available",
    });
    state.add("balance_transaction", transaction);
}

/// What a bank made of a refund.
pub(crate) fn settle(state: &mut State, id: &str, status: &str) {
    let moved = state.next("txn");
    let Ok(refund) = state.change("refund", id, (404, "refund")) else { return };
    refund["status"] = json!(status);
    if status == "failed" {
        refund["failure_reason"] = json!("expired_or_canceled_card");
    }
    let refund = refund.clone();
    if status == "failed" {
        let amount = refund["amount"].as_i64().unwrap_or_default();
        let currency = refund["currency"].as_str().unwrap_or_default().to_owned();
        book(state, (&moved, id), (amount, &currency));
        let intent = refund["payment_intent"].as_str().unwrap_or_default().to_owned();
        *state.journal.refunded.entry(intent).or_default() -= amount;
        let charge = refund["charge"].as_str().unwrap_or_default();
        if let Ok(charge) = state.change("charge", charge, (404, "charge")) {
            let gone = charge["amount_refunded"].as_i64().unwrap_or_default();
            charge["amount_refunded"] = json!(gone.saturating_sub(amount));
            charge["refunded"] = json!(false);
        }
        events::tell(state, "refund.failed", &refund);
    }
    events::tell(state, "refund.updated", &refund);
}
