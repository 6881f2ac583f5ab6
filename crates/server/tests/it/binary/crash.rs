//! The binary is killed at random instants while orders come in: nothing is lost, nothing happens twice, nothing
//! stays behind. And a bug that is put in on purpose is found by the same look.
//!
//! `CRASH_ROUNDS` and `CRASH_SEED` set how often and when; `CRASH_SABOTAGE` puts the bug in. See `scripts/crash`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Mode;
use domain::order::OrderState;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sdk::{Client, Error, PaidOrder};
use store::Store;
use testkit::{Engine, on_both_engines};
use tokio::task::JoinSet;

use super::install::{Installation, demo_client, demo_sim};
use super::network::{Network, OWED, OWED_BEFORE, PARTNER, paid_order, stock};
use super::process::{Server, run, simmall};

on_both_engines!(killed_at_any_instant, a_bug_put_in_on_purpose_is_found);

/// How many clients order at once.
const CLIENTS: usize = 6;
/// SIMs of the network; the orders go round them.
const SIMS: usize = 40;
/// For how long a server lives, in milliseconds.
pub(super) const LIVES: std::ops::Range<u64> = 60..500;
/// By then no order is left behind: leases of 20 seconds run out before.
const LOOKS_MAX: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);
/// What makes every fifth plan get lost.
const SABOTAGE: &str = "lose-plan=20%return(lost)";
/// So many orders that it befalls one of them, whatever the dice say.
pub(super) const SABOTAGED_MIN: usize = 60;

pub(super) fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// The orders that clients want to be made.
#[derive(Default)]
pub(super) struct Book {
    made: usize,
    /// Sent, without an answer: they are sent again, and only then others.
    pub(super) unsure: Vec<PaidOrder>,
    pub(super) acknowledged: BTreeSet<String>,
}

impl Book {
    fn next(&mut self, sims: &[String]) -> PaidOrder {
        self.unsure.pop().unwrap_or_else(|| {
            self.made += 1;
            let (no, sim) = (format!("N{}", self.made), &sims[self.made % sims.len()]);
            let mut order = paid_order(sim, &no);
            // Every second one is the built-in network's.
            if self.made.is_multiple_of(2) {
                order.order.iccid = demo_sim(1 + self.made % 8);
                "SP201804280499".clone_into(&mut order.order.service_plan_code);
                "PACKAGE20180428000007".clone_into(&mut order.order.package_code);
            }
            order
        })
    }
}

/// Orders as long as there are answers.
pub(super) async fn order_on(client: Client, book: Arc<Mutex<Book>>, sims: Arc<Vec<String>>) {
    loop {
        let order = book.lock().unwrap().next(&sims);
        match client.syn_order_info(&order).await {
            Ok(_) => {
                book.lock().unwrap().acknowledged.insert(order.order.order_no);
            }
            Err(error @ Error::Refused { .. }) => panic!("{}: {error}", order.order.order_no),
            Err(_) => {
                book.lock().unwrap().unsure.push(order);
                return;
            }
        }
    }
}

async fn live_and_die(
    (installation, network): (&Installation, &Network),
    (book, sims): (&Arc<Mutex<Book>>, &Arc<Vec<String>>),
    (life, sabotage): (Duration, bool),
) {
    let mut server = start(installation, network, sabotage);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = demo_client(&server.url);
        clients.spawn(order_on(client, Arc::clone(book), Arc::clone(sims)));
    }
    tokio::time::sleep(life).await;
    server.kill();
    clients.join_all().await;
}

fn start(installation: &Installation, network: &Network, sabotage: bool) -> Server {
    let mut command = installation.serve([&network.option()]);
    if sabotage {
        command.env("FAILPOINTS", SABOTAGE);
    }
    Server::start(&mut command)
}

