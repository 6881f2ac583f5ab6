//! Charges: what comes of paying with a card, the books' lines of it, and disputes. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::cards::{Behaviour, Card, authentication_required};
use crate::customers;
use crate::disputes;
use crate::error::ApiError;
use crate::invoices;
use crate::money;
use crate::state::{State, Timer};

/// The most types of events that are asked for at once.
const TYPES_MAX: usize = 20;
/// When money is there to be paid out.
const AVAILABLE_SECONDS: i64 = 2 * 86_400;

pub(crate) const ROUTES: &[Route] = &[
    Route::new("GET", "/v1/charges", &["customer", "payment_intent"], |call| {
        call.list("charge", &["customer", "payment_intent"])
    }),
    Route::new("GET", "/v1/charges/*", &[], |call| own(call, "charge")),
    Route::new("GET", "/v1/balance_transactions", &["type", "source", "currency"], |call| {
        call.list("balance_transaction", &["type", "source", "currency"])
    }),
    Route::new("GET", "/v1/balance_transactions/*", &[], |call| own(call, "balance_transaction")),
    Route::new("GET", "/v1/events", &["type", "types[*]"], events),
    Route::new("GET", "/v1/events/*", &[], |call| own(call, "event")),
];

pub(crate) fn own(call: &mut Call<'_>, kind: &str) -> Answered {
    let id = call.own(kind, "id")?;
    Ok(call.show(&id))
}

fn events(call: &mut Call<'_>) -> Answered {
    let types = call.params.list("types");
    if types.is_empty() {
        return call.list("event", &["type"]);
    }
    if call.params.text("type").is_some() {
        return Err(ApiError::param(
            "types",
            "You may only specify one of these parameters: type, types.",
        ));
    }
    if types.len() > TYPES_MAX {
        let message = format!("Array too long: at most {TYPES_MAX} types.");
        return Err(ApiError::param("types", message));
    }
    let wanted =
        |event: &&Value| types.iter().any(|kind| event["type"] == *kind) && call.is_in_time(event);
    let found: Vec<&Value> = call.state.newest("event").filter(wanted).collect();
    call.page(&found)
}

/// What came of an attempt to pay.
pub(crate) enum Outcome {
    /// It succeeded, is processing, or waits for the payer.
    Going,
    Declined(ApiError),
}

/// Pays an intent with a payment method.
pub(crate) fn attempt(state: &mut State, intent: &str, method: &str, off_session: bool) -> Outcome {
    let Some(card) = customers::card(state, method) else {
        return Outcome::Declined(ApiError::param("payment_method", "This is no test card."));
    };
    state.merge(intent, json!({"payment_method": method}));
    if card.needs_authentication(state.field(method, "_set_up") == true) {
        if off_session {
            return decline(state, intent, method, authentication_required());
        }
        let action = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}});
        state.merge(intent, json!({"status": "requires_action", "next_action": action}));
        state.emit("payment_intent.requires_action", intent, Value::Null);
        return Outcome::Going;
    }
    settle(state, intent, method, card)
}

/// Goes on after the payer has proved to be there, or has not.
pub(crate) fn authenticated(state: &mut State, intent: &str, is_proved: bool) -> Outcome {
    let method = state.text(intent, "payment_method");
    if let Some(card) = customers::card(state, &method).filter(|_| is_proved) {
        state.merge(&method, json!({"_set_up": true}));
        return settle(state, intent, &method, card);
    }
    let message = "We are unable to authenticate your payment method. Please choose a different payment \
        method and try again.";
    let error = ApiError::invalid(message).code("payment_intent_authentication_failure");
    decline(state, intent, &method, error)
}

fn settle(state: &mut State, intent: &str, method: &str, card: &Card) -> Outcome {
    if let Some(error) = card.declines_paying() {
        return decline(state, intent, method, error);
    }
    if let Some(seconds) = state.late_seconds {
        state.merge(intent, json!({"status": "processing", "next_action": null}));
        state.emit("payment_intent.processing", intent, Value::Null);
        let (intent, method) = (intent.to_owned(), method.to_owned());
        state.after(seconds, Timer::Succeeds { intent, method });
        return Outcome::Going;
    }
    succeed(state, intent, method);
    Outcome::Going
}

