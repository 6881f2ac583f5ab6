//! A partner's server that is pushed to, and endpoints that lead to it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::id::{EventId, PartnerId};
use domain::push::{DeliveryState, EndpointKind, EndpointState};
use domain::{Clock, Ctx, Mode};
use sdk::push::{Event, EventType, Key, verify};
use serde_json::json;
use store::{
    EndpointHealth, PushAttempt, PushDelivery, PushEndpoint, PushEvent, PushKey, Sealer, Store,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::mall::{TEST_SEALING_KEY, TestMall};
use crate::partner::TestPartner;

/// How often it is looked whether enough came, and the pause between two looks.
const LOOKS_MAX: u32 = 20_000;
const PAUSE: Duration = Duration::from_millis(10);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Where to.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// How a push is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// With a status.
    Status(u16),
    /// With a status, and after how long to come again.
    RetryAfter(u16, &'static str),
    /// Not before [`Receiver::go_on`], and then with a status.
    Hang(u16),
}

type Answerer = Box<dyn Fn(&Received) -> Reply + Send + Sync>;

struct Played {
    received: Mutex<Vec<Received>>,
    answerer: Mutex<Answerer>,
    going_on: Notify,
}

/// A partner's server.
pub struct Receiver {
    played: Arc<Played>,
    port: u16,
    serving: JoinHandle<()>,
}

/// An endpoint that a test added, with the key that verifies its pushes.
#[derive(Debug, Clone)]
pub struct TestEndpoint {
    /// Its row as it was added.
    pub row: PushEndpoint,
    /// Its key.
    pub key: Key,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receiver({})", self.port)
    }
}

