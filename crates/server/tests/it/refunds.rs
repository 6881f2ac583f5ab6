//! Money that goes back: asked for by the mall, an operator or Stripe's dashboard, whole or in part, and what banks
//! make of it.

use domain::sim::SimState;
use domain::{Mode, Role, Span};
use sdk::Client;
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::{Fault, FaultKind, Faults, Protocol};

use crate::payments::{authorised, balance, result, status, with_stripe};
use crate::steps::at_once;

on_both_engines!(
    an_operator_gives_all_back_once,
    parts_go_back_until_nothing_is_left,
    two_operators_cannot_give_back_more_than_came,
    a_bank_that_takes_its_time_is_waited_for,
    a_bank_that_refuses_late_is_heeded,
    what_cannot_be_provisioned_goes_back,
    what_stripe_gives_back_is_taken_over,
    a_dispute_is_booked,
    what_was_paid_twice_goes_back,
    another_amount_than_agreed_waits_for_a_person,
    a_lost_answer_gives_nothing_back_twice,
    a_refunded_plan_is_ended_at_its_carrier,
    a_carrier_that_does_not_end_a_plan_is_told_of,
    a_renewal_is_due_when_what_is_left_ends,
);

/// An order that a card paid for and that has its plan; gives the payment's number and the intent.
async fn provisioned(
    (mall, partner, client): (&TestMall, &TestPartner, &Client),
    card: &str,
) -> (String, String) {
    let (pay_id, intent) = authorised((partner, client), "N1").await;
    assert_eq!(mall.stripe().pay(&intent, card).await, "succeeded");
    mall.settle_payments().await;
    assert_eq!(status(client, "N1").await, "PROVISIONED");
    (pay_id, intent)
}

async fn operator(mall: &TestMall) -> AdminClient {
    mall.admin_with(Some(mall.add_token("Olga", Role::Operator).await))
}

async fn order_id(client: &Client) -> String {
    client.order("N1").await.unwrap().order_id
}

async fn refund(operator: &AdminClient, order: &str, amount: Option<&str>) -> testkit::Answer {
    let body = json!({"amount": amount, "reason": "the end user asked for it"});
    operator.post(&format!("/test/orders/{order}/refund"), &body).await
}

/// No order has money without a plan, no plan is without money.
async fn assert_balanced(mall: &TestMall) {
    for (mode, money, plans) in mall.mall().imbalance().await.unwrap() {
        assert_eq!((money, plans), (0, 0), "{mode}");
    }
}

async fn an_operator_gives_all_back_once(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, intent) = provisioned((&mall, &partner, &client), "pm_card_visa").await;
    let (operator, order) = (operator(&mall).await, order_id(&client).await);
    let answer = refund(&operator, &order, None).await.done();
    assert_eq!(answer["refunds"][0]["actor"], "Olga");
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(result(&client, &pay_id).await, "refunded");
    assert!(client.single_query_order(&partner.sims[0]).await.unwrap().order_list.is_empty());
    let again = refund(&operator, &order, None).await;
    assert_eq!(again.code(409), "NOT_REFUNDABLE");
    assert_eq!(mall.stripe().journal().refunded, [(intent, 1_000)].into());
    assert_eq!(balance(&mall, &partner, "sales").await, 0);
    assert_eq!(balance(&mall, &partner, "stripe_balance").await, -59);
    assert_balanced(&mall).await;
    let told = operator.get(&format!("/test/orders/{order}/timeline")).await.done();
    let told = told["entries"].to_string();
    for part in ["Olga did order.refund", "the refund succeeded", "payment_intent.succeeded"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    mall.stop().await;
}

