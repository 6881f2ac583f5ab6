//! Groups at the network: SIMs that join and leave, in their time, and what they use while they are in. Touches nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::Timestamp;

use crate::faults::{Drawn, FaultKind};
use crate::journal::{Action, Effect};
use crate::network::{Due, Line, Network};

/// How much a SIM of a group uses per minute.
const BYTES_PER_MINUTE: u64 = 64 * 1024;
/// What a SIM of a group that is slow uses, as a part of it.
const SLOW_PART: u64 = 16;

/// What a group may do with data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    #[default]
    Open,
    Throttled,
    Stopped,
}

/// A SIM's times in a group; the last one may have no end.
#[derive(Debug, Default)]
struct Stay {
    times: Vec<(Timestamp, Option<Timestamp>)>,
    /// How many changes are under way, and what the last of them makes of it.
    pending: u32,
    goes: bool,
}

/// A group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    sims: HashMap<String, Stay>,
    policy: Policy,
    /// Since when the policy holds.
    since: Option<Timestamp>,
}

/// Whether a SIM is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    In,
    Out,
    Pending,
}

/// A change that takes its time.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    group: String,
    iccid: String,
    joins: bool,
    silent: bool,
    at: Timestamp,
    entry: usize,
}

impl Stay {
    fn is_in(&self) -> bool {
        self.times.last().is_some_and(|(_, to)| to.is_none())
    }

    fn minutes(&self, from: Timestamp, to: Timestamp) -> u64 {
        let within = |(begin, end): &(Timestamp, Option<Timestamp>)| {
            let end = end.unwrap_or(to).min(to);
            u64::try_from(end.since((*begin).max(from)).as_micros() / 60_000_000).unwrap_or(0)
        };
        self.times.iter().map(within).sum()
    }
}

impl Network {
    /// Lets a SIM join a group or leave it, in the time that an order takes.
    pub(crate) fn change_group(
        &mut self,
        group: &str,
        iccid: &str,
        (joins, drawn): (bool, &Drawn<'_>),
    ) {
        let action = if joins { Action::Join } else { Action::Leave };
        let line = Line { iccid: iccid.to_owned(), product: group.to_owned(), quantity: 0 };
        let stay = self.groups.entry(group.to_owned()).or_default();
        let stay = stay.sims.entry(iccid.to_owned()).or_default();
        let same = match stay.pending {
            0 => stay.is_in() == joins,
            _ => stay.goes == joins,
        };
        if same {
            self.note(action, &line, "", "", Effect::Repeated);
            return;
        }
        (stay.pending, stay.goes) = (stay.pending + 1, joins);
        let number = self.number();
        let subject = format!("{} {group} {iccid} {number}", action.word());
        let due_at = self.now + self.delay(drawn, &subject);
        let silent = drawn.of(FaultKind::SilentFailure).is_some();
        let effect = if silent { Effect::SilentFailure } else { Effect::Accepted { due_at } };
        let entry = self.note(action, &line, "", "", effect);
        let (group, iccid) = (group.to_owned(), iccid.to_owned());
        let change = Change { group, iccid, joins, silent, at: due_at, entry };
        self.due.insert((due_at, number), Due::Group(change));
        self.settle(self.now);
    }

    pub(crate) fn finish_change(&mut self, change: &Change) {
        let Change { group, iccid, joins, silent, at, entry } = change;
        let Some(group) = self.groups.get_mut(group) else { return };
        let Some(stay) = group.sims.get_mut(iccid) else { return };
        stay.pending = stay.pending.saturating_sub(1);
        if *silent {
            return;
        }
        match (joins, stay.is_in()) {
            (true, false) => stay.times.push((*at, None)),
            (false, true) => {
                if let Some(last) = stay.times.last_mut() {
                    last.1 = Some(*at);
                }
            }
            _ => {}
        }
        self.entries[*entry].effect = Effect::Done { at: *at };
    }

    /// Whether a SIM is in a group.
    pub(crate) fn seen_in(&self, group: &str, iccid: &str) -> Seen {
        match self.groups.get(group).and_then(|group| group.sims.get(iccid)) {
            Some(stay) if stay.pending > 0 => Seen::Pending,
            Some(stay) if stay.is_in() => Seen::In,
            _ => Seen::Out,
        }
    }

    /// The SIMs of each group.
    pub(crate) fn members(&self) -> BTreeMap<String, BTreeSet<String>> {
        let members = |group: &Group| {
            let inside = group.sims.iter().filter(|(_, stay)| stay.is_in());
            inside.map(|(iccid, _)| iccid.clone()).collect()
        };
        self.groups.iter().map(|(id, group)| (id.clone(), members(group))).collect()
    }

    /// What the SIMs of a group used since a time.
    pub(crate) fn used_by_group(&self, group: &str, from: Timestamp) -> u64 {
        let Some(group) = self.groups.get(group) else { return 0 };
        let changed = group.since.unwrap_or(from).max(from).min(self.now);
        let until = if group.policy == Policy::Open { self.now } else { changed };
        let used = |stay: &Stay| {
            let slow = match group.policy {
                Policy::Throttled => stay.minutes(changed, self.now) * BYTES_PER_MINUTE / SLOW_PART,
                Policy::Open | Policy::Stopped => 0,
            };
            stay.minutes(from, until) * BYTES_PER_MINUTE + slow
        };
        group.sims.values().map(used).sum()
    }

    /// Changes what a group may do with data.
    pub(crate) fn set_policy(&mut self, group: &str, policy: Policy) {
        let now = self.now;
        let group = self.groups.entry(group.to_owned()).or_default();
        if group.policy != policy {
            (group.policy, group.since) = (policy, Some(now));
        }
    }

    /// What a group may do with data.
    pub(crate) fn policy(&self, group: &str) -> Policy {
        self.groups.get(group).map(|group| group.policy).unwrap_or_default()
    }
}

impl Policy {
    pub(crate) const ALL: [Self; 3] = [Self::Open, Self::Throttled, Self::Stopped];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Throttled => "throttled",
            Self::Stopped => "stopped",
        }
    }
}
