//! Exactly once: whatever is repeated, crossed or sent at the same moment, an order is made once, its
//! plan is on the SIM once, and it is booked once.

use domain::Mode;
use sdk::{Client, NewOrder, PaidOrder, Scheme};
use serde_json::{Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};
use wire::vshop::{SINGLE_ORDER, SYN_ORDER_INFO};

use crate::steps::{assert_owes, at_once, code, count, daily, postings, set_credit, with, without};

on_both_engines!(
    equal_reports_at_once_make_one_order,
    equal_orders_at_once_make_one_order,
    of_different_orders_with_one_number_the_first_wins,
    a_payment_and_a_transaction_belong_to_one_order,
    a_number_made_in_one_way_cannot_be_used_in_the_other,
    spelling_is_not_content,
    business_fields_are_content,
    a_refused_report_reserves_nothing,
    a_refused_order_reserves_nothing,
);

/// Clients of one partner that sign in every way.
fn clients(mall: &TestMall, partner: &TestPartner) -> Vec<Client> {
    vec![
        partner.client(mall),
        partner.client_with(mall, Scheme::Md5Key, &partner.key),
        partner.client_with(mall, Scheme::Md5, ""),
        partner.client(mall),
    ]
}

/// How many orders a SIM has.
async fn orders_of(client: &Client, sim: &str) -> i64 {
    client.orders_of_sim(sim, 1).await.unwrap().total_count
}

async fn plans_on(client: &Client, sim: &str) -> usize {
    client.single_query_order(sim).await.unwrap().order_list.len()
}

async fn equal_reports_at_once_make_one_order(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let clients = clients(&mall, &partner);
    // With and without a transaction's number, which is one more thing to collide on.
    for (sim, transaction) in partner.sims.iter().zip(["", "T1", "T2"]) {
        let mut order = partner.paid_order(sim, &format!("N{transaction}"));
        order.transaction_id = transaction.into();
        let answers = at_once(64, |number| {
            let (client, order) = (clients[number % clients.len()].clone(), order.clone());
            async move { client.syn_order_info(&order).await.unwrap() }
        })
        .await;
        for answer in &answers {
            let status = answer.order_status.as_str();
            assert!(["PAID", "PROVISIONING", "PROVISIONED"].contains(&status), "{status}");
            // The order may have moved on between two answers; nothing else differs.
            let mut alike = answer.clone();
            alike.order_status.clone_from(&answers[0].order_status);
            assert_eq!(alike, answers[0]);
        }
        mall.settle().await;
        // Long after, the repeat still does nothing more.
        let last = clients[0].syn_order_info(&order).await.unwrap();
        assert_eq!(last.order_id, answers[0].order_id);
        assert_eq!(last.order_status, "PROVISIONED");
        mall.settle().await;
        assert_eq!(orders_of(&clients[0], sim).await, 1);
        assert_eq!(plans_on(&clients[0], sim).await, 1);
    }
    assert_eq!(postings(&mall, &partner).await, 3);
    assert_owes(&mall, &partner, 2_400).await;
    mall.stop().await;
}

async fn equal_orders_at_once_make_one_order(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let sim = &partner.sims[0];
    let (clients, order) = (clients(&mall, &partner), partner.order(sim, "N1"));
    let answers = at_once(64, |number| {
        let (client, order) = (clients[number % clients.len()].clone(), order.clone());
        async move { client.single_order(&order).await.unwrap() }
    })
    .await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!((answers[0].order_no.as_str(), answers[0].pay_id.as_str()), ("N1", "P100N1"));
    mall.settle().await;
    let page = clients[0].orders_of_sim(sim, 1).await.unwrap();
    assert_eq!(page.total_count, 1);
    assert_eq!(page.orders[0].status, "AWAITING_PAYMENT");
    // Nobody has paid, so there is neither a plan nor a debt.
    assert_eq!(plans_on(&clients[0], sim).await, 0);
    assert_owes(&mall, &partner, 0).await;
    mall.stop().await;
}

