//! What answers look like: shapes, failures, languages, statuses, request numbers.

use std::collections::HashSet;

use domain::partner::ResponseStyle;
use domain::sim::SimState;
use domain::{Locale, Mode};
use serde_json::{Value, json};
use testkit::{Engine, Recipe, TestMall, TestPartner, on_both_engines};
use wire::Call;
use wire::call::CALLS;
use wire::groups::{
    ADD_GROUP_SIMS, ASYNC_RESULT, CANCEL_OPERATION, LIST_GROUP_SIMS, LIST_GROUPS,
    REMOVE_GROUP_SIMS, RETRY_FAILED,
};
use wire::payment::{
    RESULT_CONFIRM, RESULT_QUERY, STRIPE_SINGLE_AUTH, STRIPE_SUB_AUTH, STRIPE_SUB_DIRECTLY,
};
use wire::renewals::{
    CANCEL_AUTO_RENEWAL_RECORD, QUERY_AUTO_RENEWAL_RECORD, QUERY_AUTO_RENEWAL_RECORD_LIST,
};
use wire::sign::Scheme;
use wire::topup::{QUERY_ORDER, QUERY_SIM, QUERY_SIM_USAGE};
use wire::vshop::{
    SINGLE_ORDER, SINGLE_QUERY_ORDER, SINGLE_SERVICE_PLAN_PAGE, SINGLE_VERIFY, SYN_ORDER_INFO,
};

use crate::raw::{Answer, GROUP, call_well, content, fields, path, post, sample, send, signed};

on_both_engines!(
    each_success_has_its_published_shape,
    a_partner_may_have_the_envelope_around_everything,
    a_failure_is_400_in_the_envelope_with_the_orders_number,
    the_caller_chooses_the_language,
    a_caller_without_a_wish_gets_the_partners_language,
    names_of_plans_are_in_the_callers_language,
    what_reaches_no_call_is_told_so,
    bodies_are_limited_and_are_json,
    every_answer_has_a_number_of_its_own,
);

/// Stands for the endpoint that was added.
const ENDPOINT: &str = "ENDPOINT";

/// A request of each call that succeeds, in an order in which they can.
fn requests(shop: &TestPartner) -> Vec<(Call, Value)> {
    let mut requests: Vec<(Call, Value)> = [
        (SINGLE_VERIFY, ""),
        (SINGLE_SERVICE_PLAN_PAGE, ""),
        (QUERY_AUTO_RENEWAL_RECORD, ""),
        (SYN_ORDER_INFO, "N1"),
        (SINGLE_ORDER, "N2"),
        (STRIPE_SINGLE_AUTH, "N2"),
        (RESULT_CONFIRM, "N2"),
        (SINGLE_QUERY_ORDER, ""),
        (QUERY_AUTO_RENEWAL_RECORD, ""),
        (QUERY_AUTO_RENEWAL_RECORD_LIST, ""),
        (CANCEL_AUTO_RENEWAL_RECORD, "N1"),
        (SINGLE_ORDER, "N3"),
        (STRIPE_SUB_AUTH, "N3"),
        (STRIPE_SUB_DIRECTLY, "N3"),
        (RESULT_QUERY, "N1"),
        (QUERY_ORDER, "N1"),
        (QUERY_SIM, ""),
        (QUERY_SIM_USAGE, ""),
        (LIST_GROUPS, ""),
        (ADD_GROUP_SIMS, ""),
        (LIST_GROUP_SIMS, ""),
        (ASYNC_RESULT, "NEWEST"),
        (CANCEL_OPERATION, "NEWEST"),
        (RETRY_FAILED, "NEWEST"),
        (REMOVE_GROUP_SIMS, ""),
    ]
    .map(|(call, number)| (call, sample(&call, &shop.sims[0], number)))
    .into();
    requests.push((QUERY_ORDER, json!({"sim_id": shop.sims[0]})));
    for call in CALLS.iter().filter(|call| call.path.starts_with(wire::endpoints::ROOT)) {
        requests.push((*call, sample(call, &shop.sims[0], ENDPOINT)));
    }
    // What is deleted cannot be asked about any more.
    let is_delete = |(call, _): &(Call, Value)| call.name == wire::endpoints::DELETE.name;
    let place = requests.iter().position(is_delete).unwrap();
    let delete = requests.remove(place);
    requests.push(delete);
    requests
}

