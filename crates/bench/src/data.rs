//! The databases of a run: made, filled, copied, thrown away.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use domain::ledger::{Account, Posting};
use domain::order::{Order, OrderSource, OrderState};
use domain::package::{Package, PackageType, PlanLength, Volume};
use domain::partner::{Partner, ResponseStyle};
use domain::payment::{Channel, Payment, PaymentState, Report};
use domain::plan::{Plan, PriceKind};
use domain::sim::{Sim, SimState};
use domain::sim_plan::{QueuedPlan, SimPlanState};
use domain::{Ctx, Iccid, Locale, LocalizedText, Mode, Money, Role, Span};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use store::{JobKind, NewJob, Options, Price, Sealer, Store};

use crate::Engine;

/// The sealing key of all benchmark databases; it protects nothing.
pub(crate) const SEALING_KEY: [u8; 32] = [9; 32];
/// The partner that orders.
pub(crate) const PARTNER: &str = "BENCH";
/// The plan that it orders.
pub(crate) const PLAN: &str = "PLAN-00";
/// Its package.
pub(crate) const PACKAGE: &str = "PACK-00";
/// How many plans are on sale.
const PLANS: u32 = 20;
/// The first number of a SIM and order that waits, beyond all others.
const WAITING_FROM: u64 = 100_000_000_000;
/// How many rows a filling transaction writes.
const FILL_ROWS: usize = 2_000;

/// A database and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// The partner's signing key.
    pub(crate) key: String,
    pub(crate) partner: Partner,
    pub(crate) sims: u64,
    /// How many old orders there are.
    pub(crate) orders: u64,
}

/// The number of a SIM; none ends like those that the simulator treats in a way of their own: these end in 9001 to 9010.
pub(crate) fn iccid(number: u64) -> String {
    format!("89440{number:012}00")
}

/// The number of an old order.
pub(crate) fn old_order_no(number: u64) -> String {
    format!("OLD{number:016}")
}

/// Where a run keeps its databases.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    server: Option<String>,
}

impl Place {
    /// A place for an engine. PostgreSQL must keep what it commits.
    pub(crate) async fn new(engine: Engine, directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(std::env::var("TEST_POSTGRES_URL").context(
                "TEST_POSTGRES_URL is not set: run scripts/with-postgres --durable COMMAND",
            )?),
        };
        if let Some(server) = &server {
            let mut admin = PgConnection::connect(&format!("{server}/postgres")).await?;
            for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
                let show = AssertSqlSafe(format!("SHOW {setting}"));
                let value: String = sqlx::query_scalar(show).fetch_one(&mut admin).await?;
                ensure!(value == "on", "{setting} is {value}: use scripts/with-postgres --durable");
            }
        }
        Ok(Self { directory, server })
    }

    /// A filled database. Filling a large one takes minutes, so it is kept and never written to again.
    pub(crate) async fn filled(
        &self,
        ctx: &Ctx,
        (sims, orders): (u64, u64),
    ) -> anyhow::Result<Database> {
        let name = format!("filled_{sims}_{orders}");
        if self.is_there(&name).await? {
            return filled_before(&self.url(&name), sims, orders).await;
        }
        // Under another name until it is whole.
        let half = self.empty("half_filled").await?;
        let database = fill(&half, ctx, sims, orders).await?;
        let whole = self.copy(&database, &name).await?;
        self.remove("half_filled").await?;
        Ok(whole)
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let Some(server) = &self.server else {
            return Ok(std::fs::remove_file(self.file(name))?);
        };
        let mut admin = PgConnection::connect(&format!("{server}/postgres")).await?;
        let drop = format!("DROP DATABASE IF EXISTS bench_{name} WITH (FORCE)");
        admin.execute(AssertSqlSafe(drop)).await?;
        Ok(())
    }

    fn url(&self, name: &str) -> String {
        match &self.server {
            None => format!("sqlite://{}", self.file(name).display()),
            Some(server) => format!("{server}/bench_{name}"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.db"))
    }

    async fn is_there(&self, name: &str) -> anyhow::Result<bool> {
        let Some(server) = &self.server else { return Ok(self.file(name).exists()) };
        let mut admin = PgConnection::connect(&format!("{server}/postgres")).await?;
        let found =
            sqlx::query_scalar::<_, i64>("SELECT 1::BIGINT FROM pg_database WHERE datname = $1")
                .bind(format!("bench_{name}"))
                .fetch_optional(&mut admin)
                .await?;
        Ok(found.is_some())
    }

    /// An empty database with a current schema.
    async fn empty(&self, name: &str) -> anyhow::Result<String> {
        match &self.server {
            None => {
                let file = self.file(name);
                for end in ["", "-wal", "-shm"] {
                    // What is not there need not be removed.
                    let _ = std::fs::remove_file(format!("{}{end}", file.display()));
                }
            }
            Some(_) => self.create(&format!("bench_{name}"), "template0").await?,
        }
        let url = self.url(name);
        let store = open(&url).await?;
        store.migrate().await?;
        store.close().await;
        Ok(url)
    }

    /// A copy of a database that nobody uses.
    pub(crate) async fn copy(&self, from: &Database, name: &str) -> anyhow::Result<Database> {
        if self.server.is_some() {
            let template = from.url.rsplit('/').next().unwrap_or_default();
            self.create(&format!("bench_{name}"), template).await?;
        } else {
            for end in ["-wal", "-shm"] {
                // What is not there need not be removed.
                let _ = std::fs::remove_file(format!("{}{end}", self.file(name).display()));
            }
            std::fs::copy(from.url.trim_start_matches("sqlite://"), self.file(name))?;
        }
        let url = self.url(name);
        Ok(Database { url, ..from.clone() })
    }

    async fn create(&self, name: &str, template: &str) -> anyhow::Result<()> {
        let Some(server) = &self.server else { bail!("SQLite has no server") };
        let mut admin = PgConnection::connect(&format!("{server}/postgres")).await?;
        for statement in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        ] {
            admin.execute(AssertSqlSafe(statement)).await?;
        }
        Ok(())
    }
}