async fn of_different_orders_with_one_number_the_first_wins(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, clients) = (&partner.sims[0], clients(&mall, &partner));
    let order = partner.paid_order(sim, "N1");
    let outcomes = at_once(64, |number| {
        let (client, mut order) = (clients[number % clients.len()].clone(), order.clone());
        order.order.request_order_id = format!("R{number}");
        // Half of them differ in the payment's number as well, so that two unique indexes meet.
        if number % 2 == 0 {
            order.order.pay_id = format!("PAY{number}");
        }
        async move { (number, code(client.syn_order_info(&order).await)) }
    })
    .await;
    let winners: Vec<usize> =
        outcomes.iter().filter(|(_, code)| code == "ok").map(|(number, _)| *number).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    let codes: Vec<String> = outcomes.into_iter().map(|(_, code)| code).collect();
    assert_eq!(count(&codes, "ORDER_CONFLICT"), 63, "{codes:?}");
    mall.settle().await;
    let made = clients[0].order("N1").await.unwrap();
    assert_eq!(made.request_order_id, format!("R{}", winners[0]));
    assert_eq!(orders_of(&clients[0], sim).await, 1);
    assert_eq!(plans_on(&clients[0], sim).await, 1);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn a_payment_and_a_transaction_belong_to_one_order(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let report = async |change: fn(&mut PaidOrder, usize)| {
        let codes = at_once(16, |number| {
            let mut order = partner.paid_order(sim, "");
            change(&mut order, number);
            let client = client.clone();
            async move { code(client.syn_order_info(&order).await) }
        });
        let codes = codes.await;
        assert_eq!((count(&codes, "ok"), count(&codes, "ORDER_CONFLICT")), (1, 15), "{codes:?}");
    };
    report(|order, number| {
        order.order.order_no = format!("A{number}");
        order.order.pay_id = "ONE-PAYMENT".into();
    })
    .await;
    report(|order, number| {
        order.order.order_no = format!("B{number}");
        order.order.pay_id = format!("B{number}");
        order.transaction_id = "ONE-TRANSACTION".into();
    })
    .await;
    mall.settle().await;
    assert_eq!(plans_on(&client, sim).await, 2);
    assert_owes(&mall, &partner, 1_600).await;

    // Orders that the mall takes the payment of share the payments' numbers.
    let mut order = partner.order(sim, "C1");
    order.pay_id = "ONE-PAYMENT".into();
    assert_eq!(code(client.single_order(&order).await), "ORDER_CONFLICT");
    // A transaction may also be named later, and an empty one is none.
    let mut waiting = partner.paid_order(sim, "D1");
    (waiting.pay_status, waiting.pay_rst) = ("2".to_owned(), "PENDING".to_owned());
    client.syn_order_info(&waiting).await.unwrap();
    (waiting.pay_status, waiting.pay_rst) = ("1".to_owned(), "SUCCESS".to_owned());
    waiting.transaction_id = "ONE-TRANSACTION".into();
    assert_eq!(code(client.syn_order_info(&waiting).await), "ORDER_CONFLICT");
    assert_eq!(client.order("D1").await.unwrap().status, "AWAITING_PAYMENT");
    waiting.transaction_id = "ANOTHER".into();
    client.syn_order_info(&waiting).await.unwrap();
    assert_eq!(client.order("D1").await.unwrap().transaction_id, "ANOTHER");
    // One that was named before the outcome cannot be exchanged with it: it stays this order's.
    let mut named = partner.paid_order(sim, "E1");
    (named.pay_status, named.pay_rst) = ("2".to_owned(), "PENDING".to_owned());
    named.transaction_id = "FIRST".into();
    client.syn_order_info(&named).await.unwrap();
    (named.pay_status, named.pay_rst) = ("1".to_owned(), "SUCCESS".to_owned());
    named.transaction_id = "SECOND".into();
    assert_eq!(code(client.syn_order_info(&named).await), "ORDER_CONFLICT");
    named.transaction_id = String::new();
    client.syn_order_info(&named).await.unwrap();
    assert_eq!(client.order("E1").await.unwrap().transaction_id, "FIRST");
    // Numbers are a partner's own: another partner may use the same.
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let mut theirs = other.paid_order(&other.sims[0], "N1");
    theirs.order.pay_id = "ONE-PAYMENT".into();
    theirs.transaction_id = "ONE-TRANSACTION".into();
    other.client(&mall).syn_order_info(&theirs).await.unwrap();
    mall.stop().await;
}

