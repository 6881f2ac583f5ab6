//! Upstream networks, played: the protocols that carriers' clients speak, with a journal of what was *really*
//! done and with faults at will, so that a mall's handling of unknown outcomes can be checked against the
//! truth. For tests, partners and operators; nothing of it serves a customer.
//!
//! Pure: no sockets, no ambient time or randomness. A program gives it requests and does with the
//! connection what the [`Reply`] says. Time is the [`Ctx`]'s, moved on by [`Upstream::advance`]; chance comes
//! from a seed, the request's reference and the number of the attempt, so that a run can be repeated
//! however its requests interleave.

mod cube;
mod dice;
mod esim_access;
mod esim_go;
mod exchange;
mod face;
mod faults;
mod groups;
mod journal;
mod network;
mod plain;
mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Ctx, Span, Timestamp, UnknownWord};
use serde_json::json;

pub use cube::KeyError;
pub use exchange::{Answer, Reply, Request};
pub use face::Webhook;
pub use faults::{Fault, FaultKind, Faults, FaultsError};
pub use journal::{Action, Count, ENTRIES_MAX, Effect, Entry};

use dice::Dice;
use face::{Asked, Face, GroupAsk, What};
use faults::Stage;
use network::{Line, Network, NewOrder};

/// How long a slow body holds its second half back.
const SLOW_SECONDS: u32 = 5;
/// What `Retry-After` says.
const RETRY_SECONDS: u32 = 2;

/// The protocols that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// LINKSFIELD Cube v4, under `/cube/v4`.
    CubeV4,
    /// eSIM Access, under `/api/v1/open`.
    EsimAccess,
    /// eSIM Go v2.5, under `/v2.5`.
    EsimGo,
    /// A plain protocol of our own with groups, under `/plain/v1`.
    Plain,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CubeV4, Self::EsimAccess, Self::EsimGo, Self::Plain];

    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::CubeV4 => "cube-v4",
            Self::EsimAccess => "esim-access",
            Self::EsimGo => "esim-go",
            Self::Plain => "plain",
        }
    }

    /// Where its paths begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::CubeV4 => cube::PREFIX,
            Self::EsimAccess => esim_access::PREFIX,
            Self::EsimGo => esim_go::PREFIX,
            Self::Plain => plain::PREFIX,
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::word, text, "protocol")
    }
}

/// How callers prove who they are. What is not given is not checked, but for its form.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Cube: the public key of the caller, as PEM (SPKI or PKCS#1).
    pub public_key_pem: Option<String>,
    /// eSIM Access: the secret that signs requests. eSIM Go: the API key, which signs webhooks as well. Plain: the
    /// API key.
    /// Cube: the notification key, which signs webhooks.
    pub secret: Option<String>,
}

/// A network that is played.
#[derive(Debug)]
pub struct Upstream {
    ctx: Ctx,
    face: Box<dyn Face>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    network: Network,
    /// How far its clock is ahead of the real one.
    ahead: Span,
}

impl Upstream {
    /// A network that checks the form of credentials only.
    pub fn new(protocol: Protocol, faults: Faults, seed: u64, ctx: Ctx) -> Self {
        let face: Box<dyn Face> = match protocol {
            Protocol::CubeV4 => Box::new(cube::Cube::default()),
            Protocol::EsimAccess => Box::new(esim_access::EsimAccess::default()),
            Protocol::EsimGo => Box::new(esim_go::EsimGo::default()),
            Protocol::Plain => Box::new(plain::Plain::default()),
        };
        Self::over(face, faults, seed, ctx)
    }

