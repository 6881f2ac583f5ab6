//! What the admin API alone reads and writes: tokens and the audit log.

pub(crate) mod audit;
pub(crate) mod tokens;
