//! What becomes of a SIM at its carrier is taken over, and what a carrier tells is a reason to look, not a proof.

use domain::sim::SimState;
use domain::{Mode, Span};
use mall::Settings;
use serde_json::{Value, json};
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::{Protocol, Reply, Request};

use crate::raw::{Answer, send};
use crate::steps::{assert_owes, at_once, code, daily, queue};
use crate::usage::{figure, sold};

on_both_engines!(
    a_plan_taken_back_upstream_ends_and_the_next_one_begins,
    an_end_that_moved_upstream_moves_here,
    a_sim_terminated_upstream_is_sold_nothing_more,
    a_hint_of_anybody_changes_nothing_by_itself,
    hints_are_heeded_every_half_minute,
    a_look_that_cannot_be_made_is_made_later,
    a_hint_lets_an_order_in_progress_be_asked_after,
    notifications_that_are_none_are_refused,
    a_signed_notification_is_taken_and_a_forged_one_is_not,
    the_sweep_goes_by_sims_in_use_in_small_pieces,
    callers_that_prove_nothing_are_limited,
);

/// Posts a notification.
async fn notify(mall: &TestMall, carrier: &str, body: impl Into<reqwest::Body>) -> Answer {
    let path = format!("/carriers/{carrier}/notifications");
    send(mall, "POST", &path, |request| request.body(body)).await
}

/// Lets the simulator say that something happened to a SIM, and what follows be done.
async fn hint(mall: &TestMall, sim: &str) {
    let body = json!({"kind": "something", "iccid": sim}).to_string();
    notify(mall, "simulator", body).await.accepted();
    mall.settle().await;
}

async fn looks(mall: &TestMall) -> i64 {
    let labels = r#"carrier="simulator",question="state",outcome="answered""#;
    figure(mall, &format!("simmall_sim_questions_total{{{labels}}}")).await
}

async fn a_plan_taken_back_upstream_ends_and_the_next_one_begins(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // Its network takes plans back after an hour.
    let (partner, sim) = sold(&mall, "9007", 30).await;
    let client = partner.client(&mall);
    client.syn_order_info(&daily(&partner, &sim, "N2", 2)).await.unwrap();
    mall.settle().await;
    let began = mall.now();
    mall.advance(Span::minutes(90)).await;
    assert_eq!(client.order("N1").await.unwrap().effective_at, Some(began.as_millis()));
    assert_eq!(queue(&client, &sim).await.len(), 2);
    hint(&mall, &sim).await;
    // The second began when the first was taken back, and is to be taken back half an hour from now.
    let [only] = &queue(&client, &sim).await[..] else { panic!("one plan") };
    assert_eq!((only[0].as_str(), only[1].as_str()), ("2", "2"));
    let second = client.order("N2").await.unwrap();
    assert_eq!(second.effective_at, Some((began + Span::minutes(60)).as_millis()));
    // That end was told as well.
    assert_eq!(second.expire_at, Some((began + Span::minutes(60) + Span::days(2)).as_millis()));
    assert_eq!(client.order("N1").await.unwrap().effective_at, None);
    assert_owes(&mall, &partner, 800 + 160).await;
    mall.advance(Span::minutes(60)).await;
    hint(&mall, &sim).await;
    assert_eq!(queue(&client, &sim).await, [[""; 5]; 0]);
    assert_eq!(client.single_verify(&sim).await.unwrap().card_status, "1");
    // A plan bought now begins now.
    client.syn_order_info(&daily(&partner, &sim, "N3", 1)).await.unwrap();
    mall.settle().await;
    let third = client.order("N3").await.unwrap();
    assert_eq!(third.effective_at, Some(mall.now().as_millis()));
    assert_owes(&mall, &partner, 1_040).await;
    mall.stop().await;
}

