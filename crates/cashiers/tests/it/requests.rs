//! What arrives at Stripe, call by call.

use cashiers::stripe::{
    API_VERSION, CallError, EventsQuery, Interval, Metadata, NewPaymentIntent, NewPrice, NewRefund,
    NewSubscription,
};

use crate::peer::{Ending, Peer, SECRET, Seen, key};

/// An answer that is enough of every object.
const ANY: &str = r#"{"id":"x_1","object":"x","status":"active","type":"card","amount":1,
    "currency":"usd","created":1,"livemode":false,"data":[],"has_more":false}"#;
const EVENT: &str = r#"{"id":"evt_1","type":"invoice.paid","created":1,"livemode":false,
    "data":{"object":{"id":"in_1","object":"invoice"}}}"#;

fn words() -> Metadata {
    [("mode", "test"), ("order", "ord_1")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
}

/// A form with its percents taken out, for people.
fn plain(form: &str) -> String {
    let hex = [("%5B", "["), ("%5D", "]"), ("%27", "'"), ("%3A", ":"), ("%40", "@")];
    hex.iter().fold(form.to_owned(), |text, (from, to)| text.replace(from, to))
}

async fn peer() -> Peer {
    Peer::start(Ending::answer(200, "", ANY)).await
}

fn last(peer: &Peer) -> Seen {
    peer.seen().pop().unwrap()
}

#[track_caller]
fn assert_read(peer: &Peer, line: &str) {
    let seen = last(peer);
    assert_eq!(plain(&seen.line), line);
    assert_eq!(seen.header("stripe-version"), Some(API_VERSION));
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {SECRET}")));
    assert_eq!((seen.header("idempotency-key"), &*seen.body), (None, ""));
}

#[track_caller]
fn assert_write(peer: &Peer, line: &str, body: &str) {
    let seen = last(peer);
    assert_eq!((&*plain(&seen.line), &*plain(&seen.body)), (line, body));
    assert_eq!(seen.header("stripe-version"), Some(API_VERSION));
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {SECRET}")));
    assert_eq!(seen.header("idempotency-key"), Some("k1"));
    let form = (!body.is_empty()).then_some("application/x-www-form-urlencoded");
    assert_eq!(seen.header("content-type"), form);
}

#[tokio::test]
async fn payments() {
    let peer = peer().await;
    let (stripe, key) = (peer.client(), key("k1"));
    let new = NewPaymentIntent {
        amount: 499,
        currency: "usd".to_owned(),
        customer: "cus_1".to_owned(),
        description: None,
        metadata: words(),
    };
    stripe.create_payment_intent(&new, &key).await.unwrap();
    let body = "amount=499&currency=usd&customer=cus_1&automatic_payment_methods[enabled]=true\
                &metadata[mode]=test&metadata[order]=ord_1";
    assert_write(&peer, "POST /v1/payment_intents", body);
    stripe.payment_intent("pi_1").await.unwrap();
    let whole = "latest_charge.balance_transaction";
    assert_read(&peer, &format!("GET /v1/payment_intents/pi_1?expand[]={whole}"));
    stripe.search_payment_intents("payment", "pay'1").await.unwrap();
    let line = format!(
        r"GET /v1/payment_intents/search?query=metadata['payment']:'pay%5C'1'&limit=100&expand[]=data.{whole}"
    );
    assert_read(&peer, &line);
    stripe.payment_intents_of("cus_1", Some("pi_1")).await.unwrap();
    let line = "GET /v1/payment_intents?customer=cus_1&limit=100&starting_after=pi_1";
    let line = &format!("{line}&expand[]=data.{whole}");
    assert_read(&peer, line);
    stripe.cancel_payment_intent("pi_1", &key).await.unwrap();
    let line = "POST /v1/payment_intents/pi_1/cancel";
    assert_write(&peer, line, "cancellation_reason=abandoned");
    let refund =
        NewRefund { payment_intent: "pi_1".to_owned(), amount: 99, metadata: Metadata::new() };
    stripe.create_refund(&refund, &key).await.unwrap();
    assert_write(&peer, "POST /v1/refunds", "payment_intent=pi_1&amount=99");
}

#[tokio::test]
async fn saved_cards() {
    let peer = peer().await;
    let (stripe, key) = (peer.client(), key("k1"));
    stripe.create_setup_intent("cus_1", &words(), &key).await.unwrap();
    let body = "customer=cus_1&usage=off_session&automatic_payment_methods[enabled]=true\
                &metadata[mode]=test&metadata[order]=ord_1";
    assert_write(&peer, "POST /v1/setup_intents", body);
    stripe.setup_intent("seti_1").await.unwrap();
    assert_read(&peer, "GET /v1/setup_intents/seti_1");
    stripe.create_ephemeral_key("cus_1", &key).await.unwrap();
    assert_write(&peer, "POST /v1/ephemeral_keys", "customer=cus_1");
}

#[tokio::test]
async fn subscriptions() {
    let peer = peer().await;
    let (stripe, key) = (peer.client(), key("k1"));
    stripe.create_product("Plan", &key).await.unwrap();
    assert_write(&peer, "POST /v1/products", "name=Plan");
    for (interval, unit, count) in
        [(Interval::Days(30), "day", 30), (Interval::Months(3), "month", 3)]
    {
        let (product, currency) = ("prod_1".to_owned(), "usd".to_owned());
        let price = NewPrice { product, amount: 499, currency, interval };
        stripe.create_price(&price, &key).await.unwrap();
        let body = format!(
            "product=prod_1&unit_amount=499&currency=usd\
             &recurring[interval]={unit}&recurring[interval_count]={count}"
        );
        assert_write(&peer, "POST /v1/prices", &body);
    }
    let new = NewSubscription {
        customer: "cus_1".to_owned(),
        price: "price_1".to_owned(),
        payment_method: "pm_1".to_owned(),
        metadata: words(),
    };
    stripe.create_subscription(&new, &key).await.unwrap();
    let body = "customer=cus_1&items[0][price]=price_1&default_payment_method=pm_1\
                &payment_behavior=error_if_incomplete&metadata[mode]=test&metadata[order]=ord_1\
                &expand[]=latest_invoice";
    assert_write(&peer, "POST /v1/subscriptions", body);
    stripe.subscription("sub_1").await.unwrap();
    assert_read(&peer, "GET /v1/subscriptions/sub_1?expand[]=latest_invoice");
    stripe.cancel_subscription("sub_1").await.unwrap();
    assert_read(&peer, "DELETE /v1/subscriptions/sub_1");
    stripe.subscriptions_of("cus_1", None).await.unwrap();
    let line =
        "GET /v1/subscriptions?customer=cus_1&status=all&limit=100&expand[]=data.latest_invoice";
    assert_read(&peer, line);
    stripe.invoices_of("sub_1", Some("in_1")).await.unwrap();
    let line = "GET /v1/invoices?subscription=sub_1&limit=100&starting_after=in_1\
                &expand[]=data.payment_intent";
    assert_read(&peer, line);
}

#[tokio::test]
async fn look_ups() {
    let peer = peer().await;
    let stripe = peer.client();
    stripe.charge("ch_1").await.unwrap();
    assert_read(&peer, "GET /v1/charges/ch_1?expand[]=balance_transaction");
    stripe.dispute("dp_1").await.unwrap();
    assert_read(&peer, "GET /v1/disputes/dp_1");
    stripe.balance_transaction("txn_1").await.unwrap();
    assert_read(&peer, "GET /v1/balance_transactions/txn_1");
    assert!(!stripe.customer("cus_1").await.unwrap().deleted);
    assert_read(&peer, "GET /v1/customers/cus_1");
    let query = EventsQuery { types: &["invoice.paid"], created_from: Some(5) };
    stripe.events(&query, Some("evt_1")).await.unwrap();
    let line = "GET /v1/events?types[]=invoice.paid&created[gte]=5&limit=100&starting_after=evt_1";
    assert_read(&peer, line);
    let peer = Peer::start(Ending::answer(200, "", EVENT)).await;
    assert_eq!(peer.client().event("evt_1").await.unwrap().object_id(), Some("in_1"));
    assert_read(&peer, "GET /v1/events/evt_1");
}

#[tokio::test]
async fn an_id_leads_nowhere_else() {
    let peer = peer().await;
    let stripe = peer.client();
    for id in ["", ".", "..", "a/b", "a?b", "a#b", "a%2Fb", "pi_1/cancel", "ü", "a b"] {
        let error = stripe.payment_intent(id).await.unwrap_err();
        assert!(matches!(&error, CallError::Refused { .. }), "{id}: {error}");
        let error = stripe.cancel_subscription(id).await.unwrap_err();
        assert!(matches!(&error, CallError::Refused { .. }), "{id}: {error}");
    }
    assert_eq!(peer.seen().len(), 0);
}
