//! Payment intents: from made to paid. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::charges::{self, Outcome};
use crate::customers::{add_method, card_of, method_named};
use crate::error::ApiError;
use crate::money;
use crate::params::Params;
use crate::search;
use crate::state::State;

const CREATE: &[&str] = &[
    "amount",
    "currency",
    "customer",
    "description",
    "receipt_email",
    "automatic_payment_methods[*]",
    "payment_method_types[*]",
    "payment_method",
    "payment_method_options[card][request_three_d_secure]",
    "setup_future_usage",
    "confirm",
    "off_session",
    "return_url",
    "capture_method",
    "statement_descriptor_suffix",
];
const UPDATE: &[&str] =
    &["amount", "customer", "description", "receipt_email", "setup_future_usage"];
const CONFIRM: &[&str] = &[
    "client_secret",
    "payment_method",
    "payment_method_data[type]",
    "payment_method_data[card][*]",
    "payment_method_data[billing_details][*]",
    "off_session",
    "return_url",
    "setup_future_usage",
    "receipt_email",
    "use_stripe_sdk",
];
/// What may still be confirmed.
const OPEN: [&str; 3] = ["requires_payment_method", "requires_confirmation", "requires_action"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("POST", "/v1/payment_intents", CREATE, create),
    Route::new("GET", "/v1/payment_intents", &["customer"], |call| {
        call.list("payment_intent", &["customer"])
    }),
    Route::new("GET", "/v1/payment_intents/search", search::PARAMS, |call| {
        search::answer(call, "payment_intent")
    }),
    Route::new("GET", "/v1/payment_intents/*", &["client_secret"], retrieve).public(),
    Route::new("POST", "/v1/payment_intents/*", UPDATE, update),
    Route::new("POST", "/v1/payment_intents/*/confirm", CONFIRM, confirm).public(),
    Route::new("POST", "/v1/payment_intents/*/cancel", &["cancellation_reason"], cancel),
];

fn unexpected(state: &State, id: &str, verb: &str) -> ApiError {
    let status = state.text(id, "status");
    let message =
        format!("You cannot {verb} this PaymentIntent because it has a status of {status}.");
    let error = ApiError::invalid(message).code("payment_intent_unexpected_state").kept();
    error.with("payment_intent", state.shown(id))
}

/// Makes an intent that waits for its payment method.
pub(crate) fn add(state: &mut State, amount: i64, currency: &str, more: Value) -> String {
    let id = state.id("pi");
    let secret = state.id(&format!("{id}_secret"));
    state.add(json!({
        "id": id, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
        "amount_details": {"tip": {}}, "amount_received": 0, "application": null,
        "automatic_payment_methods": null, "canceled_at": null, "cancellation_reason": null,
        "capture_method": "automatic_async", "client_secret": secret,
        "confirmation_method": "automatic", "currency": currency, "customer": null,
        "description": null, "invoice": null, "last_payment_error": null, "latest_charge": null,
        "metadata": {}, "next_action": null, "on_behalf_of": null, "payment_method": null,
        "payment_method_types": ["card"], "processing": null, "receipt_email": null,
        "setup_future_usage": null, "shipping": null, "statement_descriptor": null,
        "status": "requires_payment_method", "transfer_data": null, "transfer_group": null,
    }));
    state.merge(&id, more);
    state.emit("payment_intent.created", &id, Value::Null);
    id
}

