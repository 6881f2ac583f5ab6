//! Auto-renewals that the partner is paid for: each period is an order that the partner sends. What does not come is
//! said, once per period; what comes late heals it; what cannot be renewed is refused.

use domain::sim::SimState;
use domain::{Mode, Role, Span, Timestamp};
use mall::Settings;
use sdk::{Client, PaidOrder};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, Recipe, TestMall, TestPartner, on_both_engines};

use crate::steps::{assert_owes, at_once, calendar, code, settle_nodes};

on_both_engines!(
    what_does_not_come_is_said_once_per_period_and_a_late_one_heals,
    what_comes_in_time_is_no_miss,
    the_grace_is_a_setting,
    an_order_on_its_way_is_no_miss,
    after_many_misses_nothing_more_is_waited_for,
    many_nodes_say_it_once,
    what_cannot_be_renewed_is_refused_before_it_is_booked,
    a_renewal_on_its_way_does_not_undo_a_cancellation,
    calendar_months_are_counted_from_the_first,
    an_operator_ends_a_renewal,
    renewals_are_found_by_all_their_numbers,
    what_was_agreed_before_anybody_waited_is_waited_for,
);

/// A paid order of `PLAN-M` that shall renew, for the order that it renews.
fn renewing(partner: &TestPartner, sim: &str, number: &str, original: &str) -> PaidOrder {
    let mut order = partner.paid_order(sim, number);
    order.order.auto_renewal = true;
    order.org_order_id = original.into();
    order
}

/// Sends an order, and waits until it is done.
async fn send(mall: &TestMall, client: &Client, order: &PaidOrder) {
    client.syn_order_info(order).await.unwrap();
    mall.settle().await;
}

/// A mall with a SIM whose first order renews, an operator, and the agreement's path.
async fn agreed(engine: Engine) -> (TestMall, TestPartner, AdminClient, String) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let order = renewing(&partner, &partner.sims[0], "N1", "");
    send(&mall, &partner.client(&mall), &order).await;
    let admin = mall.admin(Role::Operator).await;
    let path = path(&admin, "N1").await;
    (mall, partner, admin, path)
}

/// The path of the agreement of an order or a SIM.
async fn path(admin: &AdminClient, number: &str) -> String {
    let found = admin.get(&format!("/test/renewals?number={number}")).await.done();
    format!("/test/renewals/{}", found["items"][0]["renewal_id"].as_str().unwrap())
}

/// Status, next renewal and last result of each agreement of a SIM.
async fn history(client: &Client, sim: &str) -> Vec<[String; 3]> {
    let records = client.query_auto_renewal_record_list(sim).await.unwrap().record_list;
    let line = |one: wire::renewals::AutoRenewalHistory| {
        [one.status, one.next_renewal_time, one.last_result]
    };
    records.into_iter().map(line).collect()
}

fn line(line: [&str; 3]) -> [String; 3] {
    line.map(str::to_owned)
}

/// Why it did not renew, and what is said of it.
async fn explained(admin: &AdminClient, path: &str) -> (String, Vec<String>) {
    let told = admin.get(&format!("{path}/timeline")).await.done();
    let what = |entry: &Value| entry["what"].as_str().unwrap().to_owned();
    let entries = told["entries"].as_array().unwrap().iter().map(what).collect();
    (told["why"].as_str().unwrap().to_owned(), entries)
}

/// How many periods failed by its timeline.
async fn failures(admin: &AdminClient, path: &str) -> usize {
    let (_, entries) = explained(admin, path).await;
    entries.iter().filter(|what| what.contains(" failed: ")).count()
}

async fn to(mall: &TestMall, partner: &TestPartner, time: &str) -> Timestamp {
    let time = partner.partner.zone.parse_date_time(time).unwrap();
    mall.advance(time.since(mall.now())).await;
    time
}

