//! A SIM is at its carrier for one thing at a time: an order and a group give way to each other, both ways round.

use std::collections::HashMap;

use domain::{Mode, Span, Timestamp};
use testkit::{Engine, on_both_engines};
use tokio::task::JoinSet;
use upstream::{Action, Effect, Entry, Faults};

use super::{Band, GROUP, NET, STEPS_MAX, told};

on_both_engines!(
    an_order_and_a_group_never_have_a_sim_at_once,
    an_order_waits_for_its_sim_to_come_in,
    a_sim_waits_for_its_order,
    what_waits_for_too_long_fails_and_nothing_is_done,
    what_has_not_begun_can_be_cancelled,
    a_sim_that_comes_and_goes_keeps_its_own_plans,
);

/// When something was at the network.
fn times(entry: &Entry) -> Option<(Timestamp, Timestamp)> {
    match entry.effect {
        Effect::Done { at } => Some((entry.at, at)),
        _ => None,
    }
}

/// Where an order and a change of a group were at the network at once for a SIM.
fn overlaps(journal: &[Entry]) -> Vec<String> {
    let mut of_sims: HashMap<&str, Vec<(bool, Timestamp, Timestamp)>> = HashMap::new();
    for entry in journal {
        if let Some((from, to)) = times(entry) {
            let is_order = entry.action == Action::Order;
            of_sims.entry(&entry.iccid).or_default().push((is_order, from, to));
        }
    }
    let mut found = Vec::new();
    for (sim, times) in of_sims {
        for (order, from, to) in &times {
            for (other, begin, end) in &times {
                if *order && !*other && from < end && begin < to {
                    found.push(format!("{sim}: {from:?}-{to:?} and {begin:?}-{end:?}"));
                }
            }
        }
    }
    found
}

async fn an_order_and_a_group_never_have_a_sim_at_once(engine: Engine) {
    let faults = Faults { faults: Vec::new(), delay_seconds: (2, 40) };
    let band = Band::over_http(engine, faults).await;
    let sims = band.sims(NET, &["0000"; 24]).await;
    let mut operations = Vec::new();
    for round in 0..4 {
        // Orders come in while SIMs join and leave.
        let mut orders = JoinSet::new();
        for (number, sim) in sims.iter().enumerate().filter(|(number, _)| number % 2 == round % 2) {
            let order = band.shop.paid_order_at(NET, sim, &format!("N{round}-{number}"));
            let client = band.client.clone();
            orders.spawn(async move { client.syn_order_info(&order).await.unwrap() });
        }
        let id = if round % 2 == 0 { band.add(&sims).await } else { band.remove(&sims).await };
        operations.push(id);
        orders.join_all().await;
        band.to_next_job().await;
    }
    for id in &operations {
        let result = band.ended(id).await;
        assert_eq!(result.status, "SUCCEEDED", "{result:?}");
    }
    for _ in 0..STEPS_MAX {
        band.mall.settle().await;
        let jobs = band.mall.store().read().await.unwrap();
        let mut jobs = jobs;
        let standing = jobs.standing_jobs(Mode::Test, band.shop.partner.id).await.unwrap();
        if !standing.iter().any(|(kind, ..)| kind == "provision") {
            break;
        }
        band.to_next_job().await;
    }
    let network = band.mall.network(NET);
    let journal = network.journal();
    assert_eq!(overlaps(&journal), Vec::<String>::new());
    let done = |action: Action| {
        journal.iter().filter(|entry| entry.action == action && times(entry).is_some()).count()
    };
    assert_eq!((done(Action::Order), done(Action::Join), done(Action::Leave)), (48, 48, 48));
    assert!(band.members().await.is_empty());
    band.mall.stop().await;
}

async fn an_order_waits_for_its_sim_to_come_in(engine: Engine) {
    let band = Band::new(engine).await;
    // It takes a minute to join.
    let sims = band.sims("simulator", &["9001"]).await;
    let id = band.add(&sims).await;
    band.mall.settle().await;
    let order = band.shop.paid_order(&sims[0], "N1");
    assert_eq!(band.client.syn_order_info(&order).await.unwrap().order_status, "PAID");
    band.mall.advance(Span::seconds(30)).await;
    let again = band.client.syn_order_info(&order).await.unwrap();
    assert_eq!(again.order_status, "PAID", "it is not asked for while the SIM joins");
    assert_eq!(band.ended(&id).await.status, "SUCCEEDED");
    band.mall.settle().await;
    let after = band.client.syn_order_info(&order).await.unwrap().order_status;
    assert_eq!(after, "PROVISIONING", "it goes on at once when the SIM is in");
    band.mall.advance(Span::minutes(3)).await;
    band.mall.advance(Span::minutes(3)).await;
    let after = band.client.syn_order_info(&order).await.unwrap().order_status;
    assert_eq!(after, "PROVISIONED");
    band.mall.stop().await;
}