async fn a_number_made_in_one_way_cannot_be_used_in_the_other(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.single_order(&partner.order(sim, "N1")).await.unwrap();
    let reported = client.syn_order_info(&partner.paid_order(sim, "N1")).await;
    assert_eq!(code(reported), "ORDER_CONFLICT");

    client.syn_order_info(&partner.paid_order(sim, "N2")).await.unwrap();
    assert_eq!(code(client.single_order(&partner.order(sim, "N2")).await), "ORDER_CONFLICT");

    // At the same moment, one of the two ways wins and the other is a conflict.
    let codes = at_once(32, |number| {
        let (client, order) = (client.clone(), partner.paid_order(sim, "N3"));
        async move {
            let outcome = match number % 2 {
                0 => code(client.syn_order_info(&order).await),
                _ => code(client.single_order(&order.order).await),
            };
            (number % 2, outcome)
        }
    })
    .await;
    let ways_that_won: Vec<usize> =
        codes.iter().filter(|(_, code)| code == "ok").map(|(way, _)| *way).collect();
    assert_eq!(ways_that_won.len(), 16, "{codes:?}");
    assert!(ways_that_won.iter().all(|way| *way == ways_that_won[0]), "{codes:?}");
    mall.settle().await;
    let reported = if ways_that_won[0] == 0 { 2 } else { 1 };
    assert_eq!(plans_on(&client, sim).await, reported);
    assert_eq!(orders_of(&client, sim).await, 3);
    mall.stop().await;
}

async fn spelling_is_not_content(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    // The strict scheme fixes tradeTime and tradeType; this one leaves them free.
    let (sim, client) = (&partner.sims[0], partner.client_with(&mall, Scheme::Md5, ""));
    let first = partner.paid_order(sim, "N1").fields();
    let first = with(&first, "servicePlanShowName", json!("My plan"));
    let spellings = [
        with(&first, "payAmount", json!("10.000")),
        with(&first, "payAmount", json!("10")),
        with(&first, "payAmount", json!(10)),
        with(&first, "settlePrice", json!(8)),
        with(&first, "settlePrice", json!("8.0000")),
        with(&first, "orderPeriod", json!(1)),
        with(&first, "autoRenewal", json!(0)),
        with(&first, "payStatus", json!(1)),
        with(&first, "payCurrency", json!("eur")),
        with(&first, "requestOrderId", Value::Null),
        without(&first, "requestOrderId"),
        without(&first, "autoRenewal"),
        with(&first, "orgOrderId", Value::Null),
        with(&first, "payType", json!("")),
        with(&first, "payAccount", Value::Null),
        with(&first, "payRst", json!("Success")),
        with(&first, "payResultDate", json!("2024-03-10 16:00:01")),
        with(&first, "servicePlanShowName", json!("我的套餐")),
        without(&first, "servicePlanShowName"),
        with(&first, "tradeTime", json!("20181031256548")),
        with(&first, "tradeType", json!("payPalPay")),
        with(&first, "languageCode", json!("1")),
        with(&first, "terminal", json!("0")),
        with(&first, "mark", json!("7")),
        with(&first, "version", json!("1.0")),
        with(&first, "somethingNew", json!({"a": [1, 2]})),
    ];
    let made: Value = client.call(&SYN_ORDER_INFO, first).await.unwrap();
    for spelling in spellings {
        let again: Result<Value, _> = client.call(&SYN_ORDER_INFO, spelling.clone()).await;
        let again = again.unwrap_or_else(|error| panic!("{error}: {spelling:?}"));
        assert_eq!(again["orderId"], made["orderId"], "{spelling:?}");
    }
    mall.settle().await;
    assert_eq!(orders_of(&client, sim).await, 1);
    assert_owes(&mall, &partner, 800).await;

    let first = partner.paid_order(sim, "N2").fields();
    let made: Value = client.call(&SINGLE_ORDER, first.clone()).await.unwrap();
    let spelling = with(&with(&first, "payAmount", json!(10)), "payCurrency", json!("eUr"));
    let again: Value = client.call(&SINGLE_ORDER, without(&spelling, "autoRenewal")).await.unwrap();
    assert_eq!(again, made);
    mall.stop().await;
}

