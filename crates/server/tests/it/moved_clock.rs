//! The test mode's business time is moved on: what falls due until then happens as it would, once and in its order. Real
//! time, and live mode, stay where they are.

use std::time::Duration;

use domain::{Mode, Role, Span, Timestamp};
use serde_json::{Value, json};
use server::Running;
use store::{JobKind, NewJob};
use testkit::{AdminClient, Engine, Recipe, TestMall, on_both_engines};

use crate::binary::process::{run, simmall};
use crate::payments::{authorised, balance, status, with_stripe};
use crate::steps::{client_at, queue};
use crate::subscriptions::{ordered, renewals, subscribe};

on_both_engines!(
    a_subscription_goes_on_as_the_clock_is_moved,
    a_card_that_fails_is_dunned_by_the_moved_clock,
    what_falls_due_comes_in_its_order,
    other_nodes_have_the_same_time,
    a_lease_is_not_drawn_nearer,
    what_cannot_be_moved_is_said,
);

/// Moves the test mode's clock on; gives how often that had to be asked.
async fn advance(mall: &TestMall, by: Span) -> u32 {
    let admin = mall.admin(Role::Operator).await;
    let to = (mall.mall().now(Mode::Test) + by).rfc3339();
    for asked in 1..200 {
        let clock = admin.post("/test/clock", &json!({"to": to})).await.done();
        if clock["is_there"] == true {
            return asked;
        }
    }
    panic!("the clock does not come there")
}

async fn a_subscription_goes_on_as_the_clock_is_moved(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let real = mall.now();
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    subscribe(&client, &pay_id, &pm).await;
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    advance(&mall, Span::days(92)).await;
    mall.settle_payments().await;
    assert_eq!(renewals(&mall, &partner, "N1").await, 3);
    assert_eq!(balance(&mall, &partner, "sales").await, -4_000);
    let journal = mall.stripe().journal();
    assert_eq!(journal.charged.values().sum::<i64>(), 4_000);
    assert!(journal.refunded.is_empty(), "{journal:?}");
    // One runs; each began when the one before it ended.
    let runs = client.single_query_order(&partner.sims[0]).await.unwrap();
    assert_eq!(runs.order_list.len(), 1, "{runs:?}");
    let mut tx = mall.store().read().await.unwrap();
    let sim = partner.sims[0].parse().unwrap();
    let (_, orders) =
        tx.orders_of_sim(Mode::Test, partner.partner.id, &sim, (100, 0)).await.unwrap();
    drop(tx);
    let made: Vec<Timestamp> = orders.iter().rev().map(|order| order.created_at).collect();
    for pair in made.windows(2) {
        let days = pair[1].since(pair[0]).as_micros() / Span::days(1).as_micros();
        assert_eq!(days, 30, "{made:?}");
    }
    // What is signed, and live mode, know nothing of it.
    assert_eq!(mall.now(), real);
    assert_eq!(mall.mall().now(Mode::Live), real);
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    mall.stop().await;
}

async fn a_card_that_fails_is_dunned_by_the_moved_clock(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let card = "pm_card_chargeCustomerFail";
    let (pay_id, good) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    let made = subscribe(&client, &pay_id, &good).await;
    mall.settle_payments().await;
    let form = [("customer", made.customer_id.as_str())];
    let (_, bad) = mall.stripe().call(&format!("payment_methods/{card}/attach"), &form).await;
    let form = [("default_payment_method", bad["id"].as_str().unwrap())];
    let (code, told) = mall.stripe().call(&format!("subscriptions/{}", made.sub_id), &form).await;
    assert_eq!(code, 200, "{told}");
    advance(&mall, Span::days(31)).await;
    mall.settle_payments().await;
    let records = client.query_auto_renewal_record_list(&partner.sims[0]).await.unwrap();
    assert_eq!(records.record_list[0].last_result, "failed", "{records:?}");
    // The tries of some weeks are over, and with them the subscription.
    advance(&mall, Span::days(40)).await;
    mall.settle_payments().await;
    let records = client.query_auto_renewal_record_list(&partner.sims[0]).await.unwrap();
    assert_eq!(records.record_list[0].status, "CANCELLED", "{records:?}");
    assert_eq!(renewals(&mall, &partner, "N1").await, 0);
    assert_eq!(mall.stripe().journal().charged.values().sum::<i64>(), 1_000);
    mall.stop().await;
}