fn create(call: &mut Call<'_>) -> Answered {
    let params = call.params;
    params.required("amount")?;
    let amount = params.integer("amount")?.unwrap_or_default();
    let currency = money::currency(params.required("currency")?)?;
    money::check_charge(amount, &currency)?;
    let customer = call.named("customer", "customer")?;
    let metadata = params.metadata(&Value::Null)?;
    let usage = params.choice("setup_future_usage", &["on_session", "off_session"])?;
    params.choice("capture_method", &["automatic", "automatic_async"])?;
    let is_automatic = params.boolean("automatic_payment_methods[enabled]")?;
    let is_automatic = is_automatic.unwrap_or(!params.has("payment_method_types"));
    let redirects =
        params.choice("automatic_payment_methods[allow_redirects]", &["always", "never"])?;
    let redirects = redirects.unwrap_or("always");
    let is_confirmed = params.boolean("confirm")?.unwrap_or(false);
    let method = match params.text("payment_method") {
        Some(method) => Some(method_named(call.state, method)?),
        None if is_confirmed && !params.has("payment_method") => {
            return Err(ApiError::missing("payment_method").code("parameter_missing"));
        }
        None => None,
    };
    let automatic = json!({"enabled": true, "allow_redirects": redirects});
    let automatic = if is_automatic { automatic } else { Value::Null };
    let status = if method.is_some() { "requires_confirmation" } else { "requires_payment_method" };
    if let Some(method) = &method {
        check_holder(call.state, method, customer.as_deref())?;
    }
    let more = json!({
        "customer": customer, "metadata": metadata, "setup_future_usage": usage,
        "receipt_email": params.text("receipt_email"), "description": params.text("description"),
        "automatic_payment_methods": automatic, "payment_method": method, "status": status,
    });
    let off_session = params.boolean("off_session")?.unwrap_or(false);
    if is_confirmed && !off_session {
        check_return(&automatic, params)?;
    }
    let id = add(call.state, amount, &currency, more);
    if let (true, Some(method)) = (is_confirmed, method) {
        pay(call.state, &id, &method, off_session)?;
    }
    Ok(call.show(&id))
}

/// Methods that may lead the payer elsewhere need an address to come back to.
fn check_return(automatic: &Value, params: &Params) -> Result<(), ApiError> {
    let may_redirect = automatic["allow_redirects"] == "always";
    if may_redirect && !params.has("return_url") && !params.has("use_stripe_sdk") {
        let message = "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. \
            Because some of these payment methods might redirect your customer off of your page, you must \
            provide a `return_url`. If you don't want to accept redirect-based payment methods, set \
            `automatic_payment_methods[allow_redirects]` to `never`.";
        return Err(ApiError::invalid(message));
    }
    Ok(())
}

fn check_holder(state: &State, method: &str, customer: Option<&str>) -> Result<(), ApiError> {
    let holder = state.text(method, "customer");
    if !holder.is_empty() && customer != Some(holder.as_str()) {
        let message =
            "The provided PaymentMethod is attached to another customer than the PaymentIntent's.";
        return Err(ApiError::param("payment_method", message));
    }
    if holder.is_empty() && state.field(method, "_used") == true {
        let message = "The provided PaymentMethod was previously used with a PaymentIntent without Customer \
            attachment, and may not be used again. To use a PaymentMethod multiple times, you must attach it to \
            a Customer first.";
        return Err(ApiError::param("payment_method", message));
    }
    Ok(())
}

fn is_owned(call: &Call<'_>, id: &str) -> Result<(), ApiError> {
    if call.is_public
        && call.params.required("client_secret")? != call.state.text(id, "client_secret")
    {
        let message = "The client_secret provided does not match the client_secret associated with this object.";
        return Err(ApiError::param("client_secret", message).code("resource_missing"));
    }
    Ok(())
}

fn seen(call: &Call<'_>, id: &str) -> Value {
    let mut shown = call.state.shown(id);
    if let (true, Value::Object(fields)) = (call.is_public, &mut shown) {
        for name in ["metadata", "customer", "latest_charge", "invoice"] {
            fields.remove(name);
        }
    }
    shown
}

fn retrieve(call: &mut Call<'_>) -> Answered {
    let id = call.own("payment_intent", "intent")?;
    is_owned(call, &id)?;
    Ok(seen(call, &id))
}

fn update(call: &mut Call<'_>) -> Answered {
    let id = call.own("payment_intent", "intent")?;
    let mut fields = json!({"metadata": call.params.metadata(&call.state.field(&id, "metadata"))?});
    if let Some(amount) = call.params.integer("amount")? {
        money::check_charge(amount, &call.state.text(&id, "currency"))?;
        if !OPEN.contains(&call.state.text(&id, "status").as_str()) {
            return Err(unexpected(call.state, &id, "update the amount of"));
        }
        fields["amount"] = json!(amount);
    }
    if let Some(customer) = call.named("customer", "customer")? {
        fields["customer"] = json!(customer);
    }
    if let Some(email) = call.params.text("receipt_email").filter(|email| !email.contains('@')) {
        let message = format!("Invalid email address: {email}");
        return Err(ApiError::param("receipt_email", message).code("email_invalid"));
    }
    for name in ["description", "receipt_email", "setup_future_usage"] {
        if call.params.given(name).is_some() {
            fields[name] = json!(call.params.text(name));
        }
    }
    call.state.merge(&id, fields);
    Ok(call.show(&id))
}

