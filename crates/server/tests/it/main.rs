//! The mall as its users meet it: through HTTP and the command line, on both engines.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod admin;
mod answers;
mod arrows;
mod bad_input;
mod binary;
mod diagnosis;
mod imports;
mod jobs;
mod modes;
mod money;
mod orders;
mod outcomes;
mod plans;
mod privacy;
mod published;
mod raw;
mod renewals;
mod request_log;
mod seeing;
mod signatures;
mod steps;