/// Lets PostgreSQL see how rows are spread. It does by itself within a minute; a run would be over by then.
pub(crate) async fn analyze(url: &str) -> anyhow::Result<()> {
    if !url.starts_with("sqlite:") {
        PgConnection::connect(url).await?.execute("ANALYZE").await?;
    }
    Ok(())
}

/// Opens a database.
pub(crate) async fn open(url: &str) -> anyhow::Result<Store> {
    let options = Options { create: true, connections_max: 4 };
    Ok(Store::connect(url, options).await?)
}

/// A viewer's token.
pub(crate) async fn token(ctx: &Ctx, database: &Database) -> anyhow::Result<String> {
    let (store, sealer) = (open(&database.url).await?, Sealer::new(&SEALING_KEY));
    let made =
        mall::admin::made_offline(&store, ctx, &sealer, ("bench", Role::Viewer, None)).await?;
    store.close().await;
    Ok(made.text.0)
}

/// Puts a partner with a catalogue, so many SIMs and so many old orders into an empty database.
pub(crate) async fn fill(url: &str, ctx: &Ctx, sims: u64, orders: u64) -> anyhow::Result<Database> {
    ensure!(sims > 0, "there must be SIMs");
    let store = open(url).await?;
    let partner = partner(ctx)?;
    let mut tx = store.begin().await?;
    tx.insert_partner(&partner, ctx.now()).await?;
    let limit = Money::new(i64::MAX / 2, partner.settlement_currency);
    tx.set_credit_limit(&partner, limit).await?;
    for number in 0..PLANS {
        let plan = plan(number);
        tx.insert_package(Mode::Test, &plan.package).await?;
        tx.insert_plan(Mode::Test, &plan).await?;
        for (kind, minor) in [(PriceKind::Sale, 1_000), (PriceKind::Settlement, 800)] {
            let unit = Money::new(minor, partner.currency);
            let price = Price { plan_code: plan.code.clone(), kind, unit };
            let always = (ctx.now() - Span::days(400), None);
            tx.insert_price(Mode::Test, partner.id, ctx.id(), &price, always).await?;
        }
    }
    let sealer = Sealer::new(&SEALING_KEY);
    let key = key();
    let row = store::PartnerKey::seal_row(Mode::Test, partner.id, "key_bench");
    tx.insert_key(&partner, "key_bench", sealer.seal(ctx.random(), &row, &key)?, ctx.now()).await?;
    tx.commit().await?;
    fill_sims(&store, ctx, &partner, sims).await?;
    fill_orders(&store, ctx, &partner, (sims, orders)).await?;
    store.close().await;
    analyze(url).await?;
    Ok(Database { url: url.to_owned(), key, partner, sims, orders })
}

/// The partner's signing key; it protects nothing.
fn key() -> String {
    "b".repeat(64)
}

