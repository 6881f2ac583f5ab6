//! Auto-renewals through Stripe, played: each period is paid once, gives one plan, and ends when somebody ends it.

use domain::{Mode, Role, Span};
use sdk::Client;
use serde_json::{Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};

use crate::payments::{balance, result, status, with_stripe};
use crate::steps::{code, queue};

on_both_engines!(
    a_subscription_pays_each_period_once,
    without_events_renewals_are_found,
    a_declined_card_leaves_nothing_and_another_may_be_tried,
    whatever_fails_there_is_one_subscription,
    cancelling_ends_it_at_stripe_and_keeps_the_period,
    an_operator_ends_it_at_stripe,
    what_ends_at_stripe_ends_here,
    a_card_that_fails_later_is_not_provisioned,
    only_orders_that_renew_are_subscribed,
);

const EUR: (&str, &str) = ("10.00", "EUR");

/// An order that renews, and a saved card.
pub(crate) async fn ordered(
    (mall, partner, client): (&TestMall, &TestPartner, &Client),
    number: &str,
    card: &str,
) -> (String, String) {
    let mut order = partner.order(&partner.sims[0], number);
    order.auto_renewal = true;
    client.single_order(&order).await.unwrap();
    let pm = saved(mall, client, &order.pay_id, card).await;
    (order.pay_id, pm)
}

/// Saves a card as the end user would; gives its id.
async fn saved(mall: &TestMall, client: &Client, pay_id: &str, card: &str) -> String {
    let auth = client.stripe_sub_auth(pay_id).await.unwrap();
    let (setup, _) = auth.client_secret.split_once("_secret_").unwrap();
    let form = [("payment_method", card), ("use_stripe_sdk", "true")];
    let (status, done) = mall.stripe().call(&format!("setup_intents/{setup}/confirm"), &form).await;
    assert_eq!(status, 200, "{done}");
    done["payment_method"].as_str().unwrap().to_owned()
}

/// Lets so many days pass, hour by hour where something is to happen.
async fn pass(mall: &TestMall, days: i64) {
    for _ in 0..days {
        for _ in 0..4 {
            mall.advance(Span::minutes(6 * 60)).await;
            mall.settle_payments().await;
        }
    }
}

pub(crate) async fn renewals(mall: &TestMall, partner: &TestPartner, first: &str) -> usize {
    let mut tx = mall.store().read().await.unwrap();
    let sim = partner.sims[0].parse().unwrap();
    let (_, orders) =
        tx.orders_of_sim(Mode::Test, partner.partner.id, &sim, (100, 0)).await.unwrap();
    orders.iter().filter(|order| order.org_order_id == first).count()
}

pub(crate) async fn subscribe(
    client: &Client,
    pay_id: &str,
    pm: &str,
) -> sdk::StripeSubDirectlyAnswer {
    client.stripe_sub_directly(pay_id, EUR, ("plan_PLAN-M", pm)).await.unwrap()
}

async fn a_subscription_pays_each_period_once(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    mall.stripe().webhooks(false, true).await;
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    let made = subscribe(&client, &pay_id, &pm).await;
    assert_eq!((made.status.as_str(), made.pay_method.as_str()), ("active", pm.as_str()));
    assert!(made.sub_id.starts_with("sub_") && made.product_id.starts_with("prod_"), "{made:?}");
    assert_eq!(subscribe(&client, &pay_id, &pm).await, made);
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    assert_eq!(result(&client, &pay_id).await, "success");
    pass(&mall, 31).await;
    assert_eq!(renewals(&mall, &partner, "N1").await, 1);
    pass(&mall, 60).await;
    assert_eq!(renewals(&mall, &partner, "N1").await, 3);
    assert_eq!(balance(&mall, &partner, "sales").await, -4_000);
    let journal = mall.stripe().journal();
    assert_eq!(journal.charged.values().sum::<i64>(), 4_000);
    assert!(journal.refunded.is_empty(), "{journal:?}");
    // One runs, and nothing was left out or ran twice.
    assert_eq!(queue(&client, &partner.sims[0]).await.len(), 1);
    let records = client.query_auto_renewal_record_list(&partner.sims[0]).await.unwrap();
    let [record] = records.record_list.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.status.as_str(), record.last_result.as_str()), ("ACTIVE", "success"));
    assert_eq!(mall.stripe().count("prices").await, 1);
    mall.stop().await;
}

