//! Adding, listing, changing, pausing and deleting, and who may not.

use domain::partner::Scheme;
use domain::{Mode, Span};
use sdk::{AddEndpoint, ChangeEndpoint, Error};
use serde_json::{Value, json};
use testkit::{Engine, Receiver, TestMall, TestPartner, on_both_engines};
use wire::Method;
use wire::call::{CALLS, Call};
use wire::endpoints::{ADD, CHANGE, LIST, ROOT};

use super::{added, listener};
use crate::raw::{Answer, call, call_well, fields, get, path, post, sample, signed};

on_both_engines!(
    an_endpoint_is_added_listed_changed_and_deleted,
    a_url_that_is_refused_is_told_why,
    twenty_endpoints_are_enough,
    only_hmac_manages_endpoints,
    foreign_endpoints_are_like_none,
    a_url_in_live_mode_is_https,
);

/// All calls about push endpoints.
fn calls() -> impl Iterator<Item = Call> {
    CALLS.into_iter().filter(|call| call.path.starts_with(ROOT))
}

/// Those that name an endpoint.
fn of_one() -> impl Iterator<Item = Call> {
    calls().filter(|call| call.all_fields().any(|field| field.name == "endpoint_id"))
}

/// Makes a call, signed in some way.
async fn ask(
    mall: &TestMall,
    partner: &TestPartner,
    (scheme, key): (Scheme, &str),
    this: &Call,
    more: Value,
) -> Answer {
    if this.method == Method::Post {
        return call(mall, partner, (scheme, key), this, more).await;
    }
    let fields = fields(mall, &partner.partner.code, this, more);
    get(mall, &path(partner, this), &signed(scheme, key, fields)).await
}

async fn ask_well(mall: &TestMall, partner: &TestPartner, this: &Call, more: Value) -> Answer {
    ask(mall, partner, (Scheme::HmacSha256, &partner.key), this, more).await
}

async fn an_endpoint_is_added_listed_changed_and_deleted(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let client = shop.client(&mall);
    assert_eq!(client.push_endpoints().await.unwrap(), []);
    let new = AddEndpoint {
        url: "https://shop.example".to_owned(),
        description: "the shop 商店".to_owned(),
        events: ["plan.expired", "order.failed", "plan.expired"].map(str::to_owned).into(),
        ..AddEndpoint::default()
    };
    let issued = client.add_push_endpoint(&new).await.unwrap();
    let endpoint = &issued.endpoint;
    // The URL is shown in its plain form, and each type once.
    assert_eq!(endpoint.url, "https://shop.example/");
    assert_eq!(endpoint.events, ["plan.expired", "order.failed"]);
    assert_eq!((endpoint.kind.as_str(), endpoint.state.as_str()), ("url", "on"));
    assert_eq!(endpoint.created_at, mall.now().as_millis());
    assert_eq!((endpoint.waiting, endpoint.failures, endpoint.failing_since), (0, 0, None));
    assert_eq!(endpoint.keys.len(), 1);
    assert_eq!((&endpoint.keys[0].key_id, endpoint.keys[0].retires_at), (&issued.key.key_id, None));
    let key = sdk::push::Key::parse(&issued.key.key_id, &issued.key.hex).unwrap();
    assert_eq!(key.whsec(), issued.key.whsec);
    // The secret is shown once, and nowhere again.
    let listed = ask_well(&mall, &shop, &LIST, json!({})).await;
    assert!(!listed.accepted().text.contains(&issued.key.hex), "{}", listed.text);
    assert_eq!(client.push_endpoints().await.unwrap(), std::slice::from_ref(endpoint));

    // What is left out of a change stays.
    let id = endpoint.endpoint_id.clone();
    let nothing = ChangeEndpoint { endpoint_id: id.clone(), ..ChangeEndpoint::default() };
    assert_eq!(&client.change_push_endpoint(&nothing).await.unwrap(), endpoint);
    let paused = ChangeEndpoint { paused: Some(true), ..nothing.clone() };
    let changed = client.change_push_endpoint(&paused).await.unwrap();
    let expected = sdk::push_endpoints::Endpoint { state: "paused".into(), ..endpoint.clone() };
    assert_eq!(changed, expected);
    let all = ChangeEndpoint {
        url: Some("http://other.example/a?b=c".to_owned()),
        description: Some(String::new()),
        events: Some(Vec::new()),
        paused: Some(false),
        ..nothing.clone()
    };
    let changed = client.change_push_endpoint(&all).await.unwrap();
    assert_eq!(
        (changed.url.as_str(), changed.state.as_str()),
        ("http://other.example/a?b=c", "on")
    );
    assert_eq!((changed.description.as_str(), changed.events.len()), ("", 0));
    assert_eq!(client.push_endpoints().await.unwrap(), [changed]);

    client.delete_push_endpoint(&id).await.unwrap();
    assert_eq!(client.push_endpoints().await.unwrap(), []);
    let gone = client.delete_push_endpoint(&id).await.unwrap_err();
    assert_eq!(gone.code(), Some("ENDPOINT_UNKNOWN"));
    mall.stop().await;
}

