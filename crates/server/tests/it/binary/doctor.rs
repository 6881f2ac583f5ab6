//! `simmall doctor`: what it says of a mall that is well, and of each way to be unwell.

use domain::Mode;
use serde_json::Value;
use testkit::{Database, Engine, add_push_endpoint, on_both_engines, write_push_events};

use super::install::{Installation, PASSWORD, SEALING_KEY, demo_client, demo_sim};
use super::process::{Directory, Ended, Server, run, simmall};

on_both_engines!(
    a_served_mall_is_well,
    each_fault_in_the_books_is_found,
    what_has_no_order_is_found,
    what_waits_is_told,
    keys_clocks_carriers_and_schema_are_looked_at,
    what_cannot_be_told_is_found,
);

/// What `simmall doctor` says of a database.
struct Examined(Ended);

impl Examined {
    fn of(installed: &Installation) -> Self {
        Self::with(installed, SEALING_KEY)
    }

    fn with(installed: &Installation, key: &str) -> Self {
        let mut doctor = simmall(["doctor", "--deep"]);
        doctor.env("SIMMALL_DATABASE_URL", installed.database_url());
        let ended = run(doctor.env("SIMMALL_SEALING_KEY", key), "");
        assert!(ended.stderr.is_empty() && !ended.stdout.contains(PASSWORD), "{ended:?}");
        assert!(!ended.stdout.contains(key), "{ended:?}");
        let failed = ended.stdout.lines().any(|line| line.starts_with("fail "));
        assert_eq!(ended.code, Some(i32::from(failed)), "{ended:?}");
        Self(ended)
    }

    fn line(&self, name: &str) -> &str {
        let line = self.0.stdout.lines().find(|line| line[6..].starts_with(name));
        line.unwrap_or_else(|| panic!("nothing on {name}: {:?}", self.0))
    }

    /// Insists on what is said of something.
    fn says(&self, name: &str, verdict: &str, words: &str) -> &Self {
        let line = self.line(name);
        assert!(line.starts_with(verdict) && line.contains(words), "{line}");
        self
    }

    /// Insists that all of these are well.
    fn all_well(&self, names: &[&str]) {
        for name in names {
            self.says(name, "ok ", "");
        }
    }
}

async fn a_served_mall_is_well(engine: Engine) {
    let installed = Installation::new(engine).await;
    let server = Server::start(&mut installed.serve([]));
    demo_client(&server.url).single_verify(&demo_sim(1)).await.unwrap();
    let examined = Examined::of(&installed);
    let well = ["database", "migrations", "clock", "sealing key", "jobs", "review", "orders"];
    examined.all_well(&well);
    examined.all_well(&["ledger", "carrier simulator"]);
    if engine == Engine::Sqlite {
        assert_eq!(examined.0.code, Some(0));
        examined.says("database", "ok", "SQLite 3.").says("settings", "ok", "synchronous full");
        examined.says("integrity", "ok", "foreign_key_check");
    } else {
        // The server of the tests never waits for its disk: that is what the line is for.
        examined.says("settings", "fail", "fsync is off").says("database", "ok", "PostgreSQL");
        examined.says("integrity", "skip", "").says("disk space", "skip", "");
    }
    // The same for programs.
    let mut doctor = simmall(["doctor", "--json"]);
    doctor.env("SIMMALL_DATABASE_URL", installed.database_url());
    let ended = run(doctor.env("SIMMALL_SEALING_KEY", SEALING_KEY), "");
    let object: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(object["healthy"], Value::Bool(engine == Engine::Sqlite));
    let checks = object["checks"].as_array().unwrap();
    let ledger = checks.iter().find(|check| check["name"] == "ledger").unwrap();
    assert_eq!(ledger["verdict"], "ok");
    server.stop().success();
}

