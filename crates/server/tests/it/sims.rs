//! How SIMs stand by their networks' word: asked as rarely as a network allows, and heeded.

use domain::sim::SimState;
use domain::{Mode, Span};
use mall::Settings;
use sdk::Client;
use serde_json::{Value, json};
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::{Faults, Protocol};
use wire::sign::Scheme;
use wire::topup::{QUERY_SIM, QUERY_SIM_USAGE};

use crate::raw::{content, fields, filled, get, path, send, signed};
use crate::steps::{at_once, code};

on_both_engines!(
    each_network_tells_how_a_sim_stands,
    a_network_is_asked_as_rarely_as_it_allows,
    what_was_said_last_is_told_where_nobody_answers,
    a_path_is_signed_with_its_parameters_or_without,
    a_sim_in_a_path_is_checked,
    what_ended_upstream_ends_here,
    a_notification_makes_us_ask,
    a_notification_that_cannot_be_read_is_refused,
);

/// A mall with a network, a partner, and a SIM of it that has a plan.
async fn with_plan(engine: Engine, network: Network) -> (TestMall, TestPartner, Client, String) {
    let settings = Settings { usage_age_max: Span::minutes(5), ..Recipe::default().settings };
    let recipe = Recipe { networks: vec![network], settings, ..Recipe::default() };
    let mall = TestMall::with(engine, recipe).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, "network").await;
    let sim = mall.add_sim(&partner, "", "network", SimState::Ready).await;
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order_at("network", &sim, "N1")).await.unwrap();
    for _ in 0..30 {
        mall.advance(Span::seconds(2)).await;
    }
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    (mall, partner, client, sim)
}

