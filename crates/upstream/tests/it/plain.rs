//! The plain protocol: orders under the caller's key, and groups whose SIMs are where the journal says.

use domain::Span;
use serde_json::{Value, json};
use upstream::{Action, Protocol};

use super::{Played, plain_order, to_plain};

const SIM: &str = "89248044404413065327";
const OTHER: &str = "89248044404413065335";

fn seen(played: &Played, group: &str) -> Value {
    let asked = json!({"iccids": [SIM, OTHER]});
    let (status, body) =
        played.ask(&to_plain("POST", &format!("/groups/{group}/members"), Some(&asked)));
    assert_eq!(status, 200);
    body["members"].clone()
}

fn change(played: &Played, method: &str, sim: &str) -> u16 {
    played.ask(&to_plain(method, &format!("/groups/G1/sims/{sim}"), None)).0
}

#[test]
fn an_order_is_its_key() {
    let played = Played::new(Protocol::Plain, r#"{"delay_seconds":[60,60]}"#, 1);
    let order = plain_order("ref-1", SIM);
    assert_eq!(played.ask(&order), (200, json!({"id": "ref-1", "state": "pending"})));
    played.upstream.advance(Span::seconds(61));
    assert_eq!(played.ask(&order), (200, json!({"id": "ref-1", "state": "done"})));
    assert_eq!(played.upstream.done("ref-1"), 1);
    let (status, told) = played.ask(&plain_order("ref-1", OTHER));
    assert_eq!((status, told["code"].as_str()), (422, Some("KEY")));
    assert_eq!(played.ask(&to_plain("GET", "/orders/ref-2", None)).0, 404);
    let on_sim = played.ask(&to_plain("GET", &format!("/sims/{SIM}"), None)).1;
    assert_eq!(on_sim["bundles"][0]["order"], "ref-1");
}

#[test]
fn sims_join_and_leave_in_their_time() {
    let played = Played::new(Protocol::Plain, r#"{"delay_seconds":[60,60]}"#, 1);
    assert_eq!(seen(&played, "G1"), json!(["out", "out"]));
    assert_eq!(change(&played, "PUT", SIM), 200);
    assert_eq!(seen(&played, "G1"), json!(["pending", "out"]));
    // To ask again is nothing new.
    assert_eq!(change(&played, "PUT", SIM), 200);
    played.upstream.advance(Span::minutes(61));
    assert_eq!(seen(&played, "G1"), json!(["in", "out"]));
    assert_eq!(played.upstream.members()["G1"].iter().collect::<Vec<_>>(), [SIM]);
    let usage = |from: i64| {
        let path = format!("/groups/G1/usage?from={from}");
        played.ask(&to_plain("GET", &path, None)).1["used"].as_u64().unwrap()
    };
    let whole = usage(0);
    assert_eq!(whole, 60 * 64 * 1024);
    let half_an_hour_ago = (played.upstream.now() - Span::minutes(30)).as_micros();
    assert_eq!(usage(half_an_hour_ago), whole / 2);
    let policy = json!({"policy": "stopped"});
    assert_eq!(played.ask(&to_plain("PUT", "/groups/G1/policy", Some(&policy))).0, 200);
    played.upstream.advance(Span::minutes(60));
    assert_eq!((usage(0), played.upstream.policy("G1")), (whole, "stopped"));
    assert_eq!(change(&played, "DELETE", SIM), 200);
    played.upstream.advance(Span::minutes(2));
    assert_eq!(seen(&played, "G1"), json!(["out", "out"]));
    let journal = played.upstream.journal();
    let actions: Vec<(Action, &str)> =
        journal.iter().map(|entry| (entry.action, entry.effect.word())).collect();
    let wanted = [(Action::Join, "done"), (Action::Join, "repeated"), (Action::Leave, "done")];
    assert_eq!(actions, wanted);
}

#[test]
fn groups_meet_the_faults() {
    let faults = json!({"faults": [
        {"kind": "silent-failure", "iccid_ends": &SIM[17..]},
        {"kind": "refuse", "iccid_ends": &OTHER[17..]},
    ]});
    let played = Played::new(Protocol::Plain, &faults.to_string(), 1);
    assert_eq!((change(&played, "PUT", SIM), change(&played, "PUT", OTHER)), (200, 422));
    assert_eq!(seen(&played, "G1"), json!(["out", "out"]));
    let effects: Vec<String> =
        played.upstream.journal().iter().map(|entry| entry.effect.word().to_owned()).collect();
    assert_eq!(effects, ["silent-failure", "refused"]);
}

#[test]
fn what_is_not_a_call_is_refused() {
    let played = Played::new(Protocol::Plain, "none", 1);
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("PATCH", "/orders/ref-1", 404),
        ("PUT", "/orders/ref-1", 400),
        ("PUT", "/groups/G1/sims/123", 400),
        ("PUT", "/groups/a%20b/sims/89248044404413065327", 400),
        ("GET", "/groups/G1/usage", 400),
        ("PUT", "/groups/G1/policy", 400),
    ] {
        assert_eq!(played.ask(&to_plain(method, path, None)).0, status, "{method} {path}");
    }
    let mut without_key = to_plain("GET", "/products", None);
    without_key.headers.clear();
    assert_eq!(played.ask(&without_key).0, 401);
    assert!(played.upstream.journal().is_empty());
}