/// Makes a paid order and one that waits for its payment, and stops before either goes on.
async fn with_orders(engine: Engine) -> Installation {
    let installed = Installation::new(engine).await;
    let server = Server::start(&mut installed.serve(["--simulator=delay:86400"]));
    let client = demo_client(&server.url);
    for (number, status) in [("N1", "1"), ("N2", "2")] {
        let mut order = super::backup::paid_order(0, 1);
        order.order.order_no = number.to_owned();
        order.order.pay_id = format!("PAY-{number}");
        order.pay_status = status.to_owned();
        client.syn_order_info(&order).await.unwrap();
    }
    server.stop().success();
    installed
}

async fn each_fault_in_the_books_is_found(engine: Engine) {
    let installed = with_orders(engine).await;
    let database = Database::at(&installed.database_url());
    Examined::of(&installed).all_well(&["orders", "ledger"]);
    let credit = |sign| format!("UPDATE credits SET used_minor = used_minor {sign} 1");
    let posting = |from, to| format!("UPDATE postings SET kind = '{to}' WHERE kind = '{from}'");
    let job = |from, to| format!("UPDATE jobs SET kind = '{to}' WHERE kind = '{from}'");
    let order = |from, to| {
        // The demo's own order has its plan, and needs no job.
        format!(
            "UPDATE orders SET state = '{to}' WHERE state = '{from}' AND source = 'reported'
            AND pay_id <> '20190321192436'"
        )
    };
    let paid = "PROVISIONING";
    for (name, words, harm, cure) in [
        ("ledger", "the credit used is not the balance owed", credit('+'), credit('-')),
        (
            "ledger",
            "paid, but its sale is not booked",
            posting("sale", "reversal"),
            posting("reversal", "sale"),
        ),
        (
            "ledger",
            "without a plan, but its sale is not taken back",
            order(paid, "FAILED"),
            order("FAILED", paid),
        ),
        (
            "ledger",
            "paid, but its payment is not",
            "UPDATE orders SET pay_state = 'failed' WHERE pay_state = 'succeeded'".to_owned(),
            "UPDATE orders SET pay_state = 'succeeded' WHERE pay_state = 'failed'".to_owned(),
        ),
        (
            "orders",
            "paid, but no job provisions it",
            job("provision", "other"),
            job("other", "provision"),
        ),
        (
            "orders",
            "not paid, but no job closes it",
            job("close_order", "other"),
            job("other", "close_order"),
        ),
        (
            "orders",
            "provisioned, but no plan is on its SIM",
            order(paid, "PROVISIONED"),
            order("PROVISIONED", paid),
        ),
    ] {
        database.execute(&harm).await;
        Examined::of(&installed).says(name, "fail", words);
        database.execute(&cure).await;
        Examined::of(&installed).all_well(&["orders", "ledger"]);
    }
}

async fn what_has_no_order_is_found(engine: Engine) {
    let installed = with_orders(engine).await;
    let database = Database::at(&installed.database_url());
    database.execute("UPDATE orders SET paid_at = NULL WHERE source = 'reported'").await;
    Examined::of(&installed).says("ledger", "fail", "booked, but no paid order is there");
    let plan = "INSERT INTO sim_plans
        (mode, partner_id, iccid, queue_no, order_id, unit, periods, calendar, state, added_at)
        SELECT mode, partner_id, iccid, 7, 'ord_none', unit, periods, calendar, 'waiting', 1
        FROM orders WHERE source = 'reported' AND pay_state = 'succeeded'";
    database.execute(plan).await;
    Examined::of(&installed).says("orders", "fail", "a plan on a SIM, but no such order");
    if engine == Engine::Sqlite {
        let malform = "PRAGMA ignore_check_constraints = on; UPDATE postings SET credit = debit";
        database.execute(malform).await;
        let examined = Examined::of(&installed);
        examined.says("ledger", "fail", "a posting that does not sum to zero");
        examined.says("integrity", "fail", "CHECK constraint failed in postings");
    }
}

