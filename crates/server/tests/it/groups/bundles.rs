//! The bundle of a group: its volume, its period, and its end.

use domain::{Money, Role, Span};
use serde_json::{Value, json};
use testkit::{Engine, Network, Receiver, Recipe, on_both_engines};
use upstream::Protocol;

use super::{Band, GROUP, NET, told};

on_both_engines!(
    usage_is_told_once_and_at_the_limit_there_is_no_more,
    at_the_limit_data_is_slow,
    at_the_limit_the_next_period_begins,
    a_period_is_charged_once_and_followed_by_the_next,
    a_bundle_that_ends_leaves_its_sims_without_data,
    a_bundle_that_cannot_be_paid_ends,
    a_bundle_whose_plan_has_no_price_any_more_ends,
    what_a_group_uses_is_pushed,
    the_moved_clock_turns_periods,
);

/// What a period costs the partner, in minor units.
const OWED: i64 = 800;

/// A group of three SIMs of a network over HTTP, of which each uses 64 KiB a minute: the gigabyte of the bundle is used in 91 hours.
async fn three_sims(engine: Engine, more: &Value) -> Band {
    let network = Network::new(NET, Protocol::Plain);
    let recipe = Recipe { networks: vec![network], ..Recipe::default() };
    let band = Band::with(engine, recipe, ("PLAN-network", more)).await;
    let sims = band.sims(NET, &["0000"; 3]).await;
    assert_eq!(band.ended(&band.add(&sims).await).await.status, "SUCCEEDED");
    band
}

/// Lets time pass, with a look every so often.
async fn pass(band: &Band, hours: i64) {
    for _ in 0..hours {
        band.mall.advance(Span::minutes(60)).await;
    }
}

async fn usage_events(band: &Band) -> Vec<String> {
    let events = band.events().await.into_iter();
    events.filter(|(kind, _)| kind == "group.usage").map(|(_, subject)| subject).collect()
}

async fn usage_is_told_once_and_at_the_limit_there_is_no_more(engine: Engine) {
    let band = three_sims(engine, &json!({"at_limit": "stop"})).await;
    pass(&band, 44).await;
    assert!(usage_events(&band).await.is_empty());
    pass(&band, 4).await;
    assert_eq!(usage_events(&band).await, ["1/50"]);
    pass(&band, 26).await;
    assert_eq!(usage_events(&band).await, ["1/50", "1/80"]);
    assert_eq!(band.mall.network(NET).policy(GROUP), "open");
    pass(&band, 20).await;
    assert_eq!(usage_events(&band).await, ["1/50", "1/80", "1/100"]);
    let group = band.shown().await;
    assert_eq!(
        (group["state"].as_str(), group["carrier_policy"].as_str()),
        (Some("stopped"), Some("stopped"))
    );
    assert_eq!(band.mall.network(NET).policy(GROUP), "stopped");
    let used = group["used_bytes"].as_i64().unwrap();
    assert!(used >= 1 << 30, "{used}");
    pass(&band, 30).await;
    assert_eq!(band.shown().await["used_bytes"], used, "no data flows");
    // The next period begins with the whole volume, and data flows again.
    pass(&band, 24 * 26).await;
    let group = band.shown().await;
    assert_eq!(
        (group["state"].as_str(), group["carrier_policy"].as_str()),
        (Some("active"), Some("open"))
    );
    assert_eq!(band.mall.network(NET).policy(GROUP), "open");
    assert!(group["used_bytes"].as_i64().unwrap() < used);
    band.mall.stop().await;
}

async fn at_the_limit_data_is_slow(engine: Engine) {
    let band = three_sims(engine, &json!({"at_limit": "throttle"})).await;
    pass(&band, 95).await;
    assert_eq!(band.shown().await["state"], "throttled");
    assert_eq!(band.mall.network(NET).policy(GROUP), "throttled");
    let used = band.shown().await["used_bytes"].as_i64().unwrap();
    pass(&band, 48).await;
    let later = band.shown().await["used_bytes"].as_i64().unwrap();
    assert!(later > used && later < used + (1 << 26), "{used} {later}");
    band.mall.stop().await;
}