/// Makes each call once, and gives the names at the top of its answer, sorted.
async fn tops_of_all_answers(mall: &TestMall, shop: &TestPartner) -> Vec<(&'static str, String)> {
    let client = shop.client(mall);
    mall.add_group(shop, GROUP, 10).await;
    let (mut tops, mut newest, mut endpoint) = (Vec::new(), Value::Null, String::new());
    for (call, more) in requests(shop) {
        let Value::Object(mut more) = more else { panic!("fields are an object") };
        if let Some(request) = more.get_mut("request_id") {
            *request = newest.clone();
        }
        if let Some(known) = more.get_mut("endpoint_id").filter(|known| **known == ENDPOINT) {
            *known = endpoint.as_str().into();
        }
        let more = more.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let (status, text) = client.send(&call, client.sign(&call, more).unwrap()).await.unwrap();
        assert_eq!(status, 200, "{}: {text}", call.name);
        mall.settle().await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        if answer.get("operateCode").is_some() {
            assert_eq!(
                (&answer["operateCode"], &answer["message"]),
                (&json!("S"), &json!("success"))
            );
            let is_list = call.name == LIST_GROUPS.name;
            assert!(if is_list { answer["data"].is_array() } else { answer["data"].is_object() });
            newest = answer["data"].get("request_id").cloned().unwrap_or(newest);
        }
        if call.name == wire::endpoints::ADD.name {
            answer["data"]["endpoint"]["endpoint_id"].as_str().unwrap().clone_into(&mut endpoint);
        }
        let names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        tops.push((call.name, names.join(" ")));
    }
    tops
}

/// The names of a payment's result.
const PAYMENT: &str = "orderPeriod packageType partnerCode payAmount payId payResultDate payRst \
    servicePlanShowName";

async fn each_success_has_its_published_shape(engine: Engine) {
    let mall = TestMall::with(engine, Recipe { stripe: true, ..Recipe::default() }).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let envelope = "data message operateCode";
    let expected = [
        ("singleVerify", envelope),
        ("singleServicePlanPage", envelope),
        ("queryAutoRenewalRecord", ""),
        ("SynOrderInfo", envelope),
        ("singleOrder", "deviceCode orderNo partnerCode payId"),
        ("stripeSingleAuth", envelope),
        ("resultConfirm", PAYMENT),
        ("singleQueryOrder", envelope),
        (
            "queryAutoRenewalRecord",
            "deviceCode orderNo orderPeriod packageType partnerCode payId servicePlanShowName \
             subscriptionTime",
        ),
        ("queryAutoRenewalRecordList", envelope),
        ("cancelAutoRenewalRecord", ""),
        ("singleOrder", "deviceCode orderNo partnerCode payId"),
        ("stripeSubAuth", envelope),
        ("stripeSubDirectly", "customer_id pay_method product_id status sub_id"),
        ("resultQuery", PAYMENT),
        ("queryOrder", envelope),
        ("querySim", envelope),
        ("querySimUsage", envelope),
        ("listGroups", envelope),
        ("addGroupSims", envelope),
        ("listGroupSims", envelope),
        ("asyncResult", envelope),
        ("cancelOperation", envelope),
        ("retryFailed", envelope),
        ("removeGroupSims", envelope),
        ("queryOrder", envelope),
        ("listPushEndpoints", envelope),
        ("addPushEndpoint", envelope),
        ("changePushEndpoint", envelope),
        ("testPushEndpoint", envelope),
        ("rotatePushKey", envelope),
        ("resendPushes", envelope),
        ("takePushes", envelope),
        ("listPushDeliveries", envelope),
        ("deletePushEndpoint", envelope),
    ];
    let tops = tops_of_all_answers(&mall, &shop).await;
    let seen: Vec<(&str, &str)> = tops.iter().map(|(name, top)| (*name, top.as_str())).collect();
    assert_eq!(seen, expected);
    // No call is forgotten here.
    let tried: HashSet<&str> = seen.iter().map(|(name, _)| *name).collect();
    assert_eq!(tried, CALLS.iter().map(|call| call.name).collect());
    mall.stop().await;
}

async fn a_partner_may_have_the_envelope_around_everything(engine: Engine) {
    let mall = TestMall::with(engine, Recipe { stripe: true, ..Recipe::default() }).await;
    let enveloped = |partner: &mut domain::partner::Partner| {
        partner.response_style = ResponseStyle::Envelope;
    };
    let shop = mall.add_partner("SHOP", Mode::Test, enveloped).await;
    for (name, top) in tops_of_all_answers(&mall, &shop).await {
        assert_eq!(top, "data message operateCode", "{name}");
    }
    // The SDK reads both.
    assert_eq!(shop.client(&mall).result_query("P-N1").await.unwrap().pay_rst, "success");
    mall.stop().await;
}

