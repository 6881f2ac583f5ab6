//! Whole stories of money with localstripe in Stripe's place, a double that nobody here wrote:
//! `scripts/test-localstripe` starts it and runs them one after another. What it cannot play is told by our own
//! double alone: declines, 3DS, disputes, calls that repeat, and time that passes.

use std::time::Duration;

use domain::{Mode, Role, Span};
use sdk::Client;
use serde_json::json;
use testkit::{AdminClient, Engine, Recipe, TestMall, TestPartner, on_both_engines};

use crate::payments::{authorised, balance, found_without_events, result, status};
use crate::steps::queue;

on_both_engines!(
    #[ignore = "needs localstripe: scripts/test-localstripe"]
    localstripe_tells_of_a_payment_and_the_plan_is_there,
    #[ignore = "needs localstripe: scripts/test-localstripe"]
    localstripe_tells_nothing_and_it_is_found_all_the_same,
    #[ignore = "needs localstripe: scripts/test-localstripe"]
    localstripe_lets_nobody_pay_what_is_closed,
    #[ignore = "needs localstripe: scripts/test-localstripe"]
    localstripe_gives_back_what_an_operator_asks_for,
    #[ignore = "needs localstripe: scripts/test-localstripe"]
    localstripe_gives_back_by_itself_and_the_day_shows_it,
    #[ignore = "needs localstripe: scripts/test-localstripe"]
    localstripe_has_one_subscription_until_somebody_ends_it,
);

