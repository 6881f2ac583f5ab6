//! Test clocks: customers whose time stands still until it is advanced. Touches the state only.
//!
//! What happens to such a customer's objects is stamped with their clock's time, and waits for that clock. Webhooks
//! go out by the double's own.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::error::ApiError;
use crate::params::Params;
use crate::state::{State, Timer};
use crate::{happen, subscriptions};

const KIND: &str = "test_helpers.test_clock";
/// How many of the shortest subscription's intervals a clock is advanced at once.
const INTERVALS_MAX: i64 = 2;
/// How many months a clock is advanced at once that has no subscription.
const MONTHS_MAX: i64 = 24;
/// When a clock is said to be deleted by itself. This one stays.
const DELETES_SECONDS: i64 = 30 * 86_400;
/// The most characters of a name.
const NAME_CHARS_MAX: usize = 300;
/// The parameters that may name an object of a clock's customer.
const NAMES: [&str; 4] = ["customer", "payment_intent", "charge", "subscription"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("POST", "/v1/test_helpers/test_clocks", &["frozen_time", "name"], create),
    Route::new("GET", "/v1/test_helpers/test_clocks", &[], |call| call.list(KIND, &[])),
    Route::new("GET", "/v1/test_helpers/test_clocks/*", &[], |call| {
        let id = call.own(KIND, "test_clock")?;
        Ok(call.show(&id))
    }),
    Route::new("POST", "/v1/test_helpers/test_clocks/*/advance", &["frozen_time"], advance),
    Route::new("DELETE", "/v1/test_helpers/test_clocks/*", &[], delete),
];

/// The clock of whatever a call is about.
pub(crate) fn of_call(state: &State, ids: &[String], params: &Params) -> Option<String> {
    if let Some(clock) = params.text("test_clock") {
        return state.find(KIND, clock, "test_clock", 400).is_ok().then(|| clock.to_owned());
    }
    let named = NAMES.iter().filter_map(|name| params.text(name));
    named.chain(ids.iter().map(String::as_str)).find_map(|id| state.clock_of(id))
}

/// A clock that a parameter names, if it does.
pub(crate) fn named(call: &Call<'_>) -> Result<Option<String>, ApiError> {
    call.named(KIND, "test_clock")
}

fn time(call: &Call<'_>) -> Result<i64, ApiError> {
    call.params.required("frozen_time")?;
    let time = call.params.integer("frozen_time")?.unwrap_or_default();
    if jiff::Timestamp::from_second(time).is_err() || time < 0 {
        return Err(ApiError::param("frozen_time", "Invalid timestamp: seconds since 1970."));
    }
    Ok(time)
}

fn create(call: &mut Call<'_>) -> Answered {
    let time = time(call)?;
    let name = call.params.text("name");
    if name.is_some_and(|name| name.chars().count() > NAME_CHARS_MAX) {
        let message = format!("Names can have up to {NAME_CHARS_MAX} characters.");
        return Err(ApiError::param("name", message));
    }
    let id = call.state.id("clock");
    call.state.add(json!({
        "id": id, "object": KIND, "deletes_after": call.state.now + DELETES_SECONDS,
        "frozen_time": time, "name": name, "status": "ready", "status_details": {},
    }));
    call.state.emit("test_helpers.test_clock.created", &id, Value::Null);
    Ok(call.show(&id))
}

fn advance(call: &mut Call<'_>) -> Answered {
    let id = call.own(KIND, "test_clock")?;
    let target = time(call)?;
    let state = &mut *call.state;
    let frozen = state.number(&id, "frozen_time");
    if target <= frozen {
        let message = format!("The new frozen time must be after the current one, {frozen}.");
        return Err(ApiError::param("frozen_time", message));
    }
    let ends = ["canceled", "incomplete_expired"];
    let runs = |it: &&Value| it["test_clock"] == id && !ends.iter().any(|end| it["status"] == *end);
    let furthest = state.newest("subscription").filter(runs).map(|it| {
        let recurring = &it["items"]["data"][0]["price"]["recurring"];
        subscriptions::period_end(frozen, recurring, INTERVALS_MAX)
    });
    let months = json!({"interval": "month"});
    let furthest = furthest.min();
    let furthest =
        furthest.unwrap_or_else(|| subscriptions::period_end(frozen, &months, MONTHS_MAX));
    if target > furthest {
        let message = format!(
            "A clock is advanced by {INTERVALS_MAX} intervals of its shortest subscription at once, or by two years \
             without one: to {furthest} at most."
        );
        return Err(ApiError::param("frozen_time", message));
    }
    let details = json!({"advancing": {"target_frozen_time": target}});
    state.merge(&id, json!({"status": "advancing", "status_details": details}));
    state.emit("test_helpers.test_clock.advancing", &id, Value::Null);
    state.soon(Timer::Advances { clock: id.clone(), target });
    Ok(call.show(&id))
}

/// Lets happen what was to happen until then.
pub(crate) fn arrive(state: &mut State, clock: &str, target: i64) {
    if state.field(clock, "deleted") == true {
        return;
    }
    state.enter(clock);
    while let Some(timer) = state.next_by_clock(target) {
        happen(state, timer);
    }
    state.now = target;
    let fields = json!({"frozen_time": target, "status": "ready", "status_details": {}});
    state.merge(clock, fields);
    state.emit("test_helpers.test_clock.ready", clock, Value::Null);
    state.leave();
}

/// Takes a clock away with its customers and all that is theirs.
fn delete(call: &mut Call<'_>) -> Answered {
    let id = call.own(KIND, "test_clock")?;
    call.state.emit("test_helpers.test_clock.deleted", &id, Value::Null);
    call.state.forget_clock(&id);
    Ok(json!({"id": id, "object": KIND, "deleted": true}))
}