    /// A network that checks credentials.
    pub fn with_credentials(
        protocol: Protocol,
        faults: Faults,
        seed: u64,
        ctx: Ctx,
        credentials: Credentials,
    ) -> Result<Self, KeyError> {
        let Credentials { public_key_pem, secret } = credentials;
        let face: Box<dyn Face> = match protocol {
            Protocol::CubeV4 => Box::new(cube::Cube::new(public_key_pem.as_deref(), secret)?),
            Protocol::EsimAccess => Box::new(esim_access::EsimAccess::new(secret)),
            Protocol::EsimGo => Box::new(esim_go::EsimGo::new(secret)),
            Protocol::Plain => Box::new(plain::Plain::new(secret)),
        };
        Ok(Self::over(face, faults, seed, ctx))
    }

    fn over(face: Box<dyn Face>, faults: Faults, seed: u64, ctx: Ctx) -> Self {
        let network = Network::new(Dice::new(seed), faults, ctx.now());
        let state = Mutex::new(State { network, ahead: Span::seconds(0) });
        Self { ctx, face, state }
    }

    /// The state with all done that has become due.
    fn settled(&self) -> MutexGuard<'_, State> {
        // The state is valid between any two statements that change it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.ctx.now() + state.ahead;
        state.network.settle(now);
        state
    }

    /// The network's time.
    pub fn now(&self) -> Timestamp {
        self.settled().network.now
    }

    /// Moves the network's clock on. Timestamps of requests are still compared with the real one.
    pub fn advance(&self, span: Span) {
        let mut state = self.settled();
        state.ahead = Span::micros(state.ahead.as_micros().saturating_add(span.as_micros().max(0)));
        drop(state);
        drop(self.settled());
    }

    /// What goes wrong now.
    pub fn faults(&self) -> Faults {
        Faults::clone(&self.settled().network.faults)
    }

    /// Changes what goes wrong from now on. What was accepted stays as it was drawn.
    pub fn set_faults(&self, faults: Faults) {
        self.settled().network.faults = Arc::new(faults);
    }

    /// What really happened, oldest first.
    pub fn journal(&self) -> Vec<Entry> {
        self.settled().network.entries.clone()
    }

    /// The journal's entries from a place on, so many at most, and how many there are in all.
    pub fn journal_page(&self, from: usize, count_max: usize) -> (Vec<Entry>, usize) {
        let state = self.settled();
        let entries = &state.network.entries;
        (entries.iter().skip(from).take(count_max).cloned().collect(), entries.len())
    }

    /// What came of the orders of each reference.
    pub fn counts(&self) -> BTreeMap<String, Count> {
        journal::count(&self.settled().network.entries)
    }

    /// How many bundles were put on SIMs for a reference.
    pub fn done(&self, reference: &str) -> u64 {
        self.counts().get(reference).map_or(0, |count| count.done)
    }

    /// The SIMs that are in each group.
    pub fn members(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.settled().network.members()
    }

    /// What a group may do with data: `open`, `throttled` or `stopped`.
    pub fn policy(&self, group: &str) -> &'static str {
        self.settled().network.policy(group).word()
    }

    /// The bundles that are or were on a SIM: the reference of each, in the order in which they came.
    pub fn bundles(&self, iccid: &str) -> Vec<String> {
        let sim = self.settled().network.sim(iccid);
        sim.bundles.into_iter().map(|bundle| bundle.reference).collect()
    }

    /// Takes the webhooks that are to be sent at a time of the network's clock, in the order of sending.
    pub fn due_webhooks(&self, now: Timestamp) -> Vec<Webhook> {
        let mut state = self.settled();
        let notices = state.network.take_notices(now);
        notices.iter().filter_map(|notice| self.face.notify(notice, &state.network)).collect()
    }

    /// Answers a request, or does not.
    pub fn handle(&self, request: &Request) -> Reply {
        let mut state = self.settled();
        let network = &mut state.network;
        let asked = match self.face.read(request, self.ctx.now()) {
            Ok(asked) => asked,
            Err(answer) => return Reply::Answer(answer),
        };
        let (attempt, faults) = (network.attempt(&asked.subject), Arc::clone(&network.faults));
        let drawn = faults.draw(network.dice, &asked.subject, attempt, &asked.iccids());
        let first = network.entries.len();
        if asked.changes() && network.is_full() {
            return Reply::Answer(full());
        }
        let instead = drawn.at(Stage::Before);
        let instead = instead.or_else(|| drawn.at(Stage::Refusal).filter(|_| asked.changes()));
        if let Some(fault) = instead {
            note_refused(network, &asked, fault.kind.word());
            tell(network, first, fault.kind);
            return self.fail(fault, network.dice, &asked.subject, attempt);
        }
        let answer = self.face.perform(&asked.what, network, &drawn).unwrap_or_else(|refused| {
            note_refused(network, &asked, &refused.why);
            refused.answer
        });
        match drawn.at(Stage::After) {
            None => Reply::Answer(answer),
            Some(fault) => {
                tell(network, first, fault.kind);
                self.spoil(answer, fault, network.dice, &asked.subject, attempt)
            }
        }
    }

    /// What a fault does with a request that is not carried out.
    fn fail(&self, fault: &Fault, dice: Dice, subject: &str, attempt: u64) -> Reply {
        let seconds = fault.seconds.unwrap_or(RETRY_SECONDS);
        Reply::Answer(match fault.kind {
            FaultKind::DropBeforeDoing | FaultKind::DropAfterDoing => return Reply::Drop,
            FaultKind::TooManyRequests => {
                let body = json!({"message": "Too Many Requests"});
                Answer::json(429, &body).with_header("retry-after", &seconds.to_string())
            }
            FaultKind::ServerError | FaultKind::ServerErrorAfterDoing
                if dice.below(2, &["gateway", subject], attempt) == 0 =>
            {
                let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
                let body = b"<html><body><h1>502 Bad Gateway</h1></body></html>".to_vec();
                Answer { status: 502, headers, body }
            }
            kind => self.face.refuse(kind, seconds),
        })
    }

    /// What a fault does with an answer.
    fn spoil(
        &self,
        answer: Answer,
        fault: &Fault,
        dice: Dice,
        subject: &str,
        attempt: u64,
    ) -> Reply {
        match fault.kind {
            FaultKind::SlowBody => {
                let pause = Span::seconds(i64::from(fault.seconds.unwrap_or(SLOW_SECONDS)));
                Reply::Slow { first_bytes: answer.body.len() / 2, answer, pause }
            }
            FaultKind::MalformedJson => {
                let mut answer = answer;
                answer.body.truncate(answer.body.len() * 2 / 3);
                Reply::Answer(answer)
            }
            _ => self.fail(fault, dice, subject, attempt),
        }
    }
}

