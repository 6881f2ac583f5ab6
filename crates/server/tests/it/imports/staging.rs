//! Uploads: in order, repeatable, resumed after an interruption, and forgotten when nobody goes on.

use super::*;
use serde_json::{Value, json};
use testkit::AdminClient;

on_both_engines!(
    an_interrupted_upload_goes_on_where_it_stopped,
    parts_come_in_order_and_once,
    a_file_that_is_not_what_was_announced_is_refused,
    what_nobody_goes_on_with_is_deleted_after_a_day,
    there_is_an_end_to_what_is_staged,
    what_is_no_file_is_refused,
);

/// Begins an import without a digest.
async fn begin(client: &AdminClient, kind: &str, partner: Option<&str>) -> String {
    let mut new = json!({"kind": kind, "file_name": "it.csv"});
    if let Some(partner) = partner {
        new["partner"] = partner.into();
    }
    let made = client.post("/test/imports", &new).await;
    assert_eq!(made.status, 201, "{}", made.body);
    format!("/test/imports/{}", made.body["import_id"].as_str().unwrap())
}

async fn an_interrupted_upload_goes_on_where_it_stopped(engine: Engine) {
    let mall = TestMall::start(engine).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = mall.admin_sdk(Role::Operator).await;
    let file = sims(60_000, "ready");
    let mut reader = Cursor::new(&file);
    let new = NewImport {
        kind: "sims".to_owned(),
        partner: Some("P100".to_owned()),
        file_name: "sims.csv".to_owned(),
        sha256: Some(examine(&mut reader).unwrap().sha256),
    };
    let begun = client.begin_import("test", &new).await.unwrap();
    // One part of other size than the client's own, and the line breaks off.
    let first = &file[..=file[..300_000].rfind('\n').unwrap()];
    let raw = mall.admin(Role::Operator).await;
    let path = format!("/test/imports/{}/parts/1", begun.import_id);
    raw.put_csv(&path, first).await.done();
    // Another client, maybe of another operator, goes on.
    let found = client.begin_import("test", &new).await.unwrap();
    assert_eq!((&found.import_id, found.parts), (&begun.import_id, 1));
    assert_eq!(found.bytes, i64::try_from(first.len()).unwrap());
    let mut parts = Vec::new();
    client.stage("test", &found, &mut reader, |part| parts.push(part.part)).await.unwrap();
    assert_eq!(parts, [2, 3]);
    client.apply_import("test", &begun.import_id, false).await.unwrap();
    let applied = finished(&client, Mode::Test, &begun.import_id).await;
    assert_eq!((applied.state.as_str(), applied.new), ("applied", 60_000), "{applied:?}");
    // In the other mode, of another kind or partner it is another import.
    let other = NewImport { kind: "packages".to_owned(), partner: None, ..new.clone() };
    assert_eq!(client.begin_import("test", &other).await.unwrap().parts, 0);
    assert_eq!(code(client.begin_import("live", &new).await), "NOT_FOUND");
    mall.stop().await;
}

async fn parts_come_in_order_and_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = mall.admin(Role::Operator).await;
    let import = begin(&client, "sims", Some("P100")).await;
    let part = |number: i64| format!("{import}/parts/{number}");
    let first = format!("{SIMS}{},simulator,ready\n", iccid(1));
    assert_eq!(client.put_csv(&part(2), &first).await.code(409), "PART_OUT_OF_ORDER");
    let staged = client.put_csv(&part(1), &first).await.done();
    assert_eq!((&staged["parts"], &staged["rows"]), (&json!(1), &json!(1)));
    assert_eq!(client.put_csv(&part(1), &first).await.done(), staged, "the same again");
    assert_eq!(client.put_csv(&part(1), SIMS).await.code(409), "PART_DIFFERS");
    // The last part may end in the middle of a line; nothing can follow it.
    let second = format!("{},simulator,ready", iccid(2));
    client.put_csv(&part(2), &second).await.done();
    assert_eq!(client.put_csv(&part(3), &second).await.code(409), "PART_CUT");
    assert_eq!(client.put_csv(&part(0), &second).await.code(404), "NOT_FOUND");
    let applied = client.call("POST", &format!("{import}/apply"), None).await.done();
    assert_eq!(applied["state"], "validating");
    mall.settle().await;
    assert_eq!(client.get(&import).await.done()["state"], "applied");
    assert_eq!(client.put_csv(&part(3), &second).await.code(409), "NOT_STAGING");
    let again = client.call("POST", &format!("{import}/apply"), None).await.done();
    assert_eq!((&again["state"], &again["new"]), (&json!("applied"), &json!(2)));
    mall.stop().await;
}

