//! A group's list, page by page, while SIMs come and go.

use sdk::PageAt;
use serde_json::json;
use testkit::{Engine, on_both_engines};
use wire::groups::LIST_GROUP_SIMS;

use super::{Fleet, GROUP};
use crate::raw::call_well;

on_both_engines!(
    pages_have_numbers_and_cursors,
    a_cursor_is_not_led_astray_by_who_comes_and_goes,
    a_cursor_of_nobodys_making_is_refused,
);

async fn pages_have_numbers_and_cursors(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let empty = fleet.client.group_sims(GROUP, PageAt::Number(1), 5).await.unwrap();
    assert_eq!((empty.total_count, empty.sims.len(), empty.next_cursor), (0, 0, None));
    let sims = fleet.more_sims(12).await;
    fleet.add(&sims).await;
    let mut at = PageAt::Number(1);
    let mut by_cursor = Vec::new();
    for number in 1..=3 {
        let numbered = fleet.client.group_sims(GROUP, PageAt::Number(number), 5).await.unwrap();
        let page = fleet.client.group_sims(GROUP, at, 5).await.unwrap();
        assert_eq!((page.total_count, page.group_id.as_str()), (12, GROUP));
        assert_eq!(page.sims, numbered.sims);
        assert_eq!(page.next_cursor.is_some(), number < 3);
        at = PageAt::Cursor(page.next_cursor.unwrap_or_default());
        by_cursor.extend(page.sims.into_iter().map(|sim| sim.sim_id));
    }
    assert_eq!(by_cursor, sims);
    let beyond = fleet.client.group_sims(GROUP, PageAt::Number(4), 5).await.unwrap();
    assert_eq!((beyond.sims.len(), beyond.total_count), (0, 12));
    // Unless told, a page has a hundred; and a cursor wins over a number.
    let page = call_well(&fleet.mall, &fleet.shop, &LIST_GROUP_SIMS, json!({"group_id": GROUP}));
    assert_eq!(page.await.json()["data"]["sims"].as_array().unwrap().len(), 12);
    let first = fleet.client.group_sims(GROUP, PageAt::Number(1), 10).await.unwrap();
    let both = json!({"group_id": GROUP, "page_no": "1", "cursor": first.next_cursor});
    let page = call_well(&fleet.mall, &fleet.shop, &LIST_GROUP_SIMS, both).await.json();
    assert_eq!(page["data"]["sims"][0]["sim_id"], sims[10]);
    fleet.mall.stop().await;
}

async fn a_cursor_is_not_led_astray_by_who_comes_and_goes(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let sims = fleet.more_sims(12).await;
    fleet.add(&sims[..10]).await;
    let first = fleet.client.group_sims(GROUP, PageAt::Number(1), 4).await.unwrap();
    // Two that were shown leave, so do one that was not and the one at which the page ended; two others come.
    let gone = [&sims[0], &sims[1], &sims[3], &sims[6]].map(Clone::clone);
    let accepted = fleet.client.remove_group_sims(GROUP, &gone, "").await.unwrap();
    assert_eq!(fleet.ended(&accepted).await.status, "SUCCEEDED");
    fleet.add(&sims[10..]).await;
    let mut seen: Vec<String> = first.sims.into_iter().map(|sim| sim.sim_id).collect();
    let mut cursor = first.next_cursor;
    while let Some(at) = cursor {
        let page = fleet.client.group_sims(GROUP, PageAt::Cursor(at), 3).await.unwrap();
        assert_eq!(page.total_count, 8);
        seen.extend(page.sims.into_iter().map(|sim| sim.sim_id));
        cursor = page.next_cursor;
    }
    let expected: Vec<String> = sims.iter().filter(|sim| **sim != sims[6]).cloned().collect();
    assert_eq!(seen, expected, "everybody once who was there all the while, and who came");
    // Page numbers shift, as they are said to: the second page of four begins four further.
    let second = fleet.client.group_sims(GROUP, PageAt::Number(2), 4).await.unwrap();
    assert_eq!(second.sims[0].sim_id, sims[8]);
    fleet.mall.stop().await;
}

async fn a_cursor_of_nobodys_making_is_refused(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    fleet.add(&fleet.shop.sims[..1]).await;
    for cursor in ["x", "c", "c-1", "c1.5", "1", "c99999999999999999999"] {
        let asked = json!({"group_id": GROUP, "cursor": cursor});
        let answer = call_well(&fleet.mall, &fleet.shop, &LIST_GROUP_SIMS, asked).await;
        assert_eq!(answer.refused("BAD_REQUEST").told("field"), "cursor", "{cursor}");
    }
    fleet.mall.stop().await;
}
