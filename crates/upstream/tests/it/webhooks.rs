//! What is told later: in order, twice, or out of order.

use serde_json::{Value, json};
use upstream::{Credentials, Protocol, Webhook};

use super::{Played, SIM, cube_order, go_order, top_up};

fn due(played: &Played) -> Vec<Value> {
    let webhooks = played.upstream.due_webhooks(played.upstream.now());
    webhooks.iter().map(|webhook| serde_json::from_slice(&webhook.body).unwrap()).collect()
}

fn header<'a>(webhook: &'a Webhook, name: &str) -> &'a str {
    &webhook.headers.iter().find(|(given, _)| given == name).unwrap().1
}

#[test]
fn cube_tells_of_acceptance_and_of_the_end() {
    let played = Played::new(Protocol::CubeV4, r#"{"delay_seconds":[60,60]}"#, 1);
    played.ask(&cube_order("po-1", &[SIM]));
    let accepted = due(&played);
    assert_eq!((accepted.len(), &accepted[0]["event"]), (1, &json!("renewal_order_accepted")));
    assert!(due(&played).is_empty());
    played.wait(60);
    let webhooks = played.upstream.due_webhooks(played.upstream.now());
    assert_eq!(webhooks.len(), 1);
    let done: Value = serde_json::from_slice(&webhooks[0].body).unwrap();
    assert_eq!(done["event"], json!("renewal_order_result"));
    assert_eq!(done["data"]["extra"]["po"], json!("po-1"));
    assert_eq!(header(&webhooks[0], "x-lf-algo"), "HMAC-SHA1");
    let signature = header(&webhooks[0], "x-lf-signature");
    assert_eq!(signature.split_once('/').unwrap().1.len(), 40);
}

#[test]
fn a_repeated_webhook_is_the_same_event_in_another_transaction() {
    let faults = r#"{"faults":[{"kind":"duplicate-webhooks"}]}"#;
    let played = Played::new(Protocol::CubeV4, faults, 1);
    played.ask(&cube_order("po-1", &[SIM]));
    let first = due(&played);
    assert_eq!(first.len(), 2);
    played.wait(60);
    let second = due(&played);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first["event_id"], second["event_id"]);
        assert_ne!(first["transaction_id"], second["transaction_id"]);
    }
    assert_eq!((second.len(), played.upstream.done("po-1")), (2, 1));
}

#[test]
fn out_of_order_the_end_comes_before_the_acceptance() {
    let faults = r#"{"faults":[{"kind":"out-of-order-webhooks"}],"delay_seconds":[5,5]}"#;
    let played = Played::new(Protocol::EsimAccess, faults, 1);
    played.ask(&top_up("tx-1", SIM));
    played.wait(120);
    let kinds: Vec<Value> = due(&played).iter().map(|body| body["notifyType"].clone()).collect();
    assert_eq!(kinds, [json!("ESIM_STATUS"), json!("ORDER_STATUS")]);
}

#[test]
fn a_silent_failure_is_never_told() {
    let played = Played::new(Protocol::EsimAccess, r#"{"faults":[{"kind":"silent-failure"}]}"#, 1);
    played.ask(&top_up("tx-1", SIM));
    played.wait(3_600);
    let told = due(&played);
    assert_eq!((told.len(), &told[0]["notifyType"]), (1, &json!("ORDER_STATUS")));
}

#[test]
fn esim_go_signs_with_the_key() {
    let credentials = Credentials { secret: Some("key".to_owned()), public_key_pem: None };
    let played = Played::with(Protocol::EsimGo, "none", 1, credentials);
    played.ask(&go_order("transaction", &[SIM]));
    let webhooks = played.upstream.due_webhooks(played.upstream.now());
    assert_eq!(webhooks.len(), 1);
    assert_eq!(header(&webhooks[0], "x-signature-sha256").len(), 64);
}
