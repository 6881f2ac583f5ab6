//! The rules of the mall: ids, money, time, state machines and the ledger.
//!
//! Pure: no I/O, no async, no ambient clock or randomness. Every other crate stands on this one.

pub mod ctx;
pub mod group;
pub mod iccid;
pub mod id;
pub mod import;
pub mod ledger;
pub mod locale;
pub mod mode;
pub mod money;
pub mod order;
pub mod package;
pub mod partner;
pub mod payment;
pub mod plan;
pub mod push;
pub mod refund;
pub mod renewal;
pub mod role;
pub mod sim;
pub mod sim_plan;
pub mod territory;
pub mod time;
pub mod trace;

pub use ctx::{Clock, Ctx};
pub use iccid::Iccid;
pub use locale::{Locale, LocalizedText};
pub use mode::Mode;
pub use money::{Currency, Money};
pub use role::Role;
pub use time::{Span, Timestamp, Zone};
pub use trace::{TraceId, TraceParent};

/// A stored or received word that names no variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a known {1}")]
pub struct UnknownWord(pub String, pub &'static str);

impl UnknownWord {
    /// The value of a word among all that there are, or the error that names what it should have been.
    pub fn or_find<T: Copy>(
        all: &[T],
        word: fn(T) -> &'static str,
        text: &str,
        what: &'static str,
    ) -> Result<T, Self> {
        let found = all.iter().copied().find(|value| word(*value) == text);
        found.ok_or_else(|| Self(text.to_owned(), what))
    }
}
