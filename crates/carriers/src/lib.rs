//! Upstream networks: where a sold plan is put on its SIM.
//!
//! The trait asks each carrier to be honest about what it knows. A call whose outcome is unknown says so,
//! and is looked up; nothing is guessed. May touch the network, never the database.

mod simulator;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::{Iccid, Span};

pub use simulator::{Behaviour, Simulator, UnknownBehaviour};

/// What is ordered: one product for one SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The SIM.
    pub iccid: Iccid,
    /// The carrier's product.
    pub product: String,
    /// How many periods.
    pub periods: u32,
}

/// An order as the carrier has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The carrier's own id of it.
    pub upstream_id: String,
    /// How far it is.
    pub state: UpstreamState,
}

/// How far the carrier is with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamState {
    /// Accepted; ask again later.
    Pending,
    /// The plan is on the SIM.
    Done,
    /// It ended without a plan.
    Failed {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        message: String,
    },
}

/// Why an order was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitError {
    /// Refused for good; nothing was done.
    Permanent {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        message: String,
    },
    /// Not now; nothing was done.
    RetryLater {
        /// When to ask again, at the earliest.
        after: Span,
        /// The carrier's words.
        message: String,
    },
    /// Nobody can tell whether something was done.
    Ambiguous {
        /// What happened.
        message: String,
    },
}

/// What a look-up by our key found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The order is there.
    Found(Submitted),
    /// It is certain that there is none.
    NotFound,
    /// The carrier cannot say.
    CannotTell {
        /// Why not.
        message: String,
    },
}

/// A question could not be asked or answered; ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// What happened.
    pub message: String,
}

/// What a carrier does with the same key twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It gives the first order again: repeating is safe.
    Native,
    /// It may order twice: only looking is safe.
    None,
}

/// An upstream network.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// What it does with the same key twice.
    fn idempotency(&self) -> Idempotency;

    /// Orders one line under our key.
    async fn submit(&self, key: &str, line: &Line) -> Result<Submitted, SubmitError>;

    /// Looks for an order by our key.
    async fn find_by_key(&self, key: &str, line: &Line) -> Lookup;

    /// Whether the carrier can be reached and takes our credentials; gives its own words. Orders nothing.
    async fn check(&self) -> Result<String, QueryError>;

    /// How far an order is.
    async fn get_order(&self, upstream_id: &str) -> Result<UpstreamState, QueryError>;
}

/// The carriers of a mall by their codes.
pub type Carriers = HashMap<String, Arc<dyn Carrier>>;