async fn a_failure_is_400_in_the_envelope_with_the_orders_number(engine: Engine) {
    let mall = TestMall::start(engine).await;
    for style in [ResponseStyle::AsPublished, ResponseStyle::Envelope] {
        let code = if style == ResponseStyle::Envelope { "WRAPPED" } else { "PLAIN" };
        let shop = mall.add_partner(code, Mode::Test, |p| p.response_style = style).await;
        let nowhere = "8944000000000000000";
        let order = |number: &str| {
            json!({
                "deviceCode": nowhere, "orderNo": number, "payId": "P", "orderPeriod": "1",
                "servicePlanCode": "PLAN-M", "packageCode": "PACK-M", "payAmount": "10",
                "payCurrency": "EUR",
            })
        };
        let wrong_field = json!({"deviceCode": "x", "orderNo": "N3"});
        let too_long = order(&"N".repeat(65));
        let renewal = json!({"deviceCode": nowhere, "orderNo": "N4", "payId": "P"});
        for (call, more, code, number) in [
            (SINGLE_ORDER, order("QY-0010122021"), "SIM_UNKNOWN", json!("QY-0010122021")),
            (SINGLE_ORDER, order("编号 1"), "SIM_UNKNOWN", json!("编号 1")),
            (SINGLE_ORDER, wrong_field, "BAD_REQUEST", json!("N3")),
            (SINGLE_ORDER, too_long, "BAD_REQUEST", Value::Null),
            (CANCEL_AUTO_RENEWAL_RECORD, renewal, "SIM_UNKNOWN", json!("N4")),
            (SINGLE_VERIFY, json!({"deviceCode": nowhere}), "SIM_UNKNOWN", Value::Null),
            (RESULT_QUERY, json!({"payId": "P"}), "PAYMENT_UNKNOWN", Value::Null),
        ] {
            let refusal = call_well(&mall, &shop, &call, more).await;
            let told = refusal.refused(code).json();
            assert_eq!((&told["operateCode"], &told["message"]), (&json!("F"), &json!("fail")));
            assert_eq!(told["data"]["data"], number, "{told}");
            assert!(!refusal.told("message").is_empty());
            assert_eq!(told.as_object().unwrap().len(), 3, "{told}");
        }
        // A refusal of the signature names the order as well.
        let fields = fields(&mall, code, &SINGLE_ORDER, order("N5"));
        let body = Value::Object(signed(Scheme::HmacSha256, "guess", fields)).to_string();
        let refusal = post(&mall, "/vshop_uat/singleOrder", body).await;
        assert_eq!(refusal.refused("SIGN_MISMATCH").told("data"), "N5");
    }
    mall.stop().await;
}

/// Asks for a card that does not exist, so that there is a message to read.
async fn ask_for_nothing(
    mall: &TestMall,
    shop: &TestPartner,
    (language_code, accept): (Option<&str>, Option<&str>),
) -> Answer {
    let mut more = json!({"deviceCode": "8944000000000000000"});
    if let Some(code) = language_code {
        more["languageCode"] = code.into();
    }
    let fields = fields(mall, &shop.partner.code, &SINGLE_VERIFY, more);
    let body = Value::Object(signed(Scheme::HmacSha256, &shop.key, fields)).to_string();
    send(mall, "POST", &path(shop, &SINGLE_VERIFY), |request| {
        let request = request.header("content-type", "application/json").body(body);
        accept.into_iter().fold(request, |request, list| request.header("accept-language", list))
    })
    .await
}

const ENGLISH: &str = "This SIM is not in the partner's stock.";
const CHINESE: &str = "该合作伙伴名下没有这张 SIM 卡";

async fn the_caller_chooses_the_language(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // The partner's own language is always the one that the caller did not choose.
    let english = mall.add_partner("EN", Mode::Test, |_| ()).await;
    let chinese = mall.add_partner("ZH", Mode::Test, |p| p.locale = Locale::ZhCn).await;
    for (code, accept, expected) in [
        (Some("0"), None, ENGLISH),
        (Some("1"), None, CHINESE),
        (Some("en"), Some("zh-CN"), ENGLISH),
        (Some("en-GB"), Some("zh-CN"), ENGLISH),
        (Some("zh-Hans"), Some("en-US"), CHINESE),
        (Some("ZH-cn"), Some("en-US"), CHINESE),
        (Some("1"), Some("en-US"), CHINESE),
        // An empty code and a language that nobody speaks here are no choice.
        (Some(""), Some("zh-CN"), CHINESE),
        (Some("fr"), Some("en-US"), ENGLISH),
        (None, Some("zh-CN"), CHINESE),
        (None, Some("en-US"), ENGLISH),
        (None, Some("zh-TW, en;q=0.9"), CHINESE),
        (None, Some("en;q=0.8, zh;q=0.9"), CHINESE),
        (None, Some("zh;q=0.123,en;q=0.124"), ENGLISH),
        (None, Some("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5"), ENGLISH),
        (None, Some("en;q=0, zh;q=0.001"), CHINESE),
    ] {
        let partner = if expected == ENGLISH { &chinese } else { &english };
        let answer = ask_for_nothing(&mall, partner, (code, accept)).await;
        let message = answer.refused("SIM_UNKNOWN").told("message");
        assert!(message.contains(expected), "{code:?} {accept:?}: {message}");
    }
    mall.stop().await;
}

