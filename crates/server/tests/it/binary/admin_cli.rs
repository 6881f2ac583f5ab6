//! `simmall admin`: an operator at a terminal, or in a script, and a mall that runs.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use sdk::admin::Client;
use sdk::admin::import::NewImport;
use serde_json::Value;
use testkit::{Engine, on_both_engines};

use super::install::{Installation, demo_client, demo_sim};
use super::process::{Directory, Ended, Process, Server, run, simmall};

on_both_engines!(
    a_partner_is_set_up_from_the_command_line,
    files_go_in_and_out,
    a_mall_that_was_killed_goes_on_with_an_import,
    what_cannot_be_done_is_explained,
    an_audit_log_is_verified_against_a_head,
    an_order_that_waits_is_explained_and_decided,
    a_renewal_is_listed_explained_and_cancelled,
);

/// A mall that runs, with the tokens of its operators.
pub(super) struct Office {
    pub(super) installation: Installation,
    pub(super) server: Server,
    owner: String,
}

impl Office {
    pub(super) async fn open(engine: Engine) -> Self {
        Self::open_with(engine, []).await
    }

    /// One that is served in some way.
    pub(super) async fn open_with<const N: usize>(engine: Engine, args: [&str; N]) -> Self {
        let installation = Installation::new(engine).await;
        let server = Server::start(&mut installation.serve(args));
        let owner = token(&installation, "owner");
        Self { installation, server, owner }
    }

    /// Where the admin API listens.
    fn url(&self) -> String {
        let said = self.server.stdout();
        let url = said.split_once("admin API on ").unwrap().1.lines().next().unwrap();
        url.strip_suffix("/admin/v1").unwrap().to_owned()
    }

    /// `simmall admin …` in test mode, by the owner.
    pub(super) fn admin(&self, line: &str) -> Command {
        let mut command = simmall(["admin"]);
        command.args(line.split_whitespace());
        command.env("SIMMALL_ADMIN_URL", self.url());
        command.env("SIMMALL_ADMIN_TOKEN", &self.owner).env("SIMMALL_MODE", "test");
        command
    }

    /// What a command prints.
    pub(super) fn say(&self, line: &str) -> String {
        run(&mut self.admin(line), "").success()
    }

    /// What a command prints for programs.
    pub(super) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.say(&format!("{line} --json"))).unwrap()
    }

    /// How a command fails: its status and what it says.
    pub(super) fn fail(&self, line: &str) -> (i32, String) {
        failed(run(&mut self.admin(line), ""))
    }
}

fn failed(ended: Ended) -> (i32, String) {
    assert!(ended.code.is_some_and(|code| code != 0 && code != 101), "{ended:?}");
    (ended.code.unwrap(), ended.stderr)
}

/// A token that `simmall token add` makes.
pub(super) fn token(installation: &Installation, role: &str) -> String {
    let mut add = simmall(["token", "add", "--name", "Jo", "--role", role]);
    add.env("SIMMALL_DATABASE_URL", installation.database_url());
    add.env("SIMMALL_SEALING_KEY", super::install::SEALING_KEY);
    run(&mut add, "").success().trim().to_owned()
}

