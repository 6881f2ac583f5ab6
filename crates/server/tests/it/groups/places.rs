//! A group's places: never more SIMs than it may have, never a SIM in two groups, and a list that can be walked.

use std::collections::BTreeSet;

use domain::sim::{Sim, SimState};
use domain::{Iccid, Mode, Role, Span};
use sdk::PageAt;
use serde_json::json;
use testkit::{Engine, Recipe, on_both_engines};

use super::{Band, GROUP, told};

on_both_engines!(
    a_group_is_never_over_its_limit,
    a_sim_is_never_in_two_groups,
    pages_and_cursors_show_the_same,
    what_is_old_is_forgotten,
);

/// Many SIMs of the partner at the built-in network, at once.
async fn stock(band: &Band, count: usize) -> Vec<String> {
    let mut tx = band.mall.store().begin().await.unwrap();
    let (mode, owner) = (Mode::Test, band.shop.partner.id);
    let mut sims = Vec::with_capacity(count);
    for number in 0..count {
        let iccid: Iccid = format!("89440{number:010}0000").parse().unwrap();
        sims.push(iccid.as_str().to_owned());
        let (id, carrier) = (band.mall.mall().ctx().id(), "simulator".to_owned());
        let sim = Sim { id, iccid, carrier, state: SimState::Ready };
        tx.insert_sim(mode, owner, &sim, band.mall.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    sims
}

async fn a_group_is_never_over_its_limit(engine: Engine) {
    let band = Band::with(engine, Recipe::default(), ("PLAN-M", &json!({"sim_limit": 300}))).await;
    let sims = stock(&band, 800).await;
    // Several parts of two operations take places at once, on two nodes.
    let node = band.mall.another_node(Recipe::default()).await;
    let nodes = [band.mall.mall(), &node.mall];
    let ended = async |id: String| band.ended_on(&nodes, &id).await;
    let first = band.add(&sims[..400]).await;
    let second = band.add(&sims[400..]).await;
    let (first, second) = (ended(first).await, ended(second).await);
    assert_eq!(first.succeeded + second.succeeded, 300);
    let full = |result: &sdk::OperationResult| {
        let full =
            told(result).into_values().filter(|one| *one == ("FAILED", "GROUP_FULL")).count();
        i64::try_from(full).unwrap()
    };
    assert_eq!(full(&first) + full(&second), 500);
    assert_eq!(band.members().await.len(), 300);
    band.counts_agree().await;
    // A place that comes free is taken again; a limit that is lowered sends nobody away.
    let inside: Vec<String> = band.members().await.into_iter().take(10).collect();
    assert_eq!(ended(band.remove(&inside).await).await.status, "SUCCEEDED");
    let admin = band.mall.admin(Role::Operator).await;
    let path = format!("/test/partners/SHOP/groups/{GROUP}");
    admin.patch(&path, &json!({"sim_limit": 100})).await.done();
    let refused = ended(band.add(&inside).await).await;
    assert_eq!(refused.failed, 10);
    admin.patch(&path, &json!({"sim_limit": 300})).await.done();
    band.mall.advance(Span::seconds(11)).await;
    assert_eq!(ended(band.add(&inside).await).await.status, "SUCCEEDED");
    assert_eq!(band.members().await.len(), 300);
    band.counts_agree().await;
    node.stop().await;
    band.mall.stop().await;
}

async fn a_sim_is_never_in_two_groups(engine: Engine) {
    let band = Band::new(engine).await;
    band.add_group("FLEET-2", "PLAN-M", &json!({})).await;
    let sims = stock(&band, 300).await;
    let (one, other) = tokio::join!(
        band.client.add_group_sims(GROUP, &sims, ""),
        band.client.add_group_sims("FLEET-2", &sims, ""),
    );
    let one = band.ended(&one.unwrap().request_id).await;
    let other = band.ended(&other.unwrap().request_id).await;
    assert_eq!(one.succeeded + other.succeeded, 300);
    for (sim, other) in told(&one).into_values().zip(told(&other).into_values()) {
        let pair = BTreeSet::from([sim, other]);
        assert_eq!(pair, BTreeSet::from([("SUCCEEDED", ""), ("FAILED", "SIM_IN_OTHER_GROUP")]));
    }
    let (first, second) = (band.members().await, band.members_of("FLEET-2").await);
    assert_eq!(first.intersection(&second).count(), 0);
    assert_eq!(first.len() + second.len(), 300);
    band.mall.stop().await;
}

async fn pages_and_cursors_show_the_same(engine: Engine) {
    let more = json!({"sim_limit": 3_000});
    let band = Band::with(engine, Recipe::default(), ("PLAN-M", &more)).await;
    // More than a block of places, with gaps.
    let sims = stock(&band, 2_300).await;
    assert_eq!(band.ended(&band.add(&sims).await).await.succeeded, 2_300);
    let gone: Vec<String> = sims.iter().skip(5).step_by(3).cloned().collect();
    assert_eq!(band.ended(&band.remove(&gone).await).await.status, "SUCCEEDED");
    let stay: BTreeSet<String> = sims.iter().filter(|sim| !gone.contains(sim)).cloned().collect();
    assert_eq!(band.members().await, stay);
    let (mut by_number, mut by_cursor) = (Vec::new(), Vec::new());
    let mut at = PageAt::Number(1);
    for number in 1.. {
        let page = band.client.group_sims(GROUP, PageAt::Number(number), 97).await.unwrap();
        by_number.extend(page.sims.into_iter().map(|sim| sim.sim_id));
        let walked = band.client.group_sims(GROUP, at, 97).await.unwrap();
        by_cursor.extend(walked.sims.into_iter().map(|sim| sim.sim_id));
        match walked.next_cursor {
            Some(cursor) => at = PageAt::Cursor(cursor),
            None => break,
        }
    }
    assert_eq!(by_number, by_cursor);
    let beyond = band.client.group_sims(GROUP, PageAt::Number(1_000), 97).await.unwrap();
    assert!(beyond.sims.is_empty() && beyond.next_cursor.is_none());
    // A walk misses nobody who stays, whoever goes meanwhile.
    let first = band.client.group_sims(GROUP, PageAt::Number(1), 500).await.unwrap();
    let seen: Vec<String> = first.sims.into_iter().map(|sim| sim.sim_id).collect();
    assert_eq!(band.ended(&band.remove(&seen[..400]).await).await.status, "SUCCEEDED");
    let cursor = PageAt::Cursor(first.next_cursor.unwrap());
    let second = band.client.group_sims(GROUP, cursor, 500).await.unwrap();
    let second: Vec<String> = second.sims.into_iter().map(|sim| sim.sim_id).collect();
    assert_eq!(second, by_cursor[500..1_000]);
    band.counts_agree().await;
    band.mall.stop().await;
}

async fn what_is_old_is_forgotten(engine: Engine) {
    let band = Band::new(engine).await;
    let id = band.add(&band.shop.sims).await;
    band.ended(&id).await;
    band.mall.clock.advance(Span::days(89));
    band.mall.mall().reconcile().await.unwrap();
    assert_eq!(band.result(&id).await.succeeded, 3);
    band.mall.clock.advance(Span::days(2));
    band.mall.mall().reconcile().await.unwrap();
    assert!(band.client.async_result(&id, false, 1).await.is_err());
    // Its SIMs stay where they are.
    assert_eq!(band.members().await.len(), 3);
    band.mall.stop().await;
}