async fn a_sim_waits_for_its_order(engine: Engine) {
    let band = Band::new(engine).await;
    let sims = band.sims("simulator", &["9001", "0000"]).await;
    let order = band.shop.paid_order(&sims[0], "N1");
    band.client.syn_order_info(&order).await.unwrap();
    band.mall.settle().await;
    let id = band.add(&sims).await;
    band.mall.advance(Span::seconds(30)).await;
    let early = band.result(&id).await;
    assert_eq!(told(&early)[sims[0].as_str()], ("WAITING", "SIM_BUSY"));
    assert_eq!(told(&early)[sims[1].as_str()], ("SUCCEEDED", ""), "nobody waits for another");
    let result = band.ended(&id).await;
    assert_eq!(result.status, "SUCCEEDED");
    let status = band.client.syn_order_info(&order).await.unwrap().order_status;
    assert_eq!(status, "PROVISIONED");
    band.mall.stop().await;
}

async fn what_waits_for_too_long_fails_and_nothing_is_done(engine: Engine) {
    // The network takes longer for the order than anybody waits.
    let faults = Faults { faults: Vec::new(), delay_seconds: (80_000, 80_000) };
    let band = Band::over_http(engine, faults).await;
    let sims = band.sims(NET, &["0000"]).await;
    let order = band.shop.paid_order_at(NET, &sims[0], "N1");
    band.client.syn_order_info(&order).await.unwrap();
    band.mall.settle().await;
    // The order's own deadline is shorter than the wait for it.
    let id = band.add(&sims).await;
    let joined = |journal: Vec<Entry>| journal.iter().any(|entry| entry.action == Action::Join);
    band.mall.advance(Span::minutes(50)).await;
    assert!(!joined(band.mall.network(NET).journal()));
    assert_eq!(told(&band.result(&id).await)[sims[0].as_str()], ("WAITING", "SIM_BUSY"));
    // A person has the order now, and the SIM is free.
    band.mall.advance(Span::minutes(15)).await;
    let status = band.client.syn_order_info(&order).await.unwrap().order_status;
    assert_eq!(status, "REVIEW");
    let result = band.ended(&id).await;
    // Joining takes as long: nobody can tell what will come of it.
    assert_eq!(told(&result)[sims[0].as_str()], ("REVIEW", "CARRIER_UNCLEAR"));
    assert!(joined(band.mall.network(NET).journal()));
    assert_eq!(band.members().await.len(), 0);
    band.mall.stop().await;
}

async fn what_has_not_begun_can_be_cancelled(engine: Engine) {
    let band = Band::new(engine).await;
    // One is with an order for a minute, one takes a minute to join.
    let sims = band.sims("simulator", &["9001", "9001", "0000"]).await;
    band.client.syn_order_info(&band.shop.paid_order(&sims[0], "N1")).await.unwrap();
    band.mall.settle().await;
    let id = band.add(&sims).await;
    band.mall.settle().await;
    let cancelled = band.client.cancel_operation(&id).await.unwrap();
    assert_eq!(cancelled.request_id, id);
    let result = band.ended(&id).await;
    let of_sims = told(&result);
    assert_eq!(of_sims[sims[0].as_str()], ("CANCELLED", "CANCELLED"));
    assert_eq!(of_sims[sims[1].as_str()], ("SUCCEEDED", ""), "what had begun comes to its end");
    assert_eq!(of_sims[sims[2].as_str()], ("SUCCEEDED", ""));
    assert_eq!(result.status, "PARTIALLY_SUCCEEDED");
    // What was not begun is tried again with what failed.
    let retried = band.client.retry_failed(&id, "").await.unwrap().request_id;
    assert_ne!(retried, id);
    let again = band.ended(&retried).await;
    assert_eq!((again.status.as_str(), again.total), ("SUCCEEDED", 1));
    assert_eq!(band.members_of(GROUP).await.len(), 3);
    band.mall.stop().await;
}

async fn a_sim_that_comes_and_goes_keeps_its_own_plans(engine: Engine) {
    let band = Band::new(engine).await;
    let sims = band.sims("simulator", &["0000"]).await;
    let states = async || -> Vec<String> {
        let queue = band.client.single_query_order(&sims[0]).await.unwrap();
        queue.order_list.into_iter().map(|plan| plan.order_status).collect()
    };
    let times = async |number: &str| {
        let order = band.client.order(number).await.unwrap();
        (order.effective_at, order.expire_at)
    };
    for number in ["N1", "N2"] {
        band.client.syn_order_info(&band.shop.paid_order(&sims[0], number)).await.unwrap();
        band.mall.settle().await;
    }
    let (in_use, waiting) = ("2", "1");
    assert_eq!(states().await, [in_use, waiting]);
    let first = times("N1").await;
    // One more is bought while it is in the group.
    assert_eq!(band.ended(&band.add(&sims).await).await.status, "SUCCEEDED");
    band.client.syn_order_info(&band.shop.paid_order(&sims[0], "N3")).await.unwrap();
    band.mall.settle().await;
    assert_eq!(states().await, [in_use, waiting, waiting]);
    assert_eq!(band.ended(&band.remove(&sims).await).await.status, "SUCCEEDED");
    assert_eq!(states().await, [in_use, waiting, waiting]);
    assert_eq!((times("N1").await, times("N2").await), (first, (None, None)));
    // What waits begins when what is in use ends, as if there were no group.
    band.mall.advance(Span::days(30)).await;
    band.mall.advance(Span::minutes(1)).await;
    assert_eq!(states().await, [in_use, waiting]);
    assert_eq!(times("N2").await.0, first.1);
    band.mall.stop().await;
}