async fn a_file_that_is_not_what_was_announced_is_refused(engine: Engine) {
    let mall = TestMall::start(engine).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = mall.admin(Role::Operator).await;
    let new = json!({
        "kind": "sims", "partner": "P100", "file_name": "it.csv", "sha256": "0".repeat(64),
    });
    let made = client.post("/test/imports", &new).await.done();
    let import = format!("/test/imports/{}", made["import_id"].as_str().unwrap());
    client.put_csv(&format!("{import}/parts/1"), &sims(3, "ready")).await.done();
    client.call("POST", &format!("{import}/apply"), None).await.done();
    mall.settle().await;
    let refused = client.get(&import).await.done();
    assert_eq!((&refused["state"], &refused["errors"][0]["line"]), (&json!("invalid"), &json!(0)));
    assert!(refused["errors"][0]["detail"].as_str().unwrap().contains("SHA-256"));
    mall.stop().await;
}

async fn what_nobody_goes_on_with_is_deleted_after_a_day(engine: Engine) {
    let mall = TestMall::start(engine).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = mall.admin(Role::Operator).await;
    let left = begin(&client, "sims", Some("P100")).await;
    client.put_csv(&format!("{left}/parts/1"), &sims(10, "ready")).await.done();
    mall.advance(Span::minutes(12 * 60)).await;
    let gone_on = begin(&client, "sims", Some("P100")).await;
    mall.advance(Span::minutes(12 * 60 - 1)).await;
    client.put_csv(&format!("{gone_on}/parts/1"), &sims(10, "ready")).await.done();
    assert_eq!(client.get(&left).await.status, 200);
    mall.advance(Span::minutes(1)).await;
    assert_eq!(client.get(&left).await.code(404), "NOT_FOUND");
    // A day after its last part.
    mall.advance(Span::minutes(23 * 60)).await;
    assert_eq!(client.get(&gone_on).await.status, 200);
    mall.advance(Span::minutes(60)).await;
    assert_eq!(client.get(&gone_on).await.code(404), "NOT_FOUND");
    assert!(!export(&mall, Mode::Test, "sims", Some("P100")).await.contains(&iccid(1)));
    mall.stop().await;
}

async fn there_is_an_end_to_what_is_staged(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let client = mall.admin(Role::Operator).await;
    for _ in 0..20 {
        begin(&client, "packages", None).await;
    }
    let new = json!({"kind": "packages", "file_name": "it.csv"});
    assert_eq!(client.post("/test/imports", &new).await.code(409), "TOO_MANY_IMPORTS");
    // The other mode has its own.
    assert_eq!(client.post("/live/imports", &new).await.status, 201);
    mall.advance(Span::days(1)).await;
    let import = begin(&client, "packages", None).await;
    let large = "x".repeat(1024 * 1024 + 1);
    let refused = client.put_csv(&format!("{import}/parts/1"), &large).await;
    assert_eq!(refused.code(413), "PAYLOAD_TOO_LARGE");
    mall.stop().await;
}

async fn what_is_no_file_is_refused(engine: Engine) {
    let mall = TestMall::start(engine).await;
    mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = mall.admin(Role::Operator).await;
    for (new, field) in [
        (json!({"kind": "sims", "file_name": "a"}), "partner"),
        (json!({"kind": "plans", "partner": "P100", "file_name": "a"}), "partner"),
        (json!({"kind": "orders", "file_name": "a"}), "kind"),
        (json!({"kind": "plans", "file_name": "a", "sha256": "12"}), "sha256"),
        (json!({"kind": "plans"}), "file_name"),
    ] {
        assert_eq!(client.post("/test/imports", &new).await.wrong_fields(), [field], "{new}");
    }
    let nobodys = json!({"kind": "sims", "partner": "P999", "file_name": "a"});
    assert_eq!(client.post("/test/imports", &nobodys).await.code(404), "NOT_FOUND");
    assert_eq!(client.get("/test/imports/imp_1").await.code(404), "NOT_FOUND");
    let import = begin(&client, "sims", Some("P100")).await;
    let empty = client.put_csv(&format!("{import}/parts/1"), "").await;
    assert_eq!(empty.wrong_fields(), ["the body"]);
    let apply = client.call("POST", &format!("{import}/apply"), None).await;
    assert_eq!(apply.code(409), "IMPORT_EMPTY");
    let headless = client.put_csv(&format!("{import}/parts/1"), "1,2,3\n").await.done();
    assert_eq!(headless["error_count"], 6, "{headless}");
    let errors: Vec<Value> = headless["errors"].as_array().unwrap().clone();
    assert!(errors.iter().all(|error| error["line"] == 1), "{errors:?}");
    for path in ["/test/exports/sims", "/test/exports/plans?partner=P100"] {
        assert_eq!(client.get(path).await.wrong_fields(), ["partner"], "{path}");
    }
    assert_eq!(client.get("/test/exports/sims?partner=P9").await.code(404), "NOT_FOUND");
    assert_eq!(client.get("/test/exports/orders").await.code(404), "NOT_FOUND");
    for cursor in ["x", "00", "ff", "3120"] {
        let path = format!("/test/exports/prices?cursor={cursor}");
        assert_eq!(client.get(&path).await.wrong_fields(), ["cursor"], "{cursor}");
    }
    mall.stop().await;
}