/// Somebody at Cube takes everything away from a SIM.
fn cancel(mall: &TestMall, sim: &str) {
    let upstream = mall.network("network");
    let path = format!("/cube/v4/sims/{sim}/cancel");
    let headers = [
        ("authorization", "LF key/c2lnbg=="),
        ("timestamp", &*mall.now().as_millis().to_string()),
        ("nonce", "1"),
        ("x-lf-signature-type", "2.0"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = upstream::Request {
        method: "PUT".to_owned(),
        path,
        query: String::new(),
        headers,
        body: b"{}".to_vec(),
    };
    let reply = upstream.handle(&request);
    let upstream::Reply::Answer(answer) = reply else { panic!("no answer") };
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

async fn each_network_tells_how_a_sim_stands(engine: Engine) {
    for protocol in Protocol::ALL {
        let network = Network::new("network", protocol);
        let (mall, _, client, sim) = with_plan(engine, network).await;
        mall.clock.advance(Span::minutes(30));
        let status = client.sim(&sim).await.unwrap();
        assert_eq!((status.sim_id.as_str(), status.status.as_str()), (&*sim, "ready"));
        assert!(!status.network_status.is_empty(), "{protocol:?}");
        assert_eq!(status.plans.len(), 1);
        assert_eq!(status.plans[0].status, "in_use");
        assert!(status.plans[0].expire_at > status.plans[0].effective_at);
        let usage = client.sim_usage(&sim).await.unwrap();
        assert!(usage.cached, "{protocol:?}");
        let told = Some(sdk::SimUsage { cached: false, ..usage.clone() });
        assert_eq!(told, status.usage, "{protocol:?}");
        assert!(usage.used_bytes > 0 && !usage.stale, "{protocol:?}: {usage:?}");
        if let Some(total) = usage.total_bytes {
            assert_eq!(usage.remaining_bytes, Some((total - usage.used_bytes).max(0)));
        }
        mall.stop().await;
    }
    // The built-in network, too.
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let usage = partner.client(&mall).sim_usage(&partner.sims[0]).await.unwrap();
    assert_eq!((usage.used_bytes, usage.total_bytes, usage.stale), (0, Some(0), false));
    mall.stop().await;
}

async fn a_network_is_asked_as_rarely_as_it_allows(engine: Engine) {
    let (mall, _, client, sim) = with_plan(engine, Network::new("network", Protocol::EsimGo)).await;
    let answers = at_once(24, |_| {
        let (client, sim) = (client.clone(), sim.clone());
        async move { client.sim_usage(&sim).await.unwrap() }
    })
    .await;
    let first = answers[0].clone();
    assert_eq!(answers.iter().filter(|answer| !answer.cached).count(), 1);
    assert!(answers.iter().all(|answer| answer.used_bytes == first.used_bytes), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.asked_at == first.asked_at));
    mall.clock.advance(Span::seconds(299));
    assert_eq!(client.sim_usage(&sim).await.unwrap().asked_at, first.asked_at);
    // Another node remembers it as well.
    mall.clock.advance(Span::seconds(1));
    let later = client.sim_usage(&sim).await.unwrap();
    assert_eq!(later.asked_at, first.asked_at + 300_000);
    assert!(later.used_bytes > first.used_bytes);
    mall.stop().await;
}

async fn what_was_said_last_is_told_where_nobody_answers(engine: Engine) {
    let (mall, partner, client, sim) =
        with_plan(engine, Network::new("network", Protocol::EsimAccess)).await;
    let said = client.sim_usage(&sim).await.unwrap();
    let down = r#"{"faults": [{"kind": "drop-before-doing"}]}"#;
    mall.network("network").set_faults(Faults::parse(down).unwrap());
    mall.clock.advance(Span::minutes(6));
    let stale = client.sim_usage(&sim).await.unwrap();
    assert!(stale.stale && stale.asked_at == said.asked_at, "{stale:?}");
    // Of a SIM that nobody ever asked about there is nothing to tell.
    let other = mall.add_sim(&partner, "", "network", SimState::Ready).await;
    assert_eq!(code(client.sim_usage(&other).await), "UNAVAILABLE");
    mall.network("network").set_faults(Faults::preset("none").unwrap());
    // It is not asked again at once.
    mall.clock.advance(Span::minutes(1));
    assert!(!client.sim_usage(&sim).await.unwrap().stale);
    mall.stop().await;
}

async fn a_path_is_signed_with_its_parameters_or_without(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall
        .add_partner("P100", Mode::Test, |partner| partner.schemes = vec![Scheme::Md5Key])
        .await;
    let sim = json!({"sim_id": partner.sims[0]});
    let all = fields(&mall, "P100", &QUERY_SIM, sim);
    let at = path(&partner, &QUERY_SIM);
    let (_, rest) = filled(&at, &all);
    for over in [&all, &rest] {
        let sign = wire::sign::sign(Scheme::Md5Key, &partner.key, &content(over));
        let mut members = all.clone();
        members.insert("sign".to_owned(), sign.into());
        get(&mall, &at, &members).await.accepted();
    }
    // Another SIM in the path is another content, where the path is in it.
    let mut other = signed(Scheme::Md5Key, &partner.key, all.clone());
    other.insert("sim_id".to_owned(), partner.sims[1].clone().into());
    get(&mall, &at, &other).await.refused("SIGN_MISMATCH");
    mall.stop().await;
}

async fn a_sim_in_a_path_is_checked(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    for call in [QUERY_SIM, QUERY_SIM_USAGE] {
        for (sim, expected) in [
            ("1", "BAD_REQUEST"),
            ("8944x00000000000000", "BAD_REQUEST"),
            ("%00", "BAD_REQUEST"),
            ("89440000000000000000", "SIM_UNKNOWN"),
            (other.sims[0].as_str(), "SIM_UNKNOWN"),
        ] {
            let named = sim.replace("%00", "\0");
            let all = fields(&mall, "P100", &call, json!({"sim_id": named}));
            let members = signed(Scheme::HmacSha256, &partner.key, all);
            let (_, mut rest) = filled("{sim_id}", &members);
            rest.remove("sim_id");
            let at = path(&partner, &call).replace("{sim_id}", sim);
            let answer = get(&mall, &at, &rest).await;
            assert_eq!(answer.outcome(), (400, expected.to_owned()), "{sim}: {}", answer.text);
        }
    }
    mall.stop().await;
}

async fn what_ended_upstream_ends_here(engine: Engine) {
    let network = Network::new("network", Protocol::CubeV4);
    let (mall, _, client, sim) = with_plan(engine, network).await;
    let running = client.single_query_order(&sim).await.unwrap().order_list;
    assert_eq!(running.len(), 1);
    // The network says what it says; a plan that is young may not be in its list yet.
    mall.advance(Span::minutes(70)).await;
    assert_eq!(client.sim(&sim).await.unwrap().plans.len(), 1);
    cancel(&mall, &sim);
    mall.advance(Span::minutes(30)).await;
    let status = client.sim(&sim).await.unwrap();
    assert!(status.plans.is_empty(), "{status:?}");
    assert!(client.single_query_order(&sim).await.unwrap().order_list.is_empty());
    mall.stop().await;
}

async fn notify(mall: &TestMall, code: &str, body: &Value) -> (u16, String) {
    let path = format!("/carriers/{code}/notifications");
    let answer = send(mall, "POST", &path, |request| {
        request.header("content-type", "application/json").body(body.to_string())
    })
    .await;
    let told = if answer.text.is_empty() { String::new() } else { answer.told("code") };
    (answer.status, told)
}

async fn a_notification_makes_us_ask(engine: Engine) {
    let network = Network {
        faults: Faults::parse(r#"{"delay_seconds": [100, 100]}"#).unwrap(),
        ..Network::new("network", Protocol::EsimAccess)
    };
    let mall =
        TestMall::with(engine, Recipe { networks: vec![network], ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, "network").await;
    let sim = mall.add_sim(&partner, "", "network", SimState::Ready).await;
    let client = partner.client(&mall);
    let made = client.syn_order_info(&partner.paid_order_at("network", &sim, "N1")).await.unwrap();
    mall.settle().await;
    // It is asked every 20 seconds by now; the last time just before it is done.
    for _ in 0..99 {
        mall.advance(Span::seconds(1)).await;
    }
    let key = made.order_id.replace('_', "");
    let hint = json!({"notifyType": "ORDER_STATUS", "content": {
        "orderStatus": "GOT_RESOURCE", "transactionId": key, "orderNo": "B1",
    }});
    mall.clock.advance(Span::seconds(1));
    let (mut tx, job) = (mall.store().read().await.unwrap(), store::JobKind::Provision);
    let of = (Mode::Test, partner.partner.id);
    let due = tx.job_record(of, job.job_id(&made.order_id)).await.unwrap();
    drop(tx);
    for _ in 0..5 {
        assert_eq!(notify(&mall, "network", &hint).await, (200, String::new()));
    }
    mall.settle().await;
    if due.is_some_and(|due| due.run_at > mall.now() + Span::seconds(30)) {
        mall.advance(Span::seconds(30)).await;
    } else {
        mall.advance(Span::seconds(20)).await;
    }
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    assert_eq!(mall.network("network").bundles(&sim).len(), 1);
    assert_eq!(client.single_query_order(&sim).await.unwrap().order_list.len(), 1);
    mall.stop().await;
}

async fn a_notification_that_cannot_be_read_is_refused(engine: Engine) {
    let (mall, ..) = with_plan(engine, Network::new("network", Protocol::EsimGo)).await;
    assert_eq!(notify(&mall, "nobody", &json!({})).await, (404, "NOT_FOUND".to_owned()));
    assert_eq!(notify(&mall, "simulator", &json!({})).await, (400, "BAD_REQUEST".to_owned()));
    assert_eq!(notify(&mall, "network", &json!([])).await, (401, "SIGN_MISMATCH".to_owned()));
    let long = json!({"x": "y".repeat(70_000)});
    assert_eq!(notify(&mall, "network", &long).await, (413, "PAYLOAD_TOO_LARGE".to_owned()));
    mall.stop().await;
}