impl Received {
    /// The event's id by the header.
    pub fn event_id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    /// The event, not verified.
    pub fn event(&self) -> Event {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The event, verified by the SDK at the mall's time.
    pub fn verify(&self, keys: &[Key], mall: &TestMall) -> Event {
        let millis = u64::try_from(mall.clock.now().as_millis()).unwrap();
        self.verify_at(keys, SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
    }

    /// The event, verified by the SDK at the time at which it was signed, however long ago that is.
    pub fn verify_when_sent(&self, keys: &[Key]) -> Event {
        let millis: u64 = self.headers["x-lf-timestamp"].to_str().unwrap().parse().unwrap();
        self.verify_at(keys, SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
    }

    fn verify_at(&self, keys: &[Key], now: SystemTime) -> Event {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        verify(headers, &self.body, keys, now).unwrap()
    }
}

async fn answer(
    State(played): State<Arc<Played>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let received = Received { path: uri.to_string(), headers, body: body.to_vec() };
    let reply = (played.answerer.lock().unwrap())(&received);
    let going_on = played.going_on.notified();
    played.received.lock().unwrap().push(received);
    let status = |status: u16| StatusCode::from_u16(status).unwrap();
    match reply {
        Reply::Status(code) => (status(code), "seen").into_response(),
        Reply::RetryAfter(code, after) => {
            (status(code), [("retry-after", after)], "later").into_response()
        }
        Reply::Hang(code) => {
            going_on.await;
            (status(code), "at last").into_response()
        }
    }
}

impl Receiver {
    /// A server that takes whatever comes.
    pub async fn start() -> Self {
        let played = Arc::new(Played {
            received: Mutex::default(),
            answerer: Mutex::new(Box::new(|_| Reply::Status(200))),
            going_on: Notify::new(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&played));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { played, port, serving }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How it answers from now on.
    pub fn answers(&self, how: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.played.answerer.lock().unwrap() = Box::new(how);
    }

    /// Lets those be answered that hang.
    pub fn go_on(&self) {
        self.played.going_on.notify_waiters();
    }

    /// What came so far, in the order in which it came.
    pub fn received(&self) -> Vec<Received> {
        self.played.received.lock().unwrap().clone()
    }

    /// How much came so far.
    pub fn count(&self) -> usize {
        self.played.received.lock().unwrap().len()
    }

    /// What came to a path.
    pub fn received_at(&self, path: &str) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|one| one.path == path);
        received
    }

    /// The events that came, each time that they came: type and subject's order.
    pub fn events(&self) -> Vec<Event> {
        self.received().iter().map(Received::event).collect()
    }

    /// The types of the events that came.
    pub fn types(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.event_type).collect()
    }

    /// Waits until so many came, and gives all that came.
    pub async fn wait_for(&self, many: usize) -> Vec<Received> {
        self.wait_until(many).await;
        self.received()
    }

    /// Waits until so many came.
    pub async fn wait_until(&self, many: usize) {
        for _ in 0..LOOKS_MAX {
            if self.count() >= many {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{} of {many} pushes came", self.count());
    }

    /// Stops it: when it is done nobody listens at its port, and no connection to it is left that could be used again.
    pub async fn stop(mut self) {
        self.serving.abort();
        // It ends as cancelled, and with it goes its listener.
        let _ = (&mut self.serving).await;
        // Each connection has a share, and is asked to end as nobody listens any more.
        for _ in 0..LOOKS_MAX {
            if Arc::strong_count(&self.played) == 1 {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("connections to a receiver that was stopped do not end");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Adds an endpoint of a partner to a database, past its face. `events` are those that it wants; none: all.
pub async fn add_push_endpoint(
    (store, ctx): (&Store, &Ctx),
    (mode, partner_id): (Mode, PartnerId),
    (url, events): (&str, &[&str]),
) -> TestEndpoint {
    let row = PushEndpoint {
        mode,
        partner_id,
        id: ctx.id(),
        kind: EndpointKind::Url,
        url: url.to_owned(),
        description: String::new(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        state: EndpointState::On,
        off_reason: String::new(),
        version: 0,
        created_at: ctx.now(),
        health: EndpointHealth::default(),
    };
    let mut tx = store.begin().await.unwrap();
    tx.insert_push_endpoint(&row).await.unwrap();
    tx.commit().await.unwrap();
    let key = add_push_key((store, ctx), &row, "k1").await;
    TestEndpoint { row, key }
}

/// Adds a key to an endpoint.
pub async fn add_push_key(
    (store, ctx): (&Store, &Ctx),
    endpoint: &PushEndpoint,
    key_id: &str,
) -> Key {
    let key = Key::new(key_id, &ctx.random::<32>()).unwrap();
    let (mode, partner, id) = endpoint.key();
    let row = PushKey::seal_row(mode, partner, id, key_id);
    let sealed = Sealer::new(&TEST_SEALING_KEY).seal(ctx.random(), &row, &key.hex()).unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.insert_push_key(endpoint, (key_id, sealed), ctx.now()).await.unwrap();
    tx.commit().await.unwrap();
    key
}

/// Writes events for endpoints of one partner as if they had happened, so many to each of so many new subjects; gives
/// their ids. Their data says which they are.
pub async fn write_push_events(
    (store, ctx): (&Store, &Ctx),
    endpoints: &[&TestEndpoint],
    (subjects, each): (usize, i64),
) -> Vec<String> {
    let (row, now) = (&endpoints[0].row, ctx.now());
    let names: Vec<String> =
        (0..subjects).map(|_| format!("sub_{}", EventId::to_string(&ctx.id()))).collect();
    let mut events = Vec::new();
    for sequence in 1..=each {
        for subject in &names {
            let id: EventId = ctx.id();
            let event = Event::new(
                (&id.to_string(), EventType::PushSample),
                now,
                (row.mode, "P100"),
                json!({ "subject": subject, "sequence": sequence }),
            );
            events.push(PushEvent {
                mode: row.mode,
                partner_id: row.partner_id,
                id,
                event_type: event.event_type.clone(),
                subject: subject.clone(),
                sequence,
                occurred_at: now,
                recorded_at: now,
                body: event.body().unwrap(),
            });
        }
    }
    let mut tx = store.begin().await.unwrap();
    tx.insert_push_events(&events).await.unwrap();
    let due: Vec<_> = endpoints
        .iter()
        .flat_map(|endpoint| events.iter().map(|event| (endpoint.row.id, event)))
        .collect();
    tx.insert_push_deliveries(&due, now).await.unwrap();
    tx.commit().await.unwrap();
    events.into_iter().map(|event| event.id.to_string()).collect()
}

impl TestMall {
    /// Adds an endpoint of a partner, past its face. `events` are those that it wants; none: all.
    pub async fn add_endpoint(
        &self,
        partner: &TestPartner,
        url: &str,
        events: &[&str],
    ) -> TestEndpoint {
        let whose = (partner.partner.mode, partner.partner.id);
        add_push_endpoint((self.store(), self.mall().ctx()), whose, (url, events)).await
    }

    /// Adds a key to an endpoint.
    pub async fn add_push_key(&self, endpoint: &PushEndpoint, key_id: &str) -> Key {
        add_push_key((self.store(), self.mall().ctx()), endpoint, key_id).await
    }
}

impl TestEndpoint {
    /// Its row as it is now.
    pub async fn now(&self, mall: &TestMall) -> PushEndpoint {
        let (mode, partner, id) = self.row.key();
        let mut tx = mall.store().read().await.unwrap();
        tx.push_endpoint((mode, partner), id).await.unwrap().unwrap()
    }

    /// How many events wait for it.
    pub async fn waiting(&self, mall: &TestMall) -> i64 {
        let mut tx = mall.store().read().await.unwrap();
        tx.waiting_pushes(self.row.key()).await.unwrap()
    }

    /// The ids of the events that wait for it, by its database.
    pub async fn waiting_in(&self, store: &Store) -> BTreeSet<String> {
        let (state, all) = (Some(DeliveryState::Waiting), (None, i64::MAX));
        let mut tx = store.read().await.unwrap();
        let waiting = tx.push_deliveries(self.row.key(), state, all).await.unwrap();
        waiting.into_iter().map(|one| one.event_id.to_string()).collect()
    }

    /// What it was and is to be told, the newest first.
    pub async fn deliveries(&self, mall: &TestMall) -> Vec<PushDelivery> {
        let mut tx = mall.store().read().await.unwrap();
        tx.push_deliveries(self.row.key(), None, (None, i64::MAX)).await.unwrap()
    }

    /// The tries to tell it an event, the last first.
    pub async fn attempts(&self, mall: &TestMall, event: EventId) -> Vec<PushAttempt> {
        let mut tx = mall.store().read().await.unwrap();
        tx.push_attempts(self.row.key(), event, i64::MAX).await.unwrap()
    }
}
