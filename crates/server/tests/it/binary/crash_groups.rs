//! The binary is killed at random instants while SIMs are added to groups and removed, and orders come in for the same SIMs:
//! afterwards what is listed, what was told and what the network really did are the same, and no result is missing.
//!
//! `GROUP_SIMS` and `GROUP_KILLS` set how many and how often, `CRASH_SEED` when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::group::{AtEnd, AtLimit};
use domain::{Mode, Role};
use mall::admin::Operator;
use mall::groups::{BundleWish, NewGroup};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sdk::{Client, Error, PageAt};
use serde_json::json;
use testkit::{Engine, on_both_engines};
use tokio::task::JoinSet;

use super::crash::{Book, look, number, order_on, wait_for_jobs};
use super::install::{Installation, demo_client, mall_on};
use super::network::{CODE, Network, OWED, PARTNER, stock};
use super::process::{Directory, Server, run, simmall};

on_both_engines!(killed_while_sims_join_and_leave);

/// The groups: the first gets all SIMs, the second a part of the same.
const GROUPS: [&str; 2] = ["FLEET-1", "FLEET-2"];
/// What a killed server had in hand is taken over after so long.
const LEASE: &str = "--lease-seconds=5";
/// Clients that order meanwhile.
const CLIENTS: usize = 2;
/// How many SIMs a request names at most.
const REQUEST_SIMS: usize = 10_000;
/// How often it is looked whether all operations have ended, and the pause between two looks.
const LOOKS_MAX: u32 = 36_000;
const PAUSE: Duration = Duration::from_millis(100);

/// A request that is to be made: it is sent until it is answered.
#[derive(Debug, Clone)]
struct Wish {
    group: &'static str,
    adds: bool,
    key: String,
    sims: Vec<String>,
}

impl Wish {
    async fn send(&self, client: &Client) -> Result<String, Error> {
        let accepted = if self.adds {
            client.add_group_sims(self.group, &self.sims, &self.key).await?
        } else {
            client.remove_group_sims(self.group, &self.sims, &self.key).await?
        };
        Ok(accepted.request_id)
    }
}

/// What is wanted, in its order: all SIMs are added, some to both groups; then every third request is taken back.
fn wishes(sims: &[String]) -> (Vec<Wish>, Vec<Wish>) {
    let size = REQUEST_SIMS.min(sims.len().div_ceil(6));
    let (mut adds, mut removes) = (Vec::new(), Vec::new());
    for (place, part) in sims.chunks(size).enumerate() {
        let wish = |group, adds, key: &str| Wish {
            group,
            adds,
            key: format!("{key}-{place}"),
            sims: part.to_vec(),
        };
        adds.push(wish(GROUPS[0], true, "A"));
        if place % 2 == 0 {
            adds.push(wish(GROUPS[1], true, "B"));
        }
        if place % 3 == 0 {
            removes.push(wish(GROUPS[0], false, "R"));
            removes.push(wish(GROUPS[1], false, "S"));
        }
    }
    (adds, removes)
}

/// Sends what is wanted, until there is no answer.
async fn ask(
    client: Client,
    open: Arc<Mutex<Vec<Wish>>>,
    sent: Arc<Mutex<BTreeMap<String, Wish>>>,
) {
    loop {
        let Some(wish) = open.lock().unwrap().first().cloned() else { return };
        match wish.send(&client).await {
            Ok(id) => {
                sent.lock().unwrap().insert(id, wish.clone());
                open.lock().unwrap().retain(|one| one.key != wish.key);
            }
            Err(error @ Error::Refused { .. }) => panic!("{}: {error}", wish.key),
            Err(_) => return,
        }
    }
}

/// SIMs whose numbers end so have bad luck, and no orders: what is told of groups is looked at here.
const UNLUCKY: &str = "3";

/// Faults of a bad day, each over within a second.
fn faults() -> Directory {
    let file = Directory::new();
    let fault = |kind: &str, per_mille: u16| json!({"kind": kind, "per_mille": per_mille, "iccid_ends": UNLUCKY, "seconds": 1});
    let faults = json!({"faults": [
        fault("drop-after-doing", 100),
        fault("drop-before-doing", 100),
        fault("server-error-after-doing", 100),
        fault("pending-operation", 100),
        fault("silent-failure", 50),
        fault("refuse", 50),
    ]});
    std::fs::write(file.join("faults.json"), faults.to_string()).unwrap();
    file
}

