//! Disputes end as their evidence says, and the books with them.

use serde_json::{Value, json};

use super::{ask, double, intent, journal};
use crate::Double;

/// A payment of 4.99 that is disputed; gives its dispute and its intent.
fn disputed(double: &mut Double) -> (String, String) {
    let intent = intent(double, "");
    let card = r#"{"card":"pm_card_createDispute"}"#;
    ask(double, "POST", &format!("/_double/pay/{intent}"), card, "");
    let (_, list) = ask(double, "GET", &format!("/v1/disputes?payment_intent={intent}"), "", "");
    let dispute = &list["data"][0];
    assert_eq!(dispute["status"], "needs_response");
    assert_eq!(dispute["evidence"]["uncategorized_text"], Value::Null);
    (dispute["id"].as_str().unwrap().to_owned(), intent)
}

fn lines(dispute: &Value) -> Vec<[i64; 3]> {
    let lines = dispute["balance_transactions"].as_array().unwrap();
    let of = |line: &Value| ["amount", "fee", "net"].map(|name| line[name].as_i64().unwrap());
    lines.iter().map(of).collect()
}

fn kinds(double: &mut Double) -> Vec<Value> {
    let (_, list) = ask(double, "GET", "/v1/events?limit=3", "", "");
    list["data"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect()
}

#[test]
fn what_is_won_comes_back_with_its_fee() {
    let double = &mut double();
    let (dispute, intent) = disputed(double);
    let path = format!("/v1/disputes/{dispute}");
    let (_, staged) = ask(double, "POST", &path, "evidence[customer_name]=Jane&submit=false", "");
    assert_eq!(staged["status"], "needs_response");
    let body = "evidence[uncategorized_text]=winning_evidence";
    let (status, sent) = ask(double, "POST", &path, body, "");
    assert_eq!((status, &sent["status"]), (200, &json!("under_review")));
    assert_eq!(sent["evidence"]["customer_name"], "Jane");
    let details = &sent["evidence_details"];
    assert_eq!((&details["has_evidence"], &details["submission_count"]), (&json!(true), &json!(1)));
    let (_, won) = ask(double, "GET", &path, "", "");
    assert_eq!(won["status"], "won");
    assert_eq!(lines(&won), [[-499, 1_500, -1_999], [499, -1_500, 1_999]]);
    let last = ["funds_reinstated", "closed", "updated"];
    assert_eq!(kinds(double), last.map(|word| format!("charge.dispute.{word}")));
    assert_eq!(journal(double)["reinstated"], 499);
    // The money is there: it can be given back by will.
    let (status, refund) =
        ask(double, "POST", "/v1/refunds", &format!("payment_intent={intent}"), "");
    assert_eq!((status, &refund["status"]), (200, &json!("succeeded")));
}

#[test]
fn what_is_lost_or_given_up_stays_away() {
    let double = &mut double();
    for (call, body) in
        [("", "evidence[uncategorized_text]=losing_evidence&submit=true"), ("/close", "")]
    {
        let (dispute, intent) = disputed(double);
        let path = format!("/v1/disputes/{dispute}");
        assert_eq!(ask(double, "POST", &format!("{path}{call}"), body, "").0, 200);
        let (_, lost) = ask(double, "GET", &path, "", "");
        assert_eq!(lost["status"], "lost");
        assert_eq!(lines(&lost), [[-499, 1_500, -1_999]]);
        assert_eq!(kinds(double)[0], "charge.dispute.closed");
        let (status, error) = ask(double, "POST", &path, "evidence[customer_name]=Jane", "");
        assert_eq!((status, &error["error"]["type"]), (400, &json!("invalid_request_error")));
        assert_eq!(ask(double, "POST", &format!("{path}/close"), "", "").0, 400);
        let (_, error) =
            ask(double, "POST", "/v1/refunds", &format!("payment_intent={intent}"), "");
        assert_eq!(error["error"]["code"], "charge_disputed");
        // Notes of one's own go on.
        assert_eq!(ask(double, "POST", &path, "metadata[a]=b", "").1["metadata"]["a"], "b");
    }
}

#[test]
fn other_evidence_is_looked_at_and_unknown_one_refused() {
    let double = &mut double();
    let (dispute, _) = disputed(double);
    let path = format!("/v1/disputes/{dispute}");
    let (status, error) = ask(double, "POST", &path, "evidence[weather]=fine", "");
    assert_eq!((status, &error["error"]["code"]), (400, &json!("parameter_unknown")));
    assert_eq!(ask(double, "POST", &path, "evidence[product_description]=a+plan", "").0, 200);
    assert_eq!(ask(double, "GET", &path, "", "").1["status"], "under_review");
}

#[test]
fn events_are_listed_by_several_types() {
    let double = &mut double();
    disputed(double);
    let count = |double: &mut Double, query: &str| {
        let (_, list) = ask(double, "GET", &format!("/v1/events?{query}"), "", "");
        list["data"].as_array().map(Vec::len)
    };
    assert_eq!(count(double, "types[]=charge.succeeded&types[]=charge.dispute.created"), Some(2));
    assert_eq!(count(double, "types[0]=charge.refunded"), Some(0));
    assert_eq!(count(double, "type=charge.succeeded&types[]=charge.succeeded"), None);
    let many = ["types[]=charge.succeeded"; 21].join("&");
    assert_eq!(count(double, &many), None);
}
