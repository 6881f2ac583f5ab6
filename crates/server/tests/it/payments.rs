//! Payments through Stripe, played: each is taken once, whatever is lost, doubled or late on the way.

use std::sync::Arc;

use domain::order::OrderEvent;
use domain::sim::SimState;
use domain::{Mode, Span};
use mall::Mall;
use sdk::Client;
use testkit::{Engine, Recipe, TestMall, TestPartner, on_both_engines};

use crate::steps::{at_once, code, settle_nodes};

on_both_engines!(
    a_card_pays_and_the_plan_is_there,
    without_events_it_is_found_all_the_same,
    a_declined_card_can_be_followed_by_another,
    the_amount_and_the_payment_must_be_the_orders,
    what_is_closed_cannot_be_paid,
    a_payment_under_way_is_waited_for,
    a_fee_that_is_told_late_is_booked,
    money_that_comes_after_all_is_kept_or_given_back,
    events_of_others_are_refused,
    whatever_fails_is_charged_once,
    many_triggers_take_the_money_once,
);

/// How many triggers come at once.
const TRIGGERS: usize = 64;

pub(crate) async fn with_stripe(engine: Engine) -> (TestMall, TestPartner, Client) {
    let mall = TestMall::with(engine, Recipe { stripe: true, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    (mall, partner, client)
}

/// An order of 10.00 EUR whose payment was authorised; gives the payment's number and the intent.
pub(crate) async fn authorised(
    (partner, client): (&TestPartner, &Client),
    number: &str,
) -> (String, String) {
    let order = partner.order(&partner.sims[0], number);
    client.single_order(&order).await.unwrap();
    let auth = client.stripe_single_auth(&order.pay_id, ("10.00", "EUR"), "").await.unwrap();
    (order.pay_id, auth.payment_intent_id)
}

pub(crate) async fn result(client: &Client, pay_id: &str) -> String {
    client.result_query(pay_id).await.unwrap().pay_rst
}

pub(crate) async fn status(client: &Client, number: &str) -> String {
    client.order(number).await.unwrap().status
}

/// The balance of an account of the partner's books.
pub(crate) async fn balance(mall: &TestMall, partner: &TestPartner, account: &str) -> i64 {
    let key = (account.to_owned(), "EUR".to_owned());
    partner.ledger(mall).await.get(&key).copied().unwrap_or_default()
}

async fn a_card_pays_and_the_plan_is_there(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let order = partner.order(&partner.sims[0], "N1");
    client.single_order(&order).await.unwrap();
    let auth = async |email: &str| {
        client.stripe_single_auth(&order.pay_id, ("10.00", "eur"), email).await.unwrap()
    };
    let first = auth("").await;
    assert_eq!(first.publishable_key, "pk_test_key");
    assert!(first.client_secret.starts_with(&first.payment_intent_id), "{first:?}");
    let again = auth("jane@example.com").await;
    assert_eq!(
        (&again.payment_intent_id, &again.client_secret, &again.customer_id),
        (&first.payment_intent_id, &first.client_secret, &first.customer_id)
    );
    assert_ne!(again.ephemeral_key, first.ephemeral_key);
    assert_eq!(result(&client, &order.pay_id).await, "processing");

    assert_eq!(mall.stripe().pay(&first.payment_intent_id, "pm_card_visa").await, "succeeded");
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    let answer = client.result_query(&order.pay_id).await.unwrap();
    assert_eq!((answer.pay_rst.as_str(), answer.pay_amount.as_str()), ("success", "€10.00"));
    assert_eq!(mall.stripe().journal().charged, [(first.payment_intent_id, 1_000)].into());
    // 2.9 % and 30 cents.
    assert_eq!(balance(&mall, &partner, "stripe_balance").await, 1_000 - 59);
    assert_eq!(balance(&mall, &partner, "stripe_fees").await, 59);
    assert_eq!(balance(&mall, &partner, "sales").await, -1_000);
    // A SIM has one customer, another SIM another one.
    let other = partner.order(&partner.sims[1], "N2");
    client.single_order(&other).await.unwrap();
    let other = client.stripe_single_auth(&other.pay_id, ("10.00", "EUR"), "").await.unwrap();
    assert_ne!(other.customer_id, first.customer_id);
    let third = authorised((&partner, &client), "N3").await;
    assert_ne!(third.1, other.payment_intent_id);
    mall.stop().await;
}

/// Payments that nothing tells of are found in three ways, whoever stands in Stripe's place.
pub(crate) async fn found_without_events(
    (mall, partner, client): (&TestMall, &TestPartner, &Client),
    pay: impl AsyncFn(&str),
) {
    // Found by a client that asks.
    let (pay_id, intent) = authorised((partner, client), "N1").await;
    assert_eq!(result(client, &pay_id).await, "processing");
    pay(&intent).await;
    assert_eq!(result(client, &pay_id).await, "processing", "asked less than 5 s ago");
    mall.clock.advance(Span::seconds(5));
    assert_eq!(result(client, &pay_id).await, "success");
    // Found at once if the client says that its SDK is done.
    let (pay_id, intent) = authorised((partner, client), "N2").await;
    pay(&intent).await;
    assert_eq!(client.result_confirm(&pay_id).await.unwrap().pay_rst, "success");
    // Found without any client.
    let (_, intent) = authorised((partner, client), "N3").await;
    pay(&intent).await;
    mall.advance(Span::seconds(5)).await;
    for number in ["N1", "N2", "N3"] {
        assert_eq!(status(client, number).await, "PROVISIONED", "{number}");
    }
    assert_eq!(balance(mall, partner, "sales").await, -3_000);
}

async fn without_events_it_is_found_all_the_same(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    mall.stripe().webhooks(true, false).await;
    let pay = async |intent: &str| {
        assert_eq!(mall.stripe().pay(intent, "pm_card_visa").await, "succeeded");
    };
    found_without_events((&mall, &partner, &client), pay).await;
    assert_eq!(mall.stripe().journal().charged.len(), 3);
    mall.stop().await;
}

async fn a_declined_card_can_be_followed_by_another(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, intent) = authorised((&partner, &client), "N1").await;
    for card in ["pm_card_chargeDeclined", "4000000000009995"] {
        assert_eq!(mall.stripe().pay(&intent, card).await, "requires_payment_method");
        mall.settle_payments().await;
        assert_eq!(result(&client, &pay_id).await, "processing");
        assert_eq!(status(&client, "N1").await, "AWAITING_PAYMENT");
    }
    // One that has to be proved.
    assert_eq!(mall.stripe().pay(&intent, "4000002760003184").await, "succeeded");
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    mall.stop().await;
}

async fn the_amount_and_the_payment_must_be_the_orders(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let order = partner.order(&partner.sims[0], "N1");
    client.single_order(&order).await.unwrap();
    let auth = async |pay_id: &str, amount: (&str, &str), email: &str| {
        code(client.stripe_single_auth(pay_id, amount, email).await)
    };
    assert_eq!(auth(&order.pay_id, ("10.01", "EUR"), "").await, "PRICE_MISMATCH");
    assert_eq!(auth(&order.pay_id, ("10.00", "USD"), "").await, "CURRENCY_MISMATCH");
    assert_eq!(auth("unknown", ("10.00", "EUR"), "").await, "PAYMENT_UNKNOWN");
    assert_eq!(auth(&order.pay_id, ("ten", "EUR"), "").await, "BAD_REQUEST");
    // What the partner was paid for is not this cashier's.
    let reported = partner.paid_order(&partner.sims[0], "N2");
    client.syn_order_info(&reported).await.unwrap();
    assert_eq!(auth(&reported.order.pay_id, ("10.00", "EUR"), "").await, "PAYMENT_UNKNOWN");
    // A receipt that goes nowhere holds up no payment.
    assert_eq!(auth(&order.pay_id, ("10.00", "EUR"), "not an address").await, "ok");
    mall.stop().await;
    // No money is taken where there is no account.
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    client.single_order(&partner.order(&partner.sims[0], "N1")).await.unwrap();
    let refused = client.stripe_single_auth("P100N1", ("10.00", "EUR"), "").await;
    assert_eq!(code(refused), "PAYMENT_PROVIDER_UNAVAILABLE");
    mall.stop().await;
}

async fn what_is_closed_cannot_be_paid(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, intent) = authorised((&partner, &client), "N1").await;
    mall.advance(Span::minutes(31)).await;
    assert_eq!(status(&client, "N1").await, "CLOSED");
    assert_eq!(result(&client, &pay_id).await, "closed");
    assert_ne!(mall.stripe().pay(&intent, "pm_card_visa").await, "succeeded");
    assert!(mall.stripe().journal().charged.is_empty());
    // What was never begun is not begun any more.
    client.single_order(&partner.order(&partner.sims[0], "N2")).await.unwrap();
    mall.advance(Span::minutes(31)).await;
    let refused = client.stripe_single_auth("P100N2", ("10.00", "EUR"), "").await;
    assert_eq!(code(refused), "ORDER_CONFLICT");
    mall.stop().await;
}

