//! Many paid orders at a network that fails in every way it can, and whether the mall's books and the network's
//! journal agree afterwards.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::order::{Order, OrderState};
use domain::sim::{Sim, SimState};
use domain::{Clock, Iccid, Mode, Money, Span};
use mall::{Mall, Settings};
use sdk::PaidOrder;
use tokio::task::JoinSet;
use upstream::{Faults, Protocol};

use crate::database::Engine;
use crate::mall::{Recipe, TestMall};
use crate::network::Network;
use crate::partner::TestPartner;

/// The code of the network.
const CODE: &str = "network";
/// Orders that are sent at a time.
const CLIENTS: usize = 16;
/// Of so many orders, one is for a SIM that has another order.
const SHARED: usize = 5;
/// What the partner owes for one order, in minor units.
const OWED: i64 = 800;
/// How often it is looked whether all is calm, and the pause between two looks.
const LOOKS_MAX: u32 = 120_000;
const PAUSE: Duration = Duration::from_millis(5);

/// What is tried.
#[derive(Debug, Clone)]
pub struct Saga {
    /// How many orders.
    pub orders: usize,
    /// What the network speaks.
    pub protocol: Protocol,
    /// What goes wrong there.
    pub faults: Faults,
    /// Makes the network's part of it repeatable.
    pub seed: u64,
    /// Whether progress is told on standard error.
    pub told: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Orders by the state in which they ended.
    pub states: BTreeMap<String, usize>,
    /// Plans that the network really put on SIMs.
    pub done: u64,
    /// Calls that the network answered with a fault.
    pub faults: usize,
    /// What must not be.
    pub violations: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (state, count) in &self.states {
            write!(f, "{count} {state}, ")?;
        }
        write!(f, "{} plans on SIMs, {} faults met, ", self.done, self.faults)?;
        write!(f, "{} violations", self.violations.len())
    }
}

/// All faults, each often, and none that takes long on a real clock.
pub fn all_faults() -> Faults {
    let mut faults = Faults::preset("all").unwrap();
    for fault in &mut faults.faults {
        fault.per_mille = 30;
        if fault.kind == upstream::FaultKind::SlowBody {
            fault.seconds = Some(1);
        }
    }
    faults
}

/// Runs it on an engine, on two nodes.
pub async fn run(engine: Engine, saga: &Saga) -> Verdict {
    let network = Network {
        faults: saga.faults.clone(),
        seed: saga.seed,
        call_max: Span::millis(500),
        ..Network::new(CODE, saga.protocol)
    };
    let settings = Settings { workers: 32, ..Recipe::default().settings };
    let recipe = Recipe { networks: vec![network], settings, ..Recipe::default() };
    let mall = TestMall::with(engine, recipe.clone()).await;
    let node = mall.another_node(recipe).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    mall.add_plan_of(&partner, CODE).await;
    let orders = prepare(&mall, &partner, saga.orders).await;
    let nodes = [Arc::clone(mall.mall()), Arc::clone(&node.mall)];
    send(&mall, &partner, orders, saga.told).await;
    run_out(&mall, &nodes, saga.told).await;
    let verdict = judge(&mall, &partner, saga.orders).await;
    node.stop().await;
    mall.stop().await;
    verdict
}

/// SIMs, credit, and orders for them.
async fn prepare(mall: &TestMall, partner: &TestPartner, orders: usize) -> Vec<PaidOrder> {
    let mut tx = mall.store().begin().await.unwrap();
    let limit = OWED * i64::try_from(orders).unwrap();
    let limit = Money::new(limit, partner.partner.settlement_currency);
    tx.set_credit_limit(&partner.partner, limit).await.unwrap();
    let mut made = Vec::with_capacity(orders);
    let mut sim = String::new();
    for number in 0..orders {
        if number % SHARED != 1 {
            let iccid: Iccid = format!("89440{number:010}0000").parse().unwrap();
            iccid.as_str().clone_into(&mut sim);
            let (id, carrier) = (mall.mall().ctx().id(), CODE.to_owned());
            let sim = Sim { id, iccid, carrier, state: SimState::Ready };
            tx.insert_sim(Mode::Test, partner.partner.id, &sim, mall.now()).await.unwrap();
        }
        made.push(partner.paid_order_at(CODE, &sim, &format!("N{number}")));
    }
    tx.commit().await.unwrap();
    made
}

async fn send(mall: &TestMall, partner: &TestPartner, orders: Vec<PaidOrder>, told: bool) {
    let (client, mut running) = (partner.client(mall), JoinSet::new());
    for (number, order) in orders.into_iter().enumerate() {
        while running.len() >= CLIENTS {
            running.join_next().await.unwrap().unwrap();
        }
        if told && number % 10_000 == 9_999 {
            tell(&format!("{} orders sent", number + 1));
        }
        let client = client.clone();
        running.spawn(async move {
            client.syn_order_info(&order).await.unwrap();
        });
    }
    running.join_all().await;
}

