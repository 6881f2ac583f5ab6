//! `simmall migrate` and `simmall serve`: which databases and keys are taken, and what is said of
//! those that are not.

use sdk::{Client, Credentials, Prefix};
use serde_json::Value;
use testkit::{Database, Engine, on_both_engines};

use super::install::{Installation, SEALING_KEY, demo_client, demo_sim};
use super::process::{Directory, Server, run, simmall};

on_both_engines!(
    an_unmigrated_database_is_refused_and_a_migrated_one_is_served,
    a_sealing_key_that_opens_nothing_is_refused,
    the_root_means_what_the_flag_says,
);

async fn an_unmigrated_database_is_refused_and_a_migrated_one_is_served(engine: Engine) {
    let database = Database::empty(engine).await;
    let url = ["--database-url", &database.url];
    let serve = || {
        let mut command = simmall(["serve"]);
        command.args(url).env("SIMMALL_SEALING_KEY", SEALING_KEY);
        command
    };
    if engine == Engine::Sqlite {
        let refusal = run(&mut serve(), "").failure();
        assert!(refusal.contains("mall.db") && refusal.contains("simmall migrate"), "{refusal}");
        // `serve` makes no file: a slip in its path must not begin an empty mall.
        let file = database.url.strip_prefix("sqlite://").unwrap();
        assert!(!std::fs::exists(file).unwrap());
        std::fs::write(file, "").unwrap();
    }
    let refusal = run(&mut serve(), "").failure();
    assert!(refusal.contains("version 0") && refusal.contains("simmall migrate"), "{refusal}");
    for _ in 0..2 {
        let said = run(simmall(["migrate"]).args(url), "").success();
        assert_eq!(said, "the schema is up to date\n");
    }
    let server = Server::start(&mut serve());
    let nobody = demo_client(&server.url).single_verify(&demo_sim(1)).await.unwrap_err();
    assert_eq!(nobody.code(), Some("PARTNER_UNKNOWN"));
    // Nor does a migration harm a mall that is being served.
    run(simmall(["migrate"]).args(url), "").success();
    server.stop().success();
}

async fn a_sealing_key_that_opens_nothing_is_refused(engine: Engine) {
    let installed = Installation::new(engine).await;
    let other = SEALING_KEY.replace('0', "1");
    // The addresses are taken first: others may have the usual ones.
    let mut serve = installed.serve(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]);
    let refusal = run(serve.env("SIMMALL_SEALING_KEY", &other), "").failure();
    assert!(refusal.contains("sealing key does not fit"), "{refusal}");
    assert!(!refusal.contains(&other), "{refusal}");
}

async fn the_root_means_what_the_flag_says(engine: Engine) {
    let installed = Installation::new(engine).await;
    let body = r#"{"partnerCode":"P000818","payId":"20190321192436","sign":"1b14a937bc0f0fdbfc0b249ccde42e65","tradeTime":"20181031256548","tradeType":"resultQuery","version":"3.0"}"#;
    let ask = async |server: &Server, path: &str| {
        let request = testkit::http_client().post(format!("{}{path}", server.url)).body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (status, answer["data"]["code"].as_str().unwrap_or_default().to_owned())
    };
    // The demo's partners are in test mode only; live mode does not tell who is unknown.
    let unknown = (400, "SIGN_MISMATCH".to_owned());
    for (args, at_root) in [
        (&[][..], (404, "NOT_FOUND".to_owned())),
        (&["--root-mode=off"], (404, "NOT_FOUND".to_owned())),
        (&["--root-mode=test"], (200, String::new())),
        (&["--root-mode=live"], unknown.clone()),
    ] {
        let server = Server::start(installed.serve([]).args(args));
        assert_eq!(ask(&server, "/resultQuery").await, at_root, "{args:?}");
        assert_eq!(ask(&server, "/payment_uat/resultQuery").await, (200, String::new()));
        assert_eq!(ask(&server, "/payment/resultQuery").await, unknown);
        server.stop().success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_left_can_be_served() {
    let directory = Directory::new();
    let demo = Server::start(&mut simmall(["demo", "--data", &directory.join("data")]));
    let said = demo.stdout();
    let key = said.lines().find_map(|line| line.trim().strip_prefix("key (shown only now): "));
    demo.stop().success();
    let url = format!("sqlite://{}", directory.join("data/mall.db"));
    let mut serve = simmall(["serve", "--database-url", &url, "--root-mode", "test"]);
    let server =
        Server::start(serve.args(["--sealing-key-file", &directory.join("data/sealing.key")]));
    let credentials = Credentials::hmac("P012345", key.unwrap());
    let signer = Client::new(&server.url, Prefix::Root, credentials).unwrap();
    let card = signer.single_verify("89852420180910341000").await.unwrap();
    assert_eq!(card.pay_currency, "EUR");
    server.stop().success();
}

#[test]
fn nothing_is_served_without_one_good_sealing_key() {
    let directory = Directory::new();
    let url = format!("sqlite://{}", directory.join("mall.db"));
    run(&mut simmall(["migrate", "--database-url", &url]), "").success();
    let short = directory.join("short.key");
    std::fs::write(&short, "0707\n").unwrap();
    let missing = directory.join("missing.key");
    let refuse = |variables: &[(&str, &str)], expected: &[&str]| {
        let mut serve = simmall(["serve", "--database-url", &url]);
        let refusal = run(serve.envs(variables.iter().copied()), "").failure();
        for word in expected {
            assert!(refusal.contains(word), "{variables:?}: {refusal}");
        }
        assert!(
            variables
                .iter()
                .all(|(name, value)| { name.ends_with("FILE") || !refusal.contains(value) })
        );
    };
    let (key, file) = ("SIMMALL_SEALING_KEY", "SIMMALL_SEALING_KEY_FILE");
    refuse(&[], &["no sealing key", "--sealing-key-file FILE", key, "openssl rand -hex 32"]);
    refuse(&[(key, SEALING_KEY), (file, &short)], &["not both"]);
    refuse(&[(key, "zz07070707")], &[key, "64 hexadecimal digits"]);
    refuse(&[(file, &short)], &["short.key", "64 hexadecimal digits"]);
    refuse(&[(file, &missing)], &["missing.key", "No such file"]);
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let directory = Directory::new();
    let nowhere = format!("sqlite://{}", directory.join("none/mall.db"));
    for command in ["migrate", "serve"] {
        let refuse = |url: &str| {
            let mut command = simmall([command, "--database-url", url]);
            run(command.env("SIMMALL_SEALING_KEY", SEALING_KEY), "").failure()
        };
        let refusal = refuse(&nowhere);
        assert!(refusal.contains("none/mall.db"), "{refusal}");
        assert!(refusal.contains("directory"), "{refusal}");
        let refusal = refuse("mysql://joe:tr0ubadour@127.0.0.1/mall");
        assert!(refusal.contains("sqlite:// or postgres://"), "{refusal}");
        assert!(!refusal.contains("tr0ubadour"), "{refusal}");
        // Each reason is told once.
        let refusal = refuse("postgres://joe:tr0ubadour@127.0.0.1:99999/mall");
        assert_eq!(refusal.matches("invalid port number").count(), 1, "{refusal}");
        assert!(!refusal.contains("tr0ubadour"), "{refusal}");
    }
}
