//! Push endpoints over the admin API, and what the audit log says of it.

use domain::{Mode, Role};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, Receiver, TestMall, on_both_engines};

on_both_engines!(operators_do_what_partners_do_and_it_is_audited);

async fn operators_do_what_partners_do_and_it_is_audited(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let (operator, receiver) = (mall.admin(Role::Operator).await, Receiver::start().await);
    let all = "/test/partners/SHOP/push-endpoints";
    what_is_wrong_is_named(&operator, all).await;
    let new = json!({"url": receiver.url("/a"), "events": ["plan.expired"]});
    let issued = operator.post(all, &new).await.done();
    let id = issued["endpoint"]["endpoint_id"].as_str().unwrap();
    let one = format!("{all}/{id}");
    assert_eq!(operator.get(&one).await.done(), issued["endpoint"]);
    assert_eq!(operator.get(all).await.done()["items"], json!([issued["endpoint"]]));
    // The partner sees the same.
    let seen = shop.client(&mall).push_endpoints().await.unwrap().pop().unwrap();
    assert_eq!(
        (seen.endpoint_id.as_str(), seen.events.as_slice()),
        (id, &["plan.expired".to_owned()][..])
    );

    let tested = operator.call("POST", &format!("{one}/test"), None).await.done();
    assert_eq!(
        (&tested["state"], &tested["attempt"]["status"]),
        (&json!("delivered"), &json!(200))
    );
    let event = tested["event_id"].as_str().unwrap();
    let list = operator.get(&format!("{one}/deliveries?state=delivered")).await.done();
    assert_eq!(list["items"][0]["event_id"], event);
    assert_eq!(list["items"][0]["attempts"], json!([tested["attempt"]]));
    let shown = operator.get(&format!("{one}/deliveries?event_id={event}")).await.done();
    assert!(shown["items"][0]["body"].as_str().unwrap().contains(event), "{shown}");

    let rotated =
        operator.post(&format!("{one}/rotate"), &json!({"overlap_hours": 1})).await.done();
    assert_eq!(rotated["endpoint"]["keys"].as_array().unwrap().len(), 2);
    let full = operator.call("POST", &format!("{one}/rotate"), None).await;
    assert_eq!(full.code(409), "KEYS_FULL");
    let again = json!({"overlap_hours": 200});
    assert_eq!(
        operator.post(&format!("{one}/rotate"), &again).await.wrong_fields(),
        ["overlap_hours"]
    );

    let change = json!({"state": "paused", "events": [], "description": "asked by phone"});
    let changed = operator.patch(&one, &change).await.done();
    assert_eq!((&changed["state"], &changed["events"]), (&json!("paused"), &json!([])));
    assert_eq!(operator.patch(&one, &change).await.done(), changed, "the same again is no change");
    for which in [json!({}), json!({"event_id": event, "from": "2024-03-10T08:00:00Z"})] {
        let refused = operator.post(&format!("{one}/resend"), &which).await;
        assert_eq!(refused.wrong_fields(), ["event_id"], "{which}");
    }
    let resent = operator.post(&format!("{one}/resend"), &json!({"event_id": event})).await.done();
    assert_eq!(resent, json!({"count": 1}));
    assert_eq!(operator.get(&one).await.done()["waiting"], 1);
    operator.delete(&one).await.done();
    assert_eq!(operator.get(&one).await.code(404), "NOT_FOUND");

    // Each change is in the audit log, and no secret is.
    let entries =
        operator.get(&format!("/audit?object=partners/SHOP/push-endpoints/{id}")).await.done();
    let entries = entries["items"].as_array().unwrap();
    let mut actions: Vec<&str> =
        entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let change = entries.iter().find(|entry| entry["action"] == "push.change").unwrap();
    assert_eq!(change["before"]["state"], "on");
    assert_eq!(change["after"]["state"], "paused");
    actions.sort_unstable();
    let expected =
        ["push.add", "push.change", "push.delete", "push.resend", "push.rotate", "push.test"];
    assert_eq!(actions, expected);
    let text = entries.iter().map(Value::to_string).collect::<String>();
    for secret in [&issued["hex"], &issued["whsec"], &rotated["hex"]] {
        assert!(!text.contains(secret.as_str().unwrap()));
    }
    mall.stop().await;
}

async fn what_is_wrong_is_named(operator: &AdminClient, all: &str) {
    for (new, field) in [
        (json!({}), "url"),
        (json!({"url": "https://10.0.0.1/"}), "url"),
        (json!({"url": "https://a.example/", "events": ["plan.ended"]}), "events[0]"),
        (json!({"url": "https://a.example/", "colour": 1}), "colour"),
    ] {
        let refused = operator.post(all, &new).await;
        assert_eq!(refused.wrong_fields(), [field], "{new}");
    }
}
