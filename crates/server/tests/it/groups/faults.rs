//! Whatever goes wrong at a carrier, the result of an operation says what is, and what nobody can tell waits for a person.

use domain::{Role, Span};
use serde_json::json;
use testkit::{Engine, on_both_engines};
use upstream::{Fault, FaultKind, Faults};

use super::{Band, GROUP, NET, told};

on_both_engines!(
    every_fault_reaches_the_result_as_it_is,
    the_built_in_network_fails_as_it_is_told,
    what_nobody_can_tell_waits_for_a_person,
    a_carrier_without_groups_is_never_asked,
);

/// A fault of SIMs that end so: what, how often in a row, and how long.
fn fault(ends: &str, kind: FaultKind, attempts: Option<u64>, seconds: Option<u32>) -> Fault {
    let iccid_ends = Some(ends.to_owned());
    Fault { kind, per_mille: 1_000, iccid_ends, attempts, seconds }
}

/// The ending of SIMs, what happens to them, how often, for how long, and what must be told of adding and removing them.
type Fate = (&'static str, FaultKind, Option<u64>, Option<u32>, (&'static str, &'static str));

const FATES: [Fate; 10] = [
    ("7001", FaultKind::SilentFailure, None, None, ("FAILED", "CARRIER_DID_NOT")),
    ("7002", FaultKind::Refuse, None, None, ("FAILED", "CARRIER_REFUSED")),
    ("7003", FaultKind::DropAfterDoing, None, None, ("SUCCEEDED", "")),
    ("7004", FaultKind::DropBeforeDoing, Some(3), None, ("SUCCEEDED", "")),
    ("7005", FaultKind::PendingOperation, Some(3), Some(7), ("SUCCEEDED", "")),
    ("7006", FaultKind::ServerErrorAfterDoing, None, None, ("SUCCEEDED", "")),
    ("7007", FaultKind::TensOfMinutes, None, Some(1_500), ("SUCCEEDED", "")),
    ("7008", FaultKind::MalformedJson, None, None, ("SUCCEEDED", "")),
    ("7009", FaultKind::TooManyRequests, Some(2), Some(5), ("SUCCEEDED", "")),
    ("7010", FaultKind::DropBeforeDoing, None, None, ("FAILED", "CARRIER_UNAVAILABLE")),
];

fn all_fates() -> Faults {
    let faults =
        FATES.map(|(ends, kind, attempts, seconds, _)| fault(ends, kind, attempts, seconds));
    Faults { faults: faults.to_vec(), delay_seconds: (0, 0) }
}

async fn every_fault_reaches_the_result_as_it_is(engine: Engine) {
    let band = Band::over_http(engine, all_fates()).await;
    let endings: Vec<&str> = FATES.iter().map(|(ends, ..)| *ends).chain(["0000"; 3]).collect();
    let sims = band.sims(NET, &endings).await;
    let added = band.ended(&band.add(&sims).await).await;
    assert_eq!(added.status, "PARTIALLY_SUCCEEDED");
    let of_sims = told(&added);
    for ((ends, .., wanted), sim) in FATES.iter().zip(&sims) {
        assert_eq!(of_sims[sim.as_str()], *wanted, "{ends}");
    }
    assert_eq!((added.total, added.succeeded, added.failed), (13, 10, 3));
    // The mall's list, the results, and what the network really did are the same.
    let really = band.mall.network(NET).members().remove(GROUP).unwrap();
    assert_eq!(band.members().await, really);
    let succeeded = added.results.iter().filter(|sim| sim.status == "SUCCEEDED");
    assert!(succeeded.map(|sim| &sim.sim_id).eq(sims.iter().filter(|sim| really.contains(*sim))));
    band.counts_agree().await;
    // Removing meets the same faults.
    let removed = band.ended(&band.remove(&sims).await).await;
    let of_sims = told(&removed);
    for ((ends, .., (status, code)), sim) in FATES.iter().zip(&sims) {
        let wanted =
            if *status == "FAILED" { ("FAILED", "SIM_NOT_IN_GROUP") } else { (*status, *code) };
        assert_eq!(of_sims[sim.as_str()], wanted, "{ends}");
    }
    let really = band.mall.network(NET).members().remove(GROUP).unwrap();
    assert_eq!(band.members().await, really);
    assert!(really.is_empty(), "{really:?}");
    band.counts_agree().await;
    band.mall.stop().await;
}

async fn the_built_in_network_fails_as_it_is_told(engine: Engine) {
    let band = Band::new(engine).await;
    let sims = band.sims("simulator", &["9001", "9002", "9003", "9004", "9010", "0000"]).await;
    let id = band.add(&sims).await;
    band.mall.settle().await;
    let early = band.result(&id).await;
    assert_eq!(early.status, "RUNNING");
    assert_eq!(told(&early)[sims[0].as_str()], ("WAITING", "CARRIER_WORKING"));
    assert_eq!(told(&early)[sims[2].as_str()], ("WAITING", "CARRIER_BUSY"));
    assert_eq!(band.members().await.len(), 2, "only who is in is listed");
    let result = band.ended(&id).await;
    let of_sims = told(&result);
    for (sim, wanted) in sims.iter().zip([
        ("SUCCEEDED", ""),
        ("FAILED", "CARRIER_REFUSED"),
        ("SUCCEEDED", ""),
        ("SUCCEEDED", ""),
        ("FAILED", "CARRIER_DID_NOT"),
        ("SUCCEEDED", ""),
    ]) {
        assert_eq!(of_sims[sim.as_str()], wanted);
    }
    assert_eq!(band.members().await.len(), 4);
    band.counts_agree().await;
    band.mall.stop().await;
}

async fn what_nobody_can_tell_waits_for_a_person(engine: Engine) {
    let band = Band::new(engine).await;
    let sims = band.sims("simulator", &["9005", "9005", "0000"]).await;
    let id = band.add(&sims).await;
    band.mall.advance(Span::minutes(30)).await;
    assert_eq!(told(&band.result(&id).await)[sims[0].as_str()], ("WAITING", "CARRIER_UNCLEAR"));
    let result = band.ended(&id).await;
    assert_eq!(
        (result.status.as_str(), result.succeeded, result.failed),
        ("PARTIALLY_SUCCEEDED", 1, 2)
    );
    assert_eq!(told(&result)[sims[0].as_str()], ("REVIEW", "CARRIER_UNCLEAR"));
    assert_eq!(band.members().await.len(), 1);
    // Until then nobody touches them.
    let again = band.ended(&band.add(&sims[..1]).await).await;
    assert_eq!(told(&again)[sims[0].as_str()], ("FAILED", "SIM_IN_REVIEW"));
    let admin = band.mall.admin(Role::Operator).await;
    let waiting = admin.get("/test/group-reviews").await.done();
    assert_eq!(waiting["items"].as_array().unwrap().len(), 2);
    for (sim, finding) in [(&sims[0], "in"), (&sims[1], "out")] {
        let path = format!("/test/partners/SHOP/group-reviews/{sim}/resolve");
        let decided = json!({"finding": finding, "reason": "seen in the carrier's console"});
        assert!(admin.post(&path, &decided).await.status < 300);
        let decided_before = if finding == "in" { 409 } else { 404 };
        assert_eq!(admin.post(&path, &decided).await.status, decided_before);
    }
    let result = band.result(&id).await;
    assert_eq!((result.succeeded, result.failed), (2, 1));
    assert_eq!(told(&result)[sims[0].as_str()], ("SUCCEEDED", "FOUND_DONE"));
    assert_eq!(told(&result)[sims[1].as_str()], ("FAILED", "FOUND_UNDONE"));
    assert!(band.members().await.contains(&sims[0]));
    assert!(!band.members().await.contains(&sims[1]));
    assert_eq!(admin.get("/test/group-reviews").await.done()["items"], json!([]));
    band.counts_agree().await;
    band.mall.stop().await;
}

/// A carrier whose published pages have no calls for groups.
async fn a_carrier_without_groups_is_never_asked(engine: Engine) {
    use testkit::{Network, Recipe};
    let network = Network::new(NET, upstream::Protocol::CubeV4);
    let recipe = Recipe { networks: vec![network], ..Recipe::default() };
    let band = Band::with(engine, recipe, ("PLAN-network", &json!({}))).await;
    let sims = band.sims(NET, &["0000"]).await;
    let result = band.ended(&band.add(&sims).await).await;
    assert_eq!(told(&result)[sims[0].as_str()], ("FAILED", "SIM_NOT_FOR_GROUP"));
    assert_eq!(band.mall.network(NET).journal(), []);
    band.mall.stop().await;
}
