//! Keys: shown once, two at most, and a receiver that has either goes on.

use domain::{Mode, Span};
use sdk::push::Key;
use sdk::push_endpoints::IssuedKey;
use testkit::{Engine, Receiver, TestMall, TestPartner, on_both_engines};

use super::added;

on_both_engines!(keys_take_each_others_place, a_key_that_leaked_goes_at_once);

fn key(issued: &IssuedKey) -> Key {
    let key = Key::parse(&issued.key_id, &issued.hex).unwrap();
    assert_eq!(Key::parse(&issued.key_id, &issued.whsec), Ok(key.clone()));
    key
}

/// Sends a sample, and tells which of the keys verify it, each alone, and which one the vendor's header names.
async fn verifiers(
    (mall, shop, receiver): (&TestMall, &TestPartner, &Receiver),
    id: &str,
    keys: &[&Key],
) -> (Vec<bool>, String) {
    let sample = shop.client(mall).test_push_endpoint(id).await.unwrap();
    assert_eq!(sample.state, "delivered");
    let push = receiver.received().pop().unwrap();
    assert_eq!(push.event_id(), sample.event_id);
    let now = std::time::UNIX_EPOCH
        + std::time::Duration::from_millis(u64::try_from(mall.now().as_millis()).unwrap());
    let headers = || push.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let verifies = |key: &&Key| {
        sdk::push::verify(headers(), &push.body, std::slice::from_ref(*key), now).is_ok()
    };
    let named = push.headers["x-lf-signature"].to_str().unwrap();
    (keys.iter().map(verifies).collect(), named.split('/').next().unwrap().to_owned())
}

async fn keys_take_each_others_place(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let issued = added(&mall, &shop, &receiver.url("/")).await;
    let (id, first) = (issued.endpoint.endpoint_id, key(&issued.key));
    let all = (&mall, &shop, &receiver);
    let told = verifiers(all, &id, &[&first]).await;
    assert_eq!(told, (vec![true], first.id().to_owned()));

    let rotated = client.rotate_push_key(&id, 24).await.unwrap();
    let second = key(&rotated.key);
    let shown = &rotated.endpoint.keys;
    assert_eq!(shown.len(), 2);
    assert_eq!((shown[0].key_id.as_str(), shown[0].retires_at), (second.id(), None));
    let in_a_day = (mall.now() + Span::days(1)).as_millis();
    assert_eq!((shown[1].key_id.as_str(), shown[1].retires_at), (first.id(), Some(in_a_day)));
    // Either will do, and the vendor's header is the newer one's.
    let told = verifiers(all, &id, &[&first, &second]).await;
    assert_eq!(told, (vec![true, true], second.id().to_owned()));
    // A third one would leave a receiver without any.
    let refused = client.rotate_push_key(&id, 1).await.unwrap_err();
    assert_eq!(refused.code(), Some("ENDPOINT_REFUSED"));
    assert!(refused.to_string().contains("Two keys"), "{refused}");

    mall.clock.advance(Span::millis(86_399_999));
    assert_eq!(verifiers(all, &id, &[&first, &second]).await.0, [true, true]);
    mall.clock.advance(Span::millis(1));
    let told = verifiers(all, &id, &[&first, &second]).await;
    assert_eq!(told, (vec![false, true], second.id().to_owned()));
    assert_eq!(client.push_endpoints().await.unwrap()[0].keys.len(), 1);
    let third = key(&client.rotate_push_key(&id, 168).await.unwrap().key);
    let told = verifiers(all, &id, &[&first, &second, &third]).await;
    assert_eq!(told, (vec![false, true, true], third.id().to_owned()));
    mall.stop().await;
}

async fn a_key_that_leaked_goes_at_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let issued = added(&mall, &shop, &receiver.url("/")).await;
    let (id, first) = (issued.endpoint.endpoint_id, key(&issued.key));
    let second = key(&client.rotate_push_key(&id, 168).await.unwrap().key);
    // With no overlap there is room for one more, since both others go.
    let third = key(&client.rotate_push_key(&id, 0).await.unwrap().key);
    let told = verifiers((&mall, &shop, &receiver), &id, &[&first, &second, &third]).await;
    assert_eq!(told, (vec![false, false, true], third.id().to_owned()));
    let listed = client.push_endpoints().await.unwrap();
    assert_eq!(listed[0].keys.len(), 1);
    mall.stop().await;
}
