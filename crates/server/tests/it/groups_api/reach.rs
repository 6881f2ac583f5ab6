//! Who reaches which group: partners and modes are apart, and every path stands under its prefixes and at the root.

use domain::{Mode, Span};
use serde_json::{Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};
use wire::Call;
use wire::groups::{
    ADD_GROUP_SIMS, ASYNC_RESULT, CANCEL_OPERATION, LIST_GROUP_SIMS, LIST_GROUPS,
    REMOVE_GROUP_SIMS, RETRY_FAILED,
};
use wire::sign::Scheme;

use super::{Fleet, GROUP};
use crate::raw::{Answer, fields, sent, signed};

on_both_engines!(
    each_call_stands_under_its_prefixes_and_at_the_root,
    foreign_groups_and_operations_are_not_there,
    the_modes_are_apart,
    results_are_kept_for_ninety_days,
);

/// Makes a call at a path below some prefix.
async fn at(
    mall: &TestMall,
    shop: &TestPartner,
    (prefix, call): (&str, &Call),
    more: Value,
) -> Answer {
    let fields = fields(mall, &shop.partner.code, call, more);
    let members = signed(Scheme::HmacSha256, &shop.key, fields);
    sent(mall, call, &format!("{prefix}{}", call.path), &members).await
}

async fn each_call_stands_under_its_prefixes_and_at_the_root(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for (mode, prefixes) in [(Mode::Test, &["/topup_test", ""][..]), (Mode::Live, &["/topup"])] {
        let shop = mall.add_partner("SHOP", mode, |_| ()).await;
        mall.add_group(&shop, GROUP, 10).await;
        for prefix in prefixes {
            let done = async |call: &Call, more: Value| {
                let answer = at(&mall, &shop, (prefix, call), more).await;
                mall.settle().await;
                answer.accepted().json()["data"].clone()
            };
            let sims = json!({"group_id": GROUP, "sim_ids": shop.sims});
            let request =
                json!({"request_id": done(&ADD_GROUP_SIMS, sims.clone()).await["request_id"]});
            let group = json!({"group_id": GROUP});
            assert_eq!(done(&LIST_GROUP_SIMS, group).await["total_count"], 3);
            assert_eq!(done(&LIST_GROUPS, json!({})).await[0]["sim_count"], 3);
            assert_eq!(done(&ASYNC_RESULT, request.clone()).await["succeeded"], 3);
            done(&RETRY_FAILED, request.clone()).await;
            done(&CANCEL_OPERATION, request).await;
            done(&REMOVE_GROUP_SIMS, sims).await;
        }
    }
    mall.stop().await;
}

/// What a partner is told of a group and of an operation, whichever call it makes.
async fn reaches_nothing(mall: &TestMall, snoop: &TestPartner, group: &str, request: &str) {
    let prefix = ADD_GROUP_SIMS.service.prefix(snoop.partner.mode);
    let sims = json!({"group_id": group, "sim_ids": snoop.sims});
    let (group, request) = (json!({"group_id": group}), json!({"request_id": request}));
    let mut dry_run = sims.clone();
    dry_run["dry_run"] = "1".into();
    for (call, more, code) in [
        (LIST_GROUP_SIMS, &group, "GROUP_UNKNOWN"),
        (ADD_GROUP_SIMS, &sims, "GROUP_UNKNOWN"),
        (ADD_GROUP_SIMS, &dry_run, "GROUP_UNKNOWN"),
        (REMOVE_GROUP_SIMS, &sims, "GROUP_UNKNOWN"),
        (REMOVE_GROUP_SIMS, &dry_run, "GROUP_UNKNOWN"),
        (ASYNC_RESULT, &request, "REQUEST_UNKNOWN"),
        (RETRY_FAILED, &request, "REQUEST_UNKNOWN"),
        (CANCEL_OPERATION, &request, "REQUEST_UNKNOWN"),
    ] {
        let answer = at(mall, snoop, (prefix, &call), more.clone()).await;
        assert_eq!(answer.outcome(), (400, code.to_owned()), "{}", call.name);
        assert!(!answer.told("message").is_empty());
    }
    let answer = at(mall, snoop, (prefix, &LIST_GROUPS), json!({})).await;
    assert_eq!(answer.accepted().json()["data"], json!([]));
}

async fn foreign_groups_and_operations_are_not_there(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let accepted = fleet.client.add_group_sims(GROUP, &fleet.shop.sims, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    let snoop = fleet.mall.add_partner("SNOOP", Mode::Test, |_| ()).await;
    reaches_nothing(&fleet.mall, &snoop, GROUP, &accepted.request_id).await;
    reaches_nothing(&fleet.mall, &snoop, "NO-SUCH", &format!("gop_{}", "0".repeat(32))).await;
    reaches_nothing(&fleet.mall, &snoop, "x", "ord_1").await;
    fleet.mall.settle().await;
    assert_eq!(fleet.client.async_result(&accepted.request_id, false, 1).await.unwrap(), result);
    assert_eq!(fleet.sims().await.len(), 3);
    fleet.mall.stop().await;
}

async fn the_modes_are_apart(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let live = fleet.mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let accepted = fleet.client.add_group_sims(GROUP, &fleet.shop.sims, "").await.unwrap();
    fleet.ended(&accepted).await;
    reaches_nothing(&fleet.mall, &live, GROUP, &accepted.request_id).await;
    // A group of the same code in the other mode is another one.
    fleet.mall.add_group(&live, GROUP, 1).await;
    let client = live.client(&fleet.mall);
    let theirs = client.add_group_sims(GROUP, &fleet.shop.sims, "").await.unwrap();
    fleet.mall.settle().await;
    let result = client.async_result(&theirs.request_id, false, 1).await.unwrap();
    assert_eq!((result.failed, result.results[0].code.as_deref()), (3, Some("SIM_UNKNOWN")));
    assert_eq!(fleet.sims().await.len(), 3);
    fleet.mall.stop().await;
}

async fn results_are_kept_for_ninety_days(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let accepted = fleet.client.add_group_sims(GROUP, &fleet.shop.sims, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    fleet.mall.advance(Span::days(89)).await;
    let kept = fleet.client.async_result(&accepted.request_id, false, 1).await.unwrap();
    assert_eq!(kept, result);
    fleet.mall.advance(Span::days(2)).await;
    let gone = fleet.client.async_result(&accepted.request_id, false, 1).await.unwrap_err();
    assert_eq!(gone.code(), Some("REQUEST_UNKNOWN"));
    // What came of it stays.
    assert_eq!(fleet.sims().await.len(), 3);
    fleet.mall.stop().await;
}
