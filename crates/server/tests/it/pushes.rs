//! Pushes, from what happened to the partner's server: signed, in their order, and never lost.

mod base;
mod breaker;
mod nodes;
mod order;
mod told;

use testkit::{Received, Receiver, Reply, TestEndpoint, TestMall, TestPartner};

/// Event type and the number of the order that each push is about, in the order in which they came.
fn told(receiver: &Receiver) -> Vec<(String, String)> {
    receiver.received().iter().map(about).collect()
}

fn about(push: &Received) -> (String, String) {
    let event = push.event();
    let number = event.order().map(|order| order.purchase_order_id).unwrap_or_default();
    (event.event_type, number)
}

/// What [`told`] gives of these.
fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(kind, number): &(&str, &str)| ((*kind).to_owned(), (*number).to_owned());
    expected.iter().map(pair).collect()
}

/// Orders a plan for a month and lets it be delivered.
async fn buy((mall, partner): (&TestMall, &TestPartner), sim: usize, number: &str) {
    let order = partner.paid_order(&partner.sims[sim % partner.sims.len()], number);
    partner.client(mall).syn_order_info(&order).await.unwrap();
    mall.settle().await;
}

/// Turns an endpoint on again, as its partner would.
async fn resume(mall: &TestMall, endpoint: &TestEndpoint) {
    let mut row = endpoint.now(mall).await;
    row.state = domain::push::EndpointState::On;
    row.off_reason.clear();
    let mut tx = mall.store().begin().await.unwrap();
    tx.update_push_endpoint(&row).await.unwrap();
    tx.refresh_push_endpoint(&row, mall.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A server that is down.
fn down(_: &Received) -> Reply {
    Reply::Status(500)
}

/// A server that takes whatever comes.
fn up(_: &Received) -> Reply {
    Reply::Status(200)
}
