//! What a partner says of a payment of its own (section 5.7), how it may change its word, and what
//! can be asked afterwards.

use domain::{Mode, Span, Zone};
use sdk::{Client, PaidOrder};
use serde_json::Value;
use testkit::{Engine, TestMall, on_both_engines};
use wire::topup::QUERY_ORDER;

use crate::steps::{assert_owes, at_once, code, count, postings};

on_both_engines!(
    paid_takes_two_words_that_agree,
    what_was_not_known_becomes_known_once,
    an_outcome_reported_many_times_at_once_counts_once,
    crossing_outcomes_leave_one,
    a_payments_time_is_in_the_partners_zone,
    an_order_is_found_by_its_numbers,
    of_a_number_that_repeats_the_latest_paid_order_counts,
    the_orders_of_a_sim_come_newest_first_and_in_pages,
    a_payments_result_has_a_word_for_each_end,
);

/// The order with another outcome.
fn said(order: &PaidOrder, result: &str, status: &str) -> PaidOrder {
    PaidOrder { pay_rst: result.to_owned(), pay_status: status.to_owned(), ..order.clone() }
}

/// Where an order stands, and the word for its payment.
async fn standing(client: &Client, order_no: &str) -> (String, String) {
    let order = client.order(order_no).await.unwrap();
    (order.status, order.pay_result)
}

fn pair(status: &str, word: &str) -> (String, String) {
    (status.to_owned(), word.to_owned())
}

async fn paid_takes_two_words_that_agree(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let table = [
        ("SUCCESS", "1", "PROVISIONED", "success"),
        ("success", "1", "PROVISIONED", "success"),
        ("FAIL", "0", "FAILED", "fail"),
        ("whatever", "0", "FAILED", "fail"),
        ("SUCCESS", "0", "AWAITING_PAYMENT", "processing"),
        ("FAIL", "1", "AWAITING_PAYMENT", "processing"),
        ("SUCCESS", "2", "AWAITING_PAYMENT", "processing"),
        ("PENDING", "2", "AWAITING_PAYMENT", "processing"),
        ("SUCCESS", "01", "AWAITING_PAYMENT", "processing"),
    ];
    for (number, (result, status, _, _)) in table.iter().enumerate() {
        let order = partner.paid_order(sim, &format!("N{number}"));
        client.syn_order_info(&said(&order, result, status)).await.unwrap();
    }
    mall.settle().await;
    for (number, (result, status, stands, word)) in table.iter().enumerate() {
        let order_no = format!("N{number}");
        let found = standing(&client, &order_no).await;
        assert_eq!(found, pair(stands, word), "{result} {status}");
        let answer = client.result_query(&format!("P100{order_no}")).await.unwrap();
        assert_eq!(answer.pay_rst, *word);
        assert_eq!(answer.pay_result_date.is_empty(), *word == "processing");
    }
    // Only what was paid is a plan and a debt.
    assert_eq!(client.single_query_order(sim).await.unwrap().order_list.len(), 2);
    assert_owes(&mall, &partner, 1_600).await;
    mall.stop().await;
}

