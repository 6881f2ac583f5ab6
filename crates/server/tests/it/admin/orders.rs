//! Orders as operators look for them.

use domain::sim::SimState;
use domain::{Mode, Role, Span};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, TestMall, TestPartner, on_both_engines};

on_both_engines!(
    orders_are_found_by_whatever_is_known_of_them,
    an_order_shows_all_that_belongs_to_it,
    a_search_goes_on_where_a_page_saw_none,
);

async fn report(mall: &TestMall, shop: &TestPartner, sim: &str, number: &str, reference: &str) {
    mall.clock.advance(Span::seconds(1));
    let mut order = shop.paid_order(sim, number);
    order.order.request_order_id = reference.to_owned();
    shop.client(mall).syn_order_info(&order).await.unwrap();
    mall.settle().await;
}

async fn numbers(admin: &AdminClient, query: &str, limit: usize) -> Vec<String> {
    let orders = admin.all(&format!("/live/orders{query}"), limit).await;
    orders.iter().map(|order| order["order_no"].as_str().unwrap().to_owned()).collect()
}

async fn orders_are_found_by_whatever_is_known_of_them(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Viewer).await;
    let one = mall.add_partner("ONE", Mode::Live, |_| ()).await;
    let two = mall.add_partner("TWO", Mode::Live, |_| ()).await;
    let refused = mall.add_sim(&two, "9002", "simulator", SimState::Ready).await;
    report(&mall, &one, &one.sims[0], "A", "REF").await;
    report(&mall, &two, &two.sims[0], "B", "").await;
    report(&mall, &one, &one.sims[1], "C", "REF").await;
    report(&mall, &two, &refused, "D", "").await;
    report(&mall, &two, &two.sims[0], "A", "B").await;
    for limit in [1, 2, 4, 5, 500] {
        assert_eq!(numbers(&admin, "", limit).await, ["A", "D", "C", "B", "A"], "{limit}");
        let of = numbers(&admin, "?partner=TWO", limit).await;
        assert_eq!(of, ["A", "D", "B"], "{limit}");
        // One partner's order number is another's reference.
        assert_eq!(numbers(&admin, "?number=B", limit).await, ["A", "B"], "{limit}");
        assert_eq!(numbers(&admin, "?number=REF", limit).await, ["C", "A"], "{limit}");
        assert_eq!(numbers(&admin, "?state=PROVISIONED", limit).await, ["A", "C", "B", "A"]);
    }
    assert_eq!(numbers(&admin, "?number=A", 1).await, ["A", "A"]);
    assert_eq!(numbers(&admin, "?number=A&partner=ONE", 50).await, ["A"]);
    assert_eq!(numbers(&admin, "?number=ONEC", 50).await, ["C"], "its payId");
    assert_eq!(numbers(&admin, "?state=FAILED", 50).await, ["D"]);
    assert_eq!(numbers(&admin, "?state=FAILED&partner=ONE", 50).await, [""; 0]);
    let sim = format!("?iccid={}", two.sims[0]);
    assert_eq!(numbers(&admin, &sim, 1).await, ["A", "B"]);
    assert_eq!(numbers(&admin, &format!("{sim}&number=B&plan=PLAN-M"), 50).await, ["A", "B"]);
    assert_eq!(numbers(&admin, "?plan=PLAN-C", 50).await, [""; 0]);
    let window = "?from=2024-03-10T08:00:02Z&to=2024-03-10T08:00:04Z";
    assert_eq!(numbers(&admin, window, 1).await, ["C", "B"]);
    let found = admin.get("/live/orders?number=D").await.done()["items"][0].clone();
    let id = found["order_id"].as_str().unwrap();
    assert_eq!(numbers(&admin, &format!("?number={id}"), 50).await, ["D"]);
    assert_eq!(admin.get("/test/orders?number=D").await.done()["items"], json!([]));
    assert_eq!(admin.get("/live/orders?partner=NOPE").await.code(404), "NOT_FOUND");
    let wrong = admin.get("/live/orders?state=LOST&iccid=1&from=now&number=").await;
    assert_eq!(wrong.wrong_fields(), ["state", "iccid", "from", "number"]);
    mall.stop().await;
}

