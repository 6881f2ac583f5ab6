//! Clients that are slow, silent or many: they are cut off, and nobody waits for them. The time-outs
//! are low, and each story waits until the mall has acted, however long that takes.

use std::collections::HashMap;
use std::time::Duration;

use domain::Mode;
use serde_json::{Value, json};
use server::Limits;
use testkit::{Engine, Recipe, TestMall, TestPartner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::proxies::behind_proxy;

/// Shorter than any other time-out, so that it is the one that strikes.
const SOON: Duration = Duration::from_millis(200);
/// Between two bytes of a slow client.
const DROP_PERIOD: Duration = Duration::from_millis(20);
/// How long the other time-outs are: too long for a test to end by them.
const NEVER: Duration = Duration::from_mins(50);

/// Limits that nobody meets, changed in one of them.
fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits {
        connections_max: 10_000,
        connections_per_address_max: 10_000,
        idle_time_max: NEVER,
        head_time_max: NEVER,
        body_time_max: NEVER,
        request_time_max: NEVER,
        answer_time_max: NEVER,
    };
    change(&mut limits);
    limits
}

async fn mall(change: impl FnOnce(&mut Limits)) -> TestMall {
    let recipe = Recipe { limits: limits(change), ..Recipe::default() };
    TestMall::with(Engine::Sqlite, recipe).await
}

async fn connect(mall: &TestMall) -> TcpStream {
    connect_to(&mall.url()).await
}

async fn connect_to(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// All that the mall says until it hangs up. A reset is a way of hanging up, too.
async fn until_the_end(stream: &mut TcpStream) -> String {
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        said.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8(said).unwrap()
}

/// Sends a text byte by byte for ever, and gives what the mall says until it hangs up.
async fn drip(mut stream: TcpStream, start: &str, mut byte: impl FnMut() -> u8) -> String {
    stream.write_all(start.as_bytes()).await.unwrap();
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        tokio::select! {
            read = stream.read(&mut chunk) => match read {
                Ok(length @ 1..) => said.extend_from_slice(&chunk[..length]),
                _ => return String::from_utf8(said).unwrap(),
            },
            () = tokio::time::sleep(DROP_PERIOD) => {
                // Where the mall has hung up, what it said can still be read.
                let _ = stream.write_all(&[byte()]).await;
            }
        }
    }
}

