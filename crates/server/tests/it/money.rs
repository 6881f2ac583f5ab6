//! Money: the right price in the right currency, never more debt than the credit allows, and books
//! that always balance.

use domain::partner::Partner;
use domain::plan::PriceKind;
use domain::sim::{Sim, SimState};
use domain::{Mode, Money, Span};
use sdk::{Client, Error, NewOrder, PaidOrder};
use serde_json::{Value, json};
use store::Price;
use testkit::{Engine, TestMall, TestPartner, on_both_engines};
use wire::vshop::SYN_ORDER_INFO;

use crate::steps::{assert_owes, at_once, code, count, daily, postings, set_credit, with};

on_both_engines!(
    an_order_costs_the_price_times_the_periods,
    a_report_owes_the_settlement_price,
    a_price_that_ended_is_accepted_for_an_hour,
    currencies_have_their_own_decimals,
    credit_is_never_overdrawn_however_many_ask_at_once,
    a_refusal_by_the_carrier_gives_the_credit_back,
    what_cannot_be_sold_is_refused_by_name,
    a_partner_may_ask_for_its_amounts_to_be_checked,
    a_partner_may_ask_for_check_digits,
);

async fn an_order_costs_the_price_times_the_periods(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let table = [
        (1, "10.00", "EUR", "ok"),
        (2, "20.00", "EUR", "ok"),
        (3, "30.00", "eur", "ok"),
        (2, "10.00", "EUR", "PRICE_MISMATCH"),
        (1, "20.00", "EUR", "PRICE_MISMATCH"),
        (1, "9.99", "EUR", "PRICE_MISMATCH"),
        (1, "10.01", "EUR", "PRICE_MISMATCH"),
        (1, "0", "EUR", "PRICE_MISMATCH"),
        // The settlement price is not for end users.
        (1, "8.00", "EUR", "PRICE_MISMATCH"),
        (1, "10.00", "USD", "CURRENCY_MISMATCH"),
        (1, "1000", "JPY", "CURRENCY_MISMATCH"),
        (1, "92233720368547758.07", "EUR", "PRICE_MISMATCH"),
        (1, "92233720368547758.08", "EUR", "BAD_REQUEST"),
    ];
    for (number, (periods, amount, currency, expected)) in table.into_iter().enumerate() {
        let order = NewOrder {
            order_period: periods,
            pay_amount: amount.to_owned(),
            pay_currency: currency.to_owned(),
            ..partner.order(sim, &format!("N{number}"))
        };
        let outcome = code(client.single_order(&order).await);
        assert_eq!(outcome, expected, "{periods} periods for {amount} {currency}");
    }
    // The mall takes these payments itself: the partner owes nothing.
    assert_owes(&mall, &partner, 0).await;
    mall.stop().await;
}

async fn a_report_owes_the_settlement_price(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (partner.sims[0].clone(), partner.client(&mall));
    let report = async |partner: &TestPartner, number: &str, periods: u32, price: &str| {
        let mut order = partner.paid_order(&sim, number);
        // What the end user paid, and in which currency, is the partner's own affair.
        order.order.pay_amount = "3999".into();
        order.order.pay_currency = "JPY".into();
        order.order.order_period = periods;
        order.settle_price = price.into();
        code(client.syn_order_info(&order).await)
    };
    assert_eq!(report(&partner, "N1", 1, "8.00").await, "ok");
    assert_eq!(report(&partner, "N2", 3, "8").await, "ok");
    // The price is per period, not in all.
    assert_eq!(report(&partner, "N3", 3, "24.00").await, "PRICE_MISMATCH");
    assert_eq!(report(&partner, "N3", 1, "10.00").await, "PRICE_MISMATCH");
    assert_eq!(report(&partner, "N3", 1, "8.01").await, "PRICE_MISMATCH");
    assert_eq!(report(&partner, "N3", 1, "8.001").await, "BAD_REQUEST");
    mall.settle().await;
    assert_owes(&mall, &partner, 800 + 3 * 800).await;
    let order = client.order("N2").await.unwrap();
    assert_eq!((order.pay_amount.as_str(), order.pay_currency.as_str()), ("3999", "JPY"));
    assert_eq!((order.settle_price.as_str(), order.order_period), ("8.00", 3));

    // A partner that settles in a currency in which it has no prices.
    let dollars = |partner: &mut Partner| partner.settlement_currency = "USD".parse().unwrap();
    mall.change_partner(&mut partner, dollars).await;
    // What its end users pay in is its own affair: only the settlement price can be wrong.
    assert_eq!(report(&partner, "N4", 1, "8.00").await, "PRICE_MISMATCH");
    mall.stop().await;
}

