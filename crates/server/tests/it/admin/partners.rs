//! Partners, their keys and their credit, set up over the admin API alone: no line of it touches
//! the database.

use domain::Role;
use sdk::{Client, Credentials, Prefix, Scheme};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, TestMall, on_both_engines};

on_both_engines!(
    a_shop_is_set_up_and_sells,
    a_partner_changes_and_what_is_left_out_stays,
    a_policy_that_is_unsafe_is_refused,
    all_that_is_wrong_with_a_partner_is_told_at_once,
    partners_are_listed_page_by_page,
    a_suspended_partner_is_refused_until_it_is_resumed,
    two_keys_sign_while_one_takes_over_from_the_other,
    ten_at_once_make_two_keys,
    credit_is_set_and_followed,
);

const SIM: &str = "8944500102198304826";

fn client(mall: &TestMall, partner: &str, key: &str) -> Client {
    let (partner_code, key) = (partner.to_owned(), key.to_owned());
    let scheme = Scheme::HmacSha256;
    mall.client(Prefix::Live, Credentials { partner_code, scheme, key })
}

async fn add(admin: &AdminClient, code: &str) -> Value {
    let new = json!({"code": code, "name": "A shop", "currency": "EUR", "zone": "Europe/Berlin"});
    admin.post("/live/partners", &new).await.done()
}

async fn key(admin: &AdminClient, code: &str) -> (String, String) {
    let made = admin.call("POST", &format!("/live/partners/{code}/keys"), None).await.done();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["key"]["key_id"]), text(&made["text"]))
}

