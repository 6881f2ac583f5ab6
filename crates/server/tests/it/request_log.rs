//! A partner's request log, as its operator reads it in the admin API.

use domain::{Mode, Role, Span};
use reqwest::header::HeaderMap;
use sdk::Scheme;
use serde_json::{Map, Value, json};
use testkit::{Engine, Recipe, TestMall, TestPartner, http_client, on_both_engines};
use wire::vshop::{SINGLE_VERIFY, SYN_ORDER_INFO};

use crate::raw::{call, call_well, fields, path, post, sample, send, signed, with_sign};

on_both_engines!(
    every_request_of_a_partner_is_logged,
    what_was_refused_before_its_sender_was_known_is_logged_too,
    a_live_partners_wrong_signature_is_explained_to_its_operator,
    nothing_secret_or_personal_is_in_it,
    who_names_no_partner_leaves_no_entry,
    forged_requests_fill_no_disk,
    entries_go_when_they_are_old,
    it_can_be_switched_off,
    a_stop_loses_no_entry,
);

/// How often something is looked at that is about to happen, and the pause between two looks.
const LOOKS_MAX: u32 = 1_000;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
/// So many requests per hour are logged though nobody proved to be the partner.
const UNPROVEN_PER_HOUR: usize = 200;

/// All entries of a partner that a query takes, the newest first.
async fn entries(mall: &TestMall, mode: Mode, code: &str, query: &str) -> Vec<Value> {
    mall.mall().write_request_log().await.unwrap();
    let admin = mall.admin(Role::Viewer).await;
    admin.all(&format!("/{}/partners/{code}/requests{query}", mode.as_str()), 100).await
}

fn number(headers: &HeaderMap) -> &str {
    headers["x-request-id"].to_str().unwrap()
}

fn codes(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["code"].as_str().unwrap()).collect()
}

async fn lost(mall: &TestMall, reason: &str) -> i64 {
    let url = format!("{}/metrics", mall.admin_url());
    let text = http_client().get(url).send().await.unwrap().text().await.unwrap();
    let name = format!(r#"simmall_request_log_lost_total{{reason="{reason}"}} "#);
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().unwrap())
}

async fn every_request_of_a_partner_is_logged(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let known = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    let body = fields(&mall, "SHOP", &SINGLE_VERIFY, known.clone());
    let body = json!(signed(Scheme::HmacSha256, &shop.key, body)).to_string();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let at = path(&shop, &SINGLE_VERIFY);
    let change =
        |request: reqwest::RequestBuilder| request.header("traceparent", parent).body(body);
    let first = send(&mall, "POST", &at, change).await;
    first.accepted();
    let noon = mall.now();
    mall.clock.advance(Span::seconds(60));
    let unknown = sample(&SINGLE_VERIFY, "89440000000000000000", "");
    call_well(&mall, &shop, &SINGLE_VERIFY, unknown).await.refused("SIM_UNKNOWN");
    mall.clock.advance(Span::seconds(60));
    let mut left_out = fields(&mall, "SHOP", &SINGLE_VERIFY, known);
    let sign = wire::sign::sign(Scheme::Md5, "", &crate::raw::content(&left_out));
    left_out.insert("mark".to_owned(), "".into());
    let left_out = with_sign(&Value::Object(left_out).to_string(), &sign);
    post(&mall, &at, left_out).await.accepted();

    let all = entries(&mall, Mode::Test, "SHOP", "").await;
    assert_eq!(codes(&all), ["SUCCESS", "SIM_UNKNOWN", "SUCCESS"]);
    let admin = mall.admin(Role::Viewer).await;
    assert_eq!(admin.all("/test/partners/SHOP/requests", 2).await, all, "page by page");
    let (third, oldest) = (&all[0], &all[2]);
    assert_eq!((&third["scheme"], &third["empty_kept"]), (&json!("md5"), &json!(false)));
    assert_eq!((&third["path_kept"], third.get("key_id")), (&json!(true), None));
    let expected = json!({
        "request_id": number(&first.headers), "at": noon.rfc3339(), "outcome": "succeeded",
        "route": "POST /vshop_uat/singleVerify", "status": 200, "code": "SUCCESS",
        "scheme": "hmac-sha256", "key_id": shop.key_id, "empty_kept": true, "path_kept": true,
        "took_us": 0, "address": "127.0.0.1", "trace_id": trace,
    });
    assert_eq!(oldest, &expected);
    let later = "2024-03-10T08:00:30Z";
    for (query, found) in [
        ("?outcome=failed".to_owned(), vec!["SIM_UNKNOWN"]),
        ("?outcome=succeeded".to_owned(), vec!["SUCCESS", "SUCCESS"]),
        ("?code=SIM_UNKNOWN".to_owned(), vec!["SIM_UNKNOWN"]),
        ("?code=SUCCESS".to_owned(), vec!["SUCCESS", "SUCCESS"]),
        ("?code=SUCCESS&outcome=failed".to_owned(), vec![]),
        (format!("?from={later}"), vec!["SUCCESS", "SIM_UNKNOWN"]),
        (format!("?to={later}"), vec!["SUCCESS"]),
    ] {
        assert_eq!(codes(&entries(&mall, Mode::Test, "SHOP", &query).await), found, "{query}");
    }
    assert!(entries(&mall, Mode::Test, "P012345", "").await.is_empty(), "another's");
    let wrong = admin.get("/test/partners/SHOP/requests?outcome=lost").await;
    assert_eq!(wrong.wrong_fields(), ["outcome"]);
    let wrong = admin.get("/test/partners/SHOP/requests?cursor=00").await;
    assert_eq!(wrong.wrong_fields(), ["cursor"]);
    mall.stop().await;
}

