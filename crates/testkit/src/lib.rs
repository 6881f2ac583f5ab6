//! Test support: a mall on either engine with a movable clock, and partners who call it.
//!
//! For tests only; it may panic, since a test that cannot be set up has failed.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::missing_panics_doc, reason = "all of it may panic, as said above")]

mod admin;
mod clock;
mod database;
mod localstripe;
mod mall;
mod network;
mod partner;
mod receiver;
pub mod saga;
mod stripe;
mod wire_proxy;

pub use admin::{AdminClient, Answer};
pub use clock::HandClock;
pub use database::{Database, Engine};
pub use localstripe::Localstripe;
pub use mall::{Recipe, TestMall, http_client};
pub use network::Network;
pub use partner::TestPartner;
pub use receiver::{
    Received, Receiver, Reply, TestEndpoint, add_push_endpoint, add_push_key, write_push_events,
};
pub use stripe::{PlayedStripe, all_at_stripe};
pub use wire_proxy::{Calls, WireFault, WireProxy};

/// Makes each story a test on both engines. A story is an `async fn(Engine)`, and may have attributes.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* $story:ident),* $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread")]
            $(#[$attribute])*
            async fn on_sqlite() {
                super::$story($crate::Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            $(#[$attribute])*
            async fn on_postgres() {
                super::$story($crate::Engine::Postgres).await;
            }
        }
    )*};
}