async fn make_groups(installation: &Installation) {
    let mall = mall_on(installation.store().await, [7; 32]);
    let by = Operator {
        token_id: String::new(),
        name: "test".to_owned(),
        role: Role::Owner,
        expires_at: None,
        request_id: None,
    };
    for group in GROUPS {
        let bundle = BundleWish {
            plan_code: format!("PLAN-{CODE}"),
            periods: 1,
            at_limit: AtLimit::Throttle,
            at_end: AtEnd::Renew,
        };
        let new = NewGroup {
            group_id: group.to_owned(),
            name: group.to_owned(),
            sim_limit: 10_000_000,
            carrier_group: Some(group.to_owned()),
            bundle,
        };
        mall.create_group(&by, (Mode::Test, PARTNER), &new).await.unwrap();
    }
    mall.store().close().await;
}

/// What each operation told of each SIM, after all have ended.
async fn results(
    client: &Client,
    sent: &BTreeMap<String, Wish>,
    wrong: &mut Vec<String>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut told = BTreeMap::new();
    for (id, wish) in sent {
        let mut looks = 0;
        while client.async_result(id, false, 1).await.unwrap().finished_at.is_none() {
            looks += 1;
            assert!(looks < LOOKS_MAX, "{} does not end", wish.key);
            tokio::time::sleep(PAUSE).await;
        }
        let mut of_sims = BTreeMap::new();
        for page in 1.. {
            let result = client.async_result(id, false, page).await.unwrap();
            if result.results.is_empty() {
                break;
            }
            for sim in result.results {
                if of_sims.insert(sim.sim_id, sim.status).is_some() {
                    wrong.push(format!("{}: a SIM has two results", wish.key));
                }
            }
        }
        if !of_sims.keys().eq(wish.sims.iter().collect::<BTreeSet<_>>()) {
            wrong.push(format!("{}: {} results for {}", wish.key, of_sims.len(), wish.sims.len()));
        }
        let open =
            of_sims.values().filter(|status| !["SUCCEEDED", "FAILED"].contains(&status.as_str()));
        let open = open.count();
        if open > 0 {
            wrong.push(format!("{}: {open} SIMs are not decided", wish.key));
        }
        told.insert(wish.key.clone(), of_sims);
    }
    told
}

/// The SIMs of a group, walked through.
async fn listed(client: &Client, group: &str) -> BTreeSet<String> {
    let (mut sims, mut at) = (BTreeSet::new(), PageAt::Number(1));
    loop {
        let page = client.group_sims(group, at, 1_000).await.unwrap();
        sims.extend(page.sims.into_iter().map(|sim| sim.sim_id));
        let Some(cursor) = page.next_cursor else {
            assert_eq!(usize::try_from(page.total_count).unwrap(), sims.len());
            return sims;
        };
        at = PageAt::Cursor(cursor);
    }
}

/// Where the list of each group is not what the results say, or not what the network has.
async fn compare(
    client: &Client,
    network: &Network,
    told: &BTreeMap<String, BTreeMap<String, String>>,
    wrong: &mut Vec<String>,
) {
    let really = network.groups().await;
    let mut lists = Vec::new();
    for (group, (added, removed)) in GROUPS.iter().zip([("A-", "R-"), ("B-", "S-")]) {
        let succeeded = |prefix: &'static str| {
            let of = told.iter().filter(move |(key, _)| key.starts_with(prefix));
            of.flat_map(|(_, sims)| sims).filter(|(_, status)| *status == "SUCCEEDED")
        };
        let removed: BTreeSet<&String> = succeeded(removed).map(|(sim, _)| sim).collect();
        let by_results = succeeded(added).map(|(sim, _)| sim).filter(|sim| !removed.contains(sim));
        let by_results: BTreeSet<String> = by_results.cloned().collect();
        let by_list = listed(client, group).await;
        let there = really[*group].as_array().cloned().unwrap_or_default();
        let there: BTreeSet<String> =
            there.iter().map(|sim| sim.as_str().unwrap().to_owned()).collect();
        let differing = by_results.symmetric_difference(&by_list).count();
        if differing > 0 {
            wrong.push(format!("{group}: {differing} SIMs are not listed as was told"));
        }
        let differing = there.symmetric_difference(&by_list).count();
        if differing > 0 {
            wrong.push(format!("{group}: {differing} SIMs are not listed as they are"));
        }
        lists.push(by_list);
    }
    let both = lists[0].intersection(&lists[1]).count();
    if both > 0 {
        wrong.push(format!("{both} SIMs are in two groups"));
    }
    if lists.iter().any(BTreeSet::is_empty) {
        wrong.push("a group is empty: nothing was tried".to_owned());
    }
}

