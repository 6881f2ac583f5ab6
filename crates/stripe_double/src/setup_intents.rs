//! Setup intents: saving a card without a payment. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::cards::Card;
use crate::customers::{self, add_method, card_of, method_named};
use crate::error::ApiError;

const CREATE: &[&str] = &[
    "customer",
    "automatic_payment_methods[*]",
    "payment_method_types[*]",
    "payment_method",
    "usage",
    "description",
    "confirm",
    "return_url",
];
const CONFIRM: &[&str] = &[
    "client_secret",
    "payment_method",
    "payment_method_data[type]",
    "payment_method_data[card][*]",
    "payment_method_data[billing_details][*]",
    "return_url",
    "use_stripe_sdk",
];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("POST", "/v1/setup_intents", CREATE, create),
    Route::new("GET", "/v1/setup_intents", &["customer"], |call| {
        call.list("setup_intent", &["customer"])
    }),
    Route::new("GET", "/v1/setup_intents/*", &["client_secret"], |call| {
        let id = call.own("setup_intent", "intent")?;
        is_owned(call, &id)?;
        Ok(call.show(&id))
    })
    .public(),
    Route::new("POST", "/v1/setup_intents/*/confirm", CONFIRM, confirm).public(),
    Route::new("POST", "/v1/setup_intents/*/cancel", &[], cancel),
];

fn is_owned(call: &Call<'_>, id: &str) -> Result<(), ApiError> {
    let secret = call.state.text(id, "client_secret");
    if call.is_public && call.params.required("client_secret")? != secret {
        let message = "The client_secret provided does not match the client_secret associated with this object.";
        return Err(ApiError::param("client_secret", message).code("resource_missing"));
    }
    Ok(())
}

fn create(call: &mut Call<'_>) -> Answered {
    let customer = call.named("customer", "customer")?;
    let metadata = call.params.metadata(&Value::Null)?;
    let usage = call.params.choice("usage", &["on_session", "off_session"])?;
    let usage = usage.unwrap_or("off_session");
    let method = call.params.text("payment_method").map(str::to_owned);
    let method = method.map(|method| method_named(call.state, &method)).transpose()?;
    let status = if method.is_some() { "requires_confirmation" } else { "requires_payment_method" };
    let id = call.state.id("seti");
    let secret = call.state.id(&format!("{id}_secret"));
    call.state.add(json!({
        "id": id, "object": "setup_intent", "automatic_payment_methods": null,
        "cancellation_reason": null, "client_secret": secret, "customer": customer,
        "description": call.params.text("description"), "last_setup_error": null,
        "latest_attempt": null, "mandate": null, "metadata": metadata, "next_action": null,
        "payment_method": method, "payment_method_types": ["card"], "status": status,
        "usage": usage,
    }));
    call.state.emit("setup_intent.created", &id, Value::Null);
    if let (true, Some(method)) = (call.params.boolean("confirm")?.unwrap_or(false), method) {
        save(call, &id, &method)?;
    }
    Ok(call.show(&id))
}

fn unexpected(call: &Call<'_>, id: &str, verb: &str) -> ApiError {
    let status = call.state.text(id, "status");
    let message =
        format!("You cannot {verb} this SetupIntent because it has a status of {status}.");
    let error = ApiError::invalid(message).code("setup_intent_unexpected_state").kept();
    error.with("setup_intent", call.state.shown(id))
}

fn is_open(call: &Call<'_>, id: &str) -> bool {
    call.state.text(id, "status").starts_with("requires_")
}

fn confirm(call: &mut Call<'_>) -> Answered {
    let id = call.own("setup_intent", "intent")?;
    is_owned(call, &id)?;
    if !is_open(call, &id) {
        return Err(unexpected(call, &id, "confirm"));
    }
    let params = call.params;
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
        return Err(unexpected(call, &id, "confirm"));
    }
    save(call, &id, &method)?;
    Ok(call.show(&id))
}

fn save(call: &mut Call<'_>, id: &str, method: &str) -> Result<(), ApiError> {
    let state = &mut *call.state;
    let card = customers::card(state, method);
    if let Some(error) = card.and_then(Card::declines_saving) {
        let error = error.with("payment_method", state.shown(method));
        let last = error.as_last_error();
        state.merge(id, json!({"status": "requires_payment_method", "last_setup_error": last}));
        state.emit("setup_intent.setup_failed", id, Value::Null);
        return Err(error.with("setup_intent", state.shown(id)));
    }
    state.merge(id, json!({"payment_method": method}));
    if card.is_some_and(|card| card.needs_authentication(false))
        && state.text(id, "status") != "requires_action"
    {
        let action = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}});
        state.merge(id, json!({"status": "requires_action", "next_action": action}));
        state.emit("setup_intent.requires_action", id, Value::Null);
        return Ok(());
    }
    let customer = state.text(id, "customer");
    if !customer.is_empty() && state.field(method, "customer").is_null() {
        customers::attach(state, method, &customer);
    }
    state.merge(method, json!({"_set_up": true}));
    state.merge(id, json!({"status": "succeeded", "next_action": null, "last_setup_error": null}));
    state.emit("setup_intent.succeeded", id, Value::Null);
    Ok(())
}

fn cancel(call: &mut Call<'_>) -> Answered {
    let id = call.own("setup_intent", "intent")?;
    if !is_open(call, &id) {
        return Err(unexpected(call, &id, "cancel"));
    }
    call.state.merge(&id, json!({"status": "canceled", "next_action": null}));
    call.state.emit("setup_intent.canceled", &id, Value::Null);
    Ok(call.show(&id))
}
