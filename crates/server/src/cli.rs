//! The command line. Every setting is a flag and a `SIMMALL_…` variable, and stands in `--help`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use carriers::{Behaviour, Carriers};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use domain::{Ctx, Mode, Span};
use mall::{Cashiers, Settings};
use store::{Options, Sealer, Store};

use crate::edge::Edge;
use crate::process::LogLines;
use crate::push_settings::PushSettings;
use crate::run::{Running, Wiring, bind, build, serve as serve_mall, start, told_to_stop};
use crate::sim_settings::SimSettings;
use crate::telemetry::{self, LogFormat, Telemetry};
use crate::{
    admin, backup, carriers_file, cashiers_file, clock, demo, doctor, listen, sealing, sign,
    simulator, stripe_double, token,
};

/// The prefix of all variables.
const PREFIX: &str = "SIMMALL_";
/// The most minutes that a window may be set to: a year.
const MINUTES_MAX: i64 = 525_600;
/// The most days that requests may be logged for: ten years.
const DAYS_MAX: i64 = 3_650;

#[derive(Debug, Parser)]
#[command(name = "simmall", version, about = "A self-hosted mall for SIM data plans")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the mall on an existing database.
    Serve(Serve),
    /// Serve a mall with demo data in a directory of its own; nothing else is needed.
    Demo(Demo),
    /// Bring a database's schema up to date; makes a SQLite file that is not there.
    Migrate(Database),
    /// Look whether a mall is healthy: one line per check; exit code 1 if one of them fails.
    Doctor(doctor::Args),
    /// Copy a SQLite database into a file while the mall serves, and verify the copy.
    Backup(backup::BackupArgs),
    /// Put a backup into a directory from which it can be served, and verify it.
    Restore(backup::RestoreArgs),
    /// Sign a request: its JSON body on standard input, the signature on standard output.
    Sign(sign::Args),
    /// Hear a partner's pushes as they happen, and pass them on to a program without a public address.
    Listen(listen::Args),
    /// Seal a secret, given on standard input, as it may stand in the carriers' or cashiers' file.
    Seal(carriers_file::SealArgs),
    /// Print the OpenAPI document.
    Openapi,
    /// Play an upstream network over HTTP, with faults at will and a journal of what was really done.
    Simulator(simulator::Args),
    /// Play Stripe over HTTP in test mode, with faults at will and a journal of what was really done.
    StripeDouble(stripe_double::Args),
    /// Make operators' tokens on the database itself, with or without a running mall.
    #[command(subcommand)]
    Token(token::Command),
    /// Administer a running mall over its admin API.
    Admin(admin::Admin),
}

#[derive(Debug, Args)]
pub(crate) struct Database {
    /// `sqlite:///PATH` or `postgres://USER@HOST/NAME`
    #[arg(long, env = "SIMMALL_DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
    /// The most connections to PostgreSQL.
    #[arg(long, env = "SIMMALL_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) database_connections: u32,
}