async fn with_localstripe(engine: Engine) -> (TestMall, TestPartner, Client) {
    let mall = TestMall::with(engine, Recipe { localstripe: true, ..Recipe::default() }).await;
    mall.localstripe().tell(&mall.url()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    (mall, partner, client)
}

/// Waits until an order has a status. The mall's clock stands still, so it is an event that leads there.
async fn told(mall: &TestMall, client: &Client, expected: &str) {
    for _ in 0..600 {
        mall.settle().await;
        if status(client, "N1").await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is {} and never {expected}", status(client, "N1").await);
}

/// An order that a card paid for and that has its plan; gives the payment's number and the intent.
async fn provisioned(
    (mall, partner, client): (&TestMall, &TestPartner, &Client),
) -> (String, String) {
    let (pay_id, intent) = authorised((partner, client), "N1").await;
    assert_eq!(mall.localstripe().pay(&intent, "pm_card_visa").await, "succeeded");
    told(mall, client, "PROVISIONED").await;
    (pay_id, intent)
}

async fn operator(mall: &TestMall) -> AdminClient {
    mall.admin_with(Some(mall.add_token("Olga", Role::Operator).await))
}

/// What was given back of a payment, as localstripe has it.
async fn given_back(mall: &TestMall, intent: &str) -> i64 {
    let intent = mall.localstripe().get(&format!("payment_intents/{intent}")).await;
    let charge = intent["latest_charge"]["id"].as_str().unwrap();
    let charge = mall.localstripe().get(&format!("charges/{charge}")).await;
    charge["amount_refunded"].as_i64().unwrap()
}

async fn localstripe_tells_of_a_payment_and_the_plan_is_there(engine: Engine) {
    let (mall, partner, client) = with_localstripe(engine).await;
    let order = partner.order(&partner.sims[0], "N1");
    client.single_order(&order).await.unwrap();
    let auth =
        async || client.stripe_single_auth(&order.pay_id, ("10.00", "eur"), "").await.unwrap();
    let first = auth().await;
    let again = auth().await;
    assert_eq!(again.payment_intent_id, first.payment_intent_id);
    assert_eq!(
        (&again.client_secret, &again.customer_id),
        (&first.client_secret, &first.customer_id)
    );
    assert_eq!(result(&client, &order.pay_id).await, "processing");
    let intent =
        mall.localstripe().get(&format!("payment_intents/{}", first.payment_intent_id)).await;
    assert_eq!(
        (intent["amount"].as_i64(), intent["currency"].as_str()),
        (Some(1_000), Some("eur"))
    );
    assert_eq!(intent["customer"], json!(first.customer_id));

    assert_eq!(mall.localstripe().pay(&first.payment_intent_id, "pm_card_visa").await, "succeeded");
    told(&mall, &client, "PROVISIONED").await;
    let answer = client.result_query(&order.pay_id).await.unwrap();
    assert_eq!((answer.pay_rst.as_str(), answer.pay_amount.as_str()), ("success", "€10.00"));
    // It takes no fee.
    assert_eq!(balance(&mall, &partner, "stripe_balance").await, 1_000);
    assert_eq!(balance(&mall, &partner, "sales").await, -1_000);
    mall.stop().await;
}

async fn localstripe_tells_nothing_and_it_is_found_all_the_same(engine: Engine) {
    let (mall, partner, client) = with_localstripe(engine).await;
    mall.localstripe().tell_nobody().await;
    let pay = async |intent: &str| {
        assert_eq!(mall.localstripe().pay(intent, "pm_card_visa").await, "succeeded");
    };
    found_without_events((&mall, &partner, &client), pay).await;
    mall.stop().await;
}

async fn localstripe_lets_nobody_pay_what_is_closed(engine: Engine) {
    let (mall, partner, client) = with_localstripe(engine).await;
    let (pay_id, intent) = authorised((&partner, &client), "N1").await;
    mall.advance(Span::minutes(31)).await;
    assert_eq!(status(&client, "N1").await, "CLOSED");
    assert_eq!(result(&client, &pay_id).await, "closed");
    assert_eq!(mall.localstripe().pay(&intent, "pm_card_visa").await, "canceled");
    let moved = mall.localstripe().get("balance_transactions").await;
    assert_eq!(moved["data"], json!([]));
    mall.stop().await;
}

async fn localstripe_gives_back_what_an_operator_asks_for(engine: Engine) {
    let (mall, partner, client) = with_localstripe(engine).await;
    let (pay_id, intent) = provisioned((&mall, &partner, &client)).await;
    let order = client.order("N1").await.unwrap().order_id;
    let (operator, path) = (operator(&mall).await, format!("/test/orders/{order}/refund"));
    let reason = "the end user asked for it";
    operator.post(&path, &json!({"amount": "4.00", "reason": reason})).await.done();
    mall.settle().await;
    assert_eq!(status(&client, "N1").await, "PROVISIONED");
    assert_eq!(given_back(&mall, &intent).await, 400);
    assert_eq!(balance(&mall, &partner, "sales").await, -600);
    let too_much = operator.post(&path, &json!({"amount": "6.01", "reason": reason})).await;
    assert_eq!(too_much.status, 409);
    operator.post(&path, &json!({"amount": null, "reason": reason})).await.done();
    mall.settle().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    assert_eq!(result(&client, &pay_id).await, "refunded");
    assert_eq!(given_back(&mall, &intent).await, 1_000);
    assert_eq!(balance(&mall, &partner, "stripe_balance").await, 0);
    assert!(queue(&client, &partner.sims[0]).await.is_empty());
    mall.stop().await;
}

async fn localstripe_gives_back_by_itself_and_the_day_shows_it(engine: Engine) {
    let (mall, partner, client) = with_localstripe(engine).await;
    let (_, intent) = provisioned((&mall, &partner, &client)).await;
    assert_eq!(mall.differences().await, []);
    // It has no event of that.
    let form = [("payment_intent", intent.as_str()), ("amount", "250")];
    assert_eq!(mall.localstripe().call("refunds", &form).await.0, 200);
    mall.settle().await;
    let differences = mall.differences().await;
    let found: Vec<_> = differences
        .iter()
        .map(|one| (one.kind.as_str(), one.at_stripe.as_deref(), one.in_books.as_deref()))
        .collect();
    assert_eq!(found, [("not_booked", Some("2.50"), None)], "{differences:#?}");
    mall.stop_as_it_is().await;
}

/// An order that renews, and a card that was saved for it; gives the payment's number and the card.
async fn ordered(
    (mall, partner, client): (&TestMall, &TestPartner, &Client),
    card: &str,
) -> (String, String) {
    let mut order = partner.order(&partner.sims[0], "N1");
    order.auto_renewal = true;
    client.single_order(&order).await.unwrap();
    let auth = client.stripe_sub_auth(&order.pay_id).await.unwrap();
    let (setup, _) = auth.client_secret.split_once("_secret_").unwrap();
    let local = mall.localstripe();
    let customer = local.get(&format!("setup_intents/{setup}")).await["customer"].clone();
    let card = local.card(customer.as_str().unwrap(), card).await;
    let confirm = format!("setup_intents/{setup}/confirm");
    assert_eq!(local.call(&confirm, &[("payment_method", &card)]).await.0, 200);
    (order.pay_id, card)
}

async fn localstripe_has_one_subscription_until_somebody_ends_it(engine: Engine) {
    let (mall, partner, client) = with_localstripe(engine).await;
    let (pay_id, card) = ordered((&mall, &partner, &client), "pm_card_visa").await;
    let subscribe = async || {
        client.stripe_sub_directly(&pay_id, ("10.00", "EUR"), ("plan_PLAN-M", &card)).await
    };
    let made = subscribe().await.unwrap();
    assert_eq!((made.status.as_str(), made.pay_method.as_str()), ("active", card.as_str()));
    assert_eq!(subscribe().await.unwrap(), made);
    told(&mall, &client, "PROVISIONED").await;
    assert_eq!(result(&client, &pay_id).await, "success");
    assert_eq!(balance(&mall, &partner, "sales").await, -1_000);
    let subscriptions = mall.localstripe().get("subscriptions").await;
    let [one] = subscriptions["data"].as_array().unwrap().as_slice() else {
        panic!("{subscriptions}")
    };
    let price = &one["items"]["data"][0]["plan"];
    assert_eq!((price["amount"].as_i64(), price["currency"].as_str()), (Some(1_000), Some("eur")));

    client.cancel_auto_renewal_record(&partner.sims[0], "N1", &pay_id).await.unwrap();
    mall.settle().await;
    let ended = mall.localstripe().get(&format!("subscriptions/{}", made.sub_id)).await;
    assert_eq!(ended["status"], json!("canceled"));
    assert_eq!(queue(&client, &partner.sims[0]).await.len(), 1, "the running period stays");
    mall.stop().await;
}
