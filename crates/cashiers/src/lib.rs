//! Those who take the money of an order. So far there is one: the partner itself, who was paid before
//! it reports the order. May touch the network, never the database.

pub mod third_party;
