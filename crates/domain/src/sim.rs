//! A SIM in a partner's stock.

use std::str::FromStr;

use crate::UnknownWord;
use crate::iccid::Iccid;
use crate::id::SimId;

/// What the network says of a SIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimState {
    /// Delivered and usable.
    Ready,
    /// Suspended.
    Suspended,
    /// Its validity ended, but it can be renewed.
    Expired,
    /// Gone for good: nothing can be sold for it.
    Terminated,
}

impl SimState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Suspended, Self::Expired, Self::Terminated];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Terminated => "terminated",
        }
    }

    /// Whether a plan can be sold for a SIM in this state.
    pub fn sellable(self) -> bool {
        self != Self::Terminated
    }
}

impl FromStr for SimState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "SIM state")
    }
}

/// A SIM in a partner's stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sim {
    /// Our id.
    pub id: SimId,
    /// The number on the card.
    pub iccid: Iccid,
    /// The carrier it belongs to.
    pub carrier: String,
    /// What the network says of it.
    pub state: SimState,
}
