//! `simmall admin`: what the admin API does, from the command line, on a running mall.
//!
//! Each command is turned into one [`Call`], which one function makes and shows; imports, exports and the
//! audit log's head have more to do and stand in files of their own. Nothing here knows the database.

mod chain;
mod clock;
mod files;
mod groups;
mod partners;
mod pushes;
mod reconcile;
mod renewals;
mod show;
mod stock;
mod timeline;
mod work;

use std::path::PathBuf;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Subcommand, ValueEnum};
use sdk::admin::{Client, Error, Method};
use serde_json::{Map, Value, json};
use wire::admin::LIMIT_MAX;

use crate::cli::{Cli, say};

/// The variable that holds the token itself. There is no flag for it: others can see a command line.
pub(crate) const TOKEN_VARIABLE: &str = "SIMMALL_ADMIN_TOKEN";
/// The most items that one command lists.
const ITEMS_MAX: i64 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

/// Where the mall is and who asks.
#[derive(Debug, Args)]
struct Reach {
    /// Address of the admin API of a running mall.
    #[arg(
        long,
        global = true,
        env = "SIMMALL_ADMIN_URL",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL"
    )]
    url: String,
    /// File that holds the operator's token; the variable `SIMMALL_ADMIN_TOKEN` may hold it instead.
    #[arg(long, global = true, env = "SIMMALL_ADMIN_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Live or test: what the command is about. It has no default, lest the wrong one is changed.
    #[arg(long, global = true, env = "SIMMALL_MODE")]
    mode: Option<ModeWord>,
    /// Print the API's own JSON, for programs, instead of tables for people.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeWord {
    Live,
    Test,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show whose token this is.
    Whoami,
    /// Partners: the sales channels and their settings.
    #[command(subcommand)]
    Partner(partners::PartnerCommand),
    /// Partners' signing keys.
    #[command(subcommand)]
    Key(partners::KeyCommand),
    /// Where partners are told of events, and what they were told.
    #[command(subcommand)]
    Push(pushes::PushCommand),
    /// What partners may owe, and owe.
    #[command(subcommand)]
    Credit(partners::CreditCommand),
    /// Partners' prices.
    #[command(subcommand)]
    Price(partners::PriceCommand),
    /// SIMs in partners' stocks.
    #[command(subcommand)]
    Sim(stock::SimCommand),
    /// Packages: what the networks give.
    #[command(subcommand)]
    Package(stock::PackageCommand),
    /// Plans: what is sold.
    #[command(subcommand)]
    Plan(stock::PlanCommand),
    /// Orders.
    #[command(subcommand)]
    Order(work::OrderCommand),
    /// Orders that wait for a person.
    #[command(subcommand)]
    Review(work::ReviewCommand),
    /// Auto-renewals: agreements to buy a plan again each period.
    #[command(subcommand)]
    Renewal(renewals::RenewalCommand),
    /// Groups of SIMs that share a bundle.
    #[command(subcommand)]
    Group(groups::GroupCommand),
    /// Operations that add SIMs to groups or remove them.
    #[command(subcommand)]
    Operation(groups::OperationCommand),
    /// Jobs: what is still to be done.
    #[command(subcommand)]
    Job(work::JobCommand),
    /// The ledger.
    #[command(subcommand)]
    Ledger(work::LedgerCommand),
    /// A mode's business time, which can be moved on in test mode.
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// Compare a day's money: Stripe's balance, the postings, orders and plans. Fails where they differ.
    Reconcile(reconcile::Reconcile),
    /// Operators' tokens.
    #[command(subcommand)]
    Token(work::TokenCommand),
    /// The log of all that operators changed.
    #[command(subcommand)]
    Audit(chain::AuditCommand),
    /// Import SIMs, packages, plans or prices from a CSV file: all of it or nothing.
    Import(files::Import),
    /// Export SIMs, packages, plans or prices as a CSV file that an import takes.
    Export(files::Export),
}

/// Which part of a list is shown.
#[derive(Debug, Args)]
struct Paging {
    /// How many items to show, from 1 to 100000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=ITEMS_MAX))]
    limit: i64,
    /// Go on where an earlier list ended: its `next_cursor`.
    #[arg(long)]
    cursor: Option<String>,
}

/// How an answer is shown to people.
enum View {
    /// One object, field by field.
    Record,
    /// A list, with these of its items' fields as columns.
    List(&'static [&'static str], Paging),
    /// The first of a list, field by field.
    First,
    /// What a push endpoint was told.
    Pushes(Paging),
    /// An order's timeline.
    Timeline,
    /// An auto-renewal's timeline.
    Renewal,
    /// An operation on a group, and what came of its SIMs.
    Operation(Paging),
    /// An answer without a body: what was done.
    Done(&'static str),
}

