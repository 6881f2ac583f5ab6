//! eSIM Go.

use serde_json::{Value, json};
use upstream::{Credentials, Protocol};

use super::{Played, SIM, go_order, request, to_go};

fn assignments(played: &Played, query: &str) -> Vec<Value> {
    let answer = played.ask(&to_go("GET", &format!("/esims/{SIM}/bundles?{query}"), None));
    assert_eq!(answer.0, 200);
    let bundles = answer.1["bundles"].as_array().unwrap().clone();
    bundles.iter().flat_map(|bundle| bundle["assignments"].as_array().unwrap().clone()).collect()
}

#[test]
fn an_order_is_completed_and_its_bundle_is_processed() {
    let played = Played::new(Protocol::EsimGo, r#"{"delay_seconds":[600,600]}"#, 1);
    let quote = played.ask(&go_order("validate", &[SIM]));
    assert_eq!((quote.0, &quote.1["total"]), (200, &json!(5)));
    assert!(played.upstream.journal().is_empty());
    let order = played.ask(&go_order("transaction", &[SIM])).1;
    assert_eq!(order["status"], json!("completed"));
    let reference = order["orderReference"].as_str().unwrap();
    assert_eq!(assignments(&played, "")[0]["bundleState"], json!("processing"));
    assert_eq!(played.upstream.done(reference), 0);
    played.wait(600);
    let there = assignments(&played, "");
    assert_eq!((there.len(), &there[0]["bundleState"]), (1, &json!("active")));
    assert_eq!(there[0]["assignmentReference"], json!(format!("{reference}-0")));
    assert_eq!(played.upstream.done(reference), 1);
    let kept = played.ask(&to_go("GET", &format!("/orders/{reference}"), None)).1;
    assert_eq!(kept["orderReference"], json!(reference));
    assert_eq!(played.ask(&to_go("GET", "/orders", None)).1.as_array().unwrap().len(), 1);
    assert_eq!(played.ask(&to_go("GET", &format!("/esims/{SIM}"), None)).1["iccid"], json!(SIM));
    assert_eq!(played.ask(&to_go("GET", "/catalogue", None)).1["rows"], json!(3));
}

#[test]
fn the_same_order_twice_is_two_bundles() {
    let played = Played::new(Protocol::EsimGo, "none", 1);
    let first = played.ask(&go_order("transaction", &[SIM])).1["orderReference"].clone();
    let second = played.ask(&go_order("transaction", &[SIM])).1["orderReference"].clone();
    assert_ne!(first, second);
    assert_eq!(played.upstream.bundles(SIM).len(), 2);
}

#[test]
fn a_bundle_is_taken_off() {
    let played = Played::new(Protocol::EsimGo, "none", 1);
    played.ask(&go_order("transaction", &[SIM, SIM]));
    let id = assignments(&played, "")[1]["id"].as_str().unwrap().to_owned();
    let revoke = to_go("DELETE", &format!("/esims/{SIM}/bundles/esim_1GB/assignments/{id}"), None);
    assert_eq!(played.ask(&revoke).0, 200);
    assert_eq!(assignments(&played, "").len(), 1);
    let all = assignments(&played, "includeUsed=true");
    let states: Vec<_> = all.iter().map(|row| row["bundleState"].as_str().unwrap()).collect();
    assert_eq!(states, ["active", "revoked"]);
    assert_eq!(played.ask(&revoke).0, 404);
    let by_name = to_go("DELETE", &format!("/esims/{SIM}/bundles/esim_1GB"), None);
    assert_eq!((played.ask(&by_name).0, played.ask(&by_name).0), (200, 404));
    // They were there: what was done stays done.
    assert_eq!(played.upstream.counts().values().map(|count| count.done).sum::<u64>(), 2);
}

#[test]
fn still_working_is_503_and_keys_are_checked() {
    let faults = r#"{"faults":[{"kind":"pending-operation","attempts":1,"seconds":7}]}"#;
    let credentials = Credentials { secret: Some("key".to_owned()), public_key_pem: None };
    let played = Played::with(Protocol::EsimGo, faults, 1, credentials);
    let reply = played.upstream.handle(&go_order("transaction", &[SIM]));
    let answer = reply.answer().unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains(&("retry-after".to_owned(), "7".to_owned())));
    assert!(played.upstream.bundles(SIM).is_empty());
    assert_eq!(played.ask(&go_order("transaction", &[SIM])).0, 200);
    for headers in [[("X-API-Key", "other")], [("X-Other", "key")]] {
        assert_eq!(played.ask(&request("GET", "/v2.5/catalogue", &headers, None)).0, 403);
    }
    assert_eq!(played.ask(&go_order("other", &[SIM])).0, 400);
}
