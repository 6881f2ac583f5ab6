//! The calls about push endpoints: the schemas of their answers, and examples of both sides.

use serde_json::{Value, json};
use wire::endpoints::{DELIVERY_STATES, KINDS};
use wire::push::EventType;
use wire::{Call, Method};

use super::answers::{count, like, list, object, text, time_or_null, word};
use super::examples::{Example, PARTNER};

const ENDPOINT: &str = "end_01890a5dac96774bbcceb302099a8057";
const EVENT: &str = "evt_01890a5dac96774bbcceb302099a8058";
const AT: i64 = 1_654_585_746_965;
const BODY: &str = r#"{"data":{"endpoint_id":"end_01890a5dac96774bbcceb302099a8057"},"event_id":"evt_01890a5dac96774bbcceb302099a8058","event_type":"push.sample","event_version":"1.0","mode":"test","occurred_at":1654585746965,"partner_code":"P000270"}"#;
const KEY_ID: &str = "pk_3f9a21c07d54";
const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const WHSEC: &str = "whsec_ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";

/// The schema of a call's own answer. `None` for a call that is not about push endpoints.
pub fn data(call: &Call) -> Option<Value> {
    Some(match call.name {
        "listPushEndpoints" => {
            let all = list("The oldest first (chosen)", &endpoint());
            object(&json!({ "endpoints": all }), &[])
        }
        "addPushEndpoint" | "rotatePushKey" => {
            object(&json!({"endpoint": endpoint(), "key": issued_key()}), &[])
        }
        "changePushEndpoint" => endpoint(),
        "testPushEndpoint" => tested(),
        "deletePushEndpoint" => {
            json!({"type": "object", "maxProperties": 0, "description": "Always empty (chosen)"})
        }
        "resendPushes" => resent(),
        "takePushes" => taken(),
        "listPushDeliveries" => deliveries(),
        _ => return None,
    })
}

fn endpoint() -> Value {
    let key = json!({
        "key_id": text("The id by which x-lf-signature names it (chosen)"),
        "created_at": count("When it was made, epoch milliseconds (chosen)", 0),
        "retires_at": time_or_null("From when on nothing is signed with it (chosen)"),
    });
    let types = json!({"enum": EventType::WORDS});
    let members = json!({
        "endpoint_id": text("Its id (chosen)"),
        "kind": word("How it is told (chosen)", KINDS),
        "url": text("Where pushes go; empty for a listener (chosen)"),
        "description": text("What it is, for people (chosen)"),
        "events": list("The event types that it is told; empty: all (chosen)", &types),
        "state": word("off: the mall switched it off (chosen)", &["on", "paused", "off"]),
        "off_reason": text("Why it is off; empty otherwise (chosen)"),
        "created_at": count("When it was added, epoch milliseconds (chosen)", 0),
        "failing_since": time_or_null("Since when nothing but failures came of it (chosen)"),
        "failures": count("How many tries failed since the last success (chosen)", 0),
        "probe_at": time_or_null("When it is tried again, while its events wait for it (chosen)"),
        "tried_at": time_or_null("When it was tried last (chosen)"),
        "succeeded_at": time_or_null("When a try succeeded last (chosen)"),
        "waiting": count("How many events wait, 10,000 at most (chosen)", 0),
        "keys": list("The keys that sign, the newest first (chosen)", &object(&key, &[])),
    });
    object(&members, &[])
}

fn issued_key() -> Value {
    let members = json!({
        "key_id": text("The id by which x-lf-signature names it (chosen)"),
        "hex": like("The key, shown only now (chosen)", "^[0-9a-f]{48,128}$"),
        "whsec": like("The same key for libraries of Standard Webhooks (chosen)", "^whsec_.+$"),
    });
    object(&members, &[])
}

fn attempt() -> Value {
    let members = json!({
        "tried_at": count("When it was signed and sent, epoch milliseconds (chosen)", 0),
        "latency_ms": count("How long it took, milliseconds (chosen)", 0),
        "status": time_or_null("The HTTP status; null where no answer came (chosen)"),
        "failure": text("Why no answer came, for programs; empty otherwise (chosen)"),
        "said": text("The beginning of the answer, or words about the failure (chosen)"),
    });
    object(&members, &[])
}

fn tested() -> Value {
    let members = json!({
        "event_id": text("The sample (chosen)"),
        "state": word("What came of it; waiting: until a listener takes it (chosen)", DELIVERY_STATES),
        "attempt": {
            "description": "The try; null for a listener (chosen)",
            "anyOf": [attempt(), {"type": "null"}],
        },
    });
    object(&members, &[])
}

/// Where to go on.
fn next_cursor() -> Value {
    json!({"type": ["string", "null"], "description": "Go on with this cursor; null at the end (chosen)"})
}

fn resent() -> Value {
    let members = json!({
        "count": count("So many wait again by this call (chosen)", 0),
        "next_cursor": next_cursor(),
    });
    object(&members, &[])
}

