//! Imports and exports: a file is taken whole or not at all, whoever dies meanwhile, and orders go on.

use std::io::Cursor;

use domain::import::ImportState;
use domain::sim::SimState;
use domain::{Mode, Role, Span};
use mall::Settings;
use sdk::admin::import::{Import, NewImport};
use sdk::admin::{Client, Error, examine};
use serde_json::json;
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::Protocol;

use crate::steps::{at_once, set_credit, settle_nodes};

mod catalogue;
mod staging;

on_both_engines!(
    fifty_thousand_sims_are_applied_and_come_back_out,
    bad_lines_are_named_and_nothing_is_written,
    a_dry_run_says_what_would_change,
    a_node_that_dies_is_succeeded_at_the_next_row,
    orders_go_on_meanwhile,
    what_became_impossible_meanwhile_is_skipped_and_named,
);

/// The header of a file of SIMs.
const SIMS: &str = "iccid,carrier,state\n";

/// A number that no other test partner's SIM has.
fn iccid(number: usize) -> String {
    format!("8988{number:015}")
}

/// A file of so many SIMs.
fn sims(count: usize, state: &str) -> String {
    let line = |number| format!("{},simulator,{state}\n", iccid(number));
    SIMS.chars().chain((0..count).flat_map(|n| line(n).chars().collect::<Vec<_>>())).collect()
}

/// Stages a file.
async fn stage(
    client: &Client,
    mode: Mode,
    (kind, partner): (&str, Option<&str>),
    file: &str,
) -> Import {
    let mut file = Cursor::new(file);
    let new = NewImport {
        kind: kind.to_owned(),
        partner: partner.map(str::to_owned),
        file_name: format!("{kind}.csv"),
        sha256: Some(examine(&mut file).unwrap().sha256),
    };
    let import = client.begin_import(mode.as_str(), &new).await.unwrap();
    client.stage(mode.as_str(), &import, &mut file, |_| ()).await.unwrap();
    client.import(mode.as_str(), &import.import_id).await.unwrap()
}

/// Imports a file, and gives what became of it.
async fn import(
    mall: &TestMall,
    mode: Mode,
    (kind, partner): (&str, Option<&str>),
    file: &str,
) -> Import {
    let client = mall.admin_sdk(Role::Operator).await;
    let staged = stage(&client, mode, (kind, partner), file).await;
    if staged.error_count > 0 {
        return staged;
    }
    client.apply_import(mode.as_str(), &staged.import_id, false).await.unwrap();
    finished(&client, mode, &staged.import_id).await
}

/// Waits until the mall has nothing more to do for an import. Looks are counted instead of time, so that
/// a slow machine gets longer.
async fn finished(client: &Client, mode: Mode, id: &str) -> Import {
    for _ in 0..6_000 {
        let import = client.import(mode.as_str(), id).await.unwrap();
        if !["validating", "applying"].contains(&import.state.as_str()) {
            return import;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{:?}", client.import(mode.as_str(), id).await);
}

/// All pages of an export.
async fn export(mall: &TestMall, mode: Mode, kind: &str, partner: Option<&str>) -> String {
    let client = mall.admin_sdk(Role::Viewer).await;
    let (mut text, mut cursor) = (String::new(), None);
    loop {
        let mut query = Vec::new();
        query.extend(partner.map(|partner| ("partner", partner)));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let path = [mode.as_str(), "exports", kind];
        let page = client.send(reqwest::Method::GET, &path, &query, None).await.unwrap();
        text.push_str(&page.text);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return text;
        }
    }
}

/// New, changed and unchanged rows.
fn counts(import: &Import) -> (i64, i64, i64) {
    (import.new, import.changed, import.unchanged)
}

/// Line and column of each error.
fn places(import: &Import) -> Vec<(i64, &str)> {
    import.errors.iter().map(|error| (error.line, error.column.as_str())).collect()
}

/// The code of a refusal.
#[track_caller]
fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    match answer.unwrap_err() {
        Error::Refused(problem) => problem.code.into(),
        other => panic!("{other}"),
    }
}

/// A partner without SIMs of its own.
async fn partner(mall: &TestMall) -> TestPartner {
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let mut file = SIMS.to_owned();
    for sim in &partner.sims {
        file.extend([sim, ",simulator,terminated\n"]);
    }
    assert_eq!(import(mall, Mode::Test, ("sims", Some("P100")), &file).await.changed, 3);
    partner
}