async fn what_does_not_come_is_said_once_per_period_and_a_late_one_heals(engine: Engine) {
    let (mall, partner, admin, path) = agreed(engine).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    // Thirty days from 16:00 in Shanghai, the 10th of March, and a day more.
    to(&mall, &partner, "2024-04-10 15:59:59").await;
    assert_eq!(history(&client, sim).await, [line(["ACTIVE", "2024-04-09 16:00:00", ""])]);
    let (why, _) = explained(&admin, &path).await;
    assert!(why.starts_with("due since 2024-04-09 16:00:00 Asia/Shanghai, and not come"), "{why}");
    mall.advance(Span::seconds(1)).await;
    let missed = line(["ACTIVE", "2024-05-09 16:00:00", "failed"]);
    assert_eq!(history(&client, sim).await, std::slice::from_ref(&missed));
    let (why, entries) = explained(&admin, &path).await;
    assert_eq!(why, "1 period failed: no order for it came by 2024-04-10T08:00:00Z");
    let said = "the period due on 2024-04-09 16:00:00 Asia/Shanghai failed: no order for it came by \
                2024-04-10T08:00:00Z";
    assert_eq!(entries.iter().filter(|what| *what == said).count(), 1, "{entries:?}");
    let failing = admin.get("/test/renewals?failing=true").await.done();
    assert_eq!(failing["items"].as_array().unwrap().len(), 1);
    // The same period is said once, the next one by itself.
    for (days, failed) in [(10, 1), (19, 1), (1, 2), (30, 3)] {
        mall.advance(Span::days(days)).await;
        assert_eq!(failures(&admin, &path).await, failed, "{days}");
    }
    assert_eq!(
        explained(&admin, &path).await.0.split(':').next(),
        Some("3 periods in a row failed")
    );
    // Nothing was sold or booked for them.
    assert_owes(&mall, &partner, 800).await;
    assert!(client.single_query_order(sim).await.unwrap().order_list.is_empty());

    // A late one is taken, and the next period is due when it ends.
    let renewed_at = mall.now();
    send(&mall, &client, &renewing(&partner, sim, "N2", "N1")).await;
    let next = (renewed_at + Span::days(30)).date_time(&partner.partner.zone);
    assert_eq!(history(&client, sim).await, [line(["ACTIVE", &next, "success"])]);
    assert_owes(&mall, &partner, 1_600).await;
    assert_eq!(admin.get("/test/renewals?failing=true").await.done()["items"], json!([]));
    let (why, entries) = explained(&admin, &path).await;
    assert_eq!(why, format!("in force: the next period is due on {next} Asia/Shanghai"));
    assert!(
        entries.iter().any(|what| what.starts_with("period 2: N2 is PROVISIONED, 10.00 EUR by"))
    );
    assert_eq!(failures(&admin, &path).await, 3);
    // It is waited for again.
    mall.advance(Span::days(31)).await;
    assert_eq!(failures(&admin, &path).await, 4);
    mall.stop().await;
}

async fn what_comes_in_time_is_no_miss(engine: Engine) {
    let (mall, partner, admin, path) = agreed(engine).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    // Before it is due, within the grace, and named after the order before it.
    for (number, original, days) in [("N2", "N1", 29), ("N3", "N2", 31), ("N4", "N1", 30)] {
        mall.advance(Span::days(days)).await;
        send(&mall, &client, &renewing(&partner, sim, number, original)).await;
        assert_eq!(history(&client, sim).await[0][2], "success");
    }
    assert_eq!(failures(&admin, &path).await, 0);
    // Another plan on the SIM puts it off.
    send(&mall, &client, &partner.paid_order(sim, "X1")).await;
    mall.advance(Span::days(32)).await;
    assert_eq!(failures(&admin, &path).await, 0);
    // Once it is cancelled nothing is missed.
    client.cancel_auto_renewal_record(sim, "N1", "P100N1").await.unwrap();
    mall.advance(Span::days(90)).await;
    assert_eq!(history(&client, sim).await, [line(["CANCELLED", "", "success"])]);
    assert_eq!(failures(&admin, &path).await, 0);
    let (why, _) = explained(&admin, &path).await;
    assert!(why.starts_with("cancelled by partner on 2024-"), "{why}");
    let jobs = admin.get("/test/jobs?kind=await_renewal").await.done();
    assert_eq!(jobs["items"], json!([]));
    mall.stop().await;
}

async fn the_grace_is_a_setting(engine: Engine) {
    let mut recipe = Recipe::default();
    recipe.settings = Settings { renewal_grace: Span::minutes(5), ..recipe.settings };
    let mall = TestMall::with(engine, recipe).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    send(&mall, &client, &renewing(&partner, &partner.sims[0], "N1", "")).await;
    mall.advance(Span::days(30) + Span::seconds(299)).await;
    assert_eq!(history(&client, &partner.sims[0]).await[0][2], "");
    mall.advance(Span::seconds(1)).await;
    assert_eq!(history(&client, &partner.sims[0]).await[0][2], "failed");
    mall.stop().await;
}

