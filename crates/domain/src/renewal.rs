//! The agreement to buy a plan again each period.

use std::str::FromStr;

use crate::UnknownWord;

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
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned(), "renewal state"))
    }
}
