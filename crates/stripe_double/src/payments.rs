//! `PaymentIntent`s and the charges that pay them. Touches nothing.

use serde_json::{Value, json};

use crate::cards::{Behaviour, Card};
use crate::error::ApiError;
use crate::params::Params;
use crate::state::{Later, State};
use crate::{events, money};

/// Names of an intent's states.
const OPEN: [&str; 3] = ["requires_payment_method", "requires_confirmation", "requires_action"];

pub(crate) fn create(state: &mut State, params: &Params) -> Result<Value, ApiError> {
    params.check(&[&[
        "amount",
        "currency",
        "customer",
        "description",
        "receipt_email",
        "automatic_payment_methods[enabled]",
        "automatic_payment_methods[allow_redirects]",
        "payment_method_types[*]",
        "setup_future_usage",
        "metadata",
        "metadata[*]",
        "expand[*]",
    ]])?;
    params.required("amount")?;
    let amount = params.integer("amount")?.unwrap_or_default();
    let currency = money::currency(params.required("currency")?)?;
    money::check_charge(amount, &currency)?;
    let customer = params.text("customer").map(str::to_owned);
    if let Some(id) = &customer
        && state.find("customer", id).is_none()
    {
        return Err(ApiError::no_such(400, "customer", id, "customer"));
    }
    let metadata = params.metadata(&Value::Null)?;
    let id = state.next("pi");
    let secret = format!("{id}_secret_{}", state.next("s"));
    let intent = json!({
        "id": id, "object": "payment_intent", "amount": amount, "amount_received": 0,
        "amount_capturable": 0, "currency": currency, "customer": customer,
        "status": "requires_payment_method", "client_secret": secret, "created": state.now,
        "livemode": false, "metadata": metadata, "latest_charge": null,
        "last_payment_error": null, "payment_method": null, "next_action": null,
        "description": params.text("description"), "receipt_email": params.text("receipt_email"),
        "canceled_at": null, "cancellation_reason": null, "capture_method": "automatic",
        "confirmation_method": "automatic", "payment_method_types": ["card"],
        "automatic_payment_methods": {"enabled": true},
    });
    let intent = state.add("payment_intent", intent);
    events::tell(state, "payment_intent.created", &intent);
    Ok(state.expanded(intent, params, ""))
}

pub(crate) fn list(state: &State, params: &Params) -> Result<Value, ApiError> {
    state.list("payment_intent", params, &["customer"])
}

pub(crate) fn update(state: &mut State, id: &str, params: &Params) -> Result<Value, ApiError> {
    params.check(&[&[
        "amount",
        "receipt_email",
        "description",
        "metadata",
        "metadata[*]",
        "expand[*]",
    ]])?;
    let amount = params.integer("amount")?;
    let email = params.given("receipt_email").map(str::to_owned);
    if email.as_ref().is_some_and(|email| !email.contains('@')) {
        let message = "Invalid email address.";
        return Err(ApiError::param("receipt_email", message).code("email_invalid"));
    }
    let intent = state.change("payment_intent", id, (404, "intent"))?;
    let metadata = params.metadata(&intent["metadata"])?;
    intent["metadata"] = metadata;
    if let Some(amount) = amount {
        let currency = intent["currency"].as_str().unwrap_or_default();
        money::check_charge(amount, currency)?;
        intent["amount"] = json!(amount);
    }
    if let Some(email) = email {
        intent["receipt_email"] = json!(email);
    }
    let intent = intent.clone();
    Ok(state.expanded(intent, params, ""))
}

pub(crate) fn cancel(state: &mut State, id: &str, params: &Params) -> Result<Value, ApiError> {
    params.check(&[&["cancellation_reason", "expand[*]"]])?;
    let (now, reason) = (state.now, params.text("cancellation_reason").map(str::to_owned));
    let intent = state.change("payment_intent", id, (404, "intent"))?;
    let status = intent["status"].as_str().unwrap_or_default().to_owned();
    if !OPEN.contains(&status.as_str()) {
        let message = format!(
            "You cannot cancel this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one \
             of the following statuses may be canceled: requires_payment_method, requires_capture, \
             requires_confirmation, requires_action, processing."
        );
        return Err(ApiError::invalid(message).code("payment_intent_unexpected_state"));
    }
    intent["status"] = json!("canceled");
    intent["canceled_at"] = json!(now);
    intent["cancellation_reason"] = json!(reason);
    let intent = intent.clone();
    events::tell(state, "payment_intent.canceled", &intent);
    Ok(state.expanded(intent, params, ""))
}

/// The end user pays, by an app or by the mall.
pub(crate) fn confirm(
    state: &mut State,
    id: &str,
    params: &Params,
    publishable: bool,
) -> Result<Value, ApiError> {
    params.check(&[&[
        "payment_method",
        "return_url",
        "client_secret",
        "key",
        "off_session",
        "expand[*]",
    ]])?;
    let intent = state.find("payment_intent", id);
    let intent = intent.ok_or_else(|| ApiError::no_such(404, "payment_intent", id, "intent"))?;
    if publishable && intent["client_secret"] != params.required("client_secret")? {
        return Err(ApiError::no_such(404, "payment_intent", id, "intent"));
    }
    let card = params.required("payment_method")?;
    let found = Card::by_token(card);
    let card =
        found.ok_or_else(|| ApiError::no_such(400, "payment_method", card, "payment_method"))?;
    pay(state, id, card, 0)?;
    state.whole("payment_intent", id, "intent", params)
}