/// Which SIMs are added and removed is asked in this order; a life after another ends in the middle of it.
async fn lives(
    (installation, network): (&Installation, &Network),
    (book, sims): (&Arc<Mutex<Book>>, &[String]),
    sent: &Arc<Mutex<BTreeMap<String, Wish>>>,
) {
    let (adds, removes) = wishes(sims);
    let open = Arc::new(Mutex::new(adds));
    let lucky = sims.iter().filter(|sim| !sim.ends_with(UNLUCKY)).cloned();
    let lucky: Arc<Vec<String>> = Arc::new(lucky.collect());
    let kills = number("GROUP_KILLS", 3);
    let mut dice = StdRng::seed_from_u64(number("CRASH_SEED", 1));
    let longest = u64::try_from(sims.len()).unwrap() / 2;
    for kill in 0..kills {
        if kill == kills.div_ceil(2) {
            open.lock().unwrap().extend(removes.iter().cloned());
        }
        let mut server = Server::start(&mut installation.serve([&network.option(), LEASE]));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = demo_client(&server.url);
            clients.spawn(order_on(client, Arc::clone(book), Arc::clone(&lucky)));
        }
        let client = demo_client(&server.url);
        clients.spawn(ask(client, Arc::clone(&open), Arc::clone(sent)));
        let life = dice.random_range(200..longest.max(201));
        tokio::time::sleep(Duration::from_millis(life)).await;
        server.kill();
        clients.join_all().await;
    }
    if kills < 2 {
        open.lock().unwrap().extend(removes);
    }
    let server = Server::start(&mut installation.serve([&network.option(), LEASE]));
    ask(demo_client(&server.url), Arc::clone(&open), Arc::clone(sent)).await;
    assert!(open.lock().unwrap().is_empty());
    assert_eq!(server.stop().code, Some(0));
}

async fn killed_while_sims_join_and_leave(engine: Engine) {
    let file = faults();
    let installation = Installation::new(engine).await;
    let network = Network::start_with("plain", &file.join("faults.json"), 2);
    let store = installation.store().await;
    let count = usize::try_from(number("GROUP_SIMS", 2_000)).unwrap();
    let sims = stock(&store, &server::system_ctx(), count, 1_000_000_000_000).await;
    make_groups(&installation).await;
    let (book, sent) = (Arc::new(Mutex::new(Book::default())), Arc::default());
    lives((&installation, &network), (&book, &sims), &sent).await;
    let mut wrong = Vec::new();
    let server = Server::start(&mut installation.serve([&network.option(), LEASE]));
    let client = demo_client(&server.url);
    let unsure = std::mem::take(&mut book.lock().unwrap().unsure);
    for order in unsure {
        client.syn_order_info(&order).await.unwrap();
        book.lock().unwrap().acknowledged.insert(order.order.order_no);
    }
    let sent = sent.lock().unwrap().clone();
    let told = results(&client, &sent, &mut wrong).await;
    compare(&client, &network, &told, &mut wrong).await;
    let left = wait_for_jobs(&store).await;
    if left > 0 {
        wrong.push(format!("{left} orders stand still a minute after the restart"));
    }
    assert_eq!(server.stop().code, Some(0));
    let acknowledged = book.lock().unwrap().acknowledged.clone();
    assert!(!acknowledged.is_empty());
    wrong.extend(look(&store, &acknowledged, (&network, 2 * OWED)).await);
    let partner = store.read().await.unwrap().partner_by_code(Mode::Test, PARTNER).await;
    let partner = partner.unwrap().unwrap();
    for group in GROUPS {
        let key = (Mode::Test, partner.id, group);
        let mut tx = store.read().await.unwrap();
        let (group, counted) =
            (tx.group(key).await.unwrap().unwrap(), tx.counted_members(key).await);
        assert_eq!((group.sim_count, group.held_count), counted.unwrap());
        assert_eq!(group.sim_count, group.held_count, "nothing is on its way");
    }
    store.close().await;
    let mut doctor = simmall(["doctor", "--deep"]);
    doctor.env("SIMMALL_DATABASE_URL", installation.database_url());
    let doctor = run(&mut doctor, "");
    for name in ["orders", "ledger", "jobs"] {
        let well = format!("ok    {name} ");
        if !doctor.stdout.lines().any(|line| line.starts_with(&well)) {
            wrong.push(format!("the doctor does not find {name} well: {doctor:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
