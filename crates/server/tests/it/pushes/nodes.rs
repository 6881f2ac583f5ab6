//! Several nodes send to an endpoint one at a time, and go on where another one was lost.

use std::collections::BTreeSet;

use domain::push::DeliveryState;
use domain::{Mode, Span};
use testkit::{Engine, Receiver, Recipe, Reply, TestMall, on_both_engines};

use super::{buy, up};
use crate::steps::client_at;

on_both_engines!(
    two_nodes_send_each_event_once,
    a_lost_node_is_succeeded_when_its_lease_ends,
    whoever_lost_its_lease_writes_nothing,
    what_is_old_is_deleted,
);

async fn two_nodes_send_each_event_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let node = mall.another_node(Recipe::default()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let mut endpoints = Vec::new();
    for path in ["/a", "/b", "/c"] {
        endpoints.push(mall.add_endpoint(&partner, &server.url(path), &[]).await);
    }
    let clients = [partner.client(&mall), client_at(&node, &mall, &partner)];
    for number in 0..40 {
        let order = partner.paid_order(&partner.sims[number % 3], &format!("N{number}"));
        clients[number % 2].syn_order_info(&order).await.unwrap();
    }
    mall.settle().await;
    let all_told = async || {
        let mut waiting = 0;
        for endpoint in &endpoints {
            waiting += endpoint.waiting(&mall).await;
        }
        waiting == 0
    };
    server.wait_for(120).await;
    while !all_told().await {
        mall.settle_pushes().await;
    }
    let mut seen = BTreeSet::new();
    for push in server.received() {
        let id = push.event_id().to_owned();
        assert!(seen.insert((push.path.clone(), id)), "{push:?} came twice");
    }
    assert_eq!(seen.len(), 120);
    node.stop().await;
    mall.stop().await;
}

async fn a_lost_node_is_succeeded_when_its_lease_ends(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    // Another node took the lease, and was heard of no more.
    let until = mall.now() + Span::seconds(20);
    let mut tx = mall.store().begin().await.unwrap();
    let leased = tx.lease_push_endpoints(&[endpoint.row.key()], (mall.now(), until)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(leased.len(), 1);
    buy((&mall, &partner), 0, "N1").await;
    mall.advance_and_tell(Span::seconds(19)).await;
    assert_eq!((server.received().len(), endpoint.waiting(&mall).await), (0, 1));
    mall.advance_and_tell(Span::seconds(1)).await;
    assert_eq!((server.received().len(), endpoint.waiting(&mall).await), (1, 0));
    // It wakes up, and can write nothing.
    let mut tx = mall.store().begin().await.unwrap();
    assert_eq!(tx.hold_push_leases(&[&leased[0].0]).await.unwrap(), []);
    mall.stop().await;
}

async fn whoever_lost_its_lease_writes_nothing(engine: Engine) {
    let recipe = Recipe { push_timeout: Span::minutes(10), ..Recipe::default() };
    let mall = TestMall::with(engine, recipe).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    server.answers(|_| Reply::Hang(200));
    buy((&mall, &partner), 0, "N1").await;
    server.wait_for(1).await;
    // It sleeps past its lease, and another node takes the endpoint over.
    mall.database.execute("UPDATE push_endpoints SET leased_until = 0").await;
    let until = mall.now() + Span::seconds(20);
    let mut tx = mall.store().begin().await.unwrap();
    let leased = tx.lease_push_endpoints(&[endpoint.row.key()], (mall.now(), until)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(leased.len(), 1);
    server.answers(up);
    server.go_on();
    mall.settle_pushes().await;
    let waits = endpoint.deliveries(&mall).await;
    assert_eq!((waits[0].state, waits[0].tries), (DeliveryState::Waiting, 0));
    assert!(endpoint.attempts(&mall, waits[0].event_id).await.is_empty());
    // Whoever comes next sends the same event again.
    mall.advance_and_tell(Span::seconds(20)).await;
    let ids: Vec<String> =
        server.received().iter().map(|push| push.event_id().to_owned()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(endpoint.waiting(&mall).await, 0);
    mall.stop().await;
}

async fn what_is_old_is_deleted(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let types = ["recharge.success"];
    let kept = mall.add_endpoint(&partner, &server.url("/kept"), &types).await;
    let gone = mall.add_endpoint(&partner, &server.url("/gone"), &types).await;
    for (sim, number) in ["N1", "N2"].into_iter().enumerate() {
        buy((&mall, &partner), sim, number).await;
    }
    mall.settle_pushes().await;
    assert_eq!(mall.mall().sweep_pushes().await.unwrap(), 0);
    // What waits stays, however old it is.
    server.answers(super::down);
    buy((&mall, &partner), 2, "N3").await;
    mall.settle_pushes().await;
    mall.advance_and_tell(Span::seconds(6)).await;
    // Tried once more by then, so that nothing is due while it is swept: the log has two tries of it.
    mall.advance_and_tell(Span::days(30) + Span::seconds(1)).await;
    let mut tx = mall.store().begin().await.unwrap();
    tx.delete_push_endpoint(&gone.now(&mall).await).await.unwrap();
    tx.commit().await.unwrap();
    // Of each endpoint two deliveries, each with its only try, and two tries of what waits; of the deleted one that
    // delivery too, and itself; two events.
    assert_eq!(mall.mall().sweep_pushes().await.unwrap(), 2 * (2 + 2) + 2 + 2);
    let of_it = format!("DELETE FROM push_attempts WHERE endpoint_id = '{}'", gone.row.id);
    assert_eq!(mall.database.execute(&of_it).await, 0);
    assert_eq!(mall.mall().sweep_pushes().await.unwrap(), 0);
    let left = kept.deliveries(&mall).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].state, DeliveryState::Waiting);
    let whose = (Mode::Test, partner.partner.id);
    let mut tx = mall.store().read().await.unwrap();
    let all = (mall.now() - Span::days(60), mall.now() + Span::days(1));
    assert_eq!(tx.push_events(whose, all, (None, 10)).await.unwrap().len(), 1);
    assert!(tx.push_endpoint(whose, gone.row.id).await.unwrap().is_none());
    drop(tx);
    assert_eq!(
        mall.database.execute("DELETE FROM push_endpoints WHERE state = 'deleted'").await,
        0
    );
    mall.stop().await;
}
