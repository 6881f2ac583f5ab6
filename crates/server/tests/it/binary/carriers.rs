//! `--carriers` and `simmall seal`: a mall that sells the plans of networks over HTTP, which check who asks them.

use serde_json::{Value, json};
use testkit::{Engine, on_both_engines};

use super::install::{Installation, SEALING_KEY, demo_client};
use super::network::{CODE, paid_order, stock};
use super::process::{Directory, Ended, Server, run, simmall};
use super::sleep::until;

on_both_engines!(cube_v4_sells, esim_access_sells, esim_go_sells);

/// Cube's published examples, with the throw-away keys that sign them.
const CUBE_VECTORS: &str = include_str!("../../../../carriers/tests/cube_v4.json");
/// What a network that checks it is asked with.
const SECRET: &str = "orange-submarine-17";

/// A secret as `simmall seal` prints it.
fn sealed(field: &str, secret: &str) -> Value {
    let mut seal = simmall(["seal", field]);
    let ended = run(seal.env("SIMMALL_SEALING_KEY", SEALING_KEY), &format!("{secret}\n"));
    let printed = ended.success();
    assert!(!printed.contains(secret), "{printed}");
    serde_json::from_str(&printed).unwrap()
}

/// Writes a file of one carrier, and gives the option that names it.
fn file_of(directory: &Directory, carrier: &Value) -> String {
    let path = directory.join("carriers.json");
    std::fs::write(&path, json!({CODE: carrier}).to_string()).unwrap();
    format!("--carriers={path}")
}

fn doctor(installed: &Installation, carriers: &str) -> Ended {
    let mut doctor = simmall(["doctor", carriers]);
    doctor.env("SIMMALL_DATABASE_URL", installed.database_url());
    run(doctor.env("SIMMALL_SEALING_KEY", SEALING_KEY), "")
}

/// Insists on the doctor's only line on the network.
fn assert_told(ended: &Ended, verdict: &str, words: &str) {
    let name = format!("carrier {CODE} ");
    let lines: Vec<&str> = ended.stdout.lines().filter(|line| line.contains(&name)).collect();
    assert!(lines.len() == 1 && lines[0].starts_with(verdict), "{ended:?}");
    assert!(lines[0].contains(words) && !ended.stdout.contains(SECRET), "{ended:?}");
}

/// Sells one plan of a network that `carrier` tells how to ask, and refuses `stranger`.
async fn sells(engine: Engine, network: Server, carrier: Value, stranger: Value) {
    let (installed, directory) = (Installation::new(engine).await, Directory::new());
    let (store, ctx) = (installed.store().await, server::system_ctx());
    let sims = stock(&store, &ctx, 1, 1_000_000).await;
    assert_told(&doctor(&installed, &file_of(&directory, &stranger)), "fail", "");
    let option = file_of(&directory, &carrier);
    assert_told(&doctor(&installed, &option), "ok ", "serves test");

    let server = Server::start(&mut installed.serve([&option]));
    let client = demo_client(&server.url);
    client.syn_order_info(&paid_order(&sims[0], "N1")).await.unwrap();
    let ended = async || client.order("N1").await.unwrap().status == "PROVISIONED";
    until("the order is provisioned", ended).await;
    assert_eq!(client.single_query_order(&sims[0]).await.unwrap().order_list.len(), 1);
    let url = format!("{}/__simulator/journal", network.url);
    let journal = testkit::http_client().get(url).send().await.unwrap().text().await.unwrap();
    let journal: Value = serde_json::from_str(&journal).unwrap();
    let entries = journal["entries"].as_array().unwrap();
    let done = entries.iter().filter(|entry| entry["effect"] == "done");
    let done: Vec<&Value> = done.map(|entry| &entry["iccid"]).collect();
    assert_eq!(done, [&json!(sims[0])], "{journal}");
    let log = server.stop();
    assert!(log.code == Some(0) && !log.stderr.contains(SECRET), "{log:?}");
    store.close().await;
}

/// A network that checks the secret, and what all its settings have in common.
fn network(speak: &str, speaks: &str, path: &str) -> (Server, Value) {
    let mut command = simmall(["simulator", "--speak", speak, "--faults=none"]);
    let server = Server::start_one(command.env("SIMMALL_SECRET", SECRET));
    let base = format!("{}{path}", server.url);
    (server, json!({"speaks": speaks, "modes": ["test"], "base": base}))
}

