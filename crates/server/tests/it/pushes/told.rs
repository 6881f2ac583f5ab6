//! What partners are told of, and what it says.

use domain::push::DeliveryState;
use domain::sim::SimState;
use domain::{Mode, Role, Span};
use sdk::push::EventType;
use serde_json::{Value, json};
use testkit::{Engine, Receiver, TestMall, TestPartner, on_both_engines};

use super::{buy, pairs, told};
use crate::payments::{authorised, with_stripe};
use crate::steps::daily;
use crate::subscriptions::{ordered, subscribe};

on_both_engines!(
    an_order_is_told_once_and_signed_twice,
    whatever_triggers_an_order_it_is_told_once,
    who_does_not_want_to_know_is_not_told,
    what_cannot_be_provisioned_is_told,
    payments_that_fail_are_told,
    money_that_goes_back_is_told,
    a_dispute_is_told_when_it_is_lost,
    a_plan_that_ends_is_told_of_before_and_after,
    renewals_are_told,
    a_declined_charge_is_told_with_its_next_try,
    a_sample_is_sent_at_once,
    an_operation_on_a_group_is_told_when_it_ends,
);

async fn mall(engine: Engine) -> (TestMall, TestPartner, Receiver) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    (mall, partner, Receiver::start().await)
}

async fn an_order_is_told_once_and_signed_twice(engine: Engine) {
    let (mall, partner, server) = mall(engine).await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/hook"), &[]).await;
    let client = partner.client(&mall);
    buy((&mall, &partner), 0, "N1").await;
    // A report that comes again changes nothing.
    buy((&mall, &partner), 0, "N1").await;
    mall.settle_pushes().await;
    let pushes = server.received();
    assert_eq!(pushes.len(), 1, "{pushes:?}");
    let event = pushes[0].verify(std::slice::from_ref(&endpoint.key), &mall);
    assert_eq!(event.kind(), Some(EventType::RechargeSuccess));
    assert_eq!((event.mode.as_str(), event.partner_code.as_str()), ("test", "P100"));
    assert!(pushes[0].headers["x-lf-signature"].to_str().unwrap().starts_with("k1/"));
    let order = event.order().unwrap();
    assert_eq!(order, client.order("N1").await.unwrap());
    assert_eq!(event.occurred_at, order.provisioned_at.unwrap());
    let deliveries = endpoint.deliveries(&mall).await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].state, deliveries[0].tries), (DeliveryState::Delivered, 1));
    let attempts = endpoint.attempts(&mall, deliveries[0].event_id).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].status, attempts[0].said.as_str()), (Some(200), "seen"));
    mall.stop().await;
}

async fn whatever_triggers_an_order_it_is_told_once(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let server = Receiver::start().await;
    mall.add_endpoint(&partner, &server.url("/"), &["recharge.success"]).await;
    // Every event of Stripe's comes twice and in disorder, and everybody asks besides.
    mall.stripe().webhooks(false, true).await;
    let (pay_id, intent) = authorised((&partner, &client), "N1").await;
    mall.stripe().pay(&intent, "pm_card_visa").await;
    for _ in 0..3 {
        client.result_confirm(&pay_id).await.unwrap();
        mall.settle_payments().await;
        mall.mall().reconcile().await.unwrap();
        mall.settle_payments().await;
    }
    mall.settle_pushes().await;
    assert_eq!(told(&server), pairs(&[("recharge.success", "N1")]));
    assert_eq!(server.events()[0].order().unwrap(), client.order("N1").await.unwrap());
    mall.stop().await;
}

async fn who_does_not_want_to_know_is_not_told(engine: Engine) {
    let (mall, partner, server) = mall(engine).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    mall.add_endpoint(&other, &server.url("/other"), &[]).await;
    let expired = mall.add_endpoint(&partner, &server.url("/expired"), &["plan.expired"]).await;
    let written = async || {
        let mut tx = mall.store().read().await.unwrap();
        let whose = (Mode::Test, partner.partner.id);
        let (from, to) = (mall.now() - Span::days(1), mall.now() + Span::days(1));
        tx.push_events(whose, (from, to), (None, 100)).await.unwrap().len()
    };
    buy((&mall, &partner), 0, "N1").await;
    mall.settle_pushes().await;
    assert_eq!((written().await, server.received().len()), (0, 0));
    assert!(expired.deliveries(&mall).await.is_empty());
    // A node hears of a new endpoint with the next order.
    mall.add_endpoint(&partner, &server.url("/all"), &[]).await;
    mall.add_endpoint(&partner, &server.url("/some"), &["order.failed", "recharge.success"]).await;
    buy((&mall, &partner), 1, "N2").await;
    mall.settle_pushes().await;
    assert_eq!(written().await, 1);
    let mut paths: Vec<String> = server.received().into_iter().map(|push| push.path).collect();
    paths.sort();
    assert_eq!(paths, ["/all", "/some"]);
    mall.stop().await;
}