async fn an_end_that_moved_upstream_moves_here(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // Its network lets plans run a day longer.
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let sim = mall.add_sim(&partner, "9008", "simulator", SimState::Ready).await;
    let client = partner.client(&mall);
    let mut order = partner.paid_order(&sim, "N1");
    order.order.auto_renewal = true;
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    let began = mall.now();
    let next = async || {
        let list = client.query_auto_renewal_record_list(&sim).await.unwrap();
        list.record_list[0].next_renewal_time.clone()
    };
    assert_eq!(next().await, "2024-04-09 16:00:00");
    hint(&mall, &sim).await;
    let longer = began + Span::days(31);
    assert_eq!(client.order("N1").await.unwrap().expire_at, Some(longer.as_millis()));
    assert_eq!(next().await, "2024-04-10 16:00:00");
    mall.advance(Span::days(30) + Span::minutes(1)).await;
    assert_eq!(queue(&client, &sim).await.len(), 1, "it still runs");
    mall.advance(Span::days(1)).await;
    assert_eq!(queue(&client, &sim).await.len(), 0);
    mall.stop().await;
}

async fn a_sim_terminated_upstream_is_sold_nothing_more(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (partner, sim) = sold(&mall, "9009", 30).await;
    let client = partner.client(&mall);
    hint(&mall, &sim).await;
    assert_eq!(client.single_verify(&sim).await.unwrap().card_status, "2");
    mall.advance(Span::minutes(60)).await;
    hint(&mall, &sim).await;
    assert_eq!(code(client.single_verify(&sim).await), "SIM_NOT_SELLABLE");
    let refused = client.syn_order_info(&daily(&partner, &sim, "N2", 1)).await;
    assert_eq!(code(refused), "SIM_NOT_SELLABLE");
    let told = client.sim(&sim).await.unwrap();
    assert_eq!((told.status.as_str(), told.network_status.as_str()), ("terminated", "terminated"));
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn a_hint_of_anybody_changes_nothing_by_itself(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (partner, sim) = sold(&mall, "", 2).await;
    let client = partner.client(&mall);
    let before = (queue(&client, &sim).await, client.order("N1").await.unwrap());
    for kind in ["terminated", "plan_revoked", "plan_ended"] {
        let body = json!({"kind": kind, "iccid": sim, "state": "revoked", "order_id": "N1"});
        notify(&mall, "simulator", body.to_string()).await.accepted();
        mall.advance(Span::seconds(30)).await;
    }
    let client_sees = (queue(&client, &sim).await, client.order("N1").await.unwrap());
    assert_eq!(client_sees, before);
    // A network that knows nothing of the plans says nothing of them: it was started anew.
    let other = mall.another_node(Recipe::default()).await;
    let url = format!("http://{}/carriers/simulator/notifications", other.address);
    let body = json!({"kind": "x", "iccid": sim}).to_string();
    let answer = testkit::http_client().post(url).body(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    crate::steps::settle_nodes(&[mall.mall(), &other.mall]).await;
    assert_eq!(queue(&client, &sim).await, before.0);
    other.stop().await;
    mall.stop().await;
}

async fn hints_are_heeded_every_half_minute(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (_, sim) = sold(&mall, "", 2).await;
    for _ in 0..5 {
        hint(&mall, &sim).await;
    }
    assert_eq!(looks(&mall).await, 1);
    mall.advance(Span::seconds(29)).await;
    hint(&mall, &sim).await;
    assert_eq!(looks(&mall).await, 1);
    // The one that waited is heeded, and does for all that came meanwhile.
    mall.advance(Span::seconds(1)).await;
    assert_eq!(looks(&mall).await, 2);
    mall.advance(Span::minutes(10)).await;
    assert_eq!(looks(&mall).await, 2);
    let sims = at_once(16, |_| {
        let (url, body) = (mall.url(), json!({"kind": "x", "iccid": sim}).to_string());
        async move {
            let url = format!("{url}/carriers/simulator/notifications");
            testkit::http_client().post(url).body(body).send().await.unwrap().status().as_u16()
        }
    })
    .await;
    assert!(sims.iter().all(|status| *status == 200));
    mall.settle().await;
    mall.advance(Span::minutes(10)).await;
    // The first is heeded at once, the second half a minute later, which does for the others.
    assert_eq!(looks(&mall).await, 4);
    // Nothing is left to be done but the plan's own turn.
    assert_eq!(
        mall.store().next_job_at().await.unwrap().map(|at| at > mall.now() + Span::minutes(60)),
        Some(true)
    );
    mall.stop().await;
}

async fn a_look_that_cannot_be_made_is_made_later(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // It cannot be reached in the second half of each hour; it is 8:00.
    let (_, sim) = sold(&mall, "9006", 30).await;
    mall.advance(Span::minutes(50)).await;
    hint(&mall, &sim).await;
    assert_eq!(looks(&mall).await, 0);
    mall.advance(Span::minutes(14)).await;
    assert_eq!(looks(&mall).await, 0);
    mall.advance(Span::minutes(1)).await;
    assert_eq!(looks(&mall).await, 1);
    // A later word does not wait for a look that was put off.
    mall.advance(Span::minutes(25)).await;
    hint(&mall, &sim).await;
    mall.clock.advance(Span::minutes(2));
    hint(&mall, &sim).await;
    let labels = r#"carrier="simulator",question="state",outcome="failed""#;
    assert_eq!(figure(&mall, &format!("simmall_sim_questions_total{{{labels}}}")).await, 3);
    mall.stop().await;
}

async fn a_hint_lets_an_order_in_progress_be_asked_after(engine: Engine) {
    let recipe = Recipe { simulator: "delay:50".parse().unwrap(), ..Recipe::default() };
    let mall = TestMall::with(engine, recipe).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&partner.paid_order(sim, "N1")).await.unwrap();
    mall.settle().await;
    for _ in 0..22 {
        mall.advance(Span::seconds(2)).await;
    }
    let due = mall.store().next_job_at().await.unwrap().unwrap();
    assert!(due > mall.now() + Span::seconds(8), "it is not asked after soon by itself");
    mall.advance(Span::seconds(8)).await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONING");
    hint(&mall, sim).await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    mall.stop().await;
}

async fn notifications_that_are_none_are_refused(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (_, sim) = sold(&mall, "", 2).await;
    for bad in ["", "nonsense", "[]", "{}", "{\"kind\":", "null", "\u{0}"] {
        let told = notify(&mall, "simulator", bad).await;
        assert_eq!(told.outcome(), (400, "BAD_REQUEST".to_owned()), "{bad}");
        assert_eq!(told.json()["operateCode"], "F");
    }
    let large = format!("{{\"kind\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(notify(&mall, "simulator", large).await.outcome().0, 413);
    for nobody in ["nobody", "%ff", "a%2Fb", "SIMULATOR"] {
        let told = notify(&mall, nobody, "{\"kind\":\"x\"}").await;
        assert_eq!(told.outcome(), (404, "NOT_FOUND".to_owned()), "{nobody}");
    }
    let got = send(&mall, "GET", "/carriers/simulator/notifications", |request| request).await;
    assert_eq!(got.outcome(), (405, "METHOD_NOT_ALLOWED".to_owned()));
    // About nothing that is here: taken, and nothing comes of it.
    for about in [
        json!({"kind": "x"}),
        json!({"kind": "x", "iccid": "8985200000000000000"}),
        json!({"kind": "x", "iccid": "junk", "upstream_id": "SIM-1-x"}),
    ] {
        notify(&mall, "simulator", about.to_string()).await.accepted();
    }
    mall.settle().await;
    assert_eq!(looks(&mall).await, 0);
    hint(&mall, &sim).await;
    assert_eq!(looks(&mall).await, 1);
    mall.stop().await;
}

/// A mall with an eSIM Go network, and a SIM with a plan of it.
async fn at_esim_go(engine: Engine, settings: Settings) -> (TestMall, TestPartner, String) {
    let networks = vec![Network::new("go", Protocol::EsimGo)];
    let mall = TestMall::with(engine, Recipe { networks, settings, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, "go").await;
    let sim = mall.add_sim(&partner, "", "go", SimState::Ready).await;
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order_at("go", &sim, "N1")).await.unwrap();
    for _ in 0..30 {
        mall.advance(Span::seconds(10)).await;
    }
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    (mall, partner, sim)
}

/// Takes a SIM's plan back at the network, as its operator would.
fn revoke(mall: &TestMall, sim: &str) {
    let request = Request {
        method: "DELETE".to_owned(),
        path: format!("/v2.5/esims/{sim}/bundles/CP-PACK-go"),
        headers: vec![("x-api-key".to_owned(), "test-key".to_owned())],
        ..Request::default()
    };
    let reply = mall.network("go").handle(&request);
    assert!(matches!(&reply, Reply::Answer(answer) if answer.status == 200), "{reply:?}");
}

async fn a_signed_notification_is_taken_and_a_forged_one_is_not(engine: Engine) {
    let (mall, partner, sim) = at_esim_go(engine, Recipe::default().settings).await;
    let client = partner.client(&mall);
    mall.advance(Span::minutes(60)).await;
    revoke(&mall, &sim);
    let body = json!({"iccid": sim, "alertType": "Utilisation"}).to_string();
    let post = async |sign: Option<&str>| {
        let answer = send(&mall, "POST", "/carriers/go/notifications", |request| {
            let request = request.body(body.clone());
            sign.into_iter()
                .fold(request, |request, sign| request.header("x-signature-sha256", sign))
        });
        answer.await
    };
    for forged in [None, Some("00"), Some("bm8=")] {
        let told = post(forged).await;
        assert_eq!(told.outcome(), (401, "SIGN_MISMATCH".to_owned()), "{forged:?}");
    }
    mall.settle().await;
    assert_eq!(queue(&client, &sim).await.len(), 1);
    let sign = wire::sign::sign(wire::sign::Scheme::HmacSha256, "test-key", &body);
    post(Some(&sign)).await.accepted();
    mall.settle().await;
    assert_eq!(queue(&client, &sim).await, [[""; 5]; 0]);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn the_sweep_goes_by_sims_in_use_in_small_pieces(engine: Engine) {
    let settings = Settings { sim_look_age: Some(Span::days(1)), ..Recipe::default().settings };
    let (mall, partner, first) = at_esim_go(engine, settings).await;
    let client = partner.client(&mall);
    // A second SIM of the network, one of the simulator's, and one without a plan.
    let second = mall.add_sim(&partner, "", "go", SimState::Ready).await;
    mall.add_sim(&partner, "", "go", SimState::Ready).await;
    client.syn_order_info(&partner.paid_order_at("go", &second, "N2")).await.unwrap();
    client.syn_order_info(&partner.paid_order(&partner.sims[0], "N3")).await.unwrap();
    for _ in 0..30 {
        mall.advance(Span::seconds(10)).await;
    }
    let sweep = async || {
        let added = mall.mall().sweep_sims().await.unwrap();
        mall.settle().await;
        added
    };
    revoke(&mall, &first);
    // One a minute, and then all are fresh. The mall's own sweep may have taken part.
    for _ in 0..4 {
        assert!(sweep().await <= 1);
    }
    assert_eq!(sweep().await, 0);
    assert_eq!(queue(&client, &first).await, [[""; 5]; 0]);
    assert_eq!(queue(&client, &second).await.len(), 1);
    let labels = r#"carrier="go",question="state",outcome="answered""#;
    let asked = figure(&mall, &format!("simmall_sim_questions_total{{{labels}}}")).await;
    assert_eq!((asked, looks(&mall).await), (2, 0));
    // The next day only the one whose plan still runs is looked at again.
    mall.advance(Span::days(1)).await;
    for _ in 0..4 {
        sweep().await;
    }
    let asked = figure(&mall, &format!("simmall_sim_questions_total{{{labels}}}")).await;
    assert_eq!(asked, 3);
    mall.stop().await;
}

async fn callers_that_prove_nothing_are_limited(engine: Engine) {
    let address_rate = Some("1:5".parse().unwrap());
    let settings = Settings { address_rate, ..Recipe::default().settings };
    let mall = TestMall::with(engine, Recipe { settings, ..Recipe::default() }).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(notify(&mall, "simulator", "{\"kind\":\"x\"}").await.status);
    }
    assert_eq!(statuses[..5], [200; 5]);
    assert_eq!(statuses[7], 429, "{statuses:?}");
    let told = notify(&mall, "simulator", "{\"kind\":\"x\"}").await;
    assert_eq!(told.outcome(), (429, "RATE_LIMITED".to_owned()));
    assert!(told.headers.contains_key("retry-after"));
    mall.clock.advance(Span::seconds(60));
    notify(&mall, "simulator", "{\"kind\":\"x\"}").await.accepted();
    let _: Value = told.json();
    mall.stop().await;
}