async fn a_caller_without_a_wish_gets_the_partners_language(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    for (locale, expected) in [(Locale::EnUs, ENGLISH), (Locale::ZhCn, CHINESE)] {
        mall.change_partner(&mut shop, |partner| partner.locale = locale).await;
        for wish in
            [(None, None), (Some(""), None), (Some("fr"), Some("de, *")), (None, Some("zh;q=0"))]
        {
            let answer = ask_for_nothing(&mall, &shop, wish).await;
            let message = answer.refused("SIM_UNKNOWN").told("message");
            assert!(message.contains(expected), "{wish:?}: {message}");
        }
    }
    // Who reaches no partner is answered in the language of the request alone.
    for (accept, expected) in [("zh-CN", "请求的路径不存在"), ("fr", "nothing at this path")]
    {
        let lost =
            send(&mall, "GET", "/nowhere", |request| request.header("accept-language", accept));
        assert!(lost.await.told("message").contains(expected));
    }
    mall.stop().await;
}

async fn names_of_plans_are_in_the_callers_language(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let paid = shop.paid_order(&shop.sims[0], "N1");
    shop.client(&mall).syn_order_info(&paid).await.unwrap();
    mall.settle().await;
    for (code, name, area) in [("0", "PLAN-M", "Europe"), ("1", "套餐 PLAN-M", "欧洲")] {
        let sim = json!({"deviceCode": shop.sims[0], "languageCode": code});
        let page = call_well(&mall, &shop, &SINGLE_SERVICE_PLAN_PAGE, sim.clone()).await;
        let plans = page.accepted().json()["data"]["servicePlanList"].clone();
        let plans = plans.as_array().unwrap();
        assert!(plans.iter().any(|plan| plan["servicePlanShowName"] == name), "{plans:?}");
        assert!(plans.iter().all(|plan| plan["area"] == area), "{plans:?}");
        let queue = call_well(&mall, &shop, &SINGLE_QUERY_ORDER, sim).await.json();
        assert_eq!(queue["data"]["orderList"][0]["servicePlanShowName"], name);
    }
    mall.stop().await;
}

async fn what_reaches_no_call_is_told_so(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let nowhere = [
        ("GET", "/nowhere"),
        ("POST", "/vshop_uat"),
        ("POST", "/vshop_uat/"),
        ("POST", "/vshop_uat/singleverify"),
        ("POST", "/vshop_uat/singleVerify/"),
        ("POST", "/vshop_uat/singleVerify%00"),
        // A call belongs to one service.
        ("POST", "/payment_uat/singleVerify"),
        ("POST", "/vshop_uat/resultQuery"),
        ("GET", "/topup_uat/mall/order"),
        ("POST", "/payment_test/resultQuery"),
        // No money is taken here.
        ("POST", "/stripe/webhook/test"),
        ("GET", "/topup_test/mall/bundle-groups"),
        ("GET", "/topup/mall/bundle-groups/grp_1/sims/"),
        // Published without `/mall`, which our own extensions have.
        ("GET", "/topup_test/mall/async-result/req_1"),
        ("POST", "/topup_test/async-result/req_1/cancel"),
        ("GET", "/vshop_uat/async-result/req_1"),
    ];
    for (method, path) in nowhere {
        let answer = send(&mall, method, path, |request| request).await;
        assert_eq!(answer.outcome(), (404, "NOT_FOUND".to_owned()), "{method} {path}");
        assert_eq!(answer.json()["operateCode"], "F");
    }
    let not_so = [
        ("GET", "/vshop_uat/singleVerify", "POST"),
        ("PUT", "/vshop/singleOrder", "POST"),
        ("DELETE", "/singleQueryOrder", "POST"),
        ("GET", "/payment_uat/resultQuery", "POST"),
        ("POST", "/topup_test/mall/order", "GET"),
        ("DELETE", "/topup/mall/order", "GET"),
        ("PUT", "/topup/mall/bundle-groups/grp_1/sims", "DELETE"),
        ("PATCH", "/mall/bundle-groups/grp_1/sims", "POST"),
        ("POST", "/topup_test/mall/bundle-groups/bundles", "GET"),
        ("DELETE", "/topup_test/async-result/req_1", "GET"),
        ("GET", "/topup_test/mall/async-result/req_1/cancel", "POST"),
    ];
    for (method, path, takes) in not_so {
        let answer = send(&mall, method, path, |request| request).await;
        assert_eq!(answer.outcome(), (405, "METHOD_NOT_ALLOWED".to_owned()), "{method} {path}");
        let allow = answer.headers["allow"].to_str().unwrap();
        assert!(allow.split(',').any(|method| method.trim() == takes), "{path}: {allow}");
    }
    mall.stop().await;
}