/// An answer's head and body.
fn parts(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// The one answer that a connection heard, taken apart by somebody who reads HTTP strictly.
struct Heard {
    status: u16,
    headers: HashMap<String, String>,
    body: Value,
}

fn heard(said: &str) -> Heard {
    let (head, body) = parts(said);
    let (line, headers) = head.split_once("\r\n").unwrap();
    let headers: Vec<_> = headers.split("\r\n").map(|one| one.split_once(": ").unwrap()).collect();
    let known: HashMap<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(known.len(), headers.len(), "a header stands there twice: {said}");
    assert_eq!(known["content-length"], body.len().to_string(), "{said}");
    let status = line.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    Heard { status, headers: known, body: serde_json::from_str(body).unwrap() }
}

/// Insists that somebody was refused in the API's words before there was a request, and hung up on.
fn refused_early(said: &str, status: u16, code: &str) {
    let Heard { status: found, headers, body } = heard(said);
    assert_eq!(found, status, "{said}");
    assert_eq!(headers["connection"], "close");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(headers["x-request-id"].starts_with("req_"), "{said}");
    assert!(headers["date"].ends_with(" GMT"), "{said}");
    let retry_after = headers.get("retry-after").map(String::as_str);
    assert_eq!(retry_after, (status == 503).then_some("1"), "{said}");
    if headers["content-type"] == "application/problem+json" {
        let problem: wire::admin::Problem = serde_json::from_value(body).unwrap();
        assert_eq!((problem.status, &*problem.code), (status, code), "{said}");
        assert!(!problem.detail.is_empty() && said.contains(&*problem.title), "{said}");
    } else {
        assert_eq!(headers["content-type"], "application/json");
        let message = body["data"]["message"].as_str().unwrap();
        assert!(message.contains("Please"), "{said}");
        let data = json!({"message": message, "data": null, "code": code});
        assert_eq!(body, json!({"operateCode": "F", "message": "fail", "data": data}));
    }
}

/// The order of a partner whom nobody may hold up.
async fn an_order_is_answered(mall: &TestMall, partner: &TestPartner, number: &str) {
    let order = partner.paid_order(&partner.sims[0], number);
    partner.client(mall).syn_order_info(&order).await.unwrap();
}

const POST: &str = "POST /vshop_uat/singleVerify HTTP/1.1\r\nHost: mall\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_is_given_up() {
    let mall = mall(|limits| limits.head_time_max = SOON).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    // One that stops in the middle, and one that goes on for ever, a letter at a time.
    let mut stuck = connect(&mall).await;
    stuck.write_all(b"P").await.unwrap();
    for said in [
        until_the_end(&mut stuck).await,
        drip(connect(&mall).await, &format!("{POST}X-Slow: "), || b'a').await,
    ] {
        refused_early(&said, 408, "REQUEST_TIMEOUT");
    }
    // The second head of a connection as well as the first.
    let mut stream = connect(&mall).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: mall\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"GET /no").await.unwrap();
    let said = until_the_end(&mut stream).await;
    assert!(answer.starts_with(b"HTTP/1.1 303 "));
    refused_early(&said, 408, "REQUEST_TIMEOUT");
    an_order_is_answered(&mall, &shop, "N1").await;
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up() {
    let mall = mall(|limits| limits.body_time_max = SOON).await;
    let start = format!("{POST}Content-Length: 100000\r\n\r\n{{");
    let said = drip(connect(&mall).await, &start, || b' ').await;
    let (head, body) = parts(&said);
    assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("connection: close"), "{said}");
    assert!(head.contains("x-request-id: "), "{said}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["data"]["code"], "REQUEST_TIMEOUT", "{said}");
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_given_up() {
    let mall = mall(|limits| limits.request_time_max = SOON).await;
    let start = format!("{POST}Content-Length: 100000\r\nAccept-Language: zh\r\n\r\n");
    let said = drip(connect(&mall).await, &start, || b' ').await;
    let (head, body) = parts(&said);
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 1"), "{said}");
    assert!(head.contains("x-request-id: "), "{said}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["data"]["code"], "UNAVAILABLE");
    assert!(body["data"]["message"].as_str().unwrap().contains("商城"), "{said}");
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_silent_is_given_up() {
    // The second one must have asked before its time is over, on a slow machine as well.
    let mall = mall(|limits| limits.idle_time_max = Duration::from_secs(1)).await;
    assert_eq!(until_the_end(&mut connect(&mall).await).await, "");
    let mut stream = connect(&mall).await;
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: mall\r\n\r\n").await.unwrap();
    let said = until_the_end(&mut stream).await;
    assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_given_up() {
    let mall = mall(|limits| limits.answer_time_max = SOON).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let mut stream = connect(&mall).await;
    // It asks for a large page over and over and takes none, until the mall hangs up.
    while stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: mall\r\n\r\n").await.is_ok() {}
    an_order_is_answered(&mall, &shop, "N1").await;
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections() {
    let mall = mall(|limits| limits.connections_per_address_max = 2).await;
    let kept = [connect(&mall).await, connect(&mall).await];
    let said = until_the_end(&mut connect(&mall).await).await;
    refused_early(&said, 503, "UNAVAILABLE");
    drop(kept);
    // As soon as the mall has seen that they are gone there is room again.
    loop {
        let mut stream = connect(&mall).await;
        let asked = stream
            .write_all(b"GET /nowhere HTTP/1.1\r\nHost: mall\r\nConnection: close\r\n\r\n")
            .await;
        if asked.is_ok() && until_the_end(&mut stream).await.starts_with("HTTP/1.1 404 ") {
            break;
        }
        tokio::time::sleep(DROP_PERIOD).await;
    }
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_has_as_many_connections_as_there_are() {
    let limits = limits(|limits| {
        limits.connections_per_address_max = 1;
        limits.connections_max = 4;
    });
    let recipe = Recipe { limits, ..behind_proxy("x-forwarded-for") };
    let mall = TestMall::with(Engine::Sqlite, recipe).await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&mall).await;
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: mall\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
        kept.push(stream);
    }
    let said = until_the_end(&mut connect(&mall).await).await;
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    drop(kept);
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_idle_and_slow_clients_holds_nobody_up() {
    let mall = mall(|_| ()).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let mut crowd = Vec::new();
    for number in 0..600 {
        let mut stream = connect(&mall).await;
        let begun = match number % 6 {
            0 => "P".to_owned(),
            1 => format!("{POST}Content-Length: 1000\r\n\r\n{{"),
            2 => "GET /nowhere HTTP/1.1\r\nHost: mall\r\n\r\n".to_owned(),
            _ => String::new(),
        };
        stream.write_all(begun.as_bytes()).await.unwrap();
        crowd.push(stream);
    }
    for number in 0..10 {
        an_order_is_answered(&mall, &shop, &format!("N{number}")).await;
    }
    // They are all still there, and a stop does not wait for them.
    for stream in &crowd {
        assert!(stream.peer_addr().is_ok());
    }
    mall.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused_and_hung_up_on() {
    let mall = mall(|_| ()).await;
    let twice = "Content-Length: 1\r\nContent-Length: 2\r\n";
    let good = "GET /nowhere HTTP/1.1\r\nHost: mall\r\n\r\n";
    let many = "X-Header: 1\r\n".repeat(101);
    let (long, longer) = ("a".repeat(70_000), format!("X-Long: {}\r\n", "a".repeat(300_000)));
    for (asked, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "BAD_REQUEST"),
        (format!("{POST}{twice}\r\n"), 400, "BAD_REQUEST"),
        ("GET / HTTP/7.0\r\n\r\n".to_owned(), 400, "BAD_REQUEST"),
        (format!("GET /{long} HTTP/1.1\r\nHost: mall\r\n\r\n"), 414, "PAYLOAD_TOO_LARGE"),
        (format!("GET / HTTP/1.1\r\nHost: mall\r\n{many}\r\n"), 431, "PAYLOAD_TOO_LARGE"),
        (format!("GET / HTTP/1.1\r\nHost: mall\r\n{longer}\r\n"), 431, "PAYLOAD_TOO_LARGE"),
    ] {
        for url in [mall.url(), mall.admin_url()] {
            let mut stream = connect_to(&url).await;
            // It may hang up before it has read all.
            let _ = stream.write_all(asked.as_bytes()).await;
            let said = until_the_end(&mut stream).await;
            assert_eq!(said.contains("application/problem+json"), url == mall.admin_url());
            refused_early(&said, status, code);
            // A request before it, even one sent in the same breath, is answered as ever.
            let mut stream = connect_to(&url).await;
            let _ = stream.write_all(format!("{good}{asked}").as_bytes()).await;
            let said = until_the_end(&mut stream).await;
            let second = said.rfind("HTTP/1.1 ").unwrap();
            assert!(second > 0 && said.starts_with("HTTP/1.1 404 "), "{said}");
            refused_early(&said[second..], status, code);
        }
    }
    mall.stop().await;
}
