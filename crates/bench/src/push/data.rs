//! Events that are due, written past the mall: as an order's would be, in size and in rows.

use domain::id::{EndpointId, EventId};
use domain::push::{EndpointKind, EndpointState};
use domain::{Ctx, Mode, Timestamp};
use store::{EndpointHealth, PushEndpoint, PushEvent, PushKey, Sealer, Store};
use wire::push::{Event, EventType};
use wire::topup::Order;

use super::receivers::HOOK;
use crate::data::{Database, PACKAGE, PARTNER, PLAN, SEALING_KEY, iccid, open, tidy};
use crate::floor::Pool;

/// How many rows a filling transaction writes.
const FILL_ROWS: usize = 2_000;
/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9/";
/// What lets a mall try to push there.
pub(crate) const ALLOW_NOWHERE: &str = "--push-allow=127.0.0.0/8,:9";

/// What is due.
pub(super) struct Due {
    /// Where to, and what.
    pub(super) bodies: Vec<(String, String)>,
}

/// A database that is only looked at.
pub(super) struct Looks(Pool);

impl Looks {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self(Pool::readers(url, 1).await?))
    }

    /// Whether anything waits. By the index of what waits, so that looking costs the mall nothing.
    pub(super) async fn waits(&self) -> anyhow::Result<bool> {
        let sql = "SELECT state FROM push_deliveries WHERE state = 'waiting'
            ORDER BY mode, partner_id, endpoint_id, due_at, event_id LIMIT 1";
        Ok(!self.0.get().await?.fetch(sql, Vec::new(), 1).await?.is_empty())
    }

    /// When the first try was made, and how many microseconds each took.
    pub(super) async fn tries(self) -> anyhow::Result<(Timestamp, Vec<u32>)> {
        let sql = "SELECT CAST(tried_at AS TEXT), CAST(latency_micros AS TEXT) FROM push_deliveries
            WHERE status = 200";
        let rows = self.0.get().await?.fetch(sql, Vec::new(), 2).await?;
        let (mut first, mut micros) = (i64::MAX, Vec::with_capacity(rows.len()));
        for row in rows {
            let [at, took] = row.as_slice() else { continue };
            first = first.min(at.parse()?);
            micros.push(took.parse()?);
        }
        self.0.close().await;
        Ok((Timestamp::from_micros(first), micros))
    }

    /// How many microseconds each push that was taken needed, from its event's row to the answer.
    pub(super) async fn told(&self) -> anyhow::Result<Vec<u32>> {
        let sql = "SELECT CAST(a.tried_at + a.latency_micros - e.recorded_at AS TEXT)
            FROM push_deliveries a JOIN push_events e ON e.mode = a.mode
            AND e.partner_id = a.partner_id AND e.event_id = a.event_id WHERE a.status = 200";
        let rows = self.0.get().await?.fetch(sql, Vec::new(), 1).await?;
        rows.iter().flatten().map(|text| Ok(text.parse()?)).collect()
    }

    /// How many tries got no answer in time.
    pub(super) async fn hung(&self) -> anyhow::Result<usize> {
        let sql = "SELECT event_id FROM push_deliveries WHERE failure = 'time'";
        Ok(self.0.get().await?.fetch(sql, Vec::new(), 1).await?.len())
    }
}

async fn add_endpoint(
    (store, ctx): (&Store, &Ctx),
    database: &Database,
    url: &str,
) -> anyhow::Result<EndpointId> {
    let endpoint = PushEndpoint {
        mode: Mode::Test,
        partner_id: database.partner.id,
        id: ctx.id(),
        kind: EndpointKind::Url,
        url: url.to_owned(),
        description: String::new(),
        events: Vec::new(),
        state: EndpointState::On,
        off_reason: String::new(),
        version: 0,
        created_at: ctx.now(),
        health: EndpointHealth::default(),
    };
    let (mode, partner, id) = endpoint.key();
    let row = PushKey::seal_row(mode, partner, id, "k1");
    let sealed = Sealer::new(&SEALING_KEY).seal(ctx.random(), &row, &"c".repeat(64))?;
    let mut tx = store.begin().await?;
    tx.insert_push_endpoint(&endpoint).await?;
    tx.insert_push_key(&endpoint, ("k1", sealed), ctx.now()).await?;
    tx.commit().await?;
    Ok(id)
}

