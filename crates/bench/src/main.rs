//! How fast the mall is, beside what its database can do at best, measured in turns in one run.
//!
//! `cargo run --release -p bench -- orders --engine sqlite --clients 32 --seconds 10`. PostgreSQL is taken
//! from `TEST_POSTGRES_URL`: `scripts/with-postgres --durable` starts one that keeps what it commits.

#![expect(clippy::float_arithmetic, reason = "rates and ratios are what this program is about")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

mod child;
mod data;
mod floor;
mod groups;
mod load;
mod pay;
mod proof;
mod push;
mod reads;
mod report;
mod saga;
mod sql;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{Ctx, Mode};
use tokio::time::Instant;

use crate::child::Mall;
use crate::data::{Database, Place};
use crate::floor::{Commits, Floor, Pool, Rows, Turn};
use crate::load::{Done, Load};
use crate::report::{Report, Side, float, machine, ratio};

/// For how long a side runs before it is measured: connections, prepared statements, caches.
const WARM_UP: Duration = Duration::from_secs(1);
/// How many numbers are looked for over one connection.
const FIND_MAX: usize = 1_000;
/// How long the backlog may take to drain.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// When nobody waits for it any more.
const DRAIN_GIVE_UP: Duration = Duration::from_mins(2);

#[derive(Debug, Parser)]
#[command(name = "bench", about = "How fast the mall is, beside what its database can do")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Signed, durable orders that the partner was already paid for.
    Orders(Run),
    /// Plan lists.
    Plans(Run),
    /// Card checks.
    Verify(Run),
    /// Card checks, plan lists and orders, two to one to one.
    Mixed(Run),
    /// Operators' searches for orders, over the admin API.
    Search(Run),
    /// How long a paid order takes to its plan, at a steady rate of orders.
    Saga(saga::Saga),
    /// Orders paid at Stripe's double, from their making to their plan.
    Pay(pay::Pay),
    /// Events pushed to endpoints.
    Push(push::Push),
    /// Orders told to many endpoints, of which one hangs.
    Hanging(push::hanging::Hanging),
    /// Adding many SIMs to a group beside orders, and listing a large one.
    Groups(groups::Groups),
    /// Fill an empty, migrated database.
    Fill(Fill),
    /// What changed from one run to a later one.
    Compare {
        /// The older run, as printed by `--json`.
        old: PathBuf,
        /// The newer one.
        new: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// The database engine.
    #[arg(long)]
    engine: Engine,
    /// How many clients at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// How long each side is measured, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// In how many turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// How many SIMs there are.
    #[arg(long, default_value_t = 10_000)]
    sims: u64,
    /// How many old orders there are. Some are needed for PostgreSQL to know how they are spread.
    #[arg(long, default_value_t = 1_000)]
    orders: u64,
    /// With an endpoint of the partner's that does not answer, and for which so many events wait; without this option
    /// nobody is told of orders.
    #[arg(long)]
    waiting_pushes: Option<u64>,
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

#[derive(Debug, Args)]
struct Fill {
    /// The database to fill.
    #[arg(long)]
    database_url: String,
    /// How many SIMs.
    #[arg(long)]
    sims: u64,
    /// How many orders.
    #[arg(long)]
    orders: u64,
}

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Orders,
    Plans,
    Verify,
    Mixed,
    Search,
}

impl Kind {
    /// Whether there is something to compare it with.
    fn has_floor(self) -> bool {
        matches!(self, Self::Orders | Self::Plans | Self::Verify)
    }
}

