//! From a signed call to a push: what an endpoint that was added is told, and told again.

use domain::{Mode, Span};
use sdk::push::{EventType, Key};
use sdk::{AddEndpoint, Again, ChangeEndpoint};
use testkit::{
    Engine, Received, Receiver, Reply, TestMall, TestPartner, on_both_engines, write_push_events,
};

use super::{added, listener};

on_both_engines!(
    an_order_is_pushed_to_whoever_added_an_endpoint,
    what_was_told_is_told_again_in_its_order,
    what_failed_is_told_again,
    more_than_one_call_does_goes_on_where_it_ended,
    while_it_is_paused_events_wait,
    a_listener_hears_of_orders,
    what_is_deleted_is_told_nothing_more,
);

/// Reports a paid order, and waits until its plan is on the SIM and was told of.
async fn order(mall: &TestMall, shop: &TestPartner, number: &str) {
    let paid = shop.paid_order(&shop.sims[0], number);
    shop.client(mall).syn_order_info(&paid).await.unwrap();
    mall.settle().await;
    mall.settle_pushes().await;
    mall.clock.advance(Span::millis(1));
}

fn change(id: &str, paused: bool) -> ChangeEndpoint {
    ChangeEndpoint { endpoint_id: id.to_owned(), paused: Some(paused), ..ChangeEndpoint::default() }
}

async fn an_order_is_pushed_to_whoever_added_an_endpoint(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let other = mall.add_partner("OTHER", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let issued = added(&mall, &shop, &receiver.url("/hook")).await;
    added(&mall, &other, &receiver.url("/other")).await;
    let deaf = AddEndpoint {
        url: receiver.url("/deaf"),
        events: vec!["order.refunded".to_owned()],
        ..AddEndpoint::default()
    };
    client.add_push_endpoint(&deaf).await.unwrap();
    order(&mall, &shop, "N1").await;

    let came = receiver.received();
    assert_eq!(came.iter().map(|push| push.path.as_str()).collect::<Vec<_>>(), ["/hook"]);
    let key = Key::parse(&issued.key.key_id, &issued.key.whsec).unwrap();
    let event = came[0].verify(&[key], &mall);
    assert_eq!(event.kind(), Some(EventType::RechargeSuccess));
    assert_eq!(event.order().unwrap(), client.order("N1").await.unwrap());
    let id = &issued.endpoint.endpoint_id;
    let log = client.push_deliveries(id, ("", "delivered"), "").await.unwrap().deliveries;
    assert_eq!(log.len(), 1);
    assert_eq!((&log[0].event_id, log[0].tries, log[0].sequence), (&event.event_id, 1, 1));
    assert_eq!((log[0].attempts[0].status, log[0].attempts[0].said.as_str()), (Some(200), "seen"));
    let mut all = client.push_endpoints().await.unwrap();
    all.retain(|endpoint| endpoint.endpoint_id == *id);
    assert!(all[0].succeeded_at.is_some() && all[0].failures == 0, "{all:?}");
    mall.stop().await;
}

async fn what_was_told_is_told_again_in_its_order(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let id = added(&mall, &shop, &receiver.url("/a")).await.endpoint.endpoint_id;
    let before = mall.now().as_millis();
    order(&mall, &shop, "N1").await;
    let between = mall.now().as_millis();
    order(&mall, &shop, "N2").await;
    // Two of one subject: the order and its refund.
    let refunded = client.order("N1").await.unwrap().order_id;
    let operator = mall.admin(domain::Role::Operator).await;
    let reason = serde_json::json!({"reason": "asked by phone"});
    operator.post(&format!("/test/orders/{refunded}/refund"), &reason).await.done();
    mall.settle().await;
    mall.settle_pushes().await;
    let first: Vec<String> =
        receiver.received().iter().map(|push| push.event_id().to_owned()).collect();
    assert_eq!(receiver.types(), ["recharge.success", "recharge.success", "order.refunded"]);
    client.test_push_endpoint(&id).await.unwrap();

    // All of some time: the same events with the same ids; of a subject in its order. No sample.
    let ids = async |again: Again<'_>, many: i64| {
        let seen = receiver.received().len();
        let resent = client.resend_pushes(&id, again, "").await.unwrap();
        assert_eq!((resent.count, resent.next_cursor), (many, None), "{again:?}");
        mall.settle_pushes().await;
        let came = receiver.received();
        came[seen..].iter().map(|push| push.event_id().to_owned()).collect::<Vec<_>>()
    };
    let now = mall.now().as_millis() + 1;
    let again = ids(Again::Recorded(before, now), 3).await;
    let mut sorted = (again.clone(), first.clone());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    let place = |event: &String| again.iter().position(|one| one == event);
    assert!(place(&first[0]) < place(&first[2]), "the refund went before the order");
    assert_eq!(ids(Again::Recorded(before, between), 1).await, first[..1]);
    assert_eq!(ids(Again::Event(&first[1]), 1).await, first[1..2]);
    assert_eq!(ids(Again::FailedSince(before), 0).await, Vec::<String>::new());
    let log = client.push_deliveries(&id, (&first[1], ""), "").await.unwrap();
    assert_eq!(log.deliveries[0].attempts.len(), 3);

    // An endpoint that is younger than an event can be told it too.
    let young = added(&mall, &shop, &receiver.url("/young")).await.endpoint.endpoint_id;
    client.resend_pushes(&young, Again::Event(&first[0]), "").await.unwrap();
    mall.settle_pushes().await;
    let told = receiver.received_at("/young");
    assert_eq!(told.iter().map(Received::event_id).collect::<Vec<_>>(), [first[0].as_str()]);
    let unknown = format!("evt_{}", "0".repeat(32));
    let refused = client.resend_pushes(&id, Again::Event(&unknown), "").await.unwrap_err();
    assert_eq!(refused.code(), Some("EVENT_UNKNOWN"));
    let refused = client.resend_pushes(&id, Again::Recorded(0, now), "more").await.unwrap_err();
    assert_eq!(refused.code(), Some("EVENT_UNKNOWN"));
    mall.stop().await;
}

