//! The built-in network for demos and tests. It does what it is told, by the last digits of the ICCID
//! or by a setting, and remembers what it *really* did.
//!
//! What it says of a SIM and its plans is a function of its orders and of the time. It, too, goes by the last
//! digits of the ICCID:
//!
//! | ending | what it says |
//! |---|---|
//! | 9006 | nothing in the second half of each hour: it cannot be reached |
//! | 9007 | plans are taken back an hour after they began |
//! | 9008 | plans run a day longer |
//! | 9009 | the SIM is terminated an hour after its first plan came |

mod groups;

use std::collections::{HashMap, VecDeque};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::group::CarrierPolicy;
use domain::{Ctx, Iccid, Span, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Accepted, Allowance, Capabilities, Carrier, CarrierPlan, CarrierSim, ControlError, Feature,
    GroupUsage, Headers, Idempotency, Line, Lookup, Membership, PeriodUnit, PlanState, Product,
    Products, QueryError, SimState, Snapshot, SubmitError, Submitted, UpstreamState, Usage,
    UsageRange, WebhookError, WebhookHint, tolerant,
};

/// How many orders the journal remembers; older ones are forgotten.
const JOURNAL_MAX: usize = 10_000;
/// How often a SIM of [`Behaviour::RetryLater`] is put off before its order is taken.
const PUT_OFF_TIMES: u32 = 2;
/// For how long it is put off each time.
const PUT_OFF: Span = Span::seconds(2);

/// What a period of a plan holds, and what a SIM uses of it in a minute.
const PERIOD_BYTES: u64 = 1 << 30;
const MINUTE_BYTES: u64 = 1 << 20;
/// When something happens to a SIM that has an ending for it.
const LATER: Span = Span::minutes(60);
/// The most bytes of a notification.
const NOTIFICATION_BYTES_MAX: usize = 4_096;

/// What the simulator does with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Does it at once.
    Accept,
    /// Accepts it and does it after so long (ICCIDs ending in 9001: 60 seconds).
    Delay(Span),
    /// Refuses it for good (9002).
    Refuse,
    /// Puts it off twice, then does it (9003).
    RetryLater,
    /// Does it, but the reply is lost; a look-up finds it (9004).
    TimeOut,
    /// The reply is lost, and a look-up cannot tell (9005).
    CannotTell,
}

/// A word that names no behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBehaviour(String);

impl std::fmt::Display for UnknownBehaviour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = "accept, delay:SECONDS, refuse, retry-later, time-out or cannot-tell";
        write!(f, "{:?} is no behaviour of the simulator: use {known}", self.0)
    }
}

impl std::error::Error for UnknownBehaviour {}

impl FromStr for Behaviour {
    type Err = UnknownBehaviour;
    fn from_str(text: &str) -> Result<Self, UnknownBehaviour> {
        let unknown = || UnknownBehaviour(text.to_owned());
        Ok(match text {
            "accept" => Self::Accept,
            "refuse" => Self::Refuse,
            "retry-later" => Self::RetryLater,
            "time-out" => Self::TimeOut,
            "cannot-tell" => Self::CannotTell,
            _ => {
                let seconds = text.strip_prefix("delay:").ok_or_else(unknown)?;
                let seconds: u32 = seconds.parse().map_err(|_| unknown())?;
                Self::Delay(Span::seconds(i64::from(seconds)))
            }
        })
    }
}

/// The built-in network.
#[derive(Debug)]
pub struct Simulator {
    ctx: Ctx,
    default: Behaviour,
    journal: Mutex<Journal>,
    groups: Mutex<groups::Groups>,
}

#[derive(Debug, Default)]
struct Journal {
    done: HashMap<String, Done>,
    order: VecDeque<String>,
    put_off: HashMap<String, u32>,
}

/// An order that was really done.
#[derive(Debug, Clone)]
struct Done {
    line: Line,
    ready_at: Timestamp,
}

impl Simulator {
    /// A network that treats all SIMs in the given way but those with a special ending.
    pub fn new(ctx: Ctx, default: Behaviour) -> Self {
        Self { ctx, default, journal: Mutex::default(), groups: Mutex::default() }
    }

    fn behaviour(&self, line: &Line) -> Behaviour {
        self.behaviour_of(&line.iccid)
    }

    fn behaviour_of(&self, iccid: &Iccid) -> Behaviour {
        match ending(iccid) {
            "9001" => Behaviour::Delay(Span::seconds(60)),
            "9002" => Behaviour::Refuse,
            "9003" => Behaviour::RetryLater,
            "9004" => Behaviour::TimeOut,
            "9005" => Behaviour::CannotTell,
            _ => self.default,
        }
    }

