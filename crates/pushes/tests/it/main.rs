//! The push sender over real sockets: where it goes, where it does not, and what it makes of every way in which
//! a try can end.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod addresses;
mod encrypted;
mod endings;
mod forms;
mod inside;
mod peer;
