//! Pushes: how many are delivered in a second, beside a bare HTTP client that sends the same bytes to the same receiver,
//! signs nothing and writes nothing down.
//!
//! The events are written before the mall starts. They are counted where they arrive, from the first to the last; how
//! long tries took says the log. Mall and floor take turns in one run; the receiver is this process.

mod receiver;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use domain::id::EndpointId;
use domain::push::{EndpointKind, EndpointState};
use domain::{Ctx, Mode};
use serde::Serialize;
use serde_json::{Value, json};
use store::{EndpointHealth, PushEndpoint, PushEvent, PushKey, Sealer};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::push::{Event, EventType, Key};

use crate::Engine;
use crate::child::Mall;
use crate::data::{self, Database, Place, SEALING_KEY};
use crate::floor::Pool;
use crate::load::Done;
use crate::report::{Side, float, machine, ratio};

use receiver::Receiver;

/// How many events are written with a transaction.
const FILL_ROWS: usize = 1_000;
/// How many pushes of an endpoint the relay has on their way at most; so many requests of the floor stand for one.
const WIDTH: usize = 32;
/// When nobody waits any more for the last push.
const GIVE_UP: Duration = Duration::from_mins(5);
/// How long the tries of delivered events took.
const TRIES: &str =
    "SELECT CAST(a.latency_micros AS TEXT) FROM push_deliveries d JOIN push_attempts a
    ON a.mode = d.mode AND a.partner_id = d.partner_id AND a.endpoint_id = d.endpoint_id
    AND a.event_id = d.event_id WHERE d.state = 'delivered'";
/// What the mall must reach of the floor.
const RATIO_MIN: f64 = 0.6;

/// What is tried.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The database engine.
    #[arg(long)]
    engine: Engine,
    /// How many events, each of an order of its own, in each turn.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    events: u32,
    /// Over how many endpoints, each of which is told a part of them.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    endpoints: u32,
    /// In how many turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
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
    events: u32,
    endpoints: u32,
    rounds: u32,
    /// A body in bytes.
    body_bytes: usize,
    /// Deliveries a second, and how long tries took.
    mall: Side,
    /// The same bytes by a bare client.
    floor: Side,
    ratio: f64,
    /// Events that the mall has as delivered, and pushes that came.
    delivered: u64,
    received: u64,
    machine: String,
}

/// Runs it, and fails where an event did not arrive once, or the mall is too slow.
pub(crate) async fn run(ctx: &Ctx, push: &Push) -> anyhow::Result<()> {
    let place = Place::new(push.engine, &push.directory).await?;
    let filled = place.filled(ctx, (1_000, 1_000)).await?;
    let receiver = Receiver::start()?;
    let (mut mall, mut floor) =
        ((Done::default(), Duration::ZERO), (Done::default(), Duration::ZERO));
    let (mut delivered, mut received, mut body) = (0, 0, String::new());
    for _ in 0..push.rounds {
        let database = place.copy(&filled, "mall").await?;
        let keys = endpoints(ctx, &database, &receiver, push.endpoints).await?;
        body = events(ctx, &database, &keys, push.events).await?;
        let before = receiver.count();
        let took = relay(ctx, &database, &receiver, push.events).await?;
        let tries = tries(&database).await?;
        received += receiver.count() - before;
        delivered += u64::try_from(tries.len())?;
        mall.0.micros.extend(tries);
        mall.1 += took;
        let (micros, took) = bare(&receiver, &body, push).await?;
        floor.0.micros.extend(micros);
        floor.1 += took;
    }
    let none = (0, Duration::ZERO);
    let mall = Side::new("the mall", mall.0, mall.1, none);
    let floor = Side::new("floor: bare client", floor.0, floor.1, none);
    let report = Report {
        what: "push".to_owned(),
        engine: format!("{:?}", push.engine).to_lowercase(),
        events: push.events,
        endpoints: push.endpoints,
        rounds: push.rounds,
        body_bytes: body.len(),
        ratio: ratio(mall.per_second, floor.per_second),
        mall,
        floor,
        delivered,
        received,
        machine: machine(),
    };
    if push.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    let expected = u64::from(push.events) * u64::from(push.rounds);
    ensure!(
        report.delivered == expected,
        "{} of {expected} events are delivered",
        report.delivered
    );
    ensure!(report.received == expected, "{} pushes came for {expected} events", report.received);
    ensure!(report.ratio >= RATIO_MIN, "{:.2} of the floor, less than {RATIO_MIN}", report.ratio);
    Ok(())
}