async fn without_events_renewals_are_found(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    mall.stripe().webhooks(true, false).await;
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    subscribe(&client, &pay_id, &pm).await;
    mall.settle().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    pass(&mall, 62).await;
    assert_eq!(renewals(&mall, &partner, "N1").await, 2);
    assert_eq!(balance(&mall, &partner, "sales").await, -3_000);
    // Whoever looks while an invoice is drafted comes again when it is charged, though nothing tells so.
    mall.stripe().webhooks(false, false).await;
    mall.advance(Span::days(28)).await;
    mall.settle_payments().await;
    mall.stripe().webhooks(true, false).await;
    pass(&mall, 1).await;
    assert_eq!(renewals(&mall, &partner, "N1").await, 3);
    mall.stop().await;
}

async fn a_declined_card_leaves_nothing_and_another_may_be_tried(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, bad) =
        ordered((&mall, &partner, &client), "N1", "pm_card_chargeCustomerFail").await;
    let refused = client.stripe_sub_directly(&pay_id, EUR, ("plan_PLAN-M", &bad)).await;
    assert_eq!(code(refused), "PAYMENT_DECLINED");
    assert_eq!(status(&client, "N1").await, "AWAITING_PAYMENT");
    let auth = client.stripe_sub_auth(&pay_id).await.unwrap();
    assert!(auth.client_secret.starts_with("seti_"));
    let form = [("type", "card"), ("card[token]", "tok_visa")];
    let (_, good) = mall.stripe().call("payment_methods", &form).await;
    let good = match good["id"].as_str() {
        Some(id) => id.to_owned(),
        None => "pm_card_visa".to_owned(),
    };
    let customer = [("customer", auth.customer_id.as_str())];
    let (_, attached) =
        mall.stripe().call(&format!("payment_methods/{good}/attach"), &customer).await;
    let good = attached["id"].as_str().unwrap();
    assert_eq!(subscribe(&client, &pay_id, good).await.status, "active");
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    assert_eq!(mall.stripe().count("subscriptions").await, 1);
    mall.stop().await;
}

async fn whatever_fails_there_is_one_subscription(engine: Engine) {
    let (mall, _, _) = with_stripe(engine).await;
    let calls = ["/v1/products", "/v1/prices", "/v1/subscriptions", "/v1/setup_intents"];
    let mut made = 0_usize;
    for path in calls {
        for kind in ["drop_before", "drop_after", "status", "status_after", "delay"] {
            made += 1;
            let number = format!("N{made}");
            // Each has offers of its own, and so products and prices.
            let partner = mall.add_partner(&format!("Q{made}"), Mode::Test, |_| ()).await;
            let client = partner.client(&mall);
            let mut order = partner.order(&partner.sims[0], &number);
            order.auto_renewal = true;
            client.single_order(&order).await.unwrap();
            if path != "/v1/setup_intents" {
                client.stripe_sub_auth(&order.pay_id).await.unwrap();
            }
            mall.stripe().fault(kind, ("POST", path), 2).await;
            let pm = loop {
                if client.stripe_sub_auth(&order.pay_id).await.is_ok() {
                    break saved(&mall, &client, &order.pay_id, "pm_card_visa").await;
                }
            };
            let mut tries = 0;
            while client
                .stripe_sub_directly(&order.pay_id, EUR, ("plan_PLAN-M", &pm))
                .await
                .is_err()
            {
                tries += 1;
                assert!(tries < 6, "{kind} {path}");
                mall.advance(Span::seconds(1)).await;
            }
            mall.stripe().no_faults().await;
            mall.advance(Span::minutes(2)).await;
            mall.settle_payments().await;
            assert_eq!(status(&client, &number).await, "PROVISIONED", "{kind} {path}");
        }
    }
    assert_eq!(mall.stripe().count("subscriptions").await, made);
    assert_eq!(mall.stripe().journal().charged.len(), made);
    mall.stop().await;
}

