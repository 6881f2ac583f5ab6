//! Agreements to renew (sections 5.5, 5.6 and 5.8): made by a paid order, one per SIM, ended by the
//! partner or by the next one.

use domain::sim::SimState;
use domain::{Mode, Span};
use sdk::{Client, PaidOrder};
use serde_json::{Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};
use wire::renewals::{AutoRenewalHistory, QUERY_AUTO_RENEWAL_RECORD};

use crate::steps::code;

on_both_engines!(
    a_paid_order_makes_an_agreement,
    without_an_agreement_the_answer_is_an_empty_object,
    only_a_payment_makes_an_agreement,
    cancelling_twice_succeeds,
    an_agreement_is_cancelled_by_its_own_numbers_only,
    a_later_agreement_replaces_an_earlier_one,
    a_renewal_keeps_the_agreement,
    a_chain_of_renewals_is_one_agreement,
    what_is_refused_leaves_the_agreement_alone,
    an_unknown_original_order_is_no_mistake,
);

/// A paid order of `PLAN-M` that shall renew, for the order that it renews.
fn renewing(partner: &TestPartner, sim: &str, number: &str, original: &str) -> PaidOrder {
    let mut order = partner.paid_order(sim, number);
    order.order.auto_renewal = true;
    order.org_order_id = original.into();
    order
}

async fn flag(client: &Client, sim: &str) -> String {
    client.single_verify(sim).await.unwrap().auto_renewal
}

/// Number of the first order, status, end, next renewal and last result of each agreement.
async fn history(client: &Client, sim: &str) -> Vec<[String; 5]> {
    let answer = client.query_auto_renewal_record_list(sim).await.unwrap();
    let line = |one: AutoRenewalHistory| {
        let (number, next) = (one.record.order_no, one.next_renewal_time);
        [number, one.status, one.cancel_time, next, one.last_result]
    };
    answer.record_list.into_iter().map(line).collect()
}

fn line(line: [&str; 5]) -> [String; 5] {
    line.map(str::to_owned)
}

async fn a_paid_order_makes_an_agreement(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let mut order = renewing(&partner, sim, "N1", "");
    order.order.order_period = 2;
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    assert_eq!(flag(&client, sim).await, "1");
    let raw: Value =
        client.call(&QUERY_AUTO_RENEWAL_RECORD, vec![("deviceCode", json!(sim))]).await.unwrap();
    assert_eq!(
        raw,
        json!({
            "deviceCode": sim, "orderNo": "N1", "orderPeriod": "2", "packageType": "2",
            "partnerCode": "P100", "payId": "P100N1", "servicePlanShowName": "PLAN-M",
            "subscriptionTime": "2024.03.10",
        })
    );
    // Sixty days from 16:00 in Shanghai, the 10th of March.
    let active = line(["N1", "ACTIVE", "", "2024-05-09 16:00:00", ""]);
    assert_eq!(history(&client, sim).await, [active]);
    // Another plan in the queue puts the next renewal off to the end of that one.
    client.syn_order_info(&partner.paid_order(sim, "N2")).await.unwrap();
    mall.settle().await;
    let active = line(["N1", "ACTIVE", "", "2024-06-08 16:00:00", ""]);
    assert_eq!(history(&client, sim).await, [active]);
    // The repeat of the order makes no second agreement.
    client.syn_order_info(&order).await.unwrap();
    assert_eq!(history(&client, sim).await.len(), 1);
    mall.stop().await;
}

async fn without_an_agreement_the_answer_is_an_empty_object(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&partner.paid_order(sim, "N1")).await.unwrap();
    client.syn_order_info(&renewing(&partner, &partner.sims[1], "N2", "")).await.unwrap();
    mall.settle().await;
    let fields = vec![("deviceCode", json!(sim))];
    let raw: Value = client.call(&QUERY_AUTO_RENEWAL_RECORD, fields).await.unwrap();
    assert_eq!(raw, json!({}));
    assert_eq!(flag(&client, sim).await, "0");
    assert_eq!(history(&client, sim).await.len(), 0);
    for sim in [&other.sims[0], "89852000000000000000"] {
        assert_eq!(code(client.query_auto_renewal_record(sim).await), "SIM_UNKNOWN");
        assert_eq!(code(client.query_auto_renewal_record_list(sim).await), "SIM_UNKNOWN");
    }
    mall.stop().await;
}

