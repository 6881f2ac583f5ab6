//! `simmall backup` and `simmall restore`: copies of a mall that serves, and malls made of them.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::{Mode, Money};
use sdk::{NewOrder, PaidOrder};
use store::{Options, Store};
use testkit::{Database, Engine};

use super::install::{Installation, SEALING_KEY, demo_client, demo_sim};
use super::process::{Directory, Ended, Server, run, simmall};

/// How many backups are made while orders come in.
const BACKUPS: usize = 10;
/// Clients that report orders meanwhile.
const CLIENTS: usize = 4;
/// SIMs that they take in turns.
const SIMS: usize = 24;
/// At least so many orders come in for each backup.
const ORDERS_PER_BACKUP_MIN: usize = 10;
/// How often something is waited for, with a pause between two looks: for a minute at least.
const LOOKS_MAX: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);
/// What the demo's partner may owe here: enough for any machine.
const CREDIT_MINOR: i64 = 100_000_000_000;

/// A report of the demo's partner, paid or, every fourth, not known to be paid yet.
pub(super) fn paid_order(client: usize, number: usize) -> PaidOrder {
    let order_no = format!("NO-{client}-{number}");
    PaidOrder {
        order: NewOrder {
            iccid: demo_sim(1 + (number * CLIENTS + client) % SIMS),
            pay_id: format!("PAY-{order_no}"),
            order_no,
            service_plan_code: "SP201804280499".to_owned(),
            package_code: "PACKAGE20180428000007".to_owned(),
            order_period: 1,
            pay_amount: "4.99".to_owned(),
            pay_currency: "USD".to_owned(),
            ..NewOrder::default()
        },
        settle_price: "3.99".to_owned(),
        pay_rst: "SUCCESS".to_owned(),
        // Every fourth is not known to be paid yet, and waits to be closed.
        pay_status: if number.is_multiple_of(4) { "2" } else { "1" }.to_owned(),
        pay_result_date: "2024-03-10 16:00:00".to_owned(),
        ..PaidOrder::default()
    }
}

/// Orders that are reported until told to stop, and the numbers of those that were acknowledged.
#[derive(Clone, Default)]
struct Load {
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    async fn report(self, url: String, client: usize) {
        let sender = demo_client(&url);
        for number in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let order = paid_order(client, number);
            let answer = sender.syn_order_info(&order).await;
            answer.unwrap_or_else(|error| panic!("{}: {error}", order.order.order_no));
            self.acknowledged.lock().unwrap().insert(order.order.order_no);
        }
    }

    async fn until(&self, count: usize) {
        for _ in 0..LOOKS_MAX {
            if self.acknowledged.lock().unwrap().len() >= count {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("no orders come in");
    }
}

fn sqlite_url(file: &str) -> String {
    format!("sqlite://{file}")
}

fn backup(database_url: &str, file: &str) -> Ended {
    run(simmall(["backup", file]).env("SIMMALL_DATABASE_URL", database_url), "")
}

fn restore(file: &str, data: &str) -> Ended {
    run(simmall(["restore", file, "--data", data]).env("SIMMALL_SEALING_KEY", SEALING_KEY), "")
}

fn on_restored(command: &str, data: &str) -> Command {
    let url = sqlite_url(&format!("{data}/mall.db"));
    let mut command = simmall([command, "--database-url", &url]);
    command.env("SIMMALL_SEALING_KEY", SEALING_KEY);
    command
}

async fn raise_credit(installed: &Installation) {
    let store = installed.store().await;
    let mut tx = store.begin().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, "P000818").await.unwrap().unwrap();
    let limit = Money::new(CREDIT_MINOR, partner.settlement_currency);
    tx.set_credit_limit(&partner, limit).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_backups_under_load_can_each_be_served() {
    let installed = Installation::new(Engine::Sqlite).await;
    raise_credit(&installed).await;
    let directory = Directory::new();
    let server = Server::start(&mut installed.serve([]));
    let load = Load::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(load.clone().report(server.url.clone(), client)))
        .collect();
    let mut made = Vec::new();
    for number in 0..BACKUPS {
        let (file, data) = (format!("backup-{number}.db"), format!("data-{number}"));
        let (file, data) = (directory.join(&file), directory.join(&data));
        load.until((number + 1) * ORDERS_PER_BACKUP_MIN).await;
        let before = load.acknowledged();
        let url = installed.database_url();
        let copied = file.clone();
        // On a thread of its own, so that the orders go on.
        let said = tokio::task::spawn_blocking(move || backup(&url, &copied).success());
        assert!(said.await.unwrap().contains("The sealing key is not in it"));
        made.push((file, data, before));
    }
    load.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    server.stop().success();
    for (file, data, before) in made {
        let said = restore(&file, &data).success();
        assert!(said.contains("ok    sealing key") && said.contains("simmall serve"), "{said}");
        is_whole(&data, &before).await;
        let server = Server::start(&mut on_restored("serve", &data));
        goes_on(&server, &before).await;
        server.stop().success();
    }
}

