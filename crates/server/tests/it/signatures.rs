//! Who may call: schemes and their policy, keys and their rotation, time, suspension, addresses.

use domain::{Mode, Span};
use serde_json::{Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};
use wire::sign::{Scheme, sign};
use wire::topup::QUERY_ORDER;
use wire::vshop::{SINGLE_ORDER, SINGLE_VERIFY};

use crate::raw::{Answer, call, call_well, content, fields, get, path, post, signed, with_sign};

on_both_engines!(
    test_mode_takes_every_scheme,
    live_mode_takes_hmac_unless_the_operator_allows_more,
    keyless_md5_in_live_mode_needs_an_address_on_the_list,
    md5_is_tolerant_and_hmac_is_strict_about_empty_fields,
    only_hmac_reads_time_and_name,
    hmac_wants_a_time_within_five_minutes,
    topup_under_hmac_wants_time_and_name_too,
    keys_are_rotated_without_a_gap,
    a_number_is_signed_as_its_token,
    unknown_fields_are_signed_and_ignored,
    null_is_absent,
    suspension_shows_only_to_those_who_can_sign,
    an_unknown_partner_is_told_in_test_mode_only,
    an_address_off_the_list_is_refused_before_its_signature,
);

/// Checks a card, signed in some way.
async fn verify(mall: &TestMall, partner: &TestPartner, scheme: Scheme, key: &str) -> Answer {
    let card = json!({"deviceCode": partner.sims[0]});
    call(mall, partner, (scheme, key), &SINGLE_VERIFY, card).await
}

async fn sign_forms(mall: &TestMall, partner: &TestPartner) -> Vec<String> {
    let mut tx = mall.store().read().await.unwrap();
    tx.sign_forms(partner.partner.mode, partner.partner.id).await.unwrap()
}

async fn test_mode_takes_every_scheme(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    for scheme in Scheme::ALL {
        verify(&mall, &shop, scheme, &shop.key).await.accepted();
        let client = shop.client_with(&mall, scheme, &shop.key);
        assert_eq!(client.orders_of_sim(&shop.sims[0], 1).await.unwrap().total_count, 0);
        let missing = client.result_query("NO-SUCH-PAYMENT").await.unwrap_err();
        assert_eq!(missing.code(), Some("PAYMENT_UNKNOWN"), "{scheme:?}");
    }
    // The same names over other bytes: a key of somebody else's.
    for scheme in [Scheme::Md5Key, Scheme::HmacSha256] {
        verify(&mall, &shop, scheme, &mall.demo_key).await.refused("SIGN_MISMATCH");
    }
    assert_eq!(sign_forms(&mall, &shop).await, ["hmac-sha256", "md5", "md5-key"]);
    mall.stop().await;
}

async fn live_mode_takes_hmac_unless_the_operator_allows_more(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let key = shop.key.clone();
    verify(&mall, &shop, Scheme::HmacSha256, &key).await.accepted();
    // Who has the key learns that the scheme is the trouble; who has not learns nothing.
    verify(&mall, &shop, Scheme::Md5Key, &key).await.refused("SIGN_SCHEME_NOT_ALLOWED");
    verify(&mall, &shop, Scheme::Md5Key, "guess").await.refused("SIGN_MISMATCH");
    verify(&mall, &shop, Scheme::Md5, "").await.refused("SIGN_MISMATCH");
    assert_eq!(sign_forms(&mall, &shop).await, ["hmac-sha256"]);

    mall.change_partner(&mut shop, |partner| partner.schemes = vec![Scheme::Md5Key]).await;
    verify(&mall, &shop, Scheme::Md5Key, &key).await.accepted();
    verify(&mall, &shop, Scheme::HmacSha256, &key).await.refused("SIGN_SCHEME_NOT_ALLOWED");
    assert_eq!(sign_forms(&mall, &shop).await, ["hmac-sha256", "md5-key"]);

    // A policy binds in test mode as well; there, nothing has to be hidden.
    let strict =
        |partner: &mut domain::partner::Partner| partner.schemes = vec![Scheme::HmacSha256];
    let test = mall.add_partner("STRICT", Mode::Test, strict).await;
    verify(&mall, &test, Scheme::Md5, "").await.refused("SIGN_SCHEME_NOT_ALLOWED");
    verify(&mall, &test, Scheme::Md5Key, &test.key).await.refused("SIGN_SCHEME_NOT_ALLOWED");
    verify(&mall, &test, Scheme::HmacSha256, &test.key).await.accepted();
    mall.stop().await;
}

