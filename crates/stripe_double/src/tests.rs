//! The double by Stripe's rules, through its one door.

use serde_json::{Value, json};

use super::*;

struct Caller {
    double: Double,
    now: i64,
}

impl Caller {
    fn new() -> Self {
        Self { double: Double::new(1, "whsec_test"), now: 1_700_000_000 }
    }

    fn ask(&self, method: &str, path: &str, form: &[(&str, &str)], key: &str) -> (u16, Value) {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let (query, body) =
            if method == "GET" { (text, Vec::new()) } else { (String::new(), text.into_bytes()) };
        let mut headers = vec![("Authorization".to_owned(), "Bearer sk_test_key".to_owned())];
        if !key.is_empty() {
            headers.push(("Idempotency-Key".to_owned(), key.to_owned()));
        }
        self.send(&Request {
            method: method.to_owned(),
            path: format!("/v1/{path}"),
            query,
            headers,
            body,
        })
    }

    fn send(&self, request: &Request) -> (u16, Value) {
        let reply = self.double.answer(self.now * 1_000_000, request);
        let Some(answer) = reply.answer else { return (0, Value::Null) };
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn control(&self, call: &str, body: &Value) -> (u16, Value) {
        let (method, path) = ("POST".to_owned(), format!("{CONTROL}{call}"));
        let body = body.to_string().into_bytes();
        self.send(&Request { method, path, body, ..Request::default() })
    }

    fn intent(&self, amount: &str) -> String {
        let form = [("amount", amount), ("currency", "usd"), ("metadata[order]", "ord_1")];
        let (status, intent) = self.ask("POST", "payment_intents", &form, "");
        assert_eq!(status, 200, "{intent}");
        intent["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_card_pays_is_declined_or_has_to_prove() {
    let caller = Caller::new();
    let paid = caller.intent("1999");
    let (_, intent) = caller.control(&format!("pay/{paid}"), &json!({"card": "4242424242424242"}));
    assert_eq!(
        (&intent["status"], &intent["amount_received"]),
        (&json!("succeeded"), &json!(1999))
    );
    let whole = [("expand[]", "latest_charge.balance_transaction")];
    let (_, intent) = caller.ask("GET", &format!("payment_intents/{paid}"), &whole, "");
    assert_eq!(intent["latest_charge"]["balance_transaction"]["fee"], 88);

    let declined = caller.intent("1999");
    let card = json!({"card": "pm_card_chargeDeclinedInsufficientFunds"});
    let (status, error) = caller.control(&format!("pay/{declined}"), &card);
    assert_eq!((status, &error["error"]["decline_code"]), (402, &json!("insufficient_funds")));
    let (_, intent) = caller.ask("GET", &format!("payment_intents/{declined}"), &[], "");
    assert_eq!(intent["status"], "requires_payment_method");
    assert_eq!(intent["last_payment_error"]["decline_code"], "insufficient_funds");

    let asked = caller.intent("1999");
    let card = json!({"card": "4000002760003184", "proves": false});
    assert_eq!(caller.control(&format!("pay/{asked}"), &card).1["status"], "requires_action");
    assert_eq!(caller.double.journal().charged, [(paid, 1999)].into());
}

#[test]
fn a_key_answers_the_same_for_a_day() {
    let mut caller = Caller::new();
    let form = [("amount", "500"), ("currency", "usd")];
    let ask =
        |caller: &Caller, form: &[(&str, &str)]| caller.ask("POST", "payment_intents", form, "k1");
    let first = ask(&caller, &form);
    assert_eq!(ask(&caller, &form), first);
    let (status, other) = ask(&caller, &[("amount", "501"), ("currency", "usd")]);
    assert_eq!((status, &other["error"]["type"]), (400, &json!("idempotency_error")));
    caller.now += 24 * 60 * 60;
    assert_ne!(ask(&caller, &form), first, "forgotten");
    // What failed validation is not kept.
    let wrong =
        caller.ask("POST", "payment_intents", &[("amount", "1"), ("currency", "usd")], "k2");
    assert_eq!((wrong.0, &wrong.1["error"]["code"]), (400, &json!("amount_too_small")));
    assert_eq!(caller.ask("POST", "payment_intents", &form, "k2").0, 200);
}

#[test]
fn no_more_goes_back_than_came() {
    let mut caller = Caller::new();
    let intent = caller.intent("1000");
    let refund = |caller: &Caller, amount: &str| {
        let form = [("payment_intent", intent.as_str()), ("amount", amount)];
        caller.ask("POST", "refunds", &form, "")
    };
    assert_eq!(refund(&caller, "1").0, 400, "nothing was paid");
    caller.control(&format!("pay/{intent}"), &json!({"card": "pm_card_refundFail"}));
    assert_eq!(refund(&caller, "400").1["status"], "succeeded");
    assert_eq!(refund(&caller, "601").0, 400);
    assert_eq!(refund(&caller, "600").0, 200);
    assert_eq!(refund(&caller, "1").1["error"]["code"], "charge_already_refunded");
    let form = [("payment_intent", intent.as_str())];
    caller.now += 61;
    let (_, list) = caller.ask("GET", "refunds", &form, "");
    assert!(list["data"].as_array().unwrap().iter().all(|one| one["status"] == "failed"), "{list}");
    assert_eq!(caller.double.journal().refunded[&intent], 0);
}

#[test]
fn events_come_signed_until_they_are_taken() {
    let caller = Caller::new();
    let intent = caller.intent("1000");
    caller.control("webhooks", &json!({"duplicate": true}));
    caller.control(&format!("pay/{intent}"), &json!({}));
    let now = caller.now * 1_000_000;
    let due = caller.double.due_events(now);
    let kinds = |due: &[Delivery]| -> Vec<String> {
        let kind =
            |one: &Delivery| serde_json::from_slice::<Value>(&one.body).unwrap()["type"].clone();
        due.iter().map(|one| kind(one).as_str().unwrap().to_owned()).collect()
    };
    let all = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"];
    assert_eq!(kinds(&due), all.iter().flat_map(|kind| [*kind; 2]).collect::<Vec<_>>());
    assert!(due[0].signature.starts_with("t=1700000000,v1="));
    for one in &due {
        caller.double.delivered(&one.event_id, one.event_id != due[4].event_id, now);
    }
    assert_eq!(caller.double.due_events(now), []);
    assert_eq!(kinds(&caller.double.due_events(now + 5_000_000)), ["payment_intent.succeeded"; 2]);
}

#[test]
fn faults_on_demand_and_foreign_keys() {
    let caller = Caller::new();
    caller.control(
        "faults",
        &json!({"kind": "drop_after", "method": "POST", "path": "payment_intents"}),
    );
    let form = [("amount", "500"), ("currency", "usd")];
    assert_eq!(caller.ask("POST", "payment_intents", &form, "k").0, 0);
    let (_, list) = caller.ask("GET", "payment_intents", &[], "");
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    // The repeat under the same key finds what was done.
    assert_eq!(caller.ask("POST", "payment_intents", &form, "k").1["id"], list["data"][0]["id"]);
    let bearer = |key: &str| {
        let headers = vec![("authorization".to_owned(), format!("Bearer {key}"))];
        let request = Request {
            method: "GET".into(),
            path: "/v1/events".into(),
            headers,
            ..Request::default()
        };
        caller.send(&request).0
    };
    assert_eq!(
        [bearer("sk_live_1"), bearer(""), bearer("pk_test_1"), bearer("sk_test_1")],
        [401, 401, 401, 200]
    );
}

#[test]
fn unknown_parameters_and_paths_are_refused() {
    let caller = Caller::new();
    let form = [("amount", "500"), ("currency", "usd"), ("colour", "red")];
    let (status, error) = caller.ask("POST", "payment_intents", &form, "");
    assert_eq!((status, &error["error"]["code"]), (400, &json!("parameter_unknown")));
    assert_eq!(caller.ask("GET", "planets", &[], "").0, 404);
    assert_eq!(
        caller.ask("GET", "payment_intents/pi_x", &[], "").1["error"]["code"],
        "resource_missing"
    );
}