async fn fifty_thousand_sims_are_applied_and_come_back_out(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let before = export(&mall, Mode::Test, "sims", Some("P100")).await;
    let whose = ("sims", Some("P100"));
    let file = sims(50_000, "ready");
    let applied = import(&mall, Mode::Test, whose, &file).await;
    assert_eq!(applied.state, "applied", "{applied:?}");
    assert_eq!((counts(&applied), applied.skipped), ((50_000, 0, 0), 0));
    assert_eq!((applied.rows, applied.rows_done, applied.lines), (50_000, 50_000, 50_001));
    assert_eq!(applied.bytes, i64::try_from(file.len()).unwrap());

    // All of them come back out, in the order of their numbers, beside those that were there.
    let out = export(&mall, Mode::Test, "sims", Some("P100")).await;
    let mut expected: Vec<&str> = before.lines().skip(1).chain(file.lines().skip(1)).collect();
    expected.sort_unstable();
    assert!(out.lines().skip(1).eq(expected), "what came out is not what went in");

    // They can be sold.
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order(&iccid(49_999), "N1")).await.unwrap();
    mall.settle().await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");

    // Again, and with some changes.
    let again = import(&mall, Mode::Test, whose, &file).await;
    assert_eq!((again.state.as_str(), counts(&again)), ("applied", (0, 0, 50_000)));
    assert_ne!(again.import_id, applied.import_id);
    let changed = file.replacen("ready", "suspended", 20_000);
    let changed = import(&mall, Mode::Test, whose, &changed).await;
    assert_eq!(counts(&changed), (0, 20_000, 30_000));
    assert_eq!(client.single_verify(&iccid(0)).await.unwrap().card_status, "3");

    // Each left its trace, and the staged text is gone.
    let owner = mall.admin(Role::Owner).await;
    let audit = owner.all("/audit?action=import.applied", 50).await;
    assert_eq!(audit.len(), 3);
    let ours =
        |entry: &&serde_json::Value| entry["object"] == format!("imports/{}", applied.import_id);
    let entry = audit.iter().find(ours).unwrap();
    let first = &entry["after"];
    assert_eq!(first["sha256"], applied.sha256.clone().unwrap());
    assert_eq!((&first["rows"], &first["new"]), (&50_000.into(), &50_000.into()));
    assert_eq!(entry["token_name"], "a operator");
    assert_eq!(owner.all("/audit?action=import.apply", 50).await.len(), 3);
    mall.stop().await;
}

async fn bad_lines_are_named_and_nothing_is_written(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = partner(&mall).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let before = export(&mall, Mode::Test, "sims", Some("P100")).await;
    let whose = ("sims", Some("P100"));

    // What is wrong in itself is told while it is staged, wherever in the file.
    let mut lines: Vec<String> = sims(40_000, "ready").lines().map(str::to_owned).collect();
    lines[6] = lines[6].replace("ready", "redy");
    lines[39_000] = lines[39_000].replace("simulator", "nobody");
    lines[39_001] = "1234,simulator,ready".into();
    let bad = import(&mall, Mode::Test, whose, &(lines.join("\n") + "\n")).await;
    assert_eq!(bad.parts, 2);
    assert_eq!(places(&bad), [(7, "state"), (39_001, "carrier"), (39_002, "iccid")]);
    assert!(bad.errors[1].detail.contains("simulator"), "{:?}", bad.errors);
    let client = mall.admin_sdk(Role::Operator).await;
    let refused = client.apply_import("test", &bad.import_id, false).await;
    let Err(Error::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.status, &*problem.code), (409, "IMPORT_INVALID"));
    assert_eq!(problem.errors[1].field, "line 39001, column carrier");

    // What is wrong beside other lines, or beside what the mall has, is told when the whole is known.
    let mut lines: Vec<String> = sims(40_000, "ready").lines().map(str::to_owned).collect();
    let twin = lines[39_999].clone();
    lines[100] = twin;
    lines[20_000] = format!("{},simulator,ready", other.sims[0]);
    let bad = import(&mall, Mode::Test, whose, &(lines.join("\n") + "\n")).await;
    assert_eq!(bad.state, "invalid");
    assert_eq!(places(&bad), [(20_001, "iccid"), (40_000, "iccid")]);
    assert!(bad.errors[0].detail.contains("another partner"), "{:?}", bad.errors);
    assert!(bad.errors[1].detail.contains("line 101"), "{:?}", bad.errors);
    let again = client.apply_import("test", &bad.import_id, false).await;
    assert_eq!(code(again), "IMPORT_INVALID");

    // The partner's own policy holds for its new SIMs.
    let mut strict = other.clone();
    mall.change_partner(&mut strict, |partner| partner.checks_luhn = true).await;
    let file =
        format!("{SIMS}8944500102198304826,simulator,ready\n8944500102198304825,simulator,ready\n");
    let bad = import(&mall, Mode::Test, ("sims", Some("P200")), &file).await;
    assert_eq!((bad.state.as_str(), places(&bad)), ("invalid", vec![(3, "iccid")]));

    // A file that is wrong throughout is not read to its end.
    let bad = import(&mall, Mode::Test, whose, &sims(90_000, "gone")).await;
    assert_eq!((bad.state.as_str(), bad.parts, bad.error_count), ("staging", 1, 100));
    assert_eq!(bad.errors.len(), 100);
    assert_eq!(bad.errors[99].line, 101);

    assert_eq!(export(&mall, Mode::Test, "sims", Some("P100")).await, before);
    let unknown = partner.client(&mall).single_verify(&iccid(1)).await;
    assert_eq!(unknown.unwrap_err().code(), Some("SIM_UNKNOWN"));
    assert!(mall.admin(Role::Owner).await.all("/audit?action=import.applied", 50).await.len() == 1);
    mall.stop().await;
}

