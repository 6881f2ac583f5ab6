//! What the mall counts: requests, orders, jobs, signatures, for whoever reads `/metrics`.
//!
//! One handle per mall and no globals, so that malls in one process do not mix their figures. Counting
//! touches memory only; what must be asked of the database is in `figures.rs`.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::Mode;
use domain::partner::Scheme;
use domain::push::DeliveryState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use store::{JobKind, Question};

use crate::push_tries::Landed;

/// Upper ends of the classes of latency, in seconds.
const LATENCY_SECONDS: [f64; 13] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// What the names of the mall's own figures begin with.
const PREFIX: &str = "simmall";
/// The most routes that are told apart; a route is a template, so that there are some dozens.
const ROUTES_MAX: usize = 500;

/// The template of a route, shared so that a label costs no allocation.
#[derive(Debug, Clone)]
pub struct Route(Arc<str>);

impl Route {
    /// The template.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Route {}

// Written out to go with `PartialEq`: both go by the text.
impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Borrow<str> for Route {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> std::fmt::Result {
        encoder.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Route,
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OnRoute {
    route: Route,
    method: &'static str,
}

/// A mode and a state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct InState {
    mode: &'static str,
    state: &'static str,
}

/// A mode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfMode {
    mode: &'static str,
}

impl OfMode {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode: mode.as_str() }
    }
}

/// A kind of job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfKind {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobEnded {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Signed {
    mode: &'static str,
    scheme: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Caused {
    mode: &'static str,
    cause: &'static str,
}

/// A pool of connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfPool {
    pool: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lost {
    reason: &'static str,
}

/// A question to a carrier about a SIM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    carrier: String,
    question: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCarrier {
    carrier: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hinted {
    carrier: String,
    outcome: &'static str,
}

/// A try to tell an endpoint something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tried {
    mode: &'static str,
    outcome: &'static str,
}

/// How a job's run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobOutcome {
    /// It is done.
    Done,
    /// It runs again, as is usual for it.
    PutOff,
    /// It failed.
    Failed,
}

/// Why an entry of the request log was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotLogged {
    /// Too many were waiting.
    QueueFull,
    /// Nobody proved to be its partner, and there were enough such entries already.
    Unproven,
    /// It named no partner that there is.
    NoPartner,
}

/// Everything the mall counts.
#[derive(Debug)]
pub struct Metrics {
    registry: RwLock<Registry>,
    routes: RwLock<HashSet<Route>>,
    answered: Family<Answered, Counter>,
    seconds: Family<OnRoute, Histogram, fn() -> Histogram>,
    orders: Family<InState, Counter>,
    jobs: Family<JobEnded, Counter>,
    mismatches: Family<Signed, Counter>,
    causes: Family<Caused, Counter>,
    not_logged: Family<Lost, Counter>,
    sim_questions: Family<Asked, Counter>,
    plans_left_alone: Family<OfCarrier, Counter>,
    hints: Family<Hinted, Counter>,
    push_tries: Family<Tried, Counter>,
    push_seconds: Family<OfMode, Histogram, fn() -> Histogram>,
    pub(crate) push_given_up: Family<OfMode, Counter>,
    pub(crate) push_switched_off: Family<OfMode, Counter>,
    pub(crate) push_endpoints: Family<InState, Gauge>,
    pub(crate) push_endpoints_failing: Family<OfMode, Gauge>,
    pub(crate) pushes_waiting: Family<InState, Gauge>,
    pub(crate) pushes_age_seconds: Family<OfMode, Gauge>,
    pub(crate) orders_open: Family<InState, Gauge>,
    pub(crate) paid_without_plan: Family<OfMode, Gauge>,
    pub(crate) plans_without_payment: Family<OfMode, Gauge>,
    pub(crate) jobs_due: Family<OfKind, Gauge>,
    pub(crate) jobs_age_seconds: Family<OfKind, Gauge>,
    pub(crate) jobs_dead: Family<OfKind, Gauge>,
    pub(crate) pool_connections: Family<OfPool, Gauge>,
    pub(crate) pool_idle: Family<OfPool, Gauge>,
}

impl InState {
    pub(crate) fn new(mode: Mode, state: &'static str) -> Self {
        Self { mode: mode.as_str(), state }
    }
}

impl OfKind {
    pub(crate) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned() }
    }
}

impl OfPool {
    pub(crate) fn new(pool: &'static str) -> Self {
        Self { pool }
    }
}

fn latency() -> Histogram {
    Histogram::new(LATENCY_SECONDS)
}

