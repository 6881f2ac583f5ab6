//! From a paid order to its plan on the SIM: how long that takes while orders come in at a steady rate, with or
//! without a backlog of other orders.
//!
//! Orders are sent when they are due, whether or not earlier ones were answered, so that a mall that falls behind
//! is seen to. What the mall wrote down is read afterwards; of some orders it is watched from outside when
//! their outcome can be seen, so that its own clock is not the only witness.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use domain::order::OrderState;
use domain::{Ctx, Mode};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use serde::Serialize;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::child::Mall;
use crate::data::{self, Database, Place};
use crate::floor::{Pool, Value};
use crate::load::{self, Done, Load};
use crate::report::{Side, machine};
use crate::{Engine, Kind};

/// Of so many orders, one is watched from outside.
const WATCHED: u64 = 20;
/// Between two looks at a watched order; longer once it has waited for long.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// All but one in a hundred plans must be on their SIM by then, where there is no backlog.
const PLAN_MAX: Duration = Duration::from_secs(1);
/// When nobody waits any more for the last plan of a new order, or for the end of the backlog.
const GIVE_UP: Duration = Duration::from_mins(2);
/// The code of the carrier that takes calls and never answers.
const HANGING: &str = "hanging";

/// What is tried.
#[derive(Debug, Args)]
pub(crate) struct Saga {
    /// The database engine.
    #[arg(long)]
    pub(crate) engine: Engine,
    /// How many orders a second, whatever comes of them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    rate: u64,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many paid orders wait already when the mall starts.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    backlog: u64,
    /// Their carrier takes calls and never answers; new orders are another carrier's.
    #[arg(long, requires = "backlog")]
    hanging: bool,
    /// How many SIMs there are.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    sims: u64,
    /// How many old orders there are; with --faults, how many are made at each network.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) orders: u64,
    /// Instead of measuring, hold the mall against networks that fail: all, rough, calm, none or a JSON file.
    #[arg(long, value_name = "PRESET|FILE")]
    pub(crate) faults: Option<String>,
    /// Makes the networks' part of it repeatable.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where the databases are put.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    what: String,
    engine: String,
    rate: u64,
    seconds: u64,
    /// From when an order was due to be sent until its answer.
    acknowledged: Side,
    /// From the paid order's arrival to its plan, as the mall wrote both down.
    planned: Side,
    /// From the answer until somebody else can see the plan, of one order in twenty.
    seen: Side,
    /// New orders without a plan when nobody waited any more.
    unplanned: u64,
    /// How many orders waited at the start,
    backlog: u64,
    /// how many of them still did at the end,
    backlog_left: u64,
    /// and for how long it was watched, or took them to end, in seconds.
    drain_s: f64,
    machine: String,
}

/// Runs it, and fails where plans come too late or not at all.
pub(crate) async fn run(ctx: &Ctx, saga: &Saga) -> anyhow::Result<()> {
    let place = Place::new(saga.engine, &saga.directory).await?;
    let filled = place.filled(ctx, (saga.sims, saga.orders)).await?;
    let database = place.copy(&filled, "mall").await?;
    let carrier = if saga.hanging { HANGING } else { "simulator" };
    data::add_waiting(&database, ctx, (carrier, saga.backlog)).await?;
    let mut arguments = Vec::new();
    if saga.hanging {
        arguments.push(hanging_carrier(&saga.directory).await?);
    }
    let mall = Mall::start_with(ctx, &database, &arguments).await?;
    let started = (Instant::now(), ctx.now().as_micros());
    let ends = Arc::new(AtomicBool::new(false));
    let watch = watch_backlog(database.clone(), started, Arc::clone(&ends));
    let watch = tokio::spawn(watch);
    let load = Load {
        kind: Kind::Orders,
        address: mall.address.clone(),
        database: database.clone(),
        clients: 0,
        run: 0,
        token: String::new(),
    };
    let Sent { acknowledged, seen } = send(ctx, load, (saga.rate, saga.seconds)).await?;
    let (planned, unplanned) = planned(&database, &acknowledged.orders).await?;
    // A backlog that cannot drain is not waited for.
    ends.store(saga.hanging, Ordering::Relaxed);
    let (backlog_left, drained) = watch.await??;
    mall.stop().await?;
    report(saga, [acknowledged, planned, seen], unplanned, (backlog_left, drained))
}