async fn business_fields_are_content(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let report = partner.paid_order(sim, "N1").fields();
    let report = with(&report, "payUnit", json!("10.00"));
    let _: Value = client.call(&SYN_ORDER_INFO, report.clone()).await.unwrap();
    let order = partner.paid_order(sim, "N2").fields();
    let _: Value = client.call(&SINGLE_ORDER, order.clone()).await.unwrap();
    let differences = [
        ("deviceCode", json!(partner.sims[1])),
        ("payId", json!("ANOTHER")),
        ("requestOrderId", json!("R1")),
        ("servicePlanCode", json!("PLAN-C")),
        ("packageCode", json!("PACK-C")),
        ("orderPeriod", json!("2")),
        ("payAmount", json!("10.01")),
        ("payCurrency", json!("USD")),
        ("autoRenewal", json!("1")),
    ];
    for (name, value) in differences {
        let changed = with(&report, name, value.clone());
        let outcome = client.call::<Value>(&SYN_ORDER_INFO, changed).await;
        assert_eq!(code(outcome), "ORDER_CONFLICT", "SynOrderInfo, {name}");
        let changed = with(&order, name, value);
        let outcome = client.call::<Value>(&SINGLE_ORDER, changed).await;
        assert_eq!(code(outcome), "ORDER_CONFLICT", "singleOrder, {name}");
    }
    let differences = [
        ("orgOrderId", json!("N0")),
        ("payAccount", json!("9")),
        ("payType", json!("3")),
        ("payUnit", json!("10.01")),
        ("payUnit", Value::Null),
        ("settlePrice", json!("8.01")),
        // An outcome comes once.
        ("transactionId", json!("T1")),
        ("payRst", json!("FAIL")),
    ];
    for (name, value) in differences {
        let mut changed = with(&report, name, value);
        if name == "payRst" {
            changed = with(&changed, "payStatus", json!("0"));
        }
        let outcome = client.call::<Value>(&SYN_ORDER_INFO, changed).await;
        assert_eq!(code(outcome), "ORDER_CONFLICT", "SynOrderInfo, {name}");
    }
    mall.settle().await;
    assert_eq!(orders_of(&client, sim).await, 2);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

/// A change to an order, and the code with which it is refused.
type Refusal = (fn(&mut NewOrder), &'static str);

/// What is wrong in the same way however the order is paid.
const REFUSALS: [Refusal; 6] = [
    (|order| order.iccid = "8985200000000000000".into(), "SIM_UNKNOWN"),
    (|order| order.service_plan_code = "PLAN-X".into(), "PLAN_UNKNOWN"),
    (|order| order.package_code = "PACK-D".into(), "PLAN_UNKNOWN"),
    (|order| order.order_period = 7, "PERIOD_NOT_ALLOWED"),
    (|order| order.pay_currency = "XXX".into(), "BAD_REQUEST"),
    (|order| order.pay_amount = "10.001".into(), "BAD_REQUEST"),
];

async fn a_refused_report_reserves_nothing(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let mut right = partner.paid_order(sim, "N1");
    right.transaction_id = "T1".into();
    for (change, refusal) in REFUSALS {
        let mut wrong = right.clone();
        change(&mut wrong.order);
        assert_eq!(code(client.syn_order_info(&wrong).await), refusal);
    }
    let price = PaidOrder { settle_price: "7.99".to_owned(), ..right.clone() };
    assert_eq!(code(client.syn_order_info(&price).await), "PRICE_MISMATCH");
    let mut renewal = daily(&partner, sim, "N1", 1);
    renewal.transaction_id = "T1".into();
    renewal.order.auto_renewal = true;
    assert_eq!(code(client.syn_order_info(&renewal).await), "RENEWAL_NOT_ALLOWED");
    set_credit(&mall, &partner, 799).await;
    assert_eq!(code(client.syn_order_info(&right).await), "CREDIT_EXCEEDED");
    assert_eq!(code(client.order("N1").await), "ORDER_UNKNOWN");
    assert_eq!(code(client.result_query("P100N1").await), "PAYMENT_UNKNOWN");
    assert_eq!(postings(&mall, &partner).await, 0);
    assert_owes(&mall, &partner, 0).await;

    set_credit(&mall, &partner, 800).await;
    client.syn_order_info(&right).await.unwrap();
    mall.settle().await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn a_refused_order_reserves_nothing(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let right = partner.order(sim, "N1");
    for (change, refusal) in REFUSALS {
        let mut wrong = right.clone();
        change(&mut wrong);
        assert_eq!(code(client.single_order(&wrong).await), refusal);
    }
    let wrong = NewOrder { pay_amount: "9.99".to_owned(), ..right.clone() };
    assert_eq!(code(client.single_order(&wrong).await), "PRICE_MISMATCH");
    let wrong = NewOrder { pay_currency: "USD".to_owned(), ..right.clone() };
    assert_eq!(code(client.single_order(&wrong).await), "CURRENCY_MISMATCH");
    assert_eq!(code(client.order("N1").await), "ORDER_UNKNOWN");
    client.single_order(&right).await.unwrap();
    assert_eq!(client.order("N1").await.unwrap().status, "AWAITING_PAYMENT");
    mall.stop().await;
}
