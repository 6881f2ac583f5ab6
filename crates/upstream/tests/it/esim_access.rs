//! eSIM Access.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use upstream::{Credentials, Protocol};

use super::{Played, SIM, request, to_access, top_up};

const OTHER_SIM: &str = "89248044404413065335";

fn profile(played: &Played) -> Value {
    let pager = json!({"pageNum": 1, "pageSize": 50});
    let answer = played.ask(&to_access("/esim/query", &json!({"iccid": SIM, "pager": pager}))).1;
    assert_eq!((&answer["success"], &answer["obj"]["pager"]["total"]), (&json!(true), &json!(1)));
    answer["obj"]["esimList"][0].clone()
}

#[test]
fn a_top_up_is_done_once_per_transaction() {
    let played = Played::new(Protocol::EsimAccess, r#"{"delay_seconds":[30,30]}"#, 1);
    let first = played.ask(&top_up("tx-1", SIM)).1;
    assert_eq!((&first["success"], &first["errorCode"]), (&json!(true), &Value::Null));
    // Totals are told when they are true.
    assert_eq!(first["obj"]["totalVolume"], Value::Null);
    assert_eq!(profile(&played)["packageList"], json!([]));
    played.wait(3_600);
    let again = played.ask(&top_up("tx-1", SIM)).1;
    assert_eq!(again["obj"]["topUpEsimTranNo"], first["obj"]["topUpEsimTranNo"]);
    assert_eq!(again["obj"]["totalVolume"], json!(1_u64 << 30));
    assert_eq!(played.count("tx-1"), (1, 0, 0, 1));
    let found = profile(&played);
    assert_eq!(found["packageList"][0]["transactionId"], json!("tx-1"));
    assert_eq!(found["esimStatus"], json!("IN_USE"));
    let other = played.ask(&top_up("tx-1", OTHER_SIM)).1;
    assert_eq!((&other["success"], &other["errorCode"]), (&json!(false), &json!("200008")));
    assert!(played.upstream.bundles(OTHER_SIM).is_empty());
}

#[test]
fn the_other_calls_answer() {
    let played = Played::new(Protocol::EsimAccess, "none", 1);
    played.ask(&top_up("tx-1", SIM));
    let packages = played.ask(&to_access("/package/list", &json!({"type": "TOPUP"}))).1;
    assert_eq!(packages["obj"]["packageList"][0]["price"], json!(50_000));
    let numbers = json!({"esimTranNoList": [profile(&played)["esimTranNo"]]});
    played.wait(600);
    let usage = played.ask(&to_access("/esim/usage/query", &numbers)).1;
    assert_eq!(usage["obj"]["esimUsageList"][0]["dataUsage"], json!(10 * 64 * 1024));
    let balance = played.ask(&to_access("/balance/query", &json!({}))).1;
    assert!(balance["obj"]["balance"].as_u64().is_some());
    for (call, status) in [
        ("/esim/suspend", "SUSPENDED"),
        ("/esim/unsuspend", "IN_USE"),
        ("/esim/revoke", "CANCEL"),
        ("/esim/cancel", "CANCEL"),
    ] {
        let answer = played.ask(&to_access(call, &json!({"iccid": SIM}))).1;
        assert_eq!(answer["success"], json!(true), "{call}");
        assert_eq!(profile(&played)["esimStatus"], json!(status), "{call}");
    }
    let order = played.ask(&to_access("/esim/query", &json!({"orderNo": "B1"}))).1;
    assert_eq!(order["errorCode"], json!("310272"));
}

#[test]
fn wrong_amounts_and_packages_are_refused() {
    let played = Played::new(Protocol::EsimAccess, "none", 1);
    let body = |package: &str, amount: u64| json!({"iccid": SIM, "packageCode": package, "transactionId": "tx-1", "amount": amount});
    for (package, amount, code) in [("CP-6HPXRQI88QSM", 1, "200005"), ("P-GONE", 50_000, "310241")]
    {
        let answer = played.ask(&to_access("/esim/topup", &body(package, amount))).1;
        assert_eq!(answer["errorCode"], json!(code));
    }
    let right = played.ask(&to_access("/esim/topup", &body("P-1", 50_000))).1;
    assert_eq!(right["success"], json!(true));
}

#[test]
fn signatures_are_checked_if_a_secret_is_given() {
    let credentials = Credentials { secret: Some("1111".to_owned()), public_key_pem: None };
    let played = Played::with(Protocol::EsimAccess, "none", 1, credentials);
    let body = json!({});
    let mut mac = Hmac::<Sha256>::new_from_slice(b"1111").unwrap();
    mac.update(format!("16286704214ce911111{body}").as_bytes());
    let signature = hex::encode_upper(mac.finalize().into_bytes());
    let with = |signature: &str| {
        let headers = [
            ("RT-AccessCode", "11111"),
            ("RT-Timestamp", "1628670421"),
            ("RT-RequestID", "4ce9"),
            ("RT-Signature", signature),
        ];
        request("POST", "/api/v1/open/balance/query", &headers, Some(&body))
    };
    assert_eq!(played.ask(&with(&signature)).1["success"], json!(true));
    assert_eq!(played.ask(&with("00")).1["errorCode"], json!("101003"));
    let bare = to_access("/balance/query", &json!({}));
    assert_eq!(played.ask(&bare).1["errorCode"], json!("101003"));
}