/// What the event of an order is.
fn event(ctx: &Ctx, database: &Database, number: u64) -> anyhow::Result<PushEvent> {
    let (now, id, order): (Timestamp, EventId, domain::id::OrderId) =
        (ctx.now(), ctx.id(), ctx.id());
    let order = Order {
        order_id: order.to_string(),
        purchase_order_id: format!("PUSH{number:016}"),
        request_order_id: String::new(),
        sim_id: iccid(number),
        service_plan_code: PLAN.to_owned(),
        service_plan_show_name: "Europe 10 GB 30 Days".to_owned(),
        package_code: PACKAGE.to_owned(),
        package_type: "2".to_owned(),
        order_period: 1,
        status: "PROVISIONED".to_owned(),
        auto_renewal: "0".to_owned(),
        pay_id: format!("PPUSH{number:016}"),
        pay_amount: "10.00".to_owned(),
        pay_currency: "EUR".to_owned(),
        pay_result: "success".to_owned(),
        pay_channel: "third_party".to_owned(),
        transaction_id: format!("ch_push{number:020}"),
        settle_price: "8.00".to_owned(),
        created_at: now.as_millis(),
        paid_at: Some(now.as_millis()),
        provisioned_at: Some(now.as_millis()),
        effective_at: Some(now.as_millis()),
        expire_at: Some(now.as_millis()),
        failure: None,
    };
    let (subject, kind) = (order.order_id.clone(), EventType::RechargeSuccess);
    let body = Event::new((&id.to_string(), kind), now, (Mode::Test, PARTNER), order).body()?;
    Ok(PushEvent {
        mode: Mode::Test,
        partner_id: database.partner.id,
        id,
        event_type: kind.as_str().to_owned(),
        subject,
        sequence: 1,
        occurred_at: now,
        recorded_at: now,
        body,
    })
}

/// Writes events that are due at endpoints in turn.
async fn fill(
    (store, ctx): (&Store, &Ctx),
    database: &Database,
    (endpoints, many): (&[EndpointId], u64),
    mut then: impl FnMut(usize, &PushEvent),
) -> anyhow::Result<()> {
    let numbers: Vec<u64> = (0..many).collect();
    for chunk in numbers.chunks(FILL_ROWS) {
        let events = chunk.iter().map(|number| event(ctx, database, *number));
        let events = events.collect::<anyhow::Result<Vec<_>>>()?;
        let mut due = Vec::with_capacity(events.len());
        for (place, event) in events.iter().enumerate() {
            let place = place % endpoints.len();
            due.push((endpoints[place], event));
            then(place, event);
        }
        let mut tx = store.begin().await?;
        tx.insert_push_events(&events).await?;
        tx.insert_push_deliveries(&due, ctx.now()).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Adds an endpoint at each URL.
pub(super) async fn add_endpoints(
    ctx: &Ctx,
    database: &Database,
    urls: &[String],
) -> anyhow::Result<Vec<EndpointId>> {
    let store = open(&database.url).await?;
    let mut endpoints = Vec::new();
    for url in urls {
        endpoints.push(add_endpoint((&store, ctx), database, url).await?);
    }
    store.close().await;
    Ok(endpoints)
}

/// Adds an endpoint at each port, and so many events that are due at one of them.
pub(super) async fn fill_due(
    ctx: &Ctx,
    database: &Database,
    ports: &[u16],
    many: u32,
) -> anyhow::Result<Due> {
    let urls: Vec<String> =
        ports.iter().map(|port| format!("http://127.0.0.1:{port}{HOOK}")).collect();
    let endpoints = add_endpoints(ctx, database, &urls).await?;
    let store = open(&database.url).await?;
    let mut bodies = Vec::new();
    fill((&store, ctx), database, (&endpoints, many.into()), |place, event| {
        bodies.push((urls[place].clone(), event.body.clone()));
    })
    .await?;
    store.close().await;
    tidy(&database.url).await?;
    Ok(Due { bodies })
}

/// Adds an endpoint that does not answer, and so many events that wait for it.
pub(crate) async fn fill_waiting(ctx: &Ctx, database: &Database, many: u64) -> anyhow::Result<()> {
    let store = open(&database.url).await?;
    let endpoint = add_endpoint((&store, ctx), database, NOWHERE).await?;
    fill((&store, ctx), database, (&[endpoint], many), |_, _| ()).await?;
    store.close().await;
    tidy(&database.url).await
}