async fn at_the_limit_the_next_period_begins(engine: Engine) {
    let band = three_sims(engine, &json!({"at_limit": "renew"})).await;
    assert_eq!(band.shop.owes(&band.mall).await, OWED);
    let before = band.shown().await;
    pass(&band, 95).await;
    let group = band.shown().await;
    assert_eq!(group["state"], "active");
    assert_eq!(band.mall.network(NET).policy(GROUP), "open");
    assert!(group["expires_at"].as_str() > before["expires_at"].as_str());
    assert_eq!(band.shop.owes(&band.mall).await, 2 * OWED);
    pass(&band, 95).await;
    assert_eq!(band.shop.owes(&band.mall).await, 3 * OWED);
    let told = ["1/100", "1/50", "1/80", "2/100", "2/50", "2/80"];
    let mut events = usage_events(&band).await;
    events.sort();
    assert_eq!(events[..6], told);
    band.mall.stop().await;
}

async fn a_period_is_charged_once_and_followed_by_the_next(engine: Engine) {
    let more = json!({"plan_code": "PLAN-C"});
    let band = Band::with(engine, Recipe::default(), ("PLAN-C", &more)).await;
    assert_eq!(band.shop.owes(&band.mall).await, 1_600);
    let first = band.shown().await;
    // A calendar month from the 10th of March.
    assert_eq!(first["effective_at"], "2024-03-10T08:00:00Z");
    assert_eq!(first["expires_at"], "2024-04-10T08:00:00Z");
    for _ in 0..3 {
        band.mall.advance(Span::days(31)).await;
    }
    let later = band.shown().await;
    assert_eq!(later["effective_at"], "2024-06-10T08:00:00Z");
    assert_eq!(band.shop.owes(&band.mall).await, 4 * 1_600);
    let renewed =
        band.events().await.into_iter().filter(|(kind, _)| kind == "group.bundle.renewed");
    assert_eq!(renewed.map(|(_, no)| no).collect::<Vec<_>>(), ["2", "3", "4"]);
    band.mall.stop().await;
}

async fn a_bundle_that_ends_leaves_its_sims_without_data(engine: Engine) {
    let band = three_sims(engine, &json!({"at_end": "end", "at_limit": "throttle"})).await;
    band.mall.advance(Span::days(30)).await;
    band.mall.advance(Span::minutes(1)).await;
    let group = band.shown().await;
    assert_eq!(group["state"], "ended");
    assert_eq!(band.mall.network(NET).policy(GROUP), "stopped");
    assert_eq!(band.members().await.len(), 3, "they stay");
    assert_eq!(band.shop.owes(&band.mall).await, OWED);
    let more = band.sims(NET, &["0000"]).await;
    let result = band.ended(&band.add(&more).await).await;
    assert_eq!(told(&result)[more[0].as_str()], ("FAILED", "GROUP_ENDED"));
    // Who is in can go, and a bundle that is set begins anew.
    let inside: Vec<String> = band.members().await.into_iter().take(1).collect();
    assert_eq!(band.ended(&band.remove(&inside).await).await.status, "SUCCEEDED");
    let admin = band.mall.admin(Role::Operator).await;
    let path = format!("/test/partners/SHOP/groups/{GROUP}/bundle");
    admin.put(&path, &json!({"plan_code": "PLAN-network", "period_no": 1})).await.done();
    band.mall.settle().await;
    assert_eq!(band.shown().await["state"], "active");
    assert_eq!(band.mall.network(NET).policy(GROUP), "open");
    assert_eq!(band.shop.owes(&band.mall).await, 2 * OWED);
    band.mall.advance(Span::seconds(11)).await;
    assert_eq!(band.ended(&band.add(&more).await).await.status, "SUCCEEDED");
    band.mall.stop().await;
}