/// Every order that was acknowledged before is there, and no order is there by half.
async fn is_whole(data: &str, before: &BTreeSet<String>) {
    let examined = run(on_restored("doctor", data).arg("--deep"), "");
    for check in ["integrity", "orders", "ledger", "migrations"] {
        let line = format!("ok    {check} ");
        assert!(examined.stdout.contains(&line), "{examined:?}");
    }
    let url = sqlite_url(&format!("{data}/mall.db"));
    let store = Store::connect(&url, Options::default()).await.unwrap();
    let mut tx = store.read().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, "P000818").await.unwrap().unwrap();
    for number in before {
        let order = tx.order_by_no(Mode::Test, partner.id, number).await.unwrap();
        assert!(order.is_some(), "{number} is not in the backup in {data}");
    }
    drop(tx);
    store.close().await;
}

/// What was paid gets its plan, and new orders are taken.
async fn goes_on(server: &Server, before: &BTreeSet<String>) {
    let client = demo_client(&server.url);
    let paid = before.iter().rev().find(|number| {
        let number: usize = number.rsplit('-').next().unwrap().parse().unwrap();
        !number.is_multiple_of(4)
    });
    let paid = paid.expect("some are paid");
    let mut looks = 0;
    while client.order(paid).await.unwrap().status != "PROVISIONED" {
        looks += 1;
        assert!(looks < LOOKS_MAX, "{:?}", client.order(paid).await);
        tokio::time::sleep(PAUSE).await;
    }
    client.syn_order_info(&paid_order(CLIENTS, 1)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_overwritten_and_nothing_else_is_restored() {
    let installed = Installation::new(Engine::Sqlite).await;
    let directory = Directory::new();
    let (file, data) = (directory.join("backup.db"), directory.join("data"));
    backup(&installed.database_url(), &file).success();
    assert!(backup(&installed.database_url(), &file).failure().contains("not overwritten"));
    let nowhere = directory.join("none/backup.db");
    assert!(backup(&installed.database_url(), &nowhere).failure().contains("no file can be made"));
    let missing = sqlite_url(&directory.join("missing.db"));
    let refusal = backup(&missing, &directory.join("other.db")).failure();
    assert!(refusal.contains("missing.db") && refusal.contains("--database-url"), "{refusal}");
    let empty = sqlite_url(&directory.join("empty.db"));
    std::fs::write(directory.join("empty.db"), "").unwrap();
    let refusal = backup(&empty, &directory.join("other.db")).failure();
    assert!(refusal.contains("no database of simmall"), "{refusal}");

    restore(&file, &data).success();
    let refusal = restore(&file, &data).failure();
    assert!(refusal.contains("mall.db is in the way"), "{refusal}");
    std::fs::rename(directory.join("data/mall.db"), directory.join("data/old.sqlite")).unwrap();
    let refusal = restore(&file, &data).failure();
    assert!(refusal.contains("old.sqlite is in the way"), "{refusal}");

    let other = directory.join("other");
    std::fs::write(directory.join("text.db"), "this is a text and no database").unwrap();
    let refusal = restore(&directory.join("text.db"), &other).failure();
    assert!(refusal.contains("no SQLite database"), "{refusal}");
    assert!(restore(&nowhere, &other).failure().contains("there is no file"));
    std::fs::copy(&file, directory.join("raw.db")).unwrap();
    std::fs::write(directory.join("raw.db-wal"), "").unwrap();
    let refusal = restore(&directory.join("raw.db"), &other).failure();
    assert!(refusal.contains("raw.db-wal stands beside it"), "{refusal}");
    // Whatever was refused left nothing behind, neither whole nor by half.
    assert!(!std::fs::exists(directory.join("other/mall.db")).unwrap());
    let unfinished = std::fs::read_dir(directory.path()).unwrap();
    let mut names = unfinished.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.contains("unfinished")));
}