async fn what_waits_is_told(engine: Engine) {
    let installed = with_orders(engine).await;
    let database = Database::at(&installed.database_url());
    Examined::of(&installed).all_well(&["jobs", "review"]);
    database.execute("UPDATE jobs SET run_at = 1 WHERE kind = 'provision'").await;
    Examined::of(&installed).says("jobs", "fail", "1 due, the oldest for ");
    database.execute("UPDATE jobs SET state = 'dead' WHERE kind = 'provision'").await;
    Examined::of(&installed).says("jobs", "warn", "0 due; 1 dead");
    let review = "UPDATE orders SET state = 'REVIEW', failure_code = 'X', failure_message = 'x'
        WHERE state = 'PROVISIONING'";
    database.execute(review).await;
    Examined::of(&installed).says("review", "warn", "1 in test mode");
}

async fn what_cannot_be_told_is_found(engine: Engine) {
    let installed = Installation::new(engine).await;
    let (store, ctx) = (installed.store().await, server::system_ctx());
    let database = Database::at(&installed.database_url());
    let mut tx = store.read().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, "P000818").await.unwrap().unwrap();
    drop(tx);
    Examined::of(&installed).all_well(&["pushes"]);
    let (at, whose) = ((&store, &ctx), (Mode::Test, partner.id));
    let endpoint = add_push_endpoint(at, whose, ("https://example.com/hook", &[])).await;
    write_push_events(at, &[&endpoint], (1, 2)).await;
    Examined::of(&installed).says("pushes", "ok", "").says("sealing key", "ok", "(2)");
    for (harm, verdict, words) in [
        ("UPDATE push_deliveries SET due_at = 1", "fail", "an event has been due for "),
        ("UPDATE push_endpoints SET probe_at = 1", "warn", "1 endpoints fail, 0 are switched off"),
        (
            "UPDATE push_endpoints SET state = 'off', probe_at = NULL",
            "warn",
            "0 endpoints fail, 1 are switched off",
        ),
        ("UPDATE push_keys SET key_id = 'k2'", "warn", ""),
        ("DELETE FROM push_keys", "fail", "an endpoint without a key"),
        ("DELETE FROM push_endpoints", "fail", "to be told, but its endpoint is not there"),
        ("DELETE FROM push_events", "fail", "to be told, but its event is not there"),
    ] {
        database.execute(harm).await;
        let examined = Examined::of(&installed);
        examined.says("pushes", verdict, words);
        if harm.contains("'k2'") {
            examined.says("sealing key", "fail", "1 of 2 live keys do not open");
        }
    }
    store.close().await;
}

async fn keys_clocks_carriers_and_schema_are_looked_at(engine: Engine) {
    let installed = Installation::new(engine).await;
    let database = Database::at(&installed.database_url());
    let other = SEALING_KEY.replace('0', "1");
    let examined = Examined::with(&installed, &other);
    examined.says("sealing key", "fail", "1 of 1 live keys do not open").all_well(&["ledger"]);
    Examined::with(&installed, "0707").says("sealing key", "fail", "64 hexadecimal digits");
    // A key that opens some is not good enough; one that is retired needs no opening.
    installed.spoil_demo_keys().await;
    let examined = Examined::of(&installed);
    examined.says("sealing key", "fail", "1 of 2 live keys do not open");
    database.execute("UPDATE partner_keys SET retired_at = 1").await;
    Examined::of(&installed).says("sealing key", "ok", "(0)");

    // The year 2100.
    database.execute("UPDATE partners SET created_at = 4102444800000000").await;
    Examined::of(&installed).says("clock", "warn", "rows from ");
    database.execute("UPDATE partners SET created_at = 1").await;
    database.execute("UPDATE packages SET carrier = 'elsewhere'").await;
    let examined = Examined::of(&installed);
    examined.says("carrier elsewhere", "fail", "does not know it").all_well(&["clock"]);

    let newer = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time)
        SELECT 9999, description, success, checksum, execution_time FROM _sqlx_migrations
        WHERE version = 1";
    database.execute(newer).await;
    let examined = Examined::of(&installed);
    examined.says("migrations", "fail", "use a newer simmall").says("ledger", "skip", "schema");
    database.execute("DELETE FROM _sqlx_migrations").await;
    Examined::of(&installed).says("migrations", "fail", "run `simmall migrate`");
}