async fn a_payment_under_way_is_waited_for(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, intent) = authorised((&partner, &client), "N1").await;
    let slow =
        serde_json::json!({"kind": "late_success", "delay_seconds": 3_600, "path": "/v1/*confirm"});
    mall.stripe().control("faults", slow).await;
    let form = [("payment_method", "pm_card_visa"), ("use_stripe_sdk", "true")];
    let (_, paying) = mall.stripe().call(&format!("payment_intents/{intent}/confirm"), &form).await;
    assert_eq!(paying["status"], "processing");
    mall.advance(Span::minutes(45)).await;
    // Nobody can cancel what the bank has in hand: the order is not closed over it.
    assert_eq!(status(&client, "N1").await, "AWAITING_PAYMENT");
    assert_eq!(result(&client, &pay_id).await, "processing");
    for _ in 0..5 {
        mall.advance(Span::minutes(30)).await;
        mall.stripe().told().await;
    }
    mall.settle().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    mall.stop().await;
}

async fn a_fee_that_is_told_late_is_booked(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    mall.stripe().webhooks(true, false).await;
    let (pay_id, intent) = authorised((&partner, &client), "N1").await;
    let late =
        serde_json::json!({"kind": "late_fee", "delay_seconds": 86_400, "path": "/v1/*confirm"});
    mall.stripe().control("faults", late).await;
    let form = [("payment_method", "pm_card_visa"), ("use_stripe_sdk", "true")];
    let (_, paid) = mall.stripe().call(&format!("payment_intents/{intent}/confirm"), &form).await;
    assert_eq!(paid["status"], "succeeded");
    mall.advance(Span::minutes(1)).await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    assert_eq!(result(&client, &pay_id).await, "success");
    assert_eq!(balance(&mall, &partner, "stripe_fees").await, 0);
    // No event tells of it: it is asked for.
    mall.advance(Span::days(1)).await;
    mall.advance(Span::minutes(61)).await;
    assert_eq!(balance(&mall, &partner, "stripe_fees").await, 59);
    mall.stop().await;
}

