//! A running mall.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::TrustedProxies;
use carriers::Behaviour;
use domain::{Clock, Ctx, Mode, Role, Span, Timestamp, Zone};
use mall::admin::Page;
use mall::{Cashiers, Mall, Settings};
use pushes::{Policy, Sender};
use rand::rngs::StdRng;
use sdk::{Client, Credentials, Prefix};
use serde_json::Value;
use server::{Limits, Running, Wiring, system_ctx};
use store::{Sealer, Store};
use upstream::Upstream;
use wire::admin::reconcile::Difference;

use crate::clock::HandClock;
use crate::database::{Database, Engine};
use crate::localstripe::Localstripe;
use crate::network::{Network, Played};
use crate::stripe::PlayedStripe;

/// How a test mall is made.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What the operator set.
    pub settings: Settings,
    /// How the built-in network behaves.
    pub simulator: Behaviour,
    /// Networks over HTTP, beside it.
    pub networks: Vec<Network>,
    /// Whether Stripe is played, and takes the money of both test partners' users.
    pub stripe: bool,
    /// Whether calls to it go over a line on which they go wrong at will, and how long one may take there.
    pub stripe_line: Option<Span>,
    /// Whether localstripe takes it instead. Its times are real, so the mall's clock stands at the real time.
    pub localstripe: bool,
    /// How long a try to push may take.
    pub push_timeout: Span,
    /// Which mode the paths without a prefix mean.
    pub root_mode: Option<Mode>,
    /// What connections may cost.
    pub limits: Limits,
    /// The proxies that are believed.
    pub proxies: TrustedProxies,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            settings: Settings { poll: Span::millis(20), ..Settings::default() },
            simulator: Behaviour::Accept,
            networks: Vec::new(),
            stripe: false,
            stripe_line: None,
            localstripe: false,
            push_timeout: pushes::TIMEOUT,
            root_mode: Some(Mode::Test),
            limits: Limits::default(),
            proxies: TrustedProxies::default(),
        }
    }
}

/// A running mall with the demo's data, a database of its own and a clock moved by hand.
#[derive(Debug)]
pub struct TestMall {
    /// Its database.
    pub database: Database,
    /// Its clock.
    pub clock: Arc<HandClock>,
    /// The HMAC key of the demo's partner `P012345`.
    pub demo_key: String,
    networks: Vec<Played>,
    stripe: Option<PlayedStripe>,
    localstripe: Option<Localstripe>,
    running: Running,
    began: Timestamp,
}

/// The sealing key of all test malls.
pub(crate) const TEST_SEALING_KEY: [u8; 32] = [7; 32];

impl TestMall {
    /// Starts a mall on an engine.
    pub async fn start(engine: Engine) -> Self {
        Self::with(engine, Recipe::default()).await
    }

    /// Starts a mall that is made in some way.
    pub async fn with(engine: Engine, recipe: Recipe) -> Self {
        let database = Database::fresh(engine).await;
        let start = if recipe.localstripe {
            system_ctx().now()
        } else {
            Zone::UTC.parse_date_time("2024-03-10 08:00:00").unwrap()
        };
        let clock = Arc::new(HandClock::at(start));
        let mut networks = Vec::new();
        for network in &recipe.networks {
            networks.push(Played::start(network.clone(), &clock).await);
        }
        let stripe = if recipe.stripe { Some(PlayedStripe::start(&clock).await) } else { None };
        let localstripe = if recipe.localstripe { Some(Localstripe::start().await) } else { None };
        let cashiers = cashiers(&recipe, (stripe.as_ref(), localstripe.as_ref()));
        let running = run(&database, &clock, recipe, (&networks, cashiers)).await;
        if let Some(stripe) = &stripe {
            stripe.tell(running.address);
        }
        let seeded = mall::demo::seed(&running.mall).await.unwrap();
        let demo_key = seeded.key.unwrap().text;
        Self { database, clock, demo_key, networks, stripe, localstripe, running, began: start }
    }

    /// Starts another node on the same database and clock.
    pub async fn another_node(&self, recipe: Recipe) -> Running {
        let cashiers = cashiers(&recipe, (self.stripe.as_ref(), self.localstripe.as_ref()));
        run(&self.database, &self.clock, recipe, (&self.networks, cashiers)).await
    }

    /// Waits until Stripe's events were taken and what followed from them is done.
    pub async fn settle_payments(&self) {
        self.stripe().told().await;
        self.settle().await;
    }

    /// Stripe as it is played, to look at what it really did.
    pub fn stripe(&self) -> &PlayedStripe {
        self.stripe.as_ref().unwrap()
    }

    /// Localstripe, where it takes the money.
    pub fn localstripe(&self) -> &Localstripe {
        self.localstripe.as_ref().unwrap()
    }

    /// A network over HTTP, to look at what it really did.
    pub fn network(&self, code: &str) -> &Upstream {
        &self.networks.iter().find(|played| played.network.code == code).unwrap().upstream
    }

