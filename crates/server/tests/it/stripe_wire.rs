//! The line to Stripe fails, call by call and in every way that a line can: nobody is charged twice, nothing that was
//! paid is lost, and the books fit Stripe's.

mod ways;

use std::collections::BTreeSet;
use std::time::Duration;

use domain::{Span, Timestamp};
use testkit::{Calls, Engine, Network, Recipe, TestMall, WireFault, on_both_engines};
use upstream::Protocol;

use crate::payments::{balance, status};
use ways::{CARRIER, Expected, Run, Way};

on_both_engines!(
    paid_once,
    closed_unpaid,
    found_when_the_key_is_forgotten,
    renewed_and_ended,
    subscribed_without_an_answer,
    given_back,
    taken_back_by_a_bank,
    when_the_whole_line_fails,
    a_try_that_arrives_late_is_found,
    another_name_holds_up_no_offer,
);

/// How long a call may take in these stories: longer than one that nothing befalls takes on a slow machine.
const CALL_MAX: Span = Span::seconds(1);
/// All that befalls a call. A slow one is answered in time.
const FAULTS: [WireFault; 8] = [
    WireFault::Slow(Duration::from_millis(20)),
    WireFault::Cut(400),
    WireFault::AnswerLost,
    WireFault::ResetAfter,
    WireFault::Silent,
    WireFault::ResetBefore,
    WireFault::BlackHole,
    WireFault::Held,
];
/// Every call that the mall makes, and the way on which it goes wrong. One that is missing here fails the stories.
const CALLS: [(&str, Way); 20] = [
    ("POST /v1/customers", Way::Once),
    ("POST /v1/payment_intents", Way::Once),
    ("POST /v1/payment_intents/*", Way::Once),
    ("GET /v1/payment_intents/*", Way::Once),
    ("POST /v1/ephemeral_keys", Way::Once),
    ("POST /v1/payment_intents/*/cancel", Way::Closed),
    ("GET /v1/payment_intents", Way::Forgotten),
    ("POST /v1/setup_intents", Way::Renewed),
    ("GET /v1/setup_intents/*", Way::Renewed),
    ("POST /v1/products", Way::Renewed),
    ("POST /v1/prices", Way::Renewed),
    ("POST /v1/subscriptions", Way::Renewed),
    ("GET /v1/subscriptions/*", Way::Renewed),
    ("GET /v1/invoices", Way::Renewed),
    ("DELETE /v1/subscriptions/*", Way::Renewed),
    ("GET /v1/subscriptions", Way::Unanswered),
    ("POST /v1/refunds", Way::Refunded),
    ("GET /v1/refunds/*", Way::Refunded),
    ("GET /v1/refunds", Way::Refunded),
    ("GET /v1/disputes", Way::Disputed),
];

/// A mall whose line to Stripe can fail, and whose plans are a network's.
async fn start(engine: Engine) -> TestMall {
    let networks = vec![Network::new(CARRIER, Protocol::EsimAccess)];
    let stripe_line = Some(CALL_MAX);
    let recipe = Recipe { networks, stripe: true, stripe_line, ..Recipe::default() };
    TestMall::with(engine, recipe).await
}

/// Goes a way for each of its calls and each fault.
async fn with_every_fault(engine: Engine, way: Way) {
    let mall = start(engine).await;
    let (mut number, mut runs) = (0, Vec::new());
    for (place, (call, _)) in CALLS.iter().filter(|(_, of)| *of == way).enumerate() {
        for (fault_place, fault) in FAULTS.into_iter().enumerate() {
            // The long ways are gone in one of their variants each.
            let both = !matches!(way, Way::Once | Way::Renewed);
            let odd = (place + fault_place) % 2 == 1;
            let variants = if both { vec![false, true] } else { vec![odd] };
            for is_odd in variants {
                number += 1;
                let before = mall.stripe().line().befallen();
                let calls = Calls::Of((*call).to_owned());
                let run = Run::new(&mall, (number, is_odd), (calls, fault)).await;
                let expected = run.go(way).await;
                assert!(mall.stripe().line().befallen() > before, "{call} is not met: {fault:?}");
                run.check(&expected).await;
                runs.push(run);
            }
        }
    }
    assert_known(&mall);
    assert_books(&mall, &runs).await;
    if way == Way::Renewed {
        assert_no_differences_where_money_moved(&mall).await;
    } else {
        assert_no_differences(&mall).await;
    }
    mall.stop_as_it_is().await;
}

/// A node whose line does not fail finds nothing wrong on any day.
async fn assert_no_differences(mall: &TestMall) {
    let node = mall.another_node(Recipe { stripe: true, ..Recipe::default() }).await;
    assert_eq!(mall.differences_seen_by(&node.mall).await, []);
    node.stop().await;
}

/// The same of the days on which money moved at Stripe: years pass in some stories, with nothing on most of their days.
async fn assert_no_differences_where_money_moved(mall: &TestMall) {
    let node = mall.another_node(Recipe { stripe: true, ..Recipe::default() }).await;
    let lines = mall.stripe().all("balance_transactions").await;
    let moved_at = lines.iter().map(|line| line["created"].as_i64().unwrap());
    let date = |at: i64| Timestamp::from_micros(at * 1_000_000).rfc3339()[..10].to_owned();
    let dates: BTreeSet<String> = moved_at.map(date).collect();
    assert!(!dates.is_empty());
    let dates: Vec<String> = dates.into_iter().collect();
    assert_eq!(mall.differences_of_days(&node.mall, &dates).await, []);
    node.stop().await;
}