/// Kills so many servers, and gives what is wrong afterwards.
async fn crash(engine: Engine, rounds: u64, sabotage: bool) -> Vec<String> {
    let (installation, network) = (Installation::new(engine).await, Network::start("esim-access"));
    let store = installation.store().await;
    let sims = Arc::new(stock(&store, &server::system_ctx(), SIMS, 1_000_000_000_000).await);
    let book = Arc::new(Mutex::new(Book::default()));
    let mut dice = StdRng::seed_from_u64(number("CRASH_SEED", 1));
    for _ in 0..rounds {
        let life = Duration::from_millis(dice.random_range(LIVES));
        live_and_die((&installation, &network), (&book, &sims), (life, sabotage)).await;
    }
    assert!(book.lock().unwrap().made > 0, "nobody ordered while servers were killed");
    // What got no answer is sent until it has one; and where lives were too short on a slow machine, more is ordered.
    let server = start(&installation, &network, sabotage);
    let client = demo_client(&server.url);
    let enough = if sabotage { SABOTAGED_MIN } else { usize::try_from(rounds).unwrap() };
    let is_enough = || {
        let book = book.lock().unwrap();
        book.unsure.is_empty() && book.acknowledged.len() > enough
    };
    while !is_enough() {
        let order = book.lock().unwrap().next(&sims);
        client.syn_order_info(&order).await.unwrap();
        book.lock().unwrap().acknowledged.insert(order.order.order_no);
    }
    let mut wrong = Vec::new();
    let left = wait_for_jobs(&store).await;
    if left > 0 {
        wrong.push(format!("{left} orders stand still a minute after the restart"));
    }
    assert_eq!(server.stop().code, Some(0));
    let acknowledged = book.lock().unwrap().acknowledged.clone();
    wrong.extend(look(&store, &acknowledged, (&network, 0)).await);
    store.close().await;
    let mut doctor = simmall(["doctor", "--deep"]);
    doctor.env("SIMMALL_DATABASE_URL", installation.database_url());
    let doctor = run(&mut doctor, "");
    // Only what is said to be well is. PostgreSQL's files are not looked at, and its server is not set up to survive
    // a power cut, which the doctor finds as well.
    let names: &[&str] = match engine {
        Engine::Sqlite => &["orders", "ledger", "jobs", "integrity"],
        Engine::Postgres => &["orders", "ledger", "jobs"],
    };
    for name in names {
        let well = format!("ok    {name} ");
        if !doctor.stdout.lines().any(|line| line.starts_with(&well)) {
            wrong.push(format!("the doctor does not find {name} well: {doctor:?}"));
        }
    }
    wrong
}

/// Waits until no order has a job; gives how many have after a minute.
pub(super) async fn wait_for_jobs(store: &Store) -> usize {
    let mut left = 0;
    for _ in 0..LOOKS_MAX {
        let mut tx = store.read().await.unwrap();
        let partner = tx.partner_by_code(Mode::Test, PARTNER).await.unwrap().unwrap();
        let jobs = tx.standing_jobs(Mode::Test, partner.id).await.unwrap();
        left = jobs.iter().filter(|(kind, ..)| kind == "provision").count();
        if left == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    left
}

/// What is wrong with the orders that were acknowledged.
pub(super) async fn look(
    store: &Store,
    acknowledged: &BTreeSet<String>,
    (network, owed_besides): (&Network, i64),
) -> Vec<String> {
    let (counts, mut wrong) = (network.counts().await, Vec::new());
    let mut tx = store.read().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, PARTNER).await.unwrap().unwrap();
    let mut queues: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for no in acknowledged {
        let order = tx.order_by_no(Mode::Test, partner.id, no).await.unwrap();
        let Some(order) = order else {
            wrong.push(format!("{no} was acknowledged and is lost"));
            continue;
        };
        if !matches!(order.state, OrderState::Provisioned { .. }) {
            wrong.push(format!("{no} is {}", order.state.name()));
        }
        if tx.sim_plan_of_order(&order).await.unwrap().is_none() {
            wrong.push(format!("{no} has no plan"));
        }
        let places = queues.entry(order.iccid.as_str().to_owned()).or_default();
        if !order.queue_no.is_some_and(|place| places.insert(place)) {
            wrong.push(format!("{no} has no place of its own"));
        }
        let done = counts[order.upstream_key()]["done"].as_u64();
        if order.carrier == super::network::CODE && done != Some(1) {
            wrong.push(format!("{no} was done {done:?} times by the network"));
        }
    }
    for (sim, places) in queues {
        let last = places.last().copied().unwrap_or_default();
        let key = (Mode::Test, partner.id, sim.parse().unwrap());
        let book = tx.sim_books(&[&key]).await.unwrap().remove(&key).unwrap();
        if i64::try_from(places.len()).unwrap() != last || book.last_queue_no != last {
            wrong.push(format!(
                "{sim}: {} plans, the last at {}",
                places.len(),
                book.last_queue_no
            ));
        }
    }
    let (used, owed) = (
        tx.credit(&partner).await.unwrap().used.minor,
        OWED_BEFORE + owed_besides + OWED * i64::try_from(acknowledged.len()).unwrap(),
    );
    if used != owed {
        wrong.push(format!("the partner owes {used}, not {owed}"));
    }
    wrong
}

async fn killed_at_any_instant(engine: Engine) {
    let sabotage = std::env::var("CRASH_SABOTAGE").is_ok();
    let wrong = crash(engine, number("CRASH_ROUNDS", 30), sabotage).await;
    assert_eq!(wrong, Vec::<String>::new());
}

async fn a_bug_put_in_on_purpose_is_found(engine: Engine) {
    let wrong = crash(engine, 2, true).await;
    assert!(wrong.iter().any(|what| what.ends_with("has no plan")), "{wrong:?}");
}
