//! `simmall admin push`: an operator looks after a partner's push endpoints.

use testkit::{Engine, Receiver, on_both_engines};

use super::admin_cli::Office;

on_both_engines!(an_operator_looks_after_endpoints);

async fn an_operator_looks_after_endpoints(engine: Engine) {
    let receiver = Receiver::start().await;
    let url = receiver.url("/hook");
    let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    let allow = format!("--push-allow=127.0.0.0/8,:{port}");
    let office = Office::open_with(engine, [&allow]).await;
    assert_eq!(office.say("push list P012345"), "nothing\n");
    let (code, said) = office.fail("push add P012345 https://10.0.0.1/");
    assert!(code == 1 && said.contains("no push goes to 10.0.0.1: private"), "{said}");
    let (_, said) = office.fail("push add P012345 https://a.example/ --event plan.ended");
    assert!(said.contains("events[0]"), "{said}");

    let add = format!("push add P012345 {url} --event recharge.success --description shop");
    let made = office.json(&add);
    let id = made["endpoint"]["endpoint_id"].as_str().unwrap();
    let one = format!("P012345 {id}");
    let list = office.say("push list P012345");
    assert!(list.contains(&url) && list.contains("recharge.success"), "{list}");
    let secret = made["hex"].as_str().unwrap();
    assert!(!list.contains(secret) && !office.say(&format!("push show {one}")).contains(secret));

    let tested = office.json(&format!("push test {one}"));
    assert_eq!(tested["state"], "delivered");
    let event = tested["event_id"].as_str().unwrap();
    let log = office.say(&format!("push log {one}"));
    for word in ["push.sample", event, "delivered", "200", " ms", "seen"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    assert_eq!(office.say(&format!("push log {one} --state failed")), "nothing\n");
    let shown = office.say(&format!("push event {one} {event}"));
    assert!(
        shown.contains("attempts:") && shown.contains("\"event_type\":\"push.sample\""),
        "{shown}"
    );

    let rotated = office.json(&format!("push rotate {one} --overlap-hours 48"));
    assert_eq!(rotated["endpoint"]["keys"].as_array().unwrap().len(), 2);
    let (code, said) = office.fail(&format!("push rotate {one}"));
    assert!(code == 1 && said.contains("two keys sign already"), "{said}");
    let changed = office.json(&format!("push change {one} --state paused --all-events"));
    assert_eq!((&changed["state"], &changed["events"]), (&"paused".into(), &serde_json::json!([])));
    let changed = office.json(&format!("push change {one} --state on --target {url}?a=b"));
    assert_eq!(
        (&changed["state"], changed["url"].as_str()),
        (&"on".into(), Some(&*format!("{url}?a=b")))
    );

    let seen = receiver.received().len();
    let resent = office.json(&format!("push resend {one} --event {event}"));
    assert_eq!(resent["count"], 1);
    let again = receiver.wait_for(seen + 1).await;
    assert_eq!(again[seen].event_id(), event);
    let since = "2024-01-01T00:00:00Z";
    assert_eq!(office.json(&format!("push resend {one} --failed-since {since}"))["count"], 0);
    for wrong in
        ["", " --failed-since 2024-01-01T00:00:00Z --event x", " --to 2024-01-01T00:00:00Z"]
    {
        assert_eq!(office.fail(&format!("push resend {one}{wrong}")).0, 2, "{wrong}");
    }
    assert_eq!(office.say(&format!("push delete {one}")), "the push endpoint is deleted\n");
    let (code, said) = office.fail(&format!("push show {one}"));
    assert!(code == 1 && said.contains("no such push endpoint"), "{said}");
    let audit = office.say("audit list --limit 100");
    for action in
        ["push.add", "push.test", "push.rotate", "push.change", "push.resend", "push.delete"]
    {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    office.server.stop();
}
