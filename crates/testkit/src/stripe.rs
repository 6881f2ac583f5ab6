//! Stripe as it is played, on a port of its own, with the test's clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use cashiers::stripe::{Settings, Stripe};
use domain::{Ctx, Mode};
use mall::{Cashier, Cashiers};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use stripe_double::{CONTROL, Double, Journal};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::HandClock;
use crate::mall::http_client;

/// The secret that its events are signed with.
const WEBHOOK_SECRET: &str = "whsec_test";

/// Stripe as it is played.
#[derive(Debug)]
pub struct PlayedStripe {
    double: Arc<Double>,
    url: String,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

fn ctx(clock: &Arc<HandClock>) -> Ctx {
    let clock: Arc<HandClock> = Arc::clone(clock);
    Ctx::new(clock, StdRng::seed_from_u64(1))
}

impl PlayedStripe {
    pub(crate) async fn start(clock: &Arc<HandClock>) -> Self {
        let double = Arc::new(Double::new(1, WEBHOOK_SECRET));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = server::serve_stripe_double(listener, Arc::clone(&double), ctx(clock));
        let tasks = Mutex::new(vec![tokio::spawn(serving)]);
        Self { double, url, tasks }
    }

    /// Tells a mall of its events from now on.
    pub(crate) fn tell(&self, mall: SocketAddr, clock: &Arc<HandClock>) {
        let target = format!("http://{mall}/stripe/webhook/test").parse().unwrap();
        let telling = server::send_stripe_events(Arc::clone(&self.double), target, ctx(clock));
        self.tasks.lock().unwrap().push(tokio::spawn(telling));
    }

    /// The account of the test mode's money.
    pub(crate) fn cashiers(&self) -> Cashiers {
        let settings = Settings::new(Mode::Test, "sk_test_key", "pk_test_key");
        let settings = Settings { base_url: self.url.clone(), ..settings };
        let stripe = Stripe::new(&settings).unwrap();
        let webhook_secrets = vec![WEBHOOK_SECRET.to_owned()];
        let cashier = Arc::new(Cashier { stripe, webhook_secrets });
        Cashiers { modes: [(Mode::Test, cashier)].into(), ..Cashiers::default() }
    }

    /// A control of it; gives status and answer.
    pub async fn control(&self, call: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{CONTROL}{call}", self.url);
        let answer = http_client().post(url).body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// Plays the end user, who pays with a card; gives the payment's status then.
    pub async fn pay(&self, intent: &str, card: &str) -> String {
        let (_, paid) = self.control(&format!("pay/{intent}"), json!({"card": card})).await;
        let intent = if paid["error"].is_null() { &paid } else { &paid["error"]["payment_intent"] };
        intent["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Lets something befall the next calls.
    pub async fn fault(&self, kind: &str, (method, path): (&str, &str), times: u64) {
        let fault = json!({"kind": kind, "method": method, "path": path, "times": times,
            "status": 500, "milliseconds": 100});
        assert_eq!(self.control("faults", fault).await.0, 200);
    }

    /// Nothing befalls calls any more.
    pub async fn no_faults(&self) {
        let url = format!("{}{CONTROL}faults", self.url);
        assert!(http_client().delete(url).send().await.unwrap().status().is_success());
    }

    /// What becomes of its events: lost, or doubled and disordered.
    pub async fn webhooks(&self, drop: bool, disorder: bool) {
        let how = json!({"drop": drop, "duplicate": disorder, "shuffle": disorder});
        assert_eq!(self.control("webhooks", how).await.0, 200);
    }

    /// Waits until all events that are due were taken.
    pub async fn told(&self, now: domain::Timestamp) {
        for _ in 0..2_000 {
            if self.double.due_events(now.as_micros()).is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("events are not taken");
    }

    /// A call of Stripe's own API, as its dashboard would make it; gives status and answer.
    pub async fn call(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let request = http_client().post(format!("{}/v1/{path}", self.url));
        let request = request.header("authorization", "Bearer sk_test_dashboard");
        let form: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.body(form.join("&")).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// How many objects of a kind there are, 100 at most.
    pub async fn count(&self, path: &str) -> usize {
        let request = http_client().get(format!("{}/v1/{path}?limit=100", self.url));
        let request = request.header("authorization", "Bearer sk_test_dashboard");
        let answer = request.send().await.unwrap().text().await.unwrap();
        let list: Value = serde_json::from_str(&answer).unwrap();
        list["data"].as_array().unwrap().len()
    }

    /// What it really did.
    pub fn journal(&self) -> Journal {
        self.double.journal()
    }
}

impl Drop for PlayedStripe {
    fn drop(&mut self) {
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }
}
