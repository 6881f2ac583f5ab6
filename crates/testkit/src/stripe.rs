//! Stripe as it is played, on a port of its own, with the test's clock.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cashiers::stripe::{Settings, Stripe};
use domain::{Ctx, Mode, Span};
use mall::{Cashier, Cashiers};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use server::StripeDouble;
use stripe_double::Config;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::HandClock;
use crate::mall::http_client;
use crate::wire_proxy::WireProxy;

/// The secret that its events are signed with.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_test";

/// What it really did, by the payment that it was done to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// How much was taken, in Stripe's units.
    pub charged: BTreeMap<String, i64>,
    /// How much went back.
    pub refunded: BTreeMap<String, i64>,
}

/// Stripe as it is played.
#[derive(Debug)]
pub struct PlayedStripe {
    double: Arc<StripeDouble>,
    url: String,
    playing: JoinHandle<()>,
    line: WireProxy,
}

impl PlayedStripe {
    pub(crate) async fn start(clock: &Arc<HandClock>) -> Self {
        let clock: Arc<HandClock> = Arc::clone(clock);
        let ctx = Ctx::new(clock, StdRng::seed_from_u64(1));
        let webhook_secret = WEBHOOK_SECRET.to_owned();
        let config = Config { webhook_secret, seed: 1, ..Config::default() };
        let double = Arc::new(StripeDouble::open(config, ctx, None).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let playing = server::serve_stripe_double(listener, Arc::clone(&double), pending());
        let playing = tokio::spawn(playing);
        let line = WireProxy::start(Some(address)).await;
        Self { double, url, playing, line }
    }

    /// The line to it on which calls go wrong at will, for malls whose recipe puts it in between.
    pub fn line(&self) -> &WireProxy {
        &self.line
    }

    /// Tells a mall of its events from now on.
    pub(crate) fn tell(&self, mall: SocketAddr) {
        self.double.deliver_to(&format!("http://{mall}/stripe/webhook/test"));
    }

    /// The account of the test mode's money, reached over the line if a call may take so long there.
    pub(crate) fn cashiers(&self, line: Option<Span>) -> Cashiers {
        let settings = Settings::new(Mode::Test, "sk_test_key", "pk_test_key");
        let mut settings = Settings { base_url: self.url.clone(), ..settings };
        if let Some(call_max) = line {
            settings.base_url = format!("http://{}", self.line.address());
            settings.timeout = call_max;
        }
        test_cashiers(&settings, true)
    }

    /// A control of it; gives status and answer.
    pub async fn control(&self, call: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/_double/{call}", self.url);
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

    /// Lets something befall the next calls whose path begins so.
    pub async fn fault(&self, kind: &str, (method, path): (&str, &str), times: u64) {
        let (kind, effect) = match kind {
            "status_after" => ("status", true),
            kind => (kind, false),
        };
        let fault = json!({"kind": kind, "method": method, "path": format!("{path}*"), "times": times,
            "status": 500, "effect": effect, "delay_ms": 100});
        assert_eq!(self.control("faults", fault).await.0, 200);
    }

    /// Nothing befalls calls any more.
    pub async fn no_faults(&self) {
        let url = format!("{}/_double/faults", self.url);
        assert!(http_client().delete(url).send().await.unwrap().status().is_success());
    }

    /// What becomes of its events: lost, or doubled and disordered.
    pub async fn webhooks(&self, drop: bool, disorder: bool) {
        let how = json!({"drop": drop, "duplicate": u8::from(disorder), "shuffle": disorder});
        assert_eq!(self.control("webhooks", how).await.0, 200);
    }

    /// Waits until all events that are due were taken.
    pub async fn told(&self) {
        for _ in 0..20_000 {
            if self.double.waiting() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
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

    /// Ends an object of Stripe's, as its dashboard would.
    pub async fn delete(&self, path: &str) {
        let request = http_client().delete(format!("{}/v1/{path}", self.url));
        let request = request.header("authorization", "Bearer sk_test_dashboard");
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// How many objects of a kind there are, 100 at most.
    pub async fn count(&self, path: &str) -> usize {
        let request = http_client().get(format!("{}/v1/{path}?limit=100", self.url));
        let request = request.header("authorization", "Bearer sk_test_dashboard");
        let answer = request.send().await.unwrap().text().await.unwrap();
        let list: Value = serde_json::from_str(&answer).unwrap();
        list["data"].as_array().unwrap().len()
    }

    /// All objects of a kind, the newest first.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        all_at_stripe(&self.url, path).await
    }

    /// What it really did.
    pub fn journal(&self) -> Journal {
        let mut journal = Journal::default();
        for effect in self.double.effects() {
            let intent = effect["payment_intent"].as_str().unwrap().to_owned();
            let amount = effect["amount"].as_i64().unwrap();
            match effect["effect"].as_str().unwrap() {
                "charge" => *journal.charged.entry(intent).or_default() += amount,
                "refund" => *journal.refunded.entry(intent).or_default() += amount,
                "refund_failed" => *journal.refunded.entry(intent).or_default() -= amount,
                _ => {}
            }
        }
        journal
    }
}

impl Drop for PlayedStripe {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

/// An account that takes the test mode's money; it is told of its events under [`WEBHOOK_SECRET`].
pub(crate) fn test_cashiers(settings: &Settings, played: bool) -> Cashiers {
    let stripe = Stripe::new(settings).unwrap();
    let webhook_secrets = vec![WEBHOOK_SECRET.to_owned()];
    let cashier = Arc::new(Cashier { stripe, webhook_secrets, played });
    Cashiers { modes: [(Mode::Test, cashier)].into(), ..Cashiers::default() }
}

/// All objects of a kind, the newest first, at a Stripe that is played anywhere.
pub async fn all_at_stripe(url: &str, path: &str) -> Vec<Value> {
    let join = if path.contains('?') { '&' } else { '?' };
    let (mut all, mut after): (Vec<Value>, String) = (Vec::new(), String::new());
    loop {
        let page = format!("{url}/v1/{path}{join}limit=100{after}");
        let request = http_client().get(page).header("authorization", "Bearer sk_test_dashboard");
        let answer = request.send().await.unwrap().text().await.unwrap();
        let mut page: Value = serde_json::from_str(&answer).unwrap();
        let Value::Array(found) = page["data"].take() else { panic!("{path}: {page}") };
        all.extend(found);
        if page["has_more"] != true {
            return all;
        }
        after = format!("&starting_after={}", all.last().unwrap()["id"].as_str().unwrap());
    }
}