fn confirm(call: &mut Call<'_>) -> Answered {
    let id = call.own("payment_intent", "intent")?;
    is_owned(call, &id)?;
    if !OPEN.contains(&call.state.text(&id, "status").as_str()) {
        return Err(unexpected(call.state, &id, "confirm"));
    }
    let params = call.params;
    let off_session = params.boolean("off_session")?.unwrap_or(false);
    if !off_session {
        check_return(&call.state.field(&id, "automatic_payment_methods"), params)?;
    }
    let method = if params.has("payment_method_data") {
        let text = |name: &str| params.text(&format!("payment_method_data[card][{name}]"));
        let given = ["number", "token"].into_iter();
        let given = given.filter_map(|name| Some((name.to_owned(), json!(text(name)?))));
        add_method(call.state, card_of(&given.collect())?)
    } else if let Some(method) = params.text("payment_method") {
        method_named(call.state, method)?
    } else {
        call.state.text(&id, "payment_method")
    };
    if method.is_empty() {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either \
            update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly \
            with a payment method or ConfirmationToken.";
        let error = ApiError::invalid(message).code("payment_intent_unexpected_state");
        return Err(error.with("payment_intent", call.state.shown(&id)));
    }
    let customer = call.state.text(&id, "customer");
    check_holder(call.state, &method, Some(customer.as_str()).filter(|id| !id.is_empty()))?;
    if let Some(usage) = params.choice("setup_future_usage", &["on_session", "off_session"])? {
        call.state.merge(&id, json!({"setup_future_usage": usage}));
    }
    pay(call.state, &id, &method, off_session)?;
    Ok(seen(call, &id))
}

fn pay(state: &mut State, id: &str, method: &str, off_session: bool) -> Result<(), ApiError> {
    match charges::attempt(state, id, method, off_session) {
        Outcome::Declined(error) => Err(error),
        Outcome::Going => Ok(()),
    }
}

fn cancel(call: &mut Call<'_>) -> Answered {
    let id = call.own("payment_intent", "intent")?;
    let reasons = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    let reason = call.params.choice("cancellation_reason", &reasons)?;
    if !OPEN.contains(&call.state.text(&id, "status").as_str()) {
        return Err(unexpected(call.state, &id, "cancel"));
    }
    let now = call.state.now;
    call.state.merge(
        &id,
        json!({"status": "canceled", "canceled_at": now, "cancellation_reason": reason,
            "next_action": null}),
    );
    call.state.emit("payment_intent.canceled", &id, Value::Null);
    Ok(call.show(&id))
}

/// Plays the end user: pays with a card, and proves to be there if `authenticate` says so.
pub(crate) fn play(state: &mut State, id: &str, wanted: &Value) -> Answered {
    state.find("payment_intent", id, "intent", 404)?;
    let authenticates = wanted["authenticate"].as_bool().unwrap_or(true);
    if state.text(id, "status") != "requires_action" {
        if !OPEN.contains(&state.text(id, "status").as_str()) {
            return Err(unexpected(state, id, "confirm"));
        }
        let given = wanted["card"].as_str().unwrap_or("pm_card_visa");
        let method = if given.chars().all(|letter| letter.is_ascii_digit()) {
            let number = [("number".to_owned(), json!(given))].into_iter().collect();
            add_method(state, card_of(&number)?)
        } else {
            method_named(state, given)?
        };
        let customer = state.text(id, "customer");
        check_holder(state, &method, Some(customer.as_str()).filter(|id| !id.is_empty()))?;
        pay(state, id, &method, false)?;
    }
    if state.text(id, "status") == "requires_action"
        && let Outcome::Declined(error) = charges::authenticated(state, id, authenticates)
    {
        return Err(error);
    }
    Ok(state.shown(id))
}
