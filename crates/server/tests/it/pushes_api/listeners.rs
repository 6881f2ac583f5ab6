//! Listeners: events that are taken instead of sent.

use domain::{Mode, Span};
use sdk::push::{Key, verify};
use sdk::push_endpoints::SignedEvent;
use sdk::{Again, ChangeEndpoint};
use testkit::{Engine, TestMall, on_both_engines};

use super::{added, listener};

on_both_engines!(
    what_is_taken_comes_again_until_it_is_acknowledged,
    a_listener_that_is_left_is_deleted
);

fn ids(events: &[SignedEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event_id.as_str()).collect()
}

async fn what_is_taken_comes_again_until_it_is_acknowledged(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let client = shop.client(&mall);
    let issued = listener(&mall, &shop).await;
    let id = issued.endpoint.endpoint_id.as_str();
    let key = Key::parse(&issued.key.key_id, &issued.key.whsec).unwrap();
    assert_eq!(client.take_pushes(id, &[], 100).await.unwrap().events, []);
    let first = client.test_push_endpoint(id).await.unwrap();
    assert_eq!((first.state.as_str(), first.attempt), ("waiting", None));
    mall.clock.advance(Span::millis(1));
    let second = client.test_push_endpoint(id).await.unwrap().event_id;
    assert_eq!(client.push_endpoints().await.unwrap()[0].waiting, 2);

    // Of one subject only what comes first, again and again, with the same id.
    for _ in 0..2 {
        let taken = client.take_pushes(id, &[], 100).await.unwrap().events;
        assert_eq!(ids(&taken), [first.event_id.as_str()]);
        let millis = u64::try_from(mall.now().as_millis()).unwrap();
        let now = std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis);
        let event =
            verify(&taken[0].headers, taken[0].body.as_bytes(), std::slice::from_ref(&key), now);
        assert_eq!(event.unwrap().event_id, first.event_id);
        mall.clock.advance(Span::minutes(10));
    }
    // What is not its own, or nothing at all, is not acknowledged.
    let strange = [second.clone(), "x".to_owned(), format!("evt_{}", "0".repeat(32))];
    let taken = client.take_pushes(id, &strange[1..], 0).await.unwrap();
    assert_eq!(taken.events, []);
    let taken =
        client.take_pushes(id, std::slice::from_ref(&first.event_id), 100).await.unwrap().events;
    assert_eq!(ids(&taken), [second.as_str()]);
    let log = client.push_deliveries(id, ("", ""), "").await.unwrap().deliveries;
    let states: Vec<&str> = log.iter().map(|one| one.state.as_str()).collect();
    assert_eq!(states, ["waiting", "delivered"]);
    assert_eq!(log[1].attempts.len(), 1);
    assert_eq!((log[1].attempts[0].status, log[1].attempts[0].failure.as_str()), (None, ""));
    // Told again it is acknowledged again, and both are kept.
    mall.clock.advance(Span::minutes(1));
    client.resend_pushes(id, Again::Event(&first.event_id), "").await.unwrap();
    client.take_pushes(id, std::slice::from_ref(&first.event_id), 0).await.unwrap();
    let log = client.push_deliveries(id, ("", ""), "").await.unwrap().deliveries;
    assert_eq!((log[1].state.as_str(), log[1].attempts.len()), ("delivered", 2));

    // While it is paused, its events wait.
    let change = |paused| ChangeEndpoint {
        endpoint_id: id.to_owned(),
        paused: Some(paused),
        ..ChangeEndpoint::default()
    };
    client.change_push_endpoint(&change(true)).await.unwrap();
    assert_eq!(client.take_pushes(id, &[], 100).await.unwrap().events, []);
    client.change_push_endpoint(&change(false)).await.unwrap();
    assert_eq!(ids(&client.take_pushes(id, &[], 100).await.unwrap().events), [second.as_str()]);
    assert_eq!(client.take_pushes(id, &[second], 100).await.unwrap().events, []);

    // Nothing is taken from where it is sent.
    let url = added(&mall, &shop, "https://shop.example/").await.endpoint.endpoint_id;
    let refused = client.take_pushes(&url, &[], 100).await.unwrap_err();
    assert_eq!(refused.code(), Some("ENDPOINT_REFUSED"));
    mall.stop().await;
}

async fn a_listener_that_is_left_is_deleted(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let client = shop.client(&mall);
    let left = listener(&mall, &shop).await.endpoint.endpoint_id;
    let busy = listener(&mall, &shop).await.endpoint.endpoint_id;
    let url = added(&mall, &shop, "https://shop.example/").await.endpoint.endpoint_id;
    let there = async || {
        mall.mall().sweep_pushes().await.unwrap();
        let all = client.push_endpoints().await.unwrap();
        all.into_iter().map(|endpoint| endpoint.endpoint_id).collect::<Vec<_>>()
    };
    mall.clock.advance(Span::minutes(59));
    client.take_pushes(&busy, &[], 100).await.unwrap();
    assert_eq!(there().await.len(), 3);
    mall.clock.advance(Span::minutes(2));
    let mut rest = [busy.clone(), url.clone()];
    rest.sort();
    let mut found = there().await;
    found.sort();
    assert_eq!(found, rest);
    let gone = client.take_pushes(&left, &[], 100).await.unwrap_err();
    assert_eq!(gone.code(), Some("ENDPOINT_UNKNOWN"));
    mall.clock.advance(Span::minutes(59));
    assert_eq!(there().await, [url]);
    mall.stop().await;
}