fn add_charge(state: &mut State, intent: &str, method: &str) -> String {
    let id = state.id("ch");
    let (of, card) = (state.shown(intent), state.field(method, "card"));
    state.add(json!({
        "id": id, "object": "charge", "amount": of["amount"], "amount_captured": 0,
        "amount_refunded": 0, "balance_transaction": null,
        "billing_details": state.field(method, "billing_details"), "captured": false,
        "currency": of["currency"], "customer": of["customer"], "description": of["description"],
        "dispute": null, "disputed": false, "failure_balance_transaction": null,
        "failure_code": null, "failure_message": null, "fraud_details": {}, "invoice": of["invoice"],
        "metadata": of["metadata"], "outcome": null, "paid": false, "payment_intent": intent,
        "payment_method": method, "payment_method_details": {"type": "card", "card": card},
        "receipt_email": of["receipt_email"], "receipt_url": null, "refunded": false,
        "status": "failed",
    }));
    id
}

fn decline(state: &mut State, intent: &str, method: &str, error: ApiError) -> Outcome {
    let charge = add_charge(state, intent, method);
    let shown = error.as_last_error();
    let outcome = json!({"network_status": "declined_by_network", "type": "issuer_declined",
        "reason": shown["decline_code"], "seller_message": shown["message"]});
    state.merge(
        &charge,
        json!({"failure_code": shown["code"], "failure_message": shown["message"],
            "outcome": outcome}),
    );
    let error = error.with("charge", json!(charge)).with("payment_method", state.shown(method));
    state.merge(
        intent,
        json!({"status": "requires_payment_method", "payment_method": null, "next_action": null,
            "latest_charge": charge, "last_payment_error": error.as_last_error()}),
    );
    state.note("charge_failed", &charge);
    state.emit("charge.failed", &charge, Value::Null);
    state.emit("payment_intent.payment_failed", intent, Value::Null);
    Outcome::Declined(error.with("payment_intent", state.shown(intent)))
}

/// Takes the money.
pub(crate) fn succeed(state: &mut State, intent: &str, method: &str) {
    let charge = add_charge(state, intent, method);
    let amount = state.number(intent, "amount");
    let line = match state.late_fee_seconds {
        Some(seconds) => {
            state.after(seconds, Timer::Books { charge: charge.clone() });
            Value::Null
        }
        None => json!(book(state, "charge", &charge, amount, money::fee(amount))),
    };
    let outcome = json!({"network_status": "approved_by_network", "type": "authorized", "reason": null,
        "risk_level": "normal", "seller_message": "Payment complete."});
    state.merge(
        &charge,
        json!({"status": "succeeded", "paid": true, "captured": true, "amount_captured": amount,
            "balance_transaction": line, "outcome": outcome}),
    );
    state.merge(
        intent,
        json!({"status": "succeeded", "amount_received": amount, "latest_charge": charge,
            "last_payment_error": null, "next_action": null, "payment_method": method}),
    );
    state.merge(method, json!({"_used": true}));
    let customer = state.text(intent, "customer");
    let is_kept = !state.field(intent, "setup_future_usage").is_null() && !customer.is_empty();
    if is_kept && state.field(method, "customer").is_null() {
        customers::attach(state, method, &customer);
    }
    state.note("charge", &charge);
    state.emit("charge.succeeded", &charge, Value::Null);
    state.emit("payment_intent.succeeded", intent, Value::Null);
    let invoice = state.text(intent, "invoice");
    if !invoice.is_empty() {
        invoices::paid(state, &invoice, &charge);
    }
    if let Some(Behaviour::IsDisputed(reason)) = customers::card(state, method).map(|c| c.behaviour)
    {
        disputes::begin(state, &charge, reason);
    }
}

/// Enters a charge into the account's books that was not when it was made.
pub(crate) fn book_late(state: &mut State, charge: &str) {
    let amount = state.number(charge, "amount");
    let line = book(state, "charge", charge, amount, money::fee(amount));
    state.merge(charge, json!({"balance_transaction": line}));
    state.emit("charge.updated", charge, Value::Null);
}

/// A line of the account's books.
pub(crate) fn book(state: &mut State, kind: &str, source: &str, amount: i64, fee: i64) -> String {
    let id = state.id("txn");
    let currency = state.field(source, "currency");
    let (category, what) = match kind {
        "adjustment" if amount > 0 => ("dispute_reversal", "Dispute fee"),
        "adjustment" => ("dispute", "Dispute fee"),
        kind => (kind, "Stripe processing fees"),
    };
    let details = json!([{"amount": fee, "application": null, "currency": currency,
        "description": what, "type": "stripe_fee"}]);
    let details = if fee == 0 { json!([]) } else { details };
    state.add(json!({
        "id": id, "object": "balance_transaction", "amount": amount, "currency": currency,
        "available_on": state.now + AVAILABLE_SECONDS, "description": null, "exchange_rate": null,
        "fee": fee, "fee_details": details, "net": amount - fee, "reporting_category": category,
        "source": source, "status": "pending", "type": kind,
    }));
    id
}