/// A mall with an agreement whose second order waits for a person; the SIM and that order's path.
async fn under_review(engine: Engine) -> (TestMall, TestPartner, AdminClient, String, String) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let admin = mall.admin(Role::Operator).await;
    let client = partner.client(&mall);
    let sim = mall.add_sim(&partner, "9005", "simulator", SimState::Ready).await;
    let mut made = String::new();
    for (number, original) in [("N1", ""), ("N2", "N1")] {
        let order = renewing(&partner, &sim, number, original);
        made = client.syn_order_info(&order).await.unwrap().order_id;
        mall.settle().await;
        if number == "N1" {
            let resolve = format!("/test/orders/{made}/resolve");
            let done = json!({"finding": "provisioned", "reason": "their support says so"});
            admin.post(&resolve, &done).await.done();
            mall.settle().await;
        }
    }
    assert_eq!(client.order("N2").await.unwrap().status, "REVIEW");
    let resolve = format!("/test/orders/{made}/resolve");
    (mall, partner, admin, sim, resolve)
}

async fn an_order_on_its_way_is_no_miss(engine: Engine) {
    let (mall, partner, admin, sim, resolve) = under_review(engine).await;
    let (client, path) = (partner.client(&mall), path(&admin, "N1").await);
    mall.advance(Span::days(40)).await;
    assert_eq!(failures(&admin, &path).await, 0);
    let (why, entries) = explained(&admin, &path).await;
    assert_eq!(why, "the order N2 came for it and is REVIEW");
    let came = "N2 came for it, and is REVIEW, CARRIER_UNCLEAR";
    assert!(entries.iter().any(|what| what.starts_with(came)), "{entries:?}");
    let done = json!({"finding": "provisioned", "reason": "their support says so"});
    admin.post(&resolve, &done).await.done();
    mall.settle().await;
    assert_eq!(history(&client, &sim).await[0][2], "success");
    assert_eq!(failures(&admin, &path).await, 0);
    mall.stop().await;
}

async fn after_many_misses_nothing_more_is_waited_for(engine: Engine) {
    let (mall, partner, admin, path) = agreed(engine).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    // Nobody ran for two years: what was missed is said then, each period once.
    mall.advance(Span::days(730)).await;
    assert_eq!(failures(&admin, &path).await, 12);
    assert_eq!(history(&client, sim).await, [line(["ACTIVE", "", "failed"])]);
    let (why, _) = explained(&admin, &path).await;
    assert!(why.starts_with("12 periods in a row failed") && why.ends_with("waited for"), "{why}");
    assert_eq!(admin.get("/test/jobs?kind=await_renewal").await.done()["items"], json!([]));
    mall.advance(Span::days(100)).await;
    assert_eq!(failures(&admin, &path).await, 12);
    // One that comes is taken all the same, and the next is waited for.
    send(&mall, &client, &renewing(&partner, sim, "N2", "N1")).await;
    assert_eq!(history(&client, sim).await[0][2], "success");
    mall.advance(Span::days(31)).await;
    assert_eq!(failures(&admin, &path).await, 13);
    mall.stop().await;
}

async fn many_nodes_say_it_once(engine: Engine) {
    let (mall, partner, admin, path) = agreed(engine).await;
    let nodes =
        [mall.another_node(Recipe::default()).await, mall.another_node(Recipe::default()).await];
    mall.clock.advance(Span::days(31));
    // The order comes at the moment at which it would be missed: one of the two is true, and it is told so.
    let client = partner.client(&mall);
    let order = renewing(&partner, &partner.sims[0], "N2", "N1");
    at_once(4, |_| {
        let (client, order) = (client.clone(), order.clone());
        async move { client.syn_order_info(&order).await.unwrap() }
    })
    .await;
    let all = [mall.mall(), &nodes[0].mall, &nodes[1].mall];
    settle_nodes(&all).await;
    assert!(failures(&admin, &path).await <= 1);
    assert_eq!(history(&client, &partner.sims[0]).await[0][2], "success");
    mall.clock.advance(Span::days(31));
    let before = failures(&admin, &path).await;
    settle_nodes(&all).await;
    assert_eq!(failures(&admin, &path).await, before + 1);
    for node in nodes {
        node.stop().await;
    }
    mall.stop().await;
}

