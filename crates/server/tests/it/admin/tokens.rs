//! Operators' tokens: shown once, never stored, retired, expired, and never without an owner.

use domain::{Role, Span};
use serde_json::json;
use testkit::{Engine, TestMall, http_client, on_both_engines};

on_both_engines!(
    a_token_is_shown_once_and_works_until_it_is_retired,
    a_token_expires,
    the_last_owner_stays,
    two_owners_who_retire_each_other_leave_one,
    a_token_made_up_in_the_database_is_worth_nothing,
    all_that_is_wrong_is_told_at_once,
    the_two_listeners_are_apart,
);

async fn a_token_is_shown_once_and_works_until_it_is_retired(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let owner = mall.admin(Role::Owner).await;
    let new = json!({"name": "Jo", "role": "viewer"});
    let made = owner.post("/tokens", &new).await;
    assert_eq!(made.status, 201);
    let text = made.body["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("smt_") && text.len() == 4 + 32 + 1 + 64, "{text}");
    let id = made.body["token"]["token_id"].as_str().unwrap();
    let jo = mall.admin_with(Some(text.clone()));
    let who = jo.get("/whoami").await.done();
    assert_eq!(who, json!({"token_id": id, "name": "Jo", "role": "viewer"}));
    // When it was used is known, and its secret is nowhere.
    let all = owner.all("/tokens", 1).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["last_used_at"], "2024-03-10T08:00:00Z");
    let audit = owner.all("/audit", 50).await;
    for place in [json!(all), json!(audit)] {
        assert!(!place.to_string().contains(&text[37..]), "{place}");
    }
    let retired = owner.delete(&format!("/tokens/{id}")).await.done();
    assert_eq!(retired["retired_at"], "2024-03-10T08:00:00Z");
    assert_eq!(jo.get("/whoami").await.code(401), "UNAUTHENTICATED");
    assert_eq!(owner.delete(&format!("/tokens/{id}")).await.done(), retired, "once more");
    let audit = owner.all("/audit?action=token.retire", 50).await;
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0]["after"]["retired_at"], "2024-03-10T08:00:00Z");
    assert_eq!(audit[0]["token_name"], "a owner");
}

async fn a_token_expires(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let owner = mall.admin(Role::Owner).await;
    let new = json!({"name": "Jo", "role": "operator", "expires_at": "2024-03-10T09:00:00+00:00"});
    let made = owner.post("/tokens", &new).await.done();
    assert_eq!(made["token"]["expires_at"], "2024-03-10T09:00:00Z");
    let jo = mall.admin_with(made["text"].as_str().map(str::to_owned));
    mall.advance(Span::minutes(59)).await;
    assert_eq!(jo.get("/whoami").await.status, 200);
    mall.advance(Span::minutes(1)).await;
    assert_eq!(jo.get("/whoami").await.code(401), "UNAUTHENTICATED");
}

async fn the_last_owner_stays(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let owner = mall.admin(Role::Owner).await;
    mall.admin(Role::Operator).await;
    let id = owner.get("/whoami").await.done()["token_id"].as_str().unwrap().to_owned();
    let path = format!("/tokens/{id}");
    assert_eq!(owner.delete(&path).await.code(409), "LAST_OWNER");
    // One that has expired is none.
    let soon = json!({"name": "Jo", "role": "owner", "expires_at": "2024-03-10T08:01:00Z"});
    owner.post("/tokens", &soon).await.done();
    mall.advance(Span::minutes(2)).await;
    assert_eq!(owner.delete(&path).await.code(409), "LAST_OWNER");
    let other = mall.admin(Role::Owner).await;
    owner.delete(&path).await.done();
    assert_eq!(owner.get("/whoami").await.status, 401);
    assert_eq!(other.get("/whoami").await.status, 200);
}

