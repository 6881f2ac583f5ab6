//! The built-in network for demos and tests. It does what it is told, by the last digits of the ICCID
//! or by a setting, and remembers what it *really* did.

use std::collections::{HashMap, VecDeque};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::{Ctx, Iccid, Span, Timestamp};

use crate::{
    Allowance, Capabilities, Carrier, CarrierPlan, CarrierSim, Idempotency, Line, Lookup,
    PeriodUnit, PlanState, Product, Products, QueryError, SimState, Snapshot, SubmitError,
    Submitted, UpstreamState, Usage, UsageRange,
};

/// How many orders the journal remembers; older ones are forgotten.
const JOURNAL_MAX: usize = 10_000;
/// How often a SIM of [`Behaviour::RetryLater`] is put off before its order is taken.
const PUT_OFF_TIMES: u32 = 2;
/// For how long it is put off each time.
const PUT_OFF: Span = Span::seconds(2);

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
        Self { ctx, default, journal: Mutex::default() }
    }

    fn behaviour(&self, line: &Line) -> Behaviour {
        let number = line.iccid.as_str();
        match &number[number.len() - 4..] {
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
        // The time stands in the id, so that a restarted simulator still knows it.
        let upstream_id = format!("SIM-{}-{key}", ready_at.as_micros());
        Submitted { upstream_id, state: self.state(ready_at), said: "simulated".to_owned() }
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
            features: &[],
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

    async fn get_sim(&self, _iccid: &Iccid) -> Result<CarrierSim, QueryError> {
        Ok(CarrierSim { state: SimState::Active, said: "simulated".to_owned() })
    }

    async fn list_plans(&self, iccid: &Iccid) -> Result<Vec<CarrierPlan>, QueryError> {
        let now = self.ctx.now();
        let journal = self.journal();
        let on_sim = |done: &&Done| done.line.iccid == *iccid && done.ready_at <= now;
        let mut done: Vec<&Done> = journal.done.values().filter(on_sim).collect();
        done.sort_by_key(|done| done.ready_at);
        let plan = |done: &Done| CarrierPlan {
            id: done.line.product.clone(),
            state: PlanState::Queued,
            data: Allowance::Unknown,
            used: None,
            periods: Some(done.line.periods),
            start_at: None,
            end_at: None,
        };
        Ok(done.into_iter().map(plan).collect())
    }

    async fn get_usage(&self, _iccid: &Iccid, _range: UsageRange) -> Result<Usage, QueryError> {
        let as_of = Some(self.ctx.now());
        Ok(Usage { used: 0, total: Allowance::Unknown, as_of, periods: Vec::new() })
    }
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

    #[test]
    fn behaviours_have_names() {
        assert_eq!("delay:5".parse(), Ok(Behaviour::Delay(Span::seconds(5))));
        assert_eq!("accept".parse(), Ok(Behaviour::Accept));
        let unknown = "delay:x".parse::<Behaviour>().unwrap_err();
        assert!(unknown.to_string().contains("retry-later"));
    }
}
