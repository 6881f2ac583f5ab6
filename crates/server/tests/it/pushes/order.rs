//! Events of one order arrive in their order, one at a time, and hold up nobody else's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use domain::push::DeliveryState;
use domain::{Mode, Span};
use testkit::{
    Engine, Received, Receiver, Recipe, Reply, TestMall, on_both_engines, write_push_events,
};

use super::{about, buy, pairs, told, up};
use crate::steps::daily;

on_both_engines!(
    events_of_an_order_wait_for_each_other,
    one_that_hangs_holds_up_no_other,
    an_event_that_fails_alone_is_given_up_and_the_next_one_goes,
    many_orders_arrive_each_in_its_order,
);

/// Tries that hang do not end by themselves, however slow the machine is.
fn patient() -> Recipe {
    Recipe { push_timeout: Span::minutes(10), ..Recipe::default() }
}

async fn events_of_an_order_wait_for_each_other(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    let fails = |push: &Received| match about(push) {
        (kind, number) if kind == "recharge.success" && number == "N1" => Reply::Status(500),
        _ => Reply::Status(200),
    };
    server.answers(fails);
    let client = partner.client(&mall);
    client.syn_order_info(&daily(&partner, &partner.sims[0], "N1", 1)).await.unwrap();
    mall.settle().await;
    mall.settle_pushes().await;
    // Its plan ends before the first event got through; other orders' events go on.
    buy((&mall, &partner), 1, "N2").await;
    mall.settle_pushes().await;
    mall.advance_and_tell(Span::days(1)).await;
    buy((&mall, &partner), 2, "N3").await;
    mall.settle_pushes().await;
    let success = "recharge.success";
    let others = told(&server).into_iter().filter(|(_, number)| number != "N1");
    assert_eq!(others.collect::<Vec<_>>(), pairs(&[(success, "N2"), (success, "N3")]));
    assert!(!told(&server).contains(&("plan.expired".to_owned(), "N1".to_owned())));
    server.answers(up);
    mall.advance_and_tell(Span::days(1)).await;
    let own = told(&server).into_iter().filter(|(_, number)| number == "N1");
    let own: Vec<_> = own.skip_while(|(kind, _)| kind == success).collect();
    assert_eq!(own, pairs(&[("plan.expired", "N1")]));
    let waits = endpoint.deliveries(&mall).await;
    assert!(waits.iter().all(|one| one.state == DeliveryState::Delivered), "{waits:?}");
    mall.stop().await;
}

async fn one_that_hangs_holds_up_no_other(engine: Engine) {
    let mall = TestMall::with(engine, patient()).await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.answers(|_| Reply::Hang(200));
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let hanging = mall.add_endpoint(&partner, &slow.url("/"), &[]).await;
    let mut others = Vec::new();
    for number in 0..40 {
        others.push(mall.add_endpoint(&partner, &quick.url(&format!("/{number}")), &[]).await);
    }
    for (sim, number) in ["N1", "N2", "N3"].into_iter().enumerate() {
        buy((&mall, &partner), sim, number).await;
        // All others have it while the one has not answered anything.
        quick.wait_for(40 * (sim + 1)).await;
        assert_eq!(slow.wait_for(1).await.len(), 1, "it is begun with gently");
    }
    let waiting = async || {
        let deliveries = hanging.deliveries(&mall).await.into_iter();
        deliveries.filter(|one| one.state == DeliveryState::Waiting).count()
    };
    assert_eq!(waiting().await, 3);
    slow.answers(up);
    slow.go_on();
    mall.settle_pushes().await;
    assert_eq!((waiting().await, slow.received().len()), (0, 3));
    assert_eq!(quick.received().len(), 120);
    mall.stop().await;
}

async fn an_event_that_fails_alone_is_given_up_and_the_next_one_goes(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    server.answers(|push| match about(push) {
        (kind, number) if kind == "recharge.success" && number == "POISON" => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let client = partner.client(&mall);
    client.syn_order_info(&daily(&partner, &partner.sims[0], "POISON", 1)).await.unwrap();
    mall.settle().await;
    mall.settle_pushes().await;
    let poison = endpoint.deliveries(&mall).await.pop().unwrap().event_id;
    let now = async || {
        let mut tx = mall.store().read().await.unwrap();
        tx.push_delivery(endpoint.row.key(), poison).await.unwrap().unwrap()
    };
    let (mut pauses, mut seen) = (Vec::new(), 0);
    while now().await.state == DeliveryState::Waiting {
        let delivery = now().await;
        seen += 1;
        assert_eq!(delivery.tries, seen, "{delivery:?}");
        pauses.push(delivery.due_at.since(mall.now()).as_micros() / 1_000_000);
        // Others are taken meanwhile, so that the endpoint is well.
        buy((&mall, &partner), 1, &format!("N{seen}")).await;
        mall.settle_pushes().await;
        assert_eq!(endpoint.now(&mall).await.health.probe_at, None);
        mall.advance_and_tell(now().await.due_at.since(mall.now())).await;
    }
    assert_eq!((now().await.state, now().await.tries), (DeliveryState::Failed, 8));
    // Each of them is kept, the last one in the delivery's row.
    let attempts = endpoint.attempts(&mall, poison).await;
    assert!(attempts.is_sorted_by(|newer, older| newer.tried_at > older.tried_at), "{attempts:?}");
    let said: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(said, [Some(500); 8]);
    let expected = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
    for (pause, expected) in pauses.iter().zip(expected) {
        assert!((expected * 9 / 10 - 1..=expected * 11 / 10).contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), expected.len());
    // Only then what comes next of its order goes.
    mall.settle_pushes().await;
    let own = told(&server).into_iter().filter(|(_, number)| number == "POISON");
    let kinds: Vec<String> = own.map(|(kind, _)| kind).collect();
    assert_eq!(kinds[8..], ["plan.expired"]);
    assert_eq!(endpoint.now(&mall).await.off_reason, "");
    mall.stop().await;
}

async fn many_orders_arrive_each_in_its_order(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    let at = (mall.store(), mall.mall().ctx());
    let events = write_push_events(at, &[&endpoint], (200, 5)).await;
    // Every seventh push fails the first time.
    let failed: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let seen = Arc::clone(&failed);
    server.answers(move |push| {
        let mut seen = seen.lock().unwrap();
        let many = seen.len();
        let times = seen.entry(push.event_id().to_owned()).or_insert(0);
        *times += 1;
        Reply::Status(if *times == 1 && many % 7 == 6 { 500 } else { 200 })
    });
    for _ in 0..200 {
        mall.settle_pushes().await;
        mall.clock.advance(Span::seconds(6));
        if endpoint.waiting(&mall).await == 0 {
            break;
        }
    }
    assert_eq!(endpoint.waiting(&mall).await, 0);
    // The first time that each came, those of one subject came in their order.
    let mut firsts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut known = std::collections::BTreeSet::new();
    for push in server.received() {
        if known.insert(push.event_id().to_owned()) {
            let event = push.event();
            let subject = event.data["subject"].as_str().unwrap().to_owned();
            firsts.entry(subject).or_default().push(event.data["sequence"].as_i64().unwrap());
        }
    }
    assert_eq!(known.len(), events.len());
    assert!(firsts.values().all(|sequence| *sequence == [1, 2, 3, 4, 5]), "{firsts:?}");
    mall.stop().await;
}
