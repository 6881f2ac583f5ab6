//! How the mall stops, gently or not: nothing that it said yes to is lost, nothing happens twice.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use domain::Mode;
use domain::order::OrderState;
use sdk::{Client, NewOrder, PaidOrder};
use serde_json::Value;
use store::JobKind;
use testkit::{Engine, on_both_engines};
use tokio::task::JoinSet;

use super::install::{Installation, demo_client, demo_sim};
use super::process::Server;

on_both_engines!(
    a_told_server_finishes_what_it_began,
    a_request_that_is_under_way_is_answered,
    a_killed_server_loses_nothing_that_it_acknowledged,
);

/// How many orders are reported at once.
const ORDERS: usize = 50;
/// How often orders are looked at before they are given up, with a pause between two looks: for 30
/// seconds at least, and the lease of a worker that was killed is over after 20.
const LOOKS_MAX: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// A paid order for as many periods as told: the periods tell the plans of a SIM apart.
fn paid_order(sim: usize, periods: u32) -> PaidOrder {
    let order_no = format!("NO-{sim}-{periods}");
    PaidOrder {
        order: NewOrder {
            iccid: demo_sim(sim),
            pay_id: format!("PAY-{order_no}"),
            order_no,
            service_plan_code: "SP201804280499".to_owned(),
            package_code: "PACKAGE20180428000007".to_owned(),
            order_period: periods,
            pay_amount: "4.99".to_owned(),
            pay_currency: "USD".to_owned(),
            ..NewOrder::default()
        },
        settle_price: "3.99".to_owned(),
        pay_rst: "SUCCESS".to_owned(),
        pay_status: "1".to_owned(),
        pay_result_date: "2024-03-10 16:00:00".to_owned(),
        ..PaidOrder::default()
    }
}

/// Reports orders all at once, and ends the server when so many are acknowledged. Gives those that
/// were acknowledged; the others got no answer.
async fn report_until_the_end(
    client: &Client,
    orders: &[PaidOrder],
    acknowledged_min: usize,
    mut end: impl FnMut(),
) -> HashSet<String> {
    let mut reports = JoinSet::new();
    for order in orders {
        let (client, order) = (client.clone(), order.clone());
        reports.spawn(async move {
            match client.syn_order_info(&order).await {
                Ok(_) => Some(order.order.order_no),
                Err(sdk::Error::Transport(_)) => None,
                Err(error) => panic!("an answer, but not a good one: {error}"),
            }
        });
    }
    let mut acknowledged = HashSet::new();
    while let Some(report) = reports.join_next().await {
        acknowledged.extend(report.unwrap());
        if acknowledged.len() == acknowledged_min {
            end();
        }
    }
    assert!(acknowledged.len() >= acknowledged_min, "only {}", acknowledged.len());
    acknowledged
}

/// All that was acknowledged is there, and what was not can be reported again.
async fn find_or_repeat(client: &Client, orders: &[PaidOrder], acknowledged: &HashSet<String>) {
    for order in orders {
        let number = &order.order.order_no;
        if acknowledged.contains(number) {
            let found = client.order(number).await;
            let found = found.unwrap_or_else(|error| panic!("{number} is lost: {error}"));
            assert_eq!((&found.sim_id, found.pay_result.as_str()), (&order.order.iccid, "success"));
        } else {
            client.syn_order_info(order).await.unwrap();
        }
    }
}

/// No worker took a job with it: each order has its plan, or a job that is due at once.
async fn no_job_is_held(installed: &Installation, order_numbers: &HashSet<String>) {
    let store = installed.store().await;
    let now = server::system_ctx().now();
    // Claimed for no time at all, which leaves them due.
    let mut tx = store.begin().await.unwrap();
    let due = tx.claim_jobs(now, now, 1_000).await.unwrap();
    tx.commit().await.unwrap();
    let due = due.into_iter().filter(|job| job.kind == JobKind::Provision);
    let due: HashSet<String> = due.map(|job| job.subject).collect();
    let mut tx = store.read().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, "P000818").await.unwrap().unwrap();
    for number in order_numbers {
        let order = tx.order_by_no(Mode::Test, partner.id, number).await.unwrap().unwrap();
        let has_plan = matches!(order.state, OrderState::Provisioned { .. });
        assert!(has_plan || due.contains(&order.id.to_string()), "{number}: {:?}", order.state);
    }
    drop(tx);
    store.close().await;
}

/// Waits until all orders are provisioned; each then has exactly one plan on its SIM.
async fn all_have_their_plan(client: &Client, orders: &[PaidOrder]) {
    let mut looks = 0;
    for order in orders {
        let number = &order.order.order_no;
        while client.order(number).await.unwrap().status != "PROVISIONED" {
            looks += 1;
            assert!(looks < LOOKS_MAX, "{number}: {:?}", client.order(number).await);
            tokio::time::sleep(PAUSE).await;
        }
    }
    let sims: HashSet<&String> = orders.iter().map(|order| &order.order.iccid).collect();
    for sim in sims {
        let of_sim = orders.iter().filter(|order| order.order.iccid == *sim);
        let mut ordered: Vec<String> =
            of_sim.map(|order| order.order.order_period.to_string()).collect();
        let queue = client.single_query_order(sim).await.unwrap().order_list;
        let mut delivered: Vec<String> = queue.into_iter().map(|plan| plan.time).collect();
        ordered.sort();
        delivered.sort();
        assert_eq!(delivered, ordered, "{sim}");
    }
}

