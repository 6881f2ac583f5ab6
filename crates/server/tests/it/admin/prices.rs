//! A partner's price book: a price takes over when it begins, and what is sold follows it.

use domain::{Mode, Role, Span};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, TestMall, TestPartner, on_both_engines};

on_both_engines!(
    a_price_takes_over_when_it_begins,
    a_price_that_is_cancelled_leaves_no_gap,
    a_price_in_force_is_ended,
    prices_that_do_not_fit_are_refused,
    many_at_once_leave_one_line,
);

const PRICES: &str = "/live/partners/SHOP/prices";

async fn shop(engine: Engine) -> (TestMall, AdminClient, TestPartner) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    mall.clock.advance(Span::minutes(1));
    (mall, admin, shop)
}

fn sale(amount: &str, from: Option<&str>) -> Value {
    let mut price = json!({
        "plan_code": "PLAN-D", "kind": "sale", "amount": amount, "currency": "EUR",
    });
    if let Some(from) = from {
        price["valid_from"] = json!(from);
    }
    price
}

/// What the partner is told that its end users pay.
async fn offered(mall: &TestMall, shop: &TestPartner) -> Option<String> {
    let page = shop.client(mall).single_service_plan_page(&shop.sims[0], "", 1).await.unwrap();
    let plan = page.service_plan_list.into_iter().find(|one| one.service_plan_code == "PLAN-D");
    plan.map(|plan| plan.pay_unit)
}

/// From when to when each sale price of the plan is in force.
async fn line(admin: &AdminClient) -> Vec<(String, String, String)> {
    let prices = admin.all(&format!("{PRICES}?plan=PLAN-D"), 2).await;
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let mut line: Vec<_> = prices
        .iter()
        .filter(|price| price["kind"] == "sale" && price["currency"] == "EUR")
        .map(|one| (text(&one["valid_from"]), text(&one["valid_to"]), text(&one["amount"])))
        .collect();
    line.sort();
    line
}

async fn a_price_takes_over_when_it_begins(engine: Engine) {
    let (mall, admin, shop) = shop(engine).await;
    assert_eq!(offered(&mall, &shop).await.as_deref(), Some("1.00"));
    admin.post(PRICES, &sale("1.50", Some("2024-03-10T10:00:59+02:00"))).await.code(400);
    let later = admin.post(PRICES, &sale("3", Some("2024-03-10T10:00:00Z"))).await.done();
    assert_eq!(later["valid_from"], "2024-03-10T10:00:00Z");
    let soon = admin.post(PRICES, &sale("2", Some("2024-03-10T11:00:00+02:00"))).await.done();
    assert_eq!(soon["valid_to"], "2024-03-10T10:00:00Z", "until the next one begins");
    let nine = "2024-03-10T09:00:00Z";
    let expected = [
        ("2024-03-10T08:00:00Z", nine, "1.00"),
        (nine, "2024-03-10T10:00:00Z", "2.00"),
        ("2024-03-10T10:00:00Z", "", "3.00"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(line(&admin).await, expected);
    assert_eq!(offered(&mall, &shop).await.as_deref(), Some("1.00"));
    mall.advance(Span::minutes(58)).await;
    assert_eq!(offered(&mall, &shop).await.as_deref(), Some("1.00"));
    mall.advance(Span::minutes(1)).await;
    assert_eq!(offered(&mall, &shop).await.as_deref(), Some("2.00"));
    mall.advance(Span::minutes(60)).await;
    assert_eq!(offered(&mall, &shop).await.as_deref(), Some("3.00"));
    assert_eq!(admin.post(PRICES, &sale("4", None)).await.code(409), "PRICE_EXISTS");
    mall.advance(Span::minutes(1)).await;
    let now = admin.post(PRICES, &sale("4", None)).await.done();
    assert_eq!(now["valid_from"], "2024-03-10T10:01:00Z", "that is when it is now");
    assert_eq!(offered(&mall, &shop).await.as_deref(), Some("4.00"));
    mall.stop().await;
}

async fn a_price_that_is_cancelled_leaves_no_gap(engine: Engine) {
    let (mall, admin, shop) = shop(engine).await;
    let before = line(&admin).await;
    let later = admin.post(PRICES, &sale("3", Some("2024-03-10T10:00:00Z"))).await.done();
    let id = later["price_id"].as_str().unwrap();
    admin.delete(&format!("{PRICES}/{id}")).await.done();
    assert_eq!(line(&admin).await, before);
    assert_eq!(admin.delete(&format!("{PRICES}/{id}")).await.status, 404);
    mall.advance(Span::minutes(300)).await;
    assert_eq!(offered(&mall, &shop).await.as_deref(), Some("1.00"));
    let log = admin.all("/audit?action=price.cancel", 50).await;
    assert_eq!((&log[0]["before"]["amount"], &log[0]["after"]), (&json!("3.00"), &Value::Null));
    mall.stop().await;
}

async fn a_price_in_force_is_ended(engine: Engine) {
    let (mall, admin, shop) = shop(engine).await;
    let prices = admin.all(&format!("{PRICES}?plan=PLAN-D"), 50).await;
    let sale = prices.iter().find(|price| price["kind"] == "sale").unwrap();
    let path = format!("{PRICES}/{}", sale["price_id"].as_str().unwrap());
    let ended = admin.delete(&path).await.done();
    assert_eq!(ended["valid_to"], "2024-03-10T08:01:00Z");
    assert_eq!(offered(&mall, &shop).await, None, "it is not sold to this partner any more");
    assert_eq!(admin.delete(&path).await.code(409), "PRICE_ENDED");
    mall.stop().await;
}

async fn prices_that_do_not_fit_are_refused(engine: Engine) {
    let (mall, admin, _) = shop(engine).await;
    let before = line(&admin).await;
    let ten = Some("2024-03-10T10:00:00Z");
    admin.post(PRICES, &sale("3", ten)).await.done();
    assert_eq!(admin.post(PRICES, &sale("4", ten)).await.code(409), "PRICE_EXISTS");
    let past = admin.post(PRICES, &sale("1.001", Some("2024-03-10T08:00:59Z"))).await;
    assert_eq!(past.wrong_fields(), ["amount", "valid_from"]);
    let mut unknown = sale("1", None);
    unknown["plan_code"] = json!("NOPE");
    assert_eq!(admin.post(PRICES, &unknown).await.wrong_fields(), ["plan_code"]);
    let bad = json!({"plan_code": "PLAN-D", "kind": "gift", "amount": "1,00", "currency": "XAU"});
    let wrong = admin.post(PRICES, &bad).await;
    assert_eq!(wrong.wrong_fields(), ["kind", "amount", "currency"]);
    // Another kind or currency is another line.
    let mut yen = sale("500", ten);
    yen["currency"] = json!("JPY");
    admin.post(PRICES, &yen).await.done();
    assert_eq!(line(&admin).await.len(), before.len() + 1);
    mall.stop().await;
}

async fn many_at_once_leave_one_line(engine: Engine) {
    let (mall, admin, _) = shop(engine).await;
    let writers = (10..30).map(|minute| {
        let admin = admin.clone();
        tokio::spawn(async move {
            let from = format!("2024-03-10T09:{minute}:00Z");
            admin.post(PRICES, &sale(&minute.to_string(), Some(&from))).await.done();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let line = line(&admin).await;
    assert_eq!(line.len(), 21);
    for two in line.windows(2) {
        assert_eq!(two[0].1, two[1].0, "each ends where the next begins");
    }
    assert_eq!(line[20].1, "");
    mall.stop().await;
}
