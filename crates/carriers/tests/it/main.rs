//! Every carrier against the same demands, over a pretended network that speaks its protocol.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod conformance;
mod fake;
mod networks;