async fn an_order_shows_all_that_belongs_to_it(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Viewer).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    report(&mall, &shop, &shop.sims[0], "A", "").await;
    let client = shop.client(&mall);
    client.single_order(&shop.order(&shop.sims[1], "B")).await.unwrap();
    let detail = async |number: &str| {
        let found = admin.get(&format!("/live/orders?number={number}")).await.done();
        let id = found["items"][0]["order_id"].as_str().unwrap().to_owned();
        let detail = admin.get(&format!("/live/orders/{id}")).await.done();
        assert_eq!(detail["order"], found["items"][0]);
        detail
    };
    let paid = detail("A").await;
    assert_eq!(paid["order"]["state"], "PROVISIONED");
    assert_eq!(
        (&paid["order"]["settle_amount"], &paid["order"]["unit"]),
        (&json!("8.00"), &json!("monthly"))
    );
    assert_eq!(
        (&paid["payment"]["amount"], &paid["payment"]["state"]),
        (&json!("10.00"), &json!("succeeded"))
    );
    assert_eq!(paid["sim_plan"]["state"], "in_use");
    assert_eq!(paid["sim_plan"]["expires_at"], "2024-04-09T08:00:01Z");
    assert_eq!(paid["postings"].as_array().unwrap().len(), 1);
    assert_eq!(paid["postings"][0]["debit"], "partner_receivable");
    assert_eq!(paid["jobs"], json!([]));
    let unpaid = detail("B").await;
    assert_eq!(unpaid["order"]["state"], "AWAITING_PAYMENT");
    assert_eq!(unpaid["order"]["closes_at"], "2024-03-10T08:30:01Z");
    assert_eq!((unpaid.get("sim_plan"), &unpaid["postings"]), (None, &json!([])));
    assert_eq!(unpaid["jobs"][0]["kind"], "close_order");
    mall.stop().await;
}

/// However many orders are looked at for one that is wanted, no page takes long: it may be empty
/// and yet have a next one.
async fn a_search_goes_on_where_a_page_saw_none(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Viewer).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    report(&mall, &shop, &shop.sims[0], "OLD", "").await;
    // Six thousand more of another plan, later than the first.
    let copy = "INSERT INTO orders (mode, partner_id, order_id, order_no, pay_id, request_order_id, \
        org_order_id, source, iccid, plan_code, show_name, package_code, carrier, carrier_product, \
        unit, periods, calendar, auto_renewal, content_hash, state, version, upstream_id, \
        trade_type, mark, terminal, payment_id, channel, pay_minor, pay_currency, pay_state, \
        pay_version, transaction_id, pay_result, pay_status, pay_type, pay_account, pay_unit, \
        paid_at, provisioned_at, created_at) \
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) \
        SELECT mode, partner_id, SUBSTR(order_id, 1, 20) || 'ffff8' || SUBSTR( \
        CAST(100000000000 + i AS TEXT), 2), 'N' || CAST(i AS TEXT), 'P' || CAST(i AS TEXT), '', '', \
        source, iccid, 'PLAN-D', show_name, package_code, carrier, carrier_product, unit, periods, \
        calendar, auto_renewal, content_hash, state, version, upstream_id, trade_type, mark, \
        terminal, payment_id, channel, pay_minor, pay_currency, pay_state, pay_version, '', \
        pay_result, pay_status, pay_type, pay_account, pay_unit, paid_at, provisioned_at, created_at \
        FROM orders, n WHERE order_no = 'OLD'";
    assert_eq!(mall.database.execute(copy).await, 6_000);
    for query in ["?plan=PLAN-M", "?plan=PLAN-M&partner=SHOP", "?plan=PLAN-M&state=PROVISIONED"] {
        let first = admin.get(&format!("/live/orders{query}")).await.done();
        assert_eq!(first["items"], json!([]), "{query}");
        assert_ne!(first["next_cursor"], Value::Null, "{query}");
        assert_eq!(numbers(&admin, query, 50).await, ["OLD"], "{query}");
    }
    assert_eq!(numbers(&admin, "", 500).await.len(), 6_001);
    assert_eq!(numbers(&admin, &format!("?iccid={}", shop.sims[0]), 500).await.len(), 6_001);
    // Copies of an order are not booked.
    mall.stop_as_it_is().await;
}
