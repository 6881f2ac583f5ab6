//! SIMs in partners' stocks, one at a time.

use domain::{Mode, Role};
use serde_json::{Value, json};
use testkit::{Engine, TestMall, on_both_engines};

on_both_engines!(a_sim_is_added_changed_and_listed, a_sim_that_does_not_fit_is_refused);

const SIM: &str = "8944500102198304826";
const SIMS: &str = "/live/partners/SHOP/sims";

async fn a_sim_is_added_changed_and_listed(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let path = format!("{SIMS}/{SIM}");
    let new = json!({"carrier": "simulator"});
    let added = admin.put(&path, &new).await.done();
    assert_eq!((&added["state"], &added["iccid"]), (&json!("ready"), &json!(SIM)));
    assert_eq!(admin.put(&path, &new).await.done(), added, "once more");
    assert_eq!(shop.client(&mall).single_verify(SIM).await.unwrap().card_status, "1");
    let changed = admin.patch(&path, &json!({"state": "suspended"})).await.done();
    assert_eq!(changed["state"], "suspended");
    assert_eq!(admin.get(&path).await.done(), changed);
    assert_eq!(shop.client(&mall).single_verify(SIM).await.unwrap().card_status, "3");
    let all = admin.all(SIMS, 3).await;
    let mut iccids: Vec<&str> = all.iter().map(|sim| sim["iccid"].as_str().unwrap()).collect();
    assert_eq!(iccids.len(), 4);
    assert!(iccids.is_sorted());
    iccids.dedup();
    assert_eq!(iccids.len(), 4);
    assert_eq!(admin.all(&format!("{SIMS}?state=suspended"), 50).await, [changed]);
    let log = admin.all(&format!("/audit?object=partners/SHOP/sims/{SIM}"), 50).await;
    assert_eq!(log.len(), 2);
    assert!(log.iter().any(|one| one["action"] == "sim.add" && one["before"] == Value::Null));
    mall.stop().await;
}

async fn a_sim_that_does_not_fit_is_refused(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |partner| partner.checks_luhn = true).await;
    let other = mall.add_partner("OTHER", Mode::Live, |_| ()).await;
    let new = json!({"carrier": "simulator"});
    let taken = admin.put(&format!("{SIMS}/{}", other.sims[0]), &new).await;
    assert_eq!(taken.code(409), "SIM_TAKEN");
    let slip = admin.put(&format!("{SIMS}/8944500102198304825"), &new).await;
    assert_eq!(slip.wrong_fields(), ["iccid"]);
    let path = format!("{SIMS}/{SIM}");
    let nobody = admin.put(&path, &json!({"carrier": "nobody", "state": "ready"})).await;
    assert_eq!(nobody.wrong_fields(), ["carrier"]);
    assert!(nobody.body["detail"].as_str().unwrap().contains("simulator"), "{}", nobody.body);
    let wrong = admin.put(&path, &json!({"carrier": "", "state": "lost"})).await;
    assert_eq!(wrong.wrong_fields(), ["carrier", "state"]);
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(admin.all(SIMS, 50).await.len(), shop.sims.len());
    mall.stop().await;
}
