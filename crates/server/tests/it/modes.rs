//! The prefix of a path selects the mode, and the two modes share nothing.

use domain::sim::{Sim, SimState};
use domain::{Mode, Role, Span};
use serde_json::{Value, json};
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::Protocol;
use wire::Call;
use wire::call::CALLS;
use wire::payment::RESULT_QUERY;
use wire::sign::Scheme;
use wire::topup::QUERY_ORDER;
use wire::vshop::SINGLE_VERIFY;

use crate::raw::{Answer, fields, send, sent, signed};

on_both_engines!(
    each_service_has_a_prefix_per_mode,
    the_root_means_what_the_operator_set,
    the_modes_share_nothing,
    a_carrier_serves_its_modes_only,
);

/// Makes a call at a path, signed by the partner.
async fn at(
    mall: &TestMall,
    shop: &TestPartner,
    call: &Call,
    (path, more): (&str, Value),
) -> Answer {
    let fields = fields(mall, &shop.partner.code, call, more);
    let members = signed(Scheme::HmacSha256, &shop.key, fields);
    sent(mall, call, path, &members).await
}

async fn each_service_has_a_prefix_per_mode(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let live = mall.add_partner("LIVE", Mode::Live, |_| ()).await;
    let test = mall.add_partner("TEST", Mode::Test, |_| ()).await;
    for (own, other, prefixes) in [
        (&live, &test, ["/vshop", "/payment", "/topup"]),
        (&test, &live, ["/vshop_uat", "/payment_uat", "/topup_test"]),
    ] {
        let sim = json!({"deviceCode": own.sims[0]});
        let path = format!("{}/singleVerify", prefixes[0]);
        at(&mall, own, &SINGLE_VERIFY, (&path, sim.clone())).await.accepted();
        // The other mode's partner does not exist here.
        let stranger = at(&mall, other, &SINGLE_VERIFY, (&path, sim)).await;
        let live_mode = own.partner.mode == Mode::Live;
        stranger.refused(if live_mode { "SIGN_MISMATCH" } else { "PARTNER_UNKNOWN" });
        let path = format!("{}/resultQuery", prefixes[1]);
        let none = at(&mall, own, &RESULT_QUERY, (&path, json!({"payId": "P1"}))).await;
        none.refused("PAYMENT_UNKNOWN");
        let path = format!("{}/mall/order", prefixes[2]);
        let none = at(&mall, own, &QUERY_ORDER, (&path, json!({"order_id": "N1"}))).await;
        none.refused("ORDER_UNKNOWN");
    }
    mall.stop().await;
}

async fn the_root_means_what_the_operator_set(engine: Engine) {
    for root_mode in [None, Some(Mode::Test), Some(Mode::Live)] {
        let mall = TestMall::with(engine, Recipe { root_mode, ..Recipe::default() }).await;
        let live = mall.add_partner("LIVE", Mode::Live, |_| ()).await;
        let test = mall.add_partner("TEST", Mode::Test, |_| ()).await;
        for shop in [&live, &test] {
            let sim = json!({"deviceCode": shop.sims[0]});
            let root = at(&mall, shop, &SINGLE_VERIFY, ("/singleVerify", sim.clone())).await;
            let expected = match root_mode {
                None => (404, "NOT_FOUND"),
                Some(mode) if mode == shop.partner.mode => (200, ""),
                Some(Mode::Live) => (400, "SIGN_MISMATCH"),
                Some(Mode::Test) => (400, "PARTNER_UNKNOWN"),
            };
            assert_eq!(root.outcome(), (expected.0, expected.1.to_owned()), "{root_mode:?}");
            // The prefixes stay what they are.
            let prefix = SINGLE_VERIFY.service.prefix(shop.partner.mode);
            let path = format!("{prefix}/singleVerify");
            at(&mall, shop, &SINGLE_VERIFY, (&path, sim)).await.accepted();
        }
        for call in CALLS {
            let method = call.method.as_str();
            let root = send(&mall, method, call.path, |request| request).await;
            let expected = if root_mode.is_none() { 404 } else { 400 };
            assert_eq!(root.status, expected, "{} {root_mode:?}", call.path);
        }
        mall.stop().await;
    }
}