async fn a_partner_is_set_up_from_the_command_line(engine: Engine) {
    let office = Office::open(engine).await;
    assert_eq!(office.json("whoami")["role"], "owner");
    let made = office.json(
        "partner add P900 --name Nine --currency EUR --zone Europe/Berlin --scheme hmac-sha256",
    );
    assert_eq!((&made["code"], &made["zone"]), (&"P900".into(), &"Europe/Berlin".into()));
    let list = office.say("partner list");
    let mut lines = list.lines();
    assert_eq!(lines.next().unwrap().split_whitespace().next(), Some("CODE"));
    assert_eq!(list.lines().count(), 5, "a header and four partners: {list}");
    assert!(office.say("partner list --limit 2").contains("more: "));

    let key = office.json("key add P900");
    let (id, text) = (key["key"]["key_id"].as_str().unwrap(), key["text"].as_str().unwrap());
    assert!(office.say("key list P900").contains(id));
    assert!(!office.say("key list P900").contains(text));
    office.say("credit set P900 EUR 250.00");
    assert!(office.say("credit show P900").contains("250.00"));
    office.say("price set P900 SP201804280499 sale 4.99 EUR");
    office.say("price set P900 SP201804280499 settlement 3.99 EUR");
    let prices = office.json("price list P900 --plan SP201804280499");
    assert_eq!(prices["items"].as_array().unwrap().len(), 2);
    let price = prices["items"][0]["price_id"].as_str().unwrap();
    assert!(office.json(&format!("price end P900 {price}"))["valid_to"].is_string());

    office.say("sim set P900 89440000000000000017 ready --carrier simulator");
    office.say("sim set P900 89440000000000000017 suspended");
    assert_eq!(office.json("sim show P900 89440000000000000017")["state"], "suspended");
    assert!(office.say("sim list P900 --state suspended").contains("89440000000000000017"));
    assert_eq!(office.say("sim list P900 --state ready"), "nothing\n");
    assert!(office.say("package list").contains("Europe"));
    assert!(office.say("plan show SP201804280499").contains("USA 1 GB 30 Days"));

    assert_eq!(office.json("partner set P900 --name Neun --checks-luhn true")["name"], "Neun");
    assert_eq!(office.json("partner suspend P900")["suspended"], true);
    let shown = office.say("partner show P900");
    let shown = shown.lines().find_map(|line| line.strip_prefix("suspended ")).unwrap();
    assert_eq!(shown.trim(), "yes");
    assert_eq!(office.json("partner resume P900")["suspended"], false);
    assert!(office.json(&format!("key retire P900 {id}"))["retired_at"].is_string());

    let order = office.json("order list --partner P000818 --limit 1");
    let order = order["items"][0]["order_id"].as_str().unwrap();
    assert!(office.say(&format!("order show {order}")).contains("postings:"));
    assert!(office.say("ledger balances").contains("P000818"));
    assert!(office.say("ledger postings --partner P000818").contains("19.99"));
    office.say("job list");

    let viewer = office.json("token add --name Vera --role viewer");
    let id = viewer["token"]["token_id"].as_str().unwrap();
    let mut as_viewer = office.admin("partner suspend P900");
    as_viewer.env("SIMMALL_ADMIN_TOKEN", viewer["text"].as_str().unwrap());
    let (code, said) = failed(run(&mut as_viewer, ""));
    assert!(code == 1 && said.contains("operator") && said.contains("viewer"), "{said}");
    assert!(office.say("token list").contains("Vera"));
    office.say(&format!("token retire {id}"));
    let audit = office.say("audit list --limit 100");
    for action in ["partner.add", "credit.set", "price.add", "sim.add", "token.retire"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    office.server.stop();
}

/// A file of so many SIMs.
fn sims(count: usize) -> String {
    let mut file = "iccid,carrier,state\n".to_owned();
    for number in 0..count {
        writeln!(file, "8988{number:015},simulator,ready").unwrap();
    }
    file
}

async fn files_go_in_and_out(engine: Engine) {
    let office = Office::open(engine).await;
    let directory = Directory::new();
    let path = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (good, bad) = (sims(3_000), sims(3_000).replacen("ready", "redy", 2));
    let (good, bad) = (path("good.csv", &good), path("bad.csv", &bad));
    let out = directory.join("out.csv");

    let import = |file: &str| format!("import sims {file} --partner P012345");
    let (code, said) = office.fail(&import(&bad));
    assert_eq!(code, 1);
    for line in ["line 2, column state: ", "line 3, column state: ", "nothing was written"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let before = office.say("export sims - --partner P012345");
    let dry = run(&mut office.admin(&format!("{} --dry-run", import(&good))), "");
    assert!(dry.stderr.contains("uploading: "), "{}", dry.stderr);
    assert_eq!(
        dry.success(),
        "nothing was written; it would be: 3000 new, 0 changed, 0 as they were\n"
    );
    assert_eq!(office.say("export sims - --partner P012345"), before);
    let done = office.say(&import(&good));
    assert_eq!(done, "3000 rows are imported: 3000 new, 0 changed, 0 as they were\n");
    let again = office.json(&import(&good));
    assert_eq!((&again["state"], &again["unchanged"]), (&"applied".into(), &3_000.into()));

    office.say(&format!("export sims {out} --partner P012345"));
    let exported = std::fs::read_to_string(&out).unwrap();
    assert_eq!(exported.lines().count(), before.lines().count() + 3_000);
    assert_eq!(office.json(&import(&out))["changed"], 0);
    for kind in ["packages", "plans", "prices"] {
        office.say(&format!("export {kind} {out}"));
        assert_eq!(office.json(&format!("import {kind} {out}"))["changed"], 0, "{kind}");
    }
    // What is broken off leaves the file that was there as it was.
    let before = std::fs::read_to_string(&out).unwrap();
    let (code, _) = office.fail(&format!("export sims {out} --partner P999"));
    assert_eq!((code, std::fs::read_to_string(&out).unwrap()), (1, before));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "nothing is left behind");
    office.server.stop();
}

async fn a_mall_that_was_killed_goes_on_with_an_import(engine: Engine) {
    let mut office = Office::open(engine).await;
    let directory = Directory::new();
    let (file, text) = (directory.join("sims.csv"), sims(40_000));
    std::fs::write(&file, &text).unwrap();
    let before = office.say("export sims - --partner P012345").lines().count();
    let line = format!("import sims {file} --partner P012345");
    let clerk = Process::spawn(&mut office.admin(&line));
    // Power fails while rows are being written.
    let client = Client::new(&office.url(), &office.owner).unwrap();
    let sha256 = sdk::admin::examine(&mut std::io::Cursor::new(&text)).unwrap().sha256;
    let new = NewImport {
        kind: "sims".to_owned(),
        partner: Some("P012345".to_owned()),
        file_name: "sims.csv".to_owned(),
        sha256: Some(sha256),
    };
    // The same file is the same import, whoever asks.
    let id = client.begin_import("test", &new).await.unwrap().import_id;
    let mut looks = 0;
    let done = loop {
        let now = client.import("test", &id).await.unwrap();
        if now.state == "applying" && now.rows_done > 0 {
            break now.rows_done;
        }
        looks += 1;
        assert!(looks < 20_000, "{now:?}");
        // The clerk is not to be held up by looks; what comes then is soon over.
        let pause = if now.state == "staging" { 50 } else { 5 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    };
    office.server.kill();
    drop(clerk);
    assert!(done < 40_000, "it was over too soon");

    // Somebody starts the mall again, and asks for the same once more.
    office.server = Server::start(&mut office.installation.serve([]));
    let finished = office.json(&line);
    assert_eq!(finished["import_id"], id.as_str(), "it is the same import");
    assert_eq!((&finished["state"], &finished["new"]), (&"applied".into(), &40_000.into()));
    assert_eq!(finished["skipped"], 0);
    let after = office.say("export sims - --partner P012345").lines().count();
    assert_eq!(after, before + 40_000);
    let audit = office.json("audit list --action import.applied");
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    office.server.stop();
}

async fn what_cannot_be_done_is_explained(engine: Engine) {
    let office = Office::open(engine).await;
    let told = |(code, said): (i32, String), right: i32, what: &str| {
        assert!(
            code == right && said.starts_with("error: ") && said.contains(what),
            "{code} {said}"
        );
        assert!(!said.contains(&office.owner), "a token is shown: {said}");
    };
    told(office.fail("partner show P999"), 1, "partner");
    told(office.fail("partner list --url http://127.0.0.1:1"), 1, "is the mall running");
    told(office.fail("partner list --url ftp://127.0.0.1"), 1, "ftp://127.0.0.1");
    told(office.fail("partner list --token-file /nowhere/token"), 1, "/nowhere/token");
    told(office.fail("import sims /nowhere.csv --partner P012345"), 1, "/nowhere.csv");
    told(office.fail("partner add P9.1 --name X --currency ABC"), 1, "currency");
    told(office.fail("partner list --limit 0"), 2, "--limit");
    told(office.fail("partner lits"), 2, "list");
    told(office.fail("sim set P012345 89852420180910341000 gone"), 2, "terminated");
    let without =
        |variable: &str| failed(run(office.admin("partner list").env_remove(variable), ""));
    told(without("SIMMALL_MODE"), 2, "--mode");
    told(without("SIMMALL_ADMIN_TOKEN"), 1, "simmall token add");
    let strange = format!("smt_{}_{}", "0".repeat(32), "0".repeat(64));
    let strange = failed(run(office.admin("whoami").env("SIMMALL_ADMIN_TOKEN", strange), ""));
    told(strange, 1, "token of this mall");
    let typo = failed(run(office.admin("whoami").env("SIMMALL_ADMIN_TOKN", "1"), ""));
    told(typo, 1, "SIMMALL_ADMIN_TOKN");
    // A token in a file does as well.
    let directory = Directory::new();
    let file = directory.join("token");
    std::fs::write(&file, format!("{}\n", office.owner)).unwrap();
    let mut whoami = office.admin(&format!("whoami --token-file {file}"));
    assert!(run(whoami.env_remove("SIMMALL_ADMIN_TOKEN"), "").success().contains("owner"));
    office.server.stop();
}

async fn an_audit_log_is_verified_against_a_head(engine: Engine) {
    let office = Office::open(engine).await;
    let directory = Directory::new();
    office.say("partner add P900 --name Nine --currency EUR");
    // The chain is made behind the change.
    let mut head = Value::Null;
    for _ in 0..500 {
        head = serde_json::from_str(&office.say("audit head")).unwrap();
        if head["unsealed"] == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let file = directory.join("head");
    std::fs::write(&file, head.to_string()).unwrap();
    office.say("partner suspend P900");
    assert!(office.say(&format!("audit verify --head {file}")).contains("as it was written"));
    assert_eq!(office.json("audit verify")["intact"], true);
    // A head of another log, as one that was cut off and written anew would have.
    head["mac"] = "0".repeat(64).into();
    std::fs::write(&file, head.to_string()).unwrap();
    let (code, said) = office.fail(&format!("audit verify --head {file}"));
    assert!(code == 1 && said.contains("does not hold at entry"), "{code} {said}");
    std::fs::write(&file, "no head").unwrap();
    assert!(office.fail(&format!("audit verify --head {file}")).1.contains(&file));
    office.server.stop();
}

async fn an_order_that_waits_is_explained_and_decided(engine: Engine) {
    let office = Office::open(engine).await;
    let mut order = super::backup::paid_order(0, 1);
    // A SIM whose network loses the reply, and cannot be asked what it did.
    order.order.iccid = demo_sim(9005);
    let number = order.order.order_no.clone();
    demo_client(&office.server.url).syn_order_info(&order).await.unwrap();
    assert_eq!(office.fail("review resolve NONE-7 --refund --reason x").0, 1);
    let mut looks = 0;
    while !office.say("review list --partner P000818").contains(&number) {
        looks += 1;
        assert!(looks < 1_000, "{}", office.say("order list"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(office.say("review list --partner P012345"), "nothing\n");
    let mut shown = office.say(&format!("review show {number}"));
    // The log of requests is written behind them.
    while !shown.contains("SynOrderInfo, signed md5") {
        looks += 1;
        assert!(looks < 1_000, "{shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        shown = office.say(&format!("review show {number}"));
    }
    assert_eq!(shown, office.say(&format!("order explain PAY-{number}")), "by any of its numbers");
    let mut lines = shown.lines();
    let head = lines.next().unwrap();
    assert!(head.contains(&format!("{number} of P000818: REVIEW, CARRIER_UNCLEAR")), "{shown}");
    assert!(lines.next().unwrap().starts_with("made 2"), "{shown}");
    assert!(lines.clone().count() >= 4, "{shown}");
    // The partner says that it was paid long before.
    assert!(lines.next().unwrap().starts_with('-'), "{shown}");
    assert!(
        lines.any(|line| line.trim_start().starts_with('+') && line.contains("attempt 1: sent"))
    );

    // One decision, and with words.
    let resolve = format!("review resolve {number}");
    for (flags, status, said) in [
        ("--reason x", 2, "--provisioned"),
        ("--refund", 2, "--reason"),
        ("--refund --provisioned --reason x", 2, "cannot be used"),
        ("--refund --upstream-id U --reason x", 1, "upstream_id"),
    ] {
        let (code, told) = office.fail(&format!("{resolve} {flags}"));
        assert!(code == status && told.contains(said), "{flags}: {code} {told}");
    }
    let mut decide = office.admin(&format!("{resolve} --provisioned --upstream-id UP-7 --json"));
    let done = run(decide.args(["--reason", "their support says so"]), "").success();
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["state"], &done["upstream_id"]), (&"PROVISIONED".into(), &"UP-7".into()));
    let (code, told) = office.fail(&format!("{resolve} --refund --reason x"));
    assert!(code == 1 && told.contains("PROVISIONED"), "{told}");
    assert_eq!(office.say("review list"), "nothing\n");
    let told = office.say(&format!("order explain {number}"));
    assert!(told.contains("their support says so") && told.contains("Jo did order.resolve"));
    assert_eq!(office.json(&format!("order show {number}"))["order"]["upstream_id"], "UP-7");

    let package = "package route PACKAGE20180428000007";
    let (code, told) = office.fail(&format!("{package} --set simulator:X"));
    assert!(code == 1 && told.contains("own carrier"), "{told}");
    assert_eq!(office.json(&format!("{package} --none"))["route"], Value::Array(Vec::new()));
    assert_eq!(office.json(package)["route"], Value::Array(Vec::new()));
    office.server.stop();
}

async fn a_renewal_is_listed_explained_and_cancelled(engine: Engine) {
    let office = Office::open(engine).await;
    let client = demo_client(&office.server.url);
    for (place, renews) in [(1, true), (2, false)] {
        let mut order = super::backup::paid_order(0, place);
        order.order.iccid = demo_sim(place);
        order.order.auto_renewal = renews;
        client.syn_order_info(&order).await.unwrap();
    }
    let number = super::backup::paid_order(0, 1).order.order_no;
    let (sim, mut looks) = (demo_sim(1), 0);
    while office.say("renewal list").contains("nothing") {
        looks += 1;
        assert!(looks < 1_000, "{}", office.say("order list"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(office.say("renewal list --partner P012345"), "nothing\n");
    assert_eq!(office.say("renewal list --failing"), "nothing\n");
    let listed = office.json("renewal list --state active");
    let id = listed["items"][0]["renewal_id"].as_str().unwrap().to_owned();
    let told = office.say(&format!("renewal explain {number}"));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], format!("{id}, {number} of P000818 for {sim}: active"));
    assert!(lines[1].starts_with("why: in force: the next period is due on 2"), "{told}");
    assert!(told.contains(&format!("agreed, period 1: {number} is PROVISIONED")), "{told}");
    assert!(told.contains("its order may come until"), "{told}");
    for other in [&sim, &id, &format!("PAY-{number}")] {
        assert_eq!(office.say(&format!("renewal explain {other}")), told, "{other}");
    }
    assert_eq!(office.json(&format!("renewal explain {sim}"))["renewal"]["renewal_id"], *id);
    let plain = super::backup::paid_order(0, 2).order.order_no;
    let (status, why) = office.fail(&format!("renewal explain {plain}"));
    assert!(status == 1 && why.contains("ordered with autoRenewal 0"), "{why}");
    assert!(office.fail("renewal explain NONE-7").1.contains("no order has this number"));

    assert_eq!(office.fail(&format!("renewal cancel {number}")).0, 2, "it needs a reason");
    for _ in 0..2 {
        let done = office.json(&format!("renewal cancel {number} --reason lost"));
        assert_eq!(done["state"], "cancelled");
    }
    let told = office.say(&format!("renewal explain {sim}"));
    assert!(told.contains("why: cancelled by operator Jo on 2"), "{told}");
    assert!(told.contains("Jo did renewal.cancel: lost"), "{told}");
    assert!(office.say("renewal list --state cancelled").contains(&id));
    assert_eq!(office.say("renewal list --state active"), "nothing\n");
    office.server.stop();
}
