//! What the network really did, whatever it told anybody. Touches nothing.

use std::collections::BTreeMap;

use domain::Timestamp;
use serde_json::{Value, json};

/// The most entries. A journal that forgot something could not be trusted, so that a full one ends all
/// ordering instead.
pub const ENTRIES_MAX: usize = 1_000_000;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A bundle for a SIM.
    Order,
    /// A SIM is taken off the network for a while.
    Suspend,
    /// A suspended SIM is put back.
    Resume,
    /// A bundle or all of them are ended.
    Cancel,
    /// A SIM is taken away for good, or a bundle off it.
    Revoke,
    /// A SIM joins a group; the product is the group.
    Join,
    /// A SIM leaves a group.
    Leave,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Accepted; it takes effect when its time has come.
    Accepted {
        /// When it takes effect.
        due_at: Timestamp,
    },
    /// It took effect: a bundle is on the SIM, or the SIM changed.
    Done {
        /// When it took effect.
        at: Timestamp,
    },
    /// Refused, or never looked at; nothing was and will be done.
    Refused {
        /// Why.
        why: String,
    },
    /// Accepted, and never done; nobody is told.
    SilentFailure,
    /// Taken as a repeat of an earlier order; nothing was done once more.
    Repeated,
}

/// One thing that was asked for one SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was asked for.
    pub at: Timestamp,
    /// What was asked for.
    pub action: Action,
    /// The caller's own reference (`extra.po`, `transactionId`); where a protocol has none, the network's
    /// order id.
    pub reference: String,
    /// The network's order or request id; empty if there is none.
    pub order_id: String,
    /// The SIM.
    pub iccid: String,
    /// The product; empty for other actions than orders.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// What came of it.
    pub effect: Effect,
    /// What the caller heard: `answered`, or the word of the fault that came in between.
    pub told: &'static str,
}

/// How often each came of the orders of one reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Accepted and still to be done.
    pub accepted: u64,
    /// Done: so many bundles were put on SIMs.
    pub done: u64,
    /// Refused.
    pub refused: u64,
    /// Failed in silence.
    pub silent_failures: u64,
    /// Taken as repeats.
    pub repeated: u64,
}

impl Action {
    /// Its name in the journal.
    pub fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Revoke => "revoke",
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }
}

impl Effect {
    /// Its name in the journal.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Done { .. } => "done",
            Self::Refused { .. } => "refused",
            Self::SilentFailure => "silent-failure",
            Self::Repeated => "repeated",
        }
    }
}

impl Entry {
    /// The entry as JSON; times are RFC 3339.
    pub fn to_json(&self) -> Value {
        let mut entry = json!({
            "at": self.at.rfc3339(),
            "action": self.action.word(),
            "reference": self.reference,
            "order_id": self.order_id,
            "iccid": self.iccid,
            "product": self.product,
            "quantity": self.quantity,
            "effect": self.effect.word(),
            "told": self.told,
        });
        match &self.effect {
            Effect::Accepted { due_at } => entry["due_at"] = due_at.rfc3339().into(),
            Effect::Done { at } => entry["done_at"] = at.rfc3339().into(),
            Effect::Refused { why } => entry["why"] = why.as_str().into(),
            Effect::SilentFailure | Effect::Repeated => {}
        }
        entry
    }
}

impl Count {
    /// The counts as JSON.
    pub fn to_json(self) -> Value {
        json!({
            "accepted": self.accepted,
            "done": self.done,
            "refused": self.refused,
            "silent_failures": self.silent_failures,
            "repeated": self.repeated,
        })
    }

    fn add(&mut self, effect: &Effect) {
        *match effect {
            Effect::Accepted { .. } => &mut self.accepted,
            Effect::Done { .. } => &mut self.done,
            Effect::Refused { .. } => &mut self.refused,
            Effect::SilentFailure => &mut self.silent_failures,
            Effect::Repeated => &mut self.repeated,
        } += 1;
    }
}

/// What came of the orders of each reference.
pub(crate) fn count(entries: &[Entry]) -> BTreeMap<String, Count> {
    let mut counts = BTreeMap::<String, Count>::new();
    for entry in entries.iter().filter(|entry| entry.action == Action::Order) {
        counts.entry(entry.reference.clone()).or_default().add(&entry.effect);
    }
    counts
}
