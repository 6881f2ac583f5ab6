//! Customers, their saved cards, and ephemeral keys. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::cards::Card;
use crate::error::ApiError;
use crate::state::State;
use crate::test_clocks;

const CUSTOMER: &[&str] =
    &["email", "name", "phone", "description", "invoice_settings[default_payment_method]"];
/// What a new one can be given besides.
const NEW_CUSTOMER: &[&str] = &[
    "email",
    "name",
    "phone",
    "description",
    "invoice_settings[default_payment_method]",
    "test_clock",
];
const CARD: &[&str] =
    &["type", "card[*]", "billing_details[*]", "client_secret", "customer", "allow_redisplay"];
/// How long an ephemeral key lives.
const KEY_SECONDS: i64 = 3_600;

pub(crate) const ROUTES: &[Route] = &[
    Route::new("POST", "/v1/customers", NEW_CUSTOMER, create),
    Route::new("GET", "/v1/customers", &["email", "test_clock"], list),
    Route::new("GET", "/v1/customers/*", &[], retrieve),
    Route::new("POST", "/v1/customers/*", CUSTOMER, update),
    Route::new("DELETE", "/v1/customers/*", &[], delete),
    Route::new("GET", "/v1/customers/*/payment_methods", &["type"], methods_of),
    Route::new("POST", "/v1/ephemeral_keys", &["customer"], ephemeral_key),
    Route::new("POST", "/v1/payment_methods", CARD, create_method).public(),
    Route::new("GET", "/v1/payment_methods", &["customer", "type"], list_methods),
    Route::new("GET", "/v1/payment_methods/*", &[], |call| {
        let id = call.own("payment_method", "payment_method")?;
        Ok(call.show(&id))
    }),
    Route::new("POST", "/v1/payment_methods/*/attach", &["customer"], attach_method),
    Route::new("POST", "/v1/payment_methods/*/detach", &[], detach_method),
];

fn fields(call: &Call<'_>) -> Value {
    let given = |name: &&str| call.params.given(name).is_some();
    let names = ["email", "name", "phone", "description"];
    let text = |name: &str| (name.to_owned(), json!(call.params.text(name)));
    Value::Object(names.iter().filter(|name| given(name)).map(|name| text(name)).collect())
}

/// Those of a test clock are listed with it only.
fn list(call: &mut Call<'_>) -> Answered {
    let (email, clock) = (call.params.text("email"), call.params.text("test_clock"));
    let fits = |it: &&Value| {
        it["deleted"].is_null()
            && it["test_clock"].as_str() == clock
            && email.is_none_or(|email| it["email"] == email)
            && call.is_in_time(it)
    };
    let found: Vec<&Value> = call.state.newest("customer").filter(fits).collect();
    call.page(&found)
}

fn create(call: &mut Call<'_>) -> Answered {
    let clock = test_clocks::named(call)?;
    let metadata = call.params.metadata(&Value::Null)?;
    let id = call.state.id("cus");
    let prefix = id.get(4..12).unwrap_or_default().to_uppercase();
    call.state.add(json!({
        "id": id, "object": "customer", "address": null, "balance": 0, "currency": null,
        "default_source": null, "delinquent": false, "description": null, "discount": null,
        "email": null, "invoice_prefix": prefix,
        "invoice_settings": {"custom_fields": null, "default_payment_method": null, "footer": null,
            "rendering_options": null},
        "metadata": metadata, "name": null, "next_invoice_sequence": 1, "phone": null,
        "preferred_locales": [], "shipping": null, "tax_exempt": "none", "test_clock": clock,
    }));
    let fields = fields(call);
    call.state.merge(&id, fields);
    call.state.emit("customer.created", &id, Value::Null);
    Ok(call.show(&id))
}

fn retrieve(call: &mut Call<'_>) -> Answered {
    let id = call.id();
    // One that is deleted is still told of.
    if call.state.field(&id, "deleted") == true {
        return Ok(json!({"id": id, "object": "customer", "deleted": true}));
    }
    let id = call.own("customer", "id")?;
    Ok(call.show(&id))
}

fn update(call: &mut Call<'_>) -> Answered {
    let id = call.own("customer", "id")?;
    let mut fields = fields(call);
    fields["metadata"] = call.params.metadata(&call.state.field(&id, "metadata"))?;
    let default = "invoice_settings[default_payment_method]";
    if let Some(method) = call.named("payment_method", default)? {
        if call.state.text(&method, "customer") != id {
            let message =
                format!("The customer does not have a payment method with the ID {method}.");
            return Err(ApiError::param(default, message).code("resource_missing"));
        }
        fields["invoice_settings"] = call.state.field(&id, "invoice_settings");
        fields["invoice_settings"]["default_payment_method"] = json!(method);
    }
    let previous = call.state.merge(&id, fields);
    call.state.emit("customer.updated", &id, previous);
    Ok(call.show(&id))
}