async fn what_failed_is_told_again(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let id = added(&mall, &shop, &receiver.url("/")).await.endpoint.endpoint_id;
    let begun = mall.now().as_millis();
    order(&mall, &shop, "N1").await;
    // One event is refused for good while others are taken, so that it fails alone.
    let poison = receiver.received()[0].event_id().to_owned();
    let refused = poison.clone();
    receiver.answers(move |push| Reply::Status(if push.event_id() == refused { 400 } else { 200 }));
    client.resend_pushes(&id, Again::Event(&poison), "").await.unwrap();
    for number in 0..10 {
        mall.clock.advance(Span::minutes(11 * 60));
        mall.settle_pushes().await;
        order(&mall, &shop, &format!("M{number}")).await;
    }
    let failed = client.push_deliveries(&id, ("", "failed"), "").await.unwrap().deliveries;
    let failed: Vec<_> = failed.iter().map(|one| (one.event_id.as_str(), one.tries)).collect();
    assert_eq!(failed, [(poison.as_str(), 8)]);

    receiver.answers(|_| Reply::Status(200));
    let seen = receiver.received().len();
    // Since a time that it was recorded before, there is nothing.
    let later = mall.now().as_millis();
    assert_eq!(client.resend_pushes(&id, Again::FailedSince(later), "").await.unwrap().count, 0);
    assert_eq!(client.resend_pushes(&id, Again::FailedSince(begun), "").await.unwrap().count, 1);
    mall.settle_pushes().await;
    let came = receiver.received();
    assert_eq!(came[seen..].iter().map(Received::event_id).collect::<Vec<_>>(), [poison]);
    assert_eq!(client.push_deliveries(&id, ("", "failed"), "").await.unwrap().deliveries, []);
    mall.stop().await;
}

