//! The mall as its users meet it: through HTTP and the command line, on both engines.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod arrows;
mod published;
