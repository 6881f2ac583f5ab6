//! How fast events are pushed, beside a bare loop of the same HTTP client that signs nothing, writes nothing and sends
//! the same bodies to the same receivers with as many requests at once.

mod data;
pub(crate) mod hanging;
mod receivers;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use domain::Ctx;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Engine;
use crate::child::Mall;
use crate::data::{Database, Place};
use crate::load::Done;
use crate::report::{Side, machine, ratio};

pub(crate) use data::{ALLOW_NOWHERE, fill_waiting};
pub(crate) use receivers::{RECEIVE, serve};

/// How many pushes to an endpoint are on their way at once: see `mall/src/push_rules.rs`.
const WIDTH: usize = 32;
/// How long the events may take.
const GIVE_UP: Duration = Duration::from_mins(5);
/// How often it is looked whether all are there.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The database engine.
    #[arg(long)]
    engine: Engine,
    /// To how many endpoints, each of a receiver of its own.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    endpoints: u16,
    /// How many events are sent in a round, each to one endpoint.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    events: u32,
    /// How often.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Where the databases are put.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a run measured.
#[derive(Debug, Serialize)]
struct Report {
    engine: String,
    endpoints: u16,
    events: u32,
    body_bytes: usize,
    mall: Side,
    floor: Side,
    /// The mall as a part of its floor.
    ratio: f64,
    machine: String,
}

/// Measures the mall and the floor in turns.
pub(crate) async fn run(ctx: &Ctx, args: &Push) -> anyhow::Result<()> {
    let place = Place::new(args.engine, &args.directory).await?;
    let filled = place.filled(ctx, (100, 0)).await?;
    let receivers = receivers::Receivers::start(args.endpoints).await?;
    let (mut mall, mut floor) = (Done::default(), Done::default());
    let (mut mall_took, mut floor_took, mut body_bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..args.rounds {
        let database = place.copy(&filled, "push").await?;
        let due = data::fill_due(ctx, &database, &receivers.ports, args.events).await?;
        body_bytes = due.bodies.iter().map(|(_, body)| body.len()).max().unwrap_or(0);
        let (took, micros) = of_mall(ctx, &database, &receivers).await?;
        ensure!(micros.len() == due.bodies.len(), "{} events were sent", micros.len());
        mall_took += took;
        mall.add(Done { micros, ..Done::default() });
        let (took, done) = of_floor(due.bodies, args.endpoints).await?;
        floor_took += took;
        floor.add(done);
    }
    let sent = receivers.stop().await?;
    let expected = 2 * u64::from(args.rounds) * u64::from(args.events);
    ensure!(sent == expected, "{sent} requests came, not {expected}");
    let none = (0, Duration::ZERO);
    let (mall, floor) = (
        Side::new("the mall", mall, mall_took, none),
        Side::new("floor: a bare loop", floor, floor_took, none),
    );
    let report = Report {
        engine: format!("{:?}", args.engine).to_lowercase(),
        endpoints: args.endpoints,
        events: args.events,
        body_bytes,
        ratio: ratio(mall.per_second, floor.per_second),
        mall,
        floor,
        machine: machine(),
    };
    print(&report, args.json)?;
    ensure!(report.floor.errors == 0, "{} requests went wrong", report.floor.errors);
    Ok(())
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    println!(
        "push on {}, {} events of {} bytes to {} endpoints\n{}\n",
        report.engine, report.events, report.body_bytes, report.endpoints, report.machine
    );
    println!("{:<30} {:>8} {:>8} {:>8}", "", "per s", "p50 ms", "p99 ms");
    for Side { name, per_second, p50_ms, p99_ms, .. } in [&report.mall, &report.floor] {
        println!("{name:<30} {per_second:>8.0} {p50_ms:>8.2} {p99_ms:>8.2}");
    }
    println!("\nmall / floor      {:.2}", report.ratio);
    Ok(())
}

/// Lets a mall push what is due: how long that took from the first try until the last outcome was written, and how long
/// each try took.
async fn of_mall(
    ctx: &Ctx,
    database: &Database,
    receivers: &receivers::Receivers,
) -> anyhow::Result<(Duration, Vec<u32>)> {
    let mall = Mall::start_with(ctx, database, &[receivers.option()]).await?;
    let pool = data::Looks::open(&database.url).await?;
    let begun = Instant::now();
    while pool.waits().await? {
        ensure!(begun.elapsed() < GIVE_UP, "events are not sent");
        tokio::time::sleep(LOOK).await;
    }
    let ended = ctx.now();
    let (first, micros) = pool.tries().await?;
    mall.stop().await?;
    Ok((ended.since(first).to_std(), micros))
}

/// The same bodies, in a bare loop.
async fn of_floor(
    bodies: Vec<(String, String)>,
    endpoints: u16,
) -> anyhow::Result<(Duration, Done)> {
    let client = testkit::http_client();
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let mut loops = JoinSet::new();
    for _ in 0..usize::from(endpoints) * WIDTH {
        let (client, bodies, next) = (client.clone(), Arc::clone(&bodies), Arc::clone(&next));
        loops.spawn(async move {
            let mut done = Done::default();
            while let Some((url, body)) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let at = Instant::now();
                let request = client.post(url).header("content-type", "application/json");
                let answer = match request.body(body.clone()).send().await {
                    Ok(answer) => answer.bytes().await,
                    Err(error) => Err(error),
                };
                match answer {
                    Ok(_) => done.note(at),
                    Err(error) => done.fail(&error.into()),
                }
            }
            done
        });
    }
    let mut done = Done::default();
    while let Some(one) = loops.join_next().await {
        done.add(one?);
    }
    Ok((begun.elapsed(), done))
}
