//! Orders that stand still, whatever the cause, are found and moved on; and whatever triggers an order, however
//! often at once, it gets one plan.

use std::collections::BTreeSet;

use domain::{Mode, Span};
use mall::{Reconciled, Settings};
use sdk::Client;
use store::{Job, JobKind, NewJob};
use testkit::{Engine, Recipe, TestMall, TestPartner, http_client, on_both_engines};

use crate::steps::{assert_owes, at_once, postings, set_credit, settle_nodes};

on_both_engines!(
    an_order_that_lost_its_job_gets_another,
    an_unpaid_order_that_lost_its_job_closes,
    an_order_whose_job_was_given_up_waits_for_a_person,
    a_job_that_was_put_off_for_days_is_not_waited_for,
    what_is_in_order_is_left_alone,
    the_latest_order_does_not_wait_behind_all_others,
    many_triggers_give_one_plan,
);

/// How many triggers come at once.
const TRIGGERS: usize = 64;

fn without_workers() -> Recipe {
    let settings = Settings { workers: 0, ..Recipe::default().settings };
    Recipe { settings, ..Recipe::default() }
}

/// A mall that runs no jobs, with a paid order, whose job is claimed.
async fn paid_and_claimed(engine: Engine) -> (TestMall, TestPartner, Client, Job) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order(&partner.sims[0], "N1")).await.unwrap();
    let job = claim(&mall).await;
    (mall, partner, client, job)
}

async fn claim(mall: &TestMall) -> Job {
    let (now, lease) = (mall.now(), Settings::default().lease);
    let mut tx = mall.store().begin().await.unwrap();
    let [job] = tx.claim_jobs(now, now + lease, 100).await.unwrap().try_into().unwrap();
    tx.commit().await.unwrap();
    job
}

async fn status(client: &Client) -> String {
    client.order("N1").await.unwrap().status
}