fn taken() -> Value {
    let headers = json!({
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "The headers of its push (chosen)",
    });
    let event = json!({
        "event_id": text("The event (chosen)"),
        "headers": headers,
        "body": text("The bytes that were signed (chosen)"),
    });
    let all = list("Of each subject only what comes first (chosen)", &object(&event, &[]));
    object(&json!({ "events": all }), &[])
}

fn deliveries() -> Value {
    let members = json!({
        "event_id": text("The event (chosen)"),
        "event_type": word("What happened (chosen)", &EventType::WORDS),
        "subject": text("What it is about: the id of an order, an ICCID, … (chosen)"),
        "sequence": count("Its place among the events of its subject (chosen)", 1),
        "occurred_at": count("When it happened, epoch milliseconds (chosen)", 0),
        "recorded_at": count("When the mall recorded it, epoch milliseconds (chosen)", 0),
        "state": word("Where it stands (chosen)", DELIVERY_STATES),
        "tries": count("How many tries counted (chosen)", 0),
        "due_at": time_or_null("When it is due, if it waits (chosen)"),
        "decided_at": time_or_null("When it was delivered or given up (chosen)"),
        "attempts": list("The tries, the newest first (chosen)", &attempt()),
        "body": {
            "type": ["string", "null"],
            "description": "The bytes that are signed and sent; only where one event was asked for (chosen)",
        },
    });
    let all = list("The newest first (chosen)", &object(&members, &[]));
    object(&json!({"deliveries": all, "next_cursor": next_cursor()}), &[])
}

/// An example request of a call, without its signature.
pub fn request(call: &Call) -> Option<Value> {
    let mut request = json!({"partnerCode": PARTNER, "tradeTime": AT.to_string(),
        "tradeType": call.name, "version": "3.0"});
    if call.name != "listPushEndpoints" && call.name != "addPushEndpoint" {
        request["endpoint_id"] = json!(ENDPOINT);
    }
    match call.name {
        "addPushEndpoint" => {
            request["url"] = json!("https://partner.example/pushes");
            request["description"] = json!("the shop");
            request["events"] = json!(["recharge.success", "order.failed"]);
        }
        "changePushEndpoint" => request["state"] = json!("paused"),
        "rotatePushKey" => request["overlap_hours"] = json!(48),
        "resendPushes" => request["failed_since"] = json!(AT),
        "takePushes" => request["acknowledged"] = json!([EVENT]),
        "listPushDeliveries" => request["state"] = json!("failed"),
        "listPushEndpoints" | "testPushEndpoint" | "deletePushEndpoint" => {}
        _ => return None,
    }
    debug_assert!(call.needs_hmac() && matches!(call.method, Method::Get | Method::Post));
    Some(request)
}

/// An example answer of a call.
pub fn answer(call: &Call) -> Option<Example> {
    let endpoint = json!({"endpoint_id": ENDPOINT, "kind": "url",
        "url": "https://partner.example/pushes", "description": "the shop",
        "events": ["recharge.success", "order.failed"], "state": "on", "off_reason": "",
        "created_at": AT, "failing_since": null, "failures": 0, "probe_at": null,
        "tried_at": AT, "succeeded_at": AT, "waiting": 0,
        "keys": [{"key_id": KEY_ID, "created_at": AT, "retires_at": null}]});
    let attempt = json!({"tried_at": AT, "latency_ms": 87, "status": 500, "failure": "",
        "said": "out of order"});
    let value = match call.name {
        "listPushEndpoints" => json!({"endpoints": [endpoint]}),
        "addPushEndpoint" | "rotatePushKey" => json!({"endpoint": endpoint,
            "key": {"key_id": KEY_ID, "hex": HEX, "whsec": WHSEC}}),
        "changePushEndpoint" => endpoint,
        "testPushEndpoint" => json!({"event_id": EVENT, "state": "failed", "attempt": attempt}),
        "deletePushEndpoint" => json!({}),
        "resendPushes" => json!({"count": 3, "next_cursor": null}),
        "takePushes" => json!({"events": [{"event_id": EVENT, "body": BODY, "headers": {
                "x-lf-notification-version": "1.0", "x-lf-algo": "HMAC-SHA1",
                "x-lf-signature": format!("{KEY_ID}/…"), "x-lf-timestamp": AT.to_string(),
                "webhook-id": EVENT, "webhook-timestamp": "1654585746",
                "webhook-signature": "v1,…"}}]}),
        "listPushDeliveries" => json!({"deliveries": [{"event_id": EVENT,
            "event_type": "recharge.success",
            "subject": "ord_01890a5dac96774bbcceb302099a8059", "sequence": 1, "occurred_at": AT,
            "recorded_at": AT, "state": "failed", "tries": 8, "due_at": null, "decided_at": AT,
            "attempts": [attempt], "body": null}], "next_cursor": EVENT}),
        _ => return None,
    };
    Some(Example { name: "example", summary: "An example", value })
}