impl Metrics {
    /// Figures that begin at nothing.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: RwLock::default(),
            routes: RwLock::default(),
            answered: Family::default(),
            seconds: Family::new_with_constructor(latency),
            orders: Family::default(),
            jobs: Family::default(),
            mismatches: Family::default(),
            causes: Family::default(),
            not_logged: Family::default(),
            sim_questions: Family::default(),
            plans_left_alone: Family::default(),
            hints: Family::default(),
            push_tries: Family::default(),
            push_seconds: Family::new_with_constructor(latency),
            push_given_up: Family::default(),
            push_switched_off: Family::default(),
            push_endpoints: Family::default(),
            push_endpoints_failing: Family::default(),
            pushes_waiting: Family::default(),
            pushes_age_seconds: Family::default(),
            orders_open: Family::default(),
            paid_without_plan: Family::default(),
            plans_without_payment: Family::default(),
            jobs_due: Family::default(),
            jobs_age_seconds: Family::default(),
            jobs_dead: Family::default(),
            pool_connections: Family::default(),
            pool_idle: Family::default(),
        };
        metrics.register_counters();
        metrics.register_gauges();
        metrics
    }

    fn register_counters(&self) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The program", Info::new(version));
        registry.register("requests", "Requests answered", self.answered.clone());
        let help = "Time from a request's head to its answer's";
        registry.register("request_seconds", help, self.seconds.clone());
        let help = "Orders that came into a state, by this process";
        registry.register("orders_entered", help, self.orders.clone());
        let help = "Runs of jobs that ended, by this process";
        registry.register("jobs_ended", help, self.jobs.clone());
        let help = "Signatures that did not match; the scheme is told by the length";
        registry.register("sign_mismatches", help, self.mismatches.clone());
        let help = "Causes found for signatures that did not match; one may have several";
        registry.register("sign_mismatch_causes", help, self.causes.clone());
        let help = "Entries that the request log did not take";
        registry.register("request_log_lost", help, self.not_logged.clone());
        let help = "Questions to carriers about SIMs, by this process";
        registry.register("sim_questions", help, self.sim_questions.clone());
        let help = "Plans on SIMs that a look found no certain word about at their carrier";
        registry.register("sim_plans_left_alone", help, self.plans_left_alone.clone());
        let help = "Notifications of carriers";
        registry.register("carrier_notifications", help, self.hints.clone());
        self.register_push_counters(registry);
    }

    fn register_push_counters(&self, registry: &mut Registry) {
        let help = "Tries to push an event to an endpoint, by this process; the outcome is a class of HTTP \
            status, or why there was none";
        registry.register("push_tries", help, self.push_tries.clone());
        let help = "Time from a push until its answer's status, or until it failed";
        registry.register("push_seconds", help, self.push_seconds.clone());
        let help = "Events that were given up for an endpoint after their last try";
        registry.register("pushes_given_up", help, self.push_given_up.clone());
        let help = "Endpoints that this process switched off";
        registry.register("push_endpoints_switched_off", help, self.push_switched_off.clone());
    }

    fn register_gauges(&self) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let help = "Orders that are not settled";
        registry.register("orders_open", help, self.orders_open.clone());
        let help = "Paid orders with neither a plan nor their money back; 0 at rest";
        registry.register("orders_paid_without_plan", help, self.paid_without_plan.clone());
        let help = "Plans on a SIM whose order is not paid or was paid back; 0 at rest";
        registry.register("plans_without_payment", help, self.plans_without_payment.clone());
        registry.register("jobs_due", "Jobs that are due", self.jobs_due.clone());
        let help = "For how long the oldest due job has been due";
        registry.register("jobs_due_age_seconds", help, self.jobs_age_seconds.clone());
        let help = "Jobs that were given up and wait for a person";
        registry.register("jobs_dead", help, self.jobs_dead.clone());
        let help = "Connections to the database";
        registry.register("pool_connections", help, self.pool_connections.clone());
        let help = "Connections to the database that nobody uses";
        registry.register("pool_idle", help, self.pool_idle.clone());
        let help = "Endpoints that pushes go to, by state";
        registry.register("push_endpoints", help, self.push_endpoints.clone());
        let help = "Endpoints that fail as a whole: they are probed now and then";
        registry.register("push_endpoints_failing", help, self.push_endpoints_failing.clone());
        let help =
            "Events that wait for an endpoint, by its state; 100,000 at most are counted of each";
        registry.register("pushes_waiting", help, self.pushes_waiting.clone());
        let help = "For how long the oldest event has been due at an endpoint that is on";
        registry.register("pushes_due_age_seconds", help, self.pushes_age_seconds.clone());
    }

    /// Adds figures that somebody else keeps, under the names that they give.
    pub fn register(&self, collector: Box<dyn Collector>) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(collector);
    }

    /// The shared template of a route. One too many is told apart from no other such.
    pub fn route(&self, template: &str) -> Route {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = known.get(template) {
            return route.clone();
        }
        let full = known.len() >= ROUTES_MAX;
        drop(known);
        let route = Route(if full { "other".into() } else { template.into() });
        let mut known = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(route.clone());
        route
    }

    /// A request was answered with a code.
    pub fn answered(
        &self,
        route: &Route,
        method: &'static str,
        code: &'static str,
        took: Duration,
    ) {
        let labels = Answered { route: route.clone(), method, code };
        self.answered.get_or_create(&labels).inc();
        let labels = OnRoute { route: labels.route, method };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// An order came into a state, and that is committed.
    pub(crate) fn order_entered(&self, mode: Mode, state: &'static str) {
        self.orders.get_or_create(&InState::new(mode, state)).inc();
    }

    /// A job's run ended.
    pub(crate) fn job_ended(&self, kind: JobKind, outcome: JobOutcome) {
        let outcome = match outcome {
            JobOutcome::Done => "done",
            JobOutcome::PutOff => "put_off",
            JobOutcome::Failed => "failed",
        };
        self.jobs.get_or_create(&JobEnded { kind: kind.as_str(), outcome }).inc();
    }

    /// A signature did not match.
    pub(crate) fn sign_mismatch(&self, mode: Mode, sign: &str) {
        let scheme = match sign.len() {
            64 => Scheme::HmacSha256.as_str(),
            // With or without a key: they look alike.
            32 => Scheme::Md5.as_str(),
            _ => "none",
        };
        self.mismatches.get_or_create(&Signed { mode: mode.as_str(), scheme }).inc();
    }

    /// A cause of a signature that did not match was found, or that there is none to be found.
    pub(crate) fn sign_mismatch_cause(&self, mode: Mode, cause: &'static str) {
        self.causes.get_or_create(&Caused { mode: mode.as_str(), cause }).inc();
    }

    /// The request log did not take an entry.
    pub(crate) fn not_logged(&self, why: NotLogged) {
        let reason = match why {
            NotLogged::QueueFull => "queue_full",
            NotLogged::Unproven => "unproven",
            NotLogged::NoPartner => "no_partner",
        };
        self.not_logged.get_or_create(&Lost { reason }).inc();
    }

    /// A carrier was asked about a SIM.
    pub(crate) fn sim_question(&self, carrier: &str, question: Question, answered: bool) {
        let (carrier, question) = (carrier.to_owned(), question.as_str());
        let outcome = if answered { "answered" } else { "failed" };
        self.sim_questions.get_or_create(&Asked { carrier, question, outcome }).inc();
    }

    /// A look at a SIM left plans as they were, because what its carrier says of them is not certain.
    pub(crate) fn plans_left_alone(&self, carrier: &str, count: usize) {
        let of = OfCarrier { carrier: carrier.to_owned() };
        self.plans_left_alone.get_or_create(&of).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// A notification came in the name of a carrier that there is.
    pub(crate) fn hint(&self, carrier: &str, outcome: &'static str) {
        self.hints.get_or_create(&Hinted { carrier: carrier.to_owned(), outcome }).inc();
    }

    /// A push was tried.
    pub(crate) fn push_tried(&self, mode: Mode, landed: &Landed, became: DeliveryState) {
        let outcome = match landed.status {
            Some(200..=299) => "2xx",
            Some(300..=399) => "3xx",
            Some(400..=499) => "4xx",
            Some(500..=599) => "5xx",
            Some(_) => "other",
            None => landed.failure,
        };
        self.push_tries.get_or_create(&Tried { mode: mode.as_str(), outcome }).inc();
        let seconds = landed.latency.to_std().as_secs_f64();
        self.push_seconds.get_or_create(&OfMode::new(mode)).observe(seconds);
        if became == DeliveryState::Failed {
            self.push_given_up.get_or_create(&OfMode::new(mode)).inc();
        }
    }

    /// All figures in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string fails only if a collector of ours does, and then what is written stands.
        if encode(&mut text, &registry).is_err() {
            text.push_str("# some figures could not be written\n");
        }
        text
    }
}
