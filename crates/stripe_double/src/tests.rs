//! Rules that hold whatever the client: keys, replays, faults, refunds, webhooks.

mod clocks;
mod disputes;

use serde_json::{Value, json};

use crate::{Answer, Config, Double, Request};

const START: i64 = 1_750_000_000_000_000;
const SECRET: &str = "sk_test_1";

fn double() -> Double {
    Double::new(Config {
        webhook_secret: "whsec_1".to_owned(),
        webhook_url: Some("http://127.0.0.1:1/hook".to_owned()),
        ..Config::default()
    })
}

fn request(method: &str, path: &str, body: &str, key: &str) -> Request {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {SECRET}"))];
    if !key.is_empty() {
        headers.push(("Idempotency-Key".to_owned(), key.to_owned()));
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    Request { method, path, query, headers, body: body.as_bytes().to_vec() }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn ask(double: &mut Double, method: &str, path: &str, body: &str, key: &str) -> (u16, Value) {
    let answer = double.answer(START, &request(method, path, body, key)).answer.unwrap();
    (answer.status, json_of(&answer))
}

fn intent(double: &mut Double, key: &str) -> String {
    let body =
        "amount=499&currency=usd&metadata[payment]=pay_1&automatic_payment_methods[enabled]=true";
    let (status, intent) = ask(double, "POST", "/v1/payment_intents", body, key);
    assert_eq!(status, 200, "{intent}");
    intent["id"].as_str().unwrap().to_owned()
}

fn journal(double: &mut Double) -> Value {
    ask(double, "GET", "/_double/journal", "", "").1["by_payment"]["pay_1"].clone()
}

#[test]
fn a_key_answers_once_and_refuses_another_body() {
    let double = &mut double();
    let first = intent(double, "k");
    assert_eq!(intent(double, "k"), first);
    let other = "amount=500&currency=usd";
    let (status, error) = ask(double, "POST", "/v1/payment_intents", other, "k");
    assert_eq!((status, &error["error"]["type"]), (400, &json!("idempotency_error")));
    // A day later the key is forgotten.
    ask(double, "POST", "/_double/clock", r#"{"advance_seconds":86401}"#, "");
    assert_ne!(intent(double, "k"), first);
}

#[test]
fn a_decline_is_replayed_and_a_mistake_is_not() {
    let double = &mut double();
    let id = intent(double, "");
    let path = format!("/v1/payment_intents/{id}/confirm");
    let decline =
        "payment_method=pm_card_chargeDeclinedInsufficientFunds&return_url=https://a.test";
    for _ in 0..2 {
        let (status, error) = ask(double, "POST", &path, decline, "c");
        let error = &error["error"];
        assert_eq!((status, &error["code"]), (402, &json!("card_declined")));
        assert_eq!(error["decline_code"], "insufficient_funds");
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
    }
    let (_, charges) = ask(double, "GET", &format!("/v1/charges?payment_intent={id}"), "", "");
    assert_eq!(charges["data"].as_array().unwrap().len(), 1);
    let (status, error) = ask(double, "POST", "/v1/payment_intents", "amount=1&currency=usd", "m");
    assert_eq!((status, &error["error"]["code"]), (400, &json!("amount_too_small")));
    intent(double, "m");
}

#[test]
fn what_is_lost_on_the_way_back_was_done() {
    let double = &mut double();
    let id = intent(double, "");
    ask(double, "POST", &format!("/_double/pay/{id}"), "", "");
    let body = format!("payment_intent={id}&metadata[payment]=pay_1");
    for (kind, refunds) in [("drop_before", Value::Null), ("drop_after", json!(1))] {
        let fault = json!({"kind": kind, "method": "POST", "path": "/v1/refunds"}).to_string();
        ask(double, "POST", "/_double/faults", &fault, "");
        let lost = double.answer(START, &request("POST", "/v1/refunds", &body, "r"));
        assert_eq!(lost.answer, None);
        assert_eq!(journal(double)["refunds"], refunds);
    }
    let (status, refund) = ask(double, "POST", "/v1/refunds", &body, "r");
    assert_eq!((status, &refund["status"]), (200, &json!("succeeded")));
    let sums = json!({"charges": 1, "charged": 499, "refunds": 1, "refunded": 499});
    assert_eq!(journal(double), sums);
    let (status, error) = ask(double, "POST", "/v1/refunds", &body, "r2");
    assert_eq!((status, &error["error"]["code"]), (400, &json!("charge_already_refunded")));
}

#[test]
fn a_failure_with_effect_is_what_the_key_answers() {
    let double = &mut double();
    let fault = json!({"kind": "status", "status": 500, "effect": true}).to_string();
    ask(double, "POST", "/_double/faults", &fault, "");
    let body = "amount=499&currency=usd";
    for _ in 0..2 {
        assert_eq!(ask(double, "POST", "/v1/payment_intents", body, "k").0, 500);
    }
    let (_, list) = ask(double, "GET", "/v1/payment_intents", "", "");
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_that_is_underway_is_a_conflict() {
    let double = &mut double();
    let fault = json!({"kind": "delay", "delay_ms": 1_000}).to_string();
    ask(double, "POST", "/_double/faults", &fault, "");
    let create = request("POST", "/v1/customers", "", "k");
    assert_eq!(double.answer(START, &create).delay_ms, 1_000);
    assert_eq!(double.answer(START + 999_999, &create).answer.unwrap().status, 409);
    assert_eq!(double.answer(START + 1_000_000, &create).answer.unwrap().status, 200);
}

#[test]
fn a_late_success_comes_at_its_time() {
    let double = &mut double();
    let id = intent(double, "");
    let fault =
        json!({"kind": "late_success", "delay_seconds": 30, "path": "*/confirm"}).to_string();
    ask(double, "POST", "/_double/faults", &fault, "");
    let body = "payment_method=pm_card_visa&return_url=https://a.test";
    let path = format!("/v1/payment_intents/{id}");
    let (_, paid) = ask(double, "POST", &format!("{path}/confirm"), body, "");
    assert_eq!(paid["status"], "processing");
    ask(double, "POST", "/_double/clock", r#"{"advance_seconds":30}"#, "");
    assert_eq!(ask(double, "GET", &path, "", "").1["status"], "succeeded");
}

#[test]
fn a_fee_may_be_told_late() {
    let double = &mut double();
    let id = intent(double, "");
    let fault = json!({"kind": "late_fee", "delay_seconds": 60, "path": "*/confirm"}).to_string();
    ask(double, "POST", "/_double/faults", &fault, "");
    let body = "payment_method=pm_card_visa&return_url=https://a.test";
    let path = format!("/v1/payment_intents/{id}");
    let (_, paid) = ask(double, "POST", &format!("{path}/confirm"), body, "");
    assert_eq!(paid["status"], "succeeded");
    let charge = format!("/v1/charges/{}", paid["latest_charge"].as_str().unwrap());
    assert!(ask(double, "GET", &charge, "", "").1["balance_transaction"].is_null());
    ask(double, "POST", "/_double/clock", r#"{"advance_seconds":60}"#, "");
    assert!(ask(double, "GET", &charge, "", "").1["balance_transaction"].is_string());
}

#[test]
fn live_keys_and_unknown_parameters_are_refused() {
    let double = &mut double();
    let mut live = request("GET", "/v1/events", "", "");
    live.headers = vec![("authorization".to_owned(), "Bearer sk_live_1".to_owned())];
    let refused = double.answer(START, &live).answer.unwrap();
    assert_eq!(refused.status, 401);
    assert!(json_of(&refused)["error"]["message"].as_str().unwrap().contains("double"));
    let (status, error) = ask(double, "POST", "/v1/customers", "nonsense=1", "");
    assert_eq!((status, &error["error"]["code"]), (400, &json!("parameter_unknown")));
}

#[test]
fn the_same_requests_make_the_same_objects() {
    let history = |double: &mut Double| {
        let id = intent(double, "");
        ask(double, "GET", "/v1/events", "", "");
        ask(double, "POST", &format!("/_double/pay/{id}"), "", "");
        ask(double, "GET", "/v1/events", "", "").1
    };
    assert_eq!(history(&mut double()), history(&mut double()));
}

#[test]
fn a_webhook_is_repeated_until_it_is_taken() {
    let double = &mut double();
    ask(double, "POST", "/v1/customers", "", "");
    let first = double.due_events(START, 10);
    assert_eq!(first.len(), 1);
    assert!(first[0].signature.starts_with("t=1750000000,v1="));
    double.delivered(START, first[0].id, false);
    assert_eq!(double.due_events(START, 10), []);
    let again = double.due_events(START + 1_000_000, 10);
    assert_eq!((again.len(), &again[0].body), (1, &first[0].body));
    double.delivered(START, again[0].id, true);
    ask(double, "POST", "/_double/clock", r#"{"advance_seconds":86400}"#, "");
    assert_eq!(double.due_events(START, 10), []);
}

#[test]
fn a_subscription_renews_until_its_card_declines_for_good() {
    let double = &mut double();
    let id = |(status, object): (u16, Value)| {
        assert_eq!(status, 200, "{object}");
        object["id"].as_str().unwrap().to_owned()
    };
    let customer = id(ask(double, "POST", "/v1/customers", "", ""));
    let product = id(ask(double, "POST", "/v1/products", "name=plan", ""));
    let price = format!("currency=usd&unit_amount=499&product={product}&recurring[interval]=month");
    let price = id(ask(double, "POST", "/v1/prices", &price, ""));
    let attach = format!("customer={customer}");
    let path = "/v1/payment_methods/pm_card_visa/attach";
    let visa = id(ask(double, "POST", path, &attach, ""));
    let path = "/v1/payment_methods/pm_card_chargeCustomerFail/attach";
    let fails = id(ask(double, "POST", path, &attach, ""));
    let body = |method: &str, more: &str| {
        format!("customer={customer}&items[0][price]={price}&default_payment_method={method}{more}")
    };
    let strict = "&payment_behavior=error_if_incomplete";
    let refused = ask(double, "POST", "/v1/subscriptions", &body(&fails, strict), "");
    assert_eq!(refused.0, 402);
    assert_eq!(ask(double, "GET", "/v1/subscriptions", "", "").1["data"], json!([]));
    let expand = "&expand[]=latest_invoice.payment_intent";
    let (_, begun) = ask(double, "POST", "/v1/subscriptions", &body(&visa, expand), "");
    assert_eq!(begun["status"], "active");
    assert_eq!(begun["latest_invoice"]["payment_intent"]["status"], "succeeded");
    let subscription = begun["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/subscriptions/{subscription}");
    let days = |double: &mut Double, days: i64| {
        let body = json!({"advance_seconds": days * 86_400}).to_string();
        ask(double, "POST", "/_double/clock", &body, "");
    };
    // June has 30 days; the second invoice is paid an hour later.
    days(double, 31);
    let invoices = format!("/v1/invoices?subscription={subscription}");
    let (_, paid) = ask(double, "GET", &invoices, "", "");
    let statuses = |list: &Value| -> Vec<Value> {
        list["data"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect()
    };
    assert_eq!(statuses(&paid), ["paid", "paid"]);
    ask(double, "POST", &path, &format!("default_payment_method={fails}"), "");
    days(double, 31);
    assert_eq!(ask(double, "GET", &path, "", "").1["status"], "past_due");
    days(double, 16);
    assert_eq!(ask(double, "GET", &path, "", "").1["status"], "canceled");
}
