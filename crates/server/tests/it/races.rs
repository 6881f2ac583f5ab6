//! What two do at the same moment, of which each sees the world before the other: nothing is lost by it, and nothing
//! done twice. Most of it can happen on PostgreSQL only, since SQLite lets one write at a time.

use domain::renewal::Renewal;
use domain::sim::SimState;
use domain::{Mode, Role, Span};
use mall::Settings;
use sdk::{AddEndpoint, PageAt};
use serde_json::json;
use store::{Job, JobKind, NewJob, Question, StoreError};
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::Protocol;

use crate::payments::{balance, status, with_stripe};
use crate::steps::{at_once, code, daily, settle_nodes};

on_both_engines!(
    refunds_that_end_at_once_end_the_order,
    an_order_is_paid_once_or_with_renewals,
    a_job_is_not_taken_for_the_one_before_it,
    what_was_not_committed_is_not_remembered,
    a_plan_behind_one_that_just_ends_has_its_turn,
    a_renewal_is_not_written_over,
    a_token_that_many_retire_is_retired,
    a_dispute_that_is_decided_stays_decided,
    a_listener_that_came_back_stays,
    a_file_that_many_bring_is_one_import,
    a_sim_changes_its_carrier_or_joins_a_group,
    what_a_carrier_said_is_forgotten_with_it,
    a_plan_behind_one_that_is_taken_back_has_its_turn,
);

/// How many orders meet their race at once.
const ORDERS: usize = 12;

async fn sims(mall: &TestMall, partner: &TestPartner) -> Vec<String> {
    let mut sims = Vec::new();
    for number in 0..ORDERS {
        let ending = format!("{:04}", 1_000 + number);
        sims.push(mall.add_sim(partner, &ending, "simulator", SimState::Ready).await);
    }
    sims
}

async fn refunds_that_end_at_once_end_the_order(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let operator = mall.admin(Role::Operator).await;
    let mut paths = Vec::new();
    for (number, sim) in sims(&mall, &partner).await.iter().enumerate() {
        let order = partner.order(sim, &format!("N{number}"));
        client.single_order(&order).await.unwrap();
        let auth = client.stripe_single_auth(&order.pay_id, ("10.00", "EUR"), "").await.unwrap();
        mall.stripe().pay(&auth.payment_intent_id, "pm_card_visa").await;
        let id = client.order(&format!("N{number}")).await.unwrap().order_id;
        paths.push(format!("/test/orders/{id}/refund"));
    }
    mall.settle_payments().await;
    // Stripe cannot be reached until all have been asked for, and tells nothing: the two jobs of an order run at once.
    mall.stripe().webhooks(true, false).await;
    let calls = u64::try_from(2 * ORDERS).unwrap();
    mall.stripe().fault("drop_before", ("POST", "/v1/refunds"), calls).await;
    for path in &paths {
        for amount in ["6.00", "4.00"] {
            let body = json!({"amount": amount, "reason": "the end user asked for it"});
            operator.post(path, &body).await.done();
        }
    }
    mall.settle().await;
    mall.stripe().no_faults().await;
    mall.advance(Span::seconds(31)).await;
    let refunded = mall.stripe().journal().refunded;
    assert_eq!(refunded.values().copied().collect::<Vec<_>>(), [1_000; ORDERS]);
    for number in 0..ORDERS {
        assert_eq!(status(&client, &format!("N{number}")).await, "REFUNDED", "{number}");
    }
    assert_eq!(balance(&mall, &partner, "sales").await, 0);
    mall.stop().await;
}

async fn an_order_is_paid_once_or_with_renewals(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    for (number, sim) in sims(&mall, &partner).await.iter().enumerate() {
        let mut order = partner.order(sim, &format!("N{number}"));
        order.auto_renewal = true;
        client.single_order(&order).await.unwrap();
        let mut said = at_once(2, |way| {
            let (client, pay_id) = (client.clone(), order.pay_id.clone());
            async move {
                if way == 0 {
                    code(client.stripe_single_auth(&pay_id, ("10.00", "EUR"), "").await)
                } else {
                    code(client.stripe_sub_auth(&pay_id).await)
                }
            }
        })
        .await;
        said.sort();
        assert_eq!(said, ["ORDER_CONFLICT", "ok"], "{number}");
    }
    mall.stop().await;
}