async fn a_dry_run_says_what_would_change(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = mall.admin_sdk(Role::Operator).await;
    let before = export(&mall, Mode::Test, "sims", Some("P100")).await;
    let [same, other, _] = &partner.sims[..] else { panic!() };
    let file =
        sims(1_200, "ready") + &format!("{same},simulator,ready\n{other},simulator,expired\n");
    let staged = stage(&client, Mode::Test, ("sims", Some("P100")), &file).await;
    client.apply_import("test", &staged.import_id, true).await.unwrap();
    mall.settle().await;
    let checked = client.import("test", &staged.import_id).await.unwrap();
    assert_eq!((checked.state.as_str(), checked.dry_run), ("checked", true));
    assert_eq!(counts(&checked), (1_200, 1, 1));
    assert_eq!(export(&mall, Mode::Test, "sims", Some("P100")).await, before);
    assert!(mall.admin(Role::Owner).await.all("/audit?action=import.apply", 50).await.is_empty());

    // The same file is found again, and applied from where it is.
    let found = stage(&client, Mode::Test, ("sims", Some("P100")), &file).await;
    assert_eq!(found.import_id, staged.import_id);
    client.apply_import("test", &staged.import_id, false).await.unwrap();
    mall.settle().await;
    let applied = client.import("test", &staged.import_id).await.unwrap();
    assert_eq!((applied.state.as_str(), counts(&applied)), ("applied", (1_200, 1, 1)));
    let dry = client.apply_import("test", &staged.import_id, true).await;
    assert_eq!(code(dry), "IMPORT_APPLIED");
    mall.stop().await;
}

/// A node that answers and runs no jobs.
fn without_workers() -> Recipe {
    let settings = Settings { workers: 0, ..Recipe::default().settings };
    Recipe { settings, ..Recipe::default() }
}

