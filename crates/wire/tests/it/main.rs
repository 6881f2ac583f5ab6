//! The wire against the published and derived vectors, and each request against its own table.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod groups;
mod payloads;
mod push;
mod requests;
mod vectors;
