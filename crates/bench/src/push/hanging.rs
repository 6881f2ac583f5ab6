//! How soon endpoints are told of orders while one among them hangs: every order is told to all of them at once.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use domain::Ctx;
use serde::Serialize;
use tokio::time::Instant;

use super::data::{self, Looks};
use super::receivers::{HANG, HOOK, Receivers};
use crate::child::Mall;
use crate::data::{Database, Place};
use crate::load::{self, Done, Load};
use crate::report::{Side, machine};
use crate::{Engine, Kind, WARM_UP};

/// The bar: all but one in a hundred of the others' pushes are through after so long.
const OTHERS_MAX: Duration = Duration::from_secs(1);
/// How long the others' pushes may take at all.
const GIVE_UP: Duration = Duration::from_mins(1);
/// How often it is looked whether all are through.
const LOOK: Duration = Duration::from_millis(50);

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Hanging {
    /// The database engine.
    #[arg(long)]
    engine: Engine,
    /// How many endpoints; the first of them answers after 30 seconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(2..=1_000))]
    endpoints: u16,
    /// How many orders are placed, each told to all endpoints.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    orders: u64,
    /// How many milliseconds lie between two orders.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pause: u64,
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
    endpoints: u16,
    orders: u64,
    pause_ms: u64,
    /// From an event's row to the answer of an endpoint that does not hang.
    others: Side,
    machine: String,
}

/// Measures it and prints the figures.
pub(crate) async fn run(ctx: &Ctx, run: &Hanging) -> anyhow::Result<()> {
    let place = Place::new(run.engine, &run.directory).await?;
    let filled = place.filled(ctx, (1_000, 100)).await?;
    let database = place.copy(&filled, "hanging").await?;
    let receivers = Receivers::start(run.endpoints).await?;
    let mut ports = receivers.ports.iter();
    let hangs = ports.by_ref().take(1).map(|port| format!("http://127.0.0.1:{port}{HANG}"));
    let mut urls: Vec<String> = hangs.collect();
    urls.extend(ports.map(|port| format!("http://127.0.0.1:{port}{HOOK}")));
    data::add_endpoints(ctx, &database, &urls).await?;
    let began = Instant::now();
    let mall = Mall::start_with(ctx, &database, &[receivers.option()]).await?;
    place_orders(ctx, run, &mall, &database).await?;
    let others = u64::from(run.endpoints) - 1;
    let looks = Looks::open(&database.url).await?;
    let micros = all_told(&looks, run.orders * others).await?;
    let took = began.elapsed();
    ensure!(looks.hung().await? > 0, "no push was sent to the endpoint that hangs");
    mall.stop().await?;
    drop(receivers);
    let done = Done { micros, ..Done::default() };
    let figures = Figures {
        engine: format!("{:?}", run.engine).to_lowercase(),
        endpoints: run.endpoints,
        orders: run.orders,
        pause_ms: run.pause,
        others: Side::new("the others", done, took, (0, Duration::ZERO)),
        machine: machine(),
    };
    print(&figures, run.json)?;
    let p99 = figures.others.p99_ms;
    let in_time = p99 < OTHERS_MAX.as_secs_f64() * 1_000.0;
    ensure!(in_time, "p99 is {p99:.0} ms, more than {OTHERS_MAX:?}");
    Ok(())
}

async fn place_orders(
    ctx: &Ctx,
    run: &Hanging,
    mall: &Mall,
    database: &Database,
) -> anyhow::Result<()> {
    let load = Load {
        kind: Kind::Orders,
        address: mall.address.clone(),
        database: database.clone(),
        clients: 1,
        run: 0,
        token: String::new(),
    };
    let mut connection = load::connect(&mall.address).await?;
    let mut pace = tokio::time::interval(Duration::from_millis(run.pause));
    tokio::time::sleep(WARM_UP).await;
    for number in 0..run.orders {
        pace.tick().await;
        load::ask(ctx, &load, Kind::Orders, number, &mut connection).await?;
    }
    Ok(())
}

/// Waits until so many pushes were taken; gives how many microseconds each took from its event's row to the answer.
async fn all_told(looks: &Looks, many: u64) -> anyhow::Result<Vec<u32>> {
    let began = Instant::now();
    loop {
        let micros = looks.told().await?;
        let told = u64::try_from(micros.len())?;
        ensure!(told <= many, "{told} pushes were taken, not {many}");
        if told == many {
            return Ok(micros);
        }
        ensure!(began.elapsed() < GIVE_UP, "{told} of {many} pushes were taken");
        tokio::time::sleep(LOOK).await;
    }
}

fn print(figures: &Figures, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(());
    }
    let Figures { engine, endpoints, orders, pause_ms, others, machine } = figures;
    println!("{orders} orders, one every {pause_ms} ms, told to {endpoints} endpoints on {engine}");
    println!("{machine}\n\none endpoint answers after 30 s; from the event's row to the answer of");
    println!(
        "{:<30} {:>8.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms",
        others.name, others.per_second, others.p50_ms, others.p99_ms
    );
    Ok(())
}