async fn what_cannot_be_provisioned_is_told(engine: Engine) {
    let (mall, partner, server) = mall(engine).await;
    mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    let sim = mall.add_sim(&partner, "9002", "simulator", SimState::Ready).await;
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order(&sim, "N1")).await.unwrap();
    mall.settle().await;
    mall.settle_pushes().await;
    assert_eq!(told(&server), pairs(&[("order.failed", "N1")]));
    let order = server.events()[0].order().unwrap();
    assert_eq!(order, client.order("N1").await.unwrap());
    assert!(!order.failure.unwrap().code.is_empty());
    mall.stop().await;
}

async fn payments_that_fail_are_told(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let server = Receiver::start().await;
    mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    let (pay_id, intent) = authorised((&partner, &client), "N1").await;
    for card in ["pm_card_chargeDeclined", "4000000000009995"] {
        mall.stripe().pay(&intent, card).await;
        mall.settle_payments().await;
        // Whoever asks again learns nothing new.
        client.result_confirm(&pay_id).await.unwrap();
        mall.settle_payments().await;
    }
    mall.stripe().pay(&intent, "pm_card_visa").await;
    mall.settle_payments().await;
    mall.settle_pushes().await;
    let failed = ("payment.failed", "N1");
    assert_eq!(told(&server), pairs(&[failed, failed, ("recharge.success", "N1")]));
    let codes: Vec<Value> =
        server.events().iter().map(|event| event.data["decline_code"].clone()).collect();
    assert_eq!(codes, [json!("generic_decline"), json!("insufficient_funds"), Value::Null]);
    // What the partner itself reports as failed.
    let mut failed = partner.paid_order(&partner.sims[1], "N2");
    (failed.pay_rst, failed.pay_status) = ("FAIL".to_owned(), "0".to_owned());
    for _ in 0..2 {
        client.syn_order_info(&failed).await.unwrap();
    }
    mall.settle_pushes().await;
    assert_eq!(told(&server)[3..], pairs(&[("payment.failed", "N2")]));
    mall.stop().await;
}

async fn money_that_goes_back_is_told(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let server = Receiver::start().await;
    let types = ["order.refunded", "plan.expired"];
    mall.add_endpoint(&partner, &server.url("/"), &types).await;
    let operator = mall.admin(Role::Operator).await;
    let (_, intent) = authorised((&partner, &client), "N1").await;
    mall.stripe().pay(&intent, "pm_card_visa").await;
    mall.settle_payments().await;
    // In Stripe's dashboard, a part, and then the rest by an operator.
    let form = [("payment_intent", intent.as_str()), ("amount", "250")];
    assert_eq!(mall.stripe().call("refunds", &form).await.0, 200);
    mall.settle_payments().await;
    let id = client.order("N1").await.unwrap().order_id;
    let body = json!({"reason": "the end user asked for it"});
    operator.post(&format!("/test/orders/{id}/refund"), &body).await.done();
    mall.settle_payments().await;
    // Subjects do not wait for each other.
    mall.settle_pushes().await;
    // What the partner was paid for goes off its books.
    client.syn_order_info(&partner.paid_order(&partner.sims[1], "N2")).await.unwrap();
    mall.settle().await;
    let id = client.order("N2").await.unwrap().order_id;
    operator.post(&format!("/test/orders/{id}/refund"), &body).await.done();
    mall.settle_payments().await;
    mall.settle_pushes().await;
    let refunded = "order.refunded";
    let expected = pairs(&[(refunded, "N1"), (refunded, "N1"), (refunded, "N2")]);
    assert_eq!(told(&server), expected);
    let said: Vec<[Value; 4]> = server
        .events()
        .into_iter()
        .map(|event| {
            let refund = &event.data["refund"];
            let said = [&event.data["status"], &refund["amount"], &refund["currency"]];
            let [status, amount, currency] = said.map(Value::clone);
            [status, amount, currency, refund["made_by"].clone()]
        })
        .collect();
    assert_eq!(said[0], ["PROVISIONED", "2.50", "EUR", "stripe"].map(|word| json!(word)));
    assert_eq!(said[1], ["REFUNDED", "7.50", "EUR", "operator"].map(|word| json!(word)));
    assert_eq!(said[2], ["REFUNDED", "8.00", "EUR", "operator"].map(|word| json!(word)));
    mall.stop().await;
}