    /// Whether the order of a key was really done, as far as the journal reaches.
    pub fn did(&self, key: &str) -> bool {
        self.journal().done.contains_key(key)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // The journal is valid between any two statements that change it.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> MutexGuard<'_, groups::Groups> {
        // Like the journal.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does an order once per key.
    fn accept(&self, key: &str, line: &Line, delay: Span) -> Submitted {
        let mut journal = self.journal();
        let known = journal.done.get(key).map(|done| done.ready_at);
        let ready_at = known.unwrap_or_else(|| self.ctx.now() + delay);
        if known.is_none() {
            journal.done.insert(key.to_owned(), Done { line: line.clone(), ready_at });
            journal.order.push_back(key.to_owned());
            if journal.order.len() > JOURNAL_MAX
                && let Some(oldest) = journal.order.pop_front()
            {
                journal.done.remove(&oldest);
            }
        }
        drop(journal);
        self.submitted(key, ready_at)
    }

    fn submitted(&self, key: &str, ready_at: Timestamp) -> Submitted {
        let upstream_id = upstream_id(ready_at, key);
        Submitted { upstream_id, state: self.state(ready_at), said: "simulated".to_owned() }
    }

    /// Whether questions about a SIM are answered now.
    fn reach(&self, iccid: &Iccid) -> Result<(), QueryError> {
        let into_hour = Span::micros(self.ctx.now().as_micros().rem_euclid(3_600_000_000));
        if ending(iccid) == "9006" && into_hour >= Span::minutes(30) {
            let message = "the simulator cannot be reached for SIMs of this kind".to_owned();
            return Err(QueryError { message });
        }
        Ok(())
    }

    /// The orders that are done for a SIM, with their keys, the eldest first.
    fn orders_on(&self, iccid: &Iccid) -> Vec<(String, Done)> {
        let (now, journal) = (self.ctx.now(), self.journal());
        let on_sim = |done: &Done| done.line.iccid == *iccid && done.ready_at <= now;
        let known = journal.order.iter().filter_map(|key| Some((key, journal.done.get(key)?)));
        let mut all: Vec<(String, Done)> = known
            .filter(|(_, done)| on_sim(done))
            .map(|(key, done)| (key.clone(), done.clone()))
            .collect();
        all.sort_by_key(|(_, done)| done.ready_at);
        all
    }

    fn state(&self, ready_at: Timestamp) -> UpstreamState {
        if ready_at <= self.ctx.now() { UpstreamState::Done } else { UpstreamState::Pending }
    }
}

#[async_trait]
impl Carrier for Simulator {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            idempotency: Idempotency::Native,
            features: &[Feature::Plans, Feature::Webhooks, Feature::Groups],
            periods_max: 10_000,
            key_chars_max: 50,
            deadline: Span::minutes(120),
            fresh_for: Span::minutes(1),
            call_max: Span::seconds(0),
            in_process: true,
        }
    }

    async fn list_products(&self, _cursor: Option<&str>) -> Result<Products, QueryError> {
        let product = |id: &str, name: &str, gigabytes: u64| Product {
            id: id.to_owned(),
            name: name.to_owned(),
            data: Allowance::Bytes(gigabytes << 30),
            validity: Some((30, PeriodUnit::Day)),
            coverage: vec!["US".to_owned()],
            cost: None,
        };
        let products = vec![product("CP-1", "1 GB", 1), product("CP-5", "5 GB", 5)];
        Ok(Products { products, next: None })
    }

    async fn submit(&self, key: &str, line: &Line) -> Result<Submitted, SubmitError> {
        self.capabilities().check(key, line)?;
        match self.behaviour(line) {
            Behaviour::Accept => Ok(self.accept(key, line, Span::seconds(0))),
            Behaviour::Delay(delay) => Ok(self.accept(key, line, delay)),
            Behaviour::Refuse => Err(SubmitError::Permanent {
                code: "SIM_REFUSED".to_owned(),
                message: "the simulator refuses SIMs of this kind".to_owned(),
            }),
            Behaviour::RetryLater => {
                let mut journal = self.journal();
                let times = journal.put_off.entry(key.to_owned()).or_default();
                if *times < PUT_OFF_TIMES {
                    *times += 1;
                    let message = "the SIM has a pending operation".to_owned();
                    return Err(SubmitError::RetryLater { after: PUT_OFF, message });
                }
                journal.put_off.remove(key);
                drop(journal);
                Ok(self.accept(key, line, Span::seconds(0)))
            }
            Behaviour::TimeOut => {
                self.accept(key, line, Span::seconds(0));
                Err(SubmitError::Ambiguous { message: "the reply was lost".to_owned() })
            }
            Behaviour::CannotTell => {
                Err(SubmitError::Ambiguous { message: "the reply was lost".to_owned() })
            }
        }
    }

    async fn find_by_key(
        &self,
        key: &str,
        line: &Line,
        _snapshot: &Snapshot,
    ) -> Result<Lookup, QueryError> {
        if self.behaviour(line) == Behaviour::CannotTell {
            let message = "the simulator does not say for SIMs of this kind".to_owned();
            return Ok(Lookup::CannotTell { message });
        }
        let ready_at = self.journal().done.get(key).map(|done| done.ready_at);
        let found = |ready_at| Lookup::Found(self.submitted(key, ready_at));
        Ok(ready_at.map_or(Lookup::NotFound, found))
    }

    async fn check(&self) -> Result<String, QueryError> {
        Ok("built in".to_owned())
    }

    async fn get_order(
        &self,
        upstream_id: &str,
        _line: &Line,
        _snapshot: &Snapshot,
    ) -> Result<Submitted, QueryError> {
        let unknown = || QueryError { message: format!("no such order: {upstream_id}") };
        let rest = upstream_id.strip_prefix("SIM-").ok_or_else(unknown)?;
        let (micros, key) = rest.split_once('-').ok_or_else(unknown)?;
        let micros = micros.parse().map_err(|_| unknown())?;
        Ok(self.submitted(key, Timestamp::from_micros(micros)))
    }

    async fn get_sim(&self, iccid: &Iccid) -> Result<CarrierSim, QueryError> {
        self.reach(iccid)?;
        let first = self.orders_on(iccid).first().map(|(_, done)| done.ready_at);
        let gone =
            ending(iccid) == "9009" && first.is_some_and(|first| first + LATER <= self.ctx.now());
        let state = match first {
            None => SimState::PreActive,
            Some(_) if gone => SimState::Terminated,
            Some(_) => SimState::Active,
        };
        Ok(CarrierSim { state, said: "simulated".to_owned() })
    }

    async fn list_plans(&self, iccid: &Iccid) -> Result<Vec<CarrierPlan>, QueryError> {
        self.reach(iccid)?;
        Ok(plans(&self.orders_on(iccid), self.ctx.now()))
    }

    async fn get_usage(&self, iccid: &Iccid, _range: UsageRange) -> Result<Usage, QueryError> {
        let plans = self.list_plans(iccid).await?;
        let bytes = |plan: &CarrierPlan| match plan.data {
            Allowance::Bytes(bytes) => bytes,
            Allowance::Unlimited | Allowance::Unknown => 0,
        };
        let used = plans.iter().filter_map(|plan| plan.used).fold(0, u64::saturating_add);
        let total = Allowance::Bytes(plans.iter().map(bytes).fold(0, u64::saturating_add));
        Ok(Usage { used, total, as_of: Some(self.ctx.now()), periods: Vec::new() })
    }

    async fn join_group(&self, group: &str, iccid: &Iccid) -> Result<Accepted, ControlError> {
        self.change_group(group, iccid, true)
    }

    async fn leave_group(&self, group: &str, iccid: &Iccid) -> Result<Accepted, ControlError> {
        self.change_group(group, iccid, false)
    }

    async fn group_members(
        &self,
        group: &str,
        iccids: &[Iccid],
    ) -> Result<Vec<Membership>, QueryError> {
        Ok(iccids.iter().map(|iccid| self.membership(group, iccid)).collect())
    }

    async fn group_usage(&self, group: &str, from: Timestamp) -> Result<GroupUsage, QueryError> {
        Ok(self.used_by_group(group, from))
    }

    async fn apply_group_policy(
        &self,
        group: &str,
        policy: CarrierPolicy,
    ) -> Result<Accepted, ControlError> {
        self.set_group_policy(group, policy);
        Ok(Accepted { request_id: None, said: "simulated".to_owned() })
    }

    /// `{"kind": …, "iccid": …, "upstream_id": …}`, unsigned.
    fn parse_webhook(
        &self,
        _headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<WebhookHint, WebhookError> {
        if body.len() > NOTIFICATION_BYTES_MAX {
            return Err(WebhookError::Unreadable);
        }
        let value: Value = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
        let kind = tolerant::text(&value, &["kind"]).ok_or(WebhookError::Unreadable)?;
        Ok(WebhookHint {
            dedupe_id: hex::encode(Sha256::digest(body)),
            kind,
            iccid: tolerant::text(&value, &["iccid"]).and_then(|iccid| iccid.parse().ok()),
            upstream_id: tolerant::text(&value, &["upstream_id"]),
            key: None,
            signed: false,
        })
    }
}