    /// Where it listens, as `http://ADDRESS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Where the admin API listens, as `http://ADDRESS`.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.running.admin_address.unwrap())
    }

    /// Makes an operator's token, and gives its text.
    pub async fn add_token(&self, name: &str, role: Role) -> String {
        let ctx = self.mall().ctx();
        let sealer = Sealer::new(&TEST_SEALING_KEY);
        let made = mall::admin::made_offline(self.store(), ctx, &sealer, (name, role, None));
        made.await.unwrap().text.0
    }

    /// The mall itself, to look behind the scenes.
    pub fn mall(&self) -> &Arc<Mall> {
        &self.running.mall
    }

    /// Its database, to look behind the scenes.
    pub fn store(&self) -> &Store {
        self.mall().store()
    }

    /// What its clock says.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A client with the mall's clock.
    pub fn client(&self, prefix: Prefix, credentials: Credentials) -> Client {
        let clock = Arc::clone(&self.clock);
        let client = Client::new(&self.url(), prefix, credentials).unwrap();
        client.with_clock(move || clock.now().as_millis())
    }

    /// Posts a body as it is, and gives status and answer.
    pub async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let request = http_client().post(format!("{}{path}", self.url())).body(body.to_owned());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// Moves the clock, and waits until all jobs that fell due are done.
    pub async fn advance(&self, span: Span) {
        self.clock.advance(span);
        self.settle().await;
    }

    /// Waits until no job is due or runs.
    pub async fn settle(&self) {
        let mut calm = 0;
        for _ in 0..20_000 {
            calm = if self.mall().is_idle().await.unwrap() { calm + 1 } else { 0 };
            // A job that ended between two looks may have written another.
            if calm == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let due = self.store().next_job_at().await;
        panic!("jobs are still due after 200 seconds: {due:?}, it is {:?}", self.now());
    }

    /// Waits until nothing is pushed and nothing is due that could be.
    pub async fn settle_pushes(&self) {
        let mut calm = 0;
        for _ in 0..20_000 {
            calm = if self.mall().is_push_idle().await.unwrap() { calm + 1 } else { 0 };
            if calm == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("pushes are still due after 200 seconds, it is {:?}", self.now());
    }

    /// Moves the clock, and waits until what fell due is done and told.
    pub async fn advance_and_tell(&self, span: Span) {
        self.advance(span).await;
        self.settle_pushes().await;
    }

    /// Stops it, after a look whether its books are as they must be: whatever was done, they agree with
    /// themselves, and with Stripe where it is played, by us or by others.
    pub async fn stop(self) {
        assert_eq!(self.store().read().await.unwrap().ledger_faults().await.unwrap(), []);
        if self.stripe.is_some() || self.localstripe.is_some() {
            let differences = self.differences().await;
            let known = |one: &&Difference| one.state.as_deref() == Some("REVIEW");
            let unknown: Vec<&Difference> = differences.iter().filter(|one| !known(one)).collect();
            assert!(unknown.is_empty(), "{unknown:#?}");
        }
        self.running.stop().await;
    }

    /// Stops a mall whose books were made to be wrong.
    pub async fn stop_as_it_is(self) {
        self.running.stop().await;
    }

    /// Where Stripe, the books, orders and plans do not say the same, of all days since it began.
    pub async fn differences(&self) -> Vec<Difference> {
        self.differences_seen_by(self.mall()).await
    }

    /// The same, as another node sees them.
    pub async fn differences_seen_by(&self, node: &Mall) -> Vec<Difference> {
        let (mut dates, mut day) = (Vec::new(), self.began);
        while day <= self.mall().now(Mode::Test) + Span::days(1) {
            dates.push(day.rfc3339()[..10].to_owned());
            day = day + Span::days(1);
        }
        self.differences_of_days(node, &dates).await
    }

    /// The same of some days.
    pub async fn differences_of_days(&self, node: &Mall, dates: &[String]) -> Vec<Difference> {
        let mut differences = Vec::new();
        for date in dates {
            let mut cursor: Option<String> = None;
            loop {
                let page = Page::new(Some(3), cursor.as_deref()).unwrap();
                let part = node.reconcile_day(Mode::Test, date, &page).await.unwrap();
                differences.extend(part.differences);
                cursor = part.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
        }
        differences
    }
}

/// An HTTP client for requests that the SDK would not make.
pub fn http_client() -> reqwest::Client {
    // An error means that there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// What sends pushes: to this machine too, whatever the port.
pub(crate) fn sender(timeout: Span) -> Sender {
    let ranges = vec!["127.0.0.0/8".parse().unwrap()];
    let policy = Policy { ranges, ports: (1..=u16::MAX).collect(), ..Policy::default() };
    Sender::new(pushes::Settings { policy, timeout, ..pushes::Settings::default() }).unwrap()
}

/// Who takes a mall's money, if anybody does.
fn cashiers(
    recipe: &Recipe,
    (stripe, localstripe): (Option<&PlayedStripe>, Option<&Localstripe>),
) -> Cashiers {
    match (stripe, localstripe) {
        (Some(stripe), _) => stripe.cashiers(recipe.stripe_line),
        (None, Some(localstripe)) => localstripe.cashiers(),
        (None, None) => Cashiers::default(),
    }
}

async fn run(
    database: &Database,
    clock: &Arc<HandClock>,
    recipe: Recipe,
    (networks, cashiers): (&[Played], Cashiers),
) -> Running {
    let clock: Arc<HandClock> = Arc::clone(clock);
    let ctx = Ctx::new(clock, rand::make_rng::<StdRng>());
    let carriers = networks.iter().map(|played| played.client(&ctx)).collect();
    let wiring = Wiring {
        store: database.open().await,
        ctx,
        carriers,
        cashiers,
        sender: sender(recipe.push_timeout),
        sealer: Sealer::new(&TEST_SEALING_KEY),
        settings: recipe.settings,
        simulator: recipe.simulator,
        root_mode: recipe.root_mode,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        admin_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        limits: recipe.limits,
        proxies: recipe.proxies,
    };
    server::start(wiring).await.unwrap()
}