/// Puts another sale and settlement price of `PLAN-M` in the place of those in force.
async fn reprice(mall: &TestMall, partner: &TestPartner, prices: Option<(i64, i64)>) {
    let (mode, id) = (partner.partner.mode, partner.partner.id);
    let mut tx = mall.store().begin().await.unwrap();
    for kind in [PriceKind::Sale, PriceKind::Settlement] {
        tx.end_prices(mode, id, ("PLAN-M", kind), mall.now()).await.unwrap();
        let Some((sale, settlement)) = prices else { continue };
        let (minor, currency) = match kind {
            PriceKind::Sale => (sale, partner.partner.currency),
            PriceKind::Settlement => (settlement, partner.partner.settlement_currency),
        };
        let unit = Money::new(minor, currency);
        let price = Price { plan_code: "PLAN-M".to_owned(), kind, unit };
        let from_now = (mall.now(), None);
        tx.insert_price(mode, id, mall.mall().ctx().id(), &price, from_now).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn a_price_that_ended_is_accepted_for_an_hour(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let offer = async |sale: &str, settle: &str| {
        // A number of its own for each try, made from what is tried and when.
        let number = format!("{sale}@{}", mall.now().as_millis());
        let order = NewOrder { pay_amount: sale.to_owned(), ..partner.order(sim, &number) };
        let number = format!("{settle}@{}R", mall.now().as_millis());
        let paid = partner.paid_order(sim, &number);
        let paid = PaidOrder { settle_price: settle.to_owned(), ..paid };
        let ordered = code(client.single_order(&order).await);
        assert_eq!(code(client.syn_order_info(&paid).await), ordered, "both prices changed");
        ordered
    };
    let shown = async || {
        let page = client.single_service_plan_page(sim, "", 1).await.unwrap();
        let mut plans = page.service_plan_list.into_iter();
        let plan = plans.find(|plan| plan.service_plan_code == "PLAN-M")?;
        Some((plan.pay_unit, plan.settle_price))
    };
    let pair = |sale: &str, settle: &str| Some((sale.to_owned(), settle.to_owned()));
    assert_eq!(shown().await, pair("10.00", "8.00"));
    mall.advance(Span::minutes(1)).await;
    assert_eq!(offer("12.00", "9.00").await, "PRICE_MISMATCH");
    reprice(&mall, &partner, Some((1_200, 900))).await;
    // The new price counts at once and is the only one shown; the old one is still taken.
    assert_eq!(shown().await, pair("12.00", "9.00"));
    assert_eq!(offer("12.00", "9.00").await, "ok");
    assert_eq!(offer("10.00", "8.00").await, "ok");
    assert_eq!(offer("11.00", "8.50").await, "PRICE_MISMATCH");
    mall.advance(Span::minutes(59)).await;
    assert_eq!(offer("10.00", "8.00").await, "ok");
    mall.advance(Span::minutes(2)).await;
    assert_eq!(offer("10.00", "8.00").await, "PRICE_MISMATCH");
    assert_eq!(offer("12.00", "9.00").await, "ok");

    // A plan without any price is not sold, an hour after its last one ended.
    reprice(&mall, &partner, None).await;
    assert_eq!(shown().await, None);
    mall.advance(Span::minutes(59)).await;
    assert_eq!(offer("12.00", "9.00").await, "ok");
    mall.advance(Span::minutes(2)).await;
    assert_eq!(offer("12.00", "9.00").await, "PLAN_UNKNOWN");
    mall.stop().await;
}

async fn currencies_have_their_own_decimals(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // Code, currency, price as shown and as others write it, settlement price, debt, a wrong spelling.
    let table = [
        ("P100", "JPY", ["1000", "1000.00", "¥1000"], "800", 800, "1000.5"),
        ("P200", "KWD", ["10.000", "10", "KWD 10.000"], "8.000", 8_000, "10.0001"),
    ];
    for (partner_code, currency, [price, spelling, signed], settle, debt, wrong) in table {
        let set = |partner: &mut Partner| {
            partner.currency = currency.parse().unwrap();
            partner.settlement_currency = partner.currency;
        };
        let partner = mall.add_partner(partner_code, Mode::Test, set).await;
        let (sim, client) = (&partner.sims[0], partner.client(&mall));
        let page = client.single_service_plan_page(sim, "", 1).await.unwrap();
        let plan = page.service_plan_list.iter().find(|plan| plan.service_plan_code == "PLAN-M");
        let plan = plan.unwrap();
        assert_eq!((plan.pay_unit.as_str(), plan.settle_price.as_str()), (price, settle));
        assert_eq!(plan.pay_currency, currency);

        let order = NewOrder { pay_amount: spelling.to_owned(), ..partner.order(sim, "N1") };
        client.single_order(&order).await.unwrap();
        let order = NewOrder { pay_amount: wrong.to_owned(), ..partner.order(sim, "N2") };
        let refused = client.single_order(&order).await.unwrap_err();
        assert_eq!(field_of(&refused), Some("payAmount"), "{refused}");
        let result = client.result_query(&format!("{partner_code}N1")).await.unwrap();
        assert_eq!(result.pay_amount, signed);

        let paid = partner.paid_order(sim, "N3");
        assert_eq!((paid.order.pay_amount.as_str(), paid.settle_price.as_str()), (price, settle));
        client.syn_order_info(&paid).await.unwrap();
        mall.settle().await;
        assert_owes(&mall, &partner, debt).await;
        let shown = client.order("N3").await.unwrap();
        assert_eq!((shown.pay_amount.as_str(), shown.settle_price.as_str()), (price, settle));
    }
    mall.stop().await;
}

/// The field that a refusal names.
fn field_of(error: &Error) -> Option<&str> {
    match error {
        Error::Refused { failure, .. } if failure.code == "BAD_REQUEST" => failure.field.as_deref(),
        _ => None,
    }
}

async fn credit_is_never_overdrawn_however_many_ask_at_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    // Ten orders fit, and nothing is left over.
    set_credit(&mall, &partner, 8_000).await;
    let codes = at_once(64, |number| {
        let order = partner.paid_order(&partner.sims[number % 3], &format!("N{number}"));
        let client = client.clone();
        async move { code(client.syn_order_info(&order).await) }
    })
    .await;
    assert_eq!((count(&codes, "ok"), count(&codes, "CREDIT_EXCEEDED")), (10, 54), "{codes:?}");
    mall.settle().await;
    assert_owes(&mall, &partner, 8_000).await;
    // What was refused left no trace.
    let (mut orders, mut plans) = (0, 0);
    for sim in &partner.sims {
        orders += client.orders_of_sim(sim, 1).await.unwrap().total_count;
        plans += client.single_query_order(sim).await.unwrap().order_list.len();
    }
    assert_eq!((orders, plans, postings(&mall, &partner).await), (10, 10, 10));
    let refused = codes.iter().position(|code| code == "CREDIT_EXCEEDED").unwrap();
    assert_eq!(code(client.order(&format!("N{refused}")).await), "ORDER_UNKNOWN");

    // Orders of several sizes: what is left over is too little for the smallest.
    set_credit(&mall, &partner, 8_000 + 999).await;
    at_once(64, |number| {
        let days = u32::try_from(number % 3).unwrap() + 1;
        let order = daily(&partner, &partner.sims[number % 3], &format!("D{number}"), days);
        let client = client.clone();
        async move { code(client.syn_order_info(&order).await) }
    })
    .await;
    mall.settle().await;
    let owed = partner.owes(&mall).await;
    assert!((8_000 + 999 - 79..=8_000 + 999).contains(&owed), "{owed}");
    assert_owes(&mall, &partner, owed).await;
    // A report that says nothing of money needs no credit until it does.
    let mut waiting = partner.paid_order(&partner.sims[0], "W1");
    waiting.pay_status = "2".into();
    client.syn_order_info(&waiting).await.unwrap();
    waiting.pay_status = "1".into();
    assert_eq!(code(client.syn_order_info(&waiting).await), "CREDIT_EXCEEDED");
    assert_eq!(client.order("W1").await.unwrap().status, "AWAITING_PAYMENT");
    set_credit(&mall, &partner, owed + 800).await;
    client.syn_order_info(&waiting).await.unwrap();
    mall.settle().await;
    assert_owes(&mall, &partner, owed + 800).await;
    mall.stop().await;
}

async fn a_refusal_by_the_carrier_gives_the_credit_back(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let refusing = mall.add_sim(&partner, "9002", "simulator", SimState::Ready).await;
    set_credit(&mall, &partner, 2_400).await;
    let mut order = partner.paid_order(&refusing, "N1");
    order.order.order_period = 3;
    order.order.pay_amount = "30.00".into();
    order.order.auto_renewal = true;
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    let failed = client.order("N1").await.unwrap();
    assert_eq!(failed.status, "FAILED");
    assert_eq!(failed.failure.unwrap().code, "SIM_REFUSED");
    assert!(failed.paid_at.is_some() && failed.effective_at.is_none());
    assert_eq!(client.syn_order_info(&order).await.unwrap().order_status, "FAILED");
    // The booking is reversed, not removed, and the whole credit is free again.
    assert_eq!(postings(&mall, &partner).await, 2);
    assert_owes(&mall, &partner, 0).await;
    // Neither a plan nor an agreement is left.
    assert_eq!(client.single_query_order(&refusing).await.unwrap().order_list, []);
    assert_eq!(client.query_auto_renewal_record(&refusing).await.unwrap(), None);

    let mut order = partner.paid_order(&partner.sims[0], "N2");
    order.order.order_period = 3;
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    assert_eq!(client.order("N2").await.unwrap().status, "PROVISIONED");
    assert_owes(&mall, &partner, 2_400).await;
    mall.stop().await;
}

/// The code with which an order is refused, the same whether it is to be paid or was paid.
async fn refusal(client: &Client, order: &PaidOrder) -> String {
    let paid = code(client.syn_order_info(order).await);
    assert_eq!(code(client.single_order(&order.order).await), paid, "{order:?}");
    paid
}

async fn what_cannot_be_sold_is_refused_by_name(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let changed = |change: fn(&mut NewOrder)| {
        let mut order = partner.paid_order(sim, "N1");
        change(&mut order.order);
        order
    };
    let unknown = changed(|order| order.service_plan_code = "PLAN-X".into());
    assert_eq!(refusal(&client, &unknown).await, "PLAN_UNKNOWN");
    let wrong_package = changed(|order| order.package_code = "PACK-C".into());
    assert_eq!(refusal(&client, &wrong_package).await, "PLAN_UNKNOWN");
    // The demo's plans are on sale, but not for this partner.
    let not_theirs = changed(|order| {
        order.service_plan_code = "SP-EU-DAILY".into();
        order.package_code = "PK-EU-DAILY".into();
    });
    assert_eq!(refusal(&client, &not_theirs).await, "PLAN_UNKNOWN");
    for periods in [4, 12, 999] {
        let mut order = partner.paid_order(sim, "N1");
        order.order.order_period = periods;
        assert_eq!(refusal(&client, &order).await, "PERIOD_NOT_ALLOWED");
    }
    let mut renewing = daily(&partner, sim, "N1", 1);
    renewing.order.auto_renewal = true;
    assert_eq!(refusal(&client, &renewing).await, "RENEWAL_NOT_ALLOWED");

    let elsewhere = mall.add_sim(&partner, "", "another-network", SimState::Ready).await;
    let order = partner.paid_order(&elsewhere, "N1");
    assert_eq!(refusal(&client, &order).await, "PLAN_NOT_FOR_SIM");
    let gone = mall.add_sim(&partner, "", "simulator", SimState::Terminated).await;
    let order = partner.paid_order(&gone, "N1");
    assert_eq!(refusal(&client, &order).await, "SIM_NOT_SELLABLE");
    // Another partner's SIM is not told apart from none.
    for stranger in [other.sims[0].as_str(), "89852000000000000000"] {
        let order = partner.paid_order(stranger, "N1");
        assert_eq!(refusal(&client, &order).await, "SIM_UNKNOWN");
    }
    // A suspended or an expired SIM can be sold to.
    for (number, state) in [("N1", SimState::Suspended), ("N2", SimState::Expired)] {
        let sim = mall.add_sim(&partner, "", "simulator", state).await;
        client.syn_order_info(&partner.paid_order(&sim, number)).await.unwrap();
    }
    mall.stop().await;
}

async fn a_partner_may_ask_for_its_amounts_to_be_checked(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = partner.sims[0].clone();
    let report = async |partner: &TestPartner, number: &str, unit: Value| {
        let mut order = partner.paid_order(&sim, number);
        order.order.order_period = 2;
        order.order.pay_amount = "25.00".into();
        let fields = with(&order.fields(), "payUnit", unit);
        client.call::<Value>(&SYN_ORDER_INFO, fields).await
    };
    // Unless it asks, whatever it took from its end user is its own business.
    assert_eq!(code(report(&partner, "N1", json!("99.99")).await), "ok");
    assert_eq!(code(report(&partner, "N2", Value::Null).await), "ok");
    assert_eq!(code(report(&partner, "N2b", json!("8.333")).await), "ok");
    mall.change_partner(&mut partner, |partner| partner.checks_pay_amount = true).await;
    for (unit, field) in [
        (json!("99.99"), "payAmount"),
        (json!("25.00"), "payAmount"),
        (json!("12.49"), "payAmount"),
        (json!("12.505"), "payUnit"),
        (Value::Null, "payUnit"),
    ] {
        let refused = report(&partner, "N3", unit).await.unwrap_err();
        assert_eq!(field_of(&refused), Some(field), "{refused}");
    }
    assert_eq!(code(report(&partner, "N3", json!("12.5")).await), "ok");
    mall.stop().await;
}

async fn a_partner_may_ask_for_check_digits(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let (right, wrong) = ("8944500102198304826", "8944500102198304825");
    for number in [right, wrong] {
        let (id, carrier) = (mall.mall().ctx().id(), "simulator".to_owned());
        let iccid = number.parse().unwrap();
        let sim = Sim { id, iccid, carrier, state: SimState::Ready };
        let mut tx = mall.store().begin().await.unwrap();
        let (mode, owner) = (partner.partner.mode, partner.partner.id);
        tx.insert_sim(mode, owner, &sim, mall.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
    // Many real cards have a wrong check digit, so that it is not checked unless asked for.
    client.single_verify(wrong).await.unwrap();
    client.single_order(&partner.order(wrong, "N1")).await.unwrap();
    mall.change_partner(&mut partner, |partner| partner.checks_luhn = true).await;
    client.single_verify(right).await.unwrap();
    client.single_order(&partner.order(right, "N2")).await.unwrap();
    let refusals = [
        client.single_verify(wrong).await.map(|_| ()),
        client.single_service_plan_page(wrong, "", 1).await.map(|_| ()),
        client.single_order(&partner.order(wrong, "N3")).await.map(|_| ()),
        client.syn_order_info(&partner.paid_order(wrong, "N4")).await.map(|_| ()),
        client.single_query_order(wrong).await.map(|_| ()),
        client.query_auto_renewal_record(wrong).await.map(|_| ()),
    ];
    for refused in refusals {
        assert_eq!(field_of(&refused.unwrap_err()), Some("deviceCode"));
    }
    mall.stop().await;
}
