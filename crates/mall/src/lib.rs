//! The use-cases of the mall and its jobs: every business decision lives here.
//!
//! A use-case opens one transaction, does everything through it and commits it; no network call while
//! it is open. What must happen outside is written as a job in that same transaction.

pub mod admin;
mod attempts;
mod auth;
mod batcher;
mod cache;
mod cashier;
mod clocks;
mod delivery;
pub mod demo;
pub mod doctor;
mod error;
pub mod failpoints;
mod figures;
pub mod groups;
mod health;
mod hints;
mod imports;
mod intake;
mod keys;
mod limits;
pub mod metrics;
mod orders;
mod payments;
mod plans;
mod provision;
mod push_endpoints;
mod push_events;
mod push_lane;
mod push_relay;
mod push_rules;
mod push_sample;
mod push_sweep;
mod push_tries;
mod push_writes;
mod queries;
mod reconcile;
mod renewals;
mod reports;
mod request_log;
mod revocations;
mod sighting;
mod sim_answers;
mod sim_looks;
mod sim_queries;
mod sim_words;
mod sims;
pub mod trace;
mod turns;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carriers::{Carrier, Carriers};
use domain::partner::Partner;
use domain::{Ctx, Locale, Mode, Span};
use store::{Engine, Job, Sealer, Store};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::batcher::Batcher;
use crate::cache::Cache;
use crate::delivery::Delivery;
use crate::figures::{LastLook, PoolWaits};
use crate::health::{LastCheck, Pulse};
use crate::intake::Intake;
use crate::limits::Limits;
use crate::push_events::PushBell;
use crate::push_relay::Relay;
use crate::push_sample::Samples;
use crate::push_writes::{PushWrite, Written};
use crate::reconcile::Reconciler;
use crate::request_log::RequestLog;
use crate::sim_looks::LookPlaces;
use crate::worker::Handed;

pub use admin::{Operator, run_sealer};
pub use auth::Credentials;
pub use cache::Known;
pub use cashier::{Cashier, Cashiers, EventRefused};
pub use error::{Diagnosis, Error, Hint, Refusal, Result};
pub use health::Check;
pub use hints::Notified;
pub use imports::ExportPage;
pub use keys::NewKey;
pub use limits::{RateLimit, address_block};
pub use metrics::{Metrics, Route};
pub use push_endpoints::EndpointReason;
pub use push_relay::run_relay;
pub use push_sample::PushSample;
pub use push_sweep::run_push_sweep;
pub use queries::Found;
pub use reconcile::{Reconciled, run_reconciler};
pub use request_log::{Answered, run_request_log};
pub use sighting::Sighting;
pub use sim_looks::run_sim_sweep;
pub use store::SUCCESS;
pub use worker::{run_checkpoints, run_workers};

/// How often a transaction is run again that lost a race.
const ATTEMPTS_MAX: u32 = 12;

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long an order waits for its payment.
    pub payment_window: Span,
    /// How long a price that ended is still accepted.
    pub price_window: Span,
    /// How long after it is due an auto-renewal that the partner is paid for may come before it is missed.
    pub renewal_grace: Span,
    /// How long a worker holds a job, and whoever sends pushes an endpoint.
    pub lease: Span,
    /// How long a call to a carrier in this process may take; the others have limits of their own.
    pub carrier_timeout: Span,
    /// After so long an order that is still not provisioned is given to a person.
    pub provisioning_deadline: Span,
    /// How far `tradeTime` may be from the server's time under `hmac-sha256`.
    pub trade_time_tolerance: Span,
    /// How often workers look for jobs that nobody told them of.
    pub poll: Span,
    /// How many jobs run at once.
    pub workers: usize,
    /// To how many endpoints a node sends at once.
    pub push_lanes: usize,
    /// For how long events and what became of telling them are kept.
    pub push_log: Span,
    /// For how long the partners' requests are logged; `None`: not at all.
    pub request_log: Option<Span>,
    /// How old a carrier's word on a SIM and its plans may be before it is asked again; older where the carrier
    /// allows fewer questions.
    pub sim_age_max: Span,
    /// The same of how much data a SIM used.
    pub usage_age_max: Span,
    /// SIMs with a plan in use are looked at when their carrier was not heard of them for so long; `None`:
    /// only when a carrier says that something happened.
    pub sim_look_age: Option<Span>,
    /// How many of those a node looks at in a minute: carriers allow few questions.
    pub sim_looks_per_minute: u32,
    /// How many requests a partner may make; `None` is no limit.
    pub partner_rate: Option<RateLimit>,
    /// How many calls that do not prove who makes them an address may make; `None` is no limit.
    pub address_rate: Option<RateLimit>,
    /// How many calls with a token that is not valid an address may make to the admin API; `None` is
    /// no limit.
    pub token_rate: Option<RateLimit>,
    /// How many cards that are not theirs a partner or an address may ask for in 10 minutes; 0 is no
    /// limit.
    pub card_misses_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            payment_window: Span::minutes(30),
            price_window: Span::minutes(60),
            renewal_grace: Span::days(1),
            lease: Span::seconds(20),
            carrier_timeout: Span::seconds(8),
            provisioning_deadline: Span::minutes(120),
            trade_time_tolerance: Span::minutes(5),
            poll: Span::millis(500),
            workers: 64,
            push_lanes: 1_024,
            push_log: Span::days(30),
            request_log: Some(Span::days(30)),
            sim_age_max: Span::seconds(60),
            usage_age_max: Span::minutes(20),
            sim_look_age: Some(Span::days(1)),
            sim_looks_per_minute: 1,
            partner_rate: None,
            address_rate: None,
            token_rate: None,
            card_misses_max: 100,
        }
    }
}