async fn a_bundle_that_cannot_be_paid_ends(engine: Engine) {
    let band = three_sims(engine, &json!({})).await;
    let mut tx = band.mall.store().begin().await.unwrap();
    let limit = Money::new(OWED + OWED / 2, band.shop.partner.settlement_currency);
    tx.set_credit_limit(&band.shop.partner, limit).await.unwrap();
    tx.commit().await.unwrap();
    band.mall.advance(Span::days(31)).await;
    assert_eq!(band.shown().await["state"], "ended");
    assert_eq!(band.shop.owes(&band.mall).await, OWED, "nothing was charged");
    let ended = ("group.bundle.ended".to_owned(), "1".to_owned());
    assert!(band.events().await.contains(&ended));
    // A group that its partner cannot pay for is not made.
    let admin = band.mall.admin(Role::Operator).await;
    let group =
        json!({"group_id": "G2", "name": "G2", "sim_limit": 1, "plan_code": "PLAN-network"});
    let refused = admin.post("/test/partners/SHOP/groups", &group).await;
    assert_eq!(refused.status, 409);
    band.mall.stop().await;
}

async fn a_bundle_whose_plan_has_no_price_any_more_ends(engine: Engine) {
    let band = three_sims(engine, &json!({})).await;
    let admin = band.mall.admin(Role::Operator).await;
    let prices = admin.all("/test/partners/SHOP/prices?plan=PLAN-network", 50).await;
    let settlement = prices.iter().find(|price| price["kind"] == "settlement").unwrap();
    let price = settlement["price_id"].as_str().unwrap();
    admin.delete(&format!("/test/partners/SHOP/prices/{price}")).await.done();
    band.mall.advance(Span::days(29)).await;
    assert_ne!(band.shown().await["state"], "ended", "what is paid for runs to its end");
    band.mall.advance(Span::days(2)).await;
    assert_eq!(band.shown().await["state"], "ended");
    assert_eq!(band.mall.network(NET).policy(GROUP), "stopped");
    assert_eq!(band.shop.owes(&band.mall).await, OWED, "it does not become free");
    band.mall.stop().await;
}

async fn what_a_group_uses_is_pushed(engine: Engine) {
    let band = three_sims(engine, &json!({"at_limit": "stop"})).await;
    let receiver = Receiver::start().await;
    let endpoint = band.mall.add_endpoint(&band.shop, &receiver.url("/"), &[]).await;
    let more = band.sims(NET, &["0000"]).await;
    let request_id = band.add(&more).await;
    assert_eq!(band.ended(&request_id).await.status, "SUCCEEDED");
    pass(&band, 72).await;
    band.mall.settle_pushes().await;
    let keys = [endpoint.key.clone()];
    let pushes = receiver.received();
    let events: Vec<_> = pushes.iter().map(|push| push.verify_when_sent(&keys)).collect();
    let usage = "group.usage";
    assert_eq!(receiver.types(), ["group.operation.finished", usage, usage, usage]);
    assert_eq!(events[0].data["request_id"], request_id);
    let volume = 1_i64 << 30;
    for (event, percent) in events[1..].iter().zip([50, 80, 100]) {
        assert_eq!(
            (&event.data["group_id"], &event.data["percent"]),
            (&GROUP.into(), &percent.into())
        );
        assert_eq!(event.data["data_volume"], volume);
        let used = event.data["used_volume"].as_i64().unwrap();
        assert!(used * 100 >= volume * percent && used * 100 < volume * (percent + 10), "{used}");
    }
    band.mall.stop().await;
}

async fn the_moved_clock_turns_periods(engine: Engine) {
    let band = Band::new(engine).await;
    let ends = |group: Value| group["expires_at"].as_str().unwrap().to_owned();
    let first = ends(band.shown().await);
    let admin = band.mall.admin(Role::Operator).await;
    let to = json!({"to": "2024-05-20T08:00:00Z"});
    for _ in 0..200 {
        if admin.post("/test/clock", &to).await.done()["is_there"] == true {
            break;
        }
    }
    let group = band.shown().await;
    assert!(ends(group.clone()) > first);
    assert_eq!(group["effective_at"], "2024-05-09T08:00:00Z");
    assert_eq!(band.shop.owes(&band.mall).await, 3 * OWED);
    band.mall.stop().await;
}
