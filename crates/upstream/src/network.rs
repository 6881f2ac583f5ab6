//! The network behind a protocol: what was ordered, what is due, what is on the SIMs. It moves only when it
//! is told what time it is. Touches nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::{Span, Timestamp};

use crate::dice::Dice;
use crate::faults::{Drawn, FaultKind, Faults};
use crate::groups::{Change, Group};
use crate::journal::{Action, ENTRIES_MAX, Effect, Entry};
use crate::sim::{Bundle, Sim, SimState};

/// For how long Cube takes an order with the same parameters for the same.
const SAME_PARAMETERS: Span = Span::seconds(10);
/// The most orders that are compared by their parameters; older ones are looked through for what is over.
const RECENT_MAX: usize = 10_000;
/// The most references whose attempts are counted; beyond it counting begins anew.
const ATTEMPTS_MAX: usize = 1_000_000;
/// The most webhooks that wait; the oldest are given up.
const NOTICES_MAX: usize = 100_000;
/// How long an order takes that takes tens of minutes, in seconds.
const TENS_OF_MINUTES: (i64, i64) = (600, 3_000);
/// How much later a second or an outrun webhook comes, in seconds.
const NOTICE_LATER: (i64, i64) = (1, 60);
/// What the caller hears unless a fault comes in between.
pub(crate) const ANSWERED: &str = "answered";

/// One product for one SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) iccid: String,
    pub(crate) product: String,
    pub(crate) quantity: u32,
}

/// When an order is the same as an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// By its parameters, for some seconds; the second text leaves Cube's `extra` out.
    Parameters { whole: String, without_extra: String },
    /// By the caller's reference, for ever.
    Reference,
    /// Never.
    Never,
}

/// What is ordered.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    /// The caller's reference, if the protocol has one.
    pub(crate) reference: Option<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) sameness: Sameness,
    /// Makes the network's id of it.
    pub(crate) make_id: fn(Dice, &str, u64) -> String,
}

/// An accepted order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) made_at: Timestamp,
    pub(crate) parts: Vec<Part>,
}

/// What becomes of one line.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) line: Line,
    pub(crate) due_at: Timestamp,
    silent: bool,
    entry: usize,
}

impl Order {
    /// Whether nothing of it is to come.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.parts.iter().all(|part| part.due_at <= now)
    }
}

/// What came of an order.
pub(crate) enum Placed {
    /// It is new.
    New(usize),
    /// It is this earlier one.
    Repeat(usize),
    /// The reference is another order's.
    Conflict,
}

/// A change of a SIM.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) iccid: String,
    pub(crate) action: Action,
    /// An order or a bundle; `None` means the SIM.
    pub(crate) target: Option<String>,
    pub(crate) due_at: Timestamp,
    entry: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Due {
    Part { order: usize, part: usize },
    Operation { id: String },
    Group(Change),
}

/// What a webhook tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Accepted,
    Done,
}

/// A webhook that waits for its time.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) event: Event,
    pub(crate) order: usize,
    pub(crate) part: usize,
    /// Which sending of the same event it is.
    pub(crate) copy: u64,
}

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) dice: Dice,
    pub(crate) faults: Arc<Faults>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) orders: Vec<Order>,
    pub(crate) now: Timestamp,
    by_id: HashMap<String, usize>,
    by_reference: HashMap<String, usize>,
    of_reference: HashMap<String, u64>,
    recent: HashMap<String, (Timestamp, usize)>,
    sims: HashMap<String, Sim>,
    operations: HashMap<String, Operation>,
    pub(crate) due: BTreeMap<(Timestamp, u64), Due>,
    pub(crate) groups: HashMap<String, Group>,
    notices: BTreeMap<(Timestamp, u64), Notice>,
    attempts: HashMap<String, u64>,
    last_number: u64,
}

impl Network {
    pub(crate) fn new(dice: Dice, faults: Faults, now: Timestamp) -> Self {
        Self {
            dice,
            faults: Arc::new(faults),
            entries: Vec::new(),
            orders: Vec::new(),
            now,
            by_id: HashMap::new(),
            by_reference: HashMap::new(),
            of_reference: HashMap::new(),
            recent: HashMap::new(),
            sims: HashMap::new(),
            operations: HashMap::new(),
            due: BTreeMap::new(),
            groups: HashMap::new(),
            notices: BTreeMap::new(),
            attempts: HashMap::new(),
            last_number: 0,
        }
    }

