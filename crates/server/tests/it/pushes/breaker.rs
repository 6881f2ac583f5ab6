//! An endpoint that fails as a whole loses nothing, whatever the length of its outage.

use std::collections::{BTreeMap, BTreeSet};

use domain::push::{DeliveryState, EndpointState};
use domain::{Mode, Span};
use sdk::push::EventType;
use testkit::{Engine, Receiver, Reply, TestMall, on_both_engines};

use super::{about, buy, down, pairs, resume, told, up};
use crate::steps::daily;

on_both_engines!(
    after_a_day_down_all_is_told_in_order_within_ten_minutes,
    probes_go_round_so_that_no_event_keeps_an_endpoint_shut,
    one_that_is_gone_is_switched_off_at_once,
    five_days_of_failures_switch_it_off_and_nothing_is_lost,
    a_pause_keeps_what_comes,
    keys_overlap_while_one_takes_the_others_place,
);

async fn after_a_day_down_all_is_told_in_order_within_ten_minutes(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    let client = partner.client(&mall);
    server.answers(down);
    let mut bought = 0;
    for half_hour in 0..48 {
        if half_hour % 2 == 0 {
            bought += 1;
            let sim = &partner.sims[bought % partner.sims.len()];
            let order = daily(&partner, sim, &format!("N{bought}"), 1);
            client.syn_order_info(&order).await.unwrap();
            mall.settle().await;
        }
        mall.advance_and_tell(Span::minutes(30)).await;
    }
    let tries = server.received().len();
    assert!((49..60).contains(&tries), "{tries} tries: it was probed too often or too rarely");
    let health = endpoint.now(&mall).await.health;
    assert!(health.probe_at.is_some() && health.succeeded_at.is_none(), "{health:?}");
    server.answers(up);
    // Minutes of the clock that the mall goes by.
    let mut minutes = 0;
    while endpoint.waiting(&mall).await > 0 {
        minutes += 1;
        assert!(minutes <= 10, "{} still wait", endpoint.waiting(&mall).await);
        mall.advance_and_tell(Span::minutes(1)).await;
    }
    let deliveries = endpoint.deliveries(&mall).await;
    assert!(deliveries.len() > bought, "plans have ended meanwhile");
    assert!(deliveries.iter().all(|one| one.state == DeliveryState::Delivered), "{deliveries:?}");
    // What came after the recovery: everything, each once, and in its order's order.
    let (mut ids, mut kinds) = (BTreeSet::new(), BTreeMap::<String, Vec<String>>::new());
    for push in &server.received()[tries..] {
        assert!(ids.insert(push.event_id().to_owned()), "{} came twice", push.event_id());
        let (kind, number) = about(push);
        kinds.entry(number).or_default().push(kind);
    }
    assert_eq!(ids.len(), deliveries.len());
    assert_eq!(kinds.len(), bought);
    let both = ["recharge.success", "plan.expired"];
    assert!(
        kinds
            .values()
            .all(|told| both.starts_with(&told.iter().map(String::as_str).collect::<Vec<_>>())),
        "{kinds:?}"
    );
    mall.stop().await;
}

async fn probes_go_round_so_that_no_event_keeps_an_endpoint_shut(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    server.answers(down);
    buy((&mall, &partner), 0, "POISON").await;
    for _ in 0..3 {
        mall.settle_pushes().await;
        mall.advance_and_tell(Span::minutes(6)).await;
    }
    assert!(endpoint.now(&mall).await.health.probe_at.is_some());
    let waits = endpoint.deliveries(&mall).await;
    assert_eq!(waits[0].tries, 3, "tries of an open breaker do not count");
    for (sim, number) in ["N1", "N2", "N3"].into_iter().enumerate() {
        buy((&mall, &partner), sim + 1, number).await;
    }
    let before = server.received().len();
    // Every second one is what happened last.
    for _ in 0..8 {
        mall.advance_and_tell(Span::minutes(5)).await;
    }
    let mut probed: Vec<String> =
        told(&server)[before..].iter().map(|(_, number)| number.clone()).collect();
    probed.sort();
    probed.dedup();
    assert_eq!(probed, ["N1", "N2", "N3", "POISON"]);
    // All but one are taken again: the first probe of another opens the way.
    server.answers(|push| match about(push) {
        (_, number) if number == "POISON" => Reply::Status(500),
        _ => Reply::Status(200),
    });
    mall.advance_and_tell(Span::minutes(5)).await;
    mall.advance_and_tell(Span::minutes(5)).await;
    let health = endpoint.now(&mall).await.health;
    assert_eq!(health.probe_at, None);
    let states = endpoint.deliveries(&mall).await.into_iter();
    let waiting: Vec<i64> =
        states.filter(|one| one.state == DeliveryState::Waiting).map(|one| one.tries).collect();
    assert_eq!(waiting, [4], "its own tries count again");
    mall.stop().await;
}