async fn a_shop_is_set_up_and_sells(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = add(&admin, "SHOP").await;
    assert_eq!(shop["schemes"], json!(["hmac-sha256"]));
    assert_eq!(shop["settlement_currency"], "EUR");
    let (_, text) = key(&admin, "SHOP").await;
    let package = json!({
        "unit": "monthly", "volume_bytes": 1 << 30, "area": {"en": "Europe", "zh": "欧洲"},
        "countries": ["DE", "FR"], "carrier": "simulator", "carrier_product": "EU1",
    });
    admin.put("/live/packages/EU-1GB", &package).await.done();
    let plan = json!({
        "package_code": "EU-1GB", "name": {"en": "Europe 1 GB"}, "periods": [3, 1, 1],
        "renewable": true,
    });
    let plan = admin.put("/live/plans/EU1", &plan).await.done();
    assert_eq!((&plan["periods"], &plan["plan_id"]), (&json!([1, 3]), &json!("EU1")));
    for (kind, amount) in [("sale", "10"), ("settlement", "8.00")] {
        let price = json!({
            "plan_code": "EU1", "kind": kind, "amount": amount, "currency": "EUR",
        });
        admin.post("/live/partners/SHOP/prices", &price).await.done();
    }
    let limit = json!({"limit": "100.00"});
    admin.put("/live/partners/SHOP/credits/EUR", &limit).await.done();
    let sim = format!("/live/partners/SHOP/sims/{SIM}");
    admin.put(&sim, &json!({"carrier": "simulator"})).await.done();
    // What was set up is what the partner finds, and buys.
    let client = client(&mall, "SHOP", &text);
    let plans = client.single_service_plan_page(SIM, "德国", 1).await.unwrap();
    assert_eq!(plans.service_plan_list.len(), 1);
    assert_eq!(plans.service_plan_list[0].settle_price, "8.00");
    let order = sdk::PaidOrder {
        order: sdk::NewOrder {
            iccid: SIM.to_owned(),
            order_no: "N1".to_owned(),
            pay_id: "PAY1".to_owned(),
            request_order_id: String::new(),
            service_plan_code: "EU1".to_owned(),
            package_code: "EU-1GB".to_owned(),
            order_period: 1,
            pay_amount: "10.00".to_owned(),
            pay_currency: "EUR".to_owned(),
            auto_renewal: false,
        },
        settle_price: "8.00".to_owned(),
        pay_rst: "SUCCESS".to_owned(),
        pay_status: "1".to_owned(),
        pay_result_date: "2024-03-10 16:00:00".to_owned(),
        transaction_id: String::new(),
        org_order_id: String::new(),
        pay_unit: String::new(),
        pay_type: String::new(),
        pay_account: String::new(),
    };
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    let queue = client.single_query_order(SIM).await.unwrap();
    assert_eq!(queue.order_list[0].order_status, "2");
    // And every step of it is in the log, without the key.
    let owner = mall.admin(Role::Owner).await;
    let log = owner.all("/audit?mode=live", 3).await;
    let mut actions: Vec<&str> = log.iter().map(|one| one["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    let all = ["credit.set", "key.add", "package.add", "partner.add", "plan.add", "price.add"];
    actions.dedup();
    assert_eq!(actions, [&all[..], &["sim.add"]].concat());
    assert!(!json!(log).to_string().contains(&text));
    mall.stop().await;
}

async fn a_partner_changes_and_what_is_left_out_stays(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let before = add(&admin, "SHOP").await;
    let change = json!({
        "name": "Another", "settlement_currency": "JPY", "locale": "zh-CN", "checks_luhn": true,
        "ip_allowlist": ["192.0.2.0/24", "2001:db8::1"], "response_style": "envelope",
    });
    let after = admin.patch("/live/partners/SHOP", &change).await.done();
    for (name, value) in after.as_object().unwrap() {
        let right = change.get(name).unwrap_or(&before[name]);
        assert_eq!(value, right, "{name}");
    }
    assert_eq!(admin.get("/live/partners/SHOP").await.done(), after);
    assert_eq!(admin.patch("/live/partners/SHOP", &change).await.done(), after, "once more");
    let log = admin.all("/audit?action=partner.change&object=partners/SHOP", 50).await;
    assert_eq!(log.len(), 1, "what changes nothing is no change");
    assert_eq!((&log[0]["before"], &log[0]["after"]), (&before, &after));
    let cleared = admin.patch("/live/partners/SHOP", &json!({"ip_allowlist": []})).await.done();
    assert_eq!(cleared["ip_allowlist"], json!([]));
    mall.stop().await;
}

async fn a_policy_that_is_unsafe_is_refused(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    add(&admin, "SHOP").await;
    let path = "/live/partners/SHOP";
    let keyless = json!({"schemes": ["md5", "md5"]});
    let answer = admin.patch(path, &keyless).await;
    assert_eq!(answer.wrong_fields(), ["ip_allowlist"]);
    assert!(answer.body["detail"].as_str().unwrap().contains("keyless"), "{}", answer.body);
    assert_eq!(admin.patch(path, &json!({"schemes": []})).await.wrong_fields(), ["schemes"]);
    let listed = json!({"schemes": ["md5", "md5"], "ip_allowlist": ["192.0.2.1"]});
    let after = admin.patch(path, &listed).await.done();
    assert_eq!(after["schemes"], json!(["md5"]));
    // Nor is the list taken away later.
    let emptied = admin.patch(path, &json!({"ip_allowlist": []})).await;
    assert_eq!(emptied.wrong_fields(), ["ip_allowlist"]);
    assert_eq!(admin.get(path).await.done(), after);
    mall.stop().await;
}

async fn all_that_is_wrong_with_a_partner_is_told_at_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let bad = json!({
        "code": "A B", "name": "", "currency": "eur", "zone": "Mars/Base", "locale": "fr",
        "schemes": ["sha1"], "ip_allowlist": ["10.0.0.0/33", "localhost"], "colour": "red",
    });
    let wrong = admin.post("/live/partners", &bad).await;
    let fields = [
        "colour",
        "code",
        "name",
        "currency",
        "zone",
        "locale",
        "schemes[0]",
        "ip_allowlist[0]",
        "ip_allowlist[1]",
    ];
    assert_eq!(wrong.wrong_fields(), fields);
    add(&admin, "SHOP").await;
    let again = json!({"code": "SHOP", "name": "Shop", "currency": "EUR"});
    assert_eq!(admin.post("/live/partners", &again).await.code(409), "PARTNER_EXISTS");
    // The same code in the other mode is another partner.
    admin.post("/test/partners", &again).await.done();
    assert_eq!(admin.all("/live/partners", 50).await.len(), 1);
    mall.stop().await;
}

async fn partners_are_listed_page_by_page(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    for code in ["E", "A", "D", "B", "C"] {
        add(&admin, code).await;
    }
    for limit in [1, 2, 5, 6] {
        let all = admin.all("/live/partners", limit).await;
        let codes: Vec<&str> = all.iter().map(|one| one["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["A", "B", "C", "D", "E"], "{limit}");
    }
    mall.stop().await;
}

async fn a_suspended_partner_is_refused_until_it_is_resumed(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    add(&admin, "SHOP").await;
    let (_, text) = key(&admin, "SHOP").await;
    let client = client(&mall, "SHOP", &text);
    let code = async || {
        let refused = client.single_verify(SIM).await.unwrap_err();
        refused.code().unwrap().to_owned()
    };
    assert_eq!(code().await, "SIM_UNKNOWN");
    for _ in 0..2 {
        let suspended = admin.call("POST", "/live/partners/SHOP/suspend", None).await.done();
        assert_eq!(suspended["suspended"], true);
    }
    assert_eq!(code().await, "PARTNER_SUSPENDED", "at once, whatever a node has remembered");
    admin.call("POST", "/live/partners/SHOP/resume", None).await.done();
    assert_eq!(code().await, "SIM_UNKNOWN");
    mall.stop().await;
}

async fn two_keys_sign_while_one_takes_over_from_the_other(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    add(&admin, "SHOP").await;
    let signs = async |text: &str| {
        let refused = client(&mall, "SHOP", text).single_verify(SIM).await.unwrap_err();
        refused.code() == Some("SIM_UNKNOWN")
    };
    let (old_id, old) = key(&admin, "SHOP").await;
    assert!(signs(&old).await);
    let (new_id, new) = key(&admin, "SHOP").await;
    assert!(signs(&old).await && signs(&new).await, "both");
    let third = admin.call("POST", "/live/partners/SHOP/keys", None).await;
    assert_eq!(third.code(409), "KEYS_FULL");
    let path = format!("/live/partners/SHOP/keys/{old_id}");
    let retired = admin.delete(&path).await.done();
    assert_eq!(admin.delete(&path).await.done(), retired, "once more");
    assert!(!signs(&old).await && signs(&new).await);
    let keys = admin.all("/live/partners/SHOP/keys", 1).await;
    let ids: Vec<&Value> = keys.iter().map(|key| &key["key_id"]).collect();
    assert!(ids.contains(&&json!(old_id)) && ids.contains(&&json!(new_id)), "{keys:?}");
    assert!(!json!(keys).to_string().contains(&new));
    key(&admin, "SHOP").await;
    mall.stop().await;
}

async fn ten_at_once_make_two_keys(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    add(&admin, "SHOP").await;
    let makers = (0..10).map(|_| {
        let admin = admin.clone();
        tokio::spawn(async move { admin.call("POST", "/live/partners/SHOP/keys", None).await })
    });
    let mut statuses = Vec::new();
    for maker in makers.collect::<Vec<_>>() {
        statuses.push(maker.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201; 2], vec![409; 8]].concat());
    mall.stop().await;
}

async fn credit_is_set_and_followed(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = mall.add_partner("SHOP", domain::Mode::Live, |_| ()).await;
    let order = shop.paid_order(&shop.sims[0], "N1");
    shop.client(&mall).syn_order_info(&order).await.unwrap();
    let path = "/live/partners/SHOP/credits";
    let all = admin.all(path, 50).await;
    let was = json!({
        "currency": "EUR", "limit": "1000.00", "used": "8.00", "available": "992.00",
    });
    assert_eq!(all, std::slice::from_ref(&was));
    let euro = format!("{path}/EUR");
    let lower = admin.put(&euro, &json!({"limit": "5"})).await.done();
    let is = json!({"currency": "EUR", "limit": "5.00", "used": "8.00", "available": "-3.00"});
    assert_eq!(lower, is);
    let order = shop.paid_order(&shop.sims[1], "N2");
    let refused = shop.client(&mall).syn_order_info(&order).await.unwrap_err();
    assert_eq!(refused.code(), Some("CREDIT_EXCEEDED"));
    for bad in ["-1", "1.001", "x", "99999999999999999999"] {
        let answer = admin.put(&euro, &json!({"limit": bad})).await;
        assert_eq!(answer.wrong_fields(), ["limit"], "{bad}");
    }
    let yen = admin.put(&format!("{path}/JPY"), &json!({"limit": "500"})).await.done();
    assert_eq!(yen["available"], "500");
    assert_eq!(admin.all(path, 1).await, [is.clone(), yen]);
    let log = admin.all("/audit?object=partners/SHOP/credits/EUR", 50).await;
    assert_eq!((&log[0]["before"], &log[0]["after"]), (&was, &is));
    mall.stop().await;
}
