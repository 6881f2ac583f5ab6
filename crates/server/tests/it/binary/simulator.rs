//! `simmall simulator`: an upstream network over HTTP, and what it says of itself.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::process::{Directory, Server, run, simmall};

const SIM: &str = "89852000000000010000";
/// SIMs by their endings, and what befalls them.
const FAULTS: &str = r#"{"faults":[
    {"kind":"drop-after-doing","iccid_ends":"9001"},
    {"kind":"drop-before-doing","iccid_ends":"9002"},
    {"kind":"slow-body","iccid_ends":"9003","seconds":1},
    {"kind":"malformed-json","iccid_ends":"9004"}],
    "delay_seconds":[60,60]}"#;
/// How long a webhook is waited for.
const WAIT: Duration = Duration::from_mins(1);

fn start(faults: &str, more: &[&str]) -> Server {
    let mut command = simmall(["simulator", "--speak=esim-access", "--faults", faults]);
    Server::start_one(command.args(more))
}

async fn top_up(server: &Server, transaction: &str, sim: &str) -> reqwest::Result<Response> {
    let body = json!({"iccid": sim, "packageCode": "P-1", "transactionId": transaction});
    let url = format!("{}/api/v1/open/esim/topup", server.url);
    let request = testkit::http_client().post(url).header("RT-AccessCode", "code");
    request.body(body.to_string()).send().await
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn control(server: &Server, path: &str) -> Value {
    let url = format!("{}/__simulator{path}", server.url);
    json_of(testkit::http_client().get(url).send().await.unwrap()).await
}

async fn told(server: &Server, path: &str, body: &'static str) -> Response {
    let url = format!("{}/__simulator{path}", server.url);
    testkit::http_client().post(url).body(body).send().await.unwrap()
}

#[tokio::test]
async fn orders_faults_and_the_journal_go_over_http() {
    let directory = Directory::new();
    let file = directory.join("faults.json");
    std::fs::write(&file, FAULTS).unwrap();
    let server = start(&file, &[]);
    assert!(server.stdout().contains("/__simulator\n"), "{}", server.stdout());
    let answer = json_of(top_up(&server, "tx-0", SIM).await.unwrap()).await;
    assert_eq!(answer["success"], json!(true));
    // The connection ends without an answer, whether it was done or not.
    for (transaction, sim) in [("tx-1", "89852000000000019001"), ("tx-2", "89852000000000019002")] {
        let error = top_up(&server, transaction, sim).await.unwrap_err();
        assert!(error.is_request(), "{error}");
    }
    let slow = json_of(top_up(&server, "tx-3", "89852000000000019003").await.unwrap()).await;
    assert_eq!(slow["success"], json!(true));
    let cut = top_up(&server, "tx-4", "89852000000000019004").await.unwrap();
    assert!(serde_json::from_str::<Value>(&cut.text().await.unwrap()).is_err());

    assert_eq!(control(&server, "/counts").await["tx-1"]["accepted"], json!(1));
    json_of(told(&server, "/advance?seconds=60", "").await).await;
    let counts = control(&server, "/counts").await;
    let done = |transaction: &str| counts[transaction]["done"].clone();
    let done = ["tx-0", "tx-1", "tx-2", "tx-3", "tx-4"].map(done);
    assert_eq!(done, [json!(1), json!(1), json!(0), json!(1), json!(1)]);
    let journal = control(&server, "/journal?from=1").await;
    let (entry, total) = (&journal["entries"][0], &journal["total"]);
    assert_eq!((&entry["reference"], total), (&json!("tx-1"), &json!(5)));
    assert_eq!((&entry["effect"], &entry["told"]), (&json!("done"), &json!("drop-after-doing")));

    assert_eq!(json_of(told(&server, "/faults", "none").await).await["faults"], json!([]));
    assert_eq!(told(&server, "/faults", "{}x").await.status(), StatusCode::BAD_REQUEST);
    let repeat = json_of(top_up(&server, "tx-2", "89852000000000019002").await.unwrap()).await;
    assert_eq!(repeat["obj"]["totalVolume"], json!(1_u64 << 30));
    assert_eq!(server.stop().code, Some(0));
}

/// Reads one request and answers it; gives its body.
async fn receive(listener: &TcpListener) -> Value {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    loop {
        text.push_str(&read_some(&mut stream).await);
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            assert!(text.starts_with("POST /hook HTTP/1.1\r\n"), "{text}");
            return body;
        }
    }
}

async fn read_some(stream: &mut TcpStream) -> String {
    let mut chunk = [0; 4096];
    let length = stream.read(&mut chunk).await.unwrap();
    assert_ne!(length, 0, "it ended too early");
    String::from_utf8_lossy(&chunk[..length]).into_owned()
}

#[tokio::test]
async fn webhooks_are_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--webhook-url=http://{}/hook", listener.local_addr().unwrap());
    let server = start("none", &[&url]);
    top_up(&server, "tx-1", SIM).await.unwrap();
    for kind in ["ORDER_STATUS", "ESIM_STATUS"] {
        let body = tokio::time::timeout(WAIT, receive(&listener)).await.unwrap();
        assert_eq!(body["notifyType"], json!(kind));
        assert_eq!(body["content"]["transactionId"], json!("tx-1"));
    }
    server.stop();
}

#[test]
fn what_is_not_understood_is_said() {
    let faults = simmall(["simulator", "--speak=esim-go", "--faults=quiet"]);
    for (mut command, reason) in [
        (faults, "neither none, calm, rough, all nor a file"),
        (simmall(["simulator", "--speak=morse"]), "not a known protocol"),
        (simmall(["simulator", "--speak=esim-go", "--webhook-url=https://a.b/c"]), "use http://"),
    ] {
        let error = run(&mut command, "").failure();
        assert!(error.contains(reason), "{error}");
    }
}
