//! Traces: the lines of a request and of the jobs that it made due have one id.

use sdk::{Client, Credentials, Prefix};
use serde_json::{Value, json};
use testkit::Engine;
use wire::vshop::SYN_ORDER_INFO;

use super::install::{Installation, demo_client};
use super::process::Server;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// A SIM of which the simulator cannot tell what became of an order: the worker logs that.
const UNCLEAR_SIM: &str = "89852000000000019005";
/// How often an order is looked at before it is given up, with a pause between two looks.
const LOOKS_MAX: u32 = 300;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_request_and_its_provisioning_are_logged_in_one_trace() {
    let installed = Installation::new(Engine::Sqlite).await;
    let server = Server::start(&mut installed.serve(["--log=info", "--log-format=json"]));
    let credentials = Credentials::md5("P000818");
    let signer = Client::new(&server.url, Prefix::Test, credentials).unwrap();
    let fields = vec![
        ("deviceCode", json!(UNCLEAR_SIM)),
        ("orderNo", json!("NO-1")),
        ("payId", json!("PAY-1")),
        ("servicePlanCode", json!("SP201804280499")),
        ("packageCode", json!("PACKAGE20180428000007")),
        ("orderPeriod", json!("1")),
        ("payAmount", json!("4.99")),
        ("payCurrency", json!("USD")),
        ("settlePrice", json!("3.99")),
        ("payRst", json!("SUCCESS")),
        ("payStatus", json!("1")),
    ];
    let body = Value::Object(signer.sign(&SYN_ORDER_INFO, fields).unwrap()).to_string();
    let url = format!("{}/vshop_uat/synPartner/SynOrderInfo", server.url);
    let request = testkit::http_client().post(url).header("content-type", "application/json");
    let request = request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let client = demo_client(&server.url);
    let mut looks = 0;
    while client.order("NO-1").await.unwrap().status != "REVIEW" {
        looks += 1;
        assert!(looks < LOOKS_MAX, "the order is never reviewed");
        tokio::time::sleep(PAUSE).await;
    }
    let log = server.stop().stderr;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |message: &str| {
        let found = lines
            .iter()
            .find(|line| line["fields"]["message"] == message && line["span"]["trace"] == TRACE);
        found.unwrap_or_else(|| panic!("{message}: {log}"))
    };
    assert_eq!(find("answered")["span"]["name"], "request");
    assert_eq!(find("an order needs a person")["span"]["name"], "job");
    // A request that names no trace begins one with its own digits.
    let other = lines
        .iter()
        .find(|line| line["fields"]["message"] == "answered" && line["span"]["trace"] != TRACE);
    let span = &other.unwrap()["span"];
    assert_eq!(span["id"].as_str().unwrap()[4..], *span["trace"].as_str().unwrap());
}
