//! The admin API on the wire: what is asked and answered, in one table of routes and one of each
//! record's fields. They drive the router, the reading of requests, the `OpenAPI` document and
//! clients.
//!
//! All of it is *chosen*; no page of the vendor knows it.

pub mod audit;
pub mod catalogue;
mod check;
pub mod clock;
pub mod group;
pub mod import;
pub mod job;
pub mod ledger;
pub mod order;
pub mod partner;
mod problem;
pub mod push;
pub mod reconcile;
mod record;
pub mod renewal;
pub mod request;
pub mod route;
pub mod sim;
pub mod token;

pub use check::{check, check_query, check_text};
pub use problem::{FieldError, List, Problem};
pub use record::{Field, Kind, Presence, Record, Recorded, Secret};
pub use route::{Answer, Body, Op, ROUTES, Route};

/// Where the admin API stands.
pub const PREFIX: &str = "/admin/v1";
/// How many items a page of a list has unless told.
pub const LIMIT_DEFAULT: i64 = 50;
/// The most items of a page.
pub const LIMIT_MAX: i64 = 500;
/// The most bytes of a JSON body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most characters of a code or number.
pub const CODE_CHARS_MAX: usize = 64;
/// The most characters of a name.
pub const NAME_CHARS_MAX: usize = 128;