async fn a_told_server_finishes_what_it_began(engine: Engine) {
    let installed = Installation::new(engine).await;
    let server = Server::start(&mut installed.serve([]));
    let orders: Vec<PaidOrder> = (1..=ORDERS).map(|sim| paid_order(sim, 1)).collect();
    let client = demo_client(&server.url);
    let acknowledged =
        report_until_the_end(&client, &orders, ORDERS / 5, || server.terminate()).await;
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // It had no need of the time that it is given.
    assert!(ended.stderr.contains("stopping") && !ended.stderr.contains("cut off"), "{ended:?}");
    assert!(!ended.stderr.contains("ERROR"), "{ended:?}");
    no_job_is_held(&installed, &acknowledged).await;

    let server = Server::start(&mut installed.serve([]));
    let client = demo_client(&server.url);
    find_or_repeat(&client, &orders, &acknowledged).await;
    all_have_their_plan(&client, &orders).await;
    server.stop().success();
}

async fn a_request_that_is_under_way_is_answered(engine: Engine) {
    let installed = Installation::new(engine).await;
    let server = Server::start(&mut installed.serve([]));
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let order = paid_order(1, 1);
    let fields = demo_client(&server.url).sign(&wire::vshop::SYN_ORDER_INFO, order.fields());
    let body = Value::Object(fields.unwrap()).to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let head = format!(
        "POST /vshop_uat/synPartner/SynOrderInfo HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len(),
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: so it is at work on the request.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.terminate();
    let mut looks = 0;
    while TcpStream::connect(&address).is_ok() {
        looks += 1;
        assert!(looks < LOOKS_MAX, "it still takes connections");
        tokio::time::sleep(PAUSE).await;
    }
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#""orderNo":"NO-1-1""#), "{answer}");
    assert_eq!(server.wait().code, Some(0));

    let server = Server::start(&mut installed.serve([]));
    all_have_their_plan(&demo_client(&server.url), &[order]).await;
    server.stop().success();
}

async fn a_killed_server_loses_nothing_that_it_acknowledged(engine: Engine) {
    const SIMS: usize = 20;
    let installed = Installation::new(engine).await;
    let (mut all, mut before) = (Vec::new(), (Vec::new(), HashSet::new()));
    // Killed early, in the middle and late; every start comes upon the ruins of the one before.
    for (periods, acknowledged_min) in [(1, 1), (2, SIMS / 2), (3, SIMS)] {
        let mut server = Server::start(&mut installed.serve([]));
        let client = demo_client(&server.url);
        find_or_repeat(&client, &before.0, &before.1).await;
        let orders: Vec<PaidOrder> = (1..=SIMS).map(|sim| paid_order(sim, periods)).collect();
        let end = || server.kill();
        let acknowledged = report_until_the_end(&client, &orders, acknowledged_min, end).await;
        assert_eq!(server.wait().code, None);
        all.extend(orders.clone());
        before = (orders, acknowledged);
    }
    let server = Server::start(&mut installed.serve([]));
    let client = demo_client(&server.url);
    find_or_repeat(&client, &before.0, &before.1).await;
    all_have_their_plan(&client, &all).await;
    server.stop().success();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_do_not_hold_a_stop() {
    let installed = Installation::new(Engine::Sqlite).await;
    let server = Server::start(&mut installed.serve([]));
    let address = server.url.strip_prefix("http://").unwrap();
    // One never speaks; the other stays open after its answer, as browsers and partners keep them.
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let client = demo_client(&server.url);
    client.single_verify(&demo_sim(1)).await.unwrap();
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("cut off"), "{ended:?}");
    drop((silent, client));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_and_unread_answers_do_not_hold_a_stop() {
    let installed = Installation::new(Engine::Sqlite).await;
    let server = Server::start(&mut installed.serve([]));
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let answered = "GET /nowhere HTTP/1.1\r\nHost: mall\r\n\r\n";
    let head = "POST /vshop_uat/singleVerify HTTP/1.1\r\nHost: mall\r\n";
    let mut kept = Vec::new();
    for (asked, waits) in [
        ("POS".to_owned(), false),
        (head.to_owned(), false),
        (answered.to_owned(), true),
        (format!("{answered}{head}"), true),
        // The server asks for the body, which does not come.
        (format!("{head}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"), true),
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(asked.as_bytes()).unwrap();
        if waits {
            stream.read_exact(&mut [0; 12]).unwrap();
        }
        kept.push(stream);
    }
    // One asks for large pages and reads none, until the server cannot write any more of them.
    let mut greedy = TcpStream::connect(&address).unwrap();
    greedy.set_write_timeout(Some(PAUSE)).unwrap();
    while greedy.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: mall\r\n\r\n").is_ok() {}
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("cut off"), "{ended:?}");
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_files_to_spare_comes_round() {
    let installed = Installation::new(Engine::Sqlite).await;
    let mut shell = std::process::Command::new("sh");
    shell.env_clear().args(["-c", "ulimit -n 48; exec \"$@\"", "sh"]);
    let serve = installed.serve([]);
    shell.arg(serve.get_program()).args(serve.get_args());
    shell.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let server = Server::start(&mut shell);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // While they are there nothing is promised, but that it lives through it.
    drop(crowd);
    let client = demo_client(&server.url);
    let mut looks = 0;
    while client.single_verify(&demo_sim(1)).await.is_err() {
        looks += 1;
        assert!(looks < LOOKS_MAX, "it does not come round");
        tokio::time::sleep(PAUSE).await;
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the limit of open files allows fewer"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_right_after_the_start_is_heeded() {
    let installed = Installation::new(Engine::Sqlite).await;
    for _ in 0..5 {
        let ended = Server::start(&mut installed.serve([])).stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}
