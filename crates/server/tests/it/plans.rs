//! Cards and their plans: what a card can buy, what runs on it, what waits, and what the clock makes
//! of it.

use domain::partner::Partner;
use domain::sim::SimState;
use domain::{Locale, Mode, Span, Timestamp, Zone};
use mall::Settings;
use sdk::{Client, PaidOrder};
use serde_json::{Value, json};
use testkit::{Engine, Recipe, TestMall, on_both_engines};
use wire::vshop::{SINGLE_QUERY_ORDER, SINGLE_SERVICE_PLAN_PAGE};

use crate::steps::{calendar, code, daily, queue};

on_both_engines!(
    a_card_says_how_it_stands,
    the_list_of_plans_has_pages,
    an_area_is_found_in_any_language,
    plans_speak_the_callers_language,
    the_queue_looks_as_published,
    plans_run_one_after_another_however_often_the_clock_is_read,
    a_calendar_month_follows_the_partners_calendar,
    a_plan_bought_after_the_last_one_ended_starts_then,
    an_expired_plan_is_gone_even_if_no_job_has_run,
);

async fn status(client: &Client, sim: &str) -> String {
    client.single_verify(sim).await.unwrap().card_status
}

async fn a_card_says_how_it_stands(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let card = client.single_verify(sim).await.unwrap();
    assert_eq!((card.partner_code.as_str(), &card.device_code), ("P100", sim));
    assert_eq!((card.card_status.as_str(), card.auto_renewal.as_str()), ("1", "0"));
    assert_eq!(card.pay_currency, "EUR");

    client.syn_order_info(&daily(&partner, sim, "N1", 1)).await.unwrap();
    mall.settle().await;
    assert_eq!(status(&client, sim).await, "2");
    mall.advance(Span::days(1)).await;
    assert_eq!(status(&client, sim).await, "1");

    for (state, expected) in [(SimState::Suspended, "3"), (SimState::Expired, "4")] {
        let sim = mall.add_sim(&partner, "", "simulator", state).await;
        assert_eq!(status(&client, &sim).await, expected);
    }
    let expired = &mall.add_sim(&partner, "", "simulator", SimState::Expired).await;
    client.syn_order_info(&daily(&partner, expired, "N2", 1)).await.unwrap();
    mall.settle().await;
    assert_eq!(status(&client, expired).await, "2", "a plan that runs says more");
    let gone = mall.add_sim(&partner, "", "simulator", SimState::Terminated).await;
    assert_eq!(code(client.single_verify(&gone).await), "SIM_NOT_SELLABLE");
    assert_eq!(code(client.single_service_plan_page(&gone, "", 1).await), "SIM_NOT_SELLABLE");
    assert_eq!(code(client.single_verify("89852000000000000000").await), "SIM_UNKNOWN");
    mall.stop().await;
}

/// A page of plans, with more fields than the SDK sends.
async fn page(client: &Client, sim: &str, more: &[(&'static str, &str)]) -> Value {
    let mut fields = vec![("deviceCode", json!(sim))];
    fields.extend(more.iter().map(|(name, value)| (*name, json!(value))));
    client.call(&SINGLE_SERVICE_PLAN_PAGE, fields).await.unwrap()
}

/// One column of a page's plans.
fn column<'a>(page: &'a Value, name: &str) -> Vec<&'a str> {
    let plans = page["servicePlanList"].as_array().unwrap();
    plans.iter().map(|plan| plan[name].as_str().unwrap()).collect()
}