fn main() -> ExitCode {
    // The mall under test is this program itself, so that there is nothing else to build.
    if std::env::args().nth(1).as_deref() == Some(child::SERVE) {
        return server::cli::main_with(std::env::args().skip(1));
    }
    if let Some(word) = std::env::args().nth(1).filter(|word| word == push::RECEIVE) {
        let many = std::env::args().nth(2).unwrap_or_default();
        let served = push::serve(&many);
        return served.map_or_else(
            |error| {
                eprintln!("{word}: {error:#}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(cli)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let ctx = server::system_ctx();
    match cli.command {
        Command::Orders(run) => measure(&ctx, Kind::Orders, &run).await,
        Command::Plans(run) => measure(&ctx, Kind::Plans, &run).await,
        Command::Verify(run) => measure(&ctx, Kind::Verify, &run).await,
        Command::Mixed(run) => measure(&ctx, Kind::Mixed, &run).await,
        Command::Search(run) => measure(&ctx, Kind::Search, &run).await,
        Command::Saga(saga) => match &saga.faults {
            Some(faults) => proof::run(&saga, faults).await,
            None => saga::run(&ctx, &saga).await,
        },
        Command::Pay(pay) => pay::run(&ctx, &pay).await,
        Command::Push(push) => push::run(&ctx, &push).await,
        Command::Hanging(run) => push::hanging::run(&ctx, &run).await,
        Command::Groups(run) => groups::run(&ctx, &run).await,
        Command::Fill(fill) => {
            data::fill(&fill.database_url, &ctx, fill.sims, fill.orders).await?;
            println!("{} SIMs and {} orders are in it", fill.sims, fill.orders);
            Ok(())
        }
        Command::Compare { old, new } => {
            let [old, new] = [old, new].map(|file| -> anyhow::Result<Report> {
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                Ok(serde_json::from_str(&text)?)
            });
            print!("{}", new?.compared_with(&old?));
            Ok(())
        }
    }
}

/// What the turns of one side came to.
#[derive(Default)]
struct Sum {
    done: Done,
    /// From the first request to the last outcome.
    time: Duration,
    backlog: u64,
    drained: Duration,
}

impl Sum {
    fn add(&mut self, turn: Turn) {
        self.done.add(turn.done);
        self.time += turn.took + turn.drained;
        self.backlog = self.backlog.max(turn.backlog);
        self.drained = self.drained.max(turn.drained);
    }

    fn side(self, name: &str) -> Side {
        Side::new(name, self.done, self.time, (self.backlog, self.drained))
    }
}

async fn measure(ctx: &Ctx, kind: Kind, run: &Run) -> anyhow::Result<()> {
    let (database, floor) = prepare(ctx, run).await?;
    let with_floor = kind.has_floor() && !run.no_floor;
    let token = data::token(ctx, &database).await?;
    let time = Duration::from_millis(run.seconds * 1_000 / run.rounds);
    let mut sums: [Sum; 5] = Default::default();
    let (mut cold_start, mut at_rest, mut under_load) = (Duration::ZERO, 0, 0);
    let mut acknowledged = Vec::new();
    for round in 0..run.rounds {
        let mall = Mall::start_with(ctx, &database, &[push::ALLOW_NOWHERE.to_owned()]).await?;
        cold_start = cold_start.max(mall.cold_start);
        at_rest = at_rest.max(mall.bytes_at_rest);
        let load = Load {
            kind,
            address: if kind == Kind::Search { &mall.admin } else { &mall.address }.clone(),
            database: database.clone(),
            clients: u64::from(run.clients),
            run: round,
            token: token.clone(),
        };
        let most = Arc::new(AtomicU64::new(0));
        let watch = tokio::spawn(watch_memory(mall.id(), Arc::clone(&most)));
        acknowledged.extend(turn(ctx, &database, &load, WARM_UP).await?.done.orders);
        let mut turn = turn(ctx, &database, &load, time).await?;
        acknowledged.append(&mut turn.done.orders);
        watch.abort();
        under_load = under_load.max(most.load(Ordering::Relaxed));
        sums[0].add(turn);
        mall.stop().await?;
        if with_floor {
            floors(ctx, kind, run, &floor, (round, time), &mut sums).await?;
        }
    }
    let found = find(&database, &acknowledged).await?;
    if let Some(error) = &sums[0].done.first_error {
        eprintln!("the first error: {error}");
    }
    let mib = |bytes: u64| float(bytes) / 1_048_576.0;
    let [mall, single, grouped, two_single, two_grouped] = sums;
    let mut report = Report {
        what: format!("{kind:?}").to_lowercase(),
        engine: format!("{:?}", run.engine).to_lowercase(),
        clients: run.clients,
        seconds: run.seconds,
        filled_sims: run.sims,
        filled_orders: run.orders,
        mall: mall.side("the mall"),
        floors: Vec::new(),
        ratio: 0.0,
        floor_of_bare: None,
        acknowledged: u64::try_from(acknowledged.len())?,
        found,
        cold_start_ms: cold_start.as_secs_f64() * 1_000.0,
        mib_at_rest: mib(at_rest),
        mib_under_load: mib(under_load),
        machine: machine(),
    };
    if with_floor {
        report.compare(kind, [single, grouped, two_single, two_grouped]);
    }
    print(&report, run.json)?;
    ensure!(report.mall.errors == 0, "{} requests went wrong", report.mall.errors);
    ensure!(report.found == report.acknowledged, "acknowledged orders are missing");
    let drained = Duration::from_secs_f64(report.mall.drain_s);
    ensure!(drained <= DRAIN_MAX, "the backlog took longer than {DRAIN_MAX:?} to drain");
    Ok(())
}

/// A database for the mall and one for the floor.
async fn prepare(ctx: &Ctx, run: &Run) -> anyhow::Result<(Database, Database)> {
    let place = Place::new(run.engine, &run.directory).await?;
    let filled = place.filled(ctx, (run.sims, run.orders)).await?;
    let database = place.copy(&filled, "mall").await?;
    let floor = place.copy(&filled, "floor").await?;
    if let Some(many) = run.waiting_pushes {
        push::fill_waiting(ctx, &database, many).await?;
    }
    Ok((database, floor))
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

impl Report {
    /// Sets the floors beside the mall, the better one first.
    fn compare(&mut self, kind: Kind, sums: [Sum; 4]) {
        let [single, grouped, two_single, two_grouped] = sums;
        if kind == Kind::Orders {
            let mut floors = [single.side("floor, single commits"), grouped.side("floor, grouped")];
            let mut bare = [
                two_single.side("two rows, single commits"),
                two_grouped.side("two rows, grouped"),
            ];
            let faster = |one: &Side, other: &Side| other.per_second.total_cmp(&one.per_second);
            floors.sort_by(faster);
            bare.sort_by(faster);
            self.floor_of_bare = Some(ratio(floors[0].per_second, bare[0].per_second));
            self.floors = floors.into_iter().chain(bare).collect();
        } else {
            self.floors = vec![single.side("floor: the rows of an answer")];
        }
        self.ratio = ratio(self.mall.per_second, self.floors[0].per_second);
    }
}

/// A turn of the mall: its clients, then the end of its backlog.
async fn turn(ctx: &Ctx, database: &Database, load: &Load, time: Duration) -> anyhow::Result<Turn> {
    let began = Instant::now();
    let done = load::run(ctx, load.clone(), time).await?;
    let took = began.elapsed();
    let (backlog, drained) = drain(database).await?;
    Ok(Turn { done, took, backlog, drained })
}

/// A turn of each floor.
async fn floors(
    ctx: &Ctx,
    kind: Kind,
    run: &Run,
    database: &Database,
    (round, time): (u64, Duration),
    sums: &mut [Sum; 5],
) -> anyhow::Result<()> {
    if kind != Kind::Orders {
        reads::run(database, kind, run.clients, WARM_UP).await?;
        let began = Instant::now();
        let done = reads::run(database, kind, run.clients, time).await?;
        sums[1].add(Turn { done, took: began.elapsed(), ..Turn::default() });
        return Ok(());
    }
    let ways = [
        (Rows::Whole, Commits::Single),
        (Rows::Whole, Commits::Grouped),
        (Rows::Two, Commits::Single),
        (Rows::Two, Commits::Grouped),
    ];
    for (place, (rows, commits)) in (1_u64..).zip(ways) {
        let (database, clients) = (database.clone(), run.clients);
        let floor = Floor { database, clients, rows, commits, run: round * 10 + place };
        sums[usize::try_from(place)?].add(floor.run(ctx, (WARM_UP, time)).await?);
    }
    Ok(())
}

/// Waits until no job is due; gives how many orders waited, and how long that took.
async fn drain(database: &Database) -> anyhow::Result<(u64, Duration)> {
    let began = Instant::now();
    let pool = Pool::readers(&database.url, 1).await?;
    let backlog = pool.backlog().await?;
    while pool.backlog().await? > 0 {
        ensure!(began.elapsed() < DRAIN_GIVE_UP, "the backlog does not drain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = began.elapsed();
    pool.close().await;
    Ok((backlog, took))
}

/// How many of these orders are there and provisioned.
async fn find(database: &Database, numbers: &[String]) -> anyhow::Result<u64> {
    let store = data::open(&database.url).await?;
    let mut found = 0;
    for numbers in numbers.chunks(FIND_MAX) {
        let mut tx = store.read().await?;
        for number in numbers {
            let order = tx.order_by_no(Mode::Test, database.partner.id, number).await?;
            found += u64::from(order.is_some_and(|order| order.state.name() == "PROVISIONED"));
        }
    }
    store.close().await;
    Ok(found)
}

/// Notes the most memory that a process has, until it is told to stop watching.
async fn watch_memory(id: u32, most: Arc<AtomicU64>) {
    loop {
        most.fetch_max(child::resident(id), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
