//! Subscriptions: begun, renewed by the clock, ended. Touches the state only.

use jiff::ToSpan;
use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::customers::{self, method_named};
use crate::error::ApiError;
use crate::invoices;
use crate::state::{State, Timer};

const CREATE: &[&str] = &[
    "customer",
    "items[0][price]",
    "items[0][quantity]",
    "default_payment_method",
    "payment_behavior",
    "off_session",
    "cancel_at_period_end",
    "description",
];
const UPDATE: &[&str] = &["cancel_at_period_end", "default_payment_method", "description"];
/// How long a first payment may be missing.
const INCOMPLETE_SECONDS: i64 = 23 * 3_600;
/// How long after a period's end its invoice is paid.
const DRAFT_SECONDS: i64 = 3_600;

pub(crate) const ROUTES: &[Route] = &[
    Route::new("POST", "/v1/subscriptions", CREATE, create),
    Route::new("GET", "/v1/subscriptions", &["customer", "status", "test_clock"], list),
    Route::new("GET", "/v1/subscriptions/*", &[], |call| {
        let id = call.own("subscription", "id")?;
        Ok(call.show(&id))
    }),
    Route::new("POST", "/v1/subscriptions/*", UPDATE, update),
    Route::new("DELETE", "/v1/subscriptions/*", &["invoice_now", "prorate"], cancel),
];

/// When the period of a number ends that began to be counted at `anchor`.
pub(crate) fn period_end(anchor: i64, recurring: &Value, periods: i64) -> i64 {
    let count = recurring["interval_count"].as_i64().unwrap_or(1).saturating_mul(periods);
    let span = match recurring["interval"].as_str().unwrap_or_default() {
        "day" => return anchor.saturating_add(count.saturating_mul(86_400)),
        "week" => return anchor.saturating_add(count.saturating_mul(7 * 86_400)),
        "year" => count.saturating_mul(12),
        _ => count,
    };
    let span = i32::try_from(span).unwrap_or(i32::MAX).min(12_000).months();
    let start = jiff::Timestamp::from_second(anchor).unwrap_or_default();
    let end = start.to_zoned(jiff::tz::TimeZone::UTC).checked_add(span);
    end.map_or(i64::MAX, |end| end.timestamp().as_second())
}

fn list(call: &mut Call<'_>) -> Answered {
    let status = call.params.text("status");
    let (customer, clock) = (call.params.text("customer"), call.params.text("test_clock"));
    // Those of a test clock are listed with it, or with their customer, only.
    let by_clock = |it: &Value| match clock {
        Some(clock) => it["test_clock"] == clock,
        None => customer.is_some() || it["test_clock"].is_null(),
    };
    let fits = |it: &&Value| {
        it["deleted"].is_null()
            && by_clock(it)
            && customer.is_none_or(|customer| it["customer"] == customer)
            && match status {
                None => it["status"] != "canceled",
                Some("all") => true,
                Some(status) => it["status"] == status,
            }
    };
    let found: Vec<&Value> = call.state.newest("subscription").filter(fits).collect();
    call.page(&found)
}

fn create(call: &mut Call<'_>) -> Answered {
    let params = call.params;
    let customer = params.required("customer")?.to_owned();
    call.state.find("customer", &customer, "customer", 400)?;
    let price = params.required("items[0][price]")?.to_owned();
    let price = call.state.find("price", &price, "items[0][price]", 400)?.clone();
    if price["recurring"].is_null() {
        let message = "The price specified is set to `type=one_time` but this field only accepts prices with \
            `type=recurring`.";
        return Err(ApiError::param("items[0][price]", message));
    }
    let quantity = params.integer("items[0][quantity]")?.unwrap_or(1).max(1);
    let behaviours = ["allow_incomplete", "error_if_incomplete", "default_incomplete"];
    let behaviour = params.choice("payment_behavior", &behaviours)?.unwrap_or("allow_incomplete");
    let metadata = params.metadata(&Value::Null)?;
    let is_ending = params.boolean("cancel_at_period_end")?.unwrap_or(false);
    let method = match params.text("default_payment_method") {
        Some(method) => Some(method_named(call.state, method)?),
        None => None,
    };
    let default = call.state.field(&customer, "invoice_settings")["default_payment_method"].clone();
    let payer = method.clone().or_else(|| default.as_str().map(str::to_owned));
    let state = &mut *call.state;
    match payer.as_deref().and_then(|method| customers::card(state, method)) {
        None if behaviour != "default_incomplete" => {
            let message = "This customer has no attached payment source or default payment method. Please consider \
                adding a default payment method.";
            return Err(ApiError::invalid(message).code("resource_missing"));
        }
        // Nothing is left behind of a subscription that had to be paid at once.
        Some(card) if behaviour == "error_if_incomplete" => {
            if let Some(error) = card.declines_paying() {
                return Err(error);
            }
            if card.needs_authentication(false) {
                return Err(crate::cards::authentication_required());
            }
        }
        _ => {}
    }
    let (id, item) = (state.id("sub"), state.id("si"));
    let now = state.now;
    let end = period_end(now, &price["recurring"], 1);
    let item = json!({"id": item, "object": "subscription_item", "created": now, "metadata": {},
        "price": price, "quantity": quantity, "subscription": id});
    state.add(json!({
        "id": id, "object": "subscription", "billing_cycle_anchor": now, "cancel_at": null,
        "cancel_at_period_end": is_ending, "canceled_at": null,
        "collection_method": "charge_automatically", "currency": price["currency"],
        "current_period_start": now, "current_period_end": end, "customer": customer,
        "default_payment_method": method, "description": params.text("description"),
        "ended_at": null, "latest_invoice": null, "metadata": metadata, "start_date": now,
        "items": {"object": "list", "data": [item], "has_more": false, "total_count": 1},
        "status": "incomplete", "test_clock": state.field(&customer, "test_clock"), "trial_end": null, "_periods": 1,
    }));
    let invoice = invoices::add(state, &id, "subscription_create");
    state.emit("customer.subscription.created", &id, Value::Null);
    state.after(end - now, Timer::PeriodEnds { subscription: id.clone() });
    state.after(INCOMPLETE_SECONDS, Timer::Expires { subscription: id.clone() });
    invoices::finalize(state, &invoice);
    if behaviour != "default_incomplete" {
        invoices::collect(state, &invoice);
    }
    Ok(call.show(&id))
}