async fn what_cannot_be_renewed_is_refused_before_it_is_booked(engine: Engine) {
    let (mall, partner, _, _) = agreed(engine).await;
    let other = mall.add_partner("P200", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    // Another SIM's order, whether or not it renews.
    send(&mall, &client, &partner.paid_order(&partner.sims[1], "M1")).await;
    for (number, original) in [("X1", "M1"), ("X2", "M1")] {
        let outcome = client.syn_order_info(&renewing(&partner, sim, number, original)).await;
        assert_eq!(code(outcome), "RENEWAL_UNKNOWN", "{number}");
    }
    let outcome = client.syn_order_info(&renewing(&partner, &partner.sims[1], "X3", "N1")).await;
    assert_eq!(code(outcome), "RENEWAL_UNKNOWN");
    assert_owes(&mall, &partner, 1_600).await;
    // Another partner's order is one that we do not know: an agreement of its own begins.
    let stranger = other.client(&mall);
    send(&mall, &stranger, &renewing(&other, &other.sims[0], "O1", "N1")).await;
    assert_eq!(history(&stranger, &other.sims[0]).await[0][0], "ACTIVE");
    // One that came before the cancellation is the same order afterwards; a new one is refused.
    let second = renewing(&partner, sim, "N2", "N1");
    send(&mall, &client, &second).await;
    client.cancel_auto_renewal_record(sim, "N1", "P100N1").await.unwrap();
    send(&mall, &client, &second).await;
    for original in ["N1", "N2"] {
        let refused = client.syn_order_info(&renewing(&partner, sim, "N3", original)).await;
        assert_eq!(code(refused), "RENEWAL_ENDED", "{original}");
    }
    assert_owes(&mall, &partner, 2_400).await;
    // Without a promise to go on it is an order like any other, and so is one that agrees anew.
    let mut plain = renewing(&partner, sim, "N3", "N1");
    plain.order.auto_renewal = false;
    send(&mall, &client, &plain).await;
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap(), None);
    for number in ["A1", "A2"] {
        send(&mall, &client, &renewing(&partner, sim, number, "")).await;
    }
    let refused = client.syn_order_info(&renewing(&partner, sim, "A3", "A1")).await;
    assert_eq!(code(refused), "RENEWAL_ENDED", "a later one took its place");
    mall.stop().await;
}

async fn a_renewal_on_its_way_does_not_undo_a_cancellation(engine: Engine) {
    let (mall, partner, admin, sim, resolve) = under_review(engine).await;
    let client = partner.client(&mall);
    client.cancel_auto_renewal_record(&sim, "N1", "P100N1").await.unwrap();
    let done = json!({"finding": "provisioned", "reason": "their support says so"});
    admin.post(&resolve, &done).await.done();
    mall.settle().await;
    // What was paid for is delivered, and nothing was agreed to anew.
    assert_eq!(client.order("N2").await.unwrap().status, "PROVISIONED");
    assert_eq!(client.query_auto_renewal_record(&sim).await.unwrap(), None);
    assert_eq!(history(&client, &sim).await, [line(["CANCELLED", "", ""])]);
    mall.stop().await;
}

async fn calendar_months_are_counted_from_the_first(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    to(&mall, &partner, "2025-01-31 10:00:00").await;
    let month = |number: &str, original: &str| {
        let mut order = calendar(&partner, sim, number);
        order.order.auto_renewal = true;
        order.org_order_id = original.into();
        order
    };
    send(&mall, &client, &month("N1", "")).await;
    // A renewal comes an hour late, one a day early, one at the very end; one more than a day late begins anew.
    for (at, number, next) in [
        ("2025-02-28 11:00:00", "N2", "2025-03-31 10:00:00"),
        ("2025-03-30 10:00:00", "N3", "2025-04-30 10:00:00"),
        ("2025-04-30 10:00:00", "N4", "2025-05-31 10:00:00"),
        ("2025-06-02 09:00:00", "N5", "2025-07-02 09:00:00"),
    ] {
        to(&mall, &partner, at).await;
        send(&mall, &client, &month(number, "N1")).await;
        assert_eq!(history(&client, sim).await, [line(["ACTIVE", next, "success"])], "{number}");
    }
    // Periods that do not come are counted in the same way.
    send(&mall, &client, &month("N6", "N1")).await;
    to(&mall, &partner, "2025-08-03 09:00:00").await;
    assert_eq!(history(&client, sim).await, [line(["ACTIVE", "2025-09-02 09:00:00", "failed"])]);
    mall.stop().await;
}

