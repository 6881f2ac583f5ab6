//! The mall as its users meet it: through HTTP and the command line, on both engines.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod admin;
mod answers;
mod arrows;
mod awaiting;
mod bad_input;
mod batches;
mod binary;
mod days;
mod diagnosis;
mod failures;
mod groups;
mod groups_api;
mod groups_mended;
mod imports;
mod jobs;
mod limits;
mod looks;
mod modes;
mod money;
mod moved_clock;
mod orders;
mod outcomes;
mod payments;
mod plans;
mod privacy;
mod proxies;
mod published;
mod pushes;
mod pushes_api;
mod pushes_mended;
mod raw;
mod reconciling;
mod refunds;
mod renewals;
mod request_log;
mod saga;
mod seeing;
mod signatures;
mod sims;
mod slow_clients;
mod steps;
mod stripe_wire;
mod subscriptions;
mod usage;