/// The mall: its database, its carriers, its clock.
pub struct Mall {
    store: Store,
    ctx: Ctx,
    carriers: Carriers,
    cashiers: Cashiers,
    sealer: Sealer,
    settings: Settings,
    /// Rung when a job was written that is due now.
    bell: Notify,
    /// Rung when an entry of the audit log waits for its place in the chain.
    audit_bell: Notify,
    /// Rung when a carrier answered, or did not, what others wait for too.
    answer_bell: Notify,
    /// How many jobs this process runs or is about to claim.
    jobs_in_hand: AtomicUsize,
    /// Held by the one search for a wrong signature's cause that may run at a time.
    searching: Semaphore,
    /// A place for each job that may run at once; none before the workers run, and none after.
    slots: Arc<Semaphore>,
    /// Places of workers that work on parts of operations on groups.
    part_slots: Arc<Semaphore>,
    /// Whether the last claim left due jobs behind.
    behind: AtomicBool,
    /// Takes jobs that were claimed as they were written to the workers.
    handing: mpsc::UnboundedSender<Handed>,
    /// The workers' end of it, until they run.
    handed: Mutex<Option<mpsc::UnboundedReceiver<Handed>>>,
    /// What this process remembers of partners and the catalogue.
    cache: Cache,
    /// New orders on their way into the database.
    intake: Batcher<Intake, bool>,
    /// Provisioned orders on their way into the database.
    deliveries: Batcher<Delivery, bool>,
    clocks: clocks::Clocks,
    /// Stripe's events on their way into the database.
    events: Batcher<cashier::Told, bool>,
    /// Jobs that are done, on their way out of the database.
    ended: Batcher<Job, bool>,
    /// Forms of signature that this process has noted already.
    noted_forms: Mutex<HashSet<(Mode, String, String)>>,
    metrics: Metrics,
    request_log: RequestLog,
    pulse: Pulse,
    last_check: LastCheck,
    last_look: LastLook,
    reconciler: Reconciler,
    look_places: LookPlaces,
    /// Whose turn it is to write a step of an operation on a group.
    group_turns: groups::Turns,
    /// Sends pushes.
    sender: pushes::Sender,
    /// Rung when something is due for an endpoint.
    push_bell: Arc<PushBell>,
    /// Who sends to which endpoint.
    relay: Relay,
    /// Samples on their way.
    samples: Samples,
    /// What came of pushes, on its way into the database.
    push_writes: Batcher<Arc<PushWrite>, Written>,
    /// How many more orders each carrier outside of this process may be asked for at a time.
    carrier_places: HashMap<String, Semaphore>,
    /// What is remembered of callers, to hold those back that ask too much.
    limits: Limits,
}

/// Who calls, and in which language it is answered.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The partner, authenticated.
    pub partner: Arc<Partner>,
    /// By what it was authenticated.
    pub credentials: Arc<Credentials>,
    /// The language of the answer.
    pub locale: Locale,
    /// The interface's name as sent.
    pub trade_type: String,
    /// Undocumented, as sent.
    pub mark: String,
    /// The end user's terminal, as sent.
    pub terminal: String,
}