async fn the_list_of_plans_has_pages(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    // The demo's twenty plans have no price for this partner, so that it is not shown them.
    let all = page(&client, sim, &[]).await;
    assert_eq!(column(&all, "servicePlanCode"), ["PLAN-C", "PLAN-D", "PLAN-M"]);
    assert_eq!(
        (&all["total"], &all["pageNo"], &all["pageSize"]),
        (&json!("3"), &json!("1"), &json!("20"))
    );
    assert_eq!(
        all["servicePlanList"][2],
        json!({
            "servicePlanCode": "PLAN-M", "servicePlanShowName": "PLAN-M", "description": "",
            "packageCode": "PACK-M", "packageType": "2", "orderPeriodList": ["1", "2", "3"],
            "payUnit": "10.00", "payCurrency": "EUR", "settlePrice": "8.00",
            "dataVolume": "1073741824", "area": "Europe", "countries": ["DE", "FR"],
            "autoRenewal": "1", "plan_id": "plan_PLAN-M",
        })
    );
    let pages = [("1", vec!["PLAN-C", "PLAN-D"]), ("2", vec!["PLAN-M"]), ("3", vec![])];
    for (page_no, expected) in pages {
        let one = page(&client, sim, &[("pageNo", page_no), ("pageSize", "2")]).await;
        assert_eq!(column(&one, "servicePlanCode"), expected, "page {page_no}");
        assert_eq!((&one["total"], &one["pageNo"]), (&json!("3"), &json!(page_no)));
    }
    // A SIM of another network cannot buy them.
    let elsewhere = mall.add_sim(&partner, "", "another-network", SimState::Ready).await;
    assert_eq!(page(&client, &elsewhere, &[]).await["total"], "0");
    mall.stop().await;
}

async fn an_area_is_found_in_any_language(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    for area in ["", "欧洲", "Europe", "eUROPE", "DE", "de", "德国", "Germany", " France ", "FR"]
    {
        let found = page(&client, sim, &[("area", area)]).await;
        assert_eq!(found["total"], "3", "{area:?}");
    }
    for area in ["JP", "日本", "Japan", "亚洲", "Atlantis", "Euro", "*"] {
        let found = page(&client, sim, &[("area", area)]).await;
        assert_eq!((&found["total"], column(&found, "area").len()), (&json!("0"), 0), "{area:?}");
    }
    mall.stop().await;
}

async fn plans_speak_the_callers_language(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let english = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let set = |partner: &mut Partner| partner.locale = Locale::ZhCn;
    let chinese = mall.add_partner("P200", Mode::Test, set).await;
    let expect = async |partner: &testkit::TestPartner, language: &str, words: [&str; 2]| {
        let client = partner.client(&mall);
        let language = [("languageCode", language)];
        let page = page(&client, &partner.sims[0], &language).await;
        let (name, area) = (column(&page, "servicePlanShowName"), column(&page, "area"));
        assert_eq!([name[2], area[2]], words, "{language:?}");
    };
    let (en, zh) = (["PLAN-M", "Europe"], ["套餐 PLAN-M", "欧洲"]);
    for (language, words) in
        [("", en), ("0", en), ("1", zh), ("zh-CN", zh), ("zh-Hans-SG", zh), ("en-GB", en)]
    {
        expect(&english, language, words).await;
    }
    for (language, words) in [("", zh), ("0", en), ("1", zh), ("en", en)] {
        expect(&chinese, language, words).await;
    }
    mall.stop().await;
}

/// `PLAN-M` for so many months of 30 days.
fn monthly(order: PaidOrder, periods: u32) -> PaidOrder {
    let mut order = order;
    order.order.order_period = periods;
    order
}

async fn the_queue_looks_as_published(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let raw = async || -> Value {
        client.call(&SINGLE_QUERY_ORDER, vec![("deviceCode", json!(sim))]).await.unwrap()
    };
    let empty = json!({"partnerCode": "P100", "deviceCode": sim, "orderList": []});
    assert_eq!(raw().await, empty);
    for (number, periods) in [("N1", 1), ("N2", 1), ("N3", 2)] {
        let order = monthly(partner.paid_order(sim, number), periods);
        client.syn_order_info(&order).await.unwrap();
        mall.settle().await;
    }
    let list = |left: &str| {
        json!({"partnerCode": "P100", "deviceCode": sim, "orderList": [
            {"orderStatus": "2", "servicePlanShowName": "PLAN-M", "time": "1", "unit": "2",
             "expireDate": "2024-04-09", "remainingDays": left},
            {"orderStatus": "1", "servicePlanShowName": "PLAN-M", "time": "1", "unit": "2",
             "remainingDays": "30"},
            {"orderStatus": "1", "servicePlanShowName": "PLAN-M", "time": "2", "unit": "2",
             "remainingDays": "60"},
        ]})
    };
    // It is 16:00 in Shanghai, the 10th of March: 30 days end on the 9th of April.
    assert_eq!(raw().await, list("30"));
    // Days change at midnight in the partner's zone, eight hours later.
    mall.advance(Span::minutes(8 * 60 - 1)).await;
    assert_eq!(raw().await, list("30"));
    mall.advance(Span::minutes(1)).await;
    assert_eq!(raw().await, list("29"));
    // On its last day a plan has no days left, as on the published page.
    mall.advance(Span::days(29)).await;
    assert_eq!(raw().await, list("0"));
    mall.advance(Span::minutes(16 * 60)).await;
    let rest = queue(&client, sim).await;
    assert_eq!(rest[0], ["2", "1", "2", "2024-05-09", "30"].map(str::to_owned));
    assert_eq!(rest[1], ["1", "2", "2", "", "60"].map(str::to_owned));
    assert_eq!(rest.len(), 2);
    mall.stop().await;
}