#[tokio::test]
async fn those_who_take_the_money_are_asked() {
    let directory = Directory::new();
    let url = format!("sqlite://{}", directory.join("mall.db"));
    run(&mut simmall(["migrate", "--database-url", &url]), "").success();
    let stripe = Server::start_one(&mut simmall(["stripe-double"]));
    let account = |base: &str| {
        std::fs::write(directory.join("key"), "sk_test_key").unwrap();
        std::fs::write(directory.join("hook"), "whsec_test").unwrap();
        serde_json::json!({
            "base": base, "secret_key": {"file": directory.join("key")}, "publishable_key": "pk_test_key",
            "webhook_secret": {"file": directory.join("hook")},
        })
    };
    let file = serde_json::json!({
        "test": account(&stripe.url), "test/P000270": account("http://127.0.0.1:9"),
    });
    std::fs::write(directory.join("cashiers.json"), file.to_string()).unwrap();
    let mut doctor = simmall(["doctor", "--database-url", &url]);
    doctor.args(["--cashiers", &directory.join("cashiers.json")]);
    let examined = Examined(run(&mut doctor, ""));
    examined.says("cashier test ", "ok ", "takes the key");
    examined.says("cashier test/P000270", "fail", "see that this machine may reach Stripe");
    stripe.stop();
}

#[tokio::test]
async fn files_and_what_is_not_there_are_told() {
    let directory = Directory::new();
    let url = format!("sqlite://{}", directory.join("mall.db"));
    run(&mut simmall(["migrate", "--database-url", &url]), "").success();
    let key = directory.join("sealing.key");
    std::fs::write(&key, SEALING_KEY).unwrap();
    let doctor = || {
        let mut doctor = simmall(["doctor", "--database-url", &url]);
        Examined(run(doctor.args(["--sealing-key-file", &key]), ""))
    };
    let chmod = |path: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    };
    chmod(directory.path().to_str().unwrap(), 0o755);
    chmod(&key, 0o644);
    doctor().says("key file", "warn", "chmod 600").says("database file", "warn", "chmod 700");
    chmod(&directory.join("mall.db"), 0o666);
    doctor().says("database file", "fail", "anybody can write it");
    chmod(directory.path().to_str().unwrap(), 0o700);
    chmod(&key, 0o600);
    doctor().all_well(&["key file", "database file", "sealing key"]);
    std::fs::remove_file(&key).unwrap();
    doctor().says("sealing key", "fail", "sealing.key");
    std::fs::remove_file(directory.join("mall.db")).unwrap();
    doctor().says("database ", "fail", "it is not there").says(
        "ledger",
        "skip",
        "cannot be opened",
    );
    assert!(!std::fs::exists(directory.join("mall.db")).unwrap(), "the doctor made it");
    let mut slip = simmall(["doctor", "--database-url", &url, "--deeper"]);
    assert_eq!(run(&mut slip, "").code, Some(2));
}

#[tokio::test]
async fn a_damaged_file_is_found() {
    let installed = Installation::new(Engine::Sqlite).await;
    let file = installed.database_url().strip_prefix("sqlite://").unwrap().to_owned();
    let mut bytes = std::fs::read(&file).unwrap();
    // A page of the SIMs' table or of its index.
    let sim = bytes.windows(20).rposition(|window| window == b"89860220190905123941").unwrap();
    let page = sim / 4096 * 4096;
    bytes[page..page + 4096].fill(0x5A);
    std::fs::write(&file, bytes).unwrap();
    Examined::of(&installed).says("integrity", "fail", "");
}