/// Ordering is over: the journal must not lose anything.
fn full() -> Answer {
    let message = format!("the simulator's journal has {ENTRIES_MAX} entries: start it anew");
    Answer::json(503, &json!({ "message": message }))
}

fn note_refused(network: &mut Network, asked: &Asked, why: &str) {
    let effect = || Effect::Refused { why: why.to_owned() };
    match &asked.what {
        What::Order(NewOrder { reference, lines, .. }) => {
            let reference = reference.as_deref().unwrap_or_default();
            for line in lines {
                network.note(Action::Order, line, reference, "", effect());
            }
        }
        What::Operate { iccid, action, .. } => {
            let line = Line { iccid: iccid.clone(), product: String::new(), quantity: 0 };
            network.note(*action, &line, "", "", effect());
        }
        What::Group { group, ask: GroupAsk::Change { iccid, joins } } => {
            let action = if *joins { Action::Join } else { Action::Leave };
            let line = Line { iccid: iccid.clone(), product: group.clone(), quantity: 0 };
            network.note(action, &line, "", "", effect());
        }
        _ => {}
    }
}

/// Notes what the caller heard of all that was just written down.
fn tell(network: &mut Network, first: usize, kind: FaultKind) {
    for entry in network.entries.iter_mut().skip(first) {
        entry.told = kind.word();
    }
}