async fn what_was_not_known_becomes_known_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let report = async |order: &PaidOrder, (result, status): (&str, &str)| {
        let outcome = client.syn_order_info(&said(order, result, status)).await;
        let outcome = outcome.map(|answer| answer.order_id);
        mall.settle().await;
        (outcome.as_ref().ok().cloned(), code(outcome))
    };
    let (paid, failed) = (("SUCCESS", "1"), ("FAIL", "0"));
    let (unknown, odd) = (("PENDING", "2"), ("SUCCESS", "0"));

    // Not known, again not known, then paid; from then on nothing changes it.
    let first = partner.paid_order(sim, "N1");
    let (id, _) = report(&first, unknown).await;
    assert_eq!(report(&first, odd).await, (id.clone(), "ok".to_owned()));
    assert_eq!(standing(&client, "N1").await, pair("AWAITING_PAYMENT", "processing"));
    assert_owes(&mall, &partner, 0).await;
    assert_eq!(report(&first, paid).await, (id.clone(), "ok".to_owned()));
    for (outcome, expected) in
        [(paid, "ok"), (unknown, "ok"), (odd, "ok"), (failed, "ORDER_CONFLICT")]
    {
        assert_eq!(report(&first, outcome).await.1, expected, "{outcome:?} after paid");
        assert_eq!(standing(&client, "N1").await, pair("PROVISIONED", "success"));
    }
    assert_owes(&mall, &partner, 800).await;

    // Not known, then failed; a payment that failed stays failed.
    let second = partner.paid_order(sim, "N2");
    let (id, _) = report(&second, unknown).await;
    assert_eq!(report(&second, failed).await, (id, "ok".to_owned()));
    for (outcome, expected) in [(failed, "ok"), (unknown, "ok"), (paid, "ORDER_CONFLICT")] {
        assert_eq!(report(&second, outcome).await.1, expected, "{outcome:?} after failed");
        assert_eq!(standing(&client, "N2").await, pair("FAILED", "fail"));
    }

    // Failed from the beginning.
    let third = partner.paid_order(sim, "N3");
    assert_eq!(report(&third, failed).await.1, "ok");
    assert_eq!(report(&third, paid).await.1, "ORDER_CONFLICT");
    let failure = client.order("N3").await.unwrap().failure.unwrap();
    assert_eq!(failure.code, "PAYMENT_FAILED");
    assert_eq!(client.single_query_order(sim).await.unwrap().order_list.len(), 1);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn an_outcome_reported_many_times_at_once_counts_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let mut order = partner.paid_order(sim, "N1");
    client.syn_order_info(&said(&order, "PENDING", "2")).await.unwrap();
    order.transaction_id = "T1".into();
    let codes = at_once(32, |_| {
        let (client, order) = (client.clone(), order.clone());
        async move { code(client.syn_order_info(&order).await) }
    })
    .await;
    assert_eq!(count(&codes, "ok"), 32, "{codes:?}");
    mall.settle().await;
    assert_eq!(standing(&client, "N1").await, pair("PROVISIONED", "success"));
    assert_eq!(client.single_query_order(sim).await.unwrap().order_list.len(), 1);
    assert_eq!(postings(&mall, &partner).await, 1);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn crossing_outcomes_leave_one(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let order = partner.paid_order(sim, "N1");
    client.syn_order_info(&said(&order, "PENDING", "2")).await.unwrap();
    let answers = at_once(32, |number| {
        let words = if number % 2 == 0 { ("SUCCESS", "1") } else { ("FAIL", "0") };
        let (client, order) = (client.clone(), said(&order, words.0, words.1));
        async move { (words.0, code(client.syn_order_info(&order).await)) }
    })
    .await;
    let believed = answers.iter().find(|(_, code)| code == "ok").unwrap().0;
    for (word, code) in &answers {
        let expected = if *word == believed { "ok" } else { "ORDER_CONFLICT" };
        assert_eq!(code, expected, "{answers:?}");
    }
    mall.settle().await;
    let (standing, plans) = (standing(&client, "N1").await, client.single_query_order(sim).await);
    let plans = plans.unwrap().order_list.len();
    if believed == "SUCCESS" {
        assert_eq!((standing, plans), (pair("PROVISIONED", "success"), 1));
        assert_owes(&mall, &partner, 800).await;
    } else {
        assert_eq!((standing, plans), (pair("FAILED", "fail"), 0));
        assert_owes(&mall, &partner, 0).await;
    }
    mall.stop().await;
}