async fn what_falls_due_comes_in_its_order(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let mut paid = partner.paid_order(&partner.sims[1], "R1");
    paid.order.auto_renewal = true;
    client.syn_order_info(&paid).await.unwrap();
    mall.settle().await;
    let (_, intent) = authorised((&partner, &client), "N1").await;
    let token = mall.add_token("Olga", Role::Operator).await;
    let clock = |line: &str| {
        let mut command = simmall(["admin", "clock"]);
        command.args(line.split(' ')).env("SIMMALL_ADMIN_URL", mall.admin_url());
        command.env("SIMMALL_ADMIN_TOKEN", &token).env("SIMMALL_MODE", "test");
        run(&mut command, "").success()
    };
    // Half an hour closes what is not paid, and cancels it at Stripe.
    assert!(clock("advance 31m").contains("ahead_seconds  1860"));
    assert_eq!(status(&client, "N1").await, "CLOSED");
    assert_eq!(mall.stripe().pay(&intent, "pm_card_visa").await, "canceled");
    assert_eq!(queue(&client, &partner.sims[1]).await.len(), 1);
    // The plan of thirty days ends, and a day later its renewal is missed.
    clock("advance 30d");
    assert!(queue(&client, &partner.sims[1]).await.is_empty());
    let last = async || {
        let records = client.query_auto_renewal_record_list(&partner.sims[1]).await.unwrap();
        records.record_list[0].last_result.clone()
    };
    assert_eq!(last().await, "");
    clock("advance 25h");
    assert_eq!(last().await, "failed");
    // A late one heals it; it is dated as the mode's time is.
    let mut late = partner.paid_order(&partner.sims[1], "R2");
    late.order.auto_renewal = true;
    late.org_order_id = "R1".into();
    client.syn_order_info(&late).await.unwrap();
    mall.settle().await;
    assert_eq!(last().await, "success");
    let shown: Value = serde_json::from_str(&clock("show --json")).unwrap();
    assert_eq!(shown["ahead_seconds"], 31 * 60 + 30 * 86_400 + 25 * 3_600);
    let made = client.order("R2").await.unwrap().created_at;
    assert_eq!(made, mall.mall().now(Mode::Test).as_millis());
    // An order of the mode's time to come is not from the future.
    let newest = mall.store().read().await.unwrap().newest_row_at().await.unwrap();
    assert_eq!(newest, Some(mall.now()));
    assert_moves_are_noted(&mall, Span::minutes(31) + Span::days(30) + Span::minutes(25 * 60))
        .await;
    mall.stop().await;
}

/// The audit log has the whole way of the clock. A slow machine needs more requests for it than the three that were meant,
/// and each is noted: it begins where the one before it ended.
async fn assert_moves_are_noted(mall: &TestMall, whole: Span) {
    let entries = mall.admin(Role::Owner).await.all("/audit?action=clock.move", 50).await;
    let time = |side: &Value| Timestamp::parse_rfc3339(side["now"].as_str().unwrap()).unwrap();
    let mut moves: Vec<(Timestamp, Timestamp)> =
        entries.iter().map(|entry| (time(&entry["before"]), time(&entry["after"]))).collect();
    moves.sort_unstable();
    assert!(moves.len() >= 3, "{entries:?}");
    let mut there = mall.now();
    for (before, after) in moves {
        assert!(before == there && after > before, "{entries:?}");
        there = after;
    }
    assert_eq!(there, mall.now() + whole, "{entries:?}");
}