async fn a_job_is_not_taken_for_the_one_before_it(engine: Engine) {
    let settings = Settings { workers: 0, ..Recipe::default().settings };
    let mall = TestMall::with(engine, Recipe { settings, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let lease = Span::seconds(20);
    let write = async || {
        let job = NewJob {
            mode: Mode::Test,
            partner_id: partner.partner.id,
            kind: JobKind::LookAtSim,
            subject: partner.sims[0].clone(),
            trace: String::new(),
            run_at: mall.now(),
            claimed_at: None,
        };
        let mut tx = mall.store().begin().await.unwrap();
        assert!(tx.add_missing_job(&job, mall.now()).await.unwrap());
        tx.commit().await.unwrap();
    };
    let claim = async || -> Job {
        let mut tx = mall.store().begin().await.unwrap();
        let mut claimed = tx.claim_jobs(mall.now(), mall.now() + lease, 10).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claimed.len(), 1);
        claimed.remove(0)
    };
    let finish = async |job: &Job| {
        let mut tx = mall.store().begin().await.unwrap();
        let outcome = tx.finish_job(job).await;
        tx.commit().await.unwrap();
        outcome
    };
    write().await;
    let asleep = claim().await;
    mall.clock.advance(lease);
    let next = claim().await;
    finish(&next).await.unwrap();
    // The subject has a job again, which somebody runs when the one that slept wakes up.
    mall.clock.advance(Span::millis(1));
    write().await;
    let latest = claim().await;
    for old in [&asleep, &next] {
        assert!(matches!(finish(old).await, Err(StoreError::LeaseLost)), "{old:?}");
    }
    finish(&latest).await.unwrap();
    mall.stop().await;
}

async fn what_was_not_committed_is_not_remembered(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let operator = mall.admin(Role::Operator).await;
    let group = json!({"group_id": "FLEET-1", "name": "Cars", "sim_limit": 10, "plan_code": "PLAN-M",
        "carrier_group": "G-77"});
    let mut shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    mall.add_partner("OTHER", Mode::Test, |_| ()).await;
    operator.post("/test/partners/OTHER/groups", &group).await.done();
    let client = shop.client(&mall);
    client.single_query_order(&shop.sims[0]).await.unwrap();
    // Refused at the end of a transaction that raised the partner's version, and read it.
    let refused = operator.post("/test/partners/SHOP/groups", &group).await;
    assert_eq!(refused.code(409), "CARRIER_GROUP_TAKEN");
    // The next change of it gets the same version.
    mall.change_partner(&mut shop, |partner| partner.suspended = true).await;
    assert_eq!(code(client.single_query_order(&shop.sims[0]).await), "PARTNER_SUSPENDED");
    mall.stop().await;
}

async fn a_plan_behind_one_that_just_ends_has_its_turn(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&daily(&partner, sim, "N1", 1)).await.unwrap();
    mall.settle().await;
    mall.advance(Span::seconds(24 * 60 * 60 - 1)).await;
    // A node whose clock is a little ahead ends the plan, and does not see what is put behind it at this moment.
    let gone = mall.database.execute("DELETE FROM jobs WHERE kind = 'turn_plan'").await;
    assert_eq!(gone, 1);
    for number in ["N2", "N3"] {
        client.syn_order_info(&daily(&partner, sim, number, 2)).await.unwrap();
    }
    mall.settle().await;
    let waiting = async || {
        let mut tx = mall.store().read().await.unwrap();
        let iccid = sim.parse().unwrap();
        tx.sim_queue(Mode::Test, partner.partner.id, &iccid).await.unwrap().plans.len()
    };
    assert_eq!(waiting().await, 3);
    for left in [2, 1, 0] {
        mall.advance(Span::days(2)).await;
        assert_eq!(waiting().await, left);
    }
    mall.stop().await;
}