async fn a_payments_time_is_in_the_partners_zone(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for (code, zone) in [("P100", "Asia/Shanghai"), ("P200", "America/New_York"), ("P300", "UTC")] {
        let zone: Zone = zone.parse().unwrap();
        let set = |partner: &mut domain::partner::Partner| partner.zone = zone.clone();
        let partner = mall.add_partner(code, Mode::Test, set).await;
        let (sim, client) = (&partner.sims[0], partner.client(&mall));
        let mut order = partner.paid_order(sim, "N1");
        order.pay_result_date = "2024-03-09 23:59:58".into();
        client.syn_order_info(&order).await.unwrap();
        let paid_at = zone.parse_date_time("2024-03-09 23:59:58").unwrap().as_millis();
        assert_eq!(client.order("N1").await.unwrap().paid_at, Some(paid_at), "{code}");
        let result = client.result_query(&order.order.pay_id).await.unwrap();
        assert_eq!(result.pay_result_date, "2024-03-09 23:59:58");

        // Without a time of the partner's, the mall's counts.
        let mut order = partner.paid_order(sim, "N2");
        order.pay_result_date = String::new();
        client.syn_order_info(&order).await.unwrap();
        let result = client.result_query(&order.order.pay_id).await.unwrap();
        assert_eq!(result.pay_result_date, mall.now().date_time(&zone));
    }
    mall.stop().await;
}

async fn an_order_is_found_by_its_numbers(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let mut order = partner.paid_order(sim, "N1");
    order.order.request_order_id = "R1".into();
    order.transaction_id = "T1".into();
    let made = client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    let found = client.order("N1").await.unwrap();
    assert_eq!(found.order_id, made.order_id);
    assert_eq!(client.order(&made.order_id).await.unwrap(), found);
    assert_eq!(client.order_by_purchase("R1").await.unwrap(), found);
    assert_eq!((found.purchase_order_id.as_str(), found.request_order_id.as_str()), ("R1", "R1"));
    assert_eq!((found.pay_id.as_str(), found.transaction_id.as_str()), ("P100N1", "T1"));
    assert_eq!((found.pay_amount.as_str(), found.pay_currency.as_str()), ("10.00", "EUR"));
    assert_eq!((found.settle_price.as_str(), found.pay_channel.as_str()), ("8.00", "third_party"));
    assert_eq!((&found.sim_id, found.order_period), (sim, 1));
    assert_eq!((found.package_type.as_str(), found.auto_renewal.as_str()), ("2", "0"));
    assert_eq!(found.failure, None);
    // The order's number is the client side's only where there is no reference of its own.
    assert_eq!(code(client.order_by_purchase("N1").await), "ORDER_UNKNOWN");
    client.single_order(&partner.order(sim, "N2")).await.unwrap();
    let unpaid = client.order_by_purchase("N2").await.unwrap();
    assert_eq!((unpaid.status.as_str(), unpaid.paid_at), ("AWAITING_PAYMENT", None));
    assert_eq!((unpaid.pay_channel.as_str(), unpaid.settle_price.as_str()), ("stripe", ""));

    // The first of several numbers counts.
    let fields = vec![
        ("purchase_order_id", Value::from("N2")),
        ("order_id", Value::from("N1")),
        ("sim_id", Value::from(sim.as_str())),
    ];
    let first: Value = client.call(&QUERY_ORDER, fields.clone()).await.unwrap();
    assert_eq!(first["order_id"], unpaid.order_id.as_str());
    let second: Value = client.call(&QUERY_ORDER, fields[1..].to_vec()).await.unwrap();
    assert_eq!(second["order_id"], found.order_id.as_str());
    assert_eq!(code(client.call::<Value>(&QUERY_ORDER, Vec::new()).await), "BAD_REQUEST");

    // A partner sees its own only.
    let stranger = other.client(&mall);
    for number in ["N1", &made.order_id, "N9", "ord_00000000000000000000000000000000"] {
        assert_eq!(code(stranger.order(number).await), "ORDER_UNKNOWN", "{number}");
    }
    assert_eq!(code(stranger.order_by_purchase("R1").await), "ORDER_UNKNOWN");
    assert_eq!(code(stranger.orders_of_sim(sim, 1).await), "SIM_UNKNOWN");
    assert_eq!(code(stranger.result_query("P100N1").await), "PAYMENT_UNKNOWN");
    mall.stop().await;
}