/// A call of the API.
struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    view: View,
    third: Third,
}

/// What the third part of a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Third {
    /// What the API wants.
    AsItIs,
    /// An order's number, whichever it is, instead of its id.
    Order,
    /// A number of an auto-renewal's order or SIM, instead of its id.
    Renewal,
}

impl Call {
    fn new<const N: usize>(method: Method, path: [&str; N]) -> Self {
        let path = path.map(str::to_owned).to_vec();
        let (query, body, view, third) = (Vec::new(), None, View::Record, Third::AsItIs);
        Self { method, path, query, body, view, third }
    }

    fn get<const N: usize>(path: [&str; N]) -> Self {
        Self::new(Method::GET, path)
    }

    fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn list(self, columns: &'static [&'static str], paging: Paging) -> Self {
        Self { view: View::List(columns, paging), ..self }
    }

    fn done(self, what: &'static str) -> Self {
        Self { view: View::Done(what), ..self }
    }

    /// The one item of a list.
    fn first(self) -> Self {
        Self { view: View::First, ..self }
    }

    /// What a push endpoint was told.
    fn pushes(self, paging: Paging) -> Self {
        Self { view: View::Pushes(paging), ..self }
    }

    /// An order's timeline.
    fn timeline(self) -> Self {
        Self { view: View::Timeline, ..self }
    }

    /// An auto-renewal's timeline.
    fn renewal(self) -> Self {
        Self { view: View::Renewal, ..self }
    }

    /// The third part of the path is an order's number, whichever it is.
    fn of_order(self) -> Self {
        Self { third: Third::Order, ..self }
    }

    /// The third part of the path is a number of an auto-renewal's order or SIM.
    fn of_renewal(self) -> Self {
        Self { third: Third::Renewal, ..self }
    }

    /// Adds a filter where it is given.
    fn only(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }
}

/// An object of the members that are given.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>())
}

/// A value as JSON.
fn given<T: Into<Value>>(value: Option<T>) -> Option<Value> {
    value.map(Into::into)
}

/// A running mall, and how to speak with it and with whoever asks.
struct Session {
    client: Client,
    url: String,
    mode: Option<ModeWord>,
    json: bool,
}

/// Runs a command.
pub(crate) async fn run(admin: Admin) -> anyhow::Result<()> {
    let token = token(admin.reach.token_file.as_ref())?;
    let Reach { url, mode, json, .. } = admin.reach;
    let client = Client::new(&url, &token)?;
    let session = Session { client, url, mode, json };
    let call = match admin.command {
        Command::Import(import) => return import.run(&session).await,
        Command::Export(export) => return export.run(&session).await,
        Command::Audit(audit) => return audit.run(&session).await,
        Command::Clock(clock) => return clock.run(&session).await,
        Command::Reconcile(reconcile) => return reconcile.run(&session).await,
        Command::Whoami => Call::get(["whoami"]),
        Command::Token(command) => command.call(),
        Command::Partner(command) => command.call(session.mode()),
        Command::Key(command) => command.call(session.mode()),
        Command::Push(command) => command.call(session.mode()),
        Command::Credit(command) => command.call(session.mode()),
        Command::Price(command) => command.call(session.mode()),
        Command::Sim(command) => command.call(session.mode()),
        Command::Package(command) => command.call(session.mode()),
        Command::Plan(command) => command.call(session.mode()),
        Command::Order(command) => command.call(session.mode()),
        Command::Review(command) => command.call(session.mode()),
        Command::Renewal(command) => command.call(session.mode()),
        Command::Group(command) => command.call(session.mode()),
        Command::Operation(command) => command.call(session.mode()),
        Command::Job(command) => command.call(session.mode()),
        Command::Ledger(command) => command.call(session.mode()),
    };
    session.run(call).await
}

/// The token, from its file or its variable.
fn token(file: Option<&PathBuf>) -> anyhow::Result<String> {
    let token = match file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the token file {}", file.display()))?,
        None => std::env::var(TOKEN_VARIABLE).unwrap_or_default(),
    };
    let token = token.trim();
    anyhow::ensure!(
        !token.is_empty(),
        "no operator's token: set {TOKEN_VARIABLE} or give --token-file FILE; `simmall token add` \
         makes the first one"
    );
    Ok(token.to_owned())
}

