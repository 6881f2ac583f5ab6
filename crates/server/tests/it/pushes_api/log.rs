//! What a partner sees of what was told.

use domain::{Mode, Span};
use testkit::{Engine, Receiver, Reply, TestMall, on_both_engines};

use super::{added, listener};

on_both_engines!(a_sample_tells_what_came_of_it, the_log_is_read_page_by_page);

async fn a_sample_tells_what_came_of_it(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let issued = added(&mall, &shop, &receiver.url("/hook")).await;
    let id = issued.endpoint.endpoint_id.as_str();
    let key = sdk::push::Key::parse(&issued.key.key_id, &issued.key.hex).unwrap();

    let taken = client.test_push_endpoint(id).await.unwrap();
    let attempt = taken.attempt.unwrap();
    assert_eq!((taken.state.as_str(), attempt.status), ("delivered", Some(200)));
    assert_eq!((attempt.failure.as_str(), attempt.said.as_str()), ("", "seen"));
    assert_eq!(attempt.tried_at, mall.now().as_millis());
    let push = receiver.received().pop().unwrap();
    assert_eq!(push.path, "/hook");
    let event = push.verify(&[key], &mall);
    assert_eq!((event.event_type.as_str(), &event.event_id), ("push.sample", &taken.event_id));
    assert_eq!((event.mode.as_str(), event.partner_code.as_str()), ("test", "SHOP"));
    assert_eq!(event.data["endpoint_id"], id);

    mall.clock.advance(Span::millis(1));
    receiver.answers(|_| Reply::Status(500));
    let failed = client.test_push_endpoint(id).await.unwrap();
    assert_eq!((failed.state.as_str(), failed.attempt.unwrap().status), ("failed", Some(500)));
    receiver.stop().await;
    mall.clock.advance(Span::millis(1));
    let missed = client.test_push_endpoint(id).await.unwrap();
    let attempt = missed.attempt.unwrap();
    assert_eq!((missed.state.as_str(), attempt.status), ("failed", None));
    assert_eq!(attempt.failure, "connection");
    assert!(!attempt.said.is_empty());

    // All of it is in the log, and none of it is repeated or counts against the endpoint.
    let log = client.push_deliveries(id, ("", ""), "").await.unwrap();
    let told: Vec<(&str, i64)> =
        log.deliveries.iter().map(|one| (one.state.as_str(), one.sequence)).collect();
    assert_eq!(told, [("failed", 3), ("failed", 2), ("delivered", 1)]);
    assert_eq!(log.deliveries[2].event_id, taken.event_id);
    assert!(log.deliveries.iter().all(|one| one.attempts.len() == 1 && one.body.is_none()));
    assert!(log.deliveries.iter().all(|one| one.due_at.is_none() && one.decided_at.is_some()));
    let failed = client.push_deliveries(id, ("", "failed"), "").await.unwrap();
    assert_eq!(failed.deliveries, log.deliveries[..2]);
    let one = client.push_deliveries(id, (&taken.event_id, ""), "").await.unwrap();
    assert_eq!(one.deliveries.len(), 1);
    assert_eq!(one.deliveries[0].body.as_deref(), std::str::from_utf8(&push.body).ok());
    let unknown = format!("evt_{}", "0".repeat(32));
    for event in [unknown.as_str(), "x", &id.replace("end_", "evt_")] {
        let refused = client.push_deliveries(id, (event, ""), "").await.unwrap_err();
        assert_eq!(refused.code(), Some("EVENT_UNKNOWN"), "{event}");
    }
    let endpoint = client.push_endpoints().await.unwrap().pop().unwrap();
    assert_eq!((endpoint.failures, endpoint.failing_since, endpoint.waiting), (0, None, 0));

    // Another endpoint has a log of its own.
    let other = listener(&mall, &shop).await.endpoint.endpoint_id;
    let refused = client.push_deliveries(&other, (&taken.event_id, ""), "").await.unwrap_err();
    assert_eq!(refused.code(), Some("EVENT_UNKNOWN"));
    mall.stop().await;
}

async fn the_log_is_read_page_by_page(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let id = added(&mall, &shop, &receiver.url("/")).await.endpoint.endpoint_id;
    let mut sent = Vec::new();
    for _ in 0..55 {
        mall.clock.advance(Span::millis(1));
        sent.push(client.test_push_endpoint(&id).await.unwrap().event_id);
    }
    sent.reverse();
    let first = client.push_deliveries(&id, ("", ""), "").await.unwrap();
    let cursor = first.next_cursor.unwrap();
    let second = client.push_deliveries(&id, ("", ""), &cursor).await.unwrap();
    assert_eq!((first.deliveries.len(), second.deliveries.len()), (50, 5));
    assert_eq!(second.next_cursor, None);
    let both = first.deliveries.iter().chain(&second.deliveries);
    assert_eq!(both.map(|one| one.event_id.clone()).collect::<Vec<_>>(), sent);
    let refused = client.push_deliveries(&id, ("", ""), "nonsense").await.unwrap_err();
    assert_eq!(refused.code(), Some("EVENT_UNKNOWN"));
    mall.stop().await;
}
