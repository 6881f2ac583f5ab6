//! What was on a SIM before an order, so that a later look can tell whether the order was carried out.
//!
//! Carriers without keys of their own leave no other trace. When in doubt the answer is "nothing new": a
//! person may find more, but nobody is told that a plan is there when it is not. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a carrier showed before a submit, in a form that only its module reads. Store it with the order
/// before the order is sent, and hand it back when asking. Empty: nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot(String);

impl Snapshot {
    /// A snapshot as it was stored.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to store: JSON, or nothing.
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One plan on a SIM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The carrier's id; several plans may share it.
    pub id: String,
    /// What grows when it is bought again: cycles, or bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
    /// When it was added, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<i64>,
    /// When it ends, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

/// All plans on a SIM at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    carrier: String,
    marks: Vec<Mark>,
}

impl Evidence {
    pub fn new(carrier: &str, marks: Vec<Mark>) -> Self {
        Self { carrier: carrier.to_owned(), marks }
    }

    pub fn to_snapshot(&self) -> Snapshot {
        Snapshot(serde_json::to_string(self).unwrap_or_default())
    }

    /// What a snapshot of this carrier holds; `None` if it is empty, of another carrier, or broken.
    pub fn read(snapshot: &Snapshot, carrier: &str) -> Option<Self> {
        let read: Option<Self> = serde_json::from_str(&snapshot.0).ok();
        read.filter(|evidence| evidence.carrier == carrier)
    }

    /// The id of a plan that was bought since.
    pub fn grown<'a>(&self, now: &'a [Mark]) -> Option<&'a str> {
        let before = by_id(&self.marks);
        let grown = by_id(now).into_iter().find(|(id, now)| {
            let before = before.get(id);
            before.is_none_or(|before| has_grown(before, now))
        });
        grown.map(|(id, _)| id)
    }
}

fn by_id(marks: &[Mark]) -> BTreeMap<&str, Vec<&Mark>> {
    let mut groups: BTreeMap<&str, Vec<&Mark>> = BTreeMap::new();
    for mark in marks {
        groups.entry(&mark.id).or_default().push(mark);
    }
    groups
}

/// Whether there is more under one id. What one side does not say is not compared.
fn has_grown(before: &[&Mark], now: &[&Mark]) -> bool {
    let amount = |marks: &[&Mark]| -> Option<u64> {
        marks.iter().try_fold(0_u64, |sum, mark| mark.amount.map(|more| sum.saturating_add(more)))
    };
    let added = |marks: &[&Mark]| -> Option<i64> {
        let all: Option<Vec<i64>> = marks.iter().map(|mark| mark.added).collect();
        all.and_then(|all| all.into_iter().max())
    };
    let more_of = amount(before).zip(amount(now)).is_some_and(|(before, now)| now > before);
    let later = added(before).zip(added(now)).is_some_and(|(before, now)| now > before);
    // A waiting plan gets its end when it starts: only of a lone plan does a later end mean a renewal.
    let longer = match (before, now) {
        ([before], [now]) => before.end.zip(now.end).is_some_and(|(before, now)| now > before),
        _ => false,
    };
    now.len() > before.len() || more_of || later || longer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(id: &str, amount: Option<u64>, end: Option<i64>) -> Mark {
        Mark { id: id.to_owned(), amount, added: None, end }
    }

    fn grown(before: &[Mark], now: &[Mark]) -> bool {
        let evidence = Evidence::new("test", before.to_vec());
        let stored = Snapshot::from_text(evidence.to_snapshot().as_text());
        let read = Evidence::read(&stored, "test").unwrap();
        assert_eq!(read, evidence);
        read.grown(now).is_some()
    }

    #[test]
    fn new_ids_more_entries_more_cycles_and_later_ends_are_seen() {
        let one = mark("a", Some(1), Some(100));
        let before = std::slice::from_ref(&one);
        assert!(!grown(&[], &[]) && grown(&[], before) && !grown(before, before));
        assert!(grown(before, &[one.clone(), one.clone()]));
        assert!(grown(before, &[one.clone(), mark("b", None, None)]));
        assert!(grown(before, &[mark("a", Some(2), Some(100))]));
        assert!(grown(before, &[mark("a", Some(1), Some(101))]));
        let later = Mark { added: Some(2), ..one.clone() };
        assert!(grown(&[Mark { added: Some(1), ..one.clone() }], &[later]));
    }

    #[test]
    fn what_happens_by_itself_is_not_a_purchase() {
        let (active, waiting) = (mark("a", Some(1), Some(100)), mark("a", Some(1), None));
        // A plan ends and leaves the list; a waiting one starts and gets its end.
        assert!(!grown(&[active.clone(), waiting.clone()], &[mark("a", Some(1), Some(200))]));
        let started = [active.clone(), mark("a", Some(1), Some(200))];
        assert!(!grown(&[active.clone(), waiting.clone()], &started));
        assert!(!grown(std::slice::from_ref(&waiting), std::slice::from_ref(&active)));
        // The carrier says more than before.
        assert!(!grown(&[mark("a", None, None)], &[active]));
    }

    #[test]
    fn what_was_not_read_proves_nothing() {
        assert_eq!(Evidence::read(&Snapshot::default(), "test"), None);
        assert_eq!(Evidence::read(&Snapshot::from_text("{"), "test"), None);
        let other = Evidence::new("other", Vec::new()).to_snapshot();
        assert_eq!(Evidence::read(&other, "test"), None);
    }
}