async fn more_than_one_call_does_goes_on_where_it_ended(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let endpoint = mall.add_endpoint(&shop, &receiver.url("/"), &[]).await;
    let id = endpoint.row.id.to_string();
    client.change_push_endpoint(&change(&id, true)).await.unwrap();
    let begun = mall.now().as_millis();
    // Written a few at a time, as they happen.
    let (parts, each) = (52, 400);
    for _ in 0..parts {
        mall.clock.advance(Span::millis(1));
        write_push_events((mall.store(), mall.mall().ctx()), &[&endpoint], (each, 1)).await;
    }
    mall.database.execute("UPDATE push_events SET event_type = 'recharge.success'").await;
    let all = i64::try_from(parts * each).unwrap();
    let waiting = async || i64::try_from(endpoint.waiting_in(mall.store()).await.len()).unwrap();
    let end = mall.now().as_millis() + 1;
    for (state, again) in
        [("delivered", Again::Recorded(begun, end)), ("failed", Again::FailedSince(begun))]
    {
        let decided = format!("UPDATE push_deliveries SET state = '{state}', tries = 1");
        assert_eq!(mall.database.execute(&decided).await, u64::try_from(all).unwrap());
        assert_eq!(waiting().await, 0);
        let first = client.resend_pushes(&id, again, "").await.unwrap();
        let cursor = first.next_cursor.unwrap();
        assert!(first.count < all && waiting().await == first.count);
        let second = client.resend_pushes(&id, again, &cursor).await.unwrap();
        assert_eq!((first.count + second.count, second.next_cursor), (all, None), "{state}");
        assert_eq!(waiting().await, all);
    }
    mall.stop().await;
}

async fn while_it_is_paused_events_wait(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let id = added(&mall, &shop, &receiver.url("/")).await.endpoint.endpoint_id;
    client.change_push_endpoint(&change(&id, true)).await.unwrap();
    order(&mall, &shop, "N1").await;
    order(&mall, &shop, "N2").await;
    assert_eq!(receiver.received().len(), 0);
    assert_eq!(client.push_endpoints().await.unwrap()[0].waiting, 2);
    // A sample goes all the same: somebody wants to see whether it would work.
    assert_eq!(client.test_push_endpoint(&id).await.unwrap().state, "delivered");
    let resumed = client.change_push_endpoint(&change(&id, false)).await.unwrap();
    assert_eq!(resumed.state, "on");
    mall.settle_pushes().await;
    assert_eq!(receiver.types(), ["push.sample", "recharge.success", "recharge.success"]);
    assert_eq!(client.push_endpoints().await.unwrap()[0].waiting, 0);
    mall.stop().await;
}

async fn a_listener_hears_of_orders(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let client = shop.client(&mall);
    let id = listener(&mall, &shop).await.endpoint.endpoint_id;
    order(&mall, &shop, "N1").await;
    order(&mall, &shop, "N2").await;
    // Of different subjects both at once, the first first.
    let taken = client.take_pushes(&id, &[], 100).await.unwrap().events;
    let orders: Vec<String> = taken
        .iter()
        .map(|event| {
            let event: sdk::push::Event = serde_json::from_str(&event.body).unwrap();
            event.order().unwrap().purchase_order_id
        })
        .collect();
    assert_eq!(orders, ["N1", "N2"]);
    let one = client.take_pushes(&id, &[], 1).await.unwrap().events;
    assert_eq!(one.len(), 1);
    let both: Vec<String> = taken.into_iter().map(|event| event.event_id).collect();
    assert_eq!(client.take_pushes(&id, &both, 100).await.unwrap().events, []);
    // What it has it can ask for again.
    client.resend_pushes(&id, Again::Event(&both[0]), "").await.unwrap();
    let again = client.take_pushes(&id, &[], 100).await.unwrap().events;
    assert_eq!(again.iter().map(|event| &event.event_id).collect::<Vec<_>>(), [&both[0]]);
    mall.stop().await;
}

async fn what_is_deleted_is_told_nothing_more(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (client, receiver) = (shop.client(&mall), Receiver::start().await);
    let id = added(&mall, &shop, &receiver.url("/")).await.endpoint.endpoint_id;
    receiver.answers(|_| Reply::Status(503));
    order(&mall, &shop, "N1").await;
    assert_eq!(receiver.received().len(), 1);
    client.delete_push_endpoint(&id).await.unwrap();
    receiver.answers(|_| Reply::Status(200));
    order(&mall, &shop, "N2").await;
    mall.advance_and_tell(Span::days(1)).await;
    assert_eq!(receiver.received().len(), 1);
    // What it left behind goes, a little at a time, and nothing is left.
    mall.mall().sweep_pushes().await.unwrap();
    let key = (Mode::Test, shop.partner.id, id.parse().unwrap());
    let mut tx = mall.store().read().await.unwrap();
    assert_eq!(tx.push_deliveries(key, None, (None, 100)).await.unwrap(), []);
    drop(tx);
    mall.stop().await;
}