async fn money_that_comes_after_all_is_kept_or_given_back(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    for (number, still_sold) in [("N1", true), ("N2", false)] {
        let (pay_id, intent) = authorised((&partner, &client), number).await;
        // As if it had been closed without a word to Stripe.
        let mut tx = mall.store().begin().await.unwrap();
        let id = partner.partner.id;
        let order = tx.order_by_pay_id(Mode::Test, id, &pay_id).await.unwrap();
        let mut order = order.unwrap();
        let closed = order.state.clone().on(OrderEvent::TimedOut).unwrap();
        tx.update_order(&mut order, closed).await.unwrap();
        tx.commit().await.unwrap();
        if !still_sold {
            let (mut tx, iccid) =
                (mall.store().begin().await.unwrap(), partner.sims[0].parse().unwrap());
            tx.set_sim_state(Mode::Test, id, &iccid, SimState::Terminated).await.unwrap();
            tx.commit().await.unwrap();
        }
        mall.stripe().pay(&intent, "pm_card_visa").await;
        mall.settle_payments().await;
        let (expected, outcome) =
            if still_sold { ("PROVISIONED", "success") } else { ("REFUNDED", "refunded") };
        assert_eq!(status(&client, number).await, expected);
        assert_eq!(result(&client, &pay_id).await, outcome);
        let gone = mall.stripe().journal().refunded.get(&intent).copied();
        assert_eq!(gone, (!still_sold).then_some(1_000));
    }
    // Both fees stay.
    assert_eq!(balance(&mall, &partner, "stripe_balance").await, 1_000 - 59 - 59);
    assert_eq!(balance(&mall, &partner, "sales").await, -1_000);
    mall.stop().await;
}

async fn events_of_others_are_refused(engine: Engine) {
    let (mall, _, _) = with_stripe(engine).await;
    let body = r#"{"id":"evt_1","type":"payment_intent.succeeded","created":1,"livemode":false}"#;
    for (path, expected) in
        [("/stripe/webhook/test", 400), ("/stripe/webhook/live", 404), ("/stripe/webhook/uat", 404)]
    {
        let (status, answer) = mall.post(path, body).await;
        assert_eq!((status, answer["operateCode"].as_str()), (expected, Some("F")), "{path}");
    }
    mall.stop().await;
}

