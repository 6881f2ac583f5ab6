//! An import: many rows of one kind from a CSV file, staged, validated whole, then applied.

use std::str::FromStr;

use crate::UnknownWord;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportKind {
    /// SIMs of one partner.
    Sims,
    /// Packages.
    Packages,
    /// Plans.
    Plans,
    /// Prices of any partners.
    Prices,
}

impl ImportKind {
    /// All kinds, in the order in which an empty mall needs them.
    pub const ALL: [Self; 4] = [Self::Packages, Self::Plans, Self::Prices, Self::Sims];

    /// The word stored in the database and used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sims => "sims",
            Self::Packages => "packages",
            Self::Plans => "plans",
            Self::Prices => "prices",
        }
    }
}

impl FromStr for ImportKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "kind of import")
    }
}

/// How far an import is.
///
/// ```text
/// STAGING --apply--> VALIDATING --all right--> APPLYING --> APPLIED
///                     ^      |----dry run----> CHECKED
///                     |      `----errors-----> INVALID
///                     `--apply-- CHECKED
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportState {
    /// Its parts are being uploaded.
    Staging,
    /// It is compared with what the mall has. Nothing is written.
    Validating,
    /// It has errors; nothing was written and nothing will be.
    Invalid,
    /// A dry run found no error. Nothing was written; it may be applied.
    Checked,
    /// It is being written, chunk by chunk.
    Applying,
    /// All of it is written.
    Applied,
}

impl ImportState {
    const ALL: [Self; 6] = [
        Self::Staging,
        Self::Validating,
        Self::Invalid,
        Self::Checked,
        Self::Applying,
        Self::Applied,
    ];

    /// The word stored in the database and used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Validating => "validating",
            Self::Invalid => "invalid",
            Self::Checked => "checked",
            Self::Applying => "applying",
            Self::Applied => "applied",
        }
    }

    /// Whether an import in this state may come to the next one.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Staging | Self::Checked, Self::Validating)
                | (Self::Validating, Self::Invalid | Self::Checked | Self::Applying)
                | (Self::Applying, Self::Applied)
        )
    }

    /// Whether the mall works on it by itself.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Validating | Self::Applying)
    }
}

impl FromStr for ImportState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "state of an import")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is written before the whole is known to be right, and what is refused stays refused.
    #[test]
    fn the_only_way_to_applied_is_through_validation() {
        for from in ImportState::ALL {
            let before_applying = from.may_become(ImportState::Applying);
            assert_eq!(before_applying, from == ImportState::Validating, "{from:?}");
            assert_eq!(from.may_become(ImportState::Applied), from == ImportState::Applying);
            assert!(!ImportState::Invalid.may_become(from));
            assert!(!ImportState::Applied.may_become(from));
            assert!(!from.may_become(ImportState::Staging));
            assert_eq!(from.as_str().parse(), Ok(from));
        }
    }
}