async fn what_was_refused_before_its_sender_was_known_is_logged_too(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |partner| {
        partner.ip_allowlist = vec!["10.0.0.0/8".to_owned()];
    });
    let shop = shop.await;
    let mut more = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    call_well(&mall, &shop, &SINGLE_VERIFY, more.clone()).await.refused("IP_NOT_ALLOWED");
    mall.clock.advance(Span::seconds(1));
    more["deviceCode"] = "no card".into();
    call_well(&mall, &shop, &SINGLE_VERIFY, more).await.refused("BAD_REQUEST");
    let all = entries(&mall, Mode::Live, "SHOP", "").await;
    assert_eq!(codes(&all), ["BAD_REQUEST", "IP_NOT_ALLOWED"]);
    // Nothing is said of a signature that was not looked at.
    for entry in &all {
        assert_eq!((entry.get("scheme"), entry.get("sign_content")), (None, None), "{entry}");
    }
    mall.stop().await;
}

/// A reported order with people's data in it.
fn personal(mall: &TestMall, shop: &TestPartner) -> Map<String, Value> {
    let mut order = sample(&SYN_ORDER_INFO, &shop.sims[0], "NO-1");
    for (name, value) in [
        ("payAccount", "jane.doe"),
        ("email", "jane@example.com"),
        ("token", "tok-1234"),
        ("servicePlanShowName", "jane@example.com"),
        ("payType", &shop.key),
    ] {
        order[name] = value.into();
    }
    fields(mall, "SHOP", &SYN_ORDER_INFO, order)
}

