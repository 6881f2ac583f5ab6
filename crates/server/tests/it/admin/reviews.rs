//! Orders that wait for a person: how they are found, explained and decided.

use domain::sim::SimState;
use domain::{Mode, Role, Span};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::{Faults, Protocol};

use crate::steps::{assert_owes, at_once};

on_both_engines!(
    what_is_on_the_sim_is_delivered,
    what_is_not_on_the_sim_is_sent_again,
    what_is_given_up_is_given_back,
    of_many_decisions_one_holds,
    a_timeline_tells_all,
    a_route_goes_on_where_a_carrier_refuses,
);

/// An order of a SIM whose network answers nothing of use.
async fn reviewed(engine: Engine) -> (TestMall, TestPartner, AdminClient, String, String) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let admin = mall.admin(Role::Operator).await;
    let sim = mall.add_sim(&partner, "9005", "simulator", SimState::Ready).await;
    let made = partner.client(&mall).syn_order_info(&partner.paid_order(&sim, "N1")).await.unwrap();
    mall.settle().await;
    let listed = admin.get("/test/reviews").await.done();
    let review = &listed["items"][0];
    assert_eq!((&review["order_id"], &review["order_no"]), (&json!(made.order_id), &json!("N1")));
    assert_eq!((&review["code"], &review["attempts"]), (&json!("CARRIER_UNCLEAR"), &json!(1)));
    assert_eq!(admin.get("/live/reviews").await.done()["items"], json!([]));
    (mall, partner, admin, made.order_id, sim)
}

fn resolve(id: &str) -> String {
    format!("/test/orders/{id}/resolve")
}

fn finding(word: &str) -> Value {
    json!({"finding": word, "reason": "their support says so"})
}

