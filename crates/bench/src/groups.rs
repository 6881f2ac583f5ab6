//! Groups: how long it takes to add many SIMs while orders come in, what that does to the orders, and how fast a group of a
//! million is listed at any place. Orders with and without are measured in turns of one run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use carriers::Carriers;
use domain::group::{AtEnd, AtLimit, Member, MemberState, MemberStep};
use domain::{Ctx, Iccid, Mode, Role};
use mall::admin::Operator;
use mall::groups::{BundleWish, NewGroup};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sdk::{Client, Credentials, PageAt, Prefix, Scheme};
use serde::Serialize;
use store::{Sealer, Store};
use tokio::time::Instant;

use crate::child::Mall;
use crate::data::{self, Database, PARTNER, PLAN, Place, SEALING_KEY, iccid};
use crate::load::{self, Done, Load};
use crate::report::{Side, float, machine, ratio};
use crate::{Engine, Kind, WARM_UP};

/// The group to which SIMs are added and from which they are removed, and the large one that is listed.
const MOVED: &str = "MOVED";
const LARGE: &str = "LARGE";
/// The first number of a SIM of the large group, beyond all others: none of them is in the stock.
const MEMBERS_FROM: u64 = 200_000_000_000;
/// How many members a filling transaction writes.
const FILL_ROWS: u64 = 2_000;
/// How many SIMs a page has.
const PAGE_SIZE: u32 = 100;
/// How often it is looked whether an operation has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// When nobody waits for it any more.
const ENDS_MAX: Duration = Duration::from_mins(10);

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Groups {
    /// The database engine.
    #[arg(long)]
    engine: Engine,
    /// How many SIMs an operation is about.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    moved: u64,
    /// How many SIMs the large group has; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    members: u64,
    /// How many clients order at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// How many clients list the large group at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    readers: u32,
    /// How long each side is measured, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// In how many turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// How many SIMs are ordered for.
    #[arg(long, default_value_t = 10_000)]
    sims: u64,
    /// How many old orders there are.
    #[arg(long, default_value_t = 1_000)]
    orders: u64,
    /// Where the databases are put.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Figures {
    engine: String,
    moved: u64,
    members: u64,
    /// How long each operation took that added SIMs and ended while orders came in, in seconds.
    adds_s: Vec<f64>,
    /// The same of those that removed them.
    removes_s: Vec<f64>,
    orders_alone: Side,
    orders_beside: Side,
    /// How much higher the p99 of orders is beside operations.
    p99_ratio: f64,
    /// Pages of the large group from cursors anywhere, and by numbers anywhere.
    by_cursor: Option<Side>,
    by_number: Option<Side>,
    machine: String,
}

fn operator() -> Operator {
    Operator {
        token_id: String::new(),
        name: "bench".to_owned(),
        role: Role::Owner,
        expires_at: None,
        request_id: None,
    }
}

/// Makes the groups, and fills the large one.
async fn prepare(ctx: &Ctx, database: &Database, members: u64) -> anyhow::Result<()> {
    let store = data::open(&database.url).await?;
    let sender = pushes::Sender::new(pushes::Settings::default())?;
    let none = (Carriers::new(), mall::Cashiers::default(), sender);
    let sealer = Sealer::new(&SEALING_KEY);
    let mall = mall::Mall::new(store.clone(), ctx.clone(), none, sealer, mall::Settings::default());
    for id in [MOVED, LARGE] {
        let new = NewGroup {
            group_id: id.to_owned(),
            name: id.to_owned(),
            sim_limit: 10_000_000,
            carrier_group: Some(id.to_owned()),
            bundle: BundleWish {
                plan_code: PLAN.to_owned(),
                periods: 1,
                at_limit: AtLimit::Throttle,
                at_end: AtEnd::Renew,
            },
        };
        mall.create_group(&operator(), (Mode::Test, PARTNER), &new).await?;
    }
    let mut first = 0;
    while first < members {
        let part = FILL_ROWS.min(members - first);
        fill_members(&store, ctx, database, (first, part)).await?;
        first += part;
    }
    store.close().await;
    data::tidy(&database.url).await
}