/// When the plans of orders begin and end, as far as that is known.
async fn times(client: &Client, numbers: &[&str]) -> Vec<(Option<i64>, Option<i64>)> {
    let mut times = Vec::new();
    for number in numbers {
        let order = client.order(number).await.unwrap();
        times.push((order.effective_at, order.expire_at));
    }
    times
}

async fn plans_run_one_after_another_however_often_the_clock_is_read(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let start = mall.now();
    let day = |days: i64| Some((start + Span::days(days)).as_millis());
    let names = [["A1", "A2", "A3"], ["B1", "B2", "B3"]];
    for (sim, numbers) in partner.sims.iter().zip(names) {
        for (number, days) in numbers.into_iter().zip([2, 1, 3]) {
            client.syn_order_info(&daily(&partner, sim, number, days)).await.unwrap();
            mall.settle().await;
        }
        // What waits has no times yet.
        let begun = vec![(day(0), day(2)), (None, None), (None, None)];
        assert_eq!(times(&client, &numbers).await, begun);
    }
    // Of six days, each day's number of plans left and which one runs.
    for (today, (left, running)) in
        [(3, 2), (3, 2), (2, 1), (1, 3), (1, 3), (1, 3)].into_iter().enumerate()
    {
        for sim in &partner.sims[..2] {
            let plans = queue(&client, sim).await;
            let in_use = plans.iter().filter(|plan| plan[0] == "2").count();
            assert_eq!((plans.len(), in_use, plans[0][0].as_str()), (left, 1, "2"), "day {today}");
            assert_eq!(plans[0][1], running.to_string(), "day {today}");
        }
        mall.advance(Span::days(1)).await;
    }
    let expected = vec![(day(0), day(2)), (day(2), day(3)), (day(3), day(6))];
    for numbers in names {
        assert_eq!(times(&client, &numbers).await, expected);
    }
    assert_eq!(queue(&client, &partner.sims[0]).await.len(), 0);

    // One long sleep over several plans, and into the third: the same times without gap or overlap.
    let start = mall.now();
    let day = |days: i64| Some((start + Span::days(days)).as_millis());
    for (number, days) in [("C1", 1), ("C2", 2), ("C3", 3), ("C4", 1)] {
        client.syn_order_info(&daily(&partner, &partner.sims[2], number, days)).await.unwrap();
        mall.settle().await;
    }
    mall.advance(Span::minutes(5 * 24 * 60 + 30)).await;
    let expected = vec![(day(0), day(1)), (day(1), day(3)), (day(3), day(6)), (None, None)];
    assert_eq!(times(&client, &["C1", "C2", "C3", "C4"]).await, expected);
    assert_eq!(queue(&client, &partner.sims[2]).await.len(), 2);
    mall.advance(Span::days(60)).await;
    assert_eq!(times(&client, &["C4"]).await, [(day(6), day(7))]);
    mall.stop().await;
}

/// Moves the clock to a time in a zone.
async fn go_to(mall: &TestMall, zone: &Zone, time: &str) -> Timestamp {
    let to = zone.parse_date_time(time).unwrap();
    mall.advance(to.since(mall.now())).await;
    to
}