async fn only_a_payment_makes_an_agreement(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let order = renewing(&partner, sim, "N1", "");
    let unknown = PaidOrder { pay_status: "2".to_owned(), ..order.clone() };
    client.syn_order_info(&unknown).await.unwrap();
    let mut failed = renewing(&partner, sim, "N2", "");
    (failed.pay_rst, failed.pay_status) = ("FAIL".to_owned(), "0".to_owned());
    client.syn_order_info(&failed).await.unwrap();
    client.single_order(&renewing(&partner, sim, "N3", "").order).await.unwrap();
    mall.settle().await;
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap(), None);
    assert_eq!((flag(&client, sim).await, history(&client, sim).await), ("0".to_owned(), vec![]));

    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap().unwrap().order_no, "N1");
    let active = line(["N1", "ACTIVE", "", "2024-04-09 16:00:00", ""]);
    assert_eq!(history(&client, sim).await, [active]);
    mall.stop().await;
}

async fn cancelling_twice_succeeds(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&renewing(&partner, sim, "N1", "")).await.unwrap();
    mall.settle().await;
    mall.advance(Span::days(2)).await;
    for _ in 0..2 {
        client.cancel_auto_renewal_record(sim, "N1", "P100N1").await.unwrap();
        // A repeat is not a second cancellation.
        let cancelled = line(["N1", "CANCELLED", "2024-03-12 16:00:00", "", ""]);
        assert_eq!(history(&client, sim).await, [cancelled]);
        assert_eq!(client.query_auto_renewal_record(sim).await.unwrap(), None);
        assert_eq!(flag(&client, sim).await, "0");
        mall.advance(Span::minutes(1)).await;
    }
    // The running period stays.
    assert_eq!(client.single_query_order(sim).await.unwrap().order_list.len(), 1);
    // The SIM can get a new agreement.
    client.syn_order_info(&renewing(&partner, sim, "N2", "")).await.unwrap();
    mall.settle().await;
    let statuses: Vec<_> =
        history(&client, sim).await.into_iter().map(|[no, status, ..]| (no, status)).collect();
    let pair = |no: &str, status: &str| (no.to_owned(), status.to_owned());
    assert_eq!(statuses, [pair("N2", "ACTIVE"), pair("N1", "CANCELLED")]);
    mall.stop().await;
}

async fn an_agreement_is_cancelled_by_its_own_numbers_only(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&renewing(&partner, sim, "N1", "")).await.unwrap();
    // An order without an agreement.
    client.syn_order_info(&partner.paid_order(sim, "N2")).await.unwrap();
    mall.settle().await;
    for (sim, order_no, pay_id) in [
        (sim, "N9", "P100N9"),
        (sim, "N1", "P100N9"),
        (sim, "N9", "P100N1"),
        (sim, "N2", "P100N2"),
        (&partner.sims[1], "N1", "P100N1"),
    ] {
        let outcome = client.cancel_auto_renewal_record(sim, order_no, pay_id).await;
        assert_eq!(code(outcome), "RENEWAL_UNKNOWN", "{order_no} {pay_id}");
    }
    let stranger = other.client(&mall);
    let outcome = stranger.cancel_auto_renewal_record(sim, "N1", "P100N1").await;
    assert_eq!(code(outcome), "SIM_UNKNOWN");
    let own = &other.sims[0];
    let outcome = stranger.cancel_auto_renewal_record(own, "N1", "P100N1").await;
    assert_eq!(code(outcome), "RENEWAL_UNKNOWN");
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap().unwrap().order_no, "N1");
    mall.stop().await;
}

