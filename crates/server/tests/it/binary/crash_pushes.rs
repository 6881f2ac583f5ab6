//! The binary is killed at random instants while it pushes: no event is lost, and of those that were not on their way
//! none comes twice.
//!
//! `CRASH_ROUNDS`, `CRASH_SEED` and `CRASH_SABOTAGE` as for the orders; see `scripts/crash`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Mode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sdk::{Client, PaidOrder};
use store::Store;
use testkit::{
    Database, Engine, Receiver, TestEndpoint, add_push_endpoint, on_both_engines, write_push_events,
};

use super::crash::{LIVES, SABOTAGED_MIN, number};
use super::install::{Installation, demo_client, demo_sim};
use super::network::{PARTNER, paid_order};
use super::process::{Server, run, simmall};

on_both_engines!(killed_while_it_pushes, a_delivery_that_is_forgotten_is_found);

/// With so many waiting for each endpoint a server is begun.
const WAITING: usize = 600;
/// Events of one subject.
const EACH: i64 = 3;
/// The most events of an endpoint that are on their way, or came and are not noted yet: see `mall/src/push_lane.rs`.
const ON_THEIR_WAY_MAX: usize = 128;
/// By then all is told after the last start.
const LOOKS_MAX: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);
/// What makes every fifth order's plan, and with it the order's events, get lost.
const SABOTAGE: &str = "lose-event=20%return(lost)";

/// A partner's server, and the two endpoints that lead to it.
struct Partner {
    server: Receiver,
    endpoints: [TestEndpoint; 2],
}

/// What waits for each endpoint once a server is dead, and when that was, in epoch milliseconds.
struct Left {
    waiting: [BTreeSet<String>; 2],
    at: i64,
}

impl Partner {
    async fn start(store: &Store) -> Self {
        let (server, ctx) = (Receiver::start().await, server::system_ctx());
        let mut tx = store.read().await.unwrap();
        let whose = tx.partner_by_code(Mode::Test, PARTNER).await.unwrap().unwrap();
        drop(tx);
        let mut endpoints = Vec::new();
        for path in ["/0", "/1"] {
            let (url, at) = (server.url(path), (store, &ctx));
            endpoints.push(add_push_endpoint(at, (Mode::Test, whose.id), (&url, &[])).await);
        }
        Self { server, endpoints: endpoints.try_into().unwrap() }
    }

    fn option(&self) -> String {
        format!("--push-allow=127.0.0.0/8,:{}", self.server.port())
    }

    /// Sees to it that enough waits; gives the ids of new events.
    async fn top_up(&self, store: &Store) -> Vec<String> {
        let ctx = server::system_ctx();
        let mut waiting = usize::MAX;
        for endpoint in &self.endpoints {
            waiting = waiting.min(endpoint.waiting_in(store).await.len());
        }
        let missing = WAITING.saturating_sub(waiting) / 3;
        let [first, second] = &self.endpoints;
        write_push_events((store, &ctx), &[first, second], (missing, EACH)).await
    }

    /// What waits for each endpoint, by the database.
    async fn waiting(&self, store: &Store) -> [BTreeSet<String>; 2] {
        let [first, second] = &self.endpoints;
        [first.waiting_in(store).await, second.waiting_in(store).await]
    }
}

/// What got no answer, or else another order.
fn next(book: &mut Vec<(PaidOrder, bool)>) -> PaidOrder {
    if book.last().is_none_or(|(_, acknowledged)| *acknowledged) {
        let made = book.len() + 1;
        let mut order = paid_order(&demo_sim(1 + made % 8), &format!("P{made}"));
        "SP201804280499".clone_into(&mut order.order.service_plan_code);
        "PACKAGE20180428000007".clone_into(&mut order.order.package_code);
        book.push((order, false));
    }
    book.last().unwrap().0.clone()
}

/// Orders as long as there are answers; what got none is ordered again in the next life.
async fn order_on(client: Client, book: Arc<Mutex<Vec<(PaidOrder, bool)>>>) {
    loop {
        let order = next(&mut book.lock().unwrap());
        if client.syn_order_info(&order).await.is_err() {
            return;
        }
        book.lock().unwrap().last_mut().unwrap().1 = true;
    }
}

fn start(installation: &Installation, partner: &Partner, sabotage: bool) -> Server {
    let mut command = installation.serve([&partner.option()]);
    if sabotage {
        command.env("FAILPOINTS", SABOTAGE);
    }
    Server::start(&mut command)
}

