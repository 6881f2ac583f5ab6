//! Upstream networks over HTTP, each on a port of its own, with the test's clock.

use std::net::Ipv4Addr;
use std::sync::Arc;

use carriers::{
    Carrier, CubeSettings, CubeV4, Endpoint, EsimAccess, EsimAccessSettings, EsimGo,
    EsimGoSettings, Limits, Plain, PlainSettings, Secret, Served,
};
use domain::{Ctx, Mode, Span};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use upstream::{Faults, Protocol, Upstream};

use crate::clock::HandClock;

/// Cube's published examples, with the throw-away key that signs them.
const CUBE_VECTORS: &str = include_str!("../../carriers/tests/cube_v4.json");

/// A network over HTTP.
#[derive(Debug, Clone)]
pub struct Network {
    /// The carrier's code.
    pub code: &'static str,
    /// What it speaks.
    pub protocol: Protocol,
    /// What goes wrong there.
    pub faults: Faults,
    /// Makes it repeatable.
    pub seed: u64,
    /// How long a call may take.
    pub call_max: Span,
    /// The modes whose orders go there.
    pub modes: Vec<Mode>,
}

/// A network that runs.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) network: Network,
    pub(crate) upstream: Arc<Upstream>,
    base: String,
    serving: JoinHandle<()>,
}

impl Network {
    /// A network in which nothing goes wrong.
    pub fn new(code: &'static str, protocol: Protocol) -> Self {
        let faults = Faults::preset("none").unwrap();
        let (call_max, modes) = (Span::seconds(5), Mode::ALL.to_vec());
        Self { code, protocol, faults, seed: 1, call_max, modes }
    }
}

impl Played {
    pub(crate) async fn start(network: Network, clock: &Arc<HandClock>) -> Self {
        let clock: Arc<HandClock> = Arc::clone(clock);
        let ctx = Ctx::new(clock, StdRng::seed_from_u64(network.seed));
        let upstream = Upstream::new(network.protocol, network.faults.clone(), network.seed, ctx);
        let upstream = Arc::new(upstream);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base =
            format!("http://{}{}", listener.local_addr().unwrap(), network.protocol.prefix());
        let serving = tokio::spawn(server::serve_upstream(listener, Arc::clone(&upstream)));
        Self { network, upstream, base, serving }
    }

    /// A client of it.
    pub(crate) fn client(&self, ctx: &Ctx) -> (String, Served) {
        let limits = Limits {
            starts_per_second: 1_000_000,
            in_flight: 64,
            calls_per_day: None,
            wait_max: Span::seconds(3),
        };
        let endpoint =
            Endpoint { base: self.base.clone(), call_max: self.network.call_max, limits };
        let (ctx, key) = (ctx.clone(), || Secret::new("test-key"));
        let carrier: Arc<dyn Carrier> = match self.network.protocol {
            Protocol::CubeV4 => {
                let vectors: Value = serde_json::from_str(CUBE_VECTORS).unwrap();
                let key = Secret::new(vectors["private_key_pkcs8_pem"].as_str().unwrap());
                let settings = CubeSettings::new("test-key-id", key);
                Arc::new(CubeV4::new(ctx, CubeSettings { endpoint, ..settings }).unwrap())
            }
            Protocol::EsimAccess => {
                let settings = EsimAccessSettings::new(key(), None);
                Arc::new(EsimAccess::new(ctx, EsimAccessSettings { endpoint, ..settings }).unwrap())
            }
            Protocol::Plain => {
                let settings = PlainSettings::new(key());
                Arc::new(Plain::new(ctx, PlainSettings { endpoint, ..settings }).unwrap())
            }
            Protocol::EsimGo => {
                let settings = EsimGoSettings::new(key());
                Arc::new(EsimGo::new(ctx, EsimGoSettings { endpoint, ..settings }).unwrap())
            }
        };
        (self.network.code.to_owned(), Served { carrier, modes: self.network.modes.clone() })
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
