//! Packages and plans.

use domain::{Mode, Role};
use serde_json::{Value, json};
use testkit::{Engine, TestMall, on_both_engines};

on_both_engines!(
    a_package_in_use_keeps_what_was_priced,
    a_plan_goes_off_sale_and_on_again,
    what_does_not_fit_is_refused,
);

fn package() -> Value {
    json!({
        "unit": "daily", "volume_bytes": 1024, "area": {"en": "Europe"}, "countries": ["DE"],
        "carrier": "simulator", "carrier_product": "X",
    })
}

fn with(mut value: Value, name: &str, other: Value) -> Value {
    value[name] = other;
    value
}

async fn a_package_in_use_keeps_what_was_priced(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let path = "/live/packages/PACK";
    let made = admin.put(path, &package()).await.done();
    assert_eq!((&made["code"], &made["calendar"]), (&json!("PACK"), &json!(false)));
    // As long as no plan gives it, all of it may change.
    let monthly = with(package(), "unit", json!("monthly"));
    assert_eq!(admin.put(path, &monthly).await.done()["unit"], "monthly");
    admin.put(path, &package()).await.done();
    let plan = json!({"package_code": "PACK", "name": {"en": "Plan"}, "periods": [1]});
    admin.put("/live/plans/PLAN", &plan).await.done();
    assert_eq!(admin.put(path, &monthly).await.code(409), "PACKAGE_IN_USE");
    let calendar = with(package(), "calendar", json!(true));
    assert_eq!(admin.put(path, &calendar).await.code(409), "PACKAGE_IN_USE");
    let more = with(package(), "volume_bytes", json!(2048));
    assert_eq!(admin.put(path, &more).await.done()["volume_bytes"], 2048);
    let mut unlimited = package();
    unlimited.as_object_mut().unwrap().remove("volume_bytes");
    let unlimited = admin.put(path, &unlimited).await.done();
    assert_eq!(unlimited.get("volume_bytes"), None);
    assert_eq!(admin.get(path).await.done(), unlimited);
    // Nor does the plan take another sort of package.
    admin.put("/live/packages/MONTH", &monthly).await.done();
    let moved = with(plan.clone(), "package_code", json!("MONTH"));
    assert_eq!(admin.put("/live/plans/PLAN", &moved).await.code(409), "PLAN_IN_USE");
    admin.put("/live/packages/DAY", &package()).await.done();
    let moved = with(plan, "package_code", json!("DAY"));
    assert_eq!(admin.put("/live/plans/PLAN", &moved).await.done()["package_code"], "DAY");
    assert_eq!(admin.all("/live/packages", 1).await.len(), 3);
    assert_eq!(admin.all("/audit?action=package.change", 50).await.len(), 4);
    mall.stop().await;
}

async fn a_plan_goes_off_sale_and_on_again(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let plans = async || {
        let page = shop.client(&mall).single_service_plan_page(&shop.sims[0], "", 1).await.unwrap();
        page.service_plan_list.into_iter().map(|plan| plan.service_plan_code).collect::<Vec<_>>()
    };
    assert_eq!(plans().await, ["PLAN-C", "PLAN-D", "PLAN-M"]);
    let mut plan = admin.get("/live/plans/PLAN-D").await.done();
    plan.as_object_mut().unwrap().remove("code");
    let off = with(plan.clone(), "on_sale", json!(false));
    admin.put("/live/plans/PLAN-D", &off).await.done();
    assert_eq!(plans().await, ["PLAN-C", "PLAN-M"], "at once, whatever a node has remembered");
    assert_eq!(admin.get("/live/plans/PLAN-D").await.done()["on_sale"], false);
    assert_eq!(admin.all("/live/plans", 2).await.len(), 3);
    admin.put("/live/plans/PLAN-D", &plan).await.done();
    assert_eq!(plans().await, ["PLAN-C", "PLAN-D", "PLAN-M"]);
    mall.stop().await;
}

async fn what_does_not_fit_is_refused(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let bad = json!({
        "unit": "weekly", "volume_bytes": -1, "area": {"en": "Europe", "fr": "Europe"},
        "countries": ["DEU"], "carrier": "simulator", "carrier_product": "X",
    });
    let wrong = admin.put("/live/packages/PACK", &bad).await;
    assert_eq!(wrong.wrong_fields(), ["unit", "volume_bytes", "area.fr", "countries[0]"]);
    let empty = with(with(package(), "area", json!({})), "countries", json!(["QQ", "de"]));
    let wrong = admin.put("/live/packages/A%20B", &empty).await;
    assert_eq!(wrong.wrong_fields(), ["code", "countries", "countries", "area"]);
    let nobody = with(package(), "carrier", json!("nobody"));
    assert_eq!(admin.put("/live/packages/PACK", &nobody).await.wrong_fields(), ["carrier"]);
    let plan = json!({"package_code": "PACK", "name": {"en": "Plan"}, "periods": [1]});
    let orphan = admin.put("/live/plans/PLAN", &plan).await;
    assert_eq!(orphan.wrong_fields(), ["package_code"]);
    admin.put("/live/packages/PACK", &package()).await.done();
    let nothing = with(with(plan.clone(), "periods", json!([])), "name", json!({"en": " "}));
    assert_eq!(admin.put("/live/plans/PLAN", &nothing).await.wrong_fields(), ["name", "periods"]);
    let zero = with(plan.clone(), "periods", json!([0, 1000, "1"]));
    let wrong = admin.put("/live/plans/PLAN", &zero).await;
    assert_eq!(wrong.wrong_fields(), ["periods[0]", "periods[1]", "periods[2]"]);
    admin.put("/live/plans/PLAN", &with(plan.clone(), "plan_id", json!("ID"))).await.done();
    let twin = admin.put("/live/plans/TWIN", &with(plan, "plan_id", json!("ID"))).await;
    assert_eq!(twin.code(409), "PLAN_ID_TAKEN");
    assert_eq!(admin.all("/live/plans", 50).await.len(), 1);
    mall.stop().await;
}