/// A database that an earlier run filled.
async fn filled_before(url: &str, sims: u64, orders: u64) -> anyhow::Result<Database> {
    let store = open(url).await?;
    // It may be from before the schema changed.
    store.migrate().await?;
    let partner = store.read().await?.partner_by_code(Mode::Test, PARTNER).await?;
    store.close().await;
    let partner = partner.context("the filled database has no partner: delete it")?;
    Ok(Database { url: url.to_owned(), key: key(), partner, sims, orders })
}

fn partner(ctx: &Ctx) -> anyhow::Result<Partner> {
    let currency = "EUR".parse()?;
    Ok(Partner {
        mode: Mode::Test,
        id: ctx.id(),
        code: PARTNER.to_owned(),
        name: "Benchmark".to_owned(),
        suspended: false,
        schemes: Partner::default_schemes(Mode::Live),
        ip_allowlist: Vec::new(),
        currency,
        settlement_currency: currency,
        zone: "Asia/Shanghai".parse()?,
        locale: Locale::EnUs,
        response_style: ResponseStyle::AsPublished,
        checks_luhn: false,
        checks_pay_amount: false,
        version: 0,
    })
}

fn plan(number: u32) -> Plan {
    Plan {
        code: format!("PLAN-{number:02}"),
        plan_id: format!("plan_{number:02}"),
        name: LocalizedText::en_zh("Europe 10 GB 30 Days", "欧洲 10GB 30天"),
        description: LocalizedText::en_zh("10 GB, 30 days per period", "10GB，每周期30天"),
        package: Package {
            code: format!("PACK-{number:02}"),
            kind: PackageType::Monthly,
            calendar: false,
            volume: Volume::Bytes(10 << 30),
            area: LocalizedText::en_zh("Europe", "欧洲"),
            countries: ["AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "IT", "NL"]
                .map(str::to_owned)
                .to_vec(),
            carrier: "simulator".to_owned(),
            carrier_product: format!("CP-{number:02}"),
        },
        periods: vec![1, 2, 3, 6, 12],
        renewable: true,
    }
}

async fn fill_sims(store: &Store, ctx: &Ctx, partner: &Partner, sims: u64) -> anyhow::Result<()> {
    let numbers: Vec<u64> = (0..sims).collect();
    for chunk in numbers.chunks(FILL_ROWS) {
        let mut tx = store.begin().await?;
        for number in chunk {
            let sim = Sim {
                id: ctx.id(),
                iccid: iccid(*number).parse()?,
                carrier: "simulator".to_owned(),
                state: SimState::Ready,
            };
            tx.insert_sim(Mode::Test, partner.id, &sim, ctx.now()).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Old orders, each provisioned, with its posting and its plan, which has ended.
async fn fill_orders(
    store: &Store,
    ctx: &Ctx,
    partner: &Partner,
    (sims, orders): (u64, u64),
) -> anyhow::Result<()> {
    let numbers: Vec<u64> = (0..orders).collect();
    for chunk in numbers.chunks(FILL_ROWS) {
        let made = chunk.iter().map(|number| old_order(ctx, partner, *number, sims));
        let made = made.collect::<anyhow::Result<Vec<_>>>()?;
        let rows: Vec<_> = made.iter().map(|(order, payment, ..)| (order, payment)).collect();
        let mut tx = store.begin().await?;
        tx.insert_orders(&rows).await?;
        let owed = Money::new(800, partner.settlement_currency);
        let posting = Posting::sale(Account::PartnerReceivable, owed);
        let postings: Vec<_> = made.iter().map(|(order, ..)| (order, posting)).collect();
        tx.insert_postings(&postings, ctx.now()).await?;
        let plans: Vec<_> =
            made.iter().map(|(order, _, sim, plan)| (sim, order.id, plan)).collect();
        tx.insert_sim_plans(&plans).await?;
        let sum = Money::new(800 * i64::try_from(chunk.len())?, partner.settlement_currency);
        tx.book_credit(Mode::Test, partner.id, sum).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Adds so many paid orders of a carrier that wait for their plans, each for a SIM of its own.
pub(crate) async fn add_waiting(
    database: &Database,
    ctx: &Ctx,
    (carrier, many): (&str, u64),
) -> anyhow::Result<()> {
    let (store, partner) = (open(&database.url).await?, &database.partner);
    let numbers: Vec<u64> = (0..many).collect();
    for chunk in numbers.chunks(FILL_ROWS) {
        let (mut made, mut jobs) = (Vec::new(), Vec::new());
        let mut tx = store.begin().await?;
        let now = ctx.now();
        for number in chunk {
            // Behind the SIMs and the numbers of old orders.
            let sim = WAITING_FROM + number;
            let (mut order, mut payment, ..) = old_order(ctx, partner, sim, u64::MAX)?;
            order.state = OrderState::Paid { paid_at: now };
            order.created_at = now;
            order.queue_no = None;
            order.upstream_id.clear();
            carrier.clone_into(&mut order.carrier);
            payment.state = PaymentState::Succeeded { at: now };
            let sim = Sim {
                id: ctx.id(),
                iccid: order.iccid.clone(),
                carrier: carrier.to_owned(),
                state: SimState::Ready,
            };
            tx.insert_sim(Mode::Test, partner.id, &sim, now).await?;
            jobs.push(NewJob {
                mode: Mode::Test,
                partner_id: partner.id,
                kind: JobKind::Provision,
                subject: order.id.to_string(),
                trace: String::new(),
                run_at: now,
                claimed_at: None,
            });
            made.push((order, payment));
        }
        let rows: Vec<_> = made.iter().map(|(order, payment)| (order, payment)).collect();
        tx.insert_orders(&rows).await?;
        let owed = Money::new(800, partner.settlement_currency);
        let posting = Posting::sale(Account::PartnerReceivable, owed);
        let postings: Vec<_> = made.iter().map(|(order, _)| (order, posting)).collect();
        tx.insert_postings(&postings, now).await?;
        tx.insert_jobs(&jobs, now).await?;
        let sum = Money::new(800 * i64::try_from(chunk.len())?, partner.settlement_currency);
        tx.book_credit(Mode::Test, partner.id, sum).await?;
        tx.commit().await?;
    }
    store.close().await;
    if many > 0 && !database.url.starts_with("sqlite:") {
        PgConnection::connect(&database.url).await?.execute("ANALYZE").await?;
    }
    Ok(())
}

type Made = (Order, Payment, store::SimKey, QueuedPlan);

fn old_order(ctx: &Ctx, partner: &Partner, number: u64, sims: u64) -> anyhow::Result<Made> {
    let made_at = ctx.now() - Span::days(300);
    let length = PlanLength { unit: PackageType::Monthly, periods: 1, calendar: false };
    let iccid: Iccid = iccid(number % sims).parse()?;
    let queue_no = i64::try_from(number / sims + 1)?;
    let order = Order {
        mode: Mode::Test,
        partner_id: partner.id,
        id: ctx.id(),
        order_no: old_order_no(number),
        pay_id: format!("OLDP{number:016}"),
        request_order_id: String::new(),
        org_order_id: String::new(),
        source: OrderSource::Reported,
        iccid: iccid.clone(),
        plan_code: PLAN.to_owned(),
        show_name: "Europe 10 GB 30 Days".to_owned(),
        package_code: PACKAGE.to_owned(),
        carrier: "simulator".to_owned(),
        carrier_product: "CP-00".to_owned(),
        length,
        settlement: Some(Money::new(800, partner.settlement_currency)),
        auto_renewal: false,
        content_hash: vec![0; 32],
        state: OrderState::Provisioned { paid_at: made_at, provisioned_at: made_at },
        version: 2,
        queue_no: Some(queue_no),
        upstream_id: format!("SIM-OLD-{number}"),
        created_at: made_at,
        trade_type: "SynOrderInfo".to_owned(),
        mark: "0".to_owned(),
        terminal: "1".to_owned(),
    };
    let payment = Payment {
        id: ctx.id(),
        order_id: order.id,
        channel: Channel::ThirdParty,
        amount: Money::new(1_000, partner.currency),
        state: PaymentState::Succeeded { at: made_at },
        version: 0,
        report: Report { transaction_id: format!("ch_old{number:020}"), ..Report::default() },
    };
    let expires_at = made_at + Span::days(30);
    let state = SimPlanState::Finished { effective_at: made_at, expires_at };
    let plan = QueuedPlan { queue_no, added_at: made_at, length, counted_from: None, state };
    Ok((order, payment, (Mode::Test, partner.id, iccid), plan))
}

/// Learns how many rows there are, and sweeps up behind a filling. PostgreSQL would do both by itself within a minute, in the
/// middle of a run.
pub(crate) async fn tidy(url: &str) -> anyhow::Result<()> {
    if !url.starts_with("sqlite:") {
        PgConnection::connect(url).await?.execute("VACUUM ANALYZE").await?;
    }
    Ok(())
}