async fn a_later_agreement_replaces_an_earlier_one(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    for number in ["N1", "N2"] {
        client.syn_order_info(&renewing(&partner, sim, number, "")).await.unwrap();
        mall.settle().await;
        mall.advance(Span::days(1)).await;
    }
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap().unwrap().order_no, "N2");
    let expected = [
        line(["N2", "ACTIVE", "", "2024-05-09 16:00:00", ""]),
        line(["N1", "REPLACED", "2024-03-11 16:00:00", "", ""]),
    ];
    assert_eq!(history(&client, sim).await, expected);
    // The one that was replaced is over: whatever is said of cancelling it, the later one stays.
    let _ = code(client.cancel_auto_renewal_record(sim, "N1", "P100N1").await);
    assert_eq!(history(&client, sim).await, expected);
    mall.stop().await;
}

async fn what_is_refused_leaves_the_agreement_alone(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = &mall.add_sim(&partner, "9002", "simulator", SimState::Ready).await;
    client.syn_order_info(&renewing(&partner, sim, "N1", "")).await.unwrap();
    mall.settle().await;
    assert_eq!(client.order("N1").await.unwrap().status, "FAILED");
    assert_eq!((flag(&client, sim).await, history(&client, sim).await), ("0".to_owned(), vec![]));
    mall.stop().await;
}

async fn a_chain_of_renewals_is_one_agreement(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    // Each names the one before it, not the first.
    for (number, original) in [("N1", ""), ("N2", "N1"), ("N3", "N2"), ("N4", "N3")] {
        client.syn_order_info(&renewing(&partner, sim, number, original)).await.unwrap();
        mall.settle().await;
    }
    assert_eq!(history(&client, sim).await.len(), 1);
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap().unwrap().order_no, "N1");
    client.cancel_auto_renewal_record(sim, "N1", "P100N1").await.unwrap();
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap(), None);
    mall.stop().await;
}

async fn a_renewal_keeps_the_agreement(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let first = client.syn_order_info(&renewing(&partner, sim, "N1", "")).await.unwrap();
    mall.settle().await;
    // The original order is named by the client's number, then by our own id.
    for (number, original, next) in [
        ("N2", "N1", "2024-05-09 16:00:00"),
        ("N3", first.order_id.as_str(), "2024-06-08 16:00:00"),
    ] {
        mall.advance(Span::days(1)).await;
        client.syn_order_info(&renewing(&partner, sim, number, original)).await.unwrap();
        mall.settle().await;
        let renewed = line(["N1", "ACTIVE", "", next, "success"]);
        assert_eq!(history(&client, sim).await, [renewed], "{number}");
        let record = client.query_auto_renewal_record(sim).await.unwrap().unwrap();
        assert_eq!(
            (record.order_no.as_str(), record.subscription_time.as_str()),
            ("N1", "2024.03.10")
        );
    }
    // The renewal's own numbers are not the agreement's.
    let outcome = client.cancel_auto_renewal_record(sim, "N2", "P100N2").await;
    assert_eq!(code(outcome), "RENEWAL_UNKNOWN");
    mall.stop().await;
}

async fn an_unknown_original_order_is_no_mistake(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    // An end user whose first order was made before the partner came to this mall.
    for (sim, original) in partner.sims.iter().zip([
        "OF-ANOTHER-MALL",
        "ord_00000000000000000000000000000000",
        "订单 1",
    ]) {
        let number = format!("N-{original}");
        client.syn_order_info(&renewing(&partner, sim, &number, original)).await.unwrap();
        mall.settle().await;
        assert_eq!(client.order(&number).await.unwrap().status, "PROVISIONED");
        let active = line([&number, "ACTIVE", "", "2024-04-09 16:00:00", ""]);
        assert_eq!(history(&client, sim).await, [active]);
    }
    // One that does not renew by itself makes no agreement, whatever it renews.
    client
        .cancel_auto_renewal_record(sim, "N-OF-ANOTHER-MALL", "P100N-OF-ANOTHER-MALL")
        .await
        .unwrap();
    let mut order = renewing(&partner, sim, "N2", "N-OF-ANOTHER-MALL");
    order.order.auto_renewal = false;
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap(), None);
    mall.stop().await;
}
