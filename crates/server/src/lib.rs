//! The one binary: settings, wiring, telemetry, subcommands. Nothing is decided here.

/// The system's own allocator lets threads wait for each other, and an order allocates a lot.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod admin;
mod backup;
mod carriers_file;
mod cashiers_file;
pub mod cli;
mod clock;
mod demo;
mod doctor;
mod edge;
mod listener;
#[cfg(feature = "otel")]
mod otel;
mod played;
mod process;
mod push_settings;
mod run;
mod sealing;
mod sign;
mod sim_settings;
mod simulator;
mod stripe_double;
mod telemetry;
mod token;

pub use clock::system_ctx;
pub use listener::Limits;
pub use run::{Running, Wiring, start};
pub use simulator::serve as serve_upstream;
pub use stripe_double::{StripeDouble, serve as serve_stripe_double};
