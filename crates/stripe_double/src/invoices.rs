//! Invoices of subscriptions: drafted, finalised, paid, asked for again. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::charges::{self, Outcome};
use crate::customers::method_named;
use crate::error::ApiError;
use crate::state::{State, Timer};
use crate::{payment_intents, subscriptions};

/// The pauses before a renewal is asked for again; then its subscription ends.
const RETRY_SECONDS: [i64; 3] = [3 * 86_400, 5 * 86_400, 7 * 86_400];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("GET", "/v1/invoices", &["customer", "subscription", "status"], |call| {
        call.list("invoice", &["customer", "subscription", "status"])
    }),
    Route::new("GET", "/v1/invoices/*", &[], |call| {
        let id = call.own("invoice", "invoice")?;
        Ok(call.show(&id))
    }),
    Route::new("POST", "/v1/invoices/*/pay", &["payment_method", "off_session"], pay),
];

/// Drafts the invoice of a subscription's current period.
pub(crate) fn add(state: &mut State, subscription: &str, reason: &str) -> String {
    let id = state.id("in");
    let of = state.shown(subscription);
    let item = &of["items"]["data"][0];
    let price = &item["price"];
    let quantity = item["quantity"].as_i64().unwrap_or(1);
    let amount = price["unit_amount"].as_i64().unwrap_or_default().saturating_mul(quantity);
    let period = json!({"start": of["current_period_start"], "end": of["current_period_end"]});
    let line = json!({"id": state.id("il"), "object": "line_item", "amount": amount,
        "currency": of["currency"], "period": period, "price": price, "quantity": quantity,
        "subscription": subscription, "type": "subscription"});
    state.add(json!({
        "id": id, "object": "invoice", "amount_due": amount, "amount_paid": 0,
        "amount_remaining": amount, "attempt_count": 0, "attempted": false, "auto_advance": true,
        "billing_reason": reason, "charge": null, "collection_method": "charge_automatically",
        "currency": of["currency"], "customer": of["customer"],
        "lines": {"object": "list", "data": [line], "has_more": false, "total_count": 1},
        "metadata": {}, "next_payment_attempt": null, "number": null, "paid": false,
        "payment_intent": null, "period_start": of["current_period_start"],
        "period_end": of["current_period_end"], "status": "draft", "subscription": subscription,
        "subscription_details": {"metadata": of["metadata"]}, "subtotal": amount, "total": amount,
        "test_clock": of["test_clock"],
    }));
    state.merge(subscription, json!({"latest_invoice": id}));
    state.emit("invoice.created", &id, Value::Null);
    id
}

pub(crate) fn finalize(state: &mut State, id: &str) {
    let of = state.shown(id);
    let metadata = of["subscription_details"]["metadata"].clone();
    let more = json!({"customer": of["customer"], "invoice": id, "metadata": metadata,
        "description": "Subscription", "setup_future_usage": "off_session"});
    let currency = state.text(id, "currency");
    let intent = payment_intents::add(state, state.number(id, "total"), &currency, more);
    state.merge(id, json!({"status": "open", "payment_intent": intent}));
    state.emit("invoice.finalized", id, Value::Null);
}

/// Asks for an invoice's payment, with the subscription's card or else the customer's.
pub(crate) fn collect(state: &mut State, id: &str) {
    let subscription = state.text(id, "subscription");
    if state.text(&subscription, "status") == "canceled" {
        return;
    }
    match state.text(id, "status").as_str() {
        "draft" => finalize(state, id),
        "open" => {}
        _ => return,
    }
    let settings = state.field(&state.text(id, "customer"), "invoice_settings");
    let method = match state.text(&subscription, "default_payment_method") {
        method if method.is_empty() => {
            settings["default_payment_method"].as_str().unwrap_or_default().to_owned()
        }
        method => method,
    };
    // Whoever pays is there when the subscription begins only; the refusal is told by the objects.
    let off_session = state.text(id, "billing_reason") != "subscription_create";
    let intent = state.text(id, "payment_intent");
    let outcome = charges::attempt(state, &intent, &method, off_session);
    if state.text(&intent, "status") == "requires_action" {
        state.emit("invoice.payment_action_required", id, Value::Null);
    } else if let Outcome::Declined(_) = outcome {
        failed(state, id);
    }
}

fn failed(state: &mut State, id: &str) {
    let tries = state.number(id, "attempt_count").saturating_add(1);
    let is_first = state.text(id, "billing_reason") == "subscription_create";
    let place = usize::try_from(tries).unwrap_or_default().saturating_sub(1);
    let pause = RETRY_SECONDS.get(place).filter(|_| !is_first);
    let next = pause.map(|pause| state.now.saturating_add(*pause));
    let fields = json!({"attempt_count": tries, "attempted": true, "next_payment_attempt": next});
    state.merge(id, fields);
    state.emit("invoice.payment_failed", id, Value::Null);
    let subscription = state.text(id, "subscription");
    if is_first {
        return;
    }
    if let Some(pause) = pause {
        subscriptions::set_status(state, &subscription, "past_due");
        state.after(*pause, Timer::Collects { invoice: id.to_owned() });
    } else {
        subscriptions::end(state, &subscription);
    }
}

/// The payment of an invoice succeeded.
pub(crate) fn paid(state: &mut State, id: &str, charge: &str) {
    let (total, tries) = (state.number(id, "total"), state.number(id, "attempt_count"));
    state.merge(
        id,
        json!({"status": "paid", "paid": true, "attempted": true, "amount_paid": total,
            "amount_remaining": 0, "attempt_count": tries.saturating_add(1), "charge": charge,
            "next_payment_attempt": null}),
    );
    state.emit("invoice.paid", id, Value::Null);
    state.emit("invoice.payment_succeeded", id, Value::Null);
    subscriptions::set_status(state, &state.text(id, "subscription"), "active");
}

pub(crate) fn void(state: &mut State, id: &str) {
    if state.text(id, "status") == "open" {
        state.merge(id, json!({"status": "void", "auto_advance": false}));
        state.merge(&state.text(id, "payment_intent"), json!({"status": "canceled"}));
        state.emit("invoice.voided", id, Value::Null);
    }
}

fn pay(call: &mut Call<'_>) -> Answered {
    let id = call.own("invoice", "invoice")?;
    match call.state.text(&id, "status").as_str() {
        "paid" => return Err(ApiError::invalid("Invoice is already paid").kept()),
        "draft" => finalize(call.state, &id),
        "open" => {}
        _ => return Err(ApiError::invalid("Invoice can no longer be paid").kept()),
    }
    let off_session = call.params.boolean("off_session")?.unwrap_or(false);
    let method = match call.params.text("payment_method") {
        Some(method) => method_named(call.state, method)?,
        None => call.state.text(&call.state.text(&id, "subscription"), "default_payment_method"),
    };
    let intent = call.state.text(&id, "payment_intent");
    if let Outcome::Declined(error) = charges::attempt(call.state, &intent, &method, off_session) {
        call.state.emit("invoice.payment_failed", &id, Value::Null);
        return Err(error);
    }
    if call.state.text(&intent, "status") == "requires_action" {
        let message =
            "This payment requires additional user action before it can be completed successfully.";
        return Err(ApiError::card("invoice_payment_intent_requires_action", None, message));
    }
    Ok(call.show(&id))
}
