//! SIMs are added and removed: the truth about each of them.

use domain::Locale;
use domain::sim::SimState;
use serde_json::json;
use testkit::{Engine, on_both_engines};
use wire::groups::{ADD_GROUP_SIMS, ASYNC_RESULT, LIST_GROUPS};

use super::{Fleet, GROUP, NOBODYS, told};
use crate::raw::call_well;

on_both_engines!(
    sims_are_added_and_removed,
    each_sim_has_its_own_result,
    results_are_in_the_callers_language,
    results_are_paged_and_only_the_failed_may_be_asked_for,
    results_are_a_file_as_well,
    a_group_is_full_when_its_places_are_taken,
    ten_thousand_sims_fit_into_a_request,
    the_groups_are_listed_with_what_they_share,
);

async fn sims_are_added_and_removed(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let sims = fleet.shop.sims.clone();
    // One that is named twice counts once.
    let twice = [sims.clone(), vec![sims[0].clone()]].concat();
    let accepted = fleet.client.add_group_sims(GROUP, &twice, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    assert_eq!(
        (result.operation.as_str(), result.group_id.as_str(), result.status.as_str()),
        ("ADD_SIMS", GROUP, "SUCCEEDED")
    );
    assert_eq!((result.total, result.succeeded, result.failed), (3, 3, 0));
    let named: Vec<&str> = result.results.iter().map(|sim| sim.sim_id.as_str()).collect();
    assert_eq!(named, sims, "in the order in which they were named");
    assert!(told(&result).values().all(|sim| *sim == ("SUCCEEDED", "")));
    assert_eq!(fleet.sims().await, sims);

    let accepted = fleet.client.remove_group_sims(GROUP, &sims[..1], "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    assert_eq!((result.operation.as_str(), result.succeeded), ("REMOVE_SIMS", 1));
    assert_eq!(fleet.sims().await, sims[1..]);
    let accepted = fleet.client.remove_group_sims_by_query(GROUP, &sims[1..], "").await.unwrap();
    assert_eq!(fleet.ended(&accepted).await.status, "SUCCEEDED");
    assert!(fleet.sims().await.is_empty());
    // Whoever left may come again.
    fleet.add(&sims[..1]).await;
    assert_eq!(fleet.sims().await, sims[..1]);
    fleet.mall.stop().await;
}

async fn each_sim_has_its_own_result(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let mall = &fleet.mall;
    mall.add_group(&fleet.shop, "FLEET-2", 10).await;
    let stranger = mall.add_partner("OTHER", domain::Mode::Test, |_| ()).await;
    let ended = mall.add_sim(&fleet.shop, "", "simulator", SimState::Terminated).await;
    let elsewhere = mall.add_sim(&fleet.shop, "", "elsewhere", SimState::Ready).await;
    let sims = &fleet.shop.sims;
    fleet.add(&sims[..1]).await;
    let accepted = fleet.client.add_group_sims("FLEET-2", &sims[1..2], "").await.unwrap();
    assert_eq!(fleet.ended(&accepted).await.status, "SUCCEEDED");

    let all = [&sims[0], &sims[1], &sims[2], &ended, &elsewhere, &stranger.sims[0]];
    let mut all: Vec<String> = all.into_iter().cloned().collect();
    all.push(NOBODYS.to_owned());
    let accepted = fleet.client.add_group_sims(GROUP, &all, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    assert_eq!(result.status, "PARTIALLY_SUCCEEDED", "{result:?}");
    assert_eq!((result.total, result.succeeded, result.failed), (7, 2, 5));
    let told = told(&result);
    let expected = [
        (&sims[0], ("SUCCEEDED", "ALREADY_IN_GROUP")),
        (&sims[1], ("FAILED", "SIM_IN_OTHER_GROUP")),
        (&sims[2], ("SUCCEEDED", "")),
        (&ended, ("FAILED", "SIM_NOT_SELLABLE")),
        (&elsewhere, ("FAILED", "SIM_NOT_FOR_GROUP")),
        // Another partner's card is like none.
        (&stranger.sims[0], ("FAILED", "SIM_UNKNOWN")),
        (&NOBODYS.to_owned(), ("FAILED", "SIM_UNKNOWN")),
    ];
    for (sim, right) in expected {
        assert_eq!(told[sim.as_str()], right, "{sim}");
    }
    let sims = [sims[1].clone(), NOBODYS.to_owned()];
    let accepted = fleet.client.remove_group_sims(GROUP, &sims, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    assert_eq!((result.status.as_str(), result.failed), ("FAILED", 2));
    fleet.mall.stop().await;
}

async fn results_are_in_the_callers_language(engine: Engine) {
    let mut fleet = Fleet::new(engine).await;
    let accepted = fleet.client.add_group_sims(GROUP, &[NOBODYS.to_owned()], "").await.unwrap();
    fleet.ended(&accepted).await;
    let asked = json!({"request_id": accepted.request_id});
    let english = "This SIM is not in the partner's stock.";
    let chinese = "该合作伙伴名下没有这张 SIM 卡。";
    for (language, expected) in [("", english), ("0", english), ("1", chinese), ("zh-CN", chinese)]
    {
        let mut asked = asked.clone();
        asked["languageCode"] = language.into();
        let answer = call_well(&fleet.mall, &fleet.shop, &ASYNC_RESULT, asked).await;
        let told = answer.accepted().json()["data"]["results"][0].clone();
        assert_eq!((&told["code"], &told["message"]), (&json!("SIM_UNKNOWN"), &json!(expected)));
    }
    // Without a wish it is the partner's own.
    fleet.mall.change_partner(&mut fleet.shop, |partner| partner.locale = Locale::ZhCn).await;
    let answer = call_well(&fleet.mall, &fleet.shop, &ASYNC_RESULT, asked).await;
    assert_eq!(answer.json()["data"]["results"][0]["message"], chinese);
    let answer = call_well(&fleet.mall, &fleet.shop, &LIST_GROUPS, json!({})).await;
    let name = &answer.json()["data"][0]["bundle"]["service_plan_show_name"];
    assert_eq!(name, "套餐 PLAN-M");
    fleet.mall.stop().await;
}

async fn results_are_paged_and_only_the_failed_may_be_asked_for(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let nobody = |number: usize| format!("89001{number:014}");
    let mut sims = Vec::new();
    for (number, sim) in fleet.more_sims(6).await.into_iter().enumerate() {
        sims.extend([sim, nobody(number)]);
    }
    let accepted = fleet.client.add_group_sims(GROUP, &sims, "").await.unwrap();
    fleet.ended(&accepted).await;
    let page = async |more: serde_json::Value| {
        let mut asked = json!({"request_id": accepted.request_id});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = call_well(&fleet.mall, &fleet.shop, &ASYNC_RESULT, asked).await;
        let data = answer.accepted().json()["data"].clone();
        assert_eq!(
            (&data["total"], &data["succeeded"], &data["failed"]),
            (&json!(12), &json!(6), &json!(6))
        );
        let results = data["results"].as_array().unwrap().clone();
        results.iter().map(|sim| sim["sim_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(page(json!({"page_size": "5"})).await, sims[..5]);
    assert_eq!(page(json!({"page_size": "5", "page_no": "3"})).await, sims[10..]);
    assert!(page(json!({"page_size": "5", "page_no": "4"})).await.is_empty());
    let failed: Vec<String> = (0..6).map(nobody).collect();
    assert_eq!(page(json!({"only": "failed"})).await, failed);
    assert_eq!(
        page(json!({"only": "failed", "page_size": "4", "page_no": "2"})).await,
        failed[4..]
    );
    fleet.mall.stop().await;
}

async fn results_are_a_file_as_well(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let sims = vec![fleet.shop.sims[0].clone(), NOBODYS.to_owned()];
    let accepted = fleet.client.add_group_sims(GROUP, &sims, "").await.unwrap();
    fleet.ended(&accepted).await;
    let id = &accepted.request_id;
    let failed =
        format!("{NOBODYS},FAILED,SIM_UNKNOWN,This SIM is not in the partner's stock.\r\n");
    let head = "sim_id,status,code,message\r\n";
    let file = fleet.client.async_result_csv(id, false).await.unwrap();
    assert_eq!(file, format!("{head}{},SUCCEEDED,,\r\n{failed}", sims[0]));
    assert_eq!(fleet.client.async_result_csv(id, true).await.unwrap(), format!("{head}{failed}"));
    // A page is of no account to a file: it has all results.
    let asked = json!({"request_id": id, "format": "csv", "page_size": "1", "page_no": "2"});
    let answer = call_well(&fleet.mall, &fleet.shop, &ASYNC_RESULT, asked).await;
    assert_eq!(answer.accepted().text, file);
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let named = answer.headers["content-disposition"].to_str().unwrap();
    assert_eq!(named, format!("attachment; filename=\"{id}.csv\""));
    // What is refused is told in the envelope.
    let asked = json!({"request_id": "gop_1", "format": "csv"});
    call_well(&fleet.mall, &fleet.shop, &ASYNC_RESULT, asked).await.refused("REQUEST_UNKNOWN");
    fleet.mall.stop().await;
}

async fn a_group_is_full_when_its_places_are_taken(engine: Engine) {
    let fleet = Fleet::with_limit(engine, 2).await;
    let sims = fleet.shop.sims.clone();
    let accepted = fleet.client.add_group_sims(GROUP, &sims, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    assert_eq!((result.succeeded, result.failed), (2, 1), "{result:?}");
    let full = told(&result).into_values().filter(|sim| *sim == ("FAILED", "GROUP_FULL"));
    assert_eq!(full.count(), 1);
    let members = fleet.sims().await;
    assert_eq!(members.len(), 2);
    // Where one leaves, another finds room.
    let accepted = fleet.client.remove_group_sims(GROUP, &members[..1], "").await.unwrap();
    fleet.ended(&accepted).await;
    let out: Vec<String> = sims.into_iter().filter(|sim| !members.contains(sim)).collect();
    fleet.add(&out).await;
    fleet.mall.stop().await;
}

async fn ten_thousand_sims_fit_into_a_request(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    // As long as a number can be, so that the request is as large as it can be.
    let sims: Vec<String> = (0..10_000).map(|number| format!("8900100{number:015}")).collect();
    let accepted = fleet.client.add_group_sims(GROUP, &sims, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    assert_eq!((result.status.as_str(), result.total, result.failed), ("FAILED", 10_000, 10_000));
    assert_eq!(result.results.len(), 1_000);
    let last = fleet.client.async_result(&accepted.request_id, true, 10).await.unwrap();
    assert_eq!(last.results.last().unwrap().sim_id, sims[9_999]);
    let more = [sims.as_slice(), &[NOBODYS.to_owned()]].concat();
    let refused = fleet.client.add_group_sims(GROUP, &more, "").await.unwrap_err();
    assert_eq!(refused.code(), Some("BAD_REQUEST"));
    let asked = json!({"group_id": GROUP, "sim_ids": more});
    let answer = call_well(&fleet.mall, &fleet.shop, &ADD_GROUP_SIMS, asked).await;
    assert_eq!(answer.refused("BAD_REQUEST").told("field"), "sim_ids");
    // As many as a query may have.
    let some = &sims[..1_000];
    let accepted = fleet.client.remove_group_sims_by_query(GROUP, some, "").await.unwrap();
    assert_eq!(fleet.ended(&accepted).await.failed, 1_000);
    let refused = fleet.client.remove_group_sims_by_query(GROUP, &sims[..1_001], "").await;
    assert_eq!(refused.unwrap_err().code(), Some("BAD_REQUEST"));
    fleet.mall.stop().await;
}

async fn the_groups_are_listed_with_what_they_share(engine: Engine) {
    let fleet = Fleet::with_limit(engine, 7).await;
    fleet.mall.add_group(&fleet.shop, "FLEET-2", 3).await;
    fleet.add(&fleet.shop.sims[..2]).await;
    let groups = fleet.client.groups().await.unwrap();
    let counts: Vec<(&str, i64, i64)> = groups
        .iter()
        .map(|group| (group.group_id.as_str(), group.sim_count, group.sim_limit))
        .collect();
    assert_eq!(counts, [(GROUP, 2, 7), ("FLEET-2", 0, 3)]);
    let (group, now) = (&groups[0], fleet.mall.now().as_millis());
    assert_eq!((group.name.as_str(), group.status.as_str()), (GROUP, "ACTIVE"));
    let bundle = &group.bundle;
    assert_eq!(
        (bundle.service_plan_code.as_str(), bundle.package_code.as_str()),
        ("PLAN-M", "PACK-M")
    );
    assert_eq!((bundle.package_type.as_str(), bundle.used_volume), ("2", 0));
    assert_eq!(bundle.effective_at, now);
    assert_eq!(bundle.expire_at, now + 30 * 24 * 60 * 60 * 1_000);
    fleet.mall.stop().await;
}