/// A figure of the test mode, as it is shown; figures are kept for some seconds.
async fn figure(mall: &TestMall, name: &str) -> i64 {
    mall.clock.advance(Span::seconds(11));
    let text = http_client().get(format!("{}/metrics", mall.admin_url())).send().await.unwrap();
    let text = text.text().await.unwrap();
    let name = format!("{name}{{mode=\"test\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

async fn an_order_that_lost_its_job_gets_another(engine: Engine) {
    let (mall, partner, client, job) = paid_and_claimed(engine).await;
    let mut tx = mall.store().begin().await.unwrap();
    tx.finish_job(&job).await.unwrap();
    tx.commit().await.unwrap();
    // It may just be on its way.
    assert_eq!(mall.mall().reconcile().await.unwrap(), Reconciled::default());
    mall.clock.advance(Span::minutes(1));
    let done = mall.mall().reconcile().await.unwrap();
    assert_eq!(done, Reconciled { jobs_added: 1, ..Reconciled::default() });
    assert_eq!(status(&client).await, "PAID");
    let node = mall.another_node(Recipe::default()).await;
    settle_nodes(&[mall.mall(), &node.mall]).await;
    assert_eq!(status(&client).await, "PROVISIONED");
    assert_owes(&mall, &partner, 800).await;
    assert_eq!(mall.mall().reconcile().await.unwrap(), Reconciled::default());
    node.stop().await;
    mall.stop().await;
}

async fn an_unpaid_order_that_lost_its_job_closes(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    client.single_order(&partner.order(&partner.sims[0], "N1")).await.unwrap();
    mall.clock.advance(Span::minutes(30));
    let job = claim(&mall).await;
    assert_eq!(job.kind, JobKind::CloseOrder);
    let mut tx = mall.store().begin().await.unwrap();
    tx.finish_job(&job).await.unwrap();
    tx.commit().await.unwrap();
    mall.clock.advance(Span::seconds(1));
    let done = mall.mall().reconcile().await.unwrap();
    assert_eq!(done, Reconciled { jobs_added: 1, ..Reconciled::default() });
    let node = mall.another_node(Recipe::default()).await;
    settle_nodes(&[mall.mall(), &node.mall]).await;
    assert_eq!(status(&client).await, "CLOSED");
    node.stop().await;
    mall.stop().await;
}

async fn an_order_whose_job_was_given_up_waits_for_a_person(engine: Engine) {
    let (mall, partner, client, job) = paid_and_claimed(engine).await;
    assert_eq!(figure(&mall, "simmall_orders_paid_without_plan").await, 0);
    let mut tx = mall.store().begin().await.unwrap();
    tx.bury_job(&job, "it failed too often").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(figure(&mall, "simmall_orders_paid_without_plan").await, 1);
    let done = mall.mall().reconcile().await.unwrap();
    assert_eq!(done, Reconciled { reviewed: 1, ..Reconciled::default() });
    let order = client.order("N1").await.unwrap();
    assert_eq!(
        (order.status.as_str(), order.failure.unwrap().code.as_str()),
        ("REVIEW", "PROVISIONING_FAILED",)
    );
    // What waits for a person is known, and nothing is given back before that person says so.
    assert_eq!(figure(&mall, "simmall_orders_paid_without_plan").await, 0);
    assert_eq!(figure(&mall, "simmall_plans_without_payment").await, 0);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn a_job_that_was_put_off_for_days_is_not_waited_for(engine: Engine) {
    let (mall, _, client, job) = paid_and_claimed(engine).await;
    let mut tx = mall.store().begin().await.unwrap();
    let later = mall.now() + Span::days(3);
    tx.reschedule_job(&job, later, 0, "come back on Friday").await.unwrap();
    tx.commit().await.unwrap();
    mall.clock.advance(Span::minutes(119));
    assert_eq!(mall.mall().reconcile().await.unwrap(), Reconciled::default());
    mall.clock.advance(Span::minutes(3));
    let done = mall.mall().reconcile().await.unwrap();
    assert_eq!(done, Reconciled { hastened: 1, ..Reconciled::default() });
    let node = mall.another_node(Recipe::default()).await;
    settle_nodes(&[mall.mall(), &node.mall]).await;
    assert_eq!(status(&client).await, "PROVISIONED");
    node.stop().await;
    mall.stop().await;
}

async fn what_is_in_order_is_left_alone(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    for number in 1..=20 {
        let order = partner.paid_order(&partner.sims[0], &format!("N{number}"));
        client.syn_order_info(&order).await.unwrap();
    }
    client.single_order(&partner.order(&partner.sims[0], "N21")).await.unwrap();
    mall.settle().await;
    for _ in 0..3 {
        mall.advance(Span::minutes(10)).await;
        assert_eq!(mall.mall().reconcile().await.unwrap(), Reconciled::default());
    }
    assert_eq!(figure(&mall, "simmall_orders_paid_without_plan").await, 0);
    assert_eq!(figure(&mall, "simmall_plans_without_payment").await, 0);
    assert_owes(&mall, &partner, 20 * 800).await;
    mall.stop().await;
}

async fn the_latest_order_does_not_wait_behind_all_others(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    set_credit(&mall, &partner, 40 * 800).await;
    for number in 1..=40 {
        let order = partner.paid_order(&partner.sims[0], &format!("N{number}"));
        client.syn_order_info(&order).await.unwrap();
        mall.clock.advance(Span::seconds(1));
    }
    let settings = Settings { workers: 2, ..Recipe::default().settings };
    let node = mall.another_node(Recipe { settings, ..Recipe::default() }).await;
    settle_nodes(&[mall.mall(), &node.mall]).await;
    let mut places = Vec::new();
    for number in ["N1", "N40"] {
        let mut tx = mall.store().read().await.unwrap();
        let order = tx.order_by_no(Mode::Test, partner.partner.id, number).await.unwrap().unwrap();
        places.push(order.queue_no.unwrap());
    }
    // Both ends are served: which one gets a single free worker is left to chance.
    assert!(places.iter().all(|place| *place <= 25), "{places:?}");
    node.stop().await;
    mall.stop().await;
}

/// How many rounds: some in the suite, as many as wanted with `TRIGGER_ROUNDS`.
fn rounds() -> usize {
    std::env::var("TRIGGER_ROUNDS").map_or(25, |text| text.parse().unwrap())
}

async fn many_triggers_give_one_plan(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let node = mall.another_node(Recipe::default()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (partner.sims[0].clone(), partner.client(&mall));
    let rounds = rounds();
    let url = format!("{}/carriers/simulator/notifications", mall.url());
    let hint = serde_json::json!({"kind": "ORDER_STATUS", "iccid": sim}).to_string();
    set_credit(&mall, &partner, i64::try_from(rounds).unwrap() * 800).await;
    for round in 1..=rounds {
        let number = format!("N{round}");
        let order = partner.paid_order(&sim, &number);
        let made = client.syn_order_info(&order).await.unwrap();
        at_once(TRIGGERS, |place| {
            let (client, order) = (client.clone(), order.clone());
            let mall = [mall.mall(), &node.mall][place % 2].clone();
            let subject = made.order_id.clone();
            let (url, hint) = (url.clone(), hint.clone());
            let job = NewJob {
                mode: Mode::Test,
                partner_id: partner.partner.id,
                kind: JobKind::Provision,
                subject,
                trace: String::new(),
                run_at: mall.ctx().now(),
                claimed_at: None,
            };
            async move {
                match place % 5 {
                    // The partner says it again.
                    0 => drop(client.syn_order_info(&order).await.unwrap()),
                    1 => drop(mall.reconcile().await.unwrap()),
                    // Somebody tells the workers anew, over those that run.
                    2 => {
                        let mut tx = mall.store().begin().await.unwrap();
                        tx.insert_job(&job, job.run_at).await.unwrap();
                        tx.commit().await.unwrap();
                    }
                    3 => drop(client.order(&order.order.order_no).await.unwrap()),
                    // The carrier tells that something happened to the SIM.
                    _ => {
                        let told = http_client().post(&url).body(hint).send().await.unwrap();
                        assert!(told.status().is_success(), "{told:?}");
                    }
                }
            }
        })
        .await;
    }
    settle_nodes(&[mall.mall(), &node.mall]).await;
    // The places of the queue are taken one after another, each by another order.
    let mut tx = mall.store().read().await.unwrap();
    let mut places = BTreeSet::new();
    for round in 1..=rounds {
        let order = tx.order_by_no(Mode::Test, partner.partner.id, &format!("N{round}")).await;
        places.insert(order.unwrap().unwrap().queue_no.unwrap());
    }
    let all: BTreeSet<_> = (1..=i64::try_from(rounds).unwrap()).collect();
    assert_eq!(places, all);
    let key = (Mode::Test, partner.partner.id, sim.parse().unwrap());
    let book = tx.sim_books(&[&key]).await.unwrap().remove(&key).unwrap();
    assert_eq!(Some(&book.last_queue_no), all.last());
    drop(tx);
    assert_eq!(postings(&mall, &partner).await, rounds);
    assert_owes(&mall, &partner, i64::try_from(rounds).unwrap() * 800).await;
    node.stop().await;
    mall.stop().await;
}