async fn of_a_number_that_repeats_the_latest_paid_order_counts(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let report = async |number: &str, result: &str, status: &str| {
        let mut order = partner.paid_order(sim, number);
        order.order.request_order_id = "R1".into();
        client.syn_order_info(&said(&order, result, status)).await.unwrap();
        // Ids of different milliseconds have an order.
        mall.advance(Span::seconds(1)).await;
    };
    let found = async || {
        let order = client.order_by_purchase("R1").await.unwrap();
        client.result_query(&order.pay_id).await.unwrap().pay_id
    };
    report("N1", "FAIL", "0").await;
    assert_eq!(found().await, "P100N1");
    report("N2", "PENDING", "2").await;
    assert_eq!(found().await, "P100N2");
    report("N3", "SUCCESS", "1").await;
    report("N4", "SUCCESS", "1").await;
    assert_eq!(found().await, "P100N4");
    report("N5", "PENDING", "2").await;
    report("N6", "FAIL", "0").await;
    assert_eq!(found().await, "P100N4");
    mall.stop().await;
}

async fn the_orders_of_a_sim_come_newest_first_and_in_pages(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    for number in 1..=5 {
        client.single_order(&partner.order(sim, &format!("N{number}"))).await.unwrap();
        mall.advance(Span::seconds(1)).await;
    }
    client.single_order(&partner.order(&partner.sims[1], "ELSEWHERE")).await.unwrap();
    let page = async |page_no: &str, page_size: &str| -> Value {
        let fields = vec![
            ("sim_id", Value::from(sim.as_str())),
            ("page_no", Value::from(page_no)),
            ("page_size", Value::from(page_size)),
        ];
        client.call(&QUERY_ORDER, fields).await.unwrap()
    };
    let numbers = |page: &Value| -> Vec<String> {
        let orders = page["orders"].as_array().unwrap();
        orders.iter().map(|order| order["purchase_order_id"].as_str().unwrap().to_owned()).collect()
    };
    for (page_no, expected) in
        [("1", vec!["N5", "N4"]), ("2", vec!["N3", "N2"]), ("3", vec!["N1"]), ("4", vec![])]
    {
        let page = page(page_no, "2").await;
        assert_eq!(numbers(&page), expected, "page {page_no}");
        assert_eq!((&page["total_count"], &page["page_size"]), (&5.into(), &2.into()));
    }
    let all = client.orders_of_sim(sim, 1).await.unwrap();
    assert_eq!((all.orders.len(), all.page_no, all.page_size), (5, 1, 100));
    let none = client.orders_of_sim(&partner.sims[2], 1).await.unwrap();
    assert_eq!((none.total_count, none.orders.len()), (0, 0));
    mall.stop().await;
}

async fn a_payments_result_has_a_word_for_each_end(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let word = async |number: &str| {
        let answer = client.result_query(&format!("P100{number}")).await.unwrap();
        (answer.pay_rst, answer.pay_result_date)
    };
    client.single_order(&partner.order(sim, "MALL")).await.unwrap();
    let open = partner.paid_order(sim, "OPEN");
    client.syn_order_info(&said(&open, "PENDING", "2")).await.unwrap();
    client.syn_order_info(&partner.paid_order(sim, "PAID")).await.unwrap();
    let failed = partner.paid_order(sim, "FAILED");
    client.syn_order_info(&said(&failed, "FAIL", "0")).await.unwrap();
    for number in ["MALL", "OPEN"] {
        assert_eq!(word(number).await, pair("processing", ""));
    }
    assert_eq!(word("PAID").await, pair("success", "2024-03-10 16:00:00"));
    assert_eq!(word("FAILED").await, pair("fail", "2024-03-10 16:00:00"));
    mall.advance(Span::minutes(30)).await;
    for number in ["MALL", "OPEN"] {
        assert_eq!(word(number).await.0, "closed", "{number}");
        assert_eq!(client.order(number).await.unwrap().status, "CLOSED");
    }
    let answer = client.result_query("P100PAID").await.unwrap();
    assert_eq!((answer.pay_amount.as_str(), answer.partner_code.as_str()), ("€10.00", "P100"));
    assert_eq!((answer.order_period.as_str(), answer.package_type.as_str()), ("1", "2"));
    assert_eq!(answer.service_plan_show_name, "PLAN-M");
    mall.stop().await;
}