async fn cube_v4_sells(engine: Engine) {
    let vectors: Value = serde_json::from_str(CUBE_VECTORS).unwrap();
    let text = |name: &str| vectors[name].as_str().unwrap();
    let directory = Directory::new();
    std::fs::write(directory.join("public.pem"), text("public_key_pem")).unwrap();
    let mut command = simmall(["simulator", "--speak=cube-v4", "--faults=none"]);
    command.args(["--public-key-file", &directory.join("public.pem")]);
    let network = Server::start_one(&mut command);
    let carrier = json!({
        "speaks": "cube_v4",
        "modes": ["test"],
        "base": format!("{}/cube/v4", network.url),
        "key_id": "key-1",
        "private_key": sealed("private_key", text("private_key_pkcs8_pem")),
    });
    let mut stranger = carrier.clone();
    stranger["base"] = json!(format!("{}/cube/v3", network.url));
    sells(engine, network, carrier, stranger).await;
}

async fn esim_access_sells(engine: Engine) {
    let (network, mut carrier) = network("esim-access", "esim_access", "/api/v1/open");
    carrier["access_code"] = sealed("access_code", "code-1");
    let mut stranger = carrier.clone();
    carrier["secret_key"] = sealed("secret_key", SECRET);
    stranger["secret_key"] = sealed("secret_key", "another");
    sells(engine, network, carrier, stranger).await;
}

async fn esim_go_sells(engine: Engine) {
    let (network, mut carrier) = network("esim-go", "esim_go", "/v2.5");
    let mut stranger = carrier.clone();
    carrier["api_key"] = sealed("api_key", SECRET);
    stranger["api_key"] = sealed("api_key", "another");
    sells(engine, network, carrier, stranger).await;
}

#[tokio::test]
async fn a_bad_file_is_refused_at_the_start() {
    let (installed, directory) = (Installation::new(Engine::Sqlite).await, Directory::new());
    let sealed = sealed("api_key", SECRET);
    for (carrier, told) in [
        (json!({"speaks": "esim_go", "api_key": SECRET}), "api_key: a secret does not stand here"),
        (json!({"speaks": "esim_go", "api_key": {"file": "/nowhere"}}), "/nowhere cannot be read"),
        (json!({"speaks": "esim_go", "api_key": sealed, "bas": ""}), "bas: no such field"),
        (json!({"speaks": "esim_access", "access_code": sealed}), "access_code: "),
        (
            json!({"speaks": "esim_go", "api_key": sealed, "base": "http://go.example"}),
            "base: https://HOST/PATH is needed",
        ),
    ] {
        let option = file_of(&directory, &carrier);
        let refused = run(&mut installed.serve([&option, "--listen=127.0.0.1:0"]), "").failure();
        let places = ["carriers.json", &format!("{CODE}: "), told];
        assert!(places.iter().all(|place| refused.contains(place)), "{told}: {refused}");
        assert!(!refused.contains(SECRET), "{refused}");
        // The doctor says the same.
        assert!(doctor(&installed, &option).stdout.contains(told));
    }
    let nowhere = run(&mut installed.serve(["--carriers=/nowhere.json"]), "").failure();
    assert!(nowhere.contains("/nowhere.json"), "{nowhere}");
}

#[tokio::test]
async fn only_a_secret_is_sealed() {
    let mut without_key = simmall(["seal", "api_key"]);
    assert!(run(&mut without_key, SECRET).failure().contains("no sealing key"));
    let seal = |field: &str, secret: &str| {
        let mut seal = simmall(["seal", field]);
        run(seal.env("SIMMALL_SEALING_KEY", SEALING_KEY), secret)
    };
    assert!(seal("api_key", " \n").failure().contains("the secret is empty"));
    let long = "x".repeat(65_537);
    assert!(seal("api_key", &long).failure().contains("longer than 65536 bytes"));
    assert_eq!(seal("api_key", &long[1..]).code, Some(0));
    // A field that there is not.
    assert_eq!(seal("password", SECRET).code, Some(2));
    // Twice the same is not the same to look at.
    assert_ne!(sealed("api_key", SECRET), sealed("api_key", SECRET));
}