async fn the_modes_share_nothing(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let test = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let mut live = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    // One card number in both stocks.
    let iccid = &test.sims[0];
    let sim = Sim {
        id: mall.mall().ctx().id(),
        iccid: iccid.parse().unwrap(),
        carrier: "simulator".to_owned(),
        state: SimState::Ready,
    };
    let mut tx = mall.store().begin().await.unwrap();
    tx.insert_sim(Mode::Live, live.partner.id, &sim, mall.now()).await.unwrap();
    tx.commit().await.unwrap();

    let (in_test, in_live) = (test.client(&mall), live.client(&mall));
    let mut order = test.paid_order(iccid, "N1");
    "ch_1".clone_into(&mut order.transaction_id);
    order.order.auto_renewal = true;
    let first = in_test.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    // Live mode has heard of nothing.
    assert_eq!(in_live.single_verify(iccid).await.unwrap().card_status, "1");
    assert_eq!(in_live.single_query_order(iccid).await.unwrap().order_list, []);
    assert_eq!(in_live.query_auto_renewal_record(iccid).await.unwrap(), None);
    assert_eq!(in_live.orders_of_sim(iccid, 1).await.unwrap().total_count, 0);
    let unknown = in_live.result_query(&order.order.pay_id).await.unwrap_err();
    assert_eq!(unknown.code(), Some("PAYMENT_UNKNOWN"));
    for number in ["N1", first.order_id.as_str()] {
        let unknown = in_live.order(number).await.unwrap_err();
        assert_eq!(unknown.code(), Some("ORDER_UNKNOWN"));
    }
    let cancelled = in_live.cancel_auto_renewal_record(iccid, "N1", &order.order.pay_id).await;
    assert_eq!(cancelled.unwrap_err().code(), Some("RENEWAL_UNKNOWN"));
    assert_eq!((test.owes(&mall).await, live.owes(&mall).await), (800, 0));

    // The same numbers with other content are an order of its own there.
    order.order.order_period = 2;
    "20.00".clone_into(&mut order.order.pay_amount);
    order.order.auto_renewal = false;
    let second = in_live.syn_order_info(&order).await.unwrap();
    assert_ne!(second.order_id, first.order_id);
    mall.settle().await;
    assert_eq!((test.owes(&mall).await, live.owes(&mall).await), (800, 1_600));
    assert_eq!(in_test.order("N1").await.unwrap().order_period, 1);
    assert_eq!(in_live.order("N1").await.unwrap().order_period, 2);
    assert_eq!(in_live.query_auto_renewal_record(iccid).await.unwrap(), None);
    assert!(in_test.query_auto_renewal_record(iccid).await.unwrap().is_some());

    // What the operator does to one of them does not touch the other.
    mall.change_partner(&mut live, |partner| partner.suspended = true).await;
    let suspended = in_live.single_verify(iccid).await.unwrap_err();
    assert_eq!(suspended.code(), Some("PARTNER_SUSPENDED"));
    in_test.single_verify(iccid).await.unwrap();
    // Nor is one's key good for the other.
    let crossed = live.client_with(&mall, Scheme::HmacSha256, &test.key);
    let refused = crossed.single_verify(iccid).await.unwrap_err();
    assert_eq!(refused.code(), Some("SIGN_MISMATCH"));
    mall.stop().await;
}

async fn a_carrier_serves_its_modes_only(engine: Engine) {
    let network = Network::new("network", Protocol::EsimAccess);
    let networks = vec![Network { modes: vec![Mode::Live], ..network }];
    let mall = TestMall::with(engine, Recipe { networks, ..Recipe::default() }).await;
    let admin = mall.admin(Role::Operator).await;
    for (mode, serves) in [(Mode::Test, false), (Mode::Live, true)] {
        let shop = mall.add_partner("P100", mode, |_| ()).await;
        // Whoever brings in what it cannot serve is told so.
        let path = format!("/{mode}/partners/P100/sims/89440000000000009999");
        let put = admin.put(&path, &json!({"carrier": "network"})).await;
        let new = json!({"kind": "sims", "partner": "P100", "file_name": "sims.csv"});
        let import = admin.post(&format!("/{mode}/imports"), &new).await.body;
        let part = format!("/{mode}/imports/{}/parts/1", import["import_id"].as_str().unwrap());
        let rows = "iccid,carrier,state\n89440000000000009998,network,ready\n";
        let staged = admin.put_csv(&part, rows).await.done();
        assert_eq!(staged["error_count"], json!(i32::from(!serves)), "{staged}");
        assert_eq!(put.status, if serves { 200 } else { 400 }, "{}", put.body);
        if !serves {
            let others = "in test mode there are: simulator";
            assert!(put.body.to_string().contains(others), "{}", put.body);
            assert!(staged.to_string().contains(others), "{staged}");
        }
        // What is sold all the same waits: nothing is asked, nothing is lost.
        mall.add_plan_of(&shop, "network").await;
        let sim = mall.add_sim(&shop, "", "network", SimState::Ready).await;
        let client = shop.client(&mall);
        client.syn_order_info(&shop.paid_order_at("network", &sim, "N1")).await.unwrap();
        mall.advance(Span::minutes(1)).await;
        let order = client.order("N1").await.unwrap();
        let expected = if serves { "PROVISIONED" } else { "PAID" };
        assert_eq!((order.status.as_str(), order.failure), (expected, None), "{mode}");
        assert_eq!(mall.network("network").bundles(&sim).len(), usize::from(serves), "{mode}");
        assert_eq!(mall.network("network").journal().is_empty(), !serves, "{mode}");
    }
    mall.stop().await;
}