/// Lets time pass until nothing more is to come of the orders.
async fn run_out(mall: &TestMall, nodes: &[Arc<Mall>], told: bool) {
    let mut passed = Span::seconds(0);
    loop {
        calm(nodes).await;
        for node in nodes {
            node.reconcile().await.unwrap();
        }
        calm(nodes).await;
        let Some(next) = mall.store().next_job_at().await.unwrap() else { return };
        // What is left ends plans that have begun.
        if next.since(mall.clock.now()) > Span::days(1) {
            return;
        }
        let step = if passed < Span::minutes(2) { Span::seconds(5) } else { Span::minutes(1) };
        let step = step.max(next.since(mall.clock.now()));
        passed = passed + step;
        mall.clock.advance(step);
        if told && passed.as_micros() % 600_000_000 == 0 {
            tell(&format!("{} minutes passed", passed.as_micros() / 60_000_000));
        }
    }
}

async fn calm(nodes: &[Arc<Mall>]) {
    let mut looks = 0;
    for _ in 0..LOOKS_MAX {
        let mut idle = true;
        for node in nodes {
            idle &= node.is_idle().await.unwrap();
        }
        looks = if idle { looks + 1 } else { 0 };
        if looks == 2 {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the mall does not come to rest");
}

#[expect(clippy::print_stderr, reason = "whoever waits wants to see how far it is")]
fn tell(what: &str) {
    eprintln!("{what}");
}

/// Holds the mall's orders against the network's journal.
async fn judge(mall: &TestMall, partner: &TestPartner, orders: usize) -> Verdict {
    let network = mall.network(CODE);
    let (counts, journal) = (network.counts(), network.journal());
    let mut verdict = Verdict {
        done: counts.values().map(|count| count.done).sum(),
        faults: journal.iter().filter(|entry| entry.told != "answered").count(),
        ..Verdict::default()
    };
    let mut sims: HashMap<String, Vec<Order>> = HashMap::new();
    let (mut owed, mut tx) = (0, mall.store().read().await.unwrap());
    for number in 0..orders {
        let number = format!("N{number}");
        let order = tx.order_by_no(Mode::Test, partner.partner.id, &number).await.unwrap();
        let Some(order) = order else {
            verdict.violations.push(format!("{number} is lost"));
            continue;
        };
        *verdict.states.entry(order.state.name().to_owned()).or_default() += 1;
        let plan = tx.sim_plan_of_order(&order).await.unwrap();
        let provisioned = matches!(order.state, OrderState::Provisioned { .. });
        if provisioned != plan.is_some() {
            let state = order.state.name();
            verdict.violations.push(format!("{number} is {state} with a plan: {}", plan.is_some()));
        }
        owed += if matches!(order.state, OrderState::Failed { .. }) { 0 } else { OWED };
        sims.entry(order.iccid.as_str().to_owned()).or_default().push(order);
    }
    drop(tx);
    for (iccid, orders) in &sims {
        verdict.violations.extend(judge_sim(iccid, orders, &network.bundles(iccid)));
    }
    let doubles = counts.iter().filter(|(_, count)| count.done > 1);
    verdict.violations.extend(doubles.map(|(key, count)| format!("{key} done: {}", count.done)));
    let used = partner.owes(mall).await;
    if used != owed {
        verdict.violations.push(format!("the partner owes {used}, not {owed}"));
    }
    for (mode, money, plans) in mall.mall().imbalance().await.unwrap() {
        if (money, plans) != (0, 0) {
            let found = format!("{mode}: {money} without a plan, {plans} without payment");
            verdict.violations.push(found);
        }
    }
    verdict
}

/// Of a SIM: each provisioned order is one bundle, one that failed is none, and one that waits for a person is
/// one at most.
fn judge_sim(iccid: &str, orders: &[Order], bundles: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let count = |state: &str| orders.iter().filter(|order| order.state.name() == state).count();
    let (provisioned, review, failed) = (count("PROVISIONED"), count("REVIEW"), count("FAILED"));
    if provisioned + review + failed != orders.len() {
        wrong.push(format!("{iccid}: an order stands still"));
    }
    if bundles.len() < provisioned || bundles.len() > provisioned + review {
        let found = bundles.len();
        wrong.push(format!("{iccid}: {found} bundles for {provisioned} and {review} in review"));
    }
    // Where the network knows our keys, each bundle is told apart.
    for order in orders {
        let own = bundles.iter().filter(|reference| **reference == order.upstream_key()).count();
        let known = bundles.iter().all(|reference| reference.starts_with("ord"));
        let (state, no) = (order.state.name(), &order.order_no);
        let fits = match state {
            "PROVISIONED" => own == 1,
            "FAILED" => own == 0,
            _ => own <= 1,
        };
        if known && !fits {
            wrong.push(format!("{no} is {state} with {own} bundles of its own"));
        }
    }
    wrong
}