async fn cancelling_ends_it_at_stripe_and_keeps_the_period(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    subscribe(&client, &pay_id, &pm).await;
    mall.settle_payments().await;
    mall.stripe().fault("drop_before", ("DELETE", "/v1/subscriptions"), 1).await;
    for _ in 0..2 {
        client.cancel_auto_renewal_record(&partner.sims[0], "N1", &pay_id).await.unwrap();
    }
    mall.advance(Span::minutes(2)).await;
    assert_eq!(queue(&client, &partner.sims[0]).await.len(), 1, "the running period stays");
    pass(&mall, 62).await;
    assert_eq!(renewals(&mall, &partner, "N1").await, 0);
    assert_eq!(mall.stripe().journal().charged.values().sum::<i64>(), 1_000);
    assert!(queue(&client, &partner.sims[0]).await.is_empty());
    mall.stop().await;
}

async fn an_operator_ends_it_at_stripe(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    subscribe(&client, &pay_id, &pm).await;
    mall.settle_payments().await;
    let admin = mall.admin(Role::Operator).await;
    let found = admin.get("/test/renewals?number=N1").await.done();
    let id = found["items"][0]["renewal_id"].as_str().unwrap().to_owned();
    // Nobody waits for the partner where a subscription pays.
    assert_eq!(admin.get("/test/jobs?kind=await_renewal").await.done()["items"], json!([]));
    mall.stripe().fault("drop_before", ("DELETE", "/v1/subscriptions"), 1).await;
    for _ in 0..2 {
        let done =
            admin.post(&format!("/test/renewals/{id}/cancel"), &json!({"reason": "lost"})).await;
        assert_eq!(done.done()["state"], "cancelled");
    }
    mall.settle().await;
    mall.advance(Span::minutes(2)).await;
    mall.settle_payments().await;
    let told = admin.get(&format!("/test/renewals/{id}/timeline")).await.done();
    assert_eq!(
        (&told["subscription"]["status"], &told["subscription"]["ends"]),
        (&json!("canceled"), &json!(true))
    );
    assert!(told["why"].as_str().unwrap().ends_with(": lost"), "{told}");
    assert_eq!(queue(&client, &partner.sims[0]).await.len(), 1, "the running period stays");
    pass(&mall, 31).await;
    assert_eq!(mall.stripe().journal().charged.values().sum::<i64>(), 1_000);
    mall.stop().await;
}

async fn what_ends_at_stripe_ends_here(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    let made = subscribe(&client, &pay_id, &pm).await;
    mall.settle_payments().await;
    assert!(client.query_auto_renewal_record(&partner.sims[0]).await.unwrap().is_some());
    mall.stripe().delete(&format!("subscriptions/{}", made.sub_id)).await;
    mall.settle_payments().await;
    assert!(client.query_auto_renewal_record(&partner.sims[0]).await.unwrap().is_none());
    mall.stop().await;
}

