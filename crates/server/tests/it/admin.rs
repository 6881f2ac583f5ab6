//! The admin API as operators meet it.

mod audit;
mod catalogue;
mod jobs;
mod ledger;
mod orders;
mod partners;
mod prices;
mod reviews;
mod routes;
mod sims;
mod tokens;
