//! A database that fails while pushes are on their way: nothing is lost, and what was sent is not sent again.

use domain::Span;
use domain::push::DeliveryState;
use testkit::{Engine, Receiver, TestMall, on_both_engines};

use super::{buy, pairs, told};

on_both_engines!(
    what_cannot_be_written_is_written_later_and_not_sent_again,
    what_cannot_be_read_is_told_later,
);

/// Long enough for a lease that nobody gave back to end.
const LEASE_ENDED: Span = Span::minutes(2);
/// Where it is written what came of a try, and nothing else needs it.
const WHAT_WAS_SAID: (&str, &str) = ("push_deliveries", "said");
const THE_KEYS: (&str, &str) = ("push_keys", "sealed");

/// Takes a column away, so that every statement about it fails.
async fn hide(mall: &TestMall, (table, column): (&str, &str)) {
    let sql = format!("ALTER TABLE {table} RENAME COLUMN {column} TO hidden_{column}");
    mall.database.execute(&sql).await;
}

async fn show(mall: &TestMall, (table, column): (&str, &str)) {
    let sql = format!("ALTER TABLE {table} RENAME COLUMN hidden_{column} TO {column}");
    mall.database.execute(&sql).await;
}

async fn what_cannot_be_written_is_written_later_and_not_sent_again(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", domain::Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    hide(&mall, WHAT_WAS_SAID).await;
    for (sim, number) in ["N1", "N2"].into_iter().enumerate() {
        buy((&mall, &partner), sim, number).await;
    }
    server.wait_for(2).await;
    assert_eq!(endpoint.waiting(&mall).await, 2, "what became of them is not written");
    assert!(!mall.mall().is_push_idle().await.unwrap());
    show(&mall, WHAT_WAS_SAID).await;
    mall.settle_pushes().await;
    let success = "recharge.success";
    assert_eq!(told(&server), pairs(&[(success, "N1"), (success, "N2")]));
    for delivery in endpoint.deliveries(&mall).await {
        assert_eq!((delivery.state, delivery.tries), (DeliveryState::Delivered, 1));
        assert_eq!(endpoint.attempts(&mall, delivery.event_id).await.len(), 1);
    }
    mall.stop().await;
}

async fn what_cannot_be_read_is_told_later(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", domain::Mode::Test, |_| ()).await;
    let server = Receiver::start().await;
    let endpoint = mall.add_endpoint(&partner, &server.url("/"), &[]).await;
    hide(&mall, THE_KEYS).await;
    buy((&mall, &partner), 0, "N1").await;
    mall.settle_pushes().await;
    assert_eq!((server.received().len(), endpoint.waiting(&mall).await), (0, 1));
    show(&mall, THE_KEYS).await;
    mall.advance_and_tell(LEASE_ENDED).await;
    assert_eq!(told(&server), pairs(&[("recharge.success", "N1")]));
    assert_eq!(endpoint.waiting(&mall).await, 0);
    mall.stop().await;
}
