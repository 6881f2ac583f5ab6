//! The one binary: settings, wiring, telemetry, subcommands. Nothing is decided here.

pub mod cli;
mod clock;
mod demo;
mod run;
mod sealing;
mod sign;
mod telemetry;
mod token;

pub use clock::system_ctx;
pub use run::{Running, Wiring, start};
