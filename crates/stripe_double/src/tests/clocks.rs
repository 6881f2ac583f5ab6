//! Customers of a test clock live by it, and nobody else does.

use serde_json::{Value, json};

use super::{START, ask, double, request};
use crate::Double;

/// The first of March 2026.
const MARCH: i64 = 1_772_323_200;
const DAY: i64 = 86_400;

fn made(double: &mut Double, path: &str, body: &str) -> Value {
    let (status, object) = ask(double, "POST", path, body, "");
    assert_eq!(status, 200, "{object}");
    object
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

fn all(double: &mut Double, path: &str) -> Vec<Value> {
    ask(double, "GET", path, "", "").1["data"].as_array().unwrap().clone()
}

/// A clock, its customer and the customer's monthly subscription.
fn subscribed(double: &mut Double) -> (String, String, String) {
    let body = format!("frozen_time={MARCH}&name=renewals");
    let clock = id(&made(double, "/v1/test_helpers/test_clocks", &body));
    let customer = made(double, "/v1/customers", &format!("test_clock={clock}"));
    assert_eq!((&customer["created"], &customer["test_clock"]), (&json!(MARCH), &json!(clock)));
    let customer = id(&customer);
    let product = id(&made(double, "/v1/products", "name=plan"));
    let body = format!("currency=usd&unit_amount=499&product={product}&recurring[interval]=month");
    let price = id(&made(double, "/v1/prices", &body));
    let attach = format!("customer={customer}");
    let card = id(&made(double, "/v1/payment_methods/pm_card_visa/attach", &attach));
    let body = format!("customer={customer}&items[0][price]={price}&default_payment_method={card}");
    let begun = made(double, "/v1/subscriptions", &body);
    assert_eq!(
        (&begun["current_period_start"], &begun["test_clock"]),
        (&json!(MARCH), &json!(clock))
    );
    (clock, customer, id(&begun))
}

fn advance(double: &mut Double, clock: &str, to: i64) -> (u16, Value) {
    let path = format!("/v1/test_helpers/test_clocks/{clock}/advance");
    ask(double, "POST", &path, &format!("frozen_time={to}"), "")
}

#[test]
fn what_is_due_happens_as_the_clock_is_advanced() {
    let double = &mut double();
    let (clock, customer, subscription) = subscribed(double);
    let invoices = format!("/v1/invoices?subscription={subscription}");
    // Years of the double's own time are nothing to it.
    ask(double, "POST", "/_double/clock", r#"{"advance_seconds":100000000}"#, "");
    assert_eq!(all(double, &invoices).len(), 1);
    let (status, advancing) = advance(double, &clock, MARCH + 32 * DAY);
    assert_eq!((status, &advancing["status"]), (200, &json!("advancing")));
    let path = format!("/v1/test_helpers/test_clocks/{clock}");
    let (_, ready) = ask(double, "GET", &path, "", "");
    assert_eq!(
        (&ready["status"], &ready["frozen_time"]),
        (&json!("ready"), &json!(MARCH + 32 * DAY))
    );
    let found = all(double, &invoices);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (&found[0]["status"], &found[0]["created"]),
        (&json!("paid"), &json!(MARCH + 31 * DAY))
    );
    // All that came of it is of that time: an hour later it was paid.
    let paid_at = json!(MARCH + 31 * DAY + 3_600);
    let charge = found[0]["charge"].as_str().unwrap();
    let (_, charge) = ask(double, "GET", &format!("/v1/charges/{charge}"), "", "");
    assert_eq!(charge["created"], paid_at);
    let line = charge["balance_transaction"].as_str().unwrap();
    let (_, line) = ask(double, "GET", &format!("/v1/balance_transactions/{line}"), "", "");
    assert_eq!(line["created"], paid_at);
    let events =
        all(double, "/v1/events?types[]=invoice.paid&types[]=test_helpers.test_clock.ready");
    let shown: Vec<_> =
        events.iter().map(|it| (it["type"].as_str().unwrap(), it["created"].clone())).collect();
    assert_eq!(
        shown,
        [
            ("test_helpers.test_clock.ready", json!(MARCH + 32 * DAY)),
            ("invoice.paid", paid_at),
            ("invoice.paid", json!(MARCH)),
        ]
    );
    assert_eq!(all(double, "/v1/customers").len(), 0);
    assert_eq!(all(double, &format!("/v1/customers?test_clock={clock}")).len(), 1);
    assert_eq!(all(double, &format!("/v1/subscriptions?customer={customer}")).len(), 1);
}

#[test]
fn a_clock_goes_forwards_and_not_too_far() {
    let double = &mut double();
    let (clock, ..) = subscribed(double);
    // Two months from the first of March on.
    for to in [MARCH, MARCH - 1, MARCH + 61 * DAY + 1] {
        let (status, error) = advance(double, &clock, to);
        assert_eq!((status, &error["error"]["param"]), (400, &json!("frozen_time")), "{to}");
    }
    assert_eq!(advance(double, &clock, MARCH + 61 * DAY).0, 200);
    let other = made(double, "/v1/test_helpers/test_clocks", &format!("frozen_time={MARCH}"));
    assert_eq!(advance(double, &id(&other), MARCH + 731 * DAY + 1).0, 400);
    assert_eq!(advance(double, &id(&other), MARCH + 731 * DAY).0, 200);
    let (status, error) = ask(double, "POST", "/v1/customers", "test_clock=clock_none", "");
    assert_eq!((status, &error["error"]["code"]), (400, &json!("resource_missing")));
}

#[test]
fn a_clock_goes_with_all_that_is_its_own() {
    let double = &mut double();
    let kept = id(&made(double, "/v1/customers", ""));
    let (clock, customer, subscription) = subscribed(double);
    let path = format!("/v1/test_helpers/test_clocks/{clock}");
    assert_eq!(all(double, "/v1/test_helpers/test_clocks").len(), 1);
    assert_eq!(ask(double, "DELETE", &path, "", "").1["deleted"], true);
    assert_eq!(ask(double, "GET", &path, "", "").0, 404);
    assert_eq!(all(double, "/v1/test_helpers/test_clocks").len(), 0);
    assert_eq!(ask(double, "GET", &format!("/v1/customers/{customer}"), "", "").1["deleted"], true);
    let path = format!("/v1/subscriptions/{subscription}");
    assert_eq!(ask(double, "GET", &path, "", "").0, 404);
    assert_eq!(all(double, &format!("/v1/subscriptions?customer={customer}")).len(), 0);
    assert_eq!(ask(double, "GET", &format!("/v1/customers/{kept}"), "", "").1["id"], kept);
}

#[test]
fn webhooks_of_a_clock_go_out_at_once() {
    let double = &mut double();
    let body = format!("frozen_time={}", MARCH + 3_650 * DAY);
    let clock = id(&made(double, "/v1/test_helpers/test_clocks", &body));
    made(double, "/v1/customers", &format!("test_clock={clock}"));
    let path = format!("/v1/test_helpers/test_clocks/{clock}/advance");
    let body = format!("frozen_time={}", MARCH + 3_651 * DAY);
    double.answer(START, &request("POST", &path, &body, ""));
    let kinds: Vec<Value> = double
        .due_events(START, 10)
        .iter()
        .map(|it| serde_json::from_slice::<Value>(&it.body).unwrap()["type"].clone())
        .collect();
    let clock = |word: &str| json!(format!("test_helpers.test_clock.{word}"));
    assert_eq!(
        kinds,
        [clock("created"), json!("customer.created"), clock("advancing"), clock("ready")]
    );
}