async fn what_is_on_the_sim_is_delivered(engine: Engine) {
    let (mall, partner, admin, id, sim) = reviewed(engine).await;
    let client = partner.client(&mall);
    let mut body = finding("provisioned");
    body["upstream_id"] = json!("UP-7");
    let order = admin.post(&resolve(&id), &body).await.done();
    assert_eq!((&order["state"], &order["upstream_id"]), (&json!("PROVISIONED"), &json!("UP-7")));
    let plans = client.single_query_order(&sim).await.unwrap().order_list;
    assert_eq!(plans.iter().map(|plan| plan.order_status.as_str()).collect::<Vec<_>>(), ["2"]);
    assert_owes(&mall, &partner, 800).await;
    // The plan ends like any other.
    mall.advance(Span::days(30)).await;
    assert!(client.single_query_order(&sim).await.unwrap().order_list.is_empty());
    let again = admin.post(&resolve(&id), &finding("refund")).await;
    assert_eq!(again.code(409), "NOT_IN_REVIEW");
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn what_is_not_on_the_sim_is_sent_again(engine: Engine) {
    let network = Network {
        faults: Faults::parse(r#"{"faults": [{"kind": "drop-before-doing", "attempts": 1}]}"#)
            .unwrap(),
        ..Network::new("network", Protocol::EsimGo)
    };
    let mall =
        TestMall::with(engine, Recipe { networks: vec![network], ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, "network").await;
    let admin = mall.admin(Role::Operator).await;
    let sim = mall.add_sim(&partner, "", "network", SimState::Ready).await;
    let client = partner.client(&mall);
    let made = client.syn_order_info(&partner.paid_order_at("network", &sim, "N1")).await.unwrap();
    // Nothing was done, and the network cannot say so: in the end a person is asked.
    for _ in 0..20 {
        mall.advance(Span::minutes(1)).await;
    }
    assert_eq!(client.order("N1").await.unwrap().status, "REVIEW");
    assert_eq!(mall.network("network").bundles(&sim).len(), 0);
    let order = admin.post(&resolve(&made.order_id), &finding("not_provisioned")).await.done();
    assert_eq!(order["state"], "PAID");
    for _ in 0..3 {
        mall.advance(Span::seconds(20)).await;
    }
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    assert_eq!(mall.network("network").bundles(&sim).len(), 1);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn what_is_given_up_is_given_back(engine: Engine) {
    let (mall, partner, admin, id, sim) = reviewed(engine).await;
    let client = partner.client(&mall);
    assert_owes(&mall, &partner, 800).await;
    for wrong in [
        json!({"finding": "refund"}),
        json!({"finding": "refund", "reason": ""}),
        json!({"finding": "lost", "reason": "x"}),
    ] {
        assert_eq!(admin.post(&resolve(&id), &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(client.order("N1").await.unwrap().status, "REVIEW");
    admin.post(&resolve(&id), &finding("refund")).await.done();
    let order = client.order("N1").await.unwrap();
    assert_eq!((order.status.as_str(), order.provisioned_at), ("REFUNDED", None));
    assert!(client.single_query_order(&sim).await.unwrap().order_list.is_empty());
    assert_owes(&mall, &partner, 0).await;
    let audit = admin.get("/audit?action=order.resolve").await.done();
    let entry = &audit["items"][0];
    assert_eq!(entry["after"]["reason"], "their support says so");
    assert_eq!(
        (&entry["before"]["state"], &entry["after"]["order"]["state"]),
        (&json!("REVIEW"), &json!("REFUNDED"),)
    );
    mall.stop().await;
}

async fn of_many_decisions_one_holds(engine: Engine) {
    let (mall, partner, admin, id, sim) = reviewed(engine).await;
    let answers = at_once(24, |number| {
        let word = ["provisioned", "refund"][number % 2];
        let (admin, path) = (admin.clone(), resolve(&id));
        async move { (word, admin.post(&path, &finding(word)).await.status) }
    })
    .await;
    let held: Vec<_> = answers.iter().filter(|(_, status)| *status == 200).collect();
    assert_eq!(held.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(_, status)| [200, 409].contains(status)), "{answers:?}");
    let plans = partner.client(&mall).single_query_order(&sim).await.unwrap().order_list.len();
    let provisioned = held[0].0 == "provisioned";
    assert_eq!(plans, usize::from(provisioned));
    assert_owes(&mall, &partner, if provisioned { 800 } else { 0 }).await;
    mall.stop().await;
}

async fn a_timeline_tells_all(engine: Engine) {
    let (mall, _, admin, id, _) = reviewed(engine).await;
    mall.mall().write_request_log().await.unwrap();
    mall.clock.advance(Span::minutes(3));
    admin.post(&resolve(&id), &finding("provisioned")).await.done();
    let timeline = admin.get(&format!("/test/orders/{id}/timeline")).await.done();
    assert_eq!(timeline["order"]["order_id"], json!(id));
    let entries = timeline["entries"].as_array().unwrap();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    for kind in ["request", "order", "payment", "attempt", "plan", "posting", "operator"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let times: Vec<&str> = entries.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let all = timeline.to_string();
    for part in
        ["signed hmac-sha256", "their support says so", "order.resolve", "the reply was lost"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    mall.stop().await;
}

async fn a_route_goes_on_where_a_carrier_refuses(engine: Engine) {
    let refuses = Network {
        faults: Faults::parse(r#"{"faults": [{"kind": "refuse"}]}"#).unwrap(),
        ..Network::new("first", Protocol::CubeV4)
    };
    let second = Network::new("second", Protocol::EsimAccess);
    let recipe = Recipe { networks: vec![refuses.clone(), second], ..Recipe::default() };
    let mall = TestMall::with(engine, recipe).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, "first").await;
    let admin = mall.admin(Role::Operator).await;
    let client = partner.client(&mall);
    let sim = mall.add_sim(&partner, "", "first", SimState::Ready).await;
    // Without a route, that is the end, and the credit is free again.
    client.syn_order_info(&partner.paid_order_at("first", &sim, "N1")).await.unwrap();
    mall.settle().await;
    assert_eq!(client.order("N1").await.unwrap().status, "FAILED");
    assert_owes(&mall, &partner, 0).await;

    let path = "/test/packages/PACK-first/route";
    for wrong in [
        json!(["second"]),
        json!(["first:X"]),
        json!(["second:X", "second:Y"]),
        json!(["third:X"]),
        json!(["second:b c"]),
    ] {
        let answer = admin.put(path, &json!({"route": wrong})).await;
        assert_eq!(answer.wrong_fields(), ["route"], "{wrong}");
    }
    assert_eq!(admin.get(path).await.done()["route"], json!([]));
    let put = admin.put(path, &json!({"route": ["second:CP-2"]})).await.done();
    assert_eq!(put, admin.get(path).await.done());
    client.syn_order_info(&partner.paid_order_at("first", &sim, "N2")).await.unwrap();
    for _ in 0..5 {
        mall.advance(Span::seconds(20)).await;
    }
    let order = client.order("N2").await.unwrap();
    assert_eq!(order.status, "PROVISIONED", "{order:?}");
    assert_eq!(mall.network("second").bundles(&sim).len(), 1);
    assert_eq!(mall.network("first").bundles(&sim).len(), 0);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}