/// Kills so many servers, and gives what is wrong afterwards.
async fn crash(engine: Engine, rounds: u64, sabotage: bool) -> Vec<String> {
    let installation = Installation::new(engine).await;
    let store = installation.store().await;
    let database = Database::at(&installation.database_url());
    let partner = Partner::start(&store).await;
    let mut dice = StdRng::seed_from_u64(number("CRASH_SEED", 1));
    let book = Arc::<Mutex<Vec<(PaidOrder, bool)>>>::default();
    let (mut events, mut left) = (BTreeSet::new(), Vec::new());
    for _ in 0..rounds {
        events.extend(partner.top_up(&store).await);
        let came = partner.server.count();
        let mut server = start(&installation, &partner, sabotage);
        let ordering = tokio::spawn(order_on(demo_client(&server.url), Arc::clone(&book)));
        // It is to be killed while it pushes, however long a slow machine needs to begin with that.
        partner.server.wait_until(came + 1).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(LIVES))).await;
        server.kill();
        ordering.await.unwrap();
        let waiting = partner.waiting(&store).await;
        left.push(Left { waiting, at: server::system_ctx().now().as_millis() });
        // Twenty seconds later the leases of whoever died are over.
        database.execute("UPDATE push_endpoints SET leased_until = 0").await;
    }
    let server = start(&installation, &partner, sabotage);
    let client = demo_client(&server.url);
    // What got no answer is ordered again; and for the bug to befall an order there must be many.
    let enough = if sabotage { SABOTAGED_MIN } else { 1 };
    let is_enough = || {
        let book = book.lock().unwrap();
        book.len() >= enough && book.last().is_some_and(|(_, acknowledged)| *acknowledged)
    };
    while !is_enough() {
        let order = next(&mut book.lock().unwrap());
        client.syn_order_info(&order).await.unwrap();
        book.lock().unwrap().last_mut().unwrap().1 = true;
    }
    let mut wrong = Vec::new();
    let unprovisioned = super::crash::wait_for_jobs(&store).await;
    let mut waiting = usize::MAX;
    for _ in 0..LOOKS_MAX {
        waiting = partner.waiting(&store).await.iter().map(BTreeSet::len).sum();
        if waiting == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if waiting + unprovisioned > 0 {
        wrong.push(format!("{waiting} events and {unprovisioned} orders stand still"));
    }
    assert_eq!(server.stop().code, Some(0));
    wrong.extend(what_came(&partner, &left));
    let orders: Vec<PaidOrder> =
        book.lock().unwrap().iter().map(|(order, _)| order.clone()).collect();
    wrong.extend(what_was_lost(&store, &partner, (&events, &orders)).await);
    store.close().await;
    let mut doctor = simmall(["doctor"]);
    doctor.env("SIMMALL_DATABASE_URL", installation.database_url());
    let doctor = run(&mut doctor, "");
    if !doctor.stdout.lines().any(|line| line.starts_with("ok    pushes ")) {
        wrong.push(format!("the doctor does not find pushes well: {doctor:?}"));
    }
    wrong
}

/// Whether what came twice was on its way when a server was killed, and how much that was.
fn what_came(partner: &Partner, left: &[Left]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut lives: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for push in partner.server.received() {
        // Which server sent it tells the time of its signature: what was on its way may be read late.
        let signed_at: i64 = push.headers["x-lf-timestamp"].to_str().unwrap().parse().unwrap();
        let life = left.partition_point(|left| left.at < signed_at);
        let id = push.event_id().to_owned();
        lives.entry((push.path, id)).or_default().push(life);
    }
    let mut on_their_way: BTreeMap<(usize, String), usize> = BTreeMap::new();
    let mut twice = 0;
    for ((path, id), lives) in &mut lives {
        lives.sort_unstable();
        let place = usize::from(path == "/1");
        let waited =
            |life: usize| left.get(life).is_some_and(|left| left.waiting[place].contains(id));
        for life in lives.iter().filter(|life| waited(**life)) {
            *on_their_way.entry((*life, path.clone())).or_default() += 1;
        }
        for pair in lives.windows(2) {
            twice += 1;
            if pair[0] == pair[1] || !waited(pair[0]) {
                wrong.push(format!("{id} came to {path} twice: in the lives {lives:?}"));
            }
        }
    }
    for ((life, path), many) in &on_their_way {
        if *many > ON_THEIR_WAY_MAX {
            wrong.push(format!("{many} events were on their way to {path} at the end of {life}"));
        }
    }
    let at_once: usize = on_their_way.values().sum();
    assert!(at_once > 0, "no server was killed while it pushed");
    if twice > at_once {
        wrong.push(format!("{twice} came twice, {at_once} were on their way"));
    }
    wrong
}

/// What did not come to both endpoints: events that were there, and those of orders that were acknowledged. And what
/// did not come in the order of its subject.
async fn what_was_lost(
    store: &Store,
    partner: &Partner,
    (events, orders): (&BTreeSet<String>, &[PaidOrder]),
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, endpoint) in partner.endpoints.iter().enumerate() {
        let path = format!("/{place}");
        let (mut ids, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for push in partner.server.received_at(&path) {
            let event = push.verify_when_sent(std::slice::from_ref(&endpoint.key));
            if !ids.insert(event.event_id.clone()) {
                continue;
            }
            if let Ok(order) = event.order() {
                numbers.insert(order.purchase_order_id);
                continue;
            }
            let subject = event.data["subject"].as_str().unwrap().to_owned();
            let sequence = event.data["sequence"].as_i64().unwrap();
            if sequence != last.insert(subject.clone(), sequence).unwrap_or_default() + 1 {
                wrong.push(format!("{subject}: {sequence} came out of turn"));
            }
        }
        wrong.extend(events.difference(&ids).map(|id| format!("{id} did not come to {path}")));
        for order in orders {
            if !numbers.contains(&order.order.order_no) {
                wrong.push(format!("{} did not come to {path}", order.order.order_no));
            }
        }
        let undecided = endpoint.waiting_in(store).await;
        wrong.extend(undecided.iter().map(|id| format!("{id} still waits for {path}")));
    }
    wrong
}

async fn killed_while_it_pushes(engine: Engine) {
    let sabotage = std::env::var("CRASH_SABOTAGE").is_ok();
    let wrong = crash(engine, number("CRASH_ROUNDS", 30), sabotage).await;
    assert_eq!(wrong, Vec::<String>::new());
}

async fn a_delivery_that_is_forgotten_is_found(engine: Engine) {
    let wrong = crash(engine, 2, true).await;
    assert!(wrong.iter().any(|what| what.contains("did not come to")), "{wrong:?}");
}
