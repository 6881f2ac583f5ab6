//! Every statement is prepared on both engines, so that a slip in a rarely used one shows here.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr, SqliteConnection};

use crate::engine::{Options, Store};

const MODULES: &[&[&str]] = &[
    crate::admin::audit::ALL,
    crate::admin::catalogue::ALL,
    crate::admin::jobs::ALL,
    crate::admin::ledger::ALL,
    crate::admin::partners::ALL,
    crate::admin::prices::ALL,
    crate::admin::renewals::ALL,
    crate::admin::sims::ALL,
    crate::admin::tokens::ALL,
    crate::attempts::ALL,
    crate::carrier_sims::ALL,
    crate::figures::ALL,
    crate::groups::ALL,
    crate::groups::MEMBER_STATEMENTS,
    crate::groups::OPERATION_STATEMENTS,
    crate::bulk::ALL,
    crate::health::ALL,
    crate::health::groups::ALL,
    crate::health::pushes::ALL,
    crate::cashier::ALL,
    crate::clocks::ALL,
    crate::imports::ALL,
    crate::jobs::ALL,
    crate::ledger::ALL,
    crate::migrate::ALL,
    crate::order_search::ALL,
    crate::orders::ALL,
    crate::partners::ALL,
    crate::payments::ALL,
    crate::plans::ALL,
    crate::push_endpoints::ALL,
    crate::push_events::ALL,
    crate::push_relay::ALL,
    crate::push_sweep::ALL,
    crate::refunds::ALL,
    crate::renewals::ALL,
    crate::request_log::ALL,
    crate::sim_plans::ALL,
    crate::sims::ALL,
    crate::standing::ALL,
    crate::subscriptions::ALL,
];

#[tokio::test]
async fn every_statement_is_prepared_on_sqlite() {
    let directory = std::env::temp_dir().join(format!("simmall-store-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let url = format!("sqlite://{}", directory.join("prepare.db").display());
    let store = Store::connect(&url, Options { create: true, ..Options::default() }).await.unwrap();
    assert!(store.check_schema().await.is_err(), "an empty database is not served");
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let own = crate::health::SQLITE.iter().chain([&crate::backup::COPY]);
    let own = MODULES.iter().copied().flatten().chain(own).copied();
    for statement in own.chain(crate::bulk::built()) {
        let prepared = connection.prepare(statement.into_sql_str()).await;
        prepared.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', '', true, '', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    let newer = store.check_schema().await.unwrap_err().to_string();
    assert!(newer.contains("use a newer simmall"), "{newer}");
    connection.close().await.unwrap();
    store.close().await;
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn every_statement_is_prepared_on_postgres() {
    let server = std::env::var("TEST_POSTGRES_URL")
        .expect("TEST_POSTGRES_URL is not set: run scripts/test, or scripts/with-postgres COMMAND");
    let mut admin = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let name = format!("prepare_{}", std::process::id());
    let create = format!("CREATE DATABASE {name} TEMPLATE template0");
    admin.execute(AssertSqlSafe(create)).await.unwrap();
    let url = format!("{server}/{name}");
    let store = Store::connect(&url, Options::default()).await.unwrap();
    assert!(store.check_schema().await.is_err(), "an empty database is not served");
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let own = crate::health::POSTGRES.iter().chain([
        &crate::jobs::CLAIM_POSTGRES,
        &crate::jobs::CLAIM_NEW_POSTGRES,
        &crate::jobs::CLAIM_PARTS_POSTGRES,
    ]);
    let own = MODULES.iter().copied().flatten().chain(own).copied();
    for statement in own.chain(crate::bulk::built()) {
        let prepared = connection.prepare(statement.into_sql_str()).await;
        prepared.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    connection.close().await.unwrap();
    store.close().await;
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

/// What PostgreSQL makes of months and zones, beside the table by which plans end.
const CALENDAR: &str = include_str!("../../domain/data/calendar.tsv");

#[tokio::test]
async fn plans_end_when_postgres_says_so_too() {
    let server = std::env::var("TEST_POSTGRES_URL")
        .expect("TEST_POSTGRES_URL is not set: run scripts/test, or scripts/with-postgres COMMAND");
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let mut others = 0;
    for line in CALENDAR.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [zone, begin, unit, n, end, differs, why] = cells.as_slice() else { panic!("{line}") };
        let interval = match *unit {
            "daily" => "1 day",
            "monthly" => "1 month",
            "quarterly" => "3 months",
            "half_yearly" => "6 months",
            "yearly" => "1 year",
            other => panic!("{other}"),
        };
        let sql = "SELECT to_char(((CAST($1 AS TEXT)::timestamp + $2 * CAST($3 AS TEXT)::interval)
            AT TIME ZONE $4) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
        let told: String = sqlx::query_scalar(sql)
            .bind(*begin)
            .bind(n.parse::<f64>().unwrap())
            .bind(interval)
            .bind(*zone)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let expected = if *differs == "=" { end } else { differs };
        assert_eq!(told, **expected, "{line}");
        // Where the two differ, the table says why.
        assert!(*differs == "=" || (differs != end && !why.is_empty()), "{line}");
        others += usize::from(*differs != "=");
    }
    assert!(others >= 4, "{others}");
    connection.close().await.unwrap();
}