async fn an_operator_ends_a_renewal(engine: Engine) {
    let (mall, partner, admin, path) = agreed(engine).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let cancel = format!("{path}/cancel");
    assert_eq!(admin.post(&cancel, &json!({"reason": " "})).await.wrong_fields(), ["reason"]);
    let reason = json!({"reason": "asked by phone"});
    // Of many at once one does, and all are told the same.
    let told = at_once(4, |_| {
        let (admin, cancel, reason) = (admin.clone(), cancel.clone(), reason.clone());
        async move { admin.post(&cancel, &reason).await.done() }
    })
    .await;
    assert!(told.iter().all(|one| one == &told[0]), "{told:?}");
    assert_eq!(told[0]["state"], "cancelled");
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap(), None);
    // The running period stays, and the partner's own call finds it done.
    assert_eq!(client.single_query_order(sim).await.unwrap().order_list.len(), 1);
    client.cancel_auto_renewal_record(sim, "N1", "P100N1").await.unwrap();
    let audit = admin.get("/audit?action=renewal.cancel").await.done();
    let [entry] = audit["items"].as_array().unwrap().as_slice() else { panic!("{audit}") };
    assert_eq!(entry["after"]["reason"], "asked by phone");
    assert_eq!(entry["before"]["state"], "active");
    let (why, entries) = explained(&admin, &path).await;
    assert!(why.starts_with("cancelled by operator a operator on 2024-03-10"), "{why}");
    assert!(why.ends_with(": asked by phone"), "{why}");
    assert!(entries.iter().any(|what| what.contains("did renewal.cancel: asked by phone")));
    // A replaced one is not the one that is meant.
    for number in ["A1", "A2"] {
        send(&mall, &client, &renewing(&partner, sim, number, "")).await;
    }
    let replaced = admin.get("/test/renewals?state=replaced").await.done();
    let id = replaced["items"][0]["renewal_id"].as_str().unwrap();
    let refused = admin.post(&format!("/test/renewals/{id}/cancel"), &reason).await;
    assert_eq!(refused.code(409), "RENEWAL_ENDED");
    let (why, _) = explained(&admin, &format!("/test/renewals/{id}")).await;
    assert!(why.ends_with("A2 was ordered to renew instead"), "{why}");
    assert_eq!(client.query_auto_renewal_record(sim).await.unwrap().unwrap().order_no, "A2");
    mall.stop().await;
}

async fn renewals_are_found_by_all_their_numbers(engine: Engine) {
    let (mall, partner, admin, path) = agreed(engine).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    send(&mall, &client, &renewing(&partner, sim, "N2", "N1")).await;
    // Ids of one moment have no order.
    mall.advance(Span::seconds(1)).await;
    send(&mall, &client, &renewing(&partner, &partner.sims[1], "M1", "")).await;
    let id = path.rsplit('/').next().unwrap();
    let order = client.order("N2").await.unwrap();
    for number in ["N1", "N2", "P100N2", sim, id, &order.order_id] {
        let found = admin.get(&format!("/test/renewals?number={number}")).await.done();
        let items = found["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["renewal_id"]), (1, &json!(id)), "{number}");
    }
    for query in ["number=NONE", "partner=P100&state=cancelled", "number=N1&state=cancelled"] {
        let found = admin.get(&format!("/test/renewals?{query}")).await.done();
        assert_eq!(found["items"], json!([]), "{query}");
    }
    assert_eq!(admin.get("/live/renewals").await.done()["items"], json!([]));
    let all = admin.all("/test/renewals?partner=P100", 1).await;
    let numbers: Vec<_> = all.iter().map(|one| one["order_no"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["M1", "N1"]);
    assert_eq!((&all[1]["paid_by"], &all[1]["unit"]), (&json!("partner"), &json!("monthly")));
    mall.stop().await;
}

async fn what_was_agreed_before_anybody_waited_is_waited_for(engine: Engine) {
    let (mall, partner, admin, path) = agreed(engine).await;
    // As a mall of an earlier version left it.
    assert_eq!(mall.database.execute("DELETE FROM jobs WHERE kind = 'await_renewal'").await, 1);
    let other = mall.another_node(Recipe::default()).await;
    let listed = "/test/jobs?kind=await_renewal";
    let mut looks = 0;
    while admin.get(listed).await.done()["items"] == json!([]) {
        looks += 1;
        assert!(looks < 1_000, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    mall.advance(Span::days(31)).await;
    settle_nodes(&[mall.mall(), &other.mall]).await;
    assert_eq!(failures(&admin, &path).await, 1);
    assert_eq!(history(&partner.client(&mall), &partner.sims[0]).await[0][2], "failed");
    other.stop().await;
    mall.stop().await;
}
