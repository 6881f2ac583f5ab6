//! A SIM and its usage, as the mall and its carrier have them: fresh, remembered, and the last that was heard.

use domain::sim::SimState;
use domain::{Mode, Span};
use mall::Settings;
use sdk::{Client, Error};
use serde_json::json;
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::{Fault, FaultKind, Faults, Protocol};
use wire::sign::Scheme;
use wire::topup::QUERY_SIM_USAGE;

use crate::raw::{self, content, fields, get, path, send, signed};
use crate::steps::{at_once, client_at, code, daily};

on_both_engines!(
    a_sim_is_told_with_its_plans_and_what_is_left_of_them,
    usage_follows_the_time,
    a_carrier_is_asked_once_per_period,
    many_at_once_are_one_question,
    what_cannot_be_asked_is_told_as_it_was,
    what_was_never_said_is_not_made_up,
    a_sim_of_no_carrier_here_has_nothing_to_tell,
    the_path_is_signed_or_left_out_as_the_scheme_says,
    each_network_tells_what_it_knows,
);

/// A figure of the mall, 0 where it was never counted.
pub(crate) async fn figure(mall: &TestMall, name: &str) -> i64 {
    let text = testkit::http_client().get(format!("{}/metrics", mall.admin_url()));
    let text = text.send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

/// How often a carrier was asked a question about SIMs.
async fn questions(mall: &TestMall, carrier: &str, question: &str, outcome: &str) -> i64 {
    let labels = format!("carrier=\"{carrier}\",question=\"{question}\",outcome=\"{outcome}\"");
    figure(mall, &format!("simmall_sim_questions_total{{{labels}}}")).await
}

/// A partner and a SIM of its that ends in some way and has a plan for 1 to 3 or 30 days.
pub(crate) async fn sold(mall: &TestMall, ending: &str, days: u32) -> (TestPartner, String) {
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let sim = mall.add_sim(&partner, ending, "simulator", SimState::Ready).await;
    let client = partner.client(mall);
    let order = match days {
        30 => partner.paid_order(&sim, "N1"),
        days => daily(&partner, &sim, "N1", days),
    };
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    (partner, sim)
}

async fn a_sim_is_told_with_its_plans_and_what_is_left_of_them(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (partner, sim) = sold(&mall, "", 1).await;
    let client = partner.client(&mall);
    let order = client.syn_order_info(&daily(&partner, &sim, "N2", 2)).await.unwrap();
    mall.settle().await;
    let began = mall.now();
    mall.advance(Span::minutes(90)).await;
    let told = client.sim(&sim).await.unwrap();
    assert_eq!((told.sim_id.as_str(), told.status.as_str()), (sim.as_str(), "ready"));
    assert_eq!(told.network_status, "active");
    assert_eq!((told.asked_at, told.cached, told.stale), (mall.now().as_millis(), false, false));
    let [first, second] = &told.plans[..] else { panic!("{told:?}") };
    assert_eq!((first.status.as_str(), first.service_plan_code.as_str()), ("in_use", "PLAN-D"));
    assert_eq!(first.effective_at, Some(began.as_millis()));
    assert_eq!(first.expire_at, Some((began + Span::days(1)).as_millis()));
    assert_eq!((first.total_bytes, first.used_bytes), (Some(1 << 30), Some(90 << 20)));
    assert_eq!(first.remaining_bytes, Some((1 << 30) - (90 << 20)));
    assert_eq!((second.status.as_str(), &second.order_id), ("waiting", &order.order_id));
    assert_eq!((second.effective_at, second.expire_at, second.remaining_days), (None, None, 2));
    assert_eq!((second.order_period, second.remaining_bytes), (2, Some(2 << 30)));
    assert_eq!((first.package_type.as_str(), first.remaining_days), ("1", 1));
    // Another partner learns nothing, and a card that is none is refused by its form.
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await.client(&mall);
    assert_eq!(code(other.sim(&sim).await), "SIM_UNKNOWN");
    assert_eq!(code(other.sim_usage(&sim).await), "SIM_UNKNOWN");
    assert_eq!(code(client.sim("8985200000000000000").await), "SIM_UNKNOWN");
    assert_eq!(code(client.sim("not a card").await), "BAD_REQUEST");
    mall.stop().await;
}

async fn usage_follows_the_time(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (partner, sim) = sold(&mall, "", 1).await;
    let client = partner.client(&mall);
    let fresh = &partner.sims[0];
    let none = client.sim_usage(fresh).await.unwrap();
    assert_eq!((none.used_bytes, none.total_bytes, none.remaining_bytes), (0, Some(0), Some(0)));
    for (minutes, used) in [(0, 0), (20, 20), (60, 80), (24 * 60, 1_024)] {
        mall.advance(Span::minutes(minutes)).await;
        let usage = client.sim_usage(&sim).await.unwrap();
        assert_eq!((usage.used_bytes, usage.total_bytes), (used << 20, Some(1 << 30)));
        assert_eq!(usage.remaining_bytes, Some((1 << 30) - (used << 20)));
        assert_eq!((usage.as_of, usage.asked_at), (Some(usage.asked_at), mall.now().as_millis()));
        assert!(!usage.cached && !usage.stale && usage.periods.is_empty(), "{usage:?}");
    }
    mall.stop().await;
}

async fn a_carrier_is_asked_once_per_period(engine: Engine) {
    let settings = Settings { usage_age_max: Span::minutes(5), ..Recipe::default().settings };
    let mall = TestMall::with(engine, Recipe { settings, ..Recipe::default() }).await;
    let (partner, sim) = sold(&mall, "", 30).await;
    let client = partner.client(&mall);
    let other = mall.another_node(Recipe { settings, ..Recipe::default() }).await;
    let elsewhere = client_at(&other, &mall, &partner);
    let asked = mall.now().as_millis();
    let first = client.sim_usage(&sim).await.unwrap();
    assert_eq!((first.cached, first.asked_at), (false, asked));
    mall.advance(Span::seconds(299)).await;
    // The other node's simulator has seen no order: this is the first node's answer.
    for client in [&client, &elsewhere] {
        let again = client.sim_usage(&sim).await.unwrap();
        assert_eq!((again.cached, again.stale, again.asked_at), (true, false, asked));
        assert_eq!((again.used_bytes, again.total_bytes), (0, first.total_bytes));
    }
    assert_eq!(questions(&mall, "simulator", "usage", "answered").await, 1);
    mall.advance(Span::seconds(1)).await;
    let later = client.sim_usage(&sim).await.unwrap();
    assert_eq!((later.cached, later.used_bytes), (false, 5 << 20));
    // A SIM's state is good for a minute, whoever asked for its usage.
    for (seconds, cached) in [(0, false), (59, true), (1, false)] {
        mall.advance(Span::seconds(seconds)).await;
        assert_eq!(client.sim(&sim).await.unwrap().cached, cached, "{seconds}");
    }
    assert_eq!(questions(&mall, "simulator", "state", "answered").await, 2);
    assert_eq!(questions(&mall, "simulator", "usage", "answered").await, 2);
    other.stop().await;
    mall.stop().await;
}

async fn many_at_once_are_one_question(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (partner, sim) = sold(&mall, "", 30).await;
    let other = mall.another_node(Recipe::default()).await;
    let clients = [partner.client(&mall), client_at(&other, &mall, &partner)];
    let told = at_once(24, |number| {
        let (client, sim): (Client, String) = (clients[number % 2].clone(), sim.clone());
        async move { (client.sim_usage(&sim).await.unwrap(), client.sim(&sim).await.unwrap()) }
    })
    .await;
    assert_eq!(told.iter().filter(|(usage, _)| !usage.cached).count(), 1);
    assert_eq!(told.iter().filter(|(_, state)| !state.cached).count(), 1);
    assert!(told.iter().all(|(usage, state)| !usage.stale && !state.stale), "{told:?}");
    assert!(told.iter().all(|(usage, _)| usage.asked_at == told[0].0.asked_at));
    other.stop().await;
    mall.stop().await;
}

async fn what_cannot_be_asked_is_told_as_it_was(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // It cannot be reached in the second half of each hour; it is 8:00.
    let (partner, sim) = sold(&mall, "9006", 30).await;
    let client = partner.client(&mall);
    mall.advance(Span::minutes(10)).await;
    let (usage, state) = (client.sim_usage(&sim).await.unwrap(), client.sim(&sim).await.unwrap());
    assert_eq!((usage.used_bytes, usage.stale, state.stale), (10 << 20, false, false));
    mall.advance(Span::minutes(25)).await;
    for _ in 0..3 {
        let (later, now) = (client.sim_usage(&sim).await.unwrap(), client.sim(&sim).await.unwrap());
        assert_eq!((later.cached, later.stale), (true, true));
        assert_eq!((later.used_bytes, later.as_of), (usage.used_bytes, usage.as_of));
        assert_eq!((now.stale, now.asked_at), (true, state.asked_at));
        assert_eq!(now.network_status, "active");
        assert_eq!(now.plans[0].used_bytes, Some(10 << 20));
    }
    // It was tried once each, and is tried again after a minute.
    assert_eq!(questions(&mall, "simulator", "usage", "failed").await, 1);
    assert_eq!(questions(&mall, "simulator", "state", "failed").await, 1);
    mall.advance(Span::minutes(1)).await;
    assert!(client.sim_usage(&sim).await.unwrap().stale);
    assert_eq!(questions(&mall, "simulator", "usage", "failed").await, 2);
    mall.advance(Span::minutes(24)).await;
    let back = client.sim_usage(&sim).await.unwrap();
    assert_eq!((back.stale, back.cached, back.used_bytes), (false, false, 60 << 20));
    mall.stop().await;
}

async fn what_was_never_said_is_not_made_up(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let (partner, sim) = sold(&mall, "9006", 30).await;
    let client = partner.client(&mall);
    mall.advance(Span::minutes(30)).await;
    let Err(Error::Refused { status, failure }) = client.sim_usage(&sim).await else {
        panic!("an answer");
    };
    assert_eq!((status, failure.code.as_str()), (503, "UNAVAILABLE"));
    let refusal = raw::fields(&mall, "P100", &QUERY_SIM_USAGE, json!({"sim_id": sim}));
    let refusal = signed(Scheme::HmacSha256, &partner.key, refusal);
    mall.clock.advance(Span::seconds(15));
    let refusal = get(&mall, &path(&partner, &QUERY_SIM_USAGE), &refusal).await;
    assert_eq!(refusal.headers["retry-after"], "45");
    assert_eq!(code(client.sim(&sim).await), "UNAVAILABLE");
    // What the mall knows by itself is still told where it always was.
    assert_eq!(client.single_query_order(&sim).await.unwrap().order_list.len(), 1);
    mall.stop().await;
}

async fn a_sim_of_no_carrier_here_has_nothing_to_tell(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = mall.add_sim(&partner, "", "another-network", SimState::Suspended).await;
    assert_eq!(code(client.sim(&sim).await), "UNAVAILABLE");
    assert_eq!(code(client.sim_usage(&sim).await), "UNAVAILABLE");
    let gone = mall.add_sim(&partner, "", "simulator", SimState::Terminated).await;
    let told = client.sim(&gone).await.unwrap();
    assert_eq!((told.status.as_str(), told.network_status.as_str()), ("terminated", "pre_active"));
    mall.stop().await;
}

async fn the_path_is_signed_or_left_out_as_the_scheme_says(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, at) = (&partner.sims[0], path(&partner, &QUERY_SIM_USAGE));
    let whole = fields(&mall, "P100", &QUERY_SIM_USAGE, json!({"sim_id": sim}));
    let mut bare = whole.clone();
    bare.remove("sim_id");
    for (scheme, key) in [(Scheme::Md5, ""), (Scheme::Md5Key, partner.key.as_str())] {
        for signed_over in [&whole, &bare] {
            let mut members = whole.clone();
            let sign = wire::sign::sign(scheme, key, &content(signed_over));
            members.insert("sign".to_owned(), sign.into());
            get(&mall, &at, &members).await.accepted();
        }
    }
    // `hmac-sha256` has one form.
    let mut members = whole.clone();
    let sign = wire::sign::sign(Scheme::HmacSha256, &partner.key, &content(&bare));
    members.insert("sign".to_owned(), sign.into());
    let refusal = get(&mall, &at, &members).await;
    refusal.refused("SIGN_MISMATCH");
    assert!(refusal.told("signContent").contains(&format!("\"sim_id\":\"{sim}\"")));
    let good = signed(Scheme::HmacSha256, &partner.key, whole.clone());
    get(&mall, &at, &good).await.accepted();
    // What was signed for one SIM is not good for another.
    let mut moved = good.clone();
    moved.insert("sim_id".to_owned(), partner.sims[1].as_str().into());
    get(&mall, &at, &moved).await.refused("SIGN_MISMATCH");
    // In the path and in the query is twice.
    let pairs =
        good.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap().to_owned()));
    let query = wire::params::write_query(pairs);
    let twice = format!("{}?{query}", at.replace("{sim_id}", sim));
    let twice = send(&mall, "GET", &twice, |request| request).await;
    assert_eq!(twice.refused("BAD_REQUEST").told("field"), "sim_id");
    for nowhere in ["", "/", "%ff", "a/b"] {
        let answer = send(&mall, "GET", &at.replace("{sim_id}", nowhere), |request| request).await;
        assert!(matches!(answer.status, 400 | 404), "{nowhere}: {}", answer.text);
    }
    mall.stop().await;
}

