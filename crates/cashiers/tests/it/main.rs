//! Stripe's client over real sockets: what it makes of every way in which a call can end, and of a double of
//! Stripe that nobody here wrote.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod endings;
mod localstripe;
mod peer;
mod requests;
