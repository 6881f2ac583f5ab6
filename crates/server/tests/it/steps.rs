//! Steps that several stories share.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use domain::Money;
use mall::Mall;
use sdk::{Client, Credentials, Error, Fields, PaidOrder, Prefix};
use serde_json::Value;
use server::Running;
use testkit::{TestMall, TestPartner};
use tokio::sync::Barrier;

/// The code of a refusal; `ok` where there was none.
pub(crate) fn code<T: Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(Error::Refused { failure, .. }) => failure.code,
        Err(error) => panic!("no answer: {error}"),
    }
}

/// A client of the partner at another node.
pub(crate) fn client_at(node: &Running, mall: &TestMall, partner: &TestPartner) -> Client {
    let credentials = Credentials::hmac(&partner.partner.code, &partner.key);
    let client = Client::new(&format!("http://{}", node.address), Prefix::Test, credentials);
    let clock = Arc::clone(&mall.clock);
    client.unwrap().with_clock(move || domain::Clock::now(&*clock).as_millis())
}

/// How many of the codes are this one.
pub(crate) fn count(codes: &[String], code: &str) -> usize {
    codes.iter().filter(|one| *one == code).count()
}

/// Runs something many times, each in a task of its own, all let loose at the same moment.
pub(crate) async fn at_once<T, F>(times: usize, run: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(times));
    let tasks: Vec<_> = (0..times)
        .map(|number| {
            let (start, task) = (Arc::clone(&start), run(number));
            tokio::spawn(async move {
                start.wait().await;
                task.await
            })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(times);
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// The fields with one of them set to another value.
pub(crate) fn with(fields: &Fields<'static>, name: &'static str, value: Value) -> Fields<'static> {
    let mut fields = without(fields, name);
    fields.push((name, value));
    fields
}

/// The fields without one of them.
pub(crate) fn without(fields: &Fields<'static>, name: &str) -> Fields<'static> {
    fields.iter().filter(|(field, _)| *field != name).cloned().collect()
}

/// A paid order of `PLAN-D`, 0.80 a day to the operator, for so many days.
pub(crate) fn daily(partner: &TestPartner, sim: &str, number: &str, days: u32) -> PaidOrder {
    let mut order = partner.paid_order(sim, number);
    order.order.service_plan_code = "PLAN-D".into();
    order.order.package_code = "PACK-D".into();
    order.order.order_period = days;
    order.order.pay_amount = format!("{days}.00");
    order.settle_price = "0.80".into();
    order
}

/// A paid order of `PLAN-C`, the calendar month.
pub(crate) fn calendar(partner: &TestPartner, sim: &str, number: &str) -> PaidOrder {
    let mut order = partner.paid_order(sim, number);
    order.order.service_plan_code = "PLAN-C".into();
    order.order.package_code = "PACK-C".into();
    order.order.pay_amount = "20.00".into();
    order.settle_price = "16.00".into();
    order
}

/// The plans on a SIM as 5.4 tells them: status, periods, unit, last day, remaining days.
pub(crate) async fn queue(client: &Client, sim: &str) -> Vec<[String; 5]> {
    let answer = client.single_query_order(sim).await.unwrap();
    let plan = |plan: wire::vshop::QueuedOrder| {
        let last_day = plan.expire_date.unwrap_or_default();
        [plan.order_status, plan.time, plan.unit, last_day, plan.remaining_days]
    };
    answer.order_list.into_iter().map(plan).collect()
}

/// How many postings a partner's ledger has.
pub(crate) async fn postings(mall: &TestMall, partner: &TestPartner) -> usize {
    let mut tx = mall.store().read().await.unwrap();
    let (mode, id) = (partner.partner.mode, partner.partner.id);
    tx.postings(mode, id).await.unwrap().len()
}

/// Sets what a partner may owe, in minor units of its settlement currency.
pub(crate) async fn set_credit(mall: &TestMall, partner: &TestPartner, minor: i64) {
    let limit = Money::new(minor, partner.partner.settlement_currency);
    let mut tx = mall.store().begin().await.unwrap();
    tx.set_credit_limit(&partner.partner, limit).await.unwrap();
    tx.commit().await.unwrap();
}

/// Insists that the ledger says what the partner owes, in minor units of one currency, and sums to
/// zero.
pub(crate) async fn assert_owes(mall: &TestMall, partner: &TestPartner, minor: i64) {
    assert_eq!(partner.owes(mall).await, minor, "the credit in use");
    let (mut receivable, mut sum) = (0, 0);
    let own = partner.partner.settlement_currency.code();
    for ((account, currency), balance) in partner.ledger(mall).await {
        assert_eq!(currency, own);
        sum += balance;
        if account == "partner_receivable" {
            receivable += balance;
        }
    }
    assert_eq!((receivable, sum), (minor, 0), "the ledger: receivable, sum of all accounts");
}

/// Waits until no node runs a job and none is due.
pub(crate) async fn settle_nodes(nodes: &[&Arc<Mall>]) {
    let mut calm = 0;
    for _ in 0..30_000 {
        let mut idle = true;
        for node in nodes {
            idle &= node.is_idle().await.unwrap();
        }
        calm = if idle { calm + 1 } else { 0 };
        // A job that ended between two looks may have written another.
        if calm == 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("jobs are still due after 300 seconds");
}
