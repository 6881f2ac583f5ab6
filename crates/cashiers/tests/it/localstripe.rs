//! Against localstripe, a double of Stripe that nobody here wrote: `scripts/test-localstripe` starts it and runs
//! these tests. What an app does with its own key, and what the mall never does, is done here by hand.
//!
//! It knows no keys of calls, no ephemeral keys, no prices (plans instead), no disputes, no search, and few
//! parameters: one that is new to it is refused, and so are `automatic_payment_methods`. A missing
//! object has no `code` there.

use cashiers::stripe::{
    CallError, EventsQuery, InvoiceStatus, Metadata, NewCustomer, NewPaymentIntent, NewRefund,
    PaymentIntentStatus, RefundStatus, Settings, Stripe, SubscriptionStatus,
};
use domain::Mode;
use serde_json::Value;

use crate::peer::key;

const SECRET: &str = "sk_test_localstripe";

fn base() -> String {
    std::env::var("LOCALSTRIPE_URL").unwrap_or_else(|_| {
        panic!("LOCALSTRIPE_URL does not say where localstripe is: run scripts/test-localstripe")
    })
}

fn stripe() -> Stripe {
    let settings = Settings::new(Mode::Test, SECRET, "pk_test_localstripe");
    Stripe::new(&Settings { base_url: base(), ..settings }).unwrap()
}

/// A call by hand.
async fn post(path: &str, fields: &[(&str, &str)]) -> Value {
    let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = reqwest::Client::new()
        .post(format!("{}/v1/{path}", base()))
        .bearer_auth(SECRET)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.join("&"));
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

fn words() -> Metadata {
    [("order".to_owned(), "ord_1".to_owned())].into()
}

async fn customer(stripe: &Stripe) -> String {
    let new = NewCustomer { email: Some("a@b.test".to_owned()), metadata: words() };
    stripe.create_customer(&new, &key("c")).await.unwrap().id
}

/// A card that a customer has.
async fn card(customer: &str) -> String {
    let card = post("payment_methods/pm_card_visa/attach", &[("customer", customer)]).await;
    id(&card).to_owned()
}

/// A payment of 4.99 USD that was paid with a card.
async fn paid(customer: &str) -> String {
    let method = card(customer).await;
    let fields = [
        ("amount", "499"),
        ("currency", "usd"),
        ("customer", customer),
        ("payment_method", &method),
        ("confirm", "true"),
        ("metadata[order]", "ord_1"),
    ];
    id(&post("payment_intents", &fields).await).to_owned()
}

#[tokio::test]
#[ignore = "needs localstripe: scripts/test-localstripe"]
async fn localstripe_has_customers_and_what_saves_their_cards() {
    let stripe = stripe();
    let customer = customer(&stripe).await;
    let kept = stripe.customer(&customer).await.unwrap();
    assert_eq!((kept.metadata, kept.deleted), (words(), false));
    let made = post("setup_intents", &[("customer", &customer)]).await;
    let setup = stripe.setup_intent(id(&made)).await.unwrap();
    assert_eq!(setup.client_secret.as_deref(), made["client_secret"].as_str());
    assert!(setup.client_secret.is_some());
}

#[tokio::test]
#[ignore = "needs localstripe: scripts/test-localstripe"]
async fn localstripe_takes_money_and_gives_it_back() {
    let stripe = stripe();
    let customer = customer(&stripe).await;
    let payment = paid(&customer).await;
    let intent = stripe.payment_intent(&payment).await.unwrap();
    assert_eq!(intent.status, PaymentIntentStatus::Succeeded);
    assert_eq!((intent.amount, intent.currency.as_str()), (499, "usd"));
    assert_eq!(intent.metadata, words());
    let moved = intent.charge().unwrap().balance_transaction.object().unwrap();
    assert_eq!((moved.amount, moved.net, moved.kind.as_str()), (499, 499, "charge"));
    assert_eq!(moved.source_id(), intent.charge_id());
    assert_eq!(&stripe.balance_transaction(&moved.id).await.unwrap(), moved);

    let new = NewRefund { payment_intent: payment.clone(), amount: 99, metadata: words() };
    let refund = stripe.create_refund(&new, &key("r")).await.unwrap();
    assert_eq!((&refund.status, refund.amount), (&RefundStatus::Succeeded, 99));
    assert_eq!(refund.payment_intent.as_deref(), Some(&*payment));
    assert_eq!(stripe.refund(&refund.id).await.unwrap(), refund);
    let page = stripe.refunds_of(&payment, None).await.unwrap();
    assert_eq!((page.data, page.has_more), (vec![refund], false));
    let charge = stripe.charge(intent.charge_id().unwrap()).await.unwrap();
    assert_eq!((charge.paid, charge.amount_refunded), (true, 99));
}

