//! Logs: enough to find a request again, and nothing that a log must not know.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use sdk::{Client, Credentials, NewOrder, PaidOrder, Prefix};
use serde_json::{Value, json};
use testkit::{Engine, on_both_engines};

use super::install::{Installation, PASSWORD, SEALING_KEY, demo_client, demo_sim};
use super::process::Server;

on_both_engines!(a_log_names_requests_and_nobody);

const EMAIL: &str = "jane.doe@example.com";
const CARD: &str = "89852420180910341000";
/// A SIM of which the simulator cannot tell what became of an order.
const UNCLEAR_SIM: &str = "89852000000000019005";
/// How often an order is looked at before it is given up, with a pause between two looks.
const LOOKS_MAX: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// Sends a request; gives its number, its status and the text of the answer.
async fn send(server: &Server, method: Method, path: &str, body: &str) -> (String, u16, String) {
    let request = testkit::http_client().request(method, format!("{}{path}", server.url));
    let request = request.header("content-type", "application/json").body(body.to_owned());
    let response = request.send().await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(id.starts_with("req_"), "{id}");
    (id, response.status().as_u16(), response.text().await.unwrap())
}

/// A signed body of `singleVerify`, with an e-mail address among its fields.
fn verify_body(client: &Client, iccid: &str) -> String {
    let fields = vec![("deviceCode", json!(iccid)), ("email", json!(EMAIL))];
    Value::Object(client.sign(&wire::vshop::SINGLE_VERIFY, fields).unwrap()).to_string()
}

fn signer(server: &Server, installed: &Installation) -> Client {
    let credentials = Credentials::hmac("P012345", &installed.demo_key);
    Client::new(&server.url, Prefix::Test, credentials).unwrap()
}

/// Requests of all kinds, good and bad: the status that each was answered with, by its number.
async fn ask_around(server: &Server, signer: &Client) -> HashMap<String, u16> {
    let verify = "/vshop_uat/singleVerify";
    let good = verify_body(signer, CARD);
    let tampered = good.replace("\"3.0\"", "\"3.1\"");
    let query = signer.sign(&wire::topup::QUERY_ORDER, vec![("sim_id", json!(CARD))]).unwrap();
    let query = query.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap().into()));
    let query = format!("/topup_test/mall/order?{}", wire::params::write_query(query));
    let nowhere = format!("/vshop_uat/{CARD}/{EMAIL}?sim_id={CARD}");
    let endless = format!(r#"{{"deviceCode":"{CARD}","email":"{EMAIL}""#);
    let mut answered = HashMap::new();
    for (method, path, body, expected) in [
        (Method::POST, verify, good.as_str(), 200),
        (Method::POST, verify, &tampered, 400),
        (Method::POST, verify, &endless, 400),
        (Method::GET, &query, "", 200),
        (Method::PUT, verify, &good, 405),
        (Method::POST, &nowhere, &good, 404),
        (Method::GET, "/docs/", "", 200),
    ] {
        let (id, status, text) = send(server, method, path, body).await;
        assert_eq!(status, expected, "{path}: {text}");
        answered.insert(id, status);
    }
    assert_eq!(answered.len(), 7, "two requests have one number");
    answered
}

/// An order that ends up with a person, which the worker writes into the log.
async fn order_for_review(server: &Server) {
    let client = demo_client(&server.url);
    let order = NewOrder {
        iccid: UNCLEAR_SIM.to_owned(),
        order_no: "NO-1".to_owned(),
        pay_id: "PAY-1".to_owned(),
        service_plan_code: "SP201804280499".to_owned(),
        package_code: "PACKAGE20180428000007".to_owned(),
        order_period: 1,
        pay_amount: "4.99".to_owned(),
        pay_currency: "USD".to_owned(),
        ..NewOrder::default()
    };
    let (settle_price, pay_rst) = ("3.99".to_owned(), "SUCCESS".to_owned());
    let pay_status = "1".to_owned();
    let paid = PaidOrder { order, settle_price, pay_rst, pay_status, ..PaidOrder::default() };
    client.syn_order_info(&paid).await.unwrap();
    for _ in 0..LOOKS_MAX {
        if client.order("NO-1").await.unwrap().status == "REVIEW" {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{:?}", client.order("NO-1").await);
}

fn nobody_is_named(log: &str, installed: &Installation) {
    let key = installed.demo_key.as_str();
    for secret in [EMAIL, CARD, UNCLEAR_SIM, &demo_sim(1), PASSWORD, SEALING_KEY, key] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

async fn a_log_names_requests_and_nobody(engine: Engine) {
    let installed = Installation::new(engine).await;
    let server = Server::start(&mut installed.serve(["--log=trace", "--log-format=json"]));
    let answered = ask_around(&server, &signer(&server, &installed)).await;
    order_for_review(&server).await;
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    nobody_is_named(&ended.stderr, &installed);
    let mut found = HashMap::new();
    let mut needs_a_person = 0;
    for line in ended.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        let target = line["target"].as_str().unwrap();
        // What the API logs, it logs on behalf of a request.
        if target.starts_with("api") {
            let id = line["span"]["id"].as_str().unwrap_or_else(|| panic!("{line}"));
            if line["fields"]["message"] == "answered" {
                let status = line["fields"]["status"].as_u64().unwrap();
                assert_eq!(found.insert(id.to_owned(), status), None, "{line}");
            }
        }
        needs_a_person += usize::from(line["fields"]["message"] == "an order needs a person");
    }
    for (id, status) in answered {
        assert_eq!(found.get(&id), Some(&u64::from(status)), "{id}: {}", ended.stderr);
    }
    assert_eq!(needs_a_person, 1, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_for_people_has_the_numbers_too() {
    let installed = Installation::new(Engine::Sqlite).await;
    let server = Server::start(&mut installed.serve(["--log=trace"]));
    let answered = ask_around(&server, &signer(&server, &installed)).await;
    let log = server.stop().stderr;
    nobody_is_named(&log, &installed);
    for (id, status) in answered {
        let line = log.lines().find(|line| line.contains(&id)).unwrap();
        assert!(line.contains("answered") && line.contains(&format!("status={status}")), "{line}");
    }
    // Colours are for a terminal; in a file they are rubbish.
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_inside_is_logged_with_the_request_and_not_told_outside() {
    let installed = Installation::new(Engine::Sqlite).await;
    let mut serve = installed.serve(["--log=trace", "--log-format=json"]);
    let server = Server::start(&mut serve);
    installed.spoil_demo_keys().await;
    let body = verify_body(&signer(&server, &installed), CARD);
    let (id, status, answer) = send(&server, Method::POST, "/vshop_uat/singleVerify", &body).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer.contains("INTERNAL") && !answer.contains("seal"), "{answer}");
    let log = server.stop().stderr;
    nobody_is_named(&log, &installed);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(error["span"]["id"], id.as_str(), "{error}");
    assert!(error["fields"]["error"].as_str().unwrap().contains("cannot be opened"), "{error}");
}
