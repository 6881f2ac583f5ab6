//! Push endpoints as partners and operators manage them: by signed calls, over the admin API, and what they see of what
//! was told.

mod keys;
mod listeners;
mod log;
mod managing;
mod operators;
mod telling;

use sdk::AddEndpoint;
use sdk::push_endpoints::IssuedEndpoint;
use testkit::{TestMall, TestPartner};

/// Adds an endpoint by a signed call.
async fn added(mall: &TestMall, partner: &TestPartner, url: &str) -> IssuedEndpoint {
    let new = AddEndpoint { url: url.to_owned(), ..AddEndpoint::default() };
    partner.client(mall).add_push_endpoint(&new).await.unwrap()
}

/// Adds a listener by a signed call.
async fn listener(mall: &TestMall, partner: &TestPartner) -> IssuedEndpoint {
    let new = AddEndpoint { is_listener: true, ..AddEndpoint::default() };
    partner.client(mall).add_push_endpoint(&new).await.unwrap()
}
