//! A client for partners of a Mall API v3 server.
//!
//! It signs every request, sends it, and gives typed answers. Writes are safe to repeat: the same
//! `orderNo` with the same content never acts twice, so that after a lost reply one simply asks again.
//!
//! ```no_run
//! # async fn example() -> Result<(), sdk::Error> {
//! let client = sdk::Client::new(
//!     "https://mall.example",
//!     sdk::Prefix::Live,
//!     sdk::Credentials::hmac("P012345", "the-key-of-the-partner"),
//! )?;
//! let card = client.single_verify("89852420180910341000").await?;
//! println!("the card is {}", card.card_status);
//! # Ok(())
//! # }
//! ```

pub mod admin;
mod client;
mod endpoints;
mod groups;
mod orders;
pub mod push;

pub use client::{Client, Credentials, Error, Fields, Prefix, Scheme, Way};
pub use endpoints::{AddEndpoint, Again, ChangeEndpoint};
pub use groups::PageAt;
pub use orders::{NewOrder, PaidOrder};
pub use wire::answer::Failure;
pub use wire::endpoints as push_endpoints;
pub use wire::groups::{
    Accepted, Bundle, DryRun, Group, GroupSim, GroupSims, OperationResult, SimResult,
};
pub use wire::payment::{
    ResultQueryAnswer, StripeSingleAuthAnswer, StripeSubAuthAnswer, StripeSubDirectlyAnswer,
};
pub use wire::renewals::{AutoRenewalRecord, AutoRenewalRecordListAnswer};
pub use wire::topup::{Order, OrderPage, SimStatus, SimUsage};
pub use wire::vshop::{
    SingleOrderAnswer, SingleQueryOrderAnswer, SingleServicePlanPageAnswer, SingleVerifyAnswer,
    SynOrderInfoAnswer,
};
