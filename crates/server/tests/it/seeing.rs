//! What machines and operators see of a mall: whether it can serve, and its figures.

use domain::sim::SimState;
use domain::{Mode, Span};
use sdk::Scheme;
use serde_json::{Value, json};
use testkit::{Engine, Recipe, TestMall, TestPartner, http_client, on_both_engines};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::vshop::{SINGLE_ORDER, SINGLE_VERIFY, SYN_ORDER_INFO};

use crate::raw::{call, call_well, sample};

on_both_engines!(
    a_mall_is_ready_as_long_as_its_database_answers,
    a_stopping_mall_is_not_ready_and_ends_what_it_began,
    requests_are_counted_by_route_and_outcome,
    orders_and_jobs_are_counted,
    wrong_signatures_are_counted_by_cause,
    a_job_belongs_to_the_trace_of_its_request,
);

/// How often something is looked at that is about to happen, and the pause between two looks.
const LOOKS_MAX: u32 = 1_000;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

async fn get(url: &str) -> (u16, String) {
    let response = http_client().get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The checks that do not hold, by name, and what is said of them.
fn failing(body: &str) -> Vec<(String, Option<String>)> {
    let body: Value = serde_json::from_str(body).unwrap();
    let checks = body["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["serving", "database", "migrations", "workers"]);
    let failing: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(body["ready"], failing.is_empty());
    let told = |check: &&Value| {
        let detail = check["detail"].as_str().map(str::to_owned);
        (check["name"].as_str().unwrap().to_owned(), detail)
    };
    failing.iter().map(told).collect()
}

/// Looks at `/readyz` until it answers with a status.
async fn readyz(url: &str, status: u16) -> Vec<(String, Option<String>)> {
    for _ in 0..LOOKS_MAX {
        let (found, body) = get(&format!("{url}/readyz")).await;
        if found == status {
            return failing(&body);
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{url}/readyz never answers {status}");
}

/// The figures, by name and labels.
async fn figure(url: &str, name: &str) -> Option<i64> {
    let (status, text) = get(&format!("{url}/metrics")).await;
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap_or_else(|_| panic!("{name} {value}")))
}

async fn a_mall_is_ready_as_long_as_its_database_answers(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for url in [mall.url(), mall.admin_url()] {
        assert_eq!(get(&format!("{url}/healthz")).await, (200, "ok\n".to_owned()));
        assert_eq!(readyz(&url, 200).await, []);
    }
    mall.store().close().await;
    // Everybody learns that the database is away; only operators learn more.
    let told = readyz(&mall.url(), 503).await;
    assert_eq!(told[0], ("database".to_owned(), None));
    let told = readyz(&mall.admin_url(), 503).await;
    assert!(told[0].1.as_ref().is_some_and(|detail| detail.contains("database")), "{told:?}");
    assert_eq!(told[1].0, "migrations");
    assert_eq!(get(&format!("{}/healthz", mall.url())).await.0, 200, "the process answers");
    mall.stop_as_it_is().await;
}

async fn a_stopping_mall_is_not_ready_and_ends_what_it_began(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (address, admin) = (mall.url().replace("http://", ""), mall.admin_url());
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /vshop_uat/singleVerify HTTP/1.1\r\nhost: {address}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Now the request is in hand: its body is waited for.
    let mut goes_on = [0; 25];
    slow.read_exact(&mut goes_on).await.unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let stopped = tokio::spawn(mall.stop());
    let told = readyz(&admin, 503).await;
    assert_eq!(told, [("serving".to_owned(), Some("it is stopping".to_owned()))]);
    slow.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    stopped.await.unwrap();
}

async fn requests_are_counted_by_route_and_outcome(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let node = mall.another_node(Recipe::default()).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let known = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    for _ in 0..3 {
        call_well(&mall, &shop, &SINGLE_VERIFY, known.clone()).await.accepted();
    }
    let unknown = sample(&SINGLE_VERIFY, "89440000000000000000", "");
    call_well(&mall, &shop, &SINGLE_VERIFY, unknown).await.refused("SIM_UNKNOWN");
    get(&format!("{}/jane.doe@example.com", mall.url())).await;
    let admin = mall.admin_url();
    let verify = r#"route="/vshop_uat/singleVerify",method="POST""#;
    for (labels, count) in [
        (format!(r#"{verify},code="SUCCESS""#), Some(3)),
        (format!(r#"{verify},code="SIM_UNKNOWN""#), Some(1)),
        (r#"route="-",method="GET",code="NOT_FOUND""#.to_owned(), Some(1)),
        (format!(r#"{verify},code="SIGN_MISMATCH""#), None),
    ] {
        let name = format!("simmall_requests_total{{{labels}}}");
        assert_eq!(figure(&admin, &name).await, count, "{name}");
    }
    let seconds = format!("simmall_request_seconds_count{{{verify}}}");
    assert_eq!(figure(&admin, &seconds).await, Some(4));
    let build = format!(r#"simmall_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION"));
    assert_eq!(figure(&admin, &build).await, Some(1));
    assert!(figure(&admin, "process_resident_memory_bytes").await.unwrap() > 1_000_000);
    // Another mall in the same process counts by itself.
    let other = format!("http://{}", node.admin_address.unwrap());
    assert_eq!(figure(&other, &seconds).await, None);
    assert_eq!(get(&format!("{}/metrics", mall.url())).await.0, 404, "figures are the operators'");
    node.stop().await;
    mall.stop().await;
}

/// Reports an order of a SIM as paid, and waits until nothing more happens to it now.
async fn report(mall: &TestMall, shop: &TestPartner, iccid: &str, number: &str) {
    let order = sample(&SYN_ORDER_INFO, iccid, number);
    call_well(mall, shop, &SYN_ORDER_INFO, order).await.accepted();
    mall.settle().await;
}

async fn orders_and_jobs_are_counted(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let slow = mall.add_sim(&shop, "9001", "simulator", SimState::Ready).await;
    let refused = mall.add_sim(&shop, "9002", "simulator", SimState::Ready).await;
    let unclear = mall.add_sim(&shop, "9005", "simulator", SimState::Ready).await;
    for (sim, number) in [(&shop.sims[0], "1"), (&slow, "2"), (&refused, "3"), (&unclear, "4")] {
        report(&mall, &shop, sim, number).await;
    }
    let unpaid = sample(&SINGLE_ORDER, &shop.sims[1], "5");
    call_well(&mall, &shop, &SINGLE_ORDER, unpaid).await.accepted();
    let admin = mall.admin_url();
    let open = async |state: &str| {
        figure(&admin, &format!(r#"simmall_orders_open{{mode="test",state="{state}"}}"#)).await
    };
    assert_eq!(open("awaiting_payment").await, Some(1));
    assert_eq!(open("provisioning").await, Some(1));
    assert_eq!(open("review").await, Some(1));
    for (state, count) in
        [("PAID", 4), ("PROVISIONED", 1), ("FAILED", 1), ("REVIEW", 1), ("AWAITING_PAYMENT", 1)]
    {
        let name = format!(r#"simmall_orders_entered_total{{mode="test",state="{state}"}}"#);
        assert_eq!(figure(&admin, &name).await, Some(count), "{state}");
    }
    // A job that no node here knows, and one that was given up.
    let due = mall.now().as_micros() - 30_000_000;
    let later =
        format!("UPDATE jobs SET kind = 'later', run_at = {due} WHERE kind = 'close_order'");
    assert_eq!(mall.database.execute(&later).await, 1);
    let dead = "UPDATE jobs SET state = 'dead' WHERE kind = 'turn_plan'";
    assert_eq!(mall.database.execute(dead).await, 1);
    let age = r#"simmall_jobs_due_age_seconds{kind="later"}"#;
    assert_eq!(figure(&admin, age).await, None, "figures are kept for ten seconds");
    mall.clock.advance(Span::seconds(10));
    assert_eq!(figure(&admin, age).await, Some(40));
    assert_eq!(figure(&admin, r#"simmall_jobs_due{kind="later"}"#).await, Some(1));
    assert_eq!(figure(&admin, r#"simmall_jobs_dead{kind="turn_plan"}"#).await, Some(1));
    assert_eq!(figure(&admin, r#"simmall_jobs_dead{kind="provision"}"#).await, Some(0));
    let pool = match engine {
        Engine::Sqlite => "writer",
        Engine::Postgres => "postgres",
    };
    let pool = format!(r#"simmall_pool_connections{{pool="{pool}"}}"#);
    assert!(figure(&admin, &pool).await.unwrap() > 0);
    assert!(figure(&admin, r#"simmall_pool_waits_total{to="write"}"#).await.is_some());
    mall.stop().await;
}

async fn wrong_signatures_are_counted_by_cause(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let more = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    let keyless = (Scheme::HmacSha256, "");
    call(&mall, &shop, keyless, &SINGLE_VERIFY, more.clone()).await.refused("SIGN_MISMATCH");
    let guessed = (Scheme::Md5Key, "guessed");
    call(&mall, &shop, guessed, &SINGLE_VERIFY, more).await.refused("SIGN_MISMATCH");
    let admin = mall.admin_url();
    for (name, labels) in [
        ("simmall_sign_mismatches_total", r#"mode="test",scheme="hmac-sha256""#),
        ("simmall_sign_mismatches_total", r#"mode="test",scheme="md5""#),
        ("simmall_sign_mismatch_causes_total", r#"mode="test",cause="key-missing""#),
        ("simmall_sign_mismatch_causes_total", r#"mode="test",cause="unexplained""#),
    ] {
        assert_eq!(figure(&admin, &format!("{name}{{{labels}}}")).await, Some(1), "{labels}");
    }
    mall.stop().await;
}

async fn a_job_belongs_to_the_trace_of_its_request(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let own = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (number, parent, trace) in [
        ("1", Some(format!("00-{own}-00f067aa0ba902b7-01")), Some(own)),
        ("2", Some(format!("00-{own}-0000000000000000-01")), None),
        ("3", None, None),
    ] {
        let unpaid = sample(&SINGLE_ORDER, &shop.sims[1], number);
        let fields = crate::raw::fields(&mall, "SHOP", &SINGLE_ORDER, unpaid);
        let body = crate::raw::signed(Scheme::HmacSha256, &shop.key, fields);
        let answer =
            crate::raw::send(&mall, "POST", "/vshop_uat/singleOrder", |request| match parent {
                Some(parent) => request.header("traceparent", parent).body(json!(body).to_string()),
                None => request.body(json!(body).to_string()),
            });
        let answer = answer.await;
        let request_id = answer.accepted().headers["x-request-id"].to_str().unwrap();
        // A trace that begins here has the digits of the request that begins it.
        let trace = trace.unwrap_or(&request_id[4..]);
        let closes = format!("UPDATE jobs SET run_at = run_at WHERE trace = '{trace}'");
        assert_eq!(mall.database.execute(&closes).await, 1, "{number}");
    }
    mall.stop().await;
}
