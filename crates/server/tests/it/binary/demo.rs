//! `simmall demo`: from nothing to a plan on a SIM, by what it prints.

use std::process::Command;
use std::time::Duration;

use sdk::{Client, Credentials, Prefix};
use serde_json::Value;

use super::process::{Directory, Server, run, simmall};

/// The SIM and the order of the published requests.
const SIM: &str = "89852420180910340793";
const ORDER: &str = "NO2023060915590562022";
/// How often the plan is looked for before it is given up, with a pause between two looks.
const LOOKS_MAX: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

fn start(directory: &Directory) -> Server {
    // Without any variable, and in a directory that it makes itself.
    Server::start(&mut simmall(["demo", "--data", &directory.join("fresh/demo")]))
}

/// Runs a printed command as a reader does who pastes it into a shell.
async fn paste(command: &str) -> Value {
    let text = if Command::new("curl").arg("--version").output().is_ok() {
        run(Command::new("sh").args(["-c", command]), "").success()
    } else {
        // Without curl the command is taken apart and sent.
        let (start, body) = command.split_once(" -d '").unwrap();
        let url = start.split(' ').find(|word| word.starts_with("http://")).unwrap();
        let request = testkit::http_client().post(url);
        let request = request.header("content-type", "application/json");
        let request = request.body(body.strip_suffix('\'').unwrap().to_owned());
        request.send().await.unwrap().text().await.unwrap()
    };
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
}

fn commands(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("curl ")).collect()
}

/// The key that stands on the screen.
fn printed_key(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.trim().strip_prefix("key (shown only now): "))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_printed_command_works_and_a_plan_appears() {
    let directory = Directory::new();
    let server = start(&directory);
    let said = server.stdout();
    assert!(said.contains(&format!("{}/docs/\n", server.url)), "{said}");
    for partner in ["P000270  GBP", "P000818  USD", "P012345  EUR"] {
        assert!(said.contains(partner), "{said}");
    }
    let commands = commands(&said);
    assert_eq!(commands.len(), 10, "{said}");
    let mut intent = String::new();
    for command in &commands {
        let answer = paste(&command.replace("PAYMENT_INTENT_ID", &intent)).await;
        if command.contains("/resultQuery") && intent.is_empty() {
            assert_eq!(
                (&answer["payRst"], &answer["payAmount"]),
                (&"success".into(), &"$19.99".into())
            );
        } else if command.contains("/resultQuery") {
            assert_eq!(answer["payAmount"], "£12.36", "{answer}");
        } else if command.contains("/singleOrder") {
            assert!(answer["payId"].as_str().unwrap().starts_with("DEMO"), "{answer}");
        } else if command.contains("/_double/pay/") {
            assert_eq!(answer["status"], "succeeded", "{answer}");
        } else {
            assert_eq!(answer["operateCode"], "S", "{command}: {answer}");
        }
        if let Some(id) = answer["data"]["paymentIntentId"].as_str() {
            id.clone_into(&mut intent);
        }
    }
    let look = commands.iter().find(|command| command.contains("/singleQueryOrder")).unwrap();
    let mut plans = Value::Null;
    for _ in 0..LOOKS_MAX {
        plans = paste(look).await["data"]["orderList"].take();
        if plans.as_array().is_some_and(|plans| plans.len() == 2) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // The one that was reported, and the one that a card paid for.
    assert_eq!(plans.as_array().map(Vec::len), Some(2), "{plans}");
    assert_eq!(plans[0]["orderStatus"], "2", "{plans}");
    assert_eq!(plans[0]["servicePlanShowName"], "biaoqianweikong", "{plans}");
    assert_eq!(server.stop().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_finds_what_the_first_one_left() {
    let directory = Directory::new();
    let server = start(&directory);
    let said = server.stdout();
    let key = printed_key(&said).unwrap().to_owned();
    let report = commands(&said).into_iter().find(|line| line.contains("SynOrderInfo")).unwrap();
    let order = paste(report).await["data"]["orderId"].take();
    server.stop().success();

    let server = start(&directory);
    let again = server.stdout();
    assert!(printed_key(&again).is_none() && !again.contains(&key), "{again}");
    assert!(again.contains("key: shown at the first start only"), "{again}");
    assert!(commands(&again).iter().all(|command| !command.contains("P012345")), "{again}");
    let buyer = Client::new(&server.url, Prefix::Root, Credentials::md5("P000270")).unwrap();
    let found = buyer.order(ORDER).await.unwrap();
    assert_eq!((&found.order_id, found.sim_id.as_str()), (&order.as_str().unwrap().into(), SIM));
    let signer =
        Client::new(&server.url, Prefix::Test, Credentials::hmac("P012345", &key)).unwrap();
    let card = signer.single_verify("89852420180910341000").await.unwrap();
    assert_eq!((card.card_status.as_str(), card.pay_currency.as_str()), ("1", "EUR"));
    let wrong = Client::new(&server.url, Prefix::Test, Credentials::hmac("P012345", "another key"))
        .unwrap();
    let refused = wrong.single_verify("89852420180910341000").await.unwrap_err();
    assert_eq!(refused.code(), Some("SIGN_MISMATCH"));
    server.stop().success();
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_the_sealing_key() {
    use std::os::unix::fs::PermissionsExt;

    let directory = Directory::new();
    start(&directory).stop().success();
    let file = directory.path().join("fresh/demo/sealing.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&file).unwrap();
    assert_eq!(key.trim().len(), 64);
    // A second start keeps it, or all keys sealed with it would be lost.
    start(&directory).stop().success();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
}