fn report(
    saga: &Saga,
    [acknowledged, planned, seen]: [Done; 3],
    unplanned: u64,
    (backlog_left, drained): (u64, Duration),
) -> anyhow::Result<()> {
    if let Some(error) = &acknowledged.first_error {
        eprintln!("the first error: {error}");
    }
    let (time, none) = (Duration::from_secs(saga.seconds), (0, Duration::ZERO));
    let side = |name: &str, done| Side::new(name, done, time, none);
    let report = Report {
        what: "saga".to_owned(),
        engine: format!("{:?}", saga.engine).to_lowercase(),
        rate: saga.rate,
        seconds: saga.seconds,
        acknowledged: side("due to answered", acknowledged),
        planned: side("arrived to plan, as written", planned),
        seen: side("answered to plan, as seen", seen),
        unplanned,
        backlog: saga.backlog,
        backlog_left,
        drain_s: drained.as_secs_f64(),
        machine: machine(),
    };
    if saga.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    ensure!(report.acknowledged.errors == 0, "{} orders went wrong", report.acknowledged.errors);
    ensure!(report.unplanned == 0, "{} new orders got no plan", report.unplanned);
    let slowest = report.planned.p99_ms.max(report.seen.p99_ms);
    let in_time = slowest < PLAN_MAX.as_secs_f64() * 1_000.0;
    ensure!(saga.backlog > 0 || in_time, "p99 is {slowest:.0} ms, more than {PLAN_MAX:?}");
    Ok(())
}

impl Report {
    fn table(&self) -> String {
        let mut text = format!(
            "saga on {}, {} orders a second for {} s, {} waiting before\n{}\n\n",
            self.engine, self.rate, self.seconds, self.backlog, self.machine
        );
        // A string takes whatever is written to it.
        let _ = writeln!(
            text,
            "{:<30} {:>8} {:>10} {:>10} {:>7}",
            "", "per s", "p50 ms", "p99 ms", "errors"
        );
        for Side { name, per_second, p50_ms, p99_ms, errors, .. } in
            [&self.acknowledged, &self.planned, &self.seen]
        {
            let _ = writeln!(
                text,
                "{name:<30} {per_second:>8.0} {p50_ms:>10.1} {p99_ms:>10.1} {errors:>7}"
            );
        }
        let _ = writeln!(text, "\nwithout a plan    {}", self.unplanned);
        if self.backlog > 0 {
            let (left, time) = (self.backlog_left, self.drain_s);
            let _ = writeln!(text, "backlog           {left} left after {time:.1} s");
        }
        text
    }
}

/// What was sent.
#[derive(Debug, Default)]
struct Sent {
    acknowledged: Done,
    seen: Done,
}

/// Sends so many orders a second for so long, in a thread of their own.
async fn send(ctx: &Ctx, load: Load, pace: (u64, u64)) -> anyhow::Result<Sent> {
    let ctx = ctx.clone();
    let work = move || -> anyhow::Result<Sent> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, send_all(ctx, load, pace))
    };
    tokio::task::spawn_blocking(work).await?
}

type Connections = Rc<RefCell<Vec<SendRequest<Full<Bytes>>>>>;

async fn send_all(ctx: Ctx, load: Load, (rate, seconds): (u64, u64)) -> anyhow::Result<Sent> {
    let store = data::open(&load.database.url).await?;
    let idle: Connections = Rc::default();
    let (begin, mut tasks) = (Instant::now(), Vec::new());
    for number in 0..rate * seconds {
        let due = begin + Duration::from_micros(number * 1_000_000 / rate);
        tokio::time::sleep_until(due).await;
        let (ctx, load, idle) = (ctx.clone(), load.clone(), Rc::clone(&idle));
        let watcher = number.is_multiple_of(WATCHED).then(|| store.clone());
        tasks.push(tokio::task::spawn_local(async move {
            send_one(&ctx, &load, number, (due, &idle), watcher).await
        }));
    }
    let mut sent = Sent::default();
    for task in tasks {
        let one = task.await?;
        sent.acknowledged.add(one.acknowledged);
        sent.seen.add(one.seen);
    }
    store.close().await;
    Ok(sent)
}