async fn a_url_that_is_refused_is_told_why(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let there = added(&mall, &shop, "https://shop.example/").await.endpoint.endpoint_id;
    let long = format!("https://shop.example/{}", "a".repeat(2_028));
    for (url, english, chinese) in [
        ("", "missing", "缺少"),
        (long.as_str(), "2048 characters", "2048"),
        ("https://shop.example/a b", "percent-encoded", "百分号"),
        ("https://商店.example/", "Punycode", "Punycode"),
        ("ftp://shop.example/", "must begin with https://", "必须以 https://"),
        ("https://joe:secret@shop.example/", "name or password", "用户名或密码"),
        ("https://shop.example/#top", "has a # in it", "含有 #"),
        ("https://shop.example:0443/", "port", "端口"),
        ("https://shop..example/", "letters, digits and hyphens", "连字符"),
        ("https://0x7f000001/", "plain form", "普通写法"),
        ("https://10.0.0.1/", "not a public one", "不是公网"),
        ("https://169.254.169.254/latest", "not a public one", "不是公网"),
        ("https://localhost/", "not a public one", "不是公网"),
        ("https://shop.example/a/../b", "plain form", "规范"),
    ] {
        for (this, more) in
            [(ADD, json!({"url": url})), (CHANGE, json!({"endpoint_id": there, "url": url}))]
        {
            if this.name == CHANGE.name && (url.is_empty() || url == long) {
                // What is empty stays; what is too long is too long for its field.
                continue;
            }
            for (language, words) in [("0", english), ("1", chinese)] {
                let mut more = more.clone();
                more["languageCode"] = language.into();
                let refusal = call_well(&mall, &shop, &this, more).await;
                if url == long {
                    assert_eq!(refusal.refused("BAD_REQUEST").told("field"), "url");
                    continue;
                }
                refusal.refused("ENDPOINT_REFUSED");
                assert_eq!(refusal.told("field"), "url");
                assert!(refusal.told("message").contains(words), "{url}: {}", refusal.text);
            }
        }
    }
    // A listener has no URL, neither when it is made nor later.
    let made =
        call_well(&mall, &shop, &ADD, json!({"kind": "listener", "url": "https://a.example/"}));
    made.await.refused("ENDPOINT_REFUSED");
    let listener = listener(&mall, &shop).await.endpoint.endpoint_id;
    let given = json!({"endpoint_id": listener, "url": "https://a.example/"});
    let refused = call_well(&mall, &shop, &CHANGE, given).await;
    assert!(refused.refused("ENDPOINT_REFUSED").told("message").contains("listener"));
    assert_eq!(shop.client(&mall).push_endpoints().await.unwrap().len(), 2);
    mall.stop().await;
}

async fn a_url_in_live_mode_is_https(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let refused = call_well(&mall, &shop, &ADD, json!({"url": "http://shop.example/"})).await;
    assert!(refused.refused("ENDPOINT_REFUSED").told("message").contains("https://"));
    added(&mall, &shop, "https://shop.example/").await;
    mall.stop().await;
}

