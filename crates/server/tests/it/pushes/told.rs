//! What partners are told of, and what it says.

use domain::Mode;
use domain::push::DeliveryState;
use sdk::push::EventType;
use testkit::{Engine, Receiver, TestMall, on_both_engines};

on_both_engines!(an_order_is_told_once_and_signed_twice);

async fn an_order_is_told_once_and_signed_twice(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/hook"), &[]).await;
    let client = partner.client(&mall);
    let order = partner.paid_order(&partner.sims[0], "N1");
    client.syn_order_info(&order).await.unwrap();
    // A report that comes again changes nothing.
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    mall.settle_pushes().await;
    let received = receiver.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let event = received[0].verify(std::slice::from_ref(&endpoint.key), &mall);
    assert_eq!(event.kind(), Some(EventType::RechargeSuccess));
    assert_eq!((event.mode.as_str(), event.partner_code.as_str()), ("test", "P100"));
    assert!(received[0].headers["x-lf-signature"].to_str().unwrap().starts_with("k1/"));
    let told = event.order().unwrap();
    let asked = client.order("N1").await.unwrap();
    assert_eq!(told, asked);
    assert_eq!(event.occurred_at, told.provisioned_at.unwrap());
    let deliveries = endpoint.deliveries(&mall).await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].state, deliveries[0].tries), (DeliveryState::Delivered, 1));
    let attempts = endpoint.attempts(&mall, deliveries[0].event_id).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].status, attempts[0].said.as_str()), (Some(200), "seen"));
    mall.stop().await;
}