/// Pays with a card; the bank may take some seconds.
pub(crate) fn pay(state: &mut State, id: &str, card: &Card, seconds: i64) -> Result<(), ApiError> {
    let intent = state.change("payment_intent", id, (404, "intent"))?;
    let status = intent["status"].as_str().unwrap_or_default().to_owned();
    if !OPEN.contains(&status.as_str()) {
        let message = format!(
            "You cannot confirm this PaymentIntent because it has already {status} after being previously confirmed."
        );
        let error = ApiError::invalid(message).code("payment_intent_unexpected_state");
        return Err(error.with("payment_intent", intent.clone()));
    }
    intent["payment_method"] = json!(card.token);
    let proved = status == "requires_action";
    if card.needs_authentication(false) && !proved {
        intent["status"] = json!("requires_action");
        intent["next_action"] = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}});
        let intent = intent.clone();
        events::tell(state, "payment_intent.requires_action", &intent);
        return Ok(());
    }
    intent["next_action"] = Value::Null;
    if let Some(error) = card.declines_paying() {
        intent["status"] = json!("requires_payment_method");
        intent["last_payment_error"] = error.as_last_error();
        let intent = intent.clone();
        events::tell(state, "payment_intent.payment_failed", &intent);
        return Err(error.with("payment_intent", intent));
    }
    if seconds > 0 {
        intent["status"] = json!("processing");
        let intent = intent.clone();
        events::tell(state, "payment_intent.processing", &intent);
        state.later(seconds, Later::Succeed(id.to_owned()));
        return Ok(());
    }
    succeed(state, id);
    Ok(())
}

/// The money is taken.
pub(crate) fn succeed(state: &mut State, id: &str) {
    let Some(intent) = state.find("payment_intent", id).cloned() else { return };
    let (amount, currency) = (intent["amount"].as_i64().unwrap_or_default(), &intent["currency"]);
    let (charge, moved) = (state.next("ch"), state.next("txn"));
    let fee = money::fee(amount);
    let token = intent["payment_method"].as_str().unwrap_or_default();
    let card = Card::by_token(token);
    let transaction = json!({
        "id": moved, "object": "balance_transaction", "amount": amount, "fee": fee,
        "net": amount.saturating_sub(fee), "currency": currency, "type": "charge",
        "source": charge, "created": state.now, "status": "available",
        "fee_details": [{"type": "stripe_fee", "amount": fee, "currency": currency}],
    });
    state.add("balance_transaction", transaction);
    let disputed = card.and_then(|card| match card.behaviour {
        Behaviour::IsDisputed(reason) => Some(reason),
        _ => None,
    });
    let made = json!({
        "id": charge, "object": "charge", "amount": amount, "amount_refunded": 0,
        "currency": currency, "paid": true, "captured": true, "refunded": false,
        "disputed": disputed.is_some(), "status": "succeeded", "payment_intent": id,
        "customer": intent["customer"], "balance_transaction": moved, "created": state.now,
        "livemode": false, "metadata": intent["metadata"],
        "payment_method_details": {"type": "card", "card": {
            "brand": card.map(|card| card.brand), "last4": card.map(Card::last4)}},
    });
    let made = state.add("charge", made);
    *state.journal.charged.entry(id.to_owned()).or_default() += amount;
    if let Ok(intent) = state.change("payment_intent", id, (404, "intent")) {
        intent["status"] = json!("succeeded");
        intent["amount_received"] = json!(amount);
        intent["latest_charge"] = json!(charge);
        intent["last_payment_error"] = Value::Null;
        let intent = intent.clone();
        events::tell(state, "charge.succeeded", &made);
        events::tell(state, "payment_intent.succeeded", &intent);
    }
    if let Some(reason) = disputed {
        dispute(state, &made, reason);
    }
}

/// The end user's bank takes a charge back.
fn dispute(state: &mut State, charge: &Value, reason: &str) {
    let (id, moved) = (state.next("du"), state.next("txn"));
    let amount = charge["amount"].as_i64().unwrap_or_default();
    let transaction = json!({
        "id": moved, "object": "balance_transaction", "amount": amount.saturating_neg(), "fee": 1500,
        "net": amount.saturating_neg().saturating_sub(1500), "currency": charge["currency"],
        "type": "adjustment", "source": id, "created": state.now, "status": "available",
    });
    state.add("balance_transaction", transaction);
    let dispute = json!({
        "id": id, "object": "dispute", "amount": amount, "currency": charge["currency"],
        "charge": charge["id"], "payment_intent": charge["payment_intent"], "reason": reason,
        "status": "needs_response", "created": state.now, "livemode": false, "metadata": {},
        "balance_transactions": [moved],
    });
    let dispute = state.add("dispute", dispute);
    events::tell(state, "charge.dispute.created", &dispute);
    events::tell(state, "charge.dispute.funds_withdrawn", &dispute);
}