async fn fill_members(
    store: &Store,
    ctx: &Ctx,
    database: &Database,
    (first, count): (u64, u64),
) -> anyhow::Result<()> {
    let partner = database.partner.id;
    let key = (Mode::Test, partner, LARGE);
    let many = i64::try_from(count)?;
    let mut tx = store.begin().await?;
    let group = tx.group(key).await?.context("the group is gone")?;
    let carrier = &group.bundle.carrier;
    let place = tx.take_group_places(key, carrier, many).await?.context("the group is full")?;
    let mut members = Vec::new();
    for (number, place) in (MEMBERS_FROM + first..).zip(place..place + many) {
        members.push(Member {
            iccid: iccid(number).parse()?,
            group_id: LARGE.to_owned(),
            place,
            state: MemberState::Member,
            moved_by: None,
            joined_at: Some(ctx.now()),
            step: MemberStep::Idle,
            asked_at: None,
            look_at: None,
            said: String::new(),
        });
    }
    tx.count_group(key, (many, 0)).await?;
    tx.insert_members((Mode::Test, partner), &members.iter().collect::<Vec<_>>()).await?;
    let places: Vec<i64> = members.iter().map(|member| member.place).collect();
    tx.count_blocks(key, (&places, &[])).await?;
    Ok(tx.commit().await?)
}

fn client(mall: &Mall, database: &Database) -> anyhow::Result<Client> {
    let credentials = Credentials {
        partner_code: PARTNER.to_owned(),
        scheme: Scheme::HmacSha256,
        key: database.key.clone(),
    };
    Ok(Client::new(&format!("http://{}", mall.address), Prefix::Test, credentials)?)
}

/// Adds SIMs and removes them, over and over, until told to stop; gives how long each took that ended before, in
/// seconds.
async fn move_sims(
    client: Client,
    sims: Vec<String>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let (mut adds, mut removes) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for (adds_sims, took) in [(true, &mut adds), (false, &mut removes)] {
            let seconds = one_operation(&client, &sims, adds_sims).await?;
            if !stop.load(Ordering::Relaxed) {
                took.push(seconds);
            }
        }
    }
    Ok((adds, removes))
}