async fn each_network_tells_what_it_knows(engine: Engine) {
    for protocol in Protocol::ALL {
        let recipe = Recipe { networks: vec![Network::new("net", protocol)], ..Recipe::default() };
        let mall = TestMall::with(engine, recipe).await;
        let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
        mall.add_plan_of(&partner, "net").await;
        let sim = mall.add_sim(&partner, "", "net", SimState::Ready).await;
        let client = partner.client(&mall);
        client.syn_order_info(&partner.paid_order_at("net", &sim, "N1")).await.unwrap();
        for _ in 0..30 {
            mall.advance(Span::seconds(10)).await;
        }
        assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED", "{protocol:?}");
        mall.advance(Span::minutes(60)).await;
        let (usage, told) = (client.sim_usage(&sim).await, client.sim(&sim).await.unwrap());
        assert_eq!(told.network_status, "active", "{protocol:?}");
        assert_eq!((told.stale, told.plans.len()), (false, 1), "{protocol:?}");
        assert!(told.plans[0].used_bytes.is_some_and(|used| used > 0), "{protocol:?} {told:?}");
        let usage = usage.unwrap();
        assert!(usage.used_bytes > 0 && !usage.stale, "{protocol:?} {usage:?}");
        // It goes away, and its last word stays.
        let drop = Fault::always(FaultKind::DropBeforeDoing);
        let faults = Faults { faults: vec![drop], ..mall.network("net").faults() };
        mall.network("net").set_faults(faults);
        mall.advance(Span::minutes(60)).await;
        let last = client.sim_usage(&sim).await.unwrap();
        assert_eq!((last.stale, last.used_bytes), (true, usage.used_bytes), "{protocol:?}");
        assert!(client.sim(&sim).await.unwrap().stale, "{protocol:?}");
        mall.stop().await;
    }
}