async fn two_owners_who_retire_each_other_leave_one(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for _ in 0..5 {
        let (one, two) = (mall.admin(Role::Owner).await, mall.admin(Role::Owner).await);
        let mut live = Vec::new();
        for token in one.all("/tokens", 500).await {
            if token.get("retired_at").is_none() {
                live.push(token["token_id"].as_str().unwrap().to_owned());
            }
        }
        // Only the two are left.
        let [.., first, second] = live.as_slice() else { panic!("{live:?}") };
        for older in &live[..live.len() - 2] {
            two.delete(&format!("/tokens/{older}")).await.done();
        }
        let (first, second) = (format!("/tokens/{first}"), format!("/tokens/{second}"));
        let (a, b) = tokio::join!(one.delete(&second), two.delete(&first));
        let mut outcomes = [a.status, b.status];
        outcomes.sort_unstable();
        // Whoever comes second is told that it is the last, or is no longer known.
        assert!(matches!(outcomes, [200, 401 | 409]), "{outcomes:?}");
    }
}

async fn a_token_made_up_in_the_database_is_worth_nothing(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let viewer = mall.admin(Role::Viewer).await;
    assert_eq!(viewer.get("/tokens").await.code(403), "ROLE_TOO_LOW");
    mall.database.execute("UPDATE admin_tokens SET role = 'owner'").await;
    assert_eq!(viewer.get("/tokens").await.code(401), "UNAUTHENTICATED");
    mall.database.execute("UPDATE admin_tokens SET role = 'viewer'").await;
    assert_eq!(viewer.get("/whoami").await.status, 200);
    // The secret is not the stored hash, and no part of the text may differ.
    let text = viewer.token.unwrap();
    for place in 0..text.len() {
        let mut wrong = text.clone().into_bytes();
        wrong[place] = if wrong[place] == b'0' { b'1' } else { b'0' };
        let wrong = mall.admin_with(String::from_utf8(wrong).ok());
        assert_eq!(wrong.get("/whoami").await.status, 401, "{place}");
    }
}

async fn all_that_is_wrong_is_told_at_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let owner = mall.admin(Role::Owner).await;
    let new = json!({"nam": "Jo", "role": "king", "expires_at": "tomorrow"});
    let answer = owner.post("/tokens", &new).await;
    assert_eq!(answer.wrong_fields(), ["nam", "name", "role", "expires_at"]);
    let past = json!({"name": "Jo", "role": "viewer", "expires_at": "2024-03-10T08:00:00Z"});
    assert_eq!(owner.post("/tokens", &past).await.wrong_fields(), ["expires_at"]);
    assert_eq!(owner.post("/tokens", &json!([])).await.wrong_fields(), ["the body"]);
    let query = owner.get("/tokens?limit=501&cursor=x&x=1").await;
    assert_eq!(query.wrong_fields(), ["limit", "x"]);
    assert_eq!(owner.get("/tokens?cursor=zz").await.wrong_fields(), ["cursor"]);
    assert_eq!(owner.get("/tokens?limit=2&limit=2").await.wrong_fields(), ["limit"]);
    assert_eq!(owner.all("/tokens", 500).await.len(), 1, "nothing was written");
    assert_eq!(owner.get("/nothing").await.code(404), "NOT_FOUND");
    assert_eq!(owner.call("PATCH", "/tokens", None).await.code(405), "METHOD_NOT_ALLOWED");
    let url = format!("{}/admin/v1/tokens", mall.admin_url());
    let request = |kind: &str, body: String| {
        let token = owner.token.as_ref().unwrap();
        let request = http_client().post(&url).bearer_auth(token).header("content-type", kind);
        request.body(body).send()
    };
    let status = |response: reqwest::Response| response.status().as_u16();
    assert_eq!(status(request("text/plain", "{}".to_owned()).await.unwrap()), 415);
    assert_eq!(status(request("application/json", "{".to_owned()).await.unwrap()), 400);
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    assert_eq!(status(request("application/json", large).await.unwrap()), 413);
}

async fn the_two_listeners_are_apart(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let get = async |url: String| http_client().get(url).send().await.unwrap().status().as_u16();
    assert_eq!(get(format!("{}/admin/v1/whoami", mall.url())).await, 404);
    assert_eq!(get(format!("{}/admin/v1/whoami", mall.admin_url())).await, 401);
    assert_eq!(get(format!("{}/openapi.json", mall.admin_url())).await, 404);
    assert_eq!(get(format!("{}/vshop/singleVerify", mall.admin_url())).await, 404);
}