async fn a_card_that_fails_later_is_not_provisioned(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N1", "pm_card_visa").await;
    let made = subscribe(&client, &pay_id, &pm).await;
    mall.settle_payments().await;
    let customer = [("customer", made.customer_id.as_str())];
    let attach = "payment_methods/pm_card_chargeCustomerFail/attach";
    let (_, bad) = mall.stripe().call(attach, &customer).await;
    let form = [("default_payment_method", bad["id"].as_str().unwrap())];
    let (status, _) = mall.stripe().call(&format!("subscriptions/{}", made.sub_id), &form).await;
    assert_eq!(status, 200);
    pass(&mall, 33).await;
    assert_eq!(renewals(&mall, &partner, "N1").await, 0);
    let mut tx = mall.store().read().await.unwrap();
    let order = tx.order_by_no(Mode::Test, partner.partner.id, "N1").await.unwrap().unwrap();
    let known = tx.cashier_subscription(Mode::Test, partner.partner.id, order.id).await.unwrap();
    let known = known.unwrap();
    assert_eq!(known.status, "past_due");
    assert!(!known.decline_code.is_empty() && known.next_try_at.is_some(), "{known:?}");
    drop(tx);
    // However often it is tried, the period failed once; and it is told why.
    let history = client.query_auto_renewal_record_list(&partner.sims[0]).await.unwrap();
    assert_eq!(history.record_list[0].last_result, "failed");
    let admin = mall.admin(Role::Operator).await;
    let found = admin.get("/test/renewals?failing=true").await.done();
    let id = found["items"][0]["renewal_id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&found["items"][0]["misses"], &found["items"][0]["paid_by"]),
        (&json!(1), &json!("stripe"))
    );
    let path = format!("/test/renewals/{id}/timeline");
    let told = admin.get(&path).await.done();
    assert_eq!(told["why"], "1 period failed: the charge was declined: generic_decline");
    assert_eq!(told["subscription"]["status"], "past_due");
    assert_eq!(told["subscription"]["decline_code"], "generic_decline");
    assert!(told["subscription"]["next_try_at"].is_string(), "{told}");
    let again =
        |entry: &&Value| entry["what"].as_str().unwrap().starts_with("Stripe tries the charge");
    assert_eq!(told["entries"].as_array().unwrap().iter().filter(again).count(), 1);
    // Given up there, it has ended here.
    pass(&mall, 60).await;
    assert!(client.query_auto_renewal_record(&partner.sims[0]).await.unwrap().is_none());
    let told = admin.get(&path).await.done();
    assert!(told["why"].as_str().unwrap().starts_with("cancelled by stripe on 2024-"), "{told}");
    assert_eq!(mall.stripe().journal().charged.values().sum::<i64>(), 1_000);
    mall.stop().await;
}

async fn only_orders_that_renew_are_subscribed(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    client.single_order(&partner.order(&partner.sims[0], "N1")).await.unwrap();
    assert_eq!(code(client.stripe_sub_auth("P100N1").await), "RENEWAL_NOT_ALLOWED");
    let (pay_id, pm) = ordered((&mall, &partner, &client), "N2", "pm_card_visa").await;
    let other = client.stripe_sub_directly(&pay_id, ("9.99", "EUR"), ("plan_PLAN-M", &pm)).await;
    assert_eq!(code(other), "PRICE_MISMATCH");
    let other = client.stripe_sub_directly(&pay_id, EUR, ("plan_PLAN-D", &pm)).await;
    assert_eq!(code(other), "PLAN_UNKNOWN");
    // What is being agreed is not paid once besides, nor the other way round.
    assert_eq!(code(client.stripe_single_auth(&pay_id, EUR, "").await), "ORDER_CONFLICT");
    let mut third = partner.order(&partner.sims[0], "N3");
    third.auto_renewal = true;
    client.single_order(&third).await.unwrap();
    client.stripe_single_auth(&third.pay_id, EUR, "").await.unwrap();
    assert_eq!(code(client.stripe_sub_auth(&third.pay_id).await), "ORDER_CONFLICT");
    // An order that nobody paid for closes.
    mall.advance(Span::minutes(31)).await;
    assert_eq!(status(&client, "N2").await, "CLOSED");
    let late = client.stripe_sub_directly(&pay_id, EUR, ("plan_PLAN-M", &pm)).await;
    assert_eq!(code(late), "ORDER_CONFLICT");
    mall.stop().await;
}