/// The table has every call that was made.
fn assert_known(mall: &TestMall) {
    for (shape, _) in mall.stripe().line().seen() {
        let known = CALLS.iter().any(|(call, _)| *call == shape);
        assert!(known, "{shape} is made, and no story lets it fail: add it to CALLS");
    }
}

/// The books have what moved at Stripe, to the cent.
async fn assert_books(mall: &TestMall, runs: &[Run<'_>]) {
    let (mut booked, mut fees) = (0, 0);
    for run in runs {
        booked += balance(mall, &run.partner, "stripe_balance").await;
        fees += balance(mall, &run.partner, "stripe_fees").await;
    }
    let (mut net, mut kept) = (0, 0);
    for moved in mall.stripe().all("balance_transactions").await {
        let fee = moved["fee"].as_i64().unwrap();
        net += moved["amount"].as_i64().unwrap() - fee;
        kept += fee;
    }
    assert_eq!((booked, fees), (net, kept), "the books, and Stripe's");
    assert_eq!(mall.store().read().await.unwrap().ledger_faults().await.unwrap(), []);
    for (mode, money, plans) in mall.mall().imbalance().await.unwrap() {
        assert_eq!((money, plans), (0, 0), "{mode}");
    }
}

async fn paid_once(engine: Engine) {
    with_every_fault(engine, Way::Once).await;
}

async fn closed_unpaid(engine: Engine) {
    with_every_fault(engine, Way::Closed).await;
}

async fn found_when_the_key_is_forgotten(engine: Engine) {
    with_every_fault(engine, Way::Forgotten).await;
}

async fn renewed_and_ended(engine: Engine) {
    with_every_fault(engine, Way::Renewed).await;
}

async fn subscribed_without_an_answer(engine: Engine) {
    with_every_fault(engine, Way::Unanswered).await;
}

async fn given_back(engine: Engine) {
    with_every_fault(engine, Way::Refunded).await;
}

async fn taken_back_by_a_bank(engine: Engine) {
    with_every_fault(engine, Way::Disputed).await;
}

async fn when_the_whole_line_fails(engine: Engine) {
    let mall = start(engine).await;
    let (mut number, mut runs) = (0, Vec::new());
    for way in [Way::Once, Way::Closed, Way::Renewed, Way::Refunded] {
        for fault in FAULTS {
            number += 1;
            let run = Run::new(&mall, (number, number % 2 == 1), (Calls::Every, fault)).await;
            let expected = run.go(way).await;
            run.check(&expected).await;
            runs.push(run);
        }
    }
    assert_known(&mall);
    assert_books(&mall, &runs).await;
    assert_no_differences_where_money_moved(&mall).await;
    mall.stop_as_it_is().await;
}

/// A call that its caller gave up on is done at last, when the mall has looked for what came of it already.
async fn a_try_that_arrives_late_is_found(engine: Engine) {
    for comes_again in [false, true] {
        arrives_late(engine, comes_again).await;
    }
}

async fn arrives_late(engine: Engine, comes_again: bool) {
    let mall = start(engine).await;
    let line = mall.stripe().line();
    mall.stripe().webhooks(true, false).await;
    let subscribing = || Calls::Of("POST /v1/subscriptions".to_owned());
    let run = Run::new(&mall, (1, true), (subscribing(), WireFault::ResetBefore)).await;
    let (pay_id, card) = run.ordered_with_card().await;
    // The first try does not arrive, the second one is on the way as nothing more is expected of the first.
    line.fault(subscribing(), WireFault::ResetBefore, (1, 1));
    line.fault(subscribing(), WireFault::Held, (2, u64::MAX));
    assert!(run.subscribe(&pay_id, &card).await.is_err());
    mall.advance(Span::seconds(5)).await;
    mall.advance(Span::seconds(119)).await;
    assert!(run.subscribe(&pay_id, &card).await.is_err());
    mall.advance(Span::seconds(2)).await;
    line.no_faults();
    line.release();
    run.wait_for("subscriptions").await;
    if comes_again {
        // With another card, which is not charged any more.
        let other = run.attached("pm_card_mastercard").await;
        let subscribe = async || run.subscribe(&pay_id, &other).await;
        assert_eq!(run.until_done(&subscribe).await.status, "active");
    }
    for _ in 0..10 {
        mall.advance(Span::minutes(1)).await;
    }
    mall.advance(Span::minutes(30)).await;
    assert_eq!(status(&run.client, &run.number).await, "PROVISIONED");
    run.check(&Expected { subscriptions: 1, ..Expected::default() }).await;
    let again = async || run.subscribe(&pay_id, &card).await;
    assert_eq!(run.until_done(&again).await.status, "active");
    assert_no_differences(&mall).await;
    mall.stop_as_it_is().await;
}

/// What was begun for one order under a key of the offer is not held against the next one's words.
async fn another_name_holds_up_no_offer(engine: Engine) {
    let mall = start(engine).await;
    let line = mall.stripe().line();
    let first = Run::new(&mall, (1, true), (Calls::Every, WireFault::ResetBefore)).await;
    let (pay_id, card) = first.ordered_with_card().await;
    line.fault(Calls::Of("POST /v1/prices".to_owned()), WireFault::ResetBefore, (1, u64::MAX));
    assert!(first.subscribe(&pay_id, &card).await.is_err());
    line.no_faults();
    let second = first.beside("N2", "Europa, 30 Tage").await;
    let (pay_id, card) = second.ordered_with_card().await;
    let mut tries = 0;
    while second.subscribe(&pay_id, &card).await.is_err() {
        tries += 1;
        assert!(tries < 3, "the offer's key is another name's");
    }
    mall.settle_payments().await;
    second.check(&Expected { subscriptions: 1, ..Expected::default() }).await;
    assert_no_differences(&mall).await;
    mall.stop_as_it_is().await;
}