fn update(call: &mut Call<'_>) -> Answered {
    let id = call.own("subscription", "id")?;
    if call.state.text(&id, "status") == "canceled" {
        let message =
            "A canceled subscription can only update its cancellation_details and metadata.";
        return Err(ApiError::invalid(message).kept());
    }
    let mut fields = json!({"metadata": call.params.metadata(&call.state.field(&id, "metadata"))?});
    if let Some(is_ending) = call.params.boolean("cancel_at_period_end")? {
        let (end, now) = (call.state.field(&id, "current_period_end"), call.state.now);
        fields["cancel_at_period_end"] = json!(is_ending);
        fields["cancel_at"] = if is_ending { end } else { Value::Null };
        fields["canceled_at"] = if is_ending { json!(now) } else { Value::Null };
    }
    if let Some(method) = call.params.text("default_payment_method") {
        fields["default_payment_method"] = json!(method_named(call.state, method)?);
    }
    if call.params.given("description").is_some() {
        fields["description"] = json!(call.params.text("description"));
    }
    let previous = call.state.merge(&id, fields);
    call.state.emit("customer.subscription.updated", &id, previous);
    Ok(call.show(&id))
}

fn cancel(call: &mut Call<'_>) -> Answered {
    let id = call.own("subscription", "id")?;
    if call.state.text(&id, "status") == "canceled" {
        return Err(ApiError::no_such(404, "subscription", &id, "id"));
    }
    end(call.state, &id);
    Ok(call.show(&id))
}

/// Ends a subscription for good.
pub(crate) fn end(state: &mut State, id: &str) {
    let now = state.now;
    let canceled_at = match state.field(id, "canceled_at") {
        Value::Null => json!(now),
        earlier => earlier,
    };
    let fields = json!({"status": "canceled", "canceled_at": canceled_at, "ended_at": now});
    state.merge(id, fields);
    state.emit("customer.subscription.deleted", id, Value::Null);
}

fn is_over(state: &State, id: &str) -> bool {
    ["canceled", "incomplete_expired"].contains(&state.text(id, "status").as_str())
}

/// A period is over: the next begins, or none.
pub(crate) fn renew(state: &mut State, id: &str) {
    if is_over(state, id) || state.text(id, "status") == "incomplete" {
        return;
    }
    if state.field(id, "cancel_at_period_end") == true {
        return end(state, id);
    }
    let (anchor, start) = (state.number(id, "billing_cycle_anchor"), state.now);
    let periods = state.number(id, "_periods").saturating_add(1);
    let recurring = state.field(id, "items")["data"][0]["price"]["recurring"].clone();
    let end = period_end(anchor, &recurring, periods);
    let previous = state.merge(
        id,
        json!({"current_period_start": start, "current_period_end": end, "_periods": periods}),
    );
    let invoice = invoices::add(state, id, "subscription_cycle");
    state.emit("customer.subscription.updated", id, previous);
    state.after(DRAFT_SECONDS, Timer::Collects { invoice });
    state.after(end - start, Timer::PeriodEnds { subscription: id.to_owned() });
}

/// A first payment was missing for too long.
pub(crate) fn expire(state: &mut State, id: &str) {
    if state.text(id, "status") == "incomplete" {
        let now = state.now;
        let previous = state.merge(id, json!({"status": "incomplete_expired", "ended_at": now}));
        invoices::void(state, &state.text(id, "latest_invoice"));
        state.emit("customer.subscription.updated", id, previous);
    }
}

/// Sets the status that a payment, or its lack, leads to.
pub(crate) fn set_status(state: &mut State, id: &str, status: &str) {
    if !is_over(state, id) && state.text(id, "status") != status {
        let previous = state.merge(id, json!({"status": status}));
        state.emit("customer.subscription.updated", id, previous);
    }
}
