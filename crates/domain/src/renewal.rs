//! The agreement to buy a plan again each period.

use std::str::FromStr;

use crate::UnknownWord;
use crate::iccid::Iccid;
use crate::id::{OrderId, RenewalId};
use crate::time::Timestamp;

/// An agreement to buy a plan again each period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Our id.
    pub id: RenewalId,
    /// The SIM.
    pub iccid: Iccid,
    /// The order with which it began.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: RenewalState,
    /// When it was agreed.
    pub agreed_at: Timestamp,
    /// When it ended, if it did.
    pub ended_at: Option<Timestamp>,
    /// When the next order is due, as far as that is known.
    pub next_at: Option<Timestamp>,
    /// Whether a renewal came since.
    pub renewed: bool,
    /// How many periods in a row did not come.
    pub misses: u32,
}

impl Renewal {
    /// How the last period ended: `success`, `failed`, or empty before the first.
    pub fn last_result(&self) -> &'static str {
        match (self.misses, self.renewed) {
            (0, false) => "",
            (0, true) => "success",
            _ => "failed",
        }
    }
}

/// What can become true of an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RenewalEventKind {
    /// It was made.
    Agreed,
    /// A period came: its plan is on the SIM.
    Succeeded,
    /// A period did not come, or its charge was declined.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// A later one took its place.
    Replaced,
}

impl RenewalEventKind {
    const ALL: [Self; 5] =
        [Self::Agreed, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Replaced];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Replaced => "replaced",
        }
    }
}

impl FromStr for RenewalEventKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "event of an auto-renewal")
    }
}

/// Something that became true of an agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalEvent {
    /// What.
    pub kind: RenewalEventKind,
    /// Which one: the order that came, the invoice that was declined, or when the period was due; empty where there
    /// can be one only.
    pub subject: String,
    /// Who did it; may be empty.
    pub actor: String,
    /// Why; may be empty.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// Where an agreement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RenewalState {
    /// In force. A SIM has one at most.
    Active,
    /// Cancelled; the running period stays.
    Cancelled,
    /// A later agreement for the same SIM took its place.
    Replaced,
}

impl RenewalState {
    const ALL: [Self; 3] = [Self::Active, Self::Cancelled, Self::Replaced];

    /// The word stored in the database and, in upper case, on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cancelled => "cancelled",
            Self::Replaced => "replaced",
        }
    }
}

impl FromStr for RenewalState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "renewal state")
    }
}