async fn parts_go_back_until_nothing_is_left(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, intent) = provisioned((&mall, &partner, &client), "pm_card_visa").await;
    let (operator, order) = (operator(&mall).await, order_id(&client).await);
    for bad in ["0.00", "10.01", "4.001", "-1.00", "ten"] {
        let refused = refund(&operator, &order, Some(bad)).await;
        assert!([400, 409].contains(&refused.status), "{bad}: {}", refused.status);
    }
    refund(&operator, &order, Some("4.00")).await.done();
    mall.settle_payments().await;
    // What is left pays for the plan.
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    assert_eq!(result(&client, &pay_id).await, "success");
    assert_eq!(refund(&operator, &order, Some("6.01")).await.status, 409);
    refund(&operator, &order, None).await.done();
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(mall.stripe().journal().refunded[&intent], 1_000);
    assert_eq!(balance(&mall, &partner, "sales").await, 0);
    assert_balanced(&mall).await;
    mall.stop().await;
}

async fn two_operators_cannot_give_back_more_than_came(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let operator = operator(&mall).await;
    for round in 1..=5 {
        let number = format!("N{round}");
        let (_, intent) = authorised((&partner, &client), &number).await;
        mall.stripe().pay(&intent, "pm_card_visa").await;
        mall.settle_payments().await;
        let path = format!("/test/orders/{}/refund", client.order(&number).await.unwrap().order_id);
        let body = json!({"amount": "6.00", "reason": "the end user asked for it"});
        let statuses = at_once(16, |_| {
            let (operator, path, body) = (operator.clone(), path.clone(), body.clone());
            async move { operator.post(&path, &body).await.status }
        })
        .await;
        let done = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(done, 1, "{statuses:?}");
        mall.settle_payments().await;
        assert_eq!(mall.stripe().journal().refunded[&intent], 600);
    }
    mall.stop().await;
}

async fn a_bank_that_takes_its_time_is_waited_for(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, _) = provisioned((&mall, &partner, &client), "pm_card_pendingRefund").await;
    refund(&operator(&mall).await, &order_id(&client).await, None).await.done();
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDING");
    assert_eq!(result(&client, &pay_id).await, "refunding");
    // Without a word from Stripe: it is asked.
    mall.stripe().webhooks(true, false).await;
    for _ in 0..10 {
        mall.advance(Span::seconds(30)).await;
    }
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(balance(&mall, &partner, "sales").await, 0);
    mall.stop().await;
}

async fn a_bank_that_refuses_late_is_heeded(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, intent) = provisioned((&mall, &partner, &client), "pm_card_refundFail").await;
    let (operator, order) = (operator(&mall).await, order_id(&client).await);
    refund(&operator, &order, None).await.done();
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    mall.advance(Span::seconds(61)).await;
    mall.settle_payments().await;
    let failed = client.order("N1").await.unwrap();
    assert_eq!(
        (failed.status.as_str(), failed.failure.unwrap().code.as_str()),
        ("FAILED", "REFUND_FAILED")
    );
    assert_eq!(result(&client, &pay_id).await, "success");
    assert_eq!(balance(&mall, &partner, "sales").await, -1_000);
    // Money without a plan is seen to, and can be given back again.
    let money = mall.mall().imbalance().await.unwrap().into_iter().map(|(_, money, _)| money);
    assert_eq!(money.sum::<i64>(), 1);
    refund(&operator, &order, None).await.done();
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(mall.stripe().journal().refunded[&intent], 1_000);
    mall.stop().await;
}

async fn what_cannot_be_provisioned_goes_back(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let sim = mall.add_sim(&partner, "9002", "simulator", SimState::Ready).await;
    let order = partner.order(&sim, "N1");
    client.single_order(&order).await.unwrap();
    let auth = client.stripe_single_auth(&order.pay_id, ("10.00", "EUR"), "").await.unwrap();
    mall.stripe().pay(&auth.payment_intent_id, "pm_card_visa").await;
    mall.settle_payments().await;
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(mall.stripe().journal().refunded[&auth.payment_intent_id], 1_000);
    assert_eq!(balance(&mall, &partner, "sales").await, 0);
    assert_balanced(&mall).await;
    mall.stop().await;
}