/// The last four digits.
fn ending(iccid: &Iccid) -> &str {
    let number = iccid.as_str();
    &number[number.len() - 4..]
}

/// How long a period of a product is: 30 days for what is listed and for names that end in `-M`, a day for
/// those in `-D`. Of others it does not say when they end.
fn period(product: &str) -> Option<Span> {
    match product {
        "CP-1" | "CP-5" => Some(Span::days(30)),
        other if other.ends_with("-M") => Some(Span::days(30)),
        other if other.ends_with("-D") => Some(Span::days(1)),
        _ => None,
    }
}

/// The plans of a SIM's orders, which run one after another.
fn plans(orders: &[(String, Done)], now: Timestamp) -> Vec<CarrierPlan> {
    // When the plan before ends; `None` where nobody says.
    let mut free_from = Some(Timestamp::from_micros(0));
    let mut plans = Vec::with_capacity(orders.len());
    for (key, done) in orders {
        let Done { line, ready_at } = done;
        let start_at = free_from.map(|free| free.max(*ready_at));
        let length = period(&line.product).map(|period| {
            let whole = period.as_micros().saturating_mul(i64::from(line.periods));
            match ending(&line.iccid) {
                "9007" => LATER,
                "9008" => Span::micros(whole) + Span::days(1),
                _ => Span::micros(whole),
            }
        });
        let end_at = start_at.zip(length).map(|(start, length)| start + length);
        free_from = end_at;
        let state = match (start_at, end_at) {
            (None, _) => PlanState::Queued,
            (Some(start), _) if now < start => PlanState::Queued,
            (_, Some(end)) if end <= now && ending(&line.iccid) == "9007" => PlanState::Revoked,
            (_, Some(end)) if end <= now => PlanState::Ended,
            _ => PlanState::Active,
        };
        let data = PERIOD_BYTES.saturating_mul(u64::from(line.periods));
        let until = end_at.map_or(now, |end| end.min(now));
        let ran = start_at.map_or(0, |start| until.since(start).as_micros().max(0) / 60_000_000);
        let used = u64::try_from(ran).unwrap_or(0).saturating_mul(MINUTE_BYTES).min(data);
        plans.push(CarrierPlan {
            id: line.product.clone(),
            order: Some(upstream_id(*ready_at, key)),
            state,
            data: Allowance::Bytes(data),
            used: Some(used),
            periods: Some(line.periods),
            start_at: start_at.filter(|start| *start <= now),
            end_at,
        });
    }
    plans
}