#[tokio::test]
#[ignore = "needs localstripe: scripts/test-localstripe"]
async fn localstripe_takes_payments_that_come_again() {
    let stripe = stripe();
    let customer = customer(&stripe).await;
    let method = card(&customer).await;
    let default = [("invoice_settings[default_payment_method]", method.as_str())];
    post(&format!("customers/{customer}"), &default).await;
    let product = stripe.create_product("Plan", &key("p")).await.unwrap();
    let fields =
        [("amount", "499"), ("currency", "usd"), ("interval", "week"), ("product", &product.id)];
    let plan = post("plans", &fields).await;
    let fields = [
        ("customer", customer.as_str()),
        ("items[0][plan]", id(&plan)),
        ("metadata[order]", "ord_1"),
    ];
    let made = post("subscriptions", &fields).await;

    let subscription = stripe.subscription(id(&made)).await.unwrap();
    assert_eq!(subscription.status, SubscriptionStatus::Active);
    assert_eq!(subscription.metadata, words());
    let from = made["current_period_start"].as_i64().unwrap();
    assert_eq!(subscription.current_period_end - from, 7 * 86_400);
    let invoice = subscription.latest_invoice.object().unwrap();
    assert_eq!(invoice.status, Some(InvoiceStatus::Paid));
    assert_eq!((invoice.amount_paid, invoice.currency.as_str()), (499, "usd"));
    let page = stripe.invoices_of(&subscription.id, None).await.unwrap();
    let [listed] = &page.data[..] else { panic!("{page:?}") };
    assert_eq!((&listed.id, listed.intent_id()), (&invoice.id, invoice.intent_id()));
    let intent = listed.payment_intent.object().unwrap();
    assert_eq!((&intent.status, intent.amount), (&PaymentIntentStatus::Succeeded, 499));

    let over = stripe.cancel_subscription(&subscription.id).await.unwrap();
    assert_eq!(over.status, SubscriptionStatus::Canceled);
    let page = stripe.subscriptions_of(&customer, None).await.unwrap();
    let listed: Vec<_> = page.data.iter().map(|one| (&one.id, &one.status)).collect();
    assert_eq!(listed, [(&subscription.id, &SubscriptionStatus::Canceled)]);
}

#[tokio::test]
#[ignore = "needs localstripe: scripts/test-localstripe"]
async fn localstripe_tells_what_happened() {
    let stripe = stripe();
    let customer = customer(&stripe).await;
    let payment = paid(&customer).await;
    let query = EventsQuery { created_from: Some(1), ..EventsQuery::default() };
    let mut after: Option<String> = None;
    let found = loop {
        let page = stripe.events(&query, after.as_deref()).await.unwrap();
        let found = page.data.iter().find(|event| event.object_id() == Some(&payment));
        if let Some(found) = found {
            break found.clone();
        }
        assert!(page.has_more, "no event of {payment}");
        after = page.data.last().map(|event| event.id.clone());
    };
    assert_eq!(found.kind, "payment_intent.succeeded");
    assert_eq!((found.object_kind(), found.livemode), (Some("payment_intent"), false));
    assert_eq!(stripe.event(&found.id).await.unwrap(), found);
}

#[tokio::test]
#[ignore = "needs localstripe: scripts/test-localstripe"]
async fn localstripe_refuses_what_it_does_not_know() {
    let stripe = stripe();
    let new = NewPaymentIntent {
        amount: 499,
        currency: "usd".to_owned(),
        customer: customer(&stripe).await,
        description: None,
        metadata: words(),
    };
    for error in [
        stripe.create_payment_intent(&new, &key("i")).await.unwrap_err(),
        stripe.payment_intent("pi_none").await.unwrap_err(),
        stripe.subscription("sub_none").await.unwrap_err(),
        stripe.create_setup_intent("nobody", &words(), &key("n")).await.unwrap_err(),
    ] {
        assert!(matches!(&error, CallError::Refused { .. }), "{error}");
    }
}