/// Lets a mall deliver what waits; gives the time from the first arrival to the last.
async fn relay(
    ctx: &Ctx,
    database: &Database,
    receiver: &Receiver,
    events: u32,
) -> anyhow::Result<Duration> {
    let wanted = receiver.count() + u64::from(events);
    receiver.watch();
    let port = receiver.port();
    let allow = format!("--push-allow=127.0.0.0/8,:{port}");
    let mall = Mall::start_with(ctx, database, &[allow]).await?;
    let began = Instant::now();
    while receiver.count() < wanted {
        ensure!(began.elapsed() < GIVE_UP, "pushes are still missing after {GIVE_UP:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = receiver.watched();
    // The last outcomes are written.
    mall.stop().await?;
    Ok(took)
}

/// The same bytes by as many requests at once.
async fn bare(
    receiver: &Receiver,
    body: &str,
    push: &Push,
) -> anyhow::Result<(Vec<u32>, Duration)> {
    let client = testkit::http_client();
    let url = receiver.url(0);
    let events = usize::try_from(push.events)?;
    let next = Arc::new(AtomicUsize::new(0));
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..WIDTH * usize::try_from(push.endpoints)? {
        let (client, url, body) = (client.clone(), url.clone(), body.to_owned());
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut micros = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < events {
                let sent = Instant::now();
                let request = client.post(&url).header("content-type", "application/json");
                let answer = request.body(body.clone()).send().await?;
                ensure!(answer.status().is_success(), "the receiver answers {}", answer.status());
                answer.bytes().await?;
                micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Ok(micros)
        });
    }
    let mut micros = Vec::with_capacity(events);
    while let Some(done) = tasks.join_next().await {
        micros.extend(done??);
    }
    Ok((micros, began.elapsed()))
}

/// Adds endpoints with a key each.
pub(crate) async fn add_endpoint(
    ctx: &Ctx,
    database: &Database,
    (url, state): (&str, EndpointState),
) -> anyhow::Result<EndpointId> {
    let store = data::open(&database.url).await?;
    let row = PushEndpoint {
        mode: Mode::Test,
        partner_id: database.partner.id,
        id: ctx.id(),
        kind: EndpointKind::Url,
        url: url.to_owned(),
        description: String::new(),
        events: Vec::new(),
        state,
        off_reason: String::new(),
        version: 0,
        created_at: ctx.now(),
        health: EndpointHealth::default(),
    };
    let key = Key::new("k1", &ctx.random::<32>())?;
    let (mode, partner, id) = row.key();
    let sealed_for = PushKey::seal_row(mode, partner, id, "k1");
    let sealed = Sealer::new(&SEALING_KEY).seal(ctx.random(), &sealed_for, &key.hex())?;
    let mut tx = store.begin().await?;
    tx.insert_push_endpoint(&row).await?;
    tx.insert_push_key(&row, ("k1", sealed), ctx.now()).await?;
    tx.commit().await?;
    store.close().await;
    Ok(id)
}

async fn endpoints(
    ctx: &Ctx,
    database: &Database,
    receiver: &Receiver,
    many: u32,
) -> anyhow::Result<Vec<EndpointId>> {
    let mut ids = Vec::new();
    for number in 0..many {
        ids.push(add_endpoint(ctx, database, (&receiver.url(number), EndpointState::On)).await?);
    }
    Ok(ids)
}

/// Writes events, each for one of the endpoints in turn; gives the last one's body.
pub(crate) async fn events(
    ctx: &Ctx,
    database: &Database,
    endpoints: &[EndpointId],
    many: u32,
) -> anyhow::Result<String> {
    let store = data::open(&database.url).await?;
    let (partner, mut body, mut left) = (&database.partner, String::new(), many);
    while left > 0 {
        let (now, mut rows) = (ctx.now(), Vec::new());
        for number in 0..u32::try_from(FILL_ROWS)?.min(left) {
            let id: domain::id::EventId = ctx.id();
            let (text, order) = (id.to_string(), ctx.id::<domain::id::kind::Order>().to_string());
            let data = order_data(&order, left - number);
            let kind = (text.as_str(), EventType::RechargeSuccess);
            body = Event::new(kind, now, (Mode::Test, &partner.code), data).body()?;
            rows.push(PushEvent {
                mode: Mode::Test,
                partner_id: partner.id,
                id,
                event_type: EventType::RechargeSuccess.as_str().to_owned(),
                subject: order,
                sequence: 1,
                occurred_at: now,
                recorded_at: now,
                body: body.clone(),
            });
        }
        left -= u32::try_from(rows.len())?;
        let told = rows.iter().zip(endpoints.iter().cycle());
        let told: Vec<(EndpointId, &PushEvent)> = told.map(|(event, id)| (*id, event)).collect();
        let mut tx = store.begin().await?;
        tx.insert_push_events(&rows).await?;
        tx.insert_push_deliveries(&told, now).await?;
        tx.commit().await?;
    }
    store.close().await;
    data::analyze(&database.url).await?;
    Ok(body)
}

/// An order as partners are shown it.
fn order_data(id: &str, number: u32) -> Value {
    json!({
        "order_id": id, "purchase_order_id": format!("NO{number:016}"), "request_order_id": "",
        "sim_id": data::iccid(u64::from(number)), "service_plan_code": data::PLAN,
        "service_plan_show_name": "Europe 10 GB, 30 days", "package_code": data::PACKAGE,
        "package_type": "2", "order_period": "1", "status": "PROVISIONED", "auto_renewal": "0",
        "pay_id": format!("P{number:016}"), "pay_amount": "10.00", "pay_currency": "EUR",
        "pay_result": "success", "pay_channel": "reported",
        "transaction_id": format!("ch_{number:024}"), "settle_price": "8.00",
        "created_at": 1_700_000_000_000_i64, "paid_at": 1_700_000_000_000_i64,
        "provisioned_at": 1_700_000_000_050_i64, "effective_at": 1_700_000_000_050_i64,
        "expire_at": 1_702_592_000_050_i64, "failure": null,
    })
}

/// How long the tries took by the log, of events that are delivered.
async fn tries(database: &Database) -> anyhow::Result<Vec<u32>> {
    let pool = Pool::readers(&database.url, 1).await?;
    let rows = pool.get().await?.fetch(TRIES, Vec::new(), 1).await?;
    pool.close().await;
    let micros = rows.iter().filter_map(|row| row.first());
    micros.map(|text| Ok(text.parse()?)).collect()
}

impl Report {
    fn table(&self) -> String {
        let mut text = format!(
            "push on {}, {} events of {} bytes over {} endpoints, {} turns\n{}\n\n",
            self.engine, self.events, self.body_bytes, self.endpoints, self.rounds, self.machine
        );
        // A string takes whatever is written to it.
        let _ = writeln!(text, "{:<22} {:>8} {:>9} {:>9}", "", "per s", "p50 ms", "p99 ms");
        for Side { name, per_second, p50_ms, p99_ms, .. } in [&self.mall, &self.floor] {
            let _ = writeln!(text, "{name:<22} {per_second:>8.0} {p50_ms:>9.2} {p99_ms:>9.2}");
        }
        let _ = writeln!(text, "\nmall / floor      {:.2}", self.ratio);
        let once = float(self.received) / float(self.delivered.max(1));
        let _ = writeln!(text, "delivered         {}, {once:.3} pushes each", self.delivered);
        text
    }
}
