//! Cube v4.

use rsa::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use upstream::{Credentials, Effect, Protocol, Request};

use super::{Played, SIM, START_MS, cube_order, request, to_cube};

/// Requests with their signatures, and a throw-away key.
const VECTORS: &str = include_str!("../../../carriers/tests/cube_v4.json");
const DELAYED: &str = r#"{"delay_seconds":[60,60]}"#;
const OTHER_SIM: &str = "89248044404413065335";

fn code(answer: &(u16, Value)) -> &str {
    answer.1["status"]["code"].as_str().unwrap()
}

fn bundles(played: &Played, iccid: &str) -> Vec<Value> {
    let answer = played.ask(&to_cube("GET", &format!("/sims/{iccid}/bundles"), None));
    assert_eq!(code(&answer), "CB-00-0000");
    answer.1["data"].as_array().unwrap().clone()
}

#[test]
fn an_order_is_accepted_and_done_later() {
    let played = Played::new(Protocol::CubeV4, DELAYED, 1);
    let (status, answer) = played.ask(&cube_order("po-1", &[SIM]));
    assert_eq!((status, &answer["data"]["status"]), (200, &json!(1)));
    assert_eq!(answer["data"]["created_at"], json!(START_MS));
    let id = answer["data"]["order_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("OL-"));
    let look = to_cube("GET", &format!("/orders/{id}/service"), None);
    assert_eq!(played.ask(&look).1["data"]["status"], json!(1));
    assert!(bundles(&played, SIM).is_empty());
    played.wait(59);
    assert!(bundles(&played, SIM).is_empty() && played.upstream.done("po-1") == 0);
    played.wait(1);
    assert_eq!(bundles(&played, SIM).len(), 1);
    let order = played.ask(&look).1;
    assert_eq!(order["data"]["status"], json!(3));
    assert_eq!(order["data"]["created_at"], json!(START_MS.to_string()));
    assert_eq!(played.upstream.done("po-1"), 1);
    let entry = &played.upstream.journal()[0];
    assert_eq!((entry.order_id.as_str(), entry.told), (id.as_str(), "answered"));
    assert!(matches!(entry.effect, Effect::Done { at } if at.as_millis() == START_MS + 60_000));
}

#[test]
fn sims_usage_and_products_are_told() {
    let played = Played::new(Protocol::CubeV4, "none", 1);
    played.ask(&cube_order("po-1", &[SIM]));
    let sim = played.ask(&to_cube("GET", &format!("/sims/{SIM}"), None)).1;
    assert_eq!(sim["data"]["status"], json!(23));
    assert_eq!(sim["data"]["sim_service"]["bundles"].as_array().unwrap().len(), 1);
    played.upstream.advance(domain::Span::minutes(10));
    let usage = played.ask(&to_cube("GET", &format!("/sims/{SIM}/usage?end_by=2023-01"), None)).1;
    assert_eq!(usage["data"]["usage"][0]["data"]["all"], json!(10 * 64 * 1024));
    let skus = played.ask(&to_cube("GET", "/skus", None)).1;
    assert_eq!(skus["total_count"], json!(3));
}

#[test]
fn the_same_parameters_within_ten_seconds_are_one_order() {
    let played = Played::new(Protocol::CubeV4, "none", 1);
    let first = played.ask(&cube_order("po-1", &[SIM])).1["data"]["order_id"].clone();
    played.wait(9);
    assert_eq!(played.ask(&cube_order("po-1", &[SIM])).1["data"]["order_id"], first);
    assert_eq!(played.count("po-1"), (1, 0, 0, 1));
    // Other parameters are another order, though the SIM and the product are the same.
    let other = played.ask(&cube_order("po-2", &[SIM])).1["data"]["order_id"].clone();
    assert_ne!(other, first);
    // A repeat does not make the ten seconds longer.
    played.wait(1);
    assert_ne!(played.ask(&cube_order("po-1", &[SIM])).1["data"]["order_id"], first);
    assert_eq!(played.count("po-1"), (2, 0, 0, 1));
    assert_eq!(played.upstream.bundles(SIM), ["po-1", "po-2", "po-1"]);
}

#[test]
fn a_repeat_is_recognized_while_the_first_order_is_pending() {
    let played = Played::new(Protocol::CubeV4, DELAYED, 1);
    let first = played.ask(&cube_order("po-1", &[SIM])).1["data"]["order_id"].clone();
    assert_eq!(played.ask(&cube_order("po-1", &[SIM])).1["data"]["order_id"], first);
    let other = played.ask(&cube_order("po-2", &[SIM]));
    assert_eq!((other.0, code(&other)), (200, "CB-01-0111"));
    assert_eq!(played.count("po-2"), (0, 1, 0, 0));
    played.wait(60);
    assert_eq!(code(&played.ask(&cube_order("po-2", &[SIM]))), "CB-00-0000");
}

#[test]
fn without_extra_two_orders_may_be_taken_for_one() {
    let faults = r#"{"faults":[{"kind":"same-parameters-without-extra"}]}"#;
    let played = Played::new(Protocol::CubeV4, faults, 1);
    let first = played.ask(&cube_order("po-1", &[SIM])).1["data"]["order_id"].clone();
    assert_eq!(played.ask(&cube_order("po-2", &[SIM])).1["data"]["order_id"], first);
    assert_eq!((played.count("po-1"), played.count("po-2")), ((1, 0, 0, 0), (0, 0, 0, 1)));
}

#[test]
fn one_sim_of_an_order_fails_in_silence() {
    let faults =
        format!(r#"{{"faults":[{{"kind":"silent-failure","iccid_ends":"{}"}}]}}"#, &SIM[16..]);
    let played = Played::new(Protocol::CubeV4, &faults, 1);
    let answer = played.ask(&cube_order("po-1", &[OTHER_SIM, SIM])).1;
    let id = answer["data"]["order_id"].as_str().unwrap();
    let order = played.ask(&to_cube("GET", &format!("/orders/{id}/service"), None)).1;
    assert_eq!((&order["data"]["status"], &order["data"]["abnormal"]), (&json!(3), &json!([])));
    assert_eq!(played.count("po-1"), (1, 0, 1, 0));
    assert_eq!((bundles(&played, SIM).len(), bundles(&played, OTHER_SIM).len()), (0, 1));
    // A SIM that failed is free for the next order.
    played.upstream.set_faults(upstream::Faults::default());
    assert_eq!(code(&played.ask(&cube_order("po-2", &[SIM]))), "CB-00-0000");
}

#[test]
fn changes_of_a_sim_take_their_time_and_lock_it() {
    let played = Played::new(Protocol::CubeV4, DELAYED, 1);
    played.ask(&cube_order("po-1", &[SIM]));
    played.wait(60);
    let change = |word: &str| played.ask(&to_cube("PUT", &format!("/sims/{SIM}/{word}"), None));
    let look = to_cube("GET", &format!("/sims/{SIM}"), None);
    let status = || played.ask(&look).1["data"]["status"].clone();
    for (word, after) in [("suspend", 30), ("resume", 23), ("cancel", 40)] {
        let answer = change(word);
        let id = answer.1["data"]["request_id"].as_str().unwrap();
        let result = to_cube("GET", &format!("/sims/async_result/{id}"), None);
        assert_eq!(played.ask(&result).1["data"]["status"], json!(0));
        assert_eq!(code(&change("resume")), "CB-01-0111");
        played.wait(60);
        assert_eq!(played.ask(&result).1["data"]["status"], json!(1));
        assert_eq!(status(), json!(after), "{word}");
    }
    assert_eq!(bundles(&played, SIM)[0]["status"], json!(3));
    // A renewal brings an expired SIM back.
    played.ask(&cube_order("po-2", &[SIM]));
    played.wait(60);
    assert_eq!(status(), json!(23));
}

#[test]
fn bundles_run_one_after_another_and_come_in_pages() {
    let played = Played::new(Protocol::CubeV4, "none", 1);
    for number in 0..12 {
        played.ask(&cube_order(&format!("po-{number}"), &[SIM]));
    }
    let page = |query: &str| {
        let answer = played.ask(&to_cube("GET", &format!("/sims/{SIM}/bundles?{query}"), None)).1;
        (answer["data"].as_array().unwrap().len(), answer["total_count"].clone())
    };
    assert_eq!(page(""), (10, json!(12)));
    assert_eq!(page("page_no=2"), (2, json!(12)));
    assert_eq!(page("page_size=100"), (12, json!(12)));
    assert_eq!(page("status=0,2&page_size=100"), (11, json!(11)));
    let bad = played.ask(&to_cube("GET", &format!("/sims/{SIM}/bundles?page_size=101"), None));
    assert_eq!((bad.0, code(&bad)), (400, "CB-99-9400"));
}

#[test]
fn what_cannot_be_ordered_is_refused_and_written_down() {
    let played = Played::new(Protocol::CubeV4, "none", 1);
    let item = json!({"id": "CP-GONE", "quantity": 1, "sim_ids": [SIM]});
    let body = json!({"extra": {"po": "po-1"}, "items": [item]});
    let gone = played.ask(&to_cube("POST", "/orders/service", Some(&body)));
    assert_eq!(code(&gone), "CB-02-0003");
    assert_eq!(played.count("po-1"), (0, 1, 0, 0));
    for body in [json!({}), json!({"items": []}), json!({"items": [{"id": "CP-1"}]})] {
        assert_eq!(played.ask(&to_cube("POST", "/orders/service", Some(&body))).0, 400);
    }
    assert_eq!(code(&played.ask(&cube_order("po-2", &["1"]))), "CB-01-0001");
    assert_eq!(played.ask(&to_cube("GET", "/nothing", None)).0, 404);
}

fn private_key() -> rsa::PrivateKey {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let pem = vectors["private_key_pkcs8_pem"].as_str().unwrap();
    rsa::PrivateKey::from_pkcs8_pem(pem).unwrap()
}

/// Cube, which knows the caller's key.
fn checking() -> Played {
    let pem = private_key().to_public_key().to_public_key_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    let credentials = Credentials { public_key_pem: Some(pem), secret: None };
    Played::with(Protocol::CubeV4, "none", 1, credentials)
}

fn signed(vector: &Value) -> Request {
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    let query = vector["query"].as_object().into_iter().flatten();
    let query: Vec<String> =
        query.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
    let (authorization, time, nonce) = (text("authorization"), text("timestamp"), text("nonce"));
    let headers = [
        ("authorization", &*authorization),
        ("timestamp", &*time),
        ("nonce", &*nonce),
        ("x-lf-signature-type", "2.0"),
    ];
    let target = format!("{}?{}", text("uri"), query.join("&"));
    let body = Some(&vector["body"]).filter(|body| !body.is_null());
    request(&text("method"), &target, &headers, body)
}

#[test]
fn published_signatures_are_taken_and_no_others() {
    let played = checking();
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let request = signed(vector);
        assert_ne!(played.ask(&request).0, 403, "{vector}");
        let other = Request { query: "page_size=7".to_owned(), ..request };
        assert_eq!(played.ask(&other).0, 403, "{vector}");
    }
    let request = signed(&vectors[2]);
    let missing = Request { headers: Vec::new(), ..request.clone() };
    assert_eq!(played.ask(&missing).0, 401);
    // The virtual clock is the network's only; the caller's timestamp is compared with the real one.
    played.upstream.advance(domain::Span::minutes(60));
    assert_ne!(played.ask(&request).0, 403);
    played.wait(601);
    assert_eq!(played.ask(&request).0, 403);
}

#[test]
fn a_key_that_is_none_is_refused() {
    let credentials = Credentials { public_key_pem: Some("PEM".to_owned()), secret: None };
    let clock = std::sync::Arc::new(super::Hand(0.into()));
    let ctx = domain::Ctx::new(clock, rand::SeedableRng::seed_from_u64(0));
    let faults = upstream::Faults::default();
    let made = upstream::Upstream::with_credentials(Protocol::CubeV4, faults, 1, ctx, credentials);
    assert!(made.unwrap_err().to_string().contains("public key"));
}

/// The signature is over the members as they are sorted, not as they came; empty ones do not count.
#[test]
fn the_order_of_members_does_not_matter() {
    let text = format!(
        r#"{{"extra":{{"po":"a"}},"items":[{{"id":"CP-1","quantity":1,"sim_ids":["{SIM}"]}}],"nonce":"7","timestamp":"{START_MS}","x-sign-uri":"/cube/v4/orders/service"}}"#
    );
    let signature = private_key().sign(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(text)).unwrap();
    let engine = base64::engine::general_purpose::STANDARD;
    let signature = base64::Engine::encode(&engine, signature);
    let (authorization, time) = (format!("LF key/{signature}"), START_MS.to_string());
    let headers = [("Authorization", &*authorization), ("timestamp", &*time), ("nonce", "7")];
    let mut request = request("POST", "/cube/v4/orders/service", &headers, None);
    let body = format!(
        r#"{{ "items": [{{"sim_ids":["{SIM}"],"quantity":1,"id":"CP-1"}}], "none": "", "extra": {{"po":"a"}} }}"#
    );
    request.body = body.into_bytes();
    assert_eq!(checking().ask(&request).0, 200);
}