#[tokio::test]
async fn a_broken_or_foreign_backup_is_refused() {
    let installed = Installation::new(Engine::Sqlite).await;
    let directory = Directory::new();
    let file = directory.join("backup.db");
    backup(&installed.database_url(), &file).success();
    let key = SEALING_KEY.replace('0', "1");
    let other_key = run(
        simmall(["restore", &file, "--data", &directory.join("a")])
            .env("SIMMALL_SEALING_KEY", &key),
        "",
    );
    assert_eq!(other_key.code, Some(1));
    assert!(other_key.stderr.contains("with this sealing key"), "{other_key:?}");
    assert!(!std::fs::exists(directory.join("a/mall.db")).unwrap());

    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x5A);
    let broken = directory.join("broken.db");
    std::fs::write(&broken, bytes).unwrap();
    let refusal = restore(&broken, &directory.join("b")).failure();
    assert!(refusal.contains("was not restored"), "{refusal}");
    assert!(!std::fs::exists(directory.join("b/mall.db")).unwrap());
    // Nor is a broken database taken for a backup's source.
    let refusal = backup(&sqlite_url(&broken), &directory.join("copy.db"));
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(!std::fs::exists(directory.join("copy.db")).unwrap());

    // A newer program's backup is not for this one; an older one's must be migrated first.
    let change = async |sql: &str| {
        let changed = directory.join("changed.db");
        std::fs::copy(&file, &changed).unwrap();
        Database::at(&sqlite_url(&changed)).execute(sql).await;
        changed
    };
    let newer = change("INSERT INTO _sqlx_migrations VALUES (9999, 'later', '', true, '', 0)");
    let refusal = restore(&newer.await, &directory.join("c")).failure();
    assert!(refusal.contains("9999") && refusal.contains("newer simmall"), "{refusal}");
    let credit = change("UPDATE credits SET used_minor = used_minor + 1").await;
    let (data, at) = (directory.join("d"), ["--data", &directory.join("d")]);
    let refusal = restore(&credit, &data);
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.stderr.contains("--accept-faults"), "{refusal:?}");
    let accepted = run(simmall(["restore", &credit, "--accept-faults"]).args(at), "").success();
    assert!(accepted.contains("fail  ledger") && accepted.contains("simmall serve"), "{accepted}");
    // The backup of a mall whose books do not agree is kept, and told to be one.
    let told = backup(&sqlite_url(&format!("{data}/mall.db")), &directory.join("kept.db"));
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("kept.db was made, but"), "{told:?}");
    assert_eq!(restore(&directory.join("kept.db"), &directory.join("e")).code, Some(1));
}

#[tokio::test]
async fn postgres_is_left_to_its_own_tools() {
    let url = "postgres://joe:tr0ubadour@127.0.0.1:1/mall";
    let said = backup(url, "it's here.dump");
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stdout.contains(r"pg_dump --format=custom --file='it'\''s here.dump'"));
    assert!(!said.stdout.contains("tr0ubadour") && said.stdout.contains("pg_restore"));
}