#[derive(Debug, Args)]
struct Common {
    /// Address to listen on, such as 127.0.0.1:8080 or [::]:8080; port 0 picks a free one.
    #[arg(long, env = "SIMMALL_LISTEN", default_value = "127.0.0.1:8080", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Address of the admin API, apart from the partners' one.
    #[arg(
        long,
        env = "SIMMALL_ADMIN_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "IP:PORT"
    )]
    admin_listen: SocketAddr,
    /// What to log: error, warn, info, debug, trace, or a filter such as info,mall=debug
    #[arg(long, env = "SIMMALL_LOG", default_value = "info")]
    log: String,
    /// How log lines look.
    #[arg(long, env = "SIMMALL_LOG_FORMAT", default_value = "pretty")]
    log_format: LogFormat,
    /// Minutes that an order waits for its payment before it closes.
    #[arg(long, env = "SIMMALL_PAYMENT_WINDOW_MINUTES", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=MINUTES_MAX))]
    payment_window_minutes: i64,
    /// Minutes that a price is still accepted after it ended.
    #[arg(long, env = "SIMMALL_PRICE_WINDOW_MINUTES", default_value_t = 60, value_parser = clap::value_parser!(i64).range(0..=MINUTES_MAX))]
    price_window_minutes: i64,
    /// Minutes after it is due that an auto-renewal which the partner is paid for may come before it is reported
    /// as missed.
    #[arg(long, env = "SIMMALL_RENEWAL_GRACE_MINUTES", default_value_t = 1_440, value_parser = clap::value_parser!(i64).range(0..=MINUTES_MAX))]
    renewal_grace_minutes: i64,
    /// Minutes after which an order that is still not provisioned is given to a person.
    #[arg(long, env = "SIMMALL_PROVISIONING_DEADLINE_MINUTES", default_value_t = 120, value_parser = clap::value_parser!(i64).range(1..=MINUTES_MAX))]
    provisioning_deadline_minutes: i64,
    /// Days that the partners' requests are logged for; 0: not at all.
    #[arg(long, env = "SIMMALL_REQUEST_LOG_DAYS", default_value_t = 30, value_parser = clap::value_parser!(i64).range(0..=DAYS_MAX))]
    request_log_days: i64,
    /// Seconds that a worker holds a job; one that died is succeeded after that. Jobs whose carrier may take
    /// longer to answer are held for longer. The same for whoever sends pushes to an endpoint, 20 at least.
    #[arg(long, env = "SIMMALL_LEASE_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(i64).range(2..=600))]
    lease_seconds: i64,
    /// How many jobs run at once.
    #[arg(long, env = "SIMMALL_WORKERS", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// What the built-in simulator does with SIMs that have no special ending: accept,
    /// delay:SECONDS, refuse, retry-later, time-out or cannot-tell.
    #[arg(long, env = "SIMMALL_SIMULATOR", default_value = "accept")]
    simulator: Behaviour,
    #[command(flatten)]
    networks: Networks,
    #[command(flatten)]
    sims: SimSettings,
    #[command(flatten)]
    pushes: PushSettings,
    #[command(flatten)]
    edge: Edge,
}

#[derive(Debug, Args)]
pub(crate) struct Networks {
    /// JSON file of the carriers beside the built-in simulator: see docs/OPERATIONS.md
    #[arg(long, env = "SIMMALL_CARRIERS", value_name = "FILE")]
    carriers: Option<PathBuf>,
    /// JSON file of the Stripe accounts that take the money: see docs/OPERATIONS.md
    #[arg(long, env = "SIMMALL_CASHIERS", value_name = "FILE")]
    cashiers: Option<PathBuf>,
}

impl Networks {
    /// The carriers of the file, if one is given.
    pub(crate) fn read(&self, ctx: &Ctx, sealer: Option<&Sealer>) -> anyhow::Result<Carriers> {
        let read = self.carriers.as_deref().map(|file| carriers_file::read(file, ctx, sealer));
        Ok(read.transpose()?.unwrap_or_default())
    }