async fn one_operation(client: &Client, sims: &[String], adds: bool) -> anyhow::Result<f64> {
    let began = Instant::now();
    let accepted = if adds {
        client.add_group_sims(MOVED, sims, "").await?
    } else {
        client.remove_group_sims(MOVED, sims, "").await?
    };
    loop {
        let result = client.async_result(&accepted.request_id, true, 1).await?;
        if result.finished_at.is_some() {
            ensure!(result.status == "SUCCEEDED", "{result:?}");
            return Ok(began.elapsed().as_secs_f64());
        }
        ensure!(began.elapsed() < ENDS_MAX, "an operation does not end");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Lists pages of the large group at random places for so long.
async fn list(
    mall: &Mall,
    database: &Database,
    (run, by_cursor): (&Groups, bool),
    time: Duration,
) -> anyhow::Result<Done> {
    let mut tasks = Vec::new();
    for reader in 0..run.readers {
        let (client, members) = (client(mall, database)?, run.members);
        tasks.push(tokio::spawn(async move {
            let mut dice = StdRng::seed_from_u64(u64::from(reader));
            let (mut done, began) = (Done::default(), Instant::now());
            let pages = u32::try_from(members.div_ceil(u64::from(PAGE_SIZE)).max(1))?;
            while began.elapsed() < time {
                let at = if by_cursor {
                    PageAt::Cursor(format!("c{}", dice.random_range(0..members)))
                } else {
                    PageAt::Number(dice.random_range(1..=pages))
                };
                let asked = Instant::now();
                let page = client.group_sims(LARGE, at, PAGE_SIZE).await?;
                done.note(asked);
                ensure!(!page.sims.is_empty(), "an empty page");
            }
            anyhow::Ok(done)
        }));
    }
    let mut done = Done::default();
    for task in tasks {
        done.add(task.await??);
    }
    Ok(done)
}

/// Measures it and prints the figures.
pub(crate) async fn run(ctx: &Ctx, run: &Groups) -> anyhow::Result<()> {
    let place = Place::new(run.engine, &run.directory).await?;
    let filled = place.filled(ctx, (run.sims + run.moved, run.orders)).await?;
    let database = place.copy(&filled, "groups").await?;
    prepare(ctx, &database, run.members).await?;
    let sims: Vec<String> = (run.sims..run.sims + run.moved).map(iccid).collect();
    for sim in &sims {
        let _: Iccid = sim.parse()?;
    }
    let time = Duration::from_millis(run.seconds * 1_000 / run.rounds);
    let mall = Mall::start_with(ctx, &database, &[]).await?;
    let load = |round: u64| Load {
        kind: Kind::Orders,
        address: mall.address.clone(),
        // Orders are for other SIMs than those that are moved.
        database: Database { sims: run.sims, ..database.clone() },
        clients: u64::from(run.clients),
        run: round,
        token: String::new(),
    };
    let (mut alone, mut beside) = (Done::default(), Done::default());
    let (mut adds_s, mut removes_s, mut taken) = (Vec::new(), Vec::new(), Duration::ZERO);
    load::run(ctx, load(0), WARM_UP).await?;
    for round in 0..run.rounds {
        alone.add(load::run(ctx, load(2 * round + 1), time).await?);
        let stop = Arc::new(AtomicBool::new(false));
        let moving = move_sims(client(&mall, &database)?, sims.clone(), Arc::clone(&stop));
        let moving = tokio::spawn(moving);
        beside.add(load::run(ctx, load(2 * round + 2), time).await?);
        stop.store(true, Ordering::Relaxed);
        let (added, removed) = moving.await??;
        adds_s.extend(added);
        removes_s.extend(removed);
        taken += time;
    }
    let lists = if run.members > 0 {
        list(&mall, &database, (run, true), WARM_UP).await?;
        let by_cursor = list(&mall, &database, (run, true), time).await?;
        let by_number = list(&mall, &database, (run, false), time).await?;
        Some((by_cursor, by_number))
    } else {
        None
    };
    mall.stop().await?;
    ensure!(!adds_s.is_empty(), "no operation ended while clients ordered: measure for longer");
    let errors = alone.errors + beside.errors;
    let none = (0, Duration::ZERO);
    let side = |name: &str, done: Done, time: Duration| Side::new(name, done, time, none);
    let orders_alone = side("orders alone", alone, taken);
    let orders_beside = side("orders beside operations", beside, taken);
    let (by_cursor, by_number) = lists.map_or((None, None), |(by_cursor, by_number)| {
        let cursors = side("pages from cursors", by_cursor, time);
        (Some(cursors), Some(side("pages by numbers", by_number, time)))
    });
    let figures = Figures {
        engine: format!("{:?}", run.engine).to_lowercase(),
        moved: run.moved,
        members: run.members,
        p99_ratio: ratio(orders_beside.p99_ms, orders_alone.p99_ms),
        adds_s,
        removes_s,
        orders_alone,
        orders_beside,
        by_cursor,
        by_number,
        machine: machine(),
    };
    print(&figures, run.json)?;
    ensure!(errors == 0, "{errors} orders went wrong");
    Ok(())
}

fn print(figures: &Figures, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(());
    }
    let Figures { engine, moved, members, machine, .. } = figures;
    println!("groups on {engine}, {moved} SIMs moved, {members} listed\n{machine}\n");
    let longest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let count = |times: &[f64]| u64::try_from(times.len()).unwrap_or(0);
    for (name, times) in [("added", &figures.adds_s), ("removed", &figures.removes_s)] {
        if times.is_empty() {
            continue;
        }
        let mean = ratio(times.iter().sum(), float(count(times)));
        let longest = longest(times);
        println!("{name} {} times: {mean:.2} s, at most {longest:.2} s", times.len());
    }
    let lists = [&figures.by_cursor, &figures.by_number].into_iter().flatten();
    for side in [&figures.orders_alone, &figures.orders_beside].into_iter().chain(lists) {
        println!(
            "{:<30} {:>8.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms",
            side.name, side.per_second, side.p50_ms, side.p99_ms
        );
    }
    println!("p99 of orders beside operations: {:.2} of that alone", figures.p99_ratio);
    Ok(())
}