/// The time stands in the id, so that a restarted simulator still knows it.
fn upstream_id(ready_at: Timestamp, key: &str) -> String {
    format!("SIM-{}-{key}", ready_at.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Hand(AtomicI64);

    impl domain::Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::Relaxed))
        }
    }

    fn simulator() -> (Arc<Hand>, Simulator) {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let rng = rand::SeedableRng::seed_from_u64(1);
        (clock.clone(), Simulator::new(Ctx::new(clock, rng), Behaviour::Accept))
    }

    fn line(ending: &str) -> Line {
        let iccid = format!("8985200000000000{ending}").parse().unwrap();
        Line { iccid, product: "CP-1".to_owned(), periods: 1 }
    }

    #[tokio::test]
    async fn the_same_key_is_done_once() {
        let (_, simulator) = simulator();
        let empty = Snapshot::default();
        let find = async |key, ending| simulator.find_by_key(key, &line(ending), &empty).await;
        let first = simulator.submit("k1", &line("0000")).await.unwrap();
        assert_eq!(simulator.submit("k1", &line("0000")).await, Ok(first.clone()));
        assert_eq!(first.state, UpstreamState::Done);
        assert_eq!(find("k1", "0000").await, Ok(Lookup::Found(first)));
        assert_eq!(find("k2", "0000").await, Ok(Lookup::NotFound));
    }

    #[tokio::test]
    async fn a_delay_follows_the_clock() {
        let (clock, simulator) = simulator();
        let first = simulator.submit("k1", &line("9001")).await.unwrap();
        assert_eq!(first.state, UpstreamState::Pending);
        let empty = Snapshot::default();
        let ask = async |id: &str| {
            let order = simulator.get_order(id, &line("9001"), &empty).await;
            order.map(|order| order.state)
        };
        assert_eq!(ask(&first.upstream_id).await, Ok(UpstreamState::Pending));
        assert_eq!(simulator.list_plans(&line("9001").iccid).await, Ok(Vec::new()));
        clock.0.store(60_000_000, Ordering::Relaxed);
        assert_eq!(ask(&first.upstream_id).await, Ok(UpstreamState::Done));
        assert_eq!(simulator.list_plans(&line("9001").iccid).await.unwrap().len(), 1);
        for nonsense in ["nonsense", "SIM-", "SIM-x-k1"] {
            assert!(ask(nonsense).await.is_err());
        }
    }

    #[tokio::test]
    async fn endings_choose_what_happens() {
        let (_, simulator) = simulator();
        let empty = Snapshot::default();
        let find = async |key, ending| simulator.find_by_key(key, &line(ending), &empty).await;
        let refused = simulator.submit("k2", &line("9002")).await;
        assert!(matches!(refused, Err(SubmitError::Permanent { .. })));
        for _ in 0..PUT_OFF_TIMES {
            let put_off = simulator.submit("k3", &line("9003")).await;
            assert!(matches!(put_off, Err(SubmitError::RetryLater { .. })));
        }
        assert!(simulator.submit("k3", &line("9003")).await.is_ok());
        let lost = simulator.submit("k4", &line("9004")).await;
        assert!(matches!(lost, Err(SubmitError::Ambiguous { .. })));
        assert!(matches!(find("k4", "9004").await, Ok(Lookup::Found(_))));
        assert!(simulator.submit("k5", &line("9005")).await.is_err());
        let unsaid = find("k5", "9005").await;
        assert!(matches!(unsaid, Ok(Lookup::CannotTell { .. })));
        assert!(simulator.did("k4") && !simulator.did("k2"));
    }

    #[tokio::test]
    async fn plans_run_one_after_another_and_are_used_up_by_the_minute() {
        let (clock, simulator) = simulator();
        let bought = line("0000");
        simulator.submit("k1", &bought).await.unwrap();
        simulator.submit("k2", &bought).await.unwrap();
        let at = async |minutes: i64| {
            clock.0.store(minutes * 60_000_000, Ordering::Relaxed);
            let plans = simulator.list_plans(&bought.iccid).await.unwrap();
            plans.into_iter().map(|plan| (plan.state, plan.used.unwrap() >> 20)).collect::<Vec<_>>()
        };
        let month = 30 * 24 * 60;
        assert_eq!(at(5).await, [(PlanState::Active, 5), (PlanState::Queued, 0)]);
        assert_eq!(at(2_000).await, [(PlanState::Active, 1_024), (PlanState::Queued, 0)]);
        assert_eq!(at(month + 1).await, [(PlanState::Ended, 1_024), (PlanState::Active, 1)]);
        let range = UsageRange { from: Timestamp::from_micros(0), to: Timestamp::from_micros(0) };
        let usage = simulator.get_usage(&bought.iccid, range).await.unwrap();
        assert_eq!((usage.used, usage.total), (1_025 << 20, Allowance::Bytes(2 << 30)));
    }

    #[tokio::test]
    async fn endings_choose_what_is_said_of_a_sim() {
        let (clock, simulator) = simulator();
        for ending in ["9006", "9007", "9008", "9009"] {
            simulator.submit(ending, &line(ending)).await.unwrap();
        }
        let plan = async |ending| simulator.list_plans(&line(ending).iccid).await;
        assert!(plan("9006").await.is_ok());
        clock.0.store(1_800_000_000, Ordering::Relaxed);
        assert!(plan("9006").await.is_err());
        clock.0.store(3_600_000_000, Ordering::Relaxed);
        assert_eq!(plan("9007").await.unwrap()[0].state, PlanState::Revoked);
        let longer = plan("9008").await.unwrap()[0].end_at;
        assert_eq!(longer, Some(Timestamp::from_micros(0) + Span::days(31)));
        let state = simulator.get_sim(&line("9009").iccid).await.unwrap().state;
        assert_eq!(state, SimState::Terminated);
    }

    #[test]
    fn behaviours_have_names() {
        assert_eq!("delay:5".parse(), Ok(Behaviour::Delay(Span::seconds(5))));
        assert_eq!("accept".parse(), Ok(Behaviour::Accept));
        let unknown = "delay:x".parse::<Behaviour>().unwrap_err();
        assert!(unknown.to_string().contains("retry-later"));
    }
}