impl Session {
    /// The mode that a command is about. Without one it is not a command.
    fn mode(&self) -> &'static str {
        match self.mode {
            Some(ModeWord::Live) => "live",
            Some(ModeWord::Test) => "test",
            None => {
                let what = "--mode live or --mode test (or SIMMALL_MODE) must be given";
                Cli::command().error(ErrorKind::MissingRequiredArgument, what).exit()
            }
        }
    }

    async fn run(&self, mut call: Call) -> anyhow::Result<()> {
        match call.third {
            Third::AsItIs => {}
            Third::Order => self.find_order(&mut call).await?,
            Third::Renewal => self.find_renewal(&mut call).await?,
        }
        match std::mem::replace(&mut call.view, View::Record) {
            View::List(columns, paging) => {
                let list = self.all(&call, &paging).await?;
                if self.json { self.print(&list) } else { show::list(&list, columns) }
            }
            View::Pushes(paging) => {
                let mut list = self.all(&call, &paging).await?;
                if self.json {
                    return self.print(&list);
                }
                pushes::with_last_try(&mut list);
                show::list(&list, pushes::COLUMNS)
            }
            View::First => {
                let mut list = self.ask(&call).await?;
                let answer = list["items"][0].take();
                if self.json { self.print(&answer) } else { show::record(&answer) }
            }
            View::Record => {
                let answer = self.ask(&call).await?;
                if self.json { self.print(&answer) } else { show::record(&answer) }
            }
            View::Timeline => {
                let answer = self.ask(&call).await?;
                if self.json { self.print(&answer) } else { timeline::print(&answer) }
            }
            View::Renewal => {
                let answer = self.ask(&call).await?;
                if self.json { self.print(&answer) } else { renewals::print(&answer) }
            }
            View::Operation(paging) => self.show_operation(call, &paging).await,
            View::Done(what) => {
                let answer = self.ask(&call).await?;
                if self.json { self.print(&answer) } else { say(what) }
            }
        }
    }

    fn print(&self, answer: &Value) -> anyhow::Result<()> {
        debug_assert!(self.json, "tables are for people");
        say(&serde_json::to_string_pretty(answer)?)
    }

    /// Puts the order's id where its number stands.
    async fn find_order(&self, call: &mut Call) -> anyhow::Result<()> {
        let [mode, _, number, ..] = call.path.as_mut_slice() else { return Ok(()) };
        if number.starts_with("ord_") {
            return Ok(());
        }
        let orders = Call::get([mode, "orders"]).only("number", Some(&number));
        let found = self.ask(&orders).await?;
        let items = found.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let ids: Vec<&str> = items.iter().filter_map(|item| item["order_id"].as_str()).collect();
        match ids.as_slice() {
            [] => anyhow::bail!("no order in {mode} mode has the number {number}"),
            [id] => (*id).clone_into(number),
            several => anyhow::bail!(
                "several orders have the number {number}, give the id of one: {}",
                several.join(", ")
            ),
        }
        Ok(())
    }

    /// Makes a call.
    async fn ask(&self, call: &Call) -> anyhow::Result<Value> {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let query: Vec<(&str, &str)> =
            call.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.client.call(call.method.clone(), &path, &query, call.body.as_ref()).await;
        answer.map_err(|error| self.explain(error))
    }

    /// So many items of a list, page after page.
    async fn all(&self, call: &Call, paging: &Paging) -> anyhow::Result<Value> {
        let (mut items, mut cursor) = (Vec::new(), paging.cursor.clone());
        loop {
            let left = paging.limit - i64::try_from(items.len()).unwrap_or(i64::MAX);
            let mut page = Call {
                method: call.method.clone(),
                path: call.path.clone(),
                query: call.query.clone(),
                body: None,
                view: View::Record,
                third: Third::AsItIs,
            };
            page.query.push(("limit", left.min(LIMIT_MAX).to_string()));
            page.query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut answer = self.ask(&page).await?;
            if let Some(Value::Array(found)) = answer.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            cursor = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            let is_full = i64::try_from(items.len()).is_ok_and(|count| count >= paging.limit);
            if cursor.is_none() || is_full {
                return Ok(json!({ "items": items, "next_cursor": cursor }));
            }
        }
    }

    /// What went wrong, and what to do.
    fn explain(&self, error: Error) -> anyhow::Error {
        match error {
            Error::Refused(problem) => {
                let mut text = problem.to_string();
                for error in problem.errors.iter().filter(|_| problem.errors.len() > 1) {
                    text = format!("{text}\n  {}: {}", error.field, error.detail);
                }
                match problem.status {
                    401 => anyhow::anyhow!("{text}\nIs it the token of this mall ({})?", self.url),
                    403 => anyhow::anyhow!("{text}\nAsk somebody whose token may do so."),
                    _ => anyhow::anyhow!(text),
                }
            }
            Error::Transport(error) if error.is_connect() => anyhow::anyhow!(
                "there is no admin API at {}: is the mall running, and is it there? \
                 (--url or SIMMALL_ADMIN_URL)",
                self.url
            ),
            error => anyhow::Error::new(error).context(format!("asking {}", self.url)),
        }
    }
}