async fn a_renewal_is_not_written_over(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let mut order = partner.paid_order(&partner.sims[0], "N1");
    order.order.auto_renewal = true;
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    let (whose, iccid) = (partner.partner.id, partner.sims[0].parse().unwrap());
    let mut tx = mall.store().begin().await.unwrap();
    let read = tx.active_renewal(Mode::Test, whose, &iccid).await.unwrap().unwrap();
    let mine = Renewal { misses: 1, ..read.clone() };
    let theirs = Renewal { renewed: true, ..read.clone() };
    tx.schedule_renewal(Mode::Test, whose, (&read, &theirs)).await.unwrap();
    let late = tx.schedule_renewal(Mode::Test, whose, (&read, &mine)).await;
    assert!(matches!(late, Err(StoreError::Changed(_))), "{late:?}");
    assert_eq!(tx.active_renewal(Mode::Test, whose, &iccid).await.unwrap(), Some(theirs));
    drop(tx);
    mall.stop().await;
}

async fn a_token_that_many_retire_is_retired(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let owner = mall.admin(Role::Owner).await;
    for round in 0..5 {
        let new = json!({"name": format!("Jo {round}"), "role": "owner"});
        let made = owner.post("/tokens", &new).await.done();
        let path = format!("/tokens/{}", made["token"]["token_id"].as_str().unwrap());
        let said = at_once(8, |_| {
            let (owner, path) = (owner.clone(), path.clone());
            async move { owner.delete(&path).await.status }
        })
        .await;
        assert_eq!(said, [200; 8], "{round}");
    }
    mall.stop().await;
}

async fn a_dispute_that_is_decided_stays_decided(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order(&partner.sims[0], "N1")).await.unwrap();
    let order = client.order("N1").await.unwrap().order_id.parse().unwrap();
    let whose = (Mode::Test, partner.partner.id, order);
    // An answer that was on its way for long is not news.
    let told = [("needs_response", true), ("lost", true), ("under_review", false), ("lost", false)];
    let mut tx = mall.store().begin().await.unwrap();
    for (status, is_news) in told {
        assert_eq!(tx.note_dispute(whose, ("dp_1", status)).await.unwrap(), is_news, "{status}");
    }
    tx.commit().await.unwrap();
    mall.stop().await;
}

