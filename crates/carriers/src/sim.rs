//! What carriers sell, and what is on a SIM, in one form for all of them. Pure data.

use domain::{Money, Timestamp};

/// How much data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// So many bytes.
    Bytes(u64),
    /// As much as one likes, within the carrier's fair use.
    Unlimited,
    /// The carrier does not say.
    Unknown,
}

/// A unit in which carriers count validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodUnit {
    /// Days of 24 hours or of a calendar: carriers differ.
    Day,
    /// Months.
    Month,
    /// Years.
    Year,
}

/// A product as the carrier lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The carrier's id, which goes into [`crate::Line::product`].
    pub id: String,
    /// The carrier's name of it.
    pub name: String,
    /// Data of one period.
    pub data: Allowance,
    /// How long one period is.
    pub validity: Option<(u32, PeriodUnit)>,
    /// Countries or areas, in the carrier's words.
    pub coverage: Vec<String>,
    /// What it costs us, where the unit of the carrier's number is known; rounded up to a minor unit.
    pub cost: Option<Money>,
}

/// A part of a list of products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Products {
    /// The products.
    pub products: Vec<Product>,
    /// What to ask with for the next part; `None` at the end.
    pub next: Option<String>,
}

/// The state of a SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimState {
    /// Not used yet.
    PreActive,
    /// In use.
    Active,
    /// Suspended.
    Paused,
    /// Out of validity or data; it can be renewed.
    Expired,
    /// Gone for good: do not sell to it.
    Terminated,
    /// Something else, in the carrier's word.
    Other(String),
}

/// A SIM as the carrier has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierSim {
    /// Its state.
    pub state: SimState,
    /// The carrier's own word for the state.
    pub said: String,
}

/// The state of a plan on a SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanState {
    /// Waits for its turn.
    Queued,
    /// In use.
    Active,
    /// Suspended.
    Paused,
    /// Used up, expired, or ended in a way that the carrier does not tell.
    Ended,
    /// Taken back before its time.
    Revoked,
    /// Something else, in the carrier's word.
    Other(String),
}

/// A plan on a SIM as the carrier has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierPlan {
    /// The carrier's id of it; it need not be unique on a SIM.
    pub id: String,
    /// The carrier's order that it came with, if it says so; more may stand behind the order's id.
    pub order: Option<String>,
    /// Its state.
    pub state: PlanState,
    /// Its data.
    pub data: Allowance,
    /// Bytes used of it.
    pub used: Option<u64>,
    /// How many periods were bought.
    pub periods: Option<u32>,
    /// When it began.
    pub start_at: Option<Timestamp>,
    /// When it ends.
    pub end_at: Option<Timestamp>,
}

/// For which time usage is asked; carriers that count per plan ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageRange {
    /// The first day (UTC).
    pub from: Timestamp,
    /// The last day (UTC), included.
    pub to: Timestamp,
}

/// How much data a SIM used. It is never this minute's number: carriers count late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Bytes used.
    pub used: u64,
    /// Of how many.
    pub total: Allowance,
    /// When the carrier counted.
    pub as_of: Option<Timestamp>,
    /// The parts of `used`, if the carrier gives them: its name of the period, and bytes.
    pub periods: Vec<(String, u64)>,
}
