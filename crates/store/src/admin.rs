//! What the admin API alone reads and writes: tokens, the audit log, and pages of everything.

pub(crate) mod audit;
pub(crate) mod catalogue;
pub(crate) mod jobs;
pub(crate) mod ledger;
pub(crate) mod partners;
pub(crate) mod prices;
pub(crate) mod renewals;
pub(crate) mod sims;
pub(crate) mod tokens;
