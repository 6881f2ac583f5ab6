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
    the_eldest_order_comes_first,
    of_many_decisions_one_holds,
    a_timeline_tells_all,
    a_timeline_tells_what_left_no_attempt,
    a_route_goes_on_where_a_carrier_refuses,
    what_every_carrier_refuses_is_given_back_once,
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
        json!({"finding": "refund", "reason": "  "}),
        json!({"finding": "refund", "reason": "x", "upstream_id": "UP-7"}),
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

async fn the_eldest_order_comes_first(engine: Engine) {
    let (mall, first, admin, _, _) = reviewed(engine).await;
    let second = mall.add_partner("P200", Mode::Test, |_| ()).await;
    for (partner, number) in [(&first, "N2"), (&second, "M1"), (&second, "M2")] {
        mall.clock.advance(Span::minutes(1));
        let sim = mall.add_sim(partner, "9005", "simulator", SimState::Ready).await;
        let order = partner.paid_order(&sim, number);
        partner.client(&mall).syn_order_info(&order).await.unwrap();
        mall.settle().await;
    }
    // What does not wait is not among them.
    let sim = mall.add_sim(&first, "", "simulator", SimState::Ready).await;
    first.client(&mall).syn_order_info(&first.paid_order(&sim, "N3")).await.unwrap();
    mall.settle().await;
    let numbers = |items: &[Value]| -> Vec<String> {
        items.iter().map(|item| item["order_no"].as_str().unwrap().to_owned()).collect()
    };
    let whole = admin.get("/test/reviews").await.done();
    assert_eq!(numbers(whole["items"].as_array().unwrap()), ["N1", "N2", "M1", "M2"]);
    assert_eq!(whole["next_cursor"], Value::Null);
    let times: Vec<&str> = whole["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["heard_at"].as_str().unwrap())
        .collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(numbers(&admin.all("/test/reviews", 3).await), ["N1", "N2", "M1", "M2"]);
    assert_eq!(numbers(&admin.all("/test/reviews?partner=P200", 1).await), ["M1", "M2"]);
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

fn sentences(timeline: &Value, kind: &str) -> Vec<String> {
    let entries = timeline["entries"].as_array().unwrap().iter();
    let of_kind = entries.filter(|entry| entry["kind"] == kind);
    of_kind.map(|entry| entry["what"].as_str().unwrap().to_owned()).collect()
}

async fn a_timeline_tells_what_left_no_attempt(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (admin, client) = (mall.admin(Role::Operator).await, partner.client(&mall));
    let timeline = |id: &str| {
        let path = format!("/test/orders/{id}/timeline");
        let admin = admin.clone();
        async move { admin.get(&path).await.done() }
    };
    // Done at once: the order's own row says by whom.
    let sim = mall.add_sim(&partner, "", "simulator", SimState::Ready).await;
    let made = client.syn_order_info(&partner.paid_order(&sim, "N1")).await.unwrap();
    mall.settle().await;
    let told = timeline(&made.order_id).await;
    assert!(sentences(&told, "attempt").is_empty(), "{told}");
    assert!(sentences(&told, "plan")[0].contains("done at once by simulator"), "{told}");
    // Refused: why, and that it is given back.
    let sim = mall.add_sim(&partner, "9002", "simulator", SimState::Ready).await;
    let made = client.syn_order_info(&partner.paid_order(&sim, "N2")).await.unwrap();
    mall.settle().await;
    let told = timeline(&made.order_id).await;
    assert!(told["order"]["failure_message"].is_string(), "{told}");
    assert!(sentences(&told, "plan").is_empty(), "{told}");
    assert_eq!(sentences(&told, "posting").len(), 2, "{told}");
    // What an operator did to its job, and the job itself.
    let sim = mall.add_sim(&partner, "", "simulator", SimState::Ready).await;
    client.single_order(&partner.order(&sim, "N3")).await.unwrap();
    let order = admin.get("/test/orders?number=N3").await.done()["items"][0].clone();
    let job = admin.get("/test/jobs?kind=close_order").await.done()["items"][0].clone();
    assert_eq!(job["subject"], order["order_id"]);
    let told = timeline(order["order_id"].as_str().unwrap()).await;
    assert!(sentences(&told, "job")[0].contains("close_order is ready"), "{told}");
    assert!(sentences(&told, "operator").is_empty(), "{told}");
    let path = format!("/test/jobs/{}/retry", job["job_id"].as_str().unwrap());
    admin.call("POST", &path, None).await.done();
    let told = timeline(order["order_id"].as_str().unwrap()).await;
    assert!(sentences(&told, "operator")[0].contains("job.retry"), "{told}");
    mall.stop().await;
}

async fn what_every_carrier_refuses_is_given_back_once(engine: Engine) {
    let refuses = |code, protocol| Network {
        faults: Faults::parse(r#"{"faults": [{"kind": "refuse"}]}"#).unwrap(),
        ..Network::new(code, protocol)
    };
    let networks =
        vec![refuses("first", Protocol::CubeV4), refuses("second", Protocol::EsimAccess)];
    let mall = TestMall::with(engine, Recipe { networks, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, "first").await;
    let admin = mall.admin(Role::Operator).await;
    let route = json!({"route": ["second:CP-2"]});
    admin.put("/test/packages/PACK-first/route", &route).await.done();
    let (client, sim) =
        (partner.client(&mall), mall.add_sim(&partner, "", "first", SimState::Ready).await);
    let order = partner.paid_order_at("first", &sim, "N1");
    let made = client.syn_order_info(&order).await.unwrap();
    for _ in 0..5 {
        mall.advance(Span::seconds(20)).await;
    }
    assert_eq!(client.order("N1").await.unwrap().status, "FAILED");
    assert_owes(&mall, &partner, 0).await;
    let told = admin.get(&format!("/test/orders/{}/timeline", made.order_id)).await.done();
    // One sale, one reversal, whoever refused.
    assert_eq!(sentences(&told, "posting").len(), 2, "{told}");
    let sent = sentences(&told, "attempt");
    let to = |carrier: &str| sent.iter().any(|what| what.contains(&format!("sent to {carrier}")));
    assert!(to("first") && to("second"), "{sent:?}");
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
    assert_eq!(put, admin.put(path, &put).await.done());
    let changes = admin.get("/audit?action=package.route").await.done();
    assert_eq!(changes["items"].as_array().unwrap().len(), 1, "the same again is no change");
    // No package goes to a carrier of its own route.
    let mut package = admin.get("/test/packages/PACK-first").await.done();
    package.as_object_mut().unwrap().remove("code");
    admin.put("/test/packages/UNSOLD", &package).await.done();
    admin.put("/test/packages/UNSOLD/route", &put).await.done();
    package["carrier"] = json!("second");
    let moved = admin.put("/test/packages/UNSOLD", &package).await;
    assert_eq!(moved.wrong_fields(), ["carrier"]);
    admin.put("/test/packages/UNSOLD/route", &json!({"route": []})).await.done();
    admin.put("/test/packages/UNSOLD", &package).await.done();
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