/// Sends an order over a connection that is idle or new.
async fn send_one(
    ctx: &Ctx,
    load: &Load,
    number: u64,
    (due, idle): (Instant, &Connections),
    watcher: Option<Store>,
) -> Sent {
    let mut sent = Sent::default();
    let asked = async {
        let waiting = idle.borrow_mut().pop();
        let mut connection = match waiting {
            Some(connection) => connection,
            None => load::connect(&load.address).await?,
        };
        let order = load::ask(ctx, load, Kind::Orders, number, &mut connection).await?;
        idle.borrow_mut().push(connection);
        order.context("an order has a number")
    };
    let order = match asked.await {
        Ok(order) => order,
        Err(error) => {
            sent.acknowledged.fail(&error);
            return sent;
        }
    };
    sent.acknowledged.note(due);
    if let Some(store) = watcher {
        let answered = Instant::now();
        match see(&store, load, &order, answered).await {
            Ok(()) => sent.seen.note(answered),
            Err(error) => sent.seen.fail(&error),
        }
    }
    sent.acknowledged.orders.push(order);
    sent
}

/// Waits until an order's plan can be seen.
async fn see(store: &Store, load: &Load, order_no: &str, since: Instant) -> anyhow::Result<()> {
    while since.elapsed() < GIVE_UP {
        let mut tx = store.read().await?;
        let order = tx.order_by_no(Mode::Test, load.database.partner.id, order_no).await?;
        drop(tx);
        let order = order.with_context(|| format!("{order_no} was acknowledged and is lost"))?;
        if matches!(order.state, OrderState::Provisioned { .. }) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_PAUSE.max(since.elapsed() / 20)).await;
    }
    anyhow::bail!("{order_no} has no plan")
}

/// How long each order took from its arrival to its plan, and how many have none when nobody waits any more.
async fn planned(database: &Database, numbers: &[String]) -> anyhow::Result<(Done, u64)> {
    let store = data::open(&database.url).await?;
    let (mut done, mut open, began) = (Done::default(), numbers.to_vec(), Instant::now());
    loop {
        let mut still_open = Vec::new();
        for number in open {
            let mut tx = store.read().await?;
            let order = tx.order_by_no(Mode::Test, database.partner.id, &number).await?;
            let order = order.with_context(|| format!("{number} was acknowledged and is lost"))?;
            match order.state {
                // When it was paid is the partner's word, and may be long ago.
                OrderState::Provisioned { provisioned_at, .. } => {
                    let micros = provisioned_at.since(order.created_at).as_micros();
                    done.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
                }
                _ => still_open.push(number),
            }
        }
        open = still_open;
        if open.is_empty() || began.elapsed() > GIVE_UP {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    store.close().await;
    Ok((done, u64::try_from(open.len())?))
}

/// Waits until the orders that waited at the start have ended, or until it is told to end; gives how many are
/// left and how long that was.
async fn watch_backlog(
    database: Database,
    (began, started_at): (Instant, i64),
    ends: Arc<AtomicBool>,
) -> anyhow::Result<(u64, Duration)> {
    const OLD: &str = "SELECT CAST(COUNT(*) AS TEXT) FROM jobs
        WHERE kind = 'provision' AND created_at < $1";
    let pool = Pool::readers(&database.url, 1).await?;
    loop {
        let rows = pool.get().await?.fetch(OLD, vec![Value::Int(started_at)], 1).await?;
        let left: u64 = rows.first().and_then(|row| row.first()).context("a count")?.parse()?;
        let over = began.elapsed() > GIVE_UP || ends.load(Ordering::Relaxed);
        if left == 0 || over {
            pool.close().await;
            return Ok((left, began.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Listens for calls that it never answers; gives the setting that tells a mall of it. Its limits are those
/// that the network publishes.
async fn hanging_carrier(directory: &Path) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}/api/v1/open", listener.local_addr()?);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let directory = directory.canonicalize()?;
    let (key, file) = (directory.join("hanging.key"), directory.join("hanging.json"));
    write_secret(&key, "none")?;
    let carriers = serde_json::json!({HANGING: {
        "speaks": "esim_access", "modes": ["test"], "base": base, "access_code": {"file": key},
    }});
    std::fs::write(&file, carriers.to_string())?;
    Ok(format!("--carriers={}", file.display()))
}

/// Writes a file as the mall wants its secrets: nobody else can read it.
pub(crate) fn write_secret(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text)?;
    Ok(std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?)
}
