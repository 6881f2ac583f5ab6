//! Orders that come in together, and what a node remembers: each order is judged by itself and by what is
//! true when it is written, whichever node it comes to.

use std::collections::BTreeSet;

use domain::plan::PriceKind;
use domain::sim::SimState;
use domain::{Mode, Money, Span};
use mall::Settings;
use sdk::PaidOrder;
use store::Price;
use testkit::{Engine, Recipe, TestMall, TestPartner, on_both_engines};

use crate::steps::{assert_owes, at_once, client_at, code, count, daily, postings, set_credit};

on_both_engines!(
    each_of_many_gets_its_own_answer,
    credit_is_used_up_to_the_last_order,
    a_change_is_heeded_by_the_next_order_at_any_node,
    a_new_key_signs_at_any_node_at_once,
    many_orders_of_one_sim_queue_up,
);

/// Orders of one partner that are refused for different reasons, each beside good ones.
async fn each_of_many_gets_its_own_answer(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let gone = mall.add_sim(&partner, "", "simulator", SimState::Terminated).await;
    let sim = &partner.sims[0];
    let client = partner.client(&mall);
    // What the node remembers, it remembers from here on.
    client.syn_order_info(&partner.paid_order(sim, "N0")).await.unwrap();
    let good = |number: usize| partner.paid_order(sim, &format!("GOOD{number}"));
    let mut orders: Vec<(PaidOrder, &str)> = (1..=30).map(|number| (good(number), "ok")).collect();
    orders.push((PaidOrder { settle_price: "7.99".into(), ..good(31) }, "PRICE_MISMATCH"));
    orders.push((partner.paid_order(&gone, "BAD1"), "SIM_NOT_SELLABLE"));
    orders.push((partner.paid_order(&other.sims[0], "BAD2"), "SIM_UNKNOWN"));
    let mut taken = partner.paid_order(sim, "N0");
    taken.order.order_period = 2;
    taken.order.pay_amount = "20.00".into();
    orders.push((taken, "ORDER_CONFLICT"));
    let mut unknown = partner.paid_order(sim, "BAD3");
    unknown.order.service_plan_code = "PLAN-X".into();
    orders.push((unknown, "PLAN_UNKNOWN"));
    orders.push((partner.paid_order(sim, "N0"), "ok"));
    orders.push((good(1), "ok"));
    let (sent, tried) = (orders.clone(), orders.len());
    let codes = at_once(tried, |place| {
        let (client, order) = (client.clone(), sent[place].0.clone());
        async move { code(client.syn_order_info(&order).await) }
    })
    .await;
    for (got, (order, expected)) in codes.iter().zip(&orders) {
        assert_eq!(got, expected, "{}", order.order.order_no);
    }
    mall.settle().await;
    assert_eq!(postings(&mall, &partner).await, 31);
    assert_owes(&mall, &partner, 31 * 800).await;
    mall.stop().await;
}

async fn credit_is_used_up_to_the_last_order(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let rich = mall.add_partner("P200", Mode::Test, |_| ()).await;
    for one in [&partner, &rich] {
        let client = one.client(&mall);
        client.syn_order_info(&daily(one, &one.sims[0], "N0", 1)).await.unwrap();
    }
    // Room for seven more at 0.80.
    set_credit(&mall, &partner, 8 * 80 + 79).await;
    let orders = |one: &TestPartner| -> Vec<PaidOrder> {
        (1..=25).map(|number| daily(one, &one.sims[0], &format!("N{number}"), 1)).collect()
    };
    let (own, others) = (orders(&partner), orders(&rich));
    let (client, rich_client) = (partner.client(&mall), rich.client(&mall));
    let codes = at_once(50, |place| {
        let (client, order) = if place < 25 {
            (client.clone(), own[place].clone())
        } else {
            (rich_client.clone(), others[place - 25].clone())
        };
        async move { code(client.syn_order_info(&order).await) }
    })
    .await;
    assert_eq!(count(&codes[..25], "ok"), 7, "{codes:?}");
    assert_eq!(count(&codes[..25], "CREDIT_EXCEEDED"), 18, "{codes:?}");
    assert_eq!(count(&codes[25..], "ok"), 25, "one partner's credit is not another's affair");
    mall.settle().await;
    assert_owes(&mall, &partner, 8 * 80).await;
    assert_owes(&mall, &rich, 26 * 80).await;
    mall.stop().await;
}