async fn a_listener_that_came_back_stays(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let client = shop.client(&mall);
    let new = AddEndpoint { is_listener: true, ..AddEndpoint::default() };
    let id = client.add_push_endpoint(&new).await.unwrap().endpoint.endpoint_id;
    mall.clock.advance(Span::minutes(61));
    let since = mall.now() - Span::minutes(60);
    let left = mall.store().read().await.unwrap().left_push_listeners(since, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    // Asked for after the sweep read that nobody did.
    client.take_pushes(&id, &[], 100).await.unwrap();
    let mut tx = mall.store().begin().await.unwrap();
    assert!(!tx.delete_left_push_listener(&left[0], since).await.unwrap());
    tx.commit().await.unwrap();
    client.take_pushes(&id, &[], 100).await.unwrap();
    mall.stop().await;
}

async fn a_file_that_many_bring_is_one_import(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let operator = mall.admin(Role::Operator).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    for round in 0..5 {
        let new = json!({"kind": "sims", "partner": "P100", "file_name": "sims.csv",
            "sha256": format!("{round:064x}")});
        let mut ids = at_once(8, |_| {
            let (operator, new) = (operator.clone(), new.clone());
            async move { operator.post("/test/imports", &new).await.done()["import_id"].to_string() }
        })
        .await;
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    mall.stop().await;
}

async fn a_sim_changes_its_carrier_or_joins_a_group(engine: Engine) {
    let idle = Settings { workers: 0, ..Recipe::default().settings };
    let networks = vec![Network::new("network", Protocol::Plain)];
    let recipe = Recipe { settings: idle, networks, ..Recipe::default() };
    let mall = TestMall::with(engine, recipe).await;
    let partner = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    mall.add_group(&partner, "FLEET-1", 100).await;
    let client = partner.client(&mall);
    let id = client.add_group_sims("FLEET-1", &partner.sims[..1], "").await.unwrap().request_id;
    // Somebody is about to give it another carrier as a node asks whether it can come in.
    let whose = (Mode::Test, partner.partner.id);
    let iccid = partner.sims[0].parse().unwrap();
    let mut tx = mall.store().begin().await.unwrap();
    let mut sim = tx.sim(whose.0, whose.1, &iccid).await.unwrap().unwrap();
    "network".clone_into(&mut sim.carrier);
    tx.update_sim(whose, &sim).await.unwrap();
    let node = mall.another_node(Recipe::default()).await;
    // For as long as a node that did not wait would need.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    tx.commit().await.unwrap();
    settle_nodes(&[mall.mall(), &node.mall]).await;
    let result = client.async_result(&id, false, 1).await.unwrap();
    assert_eq!((result.status.as_str(), result.failed), ("FAILED", 1), "{result:?}");
    let members = client.group_sims("FLEET-1", PageAt::Number(1), 100).await.unwrap().sims;
    assert!(members.is_empty(), "{members:?}");
    node.stop().await;
    mall.stop().await;
}

async fn what_a_carrier_said_is_forgotten_with_it(engine: Engine) {
    let networks = vec![Network::new("network", Protocol::CubeV4)];
    let mall = TestMall::with(engine, Recipe { networks, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (operator, client) = (mall.admin(Role::Operator).await, partner.client(&mall));
    let (sim, iccid) = (&partner.sims[0], partner.sims[0].parse().unwrap());
    let key = (Mode::Test, partner.partner.id, iccid);
    assert!(!client.sim(sim).await.unwrap().cached);
    assert!(client.sim(sim).await.unwrap().cached);
    // Somebody asks as it gets another carrier: that answer comes too late.
    mall.clock.advance(Span::minutes(2));
    let mut tx = mall.store().begin().await.unwrap();
    let known = tx.carrier_sim(&key, Question::State).await.unwrap();
    let until = mall.now() + Span::minutes(1);
    let turn = tx.take_turn(&key, Question::State, (&known, until)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let path = format!("/test/partners/P100/sims/{sim}");
    operator.put(&path, &json!({"carrier": "network"})).await.done();
    let mut tx = mall.store().begin().await.unwrap();
    let late = (Question::State, turn);
    assert!(!tx.write_answer(&key, late, ("{}", mall.now())).await.unwrap());
    let known = tx.carrier_sim(&key, Question::State).await.unwrap();
    assert_eq!((known.answer, known.asking), (None, false));
    drop(tx);
    mall.stop().await;
}

async fn a_plan_behind_one_that_is_taken_back_has_its_turn(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let order = partner.order(&partner.sims[0], "N1");
    client.single_order(&order).await.unwrap();
    let auth = client.stripe_single_auth(&order.pay_id, ("10.00", "EUR"), "").await.unwrap();
    mall.stripe().pay(&auth.payment_intent_id, "pm_card_visa").await;
    mall.settle_payments().await;
    let path = format!("/test/orders/{}/refund", client.order("N1").await.unwrap().order_id);
    let body = json!({"amount": null, "reason": "the end user asked for it"});
    mall.admin(Role::Operator).await.post(&path, &body).await.done();
    mall.settle_payments().await;
    assert_eq!(status(&client, "N1").await, "REFUNDED");
    // Nothing is left on the SIM. Whatever was put on it at that moment is looked for.
    assert_eq!(turns(&mall, &partner).await, partner.sims[..1]);
    let soon = mall.now() + Span::minutes(1);
    assert_eq!(mall.store().next_job_at().await.unwrap(), Some(soon));
    mall.advance(Span::minutes(1)).await;
    assert!(turns(&mall, &partner).await.is_empty());
    mall.stop().await;
}

/// The SIMs of a partner whose plans have a turn to come.
async fn turns(mall: &TestMall, partner: &TestPartner) -> Vec<String> {
    let mut tx = mall.store().read().await.unwrap();
    let jobs = tx.standing_jobs(Mode::Test, partner.partner.id).await.unwrap();
    let turns = jobs.into_iter().filter(|(kind, ..)| kind == "turn_plan");
    turns.map(|(_, subject, ..)| subject).collect()
}
