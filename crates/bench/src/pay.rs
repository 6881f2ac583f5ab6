//! An order that the mall takes the money of: made, authorised, paid at Stripe's double, told by its signed webhook,
//! and provisioned; mall and double are processes of their own and speak over loopback.
//!
//! Beside it, in the same run and with as many clients, the floor: the same calls to another double without a mall.
//! Its webhooks go to somebody who takes them and does nothing. With `--rate` orders are begun when they are due,
//! whether or not earlier ones are through.

mod double;
mod walk;
mod watch;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use domain::Ctx;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::child::Mall;
use crate::data::{Database, Place};
use crate::load::Done;
use crate::report::{Side, machine, ratio};
use crate::{Engine, WARM_UP};

use double::Double;
use walk::{Pace, Walk};

/// All but one in a hundred plans must be there by then after the payment, at a rate that the mall can keep.
const PLAN_MAX: Duration = Duration::from_secs(1);

/// What is tried.
#[derive(Debug, Args)]
pub(crate) struct Pay {
    /// The database engine.
    #[arg(long)]
    engine: Engine,
    /// How many clients at once, each of which waits for its plan before it begins its next order.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// For how long each side is measured, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Begin so many orders a second instead, whatever comes of them. The floor has --clients all the same.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    rate: Option<u64>,
    /// How many SIMs there are.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    sims: u64,
    /// How many old orders there are.
    #[arg(long, default_value_t = 1_000)]
    orders: u64,
    /// Where the databases are put.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Measure the mall only.
    #[arg(long)]
    no_floor: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    what: String,
    engine: String,
    clients: u32,
    /// Orders a second, if they were begun at a rate.
    rate: Option<u64>,
    seconds: u64,
    /// The steps of an order, each until its answer; then from the payment to the plan, and all of it.
    steps: Vec<Side>,
    /// The same calls to the double alone.
    floor: Option<Side>,
    /// Orders a second as a part of the floor's payments; none at a given rate.
    ratio: Option<f64>,
    /// Orders whose plan was seen, and those of them that were found provisioned at the end.
    acknowledged: u64,
    found: u64,
    machine: String,
}

/// Runs it, and fails where anything went wrong, or plans come too late at a given rate.
pub(crate) async fn run(ctx: &Ctx, pay: &Pay) -> anyhow::Result<()> {
    let place = Place::new(pay.engine, &pay.directory).await?;
    let filled = place.filled(ctx, (pay.sims, pay.orders)).await?;
    let database = place.copy(&filled, "mall").await?;
    let time = Duration::from_secs(pay.seconds);
    let floor = if pay.no_floor { None } else { Some(floor(pay, time).await?) };
    let (walked, took) = walks(ctx, pay, &database, time).await?;
    let numbers = walked.whole.orders.clone();
    let found = crate::find(&database, &numbers).await?;
    report(pay, walked, (took, floor), (u64::try_from(numbers.len())?, found))
}

/// The same payments without a mall.
async fn floor(pay: &Pay, time: Duration) -> anyhow::Result<Side> {
    let sink = double::sink().await?;
    let double = Double::start(double::free_port().await?, &sink).await?;
    let (address, clients) = (double.address.clone(), pay.clients);
    double::pay_alone(&address, clients, WARM_UP).await?;
    let (done, took) = double::pay_alone(&address, clients, time).await?;
    double.stop().await?;
    Ok(Side::new("the double alone", done, took, (0, Duration::ZERO)))
}

/// The orders, with how long they took in all.
async fn walks(
    ctx: &Ctx,
    pay: &Pay,
    database: &Database,
    time: Duration,
) -> anyhow::Result<(walk::Walked, Duration)> {
    // Each must know the other's address: the double's is chosen first, the mall's comes by itself.
    let port = double::free_port().await?;
    let file = cashiers(&pay.directory.canonicalize()?, port)?;
    let mall = Mall::start_with(ctx, database, &[format!("--cashiers={}", file.display())]).await?;
    let hook = format!("http://{}/stripe/webhook/test", mall.address);
    let double = Double::start(port, &hook).await?;
    let walk = Walk {
        mall: mall.address.clone(),
        double: double.address.clone(),
        database: database.clone(),
        run: 0,
    };
    let closed = Pace::Clients(u64::from(pay.clients));
    let pace = pay.rate.map_or(closed, Pace::Rate);
    in_a_thread(ctx, walk.clone(), (closed, WARM_UP)).await?;
    let walked = in_a_thread(ctx, Walk { run: 1, ..walk }, (pace, time)).await?;
    mall.stop().await?;
    double.stop().await?;
    Ok(walked)
}