async fn what_stripe_gives_back_is_taken_over(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (_, intent) = provisioned((&mall, &partner, &client), "pm_card_visa").await;
    let form = [("payment_intent", intent.as_str()), ("amount", "250")];
    assert_eq!(mall.stripe().call("refunds", &form).await.0, 200);
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    assert_eq!(balance(&mall, &partner, "sales").await, -750);
    assert_eq!(mall.stripe().call("refunds", &form[..1]).await.0, 200);
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(balance(&mall, &partner, "sales").await, 0);
    let shown =
        operator(&mall).await.get(&format!("/test/orders/{}", order_id(&client).await)).await;
    let actors: Vec<Value> = shown.done()["refunds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["actor"].clone())
        .collect();
    assert_eq!(actors, ["stripe", "stripe"]);
    assert_balanced(&mall).await;
    mall.stop().await;
}

async fn a_dispute_is_booked(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    provisioned((&mall, &partner, &client), "pm_card_createDispute").await;
    mall.settle_payments().await;
    assert_eq!(balance(&mall, &partner, "disputed").await, 1_000);
    // The fee of the charge, and that of the dispute.
    assert_eq!(balance(&mall, &partner, "stripe_balance").await, -59 - 1_500);
    assert_eq!(balance(&mall, &partner, "stripe_fees").await, 59 + 1_500);
    // What a bank took back cannot be given back as well.
    let (operator, order) = (operator(&mall).await, order_id(&client).await);
    refund(&operator, &order, None).await.done();
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    assert!(mall.stripe().journal().refunded.is_empty());
    mall.stop().await;
}

async fn what_was_paid_twice_goes_back(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (_, intent) = provisioned((&mall, &partner, &client), "pm_card_visa").await;
    let order = order_id(&client).await;
    let form = [
        ("amount", "1000"),
        ("currency", "eur"),
        ("metadata[order]", order.as_str()),
        ("metadata[partner]", "P100"),
    ];
    let (_, second) = mall.stripe().call("payment_intents", &form).await;
    let second = second["id"].as_str().unwrap();
    mall.stripe().pay(second, "pm_card_visa").await;
    mall.settle_payments().await;
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    let journal = mall.stripe().journal();
    assert_eq!(journal.refunded, [(second.to_owned(), 1_000)].into());
    assert_eq!(journal.charged[&intent], 1_000);
    assert_eq!(balance(&mall, &partner, "sales").await, -1_000);
    assert_balanced(&mall).await;
    mall.stop().await;
}

async fn another_amount_than_agreed_waits_for_a_person(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (_, intent) = authorised((&partner, &client), "N1").await;
    mall.stripe().call(&format!("payment_intents/{intent}"), &[("amount", "900")]).await;
    mall.stripe().pay(&intent, "pm_card_visa").await;
    mall.settle_payments().await;
    let order = client.order("N1").await.unwrap();
    assert_eq!(
        (order.status.as_str(), order.failure.unwrap().code.as_str()),
        ("REVIEW", "PAYMENT_AMOUNT")
    );
    assert_eq!(balance(&mall, &partner, "sales").await, -900);
    assert!(client.single_query_order(&partner.sims[0]).await.unwrap().order_list.is_empty());
    // A person gives back what came, which is not what was agreed.
    let finding = json!({"finding": "refund", "reason": "not what was agreed"});
    let path = format!("/test/orders/{}/resolve", order.order_id);
    operator(&mall).await.post(&path, &finding).await.done();
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(mall.stripe().journal().refunded, [(intent, 900)].into());
    assert_eq!(balance(&mall, &partner, "sales").await, 0);
    assert_balanced(&mall).await;
    mall.stop().await;
}

async fn a_lost_answer_gives_nothing_back_twice(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (_, intent) = provisioned((&mall, &partner, &client), "pm_card_visa").await;
    let (operator, order) = (operator(&mall).await, order_id(&client).await);
    for kind in ["drop_before", "drop_after", "status", "status_after"] {
        mall.stripe().fault(kind, ("POST", "/v1/refunds"), 2).await;
        refund(&operator, &order, Some("1.00")).await.done();
        for _ in 0..4 {
            mall.advance(Span::seconds(31)).await;
        }
        mall.settle_payments().await;
    }
    // A day later Stripe has forgotten the key, and the answer never came.
    mall.stripe().fault("drop_after", ("POST", "/v1/refunds"), 1).await;
    mall.stripe().webhooks(true, false).await;
    refund(&operator, &order, Some("1.00")).await.done();
    mall.settle().await;
    mall.stripe().fault("drop_before", ("GET", "/v1/refunds"), 1).await;
    mall.advance(Span::days(2)).await;
    mall.advance(Span::seconds(31)).await;
    assert_eq!(mall.stripe().journal().refunded[&intent], 500);
    assert_eq!(balance(&mall, &partner, "sales").await, -500);
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    mall.stripe().no_faults().await;
    mall.stop().await;
}

/// A mall with Cube, and an order there that is provisioned; gives an operator and the order's id.
async fn at_cube(engine: Engine) -> (TestMall, AdminClient, String) {
    let networks = vec![Network::new("cube", Protocol::CubeV4)];
    let mall = TestMall::with(engine, Recipe { networks, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, "cube").await;
    let sim = mall.add_sim(&partner, "", "cube", SimState::Ready).await;
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order_at("cube", &sim, "N1")).await.unwrap();
    for _ in 0..30 {
        mall.advance(Span::seconds(10)).await;
    }
    let order = client.order("N1").await.unwrap();
    assert_eq!(order.status, "PROVISIONED");
    let operator = operator(&mall).await;
    (mall, operator, order.order_id)
}

/// What became of each cancellation at the network.
fn cancelled(mall: &TestMall) -> Vec<String> {
    let entries = mall.network("cube").journal().into_iter().map(|entry| entry.to_json());
    let cancels = entries.filter(|entry| entry["action"] == "cancel");
    cancels.map(|entry| entry["effect"].as_str().unwrap().to_owned()).collect()
}

async fn a_refunded_plan_is_ended_at_its_carrier(engine: Engine) {
    let (mall, operator, order) = at_cube(engine).await;
    refund(&operator, &order, None).await.done();
    for _ in 0..10 {
        mall.advance(Span::seconds(31)).await;
    }
    assert_eq!(cancelled(&mall), ["done"]);
    let jobs = operator.get("/test/jobs?kind=revoke_plan").await.done();
    assert_eq!(jobs["items"], json!([]));
    mall.stop().await;
}

async fn a_carrier_that_does_not_end_a_plan_is_told_of(engine: Engine) {
    let (mall, operator, order) = at_cube(engine).await;
    let faults = vec![Fault::often(FaultKind::Refuse, 1_000)];
    mall.network("cube").set_faults(Faults { faults, ..Faults::default() });
    refund(&operator, &order, None).await.done();
    for _ in 0..3 {
        mall.advance(Span::seconds(31)).await;
    }
    let jobs = operator.get("/test/jobs?kind=revoke_plan&state=dead").await.done();
    let job = &jobs["items"][0];
    assert_eq!(job["subject"], order.as_str(), "{jobs}");
    assert!(!job["last_error"].as_str().unwrap().is_empty(), "{jobs}");
    // Once it can be ended, it is ended; whoever saw to it at the carrier may drop the job instead.
    mall.network("cube").set_faults(Faults::default());
    let path = format!("/test/jobs/{}/retry", job["job_id"].as_str().unwrap());
    operator.post(&path, &Value::Null).await.done();
    for _ in 0..3 {
        mall.advance(Span::seconds(31)).await;
    }
    assert_eq!(cancelled(&mall).last().unwrap(), "done");
    mall.stop().await;
}

async fn a_renewal_is_due_when_what_is_left_ends(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let sim = &partner.sims[0];
    let mut renews = partner.paid_order(sim, "N0");
    renews.order.auto_renewal = true;
    client.syn_order_info(&renews).await.unwrap();
    mall.settle().await;
    let next_time = async || {
        let known = client.query_auto_renewal_record_list(sim).await.unwrap().record_list;
        known[0].next_renewal_time.clone()
    };
    let before = next_time().await;
    // A second plan waits behind the first.
    provisioned((&mall, &partner, &client), "pm_card_visa").await;
    assert_ne!(next_time().await, before);
    refund(&operator(&mall).await, &order_id(&client).await, None).await.done();
    mall.settle_payments().await;
    assert_eq!(next_time().await, before);
    mall.stop().await;
}