async fn a_dispute_is_told_when_it_is_lost(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let server = Receiver::start().await;
    mall.add_endpoint(&partner, &server.url("/"), &["order.refunded"]).await;
    let (_, intent) = authorised((&partner, &client), "N1").await;
    mall.stripe().pay(&intent, "pm_card_createDispute").await;
    mall.settle_payments().await;
    mall.settle_pushes().await;
    assert!(server.received().is_empty(), "it may still be won");
    let disputes = mall.stripe().all("disputes").await;
    let dispute = disputes[0]["id"].as_str().unwrap();
    assert_eq!(mall.stripe().call(&format!("disputes/{dispute}/close"), &[]).await.0, 200);
    for _ in 0..2 {
        mall.settle_payments().await;
        mall.settle_pushes().await;
    }
    // Whatever is asked later, it is told once.
    let form = [("payment_intent", intent.as_str())];
    mall.stripe().call("refunds", &form).await;
    mall.settle_payments().await;
    mall.settle_pushes().await;
    assert_eq!(told(&server), pairs(&[("order.refunded", "N1")]));
    let said = &server.events()[0].data["dispute"];
    assert_eq!((&said["status"], &said["amount"]), (&json!("lost"), &json!("10.00")));
    mall.stop().await;
}

async fn a_plan_that_ends_is_told_of_before_and_after(engine: Engine) {
    let (mall, partner, server) = mall(engine).await;
    let types = ["plan.expiring", "plan.expired"];
    let client = partner.client(&mall);
    buy((&mall, &partner), 0, "LONG").await;
    client.syn_order_info(&daily(&partner, &partner.sims[1], "SHORT", 1)).await.unwrap();
    mall.settle().await;
    // Whoever comes later is told as well.
    mall.add_endpoint(&partner, &server.url("/"), &types).await;
    let admin = mall.admin(Role::Operator).await;
    let move_to = async |days: i64, minutes: i64| {
        let to = mall.now() + Span::days(days) + Span::minutes(minutes);
        loop {
            let moved = admin.post("/test/clock", &json!({"to": to.rfc3339()})).await.done();
            if moved["is_there"] == true {
                break;
            }
        }
        mall.settle().await;
        mall.settle_pushes().await;
    };
    move_to(28, 23 * 60 + 59).await;
    assert_eq!(told(&server), pairs(&[("plan.expired", "SHORT")]));
    move_to(29, 1).await;
    let expiring = ("plan.expiring", "LONG");
    assert_eq!(told(&server)[1..], pairs(&[expiring]));
    move_to(30, 1).await;
    assert_eq!(told(&server)[1..], pairs(&[expiring, ("plan.expired", "LONG")]));
    let events = server.events();
    let ends_at = events[2].order().unwrap().expire_at.unwrap();
    assert_eq!(events[2].occurred_at, ends_at);
    assert_eq!(events[1].order().unwrap().expire_at, Some(ends_at));
    // Told as it happened by the mode's clock, and signed by the real one.
    let real = mall.now().as_millis().to_string();
    assert!(server.received().iter().all(|push| push.headers["x-lf-timestamp"] == *real));
    mall.stop().await;
}

async fn renewals_are_told(engine: Engine) {
    let (mall, partner, server) = mall(engine).await;
    let client = partner.client(&mall);
    let types = ["renewal.succeeded", "renewal.failed", "renewal.cancelled"];
    mall.add_endpoint(&partner, &server.url("/"), &types).await;
    let renewing = |number: &str, original: &str| {
        let mut order = partner.paid_order(&partner.sims[0], number);
        order.order.auto_renewal = true;
        order.org_order_id = original.into();
        order
    };
    client.syn_order_info(&renewing("N1", "")).await.unwrap();
    mall.settle().await;
    mall.advance_and_tell(Span::days(29)).await;
    assert!(server.received().is_empty());
    client.syn_order_info(&renewing("N2", "N1")).await.unwrap();
    mall.settle().await;
    mall.settle_pushes().await;
    // The next one does not come, though it is waited for.
    mall.advance_and_tell(Span::days(33)).await;
    client.cancel_auto_renewal_record(&partner.sims[0], "N1", "P100N1").await.unwrap();
    client.cancel_auto_renewal_record(&partner.sims[0], "N1", "P100N1").await.unwrap();
    mall.settle_pushes().await;
    let [succeeded, failed, cancelled] = types;
    assert_eq!(told(&server), pairs(&[(succeeded, "N2"), (failed, "N1"), (cancelled, "N1")]));
    let events = server.events();
    assert!(events.iter().all(|event| event.data["renewal"]["order_no"] == "N1"));
    let failed = &events[1].data["renewal"];
    assert!(failed["reason"].as_str().unwrap().starts_with("no order for it came by "), "{failed}");
    assert_eq!((&failed["decline_code"], &failed["next_attempt_at"]), (&Value::Null, &Value::Null));
    assert_eq!(events[2].data["renewal"]["ended_by"], "partner");
    mall.stop().await;
}

