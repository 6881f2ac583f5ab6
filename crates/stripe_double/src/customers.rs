//! Customers, and the keys that open one customer's saved cards to an app. Touches nothing.

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::params::Params;
use crate::state::State;

/// How long an ephemeral key is good, in seconds.
const EPHEMERAL: i64 = 60 * 60;

pub(crate) fn create(state: &mut State, params: &Params) -> Result<Value, ApiError> {
    params.check(&[&["email", "name", "description", "metadata", "metadata[*]", "expand[*]"]])?;
    let metadata = params.metadata(&Value::Null)?;
    let customer = json!({
        "id": state.next("cus"), "object": "customer", "created": state.now, "livemode": false,
        "email": params.text("email"), "name": params.text("name"),
        "description": params.text("description"), "metadata": metadata,
    });
    Ok(state.add("customer", customer))
}

pub(crate) fn ephemeral_key(state: &mut State, params: &Params) -> Result<Value, ApiError> {
    params.check(&[&["customer"]])?;
    let customer = params.required("customer")?.to_owned();
    if state.find("customer", &customer).is_none() {
        return Err(ApiError::no_such(400, "customer", &customer, "customer"));
    }
    let (id, secret) = (state.next("ephkey"), state.next("ek_test"));
    Ok(json!({
        "id": id, "object": "ephemeral_key", "created": state.now, "livemode": false,
        "expires": state.now.saturating_add(EPHEMERAL), "secret": secret,
        "associated_objects": [{"type": "customer", "id": customer}],
    }))
}