async fn keyless_md5_in_live_mode_needs_an_address_on_the_list(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut shop = mall
        .add_partner("OLDSHOP", Mode::Live, |partner| {
            partner.schemes = Scheme::ALL.to_vec();
        })
        .await;
    // The setting alone, however it got there, does not open the door; the other schemes work.
    verify(&mall, &shop, Scheme::Md5, "").await.refused("SIGN_MISMATCH");
    let key = shop.key.clone();
    verify(&mall, &shop, Scheme::Md5Key, &key).await.accepted();
    for list in [&["127.0.0.1"][..], &["203.0.113.0/24", "127.0.0.0/8"]] {
        let list = list.iter().map(|range| (*range).to_owned()).collect();
        mall.change_partner(&mut shop, |partner| partner.ip_allowlist = list).await;
        verify(&mall, &shop, Scheme::Md5, "").await.accepted();
    }
    let elsewhere = vec!["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()];
    mall.change_partner(&mut shop, |partner| partner.ip_allowlist = elsewhere).await;
    verify(&mall, &shop, Scheme::Md5, "").await.refused("IP_NOT_ALLOWED");
    mall.stop().await;
}

async fn md5_is_tolerant_and_hmac_is_strict_about_empty_fields(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let card = json!({"deviceCode": shop.sims[0], "mark": "", "url": "", "languageCode": ""});
    let kept = fields(&mall, "SHOP", &SINGLE_VERIFY, card);
    let mut dropped = kept.clone();
    dropped.retain(|_, value| value != "");
    assert_eq!((kept.len(), dropped.len()), (8, 5));
    let body = Value::Object(kept.clone()).to_string();
    let path = path(&shop, &SINGLE_VERIFY);
    for scheme in [Scheme::Md5, Scheme::Md5Key] {
        for form in [&kept, &dropped] {
            let made = sign(scheme, &shop.key, &content(form));
            post(&mall, &path, with_sign(&body, &made)).await.accepted();
        }
    }
    let made = sign(Scheme::HmacSha256, &shop.key, &content(&dropped));
    let refusal = post(&mall, &path, with_sign(&body, &made)).await;
    assert!(refusal.refused("SIGN_MISMATCH").told("hint").contains("empty text were left out"));
    let made = sign(Scheme::HmacSha256, &shop.key, &content(&kept));
    post(&mall, &path, with_sign(&body, &made)).await.accepted();
    // Dropping some of them is no form at all.
    let mut half = kept;
    half.remove("mark");
    let made = sign(Scheme::Md5, "", &content(&half));
    post(&mall, &path, with_sign(&body, &made)).await.refused("SIGN_MISMATCH");
    let forms = ["hmac-sha256", "md5", "md5 without-empty", "md5-key", "md5-key without-empty"];
    assert_eq!(sign_forms(&mall, &shop).await, forms);
    mall.stop().await;
}

async fn only_hmac_reads_time_and_name(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let odd = |name: &str, value: &str| json!({"deviceCode": shop.sims[0], name: value});
    // What the published samples carry.
    for (name, value) in [
        ("tradeType", "verify"),
        ("tradeType", "SingleVerify"),
        ("tradeTime", "20181031256548"),
        ("tradeTime", "a while ago"),
        ("tradeTime", "-1"),
    ] {
        for scheme in [Scheme::Md5, Scheme::Md5Key] {
            let way = (scheme, shop.key.as_str());
            call(&mall, &shop, way, &SINGLE_VERIFY, odd(name, value)).await.accepted();
        }
        let refusal = call_well(&mall, &shop, &SINGLE_VERIFY, odd(name, value)).await;
        let expected = match value {
            // An epoch time far from now, though it was meant to be a date.
            "20181031256548" => ("TRADE_TIME_SKEW", name),
            _ => ("BAD_REQUEST", name),
        };
        assert_eq!((refusal.told("code").as_str(), refusal.told("field").as_str()), expected);
        assert_eq!(refusal.status, 400);
    }
    mall.stop().await;
}

async fn hmac_wants_a_time_within_five_minutes(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let twin = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let body = |partner: &TestPartner, sent_at: i64| {
        let card = json!({"deviceCode": partner.sims[0], "tradeTime": sent_at.to_string()});
        let fields = fields(&mall, "SHOP", &SINGLE_VERIFY, card);
        Value::Object(signed(Scheme::HmacSha256, &partner.key, fields)).to_string()
    };
    let began = mall.now().as_millis();
    let (from_now, from_ahead) = (body(&shop, began), body(&shop, began + 300_000));
    let from_far_ahead = body(&shop, began + 301_000);
    let test_path = path(&shop, &SINGLE_VERIFY);
    post(&mall, &test_path, from_now.clone()).await.accepted();
    post(&mall, &test_path, from_ahead.clone()).await.accepted();
    let early = post(&mall, &test_path, from_far_ahead.clone()).await;
    assert!(early.refused("TRADE_TIME_SKEW").told("hint").contains("301 seconds"), "{early:?}");

    mall.advance(Span::seconds(300)).await;
    for body in [from_now.clone(), from_ahead, from_far_ahead] {
        post(&mall, &test_path, body).await.accepted();
    }
    mall.advance(Span::seconds(1)).await;
    let late = post(&mall, &test_path, from_now).await;
    assert!(late.refused("TRADE_TIME_SKEW").told("hint").contains("301 seconds"), "{late:?}");
    // The signature comes before the time: a wrong one does not learn of it.
    let forged = body(&shop, began).replace("\"version\":\"3.0\"", "\"version\":\"2.0\"");
    post(&mall, &test_path, forged).await.refused("SIGN_MISMATCH");
    let live = post(&mall, &path(&twin, &SINGLE_VERIFY), body(&twin, began)).await;
    live.refused("TRADE_TIME_SKEW");
    assert_eq!((live.told("hint"), live.told("signContent")), (String::new(), String::new()));
    mall.stop().await;
}

async fn topup_under_hmac_wants_time_and_name_too(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let path = path(&shop, &QUERY_ORDER);
    let mut asked = fields(&mall, "SHOP", &QUERY_ORDER, json!({"sim_id": shop.sims[0]}));
    let time = asked.remove("tradeTime").unwrap();
    asked.remove("tradeType");
    // As published: neither of the two.
    for scheme in [Scheme::Md5, Scheme::Md5Key] {
        get(&mall, &path, &signed(scheme, &shop.key, asked.clone())).await.accepted();
    }
    let hmac = |fields| signed(Scheme::HmacSha256, &shop.key, fields);
    let refusal = get(&mall, &path, &hmac(asked.clone())).await;
    assert_eq!(refusal.refused("BAD_REQUEST").told("field"), "tradeType");
    // `order` is the last literal part of the path, but the call has a name of its own.
    asked.insert("tradeType".to_owned(), "order".into());
    let refusal = get(&mall, &path, &hmac(asked.clone())).await;
    assert_eq!(refusal.refused("BAD_REQUEST").told("field"), "tradeType");
    asked.insert("tradeType".to_owned(), "queryOrder".into());
    let refusal = get(&mall, &path, &hmac(asked.clone())).await;
    assert_eq!(refusal.refused("BAD_REQUEST").told("field"), "tradeTime");
    asked.insert("tradeTime".to_owned(), time);
    get(&mall, &path, &hmac(asked.clone())).await.accepted();
    // A query has strings only: who signs a page's number as a number signs something else.
    asked.insert("page_no".to_owned(), 1.into());
    get(&mall, &path, &hmac(asked.clone())).await.refused("SIGN_MISMATCH");
    asked.insert("page_no".to_owned(), "1".into());
    get(&mall, &path, &hmac(asked)).await.accepted();
    mall.stop().await;
}

async fn keys_are_rotated_without_a_gap(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for mode in Mode::ALL {
        let shop = mall.add_partner("SHOP", mode, |_| ()).await;
        let scheme = Scheme::HmacSha256;
        let mut tx = mall.store().begin().await.unwrap();
        let next = mall.mall().add_key(&mut tx, &shop.partner).await.unwrap();
        tx.commit().await.unwrap();
        verify(&mall, &shop, scheme, &shop.key).await.accepted();
        verify(&mall, &shop, scheme, &next.text).await.accepted();

        let mut tx = mall.store().begin().await.unwrap();
        tx.retire_key(&shop.partner, &shop.key_id, mall.now()).await.unwrap();
        tx.commit().await.unwrap();
        verify(&mall, &shop, scheme, &next.text).await.accepted();
        let refusal = verify(&mall, &shop, scheme, &shop.key).await;
        let told = refusal.refused("SIGN_MISMATCH").told("hint");
        assert_eq!(told.contains("no longer valid"), mode == Mode::Test, "{told}");
        // Without its last key a partner is closed to all who prove themselves.
        let mut tx = mall.store().begin().await.unwrap();
        tx.retire_key(&shop.partner, &next.id, mall.now()).await.unwrap();
        tx.commit().await.unwrap();
        verify(&mall, &shop, scheme, &next.text).await.refused("SIGN_MISMATCH");
        verify(&mall, &shop, scheme, "").await.refused("SIGN_MISMATCH");
    }
    mall.stop().await;
}

async fn a_number_is_signed_as_its_token(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let order = json!({
        "deviceCode": shop.sims[0], "orderNo": "N1", "payId": "P1", "servicePlanCode": "PLAN-M",
        "packageCode": "PACK-M", "orderPeriod": "PERIODS", "payAmount": "AMOUNT",
        "payCurrency": "eur", "autoRenewal": "FLAG",
    });
    let text = content(&fields(&mall, "SHOP", &SINGLE_ORDER, order));
    let as_sent = |periods: &str, amount: &str| {
        let text = text.replace("\"PERIODS\"", periods).replace("\"AMOUNT\"", amount);
        text.replace("\"FLAG\"", "0")
    };
    let path = path(&shop, &SINGLE_ORDER);
    // One order, however often it is told and however its amount is spelt.
    for amount in ["10.000", "10", "10.0", "\"10.00\""] {
        let body = as_sent("1", amount);
        for scheme in Scheme::ALL {
            let made = sign(scheme, &shop.key, &body);
            let answer = post(&mall, &path, with_sign(&body, &made)).await;
            assert_eq!(answer.accepted().json()["orderNo"], "N1");
        }
    }
    let made = sign(Scheme::HmacSha256, &shop.key, &as_sent("1", "10"));
    let other_token = post(&mall, &path, with_sign(&as_sent("1", "10.000"), &made)).await;
    other_token.refused("SIGN_MISMATCH");
    let made = sign(Scheme::HmacSha256, &shop.key, &as_sent("\"1\"", "10.000"));
    let as_text = post(&mall, &path, with_sign(&as_sent("1", "10.000"), &made)).await;
    as_text.refused("SIGN_MISMATCH");
    let orders = shop.client(&mall).orders_of_sim(&shop.sims[0], 1).await.unwrap();
    assert_eq!((orders.total_count, orders.orders[0].pay_amount.as_str()), (1, "10.00"));
    mall.stop().await;
}

async fn unknown_fields_are_signed_and_ignored(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let card = json!({
        "deviceCode": shop.sims[0], "colour": "蓝 \"/\" \u{1f600}\u{7f}", "Zebra": true, "0": [],
        "nested": {"b": [1, {"d": null, "c": ""}, "x"], "a": {}}, "amount": 7,
    });
    for scheme in Scheme::ALL {
        let way = (scheme, shop.key.as_str());
        call(&mall, &shop, way, &SINGLE_VERIFY, card.clone()).await.accepted();
        // They are part of what is signed: nobody on the way can change them.
        let fields = fields(&mall, "SHOP", &SINGLE_VERIFY, card.clone());
        let body = Value::Object(signed(scheme, &shop.key, fields)).to_string();
        for (from, to) in [("蓝", "红"), ("\"x\"", "\"y\""), ("\"amount\":7", "\"amount\":8")] {
            let tampered = body.replace(from, to);
            assert_ne!(tampered, body);
            let refusal = post(&mall, &path(&shop, &SINGLE_VERIFY), tampered).await;
            refusal.refused("SIGN_MISMATCH");
        }
    }
    mall.stop().await;
}

async fn null_is_absent(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let nulls = json!({
        "deviceCode": shop.sims[0], "url": null, "mark": null, "version": null, "other": null,
    });
    for scheme in Scheme::ALL {
        let way = (scheme, shop.key.as_str());
        call(&mall, &shop, way, &SINGLE_VERIFY, nulls.clone()).await.accepted();
    }
    let required = call_well(&mall, &shop, &SINGLE_VERIFY, json!({"deviceCode": null})).await;
    assert_eq!(required.refused("BAD_REQUEST").told("field"), "deviceCode");
    // `null` has no place in the content, whatever the scheme.
    let fields = fields(&mall, "SHOP", &SINGLE_VERIFY, nulls);
    let body = Value::Object(fields).to_string();
    for scheme in Scheme::ALL {
        let made = sign(scheme, &shop.key, &body);
        let refusal = post(&mall, &path(&shop, &SINGLE_VERIFY), with_sign(&body, &made)).await;
        let hint = refusal.refused("SIGN_MISMATCH").told("hint");
        assert!(hint.contains("null were kept"), "{scheme:?}: {hint}");
    }
    mall.stop().await;
}

async fn suspension_shows_only_to_those_who_can_sign(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for mode in Mode::ALL {
        let mut shop = mall.add_partner("SHOP", mode, |_| ()).await;
        mall.change_partner(&mut shop, |partner| partner.suspended = true).await;
        let key = shop.key.clone();
        verify(&mall, &shop, Scheme::HmacSha256, &key).await.refused("PARTNER_SUSPENDED");
        verify(&mall, &shop, Scheme::HmacSha256, "guess").await.refused("SIGN_MISMATCH");
        let keyless = if mode == Mode::Live { "SIGN_MISMATCH" } else { "PARTNER_SUSPENDED" };
        verify(&mall, &shop, Scheme::Md5, "").await.refused(keyless);
        // The suspension comes before the time.
        let stale = json!({"deviceCode": shop.sims[0], "tradeTime": "1654585746965"});
        let refusal = call_well(&mall, &shop, &SINGLE_VERIFY, stale.clone()).await;
        refusal.refused("PARTNER_SUSPENDED");

        mall.change_partner(&mut shop, |partner| partner.suspended = false).await;
        verify(&mall, &shop, Scheme::HmacSha256, &key).await.accepted();
        call_well(&mall, &shop, &SINGLE_VERIFY, stale).await.refused("TRADE_TIME_SKEW");
    }
    mall.stop().await;
}

async fn an_unknown_partner_is_told_in_test_mode_only(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for mode in Mode::ALL {
        let shop = mall.add_partner("SHOP", mode, |_| ()).await;
        let path = path(&shop, &SINGLE_VERIFY);
        for scheme in Scheme::ALL {
            // The same request but for the code, signed with a key that is nobody's.
            let ask = async |code: &str| {
                let card = json!({"deviceCode": shop.sims[0], "orderNo": "N1"});
                let fields = fields(&mall, code, &SINGLE_VERIFY, card);
                let body = Value::Object(signed(scheme, "nobody's", fields)).to_string();
                post(&mall, &path, body).await
            };
            let unknown = ask("SHOQ").await;
            if mode == Mode::Test {
                unknown.refused("PARTNER_UNKNOWN");
                continue;
            }
            let mut known = ask("SHOP").await;
            unknown.refused("SIGN_MISMATCH");
            assert_eq!(known.text, unknown.text);
            assert_eq!(known.status, unknown.status);
            let mut others = unknown.headers.clone();
            for headers in [&mut known.headers, &mut others] {
                assert!(headers.remove("x-request-id").is_some());
                headers.remove("date");
            }
            assert_eq!(known.headers, others);
        }
    }
    mall.stop().await;
}

async fn an_address_off_the_list_is_refused_before_its_signature(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for mode in Mode::ALL {
        let away = vec!["203.0.113.7".to_owned(), "::1".to_owned(), "not a range".to_owned()];
        let list = |partner: &mut domain::partner::Partner| partner.ip_allowlist = away;
        let mut shop = mall.add_partner("SHOP", mode, list).await;
        let key = shop.key.clone();
        for tried in [key.as_str(), "guess"] {
            verify(&mall, &shop, Scheme::HmacSha256, tried).await.refused("IP_NOT_ALLOWED");
        }
        let home = vec!["127.0.0.1/32".to_owned()];
        mall.change_partner(&mut shop, |partner| partner.ip_allowlist = home).await;
        verify(&mall, &shop, Scheme::HmacSha256, &key).await.accepted();
        verify(&mall, &shop, Scheme::HmacSha256, "guess").await.refused("SIGN_MISMATCH");
    }
    mall.stop().await;
}
