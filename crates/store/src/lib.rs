//! All SQL of the mall, one text for SQLite and PostgreSQL.
//!
//! A use-case opens one [`Tx`], does everything through it and commits it. No network call while a `Tx`
//! is open. Invariants rest on unique indexes and on compare-and-set, never on isolation levels.
//! This crate alone may touch sqlx.

mod admin;
mod attempts;
mod backup;
mod bulk;
mod carrier_sims;
mod cashier;
mod clocks;
mod engine;
mod error;
mod figures;
mod groups;
mod health;
mod imports;
mod jobs;
mod ledger;
mod many;
mod migrate;
mod order_batches;
mod order_search;
mod orders;
mod partners;
mod payments;
mod plans;
mod push_endpoints;
mod push_events;
mod push_relay;
mod push_sweep;
mod refunds;
mod renewals;
mod request_log;
mod seal;
mod sim_plans;
mod sims;
mod standing;
mod subscriptions;
#[cfg(test)]
mod tests;
mod waits;

pub use admin::audit::{AuditEntry, AuditFilter, AuditHead, SealedEntry};
pub use admin::catalogue::ListedPlan;
pub use admin::jobs::{JobFilter, JobRecord};
pub use admin::ledger::{Moved, PostingRecord};
pub use admin::partners::KeyRecord;
pub use admin::prices::BookedPrice;
pub use admin::renewals::{RenewalFilter, RenewalRecord};
pub use admin::sims::SimRecord;
pub use admin::tokens::{AdminToken, TokenSecret};
pub use attempts::{Attempt, AttemptState};
pub use backup::{copy_sqlite, read_file, sqlite_file};
pub use bulk::{BATCH_ROWS, CataloguePlan, OwnedSim, PartnerPrice};
pub use carrier_sims::{CarrierSim, Question, RunningSim};
pub use cashier::{CashierCustomer, CashierEvent, CashierKey, CashierPayment};
pub use engine::{Engine, Options, Store, Tx};
pub use error::{Result, StoreError};
pub use figures::{KindFigure, OpenOrders, PoolFigure, WaitFigure};
pub use groups::{
    BLOCK_PLACES, BusySim, Chunk, ChunkSize, GroupEvent, GroupKey, PlacedMember, ReviewedMember,
};
pub use health::pushes::PushBacklog;
pub use health::{Backlog, EngineVersion, FAULTS_MAX, Fault, KEYS_MAX, SealedKey, Setting};
pub use imports::{Import, ImportError, ImportPart, NewImport, Tally};
pub use jobs::{Due, Job, JobKind, NewJob};
pub use ledger::BookedPosting;
pub use migrate::schema_known;
pub use order_batches::OrderChange;
pub use order_search::{FoundOrder, OrderFilter, OrdersPage};
pub use partners::{Credit, PartnerKey, Versions};
pub use plans::{DatedPrice, Price};
pub use push_endpoints::{EndpointHealth, EndpointKey, PushEndpoint, PushKey};
pub use push_events::{PushAttempt, PushDelivery, PushEvent, SubjectKey};
pub use push_relay::{DuePush, HeldEndpoint, PushLease, PushOutcome};
pub use push_sweep::{EventKey, OldPushEvent, PushFigure};
pub use request_log::{LogFilter, LoggedRequest, SUCCESS};
pub use seal::{Purpose, Sealer, SealerError};
pub use sim_plans::{SimBook, SimKey, SimPlan, SimQueue};
pub use sims::Card;
pub use standing::{IdleJob, SweptOrder};
pub use subscriptions::{CashierPrice, CashierSubscription, Offer};