/// Waits until a node's time is the mall's: it hears of it at its next look for jobs, which may be late on a slow machine.
async fn until_it_knows(node: &Running, mall: &TestMall) {
    for _ in 0..20_000 {
        if node.mall.now(Mode::Test) == mall.mall().now(Mode::Test) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a node does not hear that the clock was moved");
}

async fn other_nodes_have_the_same_time(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let node = mall.another_node(Recipe::default()).await;
    advance(&mall, Span::days(10)).await;
    until_it_knows(&node, &mall).await;
    let other = client_at(&node, &mall, &partner);
    other.syn_order_info(&partner.paid_order(&partner.sims[0], "A")).await.unwrap();
    let late = mall.another_node(Recipe::default()).await;
    let newest = client_at(&late, &mall, &partner);
    newest.syn_order_info(&partner.paid_order(&partner.sims[0], "B")).await.unwrap();
    for number in ["A", "B"] {
        let made = newest.order(number).await.unwrap().created_at;
        assert_eq!(made, (mall.now() + Span::days(10)).as_millis(), "{number}");
    }
    // Its plans end by the mode's time, whichever node turns them.
    advance(&mall, Span::days(61)).await;
    until_it_knows(&node, &mall).await;
    until_it_knows(&late, &mall).await;
    assert!(queue(&newest, &partner.sims[0]).await.is_empty());
    node.stop().await;
    late.stop().await;
    mall.stop().await;
}

/// Whoever runs a job meanwhile has it still; what only waits comes.
async fn a_lease_is_not_drawn_nearer(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    // Far enough ahead that the mall's own workers leave them alone.
    let later = mall.now() + Span::days(300);
    let job = |kind, subject: &str, claimed: bool| NewJob {
        mode: Mode::Test,
        partner_id: partner.partner.id,
        kind,
        subject: subject.to_owned(),
        trace: String::new(),
        run_at: later,
        claimed_at: claimed.then_some(mall.now()),
    };
    let mut tx = mall.store().begin().await.unwrap();
    let jobs = [
        job(JobKind::TurnPlan, "leased", true),
        job(JobKind::TurnPlan, "waits", false),
        // It speaks with a network, whose time is real.
        job(JobKind::LookAtSim, "real", false),
    ];
    tx.insert_jobs(&jobs, mall.now()).await.unwrap();
    assert!(tx.move_clock(Mode::Test, Span::micros(0), Span::days(100)).await.unwrap());
    assert!(!tx.move_clock(Mode::Test, Span::micros(0), Span::days(100)).await.unwrap());
    let next = tx.next_by_clock(Mode::Test, mall.now()).await.unwrap();
    assert_eq!(next, Some(later - Span::days(100)));
    for (kind, subject, at) in [
        (JobKind::TurnPlan, "leased", later),
        (JobKind::TurnPlan, "waits", later - Span::days(100)),
        (JobKind::LookAtSim, "real", later),
    ] {
        let whose = (Mode::Test, partner.partner.id);
        let record = tx.job_record(whose, kind.job_id(subject)).await.unwrap().unwrap();
        assert_eq!(record.run_at, at, "{subject}");
    }
    drop(tx);
    mall.stop().await;
}

async fn what_cannot_be_moved_is_said(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin: AdminClient = mall.admin(Role::Operator).await;
    let to = |time: &str| json!({ "to": time });
    let live = admin.post("/live/clock", &to("2024-04-10T08:00:00Z")).await;
    assert_eq!(live.code(409), "CLOCK_IS_REAL");
    for bad in ["tomorrow", "", "2034-04-10T08:00:00Z"] {
        assert_eq!(admin.post("/test/clock", &to(bad)).await.wrong_fields(), ["to"], "{bad}");
    }
    assert_eq!(admin.post("/test/clock", &json!({})).await.wrong_fields(), ["to"]);
    // A time that is over changes nothing.
    let clock = admin.post("/test/clock", &to("2024-01-01T00:00:00Z")).await.done();
    assert_eq!((&clock["is_there"], &clock["ahead_seconds"]), (&json!(true), &json!(0)));
    let viewer = mall.admin(Role::Viewer).await;
    assert_eq!(viewer.get("/live/clock").await.done()["ahead_seconds"], 0);
    assert_eq!(viewer.post("/test/clock", &to("2024-04-10T08:00:00Z")).await.status, 403);
    let mut slip = simmall(["admin", "clock", "advance", "a month", "--mode", "test"]);
    let ended = run(&mut slip, "");
    assert!(ended.code == Some(2) && ended.stderr.contains("such as 30d"), "{ended:?}");
    mall.stop().await;
}
