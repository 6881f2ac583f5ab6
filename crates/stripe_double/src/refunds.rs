//! Refunds: whole, in part, pending, failing. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::cards::Behaviour;
use crate::charges::book;
use crate::customers;
use crate::error::ApiError;
use crate::money;
use crate::state::{State, Timer};

/// How long a refund takes that does not end at once.
const SETTLING_SECONDS: i64 = 60;
const REFUND: &[&str] = &["payment_intent", "charge", "amount", "reason"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("POST", "/v1/refunds", REFUND, create),
    Route::new("GET", "/v1/refunds", &["charge", "payment_intent"], |call| {
        call.list("refund", &["charge", "payment_intent"])
    }),
    Route::new("GET", "/v1/refunds/*", &[], |call| {
        let id = call.own("refund", "id")?;
        Ok(call.show(&id))
    }),
    Route::new("POST", "/v1/refunds/*", &[], update),
];

fn update(call: &mut Call<'_>) -> Answered {
    let id = call.own("refund", "id")?;
    let metadata = call.params.metadata(&call.state.field(&id, "metadata"))?;
    call.state.merge(&id, json!({"metadata": metadata}));
    Ok(call.show(&id))
}

fn charge_of(call: &Call<'_>) -> Result<String, ApiError> {
    if let Some(intent) = call.named("payment_intent", "payment_intent")? {
        if call.state.text(&intent, "status") != "succeeded" {
            let message = format!(
                "This PaymentIntent ({intent}) does not have a successful charge to refund."
            );
            return Err(ApiError::param("payment_intent", message));
        }
        return Ok(call.state.text(&intent, "latest_charge"));
    }
    match call.named("charge", "charge")? {
        Some(charge) => Ok(charge),
        None => Err(ApiError::invalid(
            "One of the following params should be provided for this request: payment_intent or charge.",
        )),
    }
}

fn create(call: &mut Call<'_>) -> Answered {
    let charge = charge_of(call)?;
    let words = ["duplicate", "fraudulent", "requested_by_customer"];
    let reason = call.params.choice("reason", &words)?;
    let metadata = call.params.metadata(&Value::Null)?;
    let state = &mut *call.state;
    let (amount, refunded) =
        (state.number(&charge, "amount"), state.number(&charge, "amount_refunded"));
    let currency = state.text(&charge, "currency");
    if state.field(&charge, "refunded") == true {
        let error = ApiError::invalid(format!("Charge {charge} has already been refunded."));
        return Err(error.code("charge_already_refunded").kept());
    }
    let is_won = state.text(&state.text(&charge, "dispute"), "status") == "won";
    if state.field(&charge, "disputed") == true && !is_won {
        let error = ApiError::invalid(format!(
            "Charge {charge} has been charged back; cannot issue a refund."
        ));
        return Err(error.code("charge_disputed").kept());
    }
    let left = amount - refunded;
    let wanted = call.params.integer("amount")?.unwrap_or(left);
    if wanted < 1 {
        return Err(
            ApiError::param("amount", "Invalid positive integer").code("parameter_invalid_integer")
        );
    }
    money::check_unit(wanted, &currency, "amount")?;
    if wanted > left {
        let (wanted, left) = (money::shown(wanted, &currency), money::shown(left, &currency));
        let message = format!(
            "Refund amount ({wanted}) is greater than unrefunded amount on charge ({left})"
        );
        return Err(ApiError::param("amount", message).kept());
    }
    let method = state.text(&charge, "payment_method");
    let behaviour = customers::card(state, &method).map(|card| card.behaviour);
    let id = state.id("re");
    let status = if behaviour == Some(Behaviour::RefundPends) { "pending" } else { "succeeded" };
    state.add(json!({
        "id": id, "object": "refund", "amount": wanted, "balance_transaction": null,
        "charge": charge, "currency": currency, "destination_details": {"type": "card"},
        "metadata": metadata, "payment_intent": state.field(&charge, "payment_intent"),
        "reason": reason, "receipt_number": null, "source_transfer_reversal": null,
        "status": status, "transfer_reversal": null,
    }));
    let line = book(state, "refund", &id, -wanted, 0);
    state.merge(&id, json!({"balance_transaction": line}));
    let end = match behaviour {
        Some(Behaviour::RefundPends) => Some("succeeded"),
        Some(Behaviour::RefundFails) => Some("failed"),
        _ => None,
    };
    if let Some(status) = end {
        state.after(SETTLING_SECONDS, Timer::RefundEnds { refund: id.clone(), status });
    }
    let total = refunded + wanted;
    let previous =
        state.merge(&charge, json!({"amount_refunded": total, "refunded": total == amount}));
    state.note("refund", &id);
    state.emit("refund.created", &id, Value::Null);
    state.emit("charge.refunded", &charge, previous);
    Ok(call.show(&id))
}

/// A refund that did not end at once ends.
pub(crate) fn end(state: &mut State, id: &str, status: &str) {
    let previous = state.merge(id, json!({"status": status}));
    if status == "failed" {
        let (charge, amount) = (state.text(id, "charge"), state.number(id, "amount"));
        let line = book(state, "refund_failure", id, amount, 0);
        let reason = "lost_or_stolen_card";
        state.merge(id, json!({"failure_reason": reason, "failure_balance_transaction": line}));
        let total = state.number(&charge, "amount_refunded") - amount;
        state.merge(&charge, json!({"amount_refunded": total, "refunded": false}));
        state.note("refund_failed", id);
        state.emit("refund.failed", id, previous.clone());
    }
    state.emit("refund.updated", id, previous.clone());
    state.emit("charge.refund.updated", id, previous);
}