async fn a_live_partners_wrong_signature_is_explained_to_its_operator(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let body = Value::Object(personal(&mall, &shop)).to_string();
    let at = path(&shop, &SYN_ORDER_INFO);
    let spaced = body.replace("\":", "\": ").replace(",\"", ", \"");
    let sign = |content: &str| wire::sign::sign(Scheme::HmacSha256, &shop.key, content);
    let refusal = post(&mall, &at, with_sign(&body, &sign(&spaced))).await;
    // The partner's program is told nothing in live mode.
    assert!(refusal.refused("SIGN_MISMATCH").told("signContent").is_empty());
    mall.clock.advance(Span::seconds(1));
    post(&mall, &at, with_sign(&body, &sign("x"))).await.refused("SIGN_MISMATCH");
    let large = body.replace("NO-1", &"9".repeat(5_000));
    post(&mall, &at, with_sign(&large, &sign("x"))).await;
    let all = entries(&mall, Mode::Live, "SHOP", "?code=SIGN_MISMATCH").await;
    let causes: Vec<&Value> = all.iter().map(|entry| &entry["causes"]).collect();
    assert_eq!(causes, [&json!(["unexplained"]), &json!(["spaces"])]);
    let content = all[1]["sign_content"].as_str().unwrap();
    let iccid = &shop.sims[0];
    let masked = format!("{}…{}", &iccid[..6], &iccid[iccid.len() - 4..]);
    assert!(content.contains(&format!(r#""deviceCode":"{masked}""#)), "{content}");
    assert!(content.contains(r#""orderNo":"NO-1""#), "{content}");
    assert!(content.contains(r#""payAccount":"<a text of 8 characters>""#), "{content}");
    assert_eq!(all[1].get("scheme"), None, "no signature held");
    mall.stop().await;
}

async fn nothing_secret_or_personal_is_in_it(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let order = personal(&mall, &shop);
    let at = path(&shop, &SYN_ORDER_INFO);
    let good = signed(Scheme::HmacSha256, &shop.key, order.clone());
    let sign = good["sign"].as_str().unwrap().to_owned();
    let mistaken = signed(Scheme::HmacSha256, "another key", order);
    for body in [good, mistaken] {
        post(&mall, &at, Value::Object(body).to_string()).await;
    }
    let all = entries(&mall, Mode::Test, "SHOP", "").await;
    assert_eq!(all.len(), 2);
    let text = json!(all).to_string();
    for secret in [&shop.key, &shop.sims[0], &sign, "jane", "tok-1234"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    mall.stop().await;
}

async fn who_names_no_partner_leaves_no_entry(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let more = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    for code in ["NOBODY", "SHOP2", "shop"] {
        let body = fields(&mall, code, &SINGLE_VERIFY, more.clone());
        let body = signed(Scheme::HmacSha256, &shop.key, body);
        let at = path(&shop, &SINGLE_VERIFY);
        post(&mall, &at, Value::Object(body).to_string()).await.refused("PARTNER_UNKNOWN");
    }
    post(&mall, &path(&shop, &SINGLE_VERIFY), "{}").await.refused("BAD_REQUEST");
    assert!(entries(&mall, Mode::Test, "SHOP", "").await.is_empty());
    assert_eq!(lost(&mall, "no_partner").await, 3);
    assert_eq!(mall.database.execute("DELETE FROM request_log").await, 0);
    mall.stop().await;
}

async fn forged_requests_fill_no_disk(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let more = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    for _ in 0..UNPROVEN_PER_HOUR + 10 {
        let guessed = (Scheme::HmacSha256, "guessed");
        call(&mall, &shop, guessed, &SINGLE_VERIFY, more.clone()).await.refused("SIGN_MISMATCH");
    }
    mall.clock.advance(Span::seconds(1));
    call_well(&mall, &shop, &SINGLE_VERIFY, more.clone()).await.accepted();
    let all = entries(&mall, Mode::Live, "SHOP", "").await;
    assert_eq!(codes(&all)[0], "SUCCESS", "the partner's own requests are logged all the same");
    assert_eq!(all.len(), UNPROVEN_PER_HOUR + 1);
    assert_eq!(lost(&mall, "unproven").await, 10);
    // The next hour has room again.
    mall.clock.advance(Span::minutes(60));
    let guessed = (Scheme::HmacSha256, "guessed");
    call(&mall, &shop, guessed, &SINGLE_VERIFY, more).await.refused("SIGN_MISMATCH");
    let all = entries(&mall, Mode::Live, "SHOP", "").await;
    assert_eq!(all.len(), UNPROVEN_PER_HOUR + 2);
    mall.stop().await;
}

async fn entries_go_when_they_are_old(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let more = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    call_well(&mall, &shop, &SINGLE_VERIFY, more.clone()).await.accepted();
    mall.clock.advance(Span::days(29));
    call_well(&mall, &shop, &SINGLE_VERIFY, more).await.accepted();
    assert_eq!(entries(&mall, Mode::Test, "SHOP", "").await.len(), 2);
    mall.clock.advance(Span::days(2));
    for _ in 0..LOOKS_MAX {
        if entries(&mall, Mode::Test, "SHOP", "").await.len() == 1 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(entries(&mall, Mode::Test, "SHOP", "").await.len(), 1);
    mall.stop().await;
}

async fn it_can_be_switched_off(engine: Engine) {
    let mut recipe = Recipe::default();
    recipe.settings.request_log = None;
    let mall = TestMall::with(engine, recipe).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let more = sample(&SINGLE_VERIFY, &shop.sims[0], "");
    call_well(&mall, &shop, &SINGLE_VERIFY, more).await.accepted();
    assert!(entries(&mall, Mode::Test, "SHOP", "").await.is_empty());
    mall.stop().await;
}

async fn a_stop_loses_no_entry(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let node = mall.another_node(Recipe::default()).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let fields = fields(&mall, "SHOP", &SINGLE_VERIFY, sample(&SINGLE_VERIFY, &shop.sims[0], ""));
    let body = json!(signed(Scheme::HmacSha256, &shop.key, fields)).to_string();
    let url = format!("http://{}{}", node.address, path(&shop, &SINGLE_VERIFY));
    for _ in 0..10 {
        let answer = http_client().post(&url).body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    node.stop().await;
    assert_eq!(entries(&mall, Mode::Test, "SHOP", "").await.len(), 10);
    mall.stop().await;
}