async fn a_change_is_heeded_by_the_next_order_at_any_node(engine: Engine) {
    let settings = Settings { price_window: Span::minutes(0), ..Recipe::default().settings };
    let recipe = Recipe { settings, ..Recipe::default() };
    let mall = TestMall::with(engine, recipe.clone()).await;
    let mut partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let node = mall.another_node(recipe).await;
    let sim = partner.sims[0].clone();
    let clients = [partner.client(&mall), client_at(&node, &mall, &partner)];
    for (place, client) in clients.iter().enumerate() {
        let order = partner.paid_order(&sim, &format!("A{place}"));
        assert_eq!(code(client.syn_order_info(&order).await), "ok");
    }
    // A new settlement price, from now on.
    mall.clock.advance(Span::seconds(1));
    let mut tx = mall.store().begin().await.unwrap();
    let id = partner.partner.id;
    tx.end_prices(Mode::Test, id, ("PLAN-M", PriceKind::Settlement), mall.now()).await.unwrap();
    let unit = Money::new(900, partner.partner.settlement_currency);
    let price = Price { plan_code: "PLAN-M".to_owned(), kind: PriceKind::Settlement, unit };
    let always = (mall.now(), None);
    tx.insert_price(Mode::Test, id, mall.mall().ctx().id(), &price, always).await.unwrap();
    tx.commit().await.unwrap();
    for (place, client) in clients.iter().enumerate() {
        let old = partner.paid_order(&sim, &format!("B{place}"));
        assert_eq!(code(client.syn_order_info(&old).await), "PRICE_MISMATCH");
        let new = PaidOrder { settle_price: "9.00".into(), ..old };
        assert_eq!(code(client.syn_order_info(&new).await), "ok");
    }
    mall.change_partner(&mut partner, |partner| partner.suspended = true).await;
    for (place, client) in clients.iter().enumerate() {
        let order = PaidOrder {
            settle_price: "9.00".into(),
            ..partner.paid_order(&sim, &format!("C{place}"))
        };
        assert_eq!(code(client.syn_order_info(&order).await), "PARTNER_SUSPENDED");
    }
    node.stop().await;
    mall.stop().await;
}

async fn a_new_key_signs_at_any_node_at_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let node = mall.another_node(Recipe::default()).await;
    let sim = partner.sims[0].clone();
    for client in [partner.client(&mall), client_at(&node, &mall, &partner)] {
        client.syn_order_info(&partner.paid_order(&sim, "A0")).await.unwrap();
    }
    let mut tx = mall.store().begin().await.unwrap();
    let key = mall.mall().add_key(&mut tx, &partner.partner).await.unwrap();
    tx.retire_key(&partner.partner, &partner.key_id, mall.now()).await.unwrap();
    tx.commit().await.unwrap();
    let renewed = TestPartner { key: key.text, key_id: key.id, ..partner.clone() };
    for (place, (old, new)) in [
        (partner.client(&mall), renewed.client(&mall)),
        (client_at(&node, &mall, &partner), client_at(&node, &mall, &renewed)),
    ]
    .into_iter()
    .enumerate()
    {
        let order = partner.paid_order(&sim, &format!("B{place}"));
        assert_eq!(code(old.syn_order_info(&order).await), "SIGN_MISMATCH");
        assert_eq!(code(old.single_verify(&sim).await), "SIGN_MISMATCH");
        assert_eq!(code(new.syn_order_info(&order).await), "ok");
        assert_eq!(code(new.single_verify(&sim).await), "ok");
    }
    node.stop().await;
    mall.stop().await;
}

async fn many_orders_of_one_sim_queue_up(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (partner.sims[0].clone(), partner.client(&mall));
    let codes = at_once(60, |number| {
        let (client, order) = (client.clone(), daily(&partner, &sim, &format!("N{number}"), 1));
        async move { code(client.syn_order_info(&order).await) }
    })
    .await;
    assert_eq!(count(&codes, "ok"), 60, "{codes:?}");
    mall.settle().await;
    let queue = client.single_query_order(&sim).await.unwrap().order_list;
    assert_eq!(queue.len(), 60);
    assert_eq!(queue.iter().filter(|plan| plan.order_status == "2").count(), 1);
    let mut tx = mall.store().read().await.unwrap();
    let mut places = BTreeSet::new();
    for number in 0..60 {
        let order = tx.order_by_no(Mode::Test, partner.partner.id, &format!("N{number}")).await;
        let order = order.unwrap().unwrap();
        let plan = tx.sim_plan_of_order(&order).await.unwrap().unwrap();
        assert_eq!(plan.order_id, order.id);
        places.insert(order.queue_no.unwrap());
    }
    assert_eq!(places, (1..=60).collect());
    drop(tx);
    // Sixty days later all have run, one after another.
    mall.advance(Span::days(60)).await;
    assert!(client.single_query_order(&sim).await.unwrap().order_list.is_empty());
    mall.stop().await;
}