async fn a_node_that_dies_is_succeeded_at_the_next_row(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = mall.admin_sdk(Role::Operator).await;
    let before = export(&mall, Mode::Test, "sims", Some("P100")).await;
    let staged = stage(&client, Mode::Test, ("sims", Some("P100")), &sims(40_000, "ready")).await;
    client.apply_import("test", &staged.import_id, false).await.unwrap();
    let id = staged.import_id.as_str();

    // Nodes come and go: each does a share, which stays. While the job is claimed by one that died, the
    // others wait until its lease has run out.
    let (mut nodes, mut seen) = (0, Vec::new());
    loop {
        let node = mall.another_node(Recipe::default()).await;
        for _ in 0..200 {
            let now = client.import("test", id).await.unwrap();
            if seen.last() != Some(&now.rows_done) {
                seen.push(now.rows_done);
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        node.stop().await;
        nodes += 1;
        let (now, lease) = (mall.now(), Settings::default().lease);
        let mut tx = mall.store().begin().await.unwrap();
        let dead = tx.claim_jobs(now, now + lease, 10).await.unwrap();
        tx.commit().await.unwrap();
        mall.clock.advance(lease);
        // Whoever wakes up after its lease can write nothing.
        if let Some(dead) = dead.iter().find(|job| job.subject == id) {
            let next = mall.another_node(Recipe::default()).await;
            settle_nodes(&[&next.mall]).await;
            let mut tx = mall.store().begin().await.unwrap();
            assert!(tx.extend_lease(dead, mall.now() + lease).await.is_err());
            drop(tx);
            next.stop().await;
        }
        let state = client.import("test", id).await.unwrap().state;
        if state == "applied" {
            break;
        }
        assert!(nodes < 100, "it does not end: {seen:?}");
    }
    let applied = client.import("test", id).await.unwrap();
    assert_eq!((counts(&applied), applied.skipped), ((40_000, 0, 0), 0), "{seen:?}");
    let out = export(&mall, Mode::Test, "sims", Some("P100")).await;
    assert_eq!(out.lines().count(), before.lines().count() + 40_000);
    let owner = mall.admin(Role::Owner).await;
    assert_eq!(owner.all("/audit?action=import.applied", 50).await.len(), 1);
    mall.stop().await;
}

async fn orders_go_on_meanwhile(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    set_credit(&mall, &partner, 100_000_000).await;
    let client = mall.admin_sdk(Role::Operator).await;
    let staged = stage(&client, Mode::Test, ("sims", Some("P100")), &sims(20_000, "ready")).await;
    client.apply_import("test", &staged.import_id, false).await.unwrap();
    let (mut round, mut meanwhile) = (0, 0);
    loop {
        let buyer = partner.client(&mall);
        let orders =
            (0..10).map(|n| partner.paid_order(&partner.sims[n % 3], &format!("N{round}-{n}")));
        let orders: Vec<_> = orders.collect();
        at_once(10, |n| {
            let (buyer, order) = (buyer.clone(), orders[n].clone());
            async move { buyer.syn_order_info(&order).await.unwrap() }
        })
        .await;
        round += 1;
        match client.import("test", &staged.import_id).await.unwrap().state.as_str() {
            "validating" | "applying" => meanwhile += 1,
            "applied" => break,
            other => panic!("{other}"),
        }
        assert!(round < 1_000, "the import does not end");
    }
    assert!(meanwhile > 0, "the import was over before an order came");
    mall.settle().await;
    let buyer = partner.client(&mall);
    for number in 0..round {
        let order = buyer.order(&format!("N{number}-9")).await.unwrap();
        assert_eq!(order.status, "PROVISIONED");
    }
    assert_eq!(partner.owes(&mall).await, i64::from(round) * 10 * 800);
    mall.stop().await;
}

async fn what_became_impossible_meanwhile_is_skipped_and_named(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let client = mall.admin_sdk(Role::Operator).await;
    let file = sims(40_000, "ready");
    let staged = stage(&client, Mode::Test, ("sims", Some("P100")), &file).await;
    // A node finds nothing wrong with it.
    let node = mall.another_node(Recipe::default()).await;
    client.apply_import("test", &staged.import_id, true).await.unwrap();
    assert_eq!(finished(&client, Mode::Test, &staged.import_id).await.state, "checked");
    node.stop().await;
    // It is to be applied, and whoever has checked it once more dies before the first row. Played, since a live node
    // may have written the last row before anybody knows of the first. Then another partner gets the last one's card.
    client.apply_import("test", &staged.import_id, false).await.unwrap();
    let ctx = mall.mall().ctx();
    let taken = domain::sim::Sim {
        id: ctx.id(),
        iccid: iccid(39_999).parse().unwrap(),
        carrier: "simulator".to_owned(),
        state: SimState::Ready,
    };
    let mut tx = mall.store().begin().await.unwrap();
    let id = staged.import_id.parse().unwrap();
    let mut import = tx.import(Mode::Test, id).await.unwrap().unwrap();
    assert_eq!(import.state, ImportState::Validating);
    import.state = ImportState::Applying;
    tx.update_import(&mut import, mall.now()).await.unwrap();
    tx.insert_sim(Mode::Test, other.partner.id, &taken, mall.now()).await.unwrap();
    tx.commit().await.unwrap();
    let node = mall.another_node(Recipe::default()).await;
    let applied = finished(&client, Mode::Test, &staged.import_id).await;
    assert_eq!((applied.state.as_str(), counts(&applied)), ("applied", (39_999, 0, 0)));
    assert_eq!((applied.skipped, places(&applied)), (1, vec![(40_001, "iccid")]));
    assert!(export(&mall, Mode::Test, "sims", Some("P200")).await.contains(&iccid(39_999)));
    // Thirty days later nobody needs to know any more.
    mall.clock.advance(Span::days(30));
    settle_nodes(&[&node.mall]).await;
    assert_eq!(code(client.import("test", &staged.import_id).await), "NOT_FOUND");
    node.stop().await;
    mall.stop().await;
}