async fn bodies_are_limited_and_are_json(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let path = path(&shop, &SINGLE_VERIFY);
    let sim = json!({"deviceCode": shop.sims[0]});
    let signed = signed(Scheme::HmacSha256, &shop.key, fields(&mall, "SHOP", &SINGLE_VERIFY, sim));
    let body = Value::Object(signed).to_string();
    // White space counts: what is measured is what is sent.
    let padded = |bytes: usize| format!("{body}{}", " ".repeat(bytes - body.len()));
    post(&mall, &path, padded(1024 * 1024)).await.accepted();
    for bytes in [1024 * 1024 + 1, 1024 * 1024 + 8_000] {
        let answer = post(&mall, &path, padded(bytes)).await;
        assert_eq!(answer.outcome(), (413, "PAYLOAD_TOO_LARGE".to_owned()), "{bytes}");
    }
    for kind in ["text/plain", "multipart/form-data; boundary=x", "json", "application/xml", ""] {
        let answer = send(&mall, "POST", &path, |request| {
            request.header("content-type", kind).body(body.clone())
        })
        .await;
        assert_eq!(answer.outcome(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()), "{kind}");
    }
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/Json",
        // What `curl -d` says of any body.
        "application/x-www-form-urlencoded",
    ] {
        let request = |request: reqwest::RequestBuilder| request.header("content-type", kind);
        let answer = send(&mall, "POST", &path, |new| request(new).body(body.clone()));
        answer.await.accepted();
    }
    // The published pages leave the header out.
    send(&mall, "POST", &path, |request| request.body(body.clone())).await.accepted();
    mall.stop().await;
}

async fn every_answer_has_a_number_of_its_own(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let sim = json!({"deviceCode": shop.sims[0]});
    let asked = fields(&mall, "SHOP", &SINGLE_VERIFY, sim);
    let (good, bad) = (signed(Scheme::HmacSha256, &shop.key, asked.clone()), content(&asked));
    let (good, path) = (Value::Object(good).to_string(), path(&shop, &SINGLE_VERIFY));
    let mut numbers = HashSet::new();
    for _ in 0..5 {
        for (answer, status) in [
            (post(&mall, &path, good.clone()).await, 200),
            (post(&mall, &path, bad.clone()).await, 400),
            (post(&mall, &path, "nonsense").await, 400),
            (send(&mall, "GET", "/nowhere", |request| request).await, 404),
            (send(&mall, "GET", &path, |request| request).await, 405),
            (post(&mall, &path, " ".repeat(1024 * 1024 + 1)).await, 413),
            (
                send(&mall, "POST", &path, |new| new.header("content-type", "a/b").body("{}"))
                    .await,
                415,
            ),
        ] {
            assert_eq!(answer.status, status, "{}", answer.text);
            assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
            numbers.insert(answer.headers["x-request-id"].to_str().unwrap().to_owned());
        }
    }
    assert_eq!(numbers.len(), 35);
    // A number that the caller brings along is not taken over.
    let brought = numbers.iter().next().unwrap();
    let answer = send(&mall, "GET", "/nowhere", |request| request.header("x-request-id", brought));
    assert!(!numbers.contains(answer.await.headers["x-request-id"].to_str().unwrap()));
    // A card that is no longer of use has a number on its refusal, too.
    let ended = mall.add_sim(&shop, "", "simulator", SimState::Terminated).await;
    let refusal = call_well(&mall, &shop, &SINGLE_VERIFY, json!({"deviceCode": ended})).await;
    refusal.refused("SIM_NOT_SELLABLE");
    assert!(numbers.insert(refusal.headers["x-request-id"].to_str().unwrap().to_owned()));
    mall.stop().await;
}