fn delete(call: &mut Call<'_>) -> Answered {
    let id = call.own("customer", "id")?;
    call.state.emit("customer.deleted", &id, Value::Null);
    call.state.merge(&id, json!({"deleted": true}));
    Ok(json!({"id": id, "object": "customer", "deleted": true}))
}

fn ephemeral_key(call: &mut Call<'_>) -> Answered {
    let customer = call.params.required("customer")?.to_owned();
    call.state.find("customer", &customer, "customer", 400)?;
    let (id, secret) = (call.state.id("ephkey"), call.state.id("ek_test"));
    let now = call.state.now;
    Ok(json!({
        "id": id, "object": "ephemeral_key", "created": now, "expires": now + KEY_SECONDS,
        "associated_objects": [{"id": customer, "type": "customer"}],
        "livemode": false, "secret": secret,
    }))
}

fn methods_of(call: &mut Call<'_>) -> Answered {
    let customer = call.own("customer", "customer")?;
    let methods = call.state.newest("payment_method");
    let found: Vec<&Value> = methods.filter(|method| method["customer"] == customer).collect();
    call.page(&found)
}

fn list_methods(call: &mut Call<'_>) -> Answered {
    call.params.required("customer")?;
    call.list("payment_method", &["customer", "type"])
}

fn create_method(call: &mut Call<'_>) -> Answered {
    if call.params.required("type")? != "card" {
        return Err(ApiError::param("type", "This double plays cards only."));
    }
    let card = card_of(&call.params.object("card"))?;
    let id = add_method(call.state, card);
    let metadata = call.params.metadata(&Value::Null)?;
    call.state.merge(&id, json!({"metadata": metadata}));
    Ok(call.show(&id))
}

/// The test card of `card[number]` or `card[token]`.
pub(crate) fn card_of(given: &serde_json::Map<String, Value>) -> Result<&'static Card, ApiError> {
    let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
    let number: String = text("number").chars().filter(char::is_ascii_digit).collect();
    let token = text("token").replacen("tok_", "pm_card_", 1);
    Card::by_number(&number).or_else(|| Card::by_token(&token)).ok_or_else(|| {
        let message = "Your card number is incorrect: this double takes Stripe's test cards only.";
        ApiError::card("incorrect_number", None, message).with("param", json!("number"))
    })
}

pub(crate) fn add_method(state: &mut State, card: &Card) -> String {
    let id = state.id("pm");
    state.add(json!({
        "id": id, "object": "payment_method", "allow_redisplay": "unspecified", "type": "card",
        "billing_details": {"address": null, "email": null, "name": null, "phone": null},
        "card": {"brand": card.brand, "checks": {"cvc_check": "pass"}, "country": "US",
            "display_brand": card.brand, "exp_month": 12, "exp_year": 2039, "funding": "credit",
            "fingerprint": crate::state::scrambled(card.number, 16), "last4": card.last4(),
            "three_d_secure_usage": {"supported": true}, "wallet": null},
        "customer": null, "metadata": {}, "_card": card.number,
    }));
    id
}

/// The payment method that a parameter names: one that was made, or a test card, which becomes one.
pub(crate) fn method_named(state: &mut State, id: &str) -> Result<String, ApiError> {
    if let Some(card) = Card::by_token(id) {
        return Ok(add_method(state, card));
    }
    let found = state.find("payment_method", id, "payment_method", 400)?;
    Ok(found["id"].as_str().unwrap_or_default().to_owned())
}

/// Saves a card for a customer.
pub(crate) fn attach(state: &mut State, method: &str, customer: &str) {
    let previous = state.merge(method, json!({"customer": customer}));
    state.emit("payment_method.attached", method, previous);
}

/// The test card behind a payment method.
pub(crate) fn card(state: &State, method: &str) -> Option<&'static Card> {
    Card::by_number(&state.text(method, "_card"))
}

fn attach_method(call: &mut Call<'_>) -> Answered {
    let customer = call.params.required("customer")?.to_owned();
    call.state.find("customer", &customer, "customer", 400)?;
    let id = call.id();
    if Card::by_token(&id).is_none() {
        call.own("payment_method", "payment_method")?;
    }
    let method = method_named(call.state, &id)?;
    let holder = call.state.text(&method, "customer");
    if !holder.is_empty() && holder != customer {
        let message = "The payment method you provided has already been attached to a customer.";
        return Err(ApiError::param("payment_method", message));
    }
    if let Some(error) = card(call.state, &method).and_then(Card::declines_saving) {
        return Err(error);
    }
    attach(call.state, &method, &customer);
    Ok(call.show(&method))
}

fn detach_method(call: &mut Call<'_>) -> Answered {
    let id = call.own("payment_method", "payment_method")?;
    if call.state.field(&id, "customer").is_null() {
        let message = "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(ApiError::param("payment_method", message));
    }
    let previous = call.state.merge(&id, json!({"customer": null}));
    call.state.emit("payment_method.detached", &id, previous);
    Ok(call.show(&id))
}