async fn whatever_fails_is_charged_once(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let calls = [
        ("POST", "/v1/customers"),
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/ephemeral_keys"),
        ("GET", "/v1/payment_intents"),
    ];
    let kinds = ["drop_before", "drop_after", "status", "status_after", "delay"];
    let mut number = 0;
    for (method, path) in calls {
        for kind in kinds {
            number += 1;
            let sim = mall.add_sim(&partner, "", "simulator", SimState::Ready).await;
            let order = partner.order(&sim, &format!("N{number}"));
            client.single_order(&order).await.unwrap();
            mall.stripe().fault(kind, (method, path), 2).await;
            let mut tries = 0;
            let auth = loop {
                match client.stripe_single_auth(&order.pay_id, ("10.00", "EUR"), "").await {
                    Ok(auth) => break auth,
                    Err(error) => {
                        assert_eq!(
                            error.code(),
                            Some("PAYMENT_PROVIDER_UNAVAILABLE"),
                            "{kind} {path}"
                        );
                    }
                }
                tries += 1;
                assert!(tries < 5, "{kind} {path}");
                mall.advance(Span::seconds(1)).await;
            };
            mall.stripe().no_faults().await;
            mall.stripe().pay(&auth.payment_intent_id, "pm_card_visa").await;
            mall.settle_payments().await;
            mall.advance(Span::minutes(2)).await;
            assert_eq!(status(&client, &order.order_no).await, "PROVISIONED", "{kind} {path}");
        }
    }
    let journal = mall.stripe().journal();
    assert_eq!(journal.charged.len(), number);
    assert!(journal.charged.values().all(|amount| *amount == 1_000) && journal.refunded.is_empty());
    let intents = mall.stripe().count("payment_intents").await;
    assert_eq!(intents, number, "an order has one intent, whatever failed");
    mall.stop().await;
}

/// How many rounds one partner sees.
const ROUNDS_OF_PARTNER: usize = 50;

/// How many rounds on each engine; others with `TRIGGER_ROUNDS`.
fn rounds() -> usize {
    std::env::var("TRIGGER_ROUNDS").map_or(1_000, |text| text.parse().unwrap())
}

async fn many_triggers_take_the_money_once(engine: Engine) {
    let mall = TestMall::with(engine, Recipe { stripe: true, ..Recipe::default() }).await;
    let node = mall.another_node(Recipe { stripe: true, ..Recipe::default() }).await;
    mall.stripe().webhooks(false, true).await;
    let rounds = rounds();
    // A partner for a part of them each: what a SIM has in its queue is not what is tried here.
    for (part, first) in (0..rounds).step_by(ROUNDS_OF_PARTNER).enumerate() {
        let partner = mall.add_partner(&format!("P{part}"), Mode::Test, |_| ()).await;
        let client = partner.client(&mall);
        let many = ROUNDS_OF_PARTNER.min(rounds - first);
        for round in 0..many {
            let nodes = [mall.mall(), &node.mall];
            take_with_many_triggers(nodes, (&mall, &partner, &client), round).await;
        }
        let money = 1_000 * i64::try_from(many).unwrap();
        assert_eq!(balance(&mall, &partner, "sales").await, -money);
        let plans = client.single_query_order(&partner.sims[0]).await.unwrap();
        assert_eq!(plans.order_list.len(), many);
    }
    let money = 1_000 * i64::try_from(rounds).unwrap();
    assert_eq!(mall.stripe().journal().charged.values().sum::<i64>(), money);
    node.stop().await;
    mall.stop().await;
}

/// An order is paid, and everybody who may learn of it does at once: Stripe's events, told twice and in disorder, the
/// client who asks and who says that it is done, and the reconcilers of two nodes.
async fn take_with_many_triggers(
    nodes: [&Arc<Mall>; 2],
    (mall, partner, client): (&TestMall, &TestPartner, &Client),
    round: usize,
) {
    let number = format!("N{round}");
    let (pay_id, intent) = authorised((partner, client), &number).await;
    mall.stripe().pay(&intent, "pm_card_visa").await;
    at_once(TRIGGERS, |place| {
        let (client, pay_id) = (client.clone(), pay_id.clone());
        let node = Arc::clone(nodes[place % 2]);
        async move {
            match place {
                0 | 1 => drop(node.reconcile().await.unwrap()),
                _ if place % 8 == 0 => drop(client.result_confirm(&pay_id).await.unwrap()),
                _ => drop(client.result_query(&pay_id).await.unwrap()),
            }
        }
    })
    .await;
    mall.stripe().told().await;
    settle_nodes(&nodes).await;
    assert_eq!(status(client, &number).await, "PROVISIONED");
}