async fn one_that_is_gone_is_switched_off_at_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (gone, other) = (Receiver::start().await, Receiver::start().await);
    let endpoint = mall.add_endpoint(&partner, &gone.url("/"), &[]).await;
    mall.add_endpoint(&partner, &other.url("/"), &["endpoint.off"]).await;
    gone.answers(|_| Reply::Status(410));
    buy((&mall, &partner), 0, "N1").await;
    mall.settle_pushes().await;
    let row = endpoint.now(&mall).await;
    assert_eq!(row.state, EndpointState::Off);
    assert!(row.off_reason.contains("410"), "{}", row.off_reason);
    let events = other.events();
    assert_eq!(events[0].kind(), Some(EventType::EndpointOff));
    assert_eq!(events[0].data["endpoint_id"], row.id.to_string());
    assert_eq!((events.len(), events[0].data["reason"].as_str()), (1, Some(&*row.off_reason)));
    // What comes meanwhile is kept for it.
    mall.clock.advance(Span::seconds(1));
    buy((&mall, &partner), 1, "N2").await;
    mall.settle_pushes().await;
    assert_eq!((gone.received().len(), endpoint.waiting(&mall).await), (1, 2));
    gone.answers(up);
    resume(&mall, &endpoint).await;
    mall.settle_pushes().await;
    let success = "recharge.success";
    let numbers = [(success, "N1"), (success, "N1"), (success, "N2")];
    assert_eq!(told(&gone), pairs(&numbers));
    mall.stop().await;
}

async fn five_days_of_failures_switch_it_off_and_nothing_is_lost(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (dead, other) = (Receiver::start().await, Receiver::start().await);
    let endpoint = mall.add_endpoint(&partner, &dead.url("/"), &["recharge.success"]).await;
    mall.add_endpoint(&partner, &other.url("/"), &["endpoint.off"]).await;
    dead.answers(down);
    for (sim, number) in ["N1", "N2", "N3", "N4"].into_iter().enumerate() {
        buy((&mall, &partner), sim, number).await;
    }
    mall.settle_pushes().await;
    for quarter in 0..20 {
        let row = endpoint.now(&mall).await;
        assert_eq!(row.state, EndpointState::On, "after {quarter} quarters of a day");
        mall.advance_and_tell(Span::minutes(6 * 60)).await;
    }
    mall.advance_and_tell(Span::minutes(10)).await;
    let row = endpoint.now(&mall).await;
    assert_eq!(row.state, EndpointState::Off);
    assert_eq!(other.types(), ["endpoint.off"]);
    let text = mall.mall().metrics_text().await;
    for figure in [
        r#"simmall_push_endpoints_switched_off_total{mode="test"} 1"#,
        r#"simmall_push_endpoints{mode="test",state="off"} 1"#,
        r#"simmall_pushes_waiting{mode="test",state="off"} 4"#,
    ] {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    let before = dead.received().len();
    mall.advance_and_tell(Span::days(1)).await;
    assert_eq!((dead.received().len(), endpoint.waiting(&mall).await), (before, 4));
    dead.answers(up);
    resume(&mall, &endpoint).await;
    mall.settle_pushes().await;
    assert_eq!(endpoint.waiting(&mall).await, 0);
    let ids: BTreeSet<String> =
        dead.received()[before..].iter().map(|push| push.event_id().to_owned()).collect();
    assert_eq!((ids.len(), dead.received().len()), (4, before + 4));
    mall.stop().await;
}

async fn a_pause_keeps_what_comes(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    let mut row = endpoint.now(&mall).await;
    row.state = EndpointState::Paused;
    let mut tx = mall.store().begin().await.unwrap();
    tx.update_push_endpoint(&row).await.unwrap();
    tx.commit().await.unwrap();
    buy((&mall, &partner), 0, "N1").await;
    mall.advance_and_tell(Span::days(1)).await;
    assert_eq!((server.received().len(), endpoint.waiting(&mall).await), (0, 1));
    resume(&mall, &endpoint).await;
    mall.settle_pushes().await;
    assert_eq!(told(&server), pairs(&[("recharge.success", "N1")]));
    mall.stop().await;
}

async fn keys_overlap_while_one_takes_the_others_place(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    let old = endpoint.key.clone();
    let new = mall.add_push_key(&endpoint.row, "k2").await;
    let mut tx = mall.store().begin().await.unwrap();
    let retires_at = mall.now() + Span::days(1);
    tx.retire_push_keys(&endpoint.row, "k2", retires_at).await.unwrap();
    tx.update_push_endpoint(&endpoint.now(&mall).await).await.unwrap();
    tx.commit().await.unwrap();
    buy((&mall, &partner), 0, "N1").await;
    mall.settle_pushes().await;
    let push = &server.received()[0];
    assert!(push.headers["x-lf-signature"].to_str().unwrap().starts_with("k2/"));
    // Whoever has one of them, or both, verifies it.
    for keys in [vec![old.clone()], vec![new.clone()], vec![old.clone(), new.clone()]] {
        push.verify(&keys, &mall);
    }
    mall.advance_and_tell(Span::days(1)).await;
    buy((&mall, &partner), 1, "N2").await;
    mall.settle_pushes().await;
    let pushes = server.received();
    let push = pushes.iter().find(|push| about(push).1 == "N2").unwrap();
    push.verify(std::slice::from_ref(&new), &mall);
    let signatures = push.headers["webhook-signature"].to_str().unwrap().to_owned();
    assert_eq!(signatures.split(' ').count(), 1, "the old key signs no more");
    mall.stop().await;
}