async fn a_calendar_month_follows_the_partners_calendar(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let east = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let utc = mall.add_partner("P200", Mode::Test, |partner| partner.zone = Zone::UTC).await;
    // Early on the 31st in Shanghai it still is the 30th in Greenwich.
    let start = go_to(&mall, &east.partner.zone, "2025-01-31 04:00:00").await;
    for partner in [&east, &utc] {
        let (sim, client) = (&partner.sims[0], partner.client(&mall));
        for number in ["N1", "N2"] {
            client.syn_order_info(&calendar(partner, sim, number)).await.unwrap();
            mall.settle().await;
        }
        client.syn_order_info(&partner.paid_order(&partner.sims[1], "N3")).await.unwrap();
    }
    mall.settle().await;
    let ends = [
        (&east, "2025-02-28", ["2025-02-28 04:00:00", "2025-03-31 04:00:00"]),
        (&utc, "2025-02-28", ["2025-02-28 20:00:00", "2025-03-30 20:00:00"]),
    ];
    for (partner, last_day, _) in &ends {
        let plans = queue(&partner.client(&mall), &partner.sims[0]).await;
        assert_eq!(plans[0][3], *last_day);
    }
    mall.advance(Span::days(30)).await;
    for (partner, _, [first, second]) in &ends {
        let (zone, client) = (&partner.partner.zone, partner.client(&mall));
        let millis = |text: &str| Some(zone.parse_date_time(text).unwrap().as_millis());
        let expected = vec![
            (Some(start.as_millis()), millis(first)),
            (millis(first), millis(second)),
            // The other package counts days.
            (Some(start.as_millis()), Some((start + Span::days(30)).as_millis())),
        ];
        assert_eq!(times(&client, &["N1", "N2", "N3"]).await, expected, "{}", zone.name());
    }
    mall.stop().await;
}

async fn a_plan_bought_after_the_last_one_ended_starts_then(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&daily(&partner, sim, "N1", 1)).await.unwrap();
    mall.settle().await;
    mall.advance(Span::minutes(24 * 60 + 90)).await;
    let bought = mall.now();
    client.syn_order_info(&daily(&partner, sim, "N2", 1)).await.unwrap();
    mall.settle().await;
    let day = (Some(bought.as_millis()), Some((bought + Span::days(1)).as_millis()));
    assert_eq!(times(&client, &["N2"]).await, [day]);
    // 17:30 in Shanghai, the 11th of March.
    let shown = ["2", "1", "1", "2024-03-12", "1"].map(str::to_owned);
    assert_eq!(queue(&client, sim).await, [shown]);
    mall.stop().await;
}

async fn an_expired_plan_is_gone_even_if_no_job_has_run(engine: Engine) {
    // A node that answers and runs no jobs, and for a while another one that does.
    let lazy = Settings { workers: 0, ..Recipe::default().settings };
    let mall = TestMall::with(engine, Recipe { settings: lazy, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let worker = mall.another_node(Recipe::default()).await;
    for (number, days) in [("N1", 1), ("N2", 3)] {
        client.syn_order_info(&daily(&partner, sim, number, days)).await.unwrap();
        crate::steps::settle_nodes(&[mall.mall(), &worker.mall]).await;
    }
    worker.stop().await;
    assert_eq!(queue(&client, sim).await.len(), 2);
    let in_use = |day: &str, left: &str| [["2", "3", "1", day, left].map(str::to_owned)];
    mall.clock.advance(Span::days(1));
    assert_eq!(queue(&client, sim).await, in_use("2024-03-14", "3"));
    assert_eq!(status(&client, sim).await, "2");
    mall.clock.advance(Span::days(2));
    assert_eq!(queue(&client, sim).await, in_use("2024-03-14", "1"));
    mall.clock.advance(Span::days(1));
    assert_eq!(queue(&client, sim).await.len(), 0);
    assert_eq!(status(&client, sim).await, "1");

    // When jobs run again, the books of the plans are as if they had never stopped.
    let late = mall.another_node(Recipe::default()).await;
    crate::steps::settle_nodes(&[mall.mall(), &late.mall]).await;
    let start = mall.now() - Span::days(4);
    let day = |days: i64| Some((start + Span::days(days)).as_millis());
    assert_eq!(times(&client, &["N1", "N2"]).await, [(day(0), day(1)), (day(1), day(4))]);
    late.stop().await;
    mall.stop().await;
}
