//! The audit log: every write is in it, and what is done to it behind the mall's back is found.

use std::time::Duration;

use domain::{Role, Span};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, Recipe, TestMall, on_both_engines};

on_both_engines!(
    every_write_is_sealed_and_verified,
    what_is_done_behind_its_back_is_found,
    a_log_cut_off_is_told_by_an_exported_head,
    two_nodes_make_one_chain,
);

/// How often the log is looked at until all of it is sealed.
const LOOKS_MAX: u32 = 500;

/// Waits until every entry has its place in the chain.
async fn sealed(owner: &AdminClient) -> Value {
    for _ in 0..LOOKS_MAX {
        let head = owner.get("/audit/head").await.done();
        if head["unsealed"] == 0 {
            return head;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the audit log is not sealed");
}

/// Makes changes, each a little later than the one before.
async fn write(mall: &TestMall, owner: &AdminClient, count: usize) {
    for number in 0..count {
        mall.clock.advance(Span::millis(1));
        let new = json!({"name": format!("Jo {number}"), "role": "viewer"});
        owner.post("/tokens", &new).await.done();
    }
}

async fn verify(owner: &AdminClient, head: Option<&Value>) -> Value {
    let body = head.map_or(
        json!({}),
        |head| json!({"head": {"sequence": head["sequence"], "mac": head["mac"]}}),
    );
    owner.post("/audit/verify", &body).await.done()
}

async fn every_write_is_sealed_and_verified(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let owner = mall.admin(Role::Owner).await;
    write(&mall, &owner, 5).await;
    let head = sealed(&owner).await;
    assert_eq!((&head["sequence"], &head["count"]), (&json!(6), &json!(6)));
    let verdict = verify(&owner, Some(&head)).await;
    assert_eq!(verdict["intact"], true, "{verdict}");
    assert_eq!(verdict["count"], 6);
    let entries = owner.all("/audit", 2).await;
    let sequences: Vec<i64> =
        entries.iter().map(|entry| entry["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequences, [6, 5, 4, 3, 2, 1]);
    assert_eq!(entries[0]["mac"], head["mac"]);
    assert_eq!(entries[0]["action"], "token.add");
    assert_eq!(entries[0]["after"]["name"], "Jo 4");
    assert_eq!(entries[0]["before"], Value::Null);
    assert!(entries[0]["request_id"].as_str().unwrap().starts_with("req_"));
    assert_eq!(entries[5]["token_name"], "command line");
    let object = entries[0]["object"].as_str().unwrap();
    assert_eq!(owner.all(&format!("/audit?object={object}"), 50).await.len(), 1);
    let who = owner.get("/whoami").await.done();
    let token = who["token_id"].as_str().unwrap();
    assert_eq!(owner.all(&format!("/audit?token_id={token}"), 2).await.len(), 5);
    assert_eq!(owner.all("/audit?from=2024-03-10T08:00:01Z", 50).await.len(), 0);
    assert_eq!(owner.all("/audit?to=2024-03-10T08:00:01Z&action=token.add", 50).await.len(), 6);
    assert_eq!(owner.all("/audit?mode=live", 50).await.len(), 0);
}

async fn what_is_done_behind_its_back_is_found(engine: Engine) {
    let insert = "INSERT INTO audit (audit_id, at, token_id, token_name, action, mode, object, \
        before_json, after_json, request_id, entry_mac, sequence, mac) \
        SELECT 'aud_x', at, token_id, token_name, action, mode, object, before_json, after_json, \
        request_id, entry_mac, 7, mac FROM audit WHERE sequence = 3";
    let swap = "UPDATE audit SET sequence = CASE sequence WHEN 2 THEN -5 ELSE 2 END \
        WHERE sequence IN (2, 5)";
    for (what, statements, first_bad) in [
        ("an edit", vec!["UPDATE audit SET after_json = '{}' WHERE sequence = 4"], 4),
        ("another name", vec!["UPDATE audit SET token_name = 'x' WHERE sequence = 1"], 1),
        ("a deletion", vec!["DELETE FROM audit WHERE sequence = 3"], 3),
        ("an insertion", vec![insert], 7),
        (
            "an insertion before the first",
            vec![insert, "UPDATE audit SET sequence = 0 WHERE audit_id = 'aud_x'"],
            1,
        ),
        (
            "an unsealed insertion",
            vec![insert, "UPDATE audit SET sequence = NULL, mac = NULL WHERE audit_id = 'aud_x'"],
            7,
        ),
        ("a swap", vec![swap, "UPDATE audit SET sequence = 5 WHERE sequence = -5"], 2),
        (
            "a row sealed anew",
            vec!["UPDATE audit SET sequence = NULL, mac = NULL WHERE sequence = 4"],
            4,
        ),
    ] {
        let mall = TestMall::start(engine).await;
        let owner = mall.admin(Role::Owner).await;
        write(&mall, &owner, 5).await;
        sealed(&owner).await;
        for statement in statements {
            // The sealer may have been faster with a row that waits.
            mall.database.execute(statement).await;
        }
        sealed(&owner).await;
        let verdict = verify(&owner, None).await;
        assert_eq!(verdict["intact"], false, "{what}");
        assert_eq!(verdict["first_bad"], first_bad, "{what}: {verdict}");
        mall.stop().await;
    }
}

async fn a_log_cut_off_is_told_by_an_exported_head(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let owner = mall.admin(Role::Owner).await;
    write(&mall, &owner, 5).await;
    let head = sealed(&owner).await;
    mall.database.execute("DELETE FROM audit WHERE sequence > 4").await;
    assert_eq!(verify(&owner, None).await["intact"], true, "nothing else can tell");
    let verdict = verify(&owner, Some(&head)).await;
    assert_eq!((&verdict["intact"], &verdict["first_bad"]), (&json!(false), &json!(5)));
    // What is written since takes the places of what is gone, but not their MACs.
    write(&mall, &owner, 5).await;
    sealed(&owner).await;
    assert_eq!(verify(&owner, None).await["intact"], true);
    let verdict = verify(&owner, Some(&head)).await;
    assert_eq!((&verdict["intact"], &verdict["first_bad"]), (&json!(false), &json!(6)));
}

async fn two_nodes_make_one_chain(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(mall.another_node(Recipe::default()).await);
    }
    let owner = mall.admin(Role::Owner).await;
    let writers = (0..8).map(|_| {
        let owner = owner.clone();
        tokio::spawn(async move {
            for _ in 0..15 {
                owner.post("/tokens", &json!({"name": "Jo", "role": "viewer"})).await.done();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let head = sealed(&owner).await;
    assert_eq!((&head["sequence"], &head["count"]), (&json!(121), &json!(121)));
    assert_eq!(verify(&owner, Some(&head)).await["intact"], true);
    for other in others {
        other.stop().await;
    }
}
