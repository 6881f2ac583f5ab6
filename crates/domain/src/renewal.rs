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