/// Lets the clients run in a thread of their own.
async fn in_a_thread(
    ctx: &Ctx,
    walk: Walk,
    how: (Pace, Duration),
) -> anyhow::Result<(walk::Walked, Duration)> {
    let ctx = ctx.clone();
    let work = move || -> anyhow::Result<(walk::Walked, Duration)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, walk::all(ctx, walk, how))
    };
    tokio::task::spawn_blocking(work).await?
}

/// The file that tells a mall whose money it takes; its keys protect nothing.
fn cashiers(directory: &Path, port: u16) -> anyhow::Result<PathBuf> {
    let secret = |name: &str, text: &str| -> anyhow::Result<serde_json::Value> {
        let file = directory.join(name);
        crate::saga::write_secret(&file, text)?;
        Ok(serde_json::json!({"file": file}))
    };
    let file = directory.join("pay.json");
    let cashiers = serde_json::json!({"test": {
        "base": format!("http://127.0.0.1:{port}"), "publishable_key": double::PUBLISHABLE_KEY,
        "secret_key": secret("pay.key", double::SECRET_KEY)?,
        "webhook_secret": secret("pay.whsec", double::WEBHOOK_SECRET)?,
    }});
    std::fs::write(&file, cashiers.to_string()).context("the cashiers' file")?;
    Ok(file)
}

fn report(
    pay: &Pay,
    walked: walk::Walked,
    (took, floor): (Duration, Option<Side>),
    (acknowledged, found): (u64, u64),
) -> anyhow::Result<()> {
    if let Some(error) = &walked.whole.first_error {
        eprintln!("the first error: {error}");
    }
    let side = |name: &str, done: Done| Side::new(name, done, took, (0, Duration::ZERO));
    let steps = vec![
        side("singleOrder", walked.order),
        side("stripeSingleAuth", walked.authorise),
        side("paying at the double", walked.confirm),
        side("paid to plan, as seen", walked.plan),
        side("all of it", walked.whole),
    ];
    let closed = pay.rate.is_none();
    let of_floor = |floor: &Side| ratio(steps[4].per_second, floor.per_second);
    let report = Report {
        what: "pay".to_owned(),
        engine: format!("{:?}", pay.engine).to_lowercase(),
        clients: pay.clients,
        rate: pay.rate,
        seconds: pay.seconds,
        ratio: floor.as_ref().filter(|_| closed).map(of_floor),
        floor,
        steps,
        acknowledged,
        found,
        machine: machine(),
    };
    if pay.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    let (whole, plan) = (&report.steps[4], &report.steps[3]);
    ensure!(whole.errors == 0, "{} orders went wrong", whole.errors);
    ensure!(report.found == report.acknowledged, "orders with a plan are missing");
    let in_time = plan.p99_ms < PLAN_MAX.as_secs_f64() * 1_000.0;
    ensure!(closed || in_time, "p99 is {:.0} ms, more than {PLAN_MAX:?}", plan.p99_ms);
    Ok(())
}

impl Report {
    fn table(&self) -> String {
        let how = match self.rate {
            Some(rate) => format!("{rate} orders a second"),
            None => format!("{} clients", self.clients),
        };
        let mut text =
            format!("pay on {}, {how}, {} s\n{}\n\n", self.engine, self.seconds, self.machine);
        // A string takes whatever is written to it.
        let _ = writeln!(
            text,
            "{:<26} {:>8} {:>10} {:>10} {:>7}",
            "", "per s", "p50 ms", "p99 ms", "errors"
        );
        for Side { name, per_second, p50_ms, p99_ms, errors, .. } in
            self.steps.iter().chain(&self.floor)
        {
            let _ = writeln!(
                text,
                "{name:<26} {per_second:>8.0} {p50_ms:>10.1} {p99_ms:>10.1} {errors:>7}"
            );
        }
        text.push('\n');
        if let Some(ratio) = self.ratio {
            let _ = writeln!(text, "mall / double     {ratio:.2}");
        }
        let (acknowledged, found) = (self.acknowledged, self.found);
        let _ = writeln!(text, "with a plan       {acknowledged}, found provisioned {found}");
        text
    }
}