    /// Does all that has become due, in the order in which it did. Time never goes back.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some(first) = self.due.first_entry() {
            let due_at = first.key().0;
            if due_at > self.now {
                break;
            }
            match first.remove() {
                Due::Part { order, part } => self.finish_part(order, part),
                Due::Operation { id } => self.finish_operation(&id),
                Due::Group(change) => self.finish_change(&change),
            }
        }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// How often something was asked before.
    pub(crate) fn attempt(&mut self, subject: &str) -> u64 {
        if self.attempts.len() >= ATTEMPTS_MAX {
            self.attempts.clear();
        }
        let attempts = self.attempts.entry(subject.to_owned()).or_default();
        *attempts += 1;
        *attempts - 1
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    pub(crate) fn order_by_id(&self, id: &str) -> Option<&Order> {
        self.by_id.get(id).map(|place| &self.orders[*place])
    }

    pub(crate) fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations.get(id)
    }

    /// A SIM as it is; one that nothing happened to yet is a fresh one.
    pub(crate) fn sim(&self, iccid: &str) -> Sim {
        self.sims.get(iccid).cloned().unwrap_or_default()
    }

    /// Whether something about a SIM is accepted and not yet done.
    pub(crate) fn is_busy(&self, iccid: &str) -> bool {
        self.sims.get(iccid).is_some_and(|sim| sim.pending > 0)
    }

    /// The order that an order repeats.
    pub(crate) fn find_same(&self, new: &NewOrder, drawn: &Drawn<'_>) -> Option<Placed> {
        let within = |key: &String| {
            let (at, place) = self.recent.get(key)?;
            (self.now.since(*at) < SAME_PARAMETERS).then_some(Placed::Repeat(*place))
        };
        match (&new.sameness, &new.reference) {
            (Sameness::Parameters { whole, without_extra }, _) => {
                let loose = drawn.of(FaultKind::SameParametersWithoutExtra).is_some();
                within(whole).or_else(|| if loose { within(without_extra) } else { None })
            }
            (Sameness::Reference, Some(reference)) => {
                let place = *self.by_reference.get(reference)?;
                let lines = self.orders[place].parts.iter().map(|part| &part.line);
                let same = lines.eq(&new.lines);
                Some(if same { Placed::Repeat(place) } else { Placed::Conflict })
            }
            _ => None,
        }
    }

    /// Accepts an order, unless it repeats another.
    pub(crate) fn place(&mut self, new: &NewOrder, drawn: &Drawn<'_>) -> Placed {
        if let Some(same) = self.find_same(new, drawn) {
            if let Placed::Repeat(place) = &same {
                self.note_repeat(new, *place);
            }
            return same;
        }
        let first = new.lines.first();
        let subject = first.map(|line| format!("{} {}", line.iccid, line.product));
        let subject = new.reference.clone().or(subject).unwrap_or_default();
        let made = self.of_reference.entry(subject.clone()).or_default();
        let number = *made;
        *made += 1;
        let id = (new.make_id)(self.dice, &subject, number);
        let reference = new.reference.clone().unwrap_or_else(|| id.clone());
        let (place, made_at) = (self.orders.len(), self.now);
        let silent = self.silent_part(new, drawn, &id);
        let mut parts = Vec::new();
        for (part, line) in new.lines.iter().enumerate() {
            let due_at = self.now + self.delay(drawn, &format!("{id} {part}"));
            let silent = silent == Some(part);
            let effect = if silent { Effect::SilentFailure } else { Effect::Accepted { due_at } };
            let entry = self.note(Action::Order, line, &reference, &id, effect);
            parts.push(Part { line: line.clone(), due_at, silent, entry });
            self.sims.entry(line.iccid.clone()).or_default().pending += 1;
            let number = self.number();
            self.due.insert((due_at, number), Due::Part { order: place, part });
        }
        self.by_id.insert(id.clone(), place);
        self.by_reference.insert(reference.clone(), place);
        self.remember(new, place);
        self.orders.push(Order { id, reference, made_at, parts });
        self.announce(place, drawn);
        self.settle(self.now);
        Placed::New(place)
    }

    /// Which line fails in silence.
    fn silent_part(&self, new: &NewOrder, drawn: &Drawn<'_>, id: &str) -> Option<usize> {
        let fault = drawn.of(FaultKind::SilentFailure)?;
        let lines = new.lines.iter().enumerate();
        let meant: Vec<usize> =
            lines.filter(|(_, line)| fault.is_about(&line.iccid)).map(|(part, _)| part).collect();
        let count = u64::try_from(meant.len()).unwrap_or(0);
        let place = usize::try_from(self.dice.below(count, &["silent", id], 0)).unwrap_or(0);
        meant.get(place).copied()
    }

    pub(crate) fn delay(&self, drawn: &Drawn<'_>, subject: &str) -> Span {
        let (low, high) = self.faults.delay_seconds;
        let (low, high) = match drawn.of(FaultKind::TensOfMinutes).map(|fault| fault.seconds) {
            Some(Some(seconds)) => (i64::from(seconds), i64::from(seconds)),
            Some(None) => TENS_OF_MINUTES,
            None => (i64::from(low), i64::from(high)),
        };
        Span::seconds(self.dice.between(low, high, &["delay", subject], 0))
    }

    fn remember(&mut self, new: &NewOrder, place: usize) {
        let Sameness::Parameters { whole, without_extra } = &new.sameness else { return };
        if self.recent.len() > RECENT_MAX {
            let now = self.now;
            self.recent.retain(|_, (at, _)| now.since(*at) < SAME_PARAMETERS);
        }
        for key in [whole, without_extra] {
            self.recent.insert(key.clone(), (self.now, place));
        }
    }

    fn finish_part(&mut self, order: usize, part: usize) {
        let made = &self.orders[order];
        let Part { line, due_at, silent, entry } = made.parts[part].clone();
        let (order_id, reference) = (made.id.clone(), made.reference.clone());
        let sim = self.sims.entry(line.iccid.clone()).or_default();
        sim.pending = sim.pending.saturating_sub(1);
        if silent {
            return;
        }
        let id = format!("LP{}", self.dice.letters(14, &["bundle", &order_id], entry_number(part)));
        let Line { product, quantity, .. } = line;
        let (added_at, ended_at) = (due_at, None);
        sim.bundles.push(Bundle { id, product, quantity, order_id, reference, added_at, ended_at });
        // A bundle brings a SIM back that had run out.
        if sim.state == SimState::Ended {
            sim.state = SimState::Active;
        }
        self.entries[entry].effect = Effect::Done { at: due_at };
    }

    /// Accepts a change of a SIM, which takes as long as an order does, or no time.
    pub(crate) fn operate(
        &mut self,
        iccid: &str,
        action: Action,
        target: Option<String>,
        delay: Option<&Drawn<'_>>,
    ) -> String {
        let number = self.of_reference.entry(format!("{} {iccid}", action.word())).or_default();
        *number += 1;
        let id = self.dice.letters(24, &["operation", action.word(), iccid], *number);
        let due_at = self.now + delay.map_or(Span::seconds(0), |drawn| self.delay(drawn, &id));
        let line = Line { iccid: iccid.to_owned(), product: String::new(), quantity: 0 };
        let entry = self.note(action, &line, &id, &id, Effect::Accepted { due_at });
        let iccid = iccid.to_owned();
        self.sims.entry(iccid.clone()).or_default().pending += 1;
        let operation = Operation { id: id.clone(), iccid, action, target, due_at, entry };
        self.operations.insert(id.clone(), operation);
        let number = self.number();
        self.due.insert((due_at, number), Due::Operation { id: id.clone() });
        self.settle(self.now);
        id
    }

    fn finish_operation(&mut self, id: &str) {
        let Some(operation) = self.operations.get(id).cloned() else { return };
        let Operation { iccid, action, target, due_at, entry, .. } = operation;
        let sim = self.sims.entry(iccid).or_default();
        sim.pending = sim.pending.saturating_sub(1);
        match (action, target) {
            (Action::Suspend, _) => sim.state = SimState::Suspended,
            (Action::Resume, _) => sim.state = SimState::Active,
            (_, Some(target)) => {
                sim.end(due_at, |bundle| bundle.order_id == target || bundle.id == target);
            }
            (_, None) => {
                sim.end(due_at, |_| true);
                sim.state = SimState::Ended;
            }
        }
        self.entries[entry].effect = Effect::Done { at: due_at };
    }

    /// Writes into the journal; gives the entry's place.
    pub(crate) fn note(
        &mut self,
        action: Action,
        line: &Line,
        reference: &str,
        order_id: &str,
        effect: Effect,
    ) -> usize {
        let Line { iccid, product, quantity } = line.clone();
        let (reference, order_id) = (reference.to_owned(), order_id.to_owned());
        let (at, told) = (self.now, ANSWERED);
        let entry =
            Entry { at, action, reference, order_id, iccid, product, quantity, effect, told };
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// A repeat is written down under its own reference, which need not be the first order's.
    fn note_repeat(&mut self, new: &NewOrder, place: usize) {
        let Order { id, reference, .. } = self.orders[place].clone();
        let reference = new.reference.clone().unwrap_or(reference);
        for line in &new.lines {
            self.note(Action::Order, line, &reference, &id, Effect::Repeated);
        }
    }

    /// Plans the webhooks of an order.
    fn announce(&mut self, order: usize, drawn: &Drawn<'_>) {
        let Order { id, parts, .. } = self.orders[order].clone();
        let twice = drawn.of(FaultKind::DuplicateWebhooks).is_some();
        let late = drawn.of(FaultKind::OutOfOrderWebhooks).is_some();
        for (part, Part { due_at, silent, .. }) in parts.iter().enumerate() {
            let later = |what: &str| {
                let (low, high) = NOTICE_LATER;
                let seconds = self.dice.between(low, high, &[what, &id], entry_number(part));
                Span::seconds(seconds)
            };
            let accepted_at = if late { *due_at + later("late") } else { self.now };
            let mut planned = vec![(accepted_at, Event::Accepted, 0)];
            if !silent {
                planned.push((*due_at, Event::Done, 0));
            }
            if twice {
                let again = later("again");
                let copies = planned.clone().into_iter();
                planned.extend(copies.map(|(at, event, _)| (at + again, event, 1)));
            }
            for (at, event, copy) in planned {
                let number = self.number();
                self.notices.insert((at, number), Notice { event, order, part, copy });
            }
        }
        while self.notices.len() > NOTICES_MAX {
            self.notices.pop_first();
        }
    }

    /// Takes the webhooks whose time has come, in the order in which they are sent.
    pub(crate) fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut taken = Vec::new();
        while let Some(first) = self.notices.first_entry() {
            if first.key().0 > now {
                break;
            }
            taken.push(first.remove());
        }
        taken
    }
}

/// A place as a number for the dice.
fn entry_number(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX)
}