impl Mall {
    /// A mall over an open, migrated database.
    pub fn new(
        store: Store,
        ctx: Ctx,
        (carriers, cashiers, sender): (Carriers, Cashiers, pushes::Sender),
        sealer: Sealer,
        settings: Settings,
    ) -> Self {
        #[cfg(feature = "failpoints")]
        failpoints::arm_from_environment();
        let (bell, audit_bell, noted_forms) = (Notify::new(), Notify::new(), Mutex::default());
        let jobs_in_hand = AtomicUsize::new(0);
        let (handing, handed) = mpsc::unbounded_channel();
        let lanes = match store.engine() {
            // It has one writer.
            Engine::Sqlite => 1,
            Engine::Postgres => 2,
        };
        // One that does not answer must not keep all workers waiting.
        let share = (settings.workers / 4).max(1);
        let places = |code: &String| (code.clone(), Semaphore::new(share));
        let carrier_places = carriers.keys().map(places).collect();
        let limits = Limits::new(&settings);
        let metrics = Metrics::new();
        metrics.register(Box::new(PoolWaits(store.clone())));
        Self {
            store,
            ctx,
            carriers,
            cashiers,
            sealer,
            settings,
            bell,
            audit_bell,
            answer_bell: Notify::new(),
            jobs_in_hand,
            searching: Semaphore::new(1),
            slots: Arc::new(Semaphore::new(0)),
            part_slots: Arc::new(Semaphore::new(worker::places_for_parts(settings.workers))),
            behind: AtomicBool::new(false),
            handing,
            handed: Mutex::new(Some(handed)),
            cache: Cache::default(),
            intake: Batcher::new(lanes),
            deliveries: Batcher::new(lanes),
            clocks: clocks::Clocks::default(),
            events: Batcher::new(lanes),
            ended: Batcher::new(lanes),
            noted_forms,
            metrics,
            request_log: RequestLog::default(),
            pulse: Pulse::new(tokio::time::Instant::now()),
            last_check: LastCheck::default(),
            last_look: LastLook::default(),
            reconciler: Reconciler::default(),
            look_places: LookPlaces::default(),
            group_turns: groups::Turns::new(tokio::time::Instant::now()),
            sender,
            push_bell: Arc::default(),
            relay: Relay::default(),
            samples: Samples::default(),
            push_writes: Batcher::new(lanes),
            carrier_places,
            limits,
        }
    }

    /// The database, for whoever sets the mall up.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A carrier that takes orders of a mode.
    pub(crate) fn carrier(&self, mode: Mode, code: &str) -> Option<&Arc<dyn Carrier>> {
        let served = self.carriers.get(code)?;
        served.modes.contains(&mode).then_some(&served.carrier)
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The clock and the random generator.
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// Whether this process has no job in hand and none is due.
    pub async fn is_idle(&self) -> Result<bool> {
        // Before and after: a job that ends in between may have made another one due.
        let is_busy = || self.jobs_in_hand.load(Ordering::SeqCst) != 0;
        if is_busy() {
            return Ok(false);
        }
        let due = self.store.next_job_at().await?;
        Ok(due.is_none_or(|at| at > self.ctx.now()) && !is_busy())
    }

    /// The workers' end of the jobs that are handed to them; there is one.
    fn handed_over(&self) -> Option<mpsc::UnboundedReceiver<Handed>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs a use-case, and runs it again where it lost a race: a serialisation failure, a row that
    /// somebody else changed first, a number that somebody else took first.
    async fn retry<T, R>(&self, run: impl Fn() -> R) -> Result<T>
    where
        R: Future<Output = Result<T>>,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match run().await {
                Err(Error::Store(error)) if attempt < ATTEMPTS_MAX && error.is_lost_race() => {
                    let [jitter] = self.ctx.random::<1>();
                    let pause = u64::from(attempt * attempt) + u64::from(jitter) / 32;
                    tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether a form of signature is new to this process.
    fn form_is_new(&self, partner: &Partner, form: &str) -> bool {
        self.forms().insert((partner.mode, partner.code.clone(), form.to_owned()))
    }

    /// Takes a form of signature for new again.
    fn forget_form(&self, partner: &Partner, form: &str) {
        self.forms().remove(&(partner.mode, partner.code.clone(), form.to_owned()));
    }

    fn forms(&self) -> MutexGuard<'_, HashSet<(Mode, String, String)>> {
        // A set of names is valid after any panic.
        self.noted_forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Mall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mall")
    }
}