    /// The accounts of the file, if one is given.
    pub(crate) fn read_cashiers(&self, sealer: Option<&Sealer>) -> anyhow::Result<Cashiers> {
        let read = self.cashiers.as_deref().map(|file| cashiers_file::read(file, sealer));
        Ok(read.transpose()?.unwrap_or_default())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Sealing {
    /// File with the key that seals secrets at rest: 64 hexadecimal digits.
    #[arg(long, env = "SIMMALL_SEALING_KEY_FILE")]
    pub(crate) sealing_key_file: Option<PathBuf>,
    /// The key itself; better given in the environment, since a command line can be seen by others.
    #[arg(long, env = "SIMMALL_SEALING_KEY", hide_env_values = true)]
    sealing_key: Option<String>,
}

impl Sealing {
    pub(crate) fn sealer(&self) -> anyhow::Result<Sealer> {
        sealing::sealer(self.sealing_key.as_deref(), self.sealing_key_file.as_deref())
    }

    /// For commands that can do without the key.
    pub(crate) fn sealer_if_given(&self) -> anyhow::Result<Option<Sealer>> {
        let given = self.sealing_key.is_some() || self.sealing_key_file.is_some();
        given.then(|| self.sealer()).transpose()
    }
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    sealing: Sealing,
    /// Which mode the paths without a prefix mean, as the published examples use them.
    #[arg(long, env = "SIMMALL_ROOT_MODE", default_value = "off")]
    root_mode: RootMode,
}

#[derive(Debug, Args)]
struct Demo {
    #[command(flatten)]
    common: Common,
    /// Directory of the demo's data, made if it is not there.
    #[arg(long, env = "SIMMALL_DATA", default_value = "simmall-demo")]
    data: PathBuf,
    /// Which mode the paths without a prefix mean, as the published examples use them.
    #[arg(long, env = "SIMMALL_ROOT_MODE", default_value = "test")]
    root_mode: RootMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RootMode {
    Off,
    Test,
    Live,
}

impl RootMode {
    fn mode(self) -> Option<Mode> {
        match self {
            Self::Off => None,
            Self::Test => Some(Mode::Test),
            Self::Live => Some(Mode::Live),
        }
    }
}

impl Common {
    fn wiring(
        &self,
        store: Store,
        ctx: Ctx,
        sealer: Sealer,
        root_mode: RootMode,
    ) -> anyhow::Result<Wiring> {
        let settings = Settings {
            payment_window: Span::minutes(self.payment_window_minutes),
            price_window: Span::minutes(self.price_window_minutes),
            renewal_grace: Span::minutes(self.renewal_grace_minutes),
            provisioning_deadline: Span::minutes(self.provisioning_deadline_minutes),
            lease: Span::seconds(self.lease_seconds),
            workers: usize::from(self.workers),
            request_log: (self.request_log_days > 0).then(|| Span::days(self.request_log_days)),
            ..Settings::default()
        };
        let settings = self.pushes.settle(self.sims.settle(self.edge.settle(settings)));
        let (limits, proxies) = (self.edge.limits()?, self.edge.proxies());
        let (simulator, listen, root_mode) = (self.simulator, self.listen, root_mode.mode());
        let admin_listen = Some(self.admin_listen);
        let carriers = self.networks.read(&ctx, Some(&sealer))?;
        let cashiers = self.networks.read_cashiers(Some(&sealer))?;
        Ok(Wiring {
            store,
            ctx,
            sealer,
            settings,
            simulator,
            carriers,
            cashiers,
            sender: self.pushes.sender()?,
            root_mode,
            listen,
            admin_listen,
            limits,
            proxies,
        })
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// Runs the program with these arguments, its name first.
pub fn main_with(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let done = match Cli::try_parse_from(arguments) {
        Ok(cli) => check_environment().and_then(|()| run(cli)),
        // A slip in a variable's name may be why something is missed here. Help is always given.
        Err(error) if error.use_stderr() => check_environment().and_then(|()| error.exit()),
        Err(help) => help.exit(),
    };
    done.unwrap_or_else(|error| {
        // Nothing can be done if standard error is closed.
        let _ = writeln!(std::io::stderr(), "error: {}", describe(&error));
        ExitCode::FAILURE
    })
}

/// An error with its causes, but for those that it has told already.
fn describe(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Refuses variables that begin like ours but mean nothing: a slip in a name must not go unnoticed.
fn check_environment() -> anyhow::Result<()> {
    let mut known =
        BTreeSet::from([admin::TOKEN_VARIABLE, listen::KEY_VARIABLE].map(OsString::from));
    gather_variables(&Cli::command(), &mut known);
    let unknown: Vec<String> = std::env::vars_os()
        .filter(|(name, _)| !known.contains(name))
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    anyhow::ensure!(
        unknown.is_empty(),
        "unknown settings in the environment: {} (simmall help COMMAND lists all)",
        unknown.join(", ")
    );
    Ok(())
}

/// The variables of a command and of all below it.
fn gather_variables(command: &clap::Command, known: &mut BTreeSet<OsString>) {
    for argument in command.get_arguments() {
        known.extend(argument.get_env().map(std::ffi::OsStr::to_owned));
    }
    command.get_subcommands().for_each(|below| gather_variables(below, known));
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Doctor(args) => return block_on(doctor::run(args)),
        Command::Backup(args) => return block_on(backup::backup(args)),
        Command::Restore(args) => block_on(backup::restore(args)),
        Command::Sign(args) => say(&sign::sign(&args, std::io::stdin().lock())?),
        Command::Listen(args) => block_on(listen::run(args)),
        Command::Seal(args) => carriers_file::seal(&args),
        Command::Openapi => say(&serde_json::to_string_pretty(&api::openapi::document())?),
        Command::Migrate(database) => block_on(migrate(database)),
        Command::Token(command) => block_on(token::run(command)),
        Command::Admin(command) => block_on(admin::run(command)),
        Command::StripeDouble(args) => {
            let _telemetry = telemetry::start(&args.log, args.log_format)?;
            block_on(stripe_double::run(args))
        }
        Command::Simulator(args) => {
            let _telemetry = telemetry::start(&args.log, args.log_format)?;
            block_on(simulator::run(args))
        }
        Command::Serve(args) => {
            let telemetry = telemetry::start(&args.common.log, args.common.log_format)?;
            block_on(serve(args, &telemetry))
        }
        Command::Demo(args) => {
            let telemetry = telemetry::start(&args.common.log, args.common.log_format)?;
            block_on(run_demo(args, &telemetry))
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(work)
}

/// Prints a line. A reader that went away is no reason to fail.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

async fn migrate(database: Database) -> anyhow::Result<()> {
    let options = Options { create: true, connections_max: database.database_connections };
    let store = Store::connect(&database.database_url, options).await?;
    store.migrate().await?;
    store.close().await;
    say("the schema is up to date")
}

async fn serve(args: Serve, telemetry: &Telemetry) -> anyhow::Result<()> {
    args.common.edge.check_admin(args.common.admin_listen)?;
    let sealer = args.sealing.sealer()?;
    let connections_max = args.database.database_connections;
    let options = Options { create: false, connections_max };
    let store = Store::connect(&args.database.database_url, options).await?;
    store.check_schema().await?;
    let ctx = clock::system_ctx();
    let told = told_to_stop()?;
    let running = start(args.common.wiring(store, ctx, sealer, args.root_mode)?).await?;
    running.mall.metrics().register(Box::new(LogLines(telemetry.dropped.clone())));
    say_addresses(&running)?;
    running.until(told).await
}

/// Says where a mall listens: the line of the public address comes last, when all is ready.
fn say_addresses(running: &Running) -> anyhow::Result<()> {
    if let Some(address) = running.admin_address {
        say(&format!("admin API on http://{address}{}", wire::admin::PREFIX))?;
    }
    say(&format!("listening on http://{}", running.address))
}

async fn run_demo(args: Demo, telemetry: &Telemetry) -> anyhow::Result<()> {
    args.common.edge.check_admin(args.common.admin_listen)?;
    let ctx = clock::system_ctx();
    let (store, sealer) = demo::open(&ctx, &args.data).await?;
    let mut wiring = args.common.wiring(store, ctx, sealer, args.root_mode)?;
    let listeners = bind(&wiring).await?;
    let stripe = demo::play_stripe(&mut wiring, &args.data).await?;
    let mall = build(&wiring);
    let seeded = mall::demo::seed(&mall).await?;
    let token = demo::admin_token(&wiring, &args.data).await?;
    let told = told_to_stop()?;
    let running = serve_mall(mall, listeners, &wiring)?;
    running.mall.metrics().register(Box::new(LogLines(telemetry.dropped.clone())));
    let stripe = stripe.map(|stripe| stripe.run(running.address));
    demo::welcome(&running, &seeded, &args.data)?;
    if let Some(stripe) = &stripe {
        demo::welcome_payer(&running, stripe)?;
    }
    demo::welcome_operator(&running, token.as_deref(), &args.data)?;
    say_addresses(&running)?;
    running.until(told).await
}
