//! Sends signed pushes to partners' URLs: one try each, in bounded time, and never to an address inside.
//!
//! A partner chooses the URL, so that whoever can add one could make the mall call what only the mall can
//! reach. Therefore the form of a URL is checked when it is added and again by whoever
//! sends to it ([`Endpoint`]), and addresses are checked when a connection is made, after the name was resolved;
//! the connection goes to the addresses that were checked ([`refusal`]). May touch the network, never
//! the database. Who is pushed to, when, and what is signed is decided elsewhere.

mod address;
mod endpoint;
mod outcome;
mod resolver;
mod sender;

pub use address::refusal;
pub use endpoint::{Endpoint, EndpointError, Policy, URL_BYTES_MAX};
pub use outcome::{ANSWER_TEXT_BYTES_MAX, Answer, Failure, FailureKind, Outcome};
pub use resolver::{Names, SystemNames};
pub use sender::{BODY_BYTES_MAX, Push, Sender, Settings, SetupError, TIMEOUT};