async fn a_declined_charge_is_told_with_its_next_try(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let server = Receiver::start().await;
    let types = ["renewal.succeeded", "renewal.failed", "renewal.cancelled"];
    mall.add_endpoint(&partner, &server.url("/"), &types).await;
    let (pay_id, good) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    let made = subscribe(&client, &pay_id, &good).await;
    mall.settle_payments().await;
    let form = [("customer", made.customer_id.as_str())];
    let path = "payment_methods/pm_card_chargeCustomerFail/attach";
    let (_, bad) = mall.stripe().call(path, &form).await;
    let form = [("default_payment_method", bad["id"].as_str().unwrap())];
    mall.stripe().call(&format!("subscriptions/{}", made.sub_id), &form).await;
    for _ in 0..31 * 4 {
        mall.advance(Span::minutes(6 * 60)).await;
        mall.settle_payments().await;
    }
    mall.settle_pushes().await;
    assert_eq!(told(&server), pairs(&[("renewal.failed", "N1")]));
    let said = &server.events()[0].data["renewal"];
    assert_eq!(said["decline_code"], "generic_decline", "{said}");
    assert!(said["next_attempt_at"].as_i64().unwrap() > server.events()[0].occurred_at, "{said}");
    mall.stop().await;
}

async fn a_sample_is_sent_at_once(engine: Engine) {
    let (mall, partner, server) = mall(engine).await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/a"), &["order.failed"]).await;
    mall.add_endpoint(&partner, &server.url("/b"), &[]).await;
    let sample = mall.mall().send_push_sample(&endpoint.row).await.unwrap();
    assert!(sample.is_taken);
    server.answers(super::down);
    mall.clock.advance(Span::seconds(1));
    let sample = mall.mall().send_push_sample(&endpoint.row).await.unwrap();
    let attempt = sample.attempt.unwrap();
    assert_eq!((sample.is_taken, attempt.status), (false, Some(500)));
    mall.settle_pushes().await;
    // One try each, to the one endpoint, and none that counts.
    let pushes = server.received();
    assert_eq!(pushes.iter().map(|push| push.path.as_str()).collect::<Vec<_>>(), ["/a", "/a"]);
    let event = pushes[1].verify(std::slice::from_ref(&endpoint.key), &mall);
    assert_eq!(event.kind(), Some(EventType::PushSample));
    assert_eq!(endpoint.now(&mall).await.health, endpoint.row.health);
    let states = endpoint.deliveries(&mall).await.into_iter().map(|one| one.state);
    let states: Vec<DeliveryState> = states.collect();
    assert_eq!(states, [DeliveryState::Failed, DeliveryState::Delivered]);
    assert_eq!(endpoint.attempts(&mall, sample.event_id).await, [attempt]);
    mall.stop().await;
}

async fn an_operation_on_a_group_is_told_when_it_ends(engine: Engine) {
    let (mall, partner, server) = mall(engine).await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    mall.add_group(&partner, "G-1", 2).await;
    // The group has places for two of the three.
    let client = partner.client(&mall);
    let begun = client.add_group_sims("G-1", &partner.sims, "").await.unwrap();
    mall.settle().await;
    mall.settle_pushes().await;
    let pushes = server.received();
    assert_eq!(pushes.len(), 1, "{pushes:?}");
    let event = pushes[0].verify(std::slice::from_ref(&endpoint.key), &mall);
    assert_eq!(event.kind(), Some(EventType::GroupOperationFinished));
    let data = &event.data;
    assert_eq!(
        (&data["group_id"], &data["request_id"], &data["operation"], &data["status"]),
        (
            &json!("G-1"),
            &json!(begun.request_id),
            &json!("ADD_SIMS"),
            &json!("PARTIALLY_SUCCEEDED")
        )
    );
    assert_eq!(
        (&data["total"], &data["succeeded"], &data["failed"]),
        (&json!(3), &json!(2), &json!(1))
    );
    mall.stop().await;
}
