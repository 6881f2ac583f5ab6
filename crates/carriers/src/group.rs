//! Groups at a carrier: SIMs that share what they use. Pure data.

use domain::Timestamp;

/// Whether a SIM is in a group, as its carrier says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// It is, and nothing is under way that changes it.
    In,
    /// It is not, and nothing is under way that changes it.
    Out,
    /// Something is under way: look again.
    Pending,
    /// The carrier cannot say.
    CannotTell {
        /// Why not.
        message: String,
    },
}

/// How much data the SIMs of a group used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupUsage {
    /// Bytes.
    pub used: u64,
    /// When the carrier counted.
    pub as_of: Option<Timestamp>,
}