async fn twenty_endpoints_are_enough(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let client = shop.client(&mall);
    for number in 0..19 {
        added(&mall, &shop, &format!("https://shop.example/{number}")).await;
    }
    // Of several at once one finds room.
    let new = AddEndpoint { url: "https://shop.example/last".to_owned(), ..AddEndpoint::default() };
    let (one, two, three) = tokio::join!(
        client.add_push_endpoint(&new),
        client.add_push_endpoint(&new),
        client.add_push_endpoint(&new)
    );
    let refused =
        |done: &Result<_, Error>| done.as_ref().err().map(|error| error.code().map(str::to_owned));
    let mut outcomes = [refused(&one), refused(&two), refused(&three)];
    outcomes.sort();
    let full = Some(Some("ENDPOINT_REFUSED".to_owned()));
    assert_eq!(outcomes, [None, full.clone(), full]);
    let told = call_well(&mall, &shop, &ADD, json!({"url": "https://shop.example/"})).await;
    assert!(told.refused("ENDPOINT_REFUSED").told("message").contains("20"));
    // The other mode and another partner have room of their own.
    for (code, mode) in [("SHOP", Mode::Live), ("OTHER", Mode::Test)] {
        let other = mall.add_partner(code, mode, |_| ()).await;
        added(&mall, &other, "https://shop.example/").await;
    }
    let all = client.push_endpoints().await.unwrap();
    assert_eq!(all.len(), 20);
    client.delete_push_endpoint(&all[3].endpoint_id).await.unwrap();
    client.add_push_endpoint(&new).await.unwrap();
    mall.stop().await;
}

async fn only_hmac_manages_endpoints(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let every = |partner: &mut domain::partner::Partner| {
        partner.schemes = vec![Scheme::Md5, Scheme::Md5Key, Scheme::HmacSha256];
        partner.ip_allowlist = vec!["127.0.0.0/8".to_owned()];
    };
    for mode in Mode::ALL {
        let shop = mall.add_partner("SHOP", mode, every).await;
        let there = listener(&mall, &shop).await.endpoint.endpoint_id;
        for this in calls() {
            let more = sample(&this, &shop.sims[0], &there);
            for (scheme, key) in [(Scheme::Md5, ""), (Scheme::Md5Key, shop.key.as_str())] {
                let refused = ask(&mall, &shop, (scheme, key), &this, more.clone()).await;
                refused.refused("SIGN_SCHEME_NOT_ALLOWED");
            }
        }
        // A call of another kind is taken under each.
        let sim = json!({"deviceCode": shop.sims[0]});
        let verify = wire::vshop::SINGLE_VERIFY;
        call(&mall, &shop, (Scheme::Md5, ""), &verify, sim).await.accepted();
        assert_eq!(shop.client(&mall).push_endpoints().await.unwrap().len(), 1);
        // A signature of the list is none of an addition, which stands at the same path.
        let listed = fields(&mall, "SHOP", &LIST, json!({"kind": "listener"}));
        let body = Value::Object(signed(Scheme::HmacSha256, &shop.key, listed)).to_string();
        let refused = post(&mall, &path(&shop, &ADD), body).await;
        assert_eq!(refused.refused("BAD_REQUEST").told("field"), "tradeType");
    }
    mall.stop().await;
}

async fn foreign_endpoints_are_like_none(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let snoop = mall.add_partner("SNOOP", Mode::Test, |_| ()).await;
    let owner = mall.add_partner("OWNER", Mode::Test, |_| ()).await;
    let in_live = mall.add_partner("SNOOP", Mode::Live, |_| ()).await;
    let receiver = Receiver::start().await;
    let foreign = [
        added(&mall, &owner, &receiver.url("/owner")).await.endpoint.endpoint_id,
        {
            mall.clock.advance(Span::millis(1));
            listener(&mall, &owner).await.endpoint.endpoint_id
        },
        added(&mall, &in_live, "https://live.example/").await.endpoint.endpoint_id,
    ];
    let none = format!("end_{}", "0".repeat(32));
    for this in of_one() {
        let told = ask_well(&mall, &snoop, &this, sample(&this, "", &none)).await;
        told.refused("ENDPOINT_UNKNOWN");
        assert_eq!(told.told("field"), "endpoint_id");
        for id in foreign.iter().map(String::as_str).chain(["x", "end_1", "ord_1"]) {
            let about = ask_well(&mall, &snoop, &this, sample(&this, "", id)).await;
            assert_eq!(about.text, told.text, "{} {id}", this.name);
        }
    }
    assert_eq!(shop_ids(&mall, &snoop).await, Vec::<String>::new());
    assert_eq!(shop_ids(&mall, &owner).await, foreign[..2]);
    assert_eq!(shop_ids(&mall, &in_live).await, foreign[2..]);
    assert!(receiver.received().is_empty(), "somebody else had it tested");
    mall.stop().await;
}

async fn shop_ids(mall: &TestMall, partner: &TestPartner) -> Vec<String> {
    let all = partner.client(mall).push_endpoints().await.unwrap();
    all.into_iter().map(|endpoint| endpoint.endpoint_id).collect()
}
