//! Those who take the money of an order: the partner itself, who was paid before it reports the order, and
//! Stripe. May touch the network, never the database.

pub mod stripe;
pub mod third_party;
