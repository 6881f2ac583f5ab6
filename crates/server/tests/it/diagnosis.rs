//! What a partner is told of a wrong signature: in test mode the likely cause and the content that the
//! mall built, in live mode nothing.

use domain::Mode;
use serde_json::{Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};
use wire::sign::{Scheme, sign};
use wire::vshop::SINGLE_SERVICE_PLAN_PAGE;

use crate::raw::{Answer, content, fields, path, post, with_sign};

on_both_engines!(
    each_mistake_in_the_content_is_named,
    each_mistake_with_the_key_is_named,
    mistakes_in_company_are_all_named,
    who_signs_with_md5_is_told_as_well,
    nothing_usual_explains_it,
    live_mode_tells_nothing,
    the_hint_speaks_the_callers_language,
);

/// The words by which each cause is known.
const EMPTY: &str = "empty text were left out";
const NULL: &str = "null were kept";
const UNSORTED: &str = "not in ascending byte order";
const SPACES: &str = "has spaces between its parts";
const NON_ASCII: &str = "beyond ASCII were escaped";
const SLASH: &str = "Slashes were escaped";
const AS_TEXT: &str = "signed as a text";
const AS_NUMBER: &str = "signed as a number";
const UPPER_CASE: &str = "written in upper case";
const NO_KEY: &str = "made without a key";
const RETIRED: &str = "no longer valid";
const OTHER_MODE: &str = "key of the other mode";
const LENGTH: &str = "has another length";
const NEWLINE: &str = "line feed was signed";
const NONE: &str = "None of the usual mistakes";
const ALL: [&str; 15] = [
    EMPTY, NULL, UNSORTED, SPACES, NON_ASCII, SLASH, AS_TEXT, AS_NUMBER, UPPER_CASE, NO_KEY,
    RETIRED, OTHER_MODE, LENGTH, NEWLINE, NONE,
];

/// A partner of both modes, with an old key in test mode, and a request to sign.
struct Desk {
    mall: TestMall,
    shop: TestPartner,
    /// Its namesake in live mode.
    twin: TestPartner,
    old_key: String,
}

impl Desk {
    async fn open(engine: Engine) -> Self {
        let mall = TestMall::start(engine).await;
        let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
        let twin = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
        let mut tx = mall.store().begin().await.unwrap();
        let old = mall.mall().add_key(&mut tx, &shop.partner).await.unwrap();
        tx.retire_key(&shop.partner, &old.id, mall.now()).await.unwrap();
        tx.commit().await.unwrap();
        Self { mall, shop, twin, old_key: old.text }
    }

    /// A request in which every mistake can be made, its members in no order.
    fn body(&self) -> String {
        let (time, iccid) = (self.mall.now().as_millis(), &self.shop.sims[0]);
        format!(
            r#"{{"version":"3.0","url":"https://a.example/b","area":"欧洲","deviceCode":"{iccid}","mark":"","pageNo":1,"partnerCode":"SHOP","tradeTime":"{time}","tradeType":"singleServicePlanPage"}}"#
        )
    }

    /// The content as it should be signed.
    fn right(&self) -> String {
        let Value::Object(members) = serde_json::from_str(&self.body()).unwrap() else {
            panic!("the body is an object");
        };
        content(&members)
    }

    async fn send(&self, sign: &str) -> Answer {
        let path = path(&self.shop, &SINGLE_SERVICE_PLAN_PAGE);
        post(&self.mall, &path, with_sign(&self.body(), sign)).await
    }

    /// Sends the request with a wrong signature, and insists on these causes and no other.
    async fn told(&self, sign: &str, causes: &[&str]) {
        let refusal = self.send(sign).await;
        let hint = refusal.refused("SIGN_MISMATCH").told("hint");
        let named: Vec<&str> = ALL.into_iter().filter(|cause| hint.contains(cause)).collect();
        let mut expected = causes.to_vec();
        expected.sort_by_key(|cause| ALL.iter().position(|known| known == cause));
        assert_eq!(named, expected, "{hint}");
        assert_eq!(refusal.told("signContent"), self.right());
    }

    fn hmac(&self, content: &str) -> String {
        sign(Scheme::HmacSha256, &self.shop.key, content)
    }
}

/// JSON with a space after each comma and colon between tokens, as Python's `json.dumps` has it.
fn spaced(json: &str) -> String {
    json.replace("\":", "\": ").replace(",\"", ", \"")
}

fn escaped(json: &str) -> String {
    json.replace("欧洲", "\\u6b27\\u6d32")
}

fn slashed(json: &str) -> String {
    json.replace('/', "\\/")
}

async fn each_mistake_in_the_content_is_named(engine: Engine) {
    let desk = Desk::open(engine).await;
    let right = desk.right();
    desk.send(&desk.hmac(&right)).await.accepted();
    let without_empty = right.replace(r#""mark":"","#, "");
    let upper_escaped = right.replace("欧洲", "\\u6B27\\u6D32");
    // A client that makes a number of all that looks like one.
    let mut numbers = right.clone();
    let time = desk.mall.now().as_millis().to_string();
    for text in ["3.0", &time, &desk.shop.sims[0]] {
        numbers = numbers.replace(&format!("\"{text}\""), text);
    }
    for (mistaken, cause) in [
        (without_empty, EMPTY),
        (desk.body(), UNSORTED),
        (spaced(&right), SPACES),
        (escaped(&right), NON_ASCII),
        (upper_escaped, NON_ASCII),
        (slashed(&right), SLASH),
        (right.replace("\"pageNo\":1", "\"pageNo\":\"1\""), AS_TEXT),
        (numbers, AS_NUMBER),
    ] {
        assert_ne!(mistaken, right);
        desk.told(&desk.hmac(&mistaken), &[cause]).await;
    }
    desk.told(&desk.hmac(&right).to_uppercase(), &[UPPER_CASE]).await;
    desk.mall.stop().await;
}

async fn each_mistake_with_the_key_is_named(engine: Engine) {
    let mut desk = Desk::open(engine).await;
    let right = desk.right();
    let hmac = |key: &str| sign(Scheme::HmacSha256, key, &right);
    desk.told(&hmac(&desk.old_key), &[RETIRED]).await;
    desk.told(&hmac(&desk.twin.key), &[OTHER_MODE]).await;
    desk.told(&hmac(""), &[NO_KEY]).await;
    // The digest of nothing: a program that lost its content before it signed.
    let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    desk.told(of_nothing, &[NONE]).await;
    // Keyless MD5 is right by itself: the policy is what refuses it.
    let md5 = sign(Scheme::Md5, "", &right);
    desk.send(&md5).await.accepted();
    let only_hmac = vec![Scheme::HmacSha256];
    desk.mall.change_partner(&mut desk.shop, |partner| partner.schemes = only_hmac).await;
    desk.send(&md5).await.refused("SIGN_SCHEME_NOT_ALLOWED");
    desk.told(&sign(Scheme::Md5, "", &slashed(&right)), &[SLASH, NO_KEY]).await;
    desk.mall.stop().await;
}

async fn mistakes_in_company_are_all_named(engine: Engine) {
    let desk = Desk::open(engine).await;
    let (body, right) = (desk.body(), desk.right());
    for (mistaken, causes) in [
        // Python: json.dumps(fields), then with sort_keys, then with ensure_ascii=False.
        (spaced(&escaped(&body)), &[UNSORTED, SPACES, NON_ASCII][..]),
        (spaced(&escaped(&right)), &[SPACES, NON_ASCII]),
        (spaced(&body), &[UNSORTED, SPACES]),
        // PHP: json_encode($fields), with and without ksort.
        (slashed(&escaped(&right)), &[NON_ASCII, SLASH]),
        (slashed(&escaped(&body)), &[UNSORTED, NON_ASCII, SLASH]),
    ] {
        desk.told(&desk.hmac(&mistaken), causes).await;
        let upper = desk.hmac(&mistaken).to_uppercase();
        desk.told(&upper, &[causes, &[UPPER_CASE]].concat()).await;
        let made = sign(Scheme::HmacSha256, &desk.old_key, &mistaken);
        desk.told(&made, &[causes, &[RETIRED]].concat()).await;
        let made = sign(Scheme::HmacSha256, &desk.twin.key, &mistaken);
        desk.told(&made, &[causes, &[OTHER_MODE]].concat()).await;
    }
    desk.mall.stop().await;
}

async fn who_signs_with_md5_is_told_as_well(engine: Engine) {
    let desk = Desk::open(engine).await;
    let right = desk.right();
    // Empty fields are no cause here: these schemes take both forms.
    let spaced_without_empty = spaced(&right.replace(r#""mark":"","#, ""));
    for (mistaken, causes) in [
        (slashed(&escaped(&right)), &[NON_ASCII, SLASH][..]),
        (spaced_without_empty, &[SPACES]),
        (desk.body(), &[UNSORTED]),
    ] {
        desk.told(&sign(Scheme::Md5, "", &mistaken), causes).await;
        desk.told(&sign(Scheme::Md5Key, &desk.shop.key, &mistaken), causes).await;
        let made = sign(Scheme::Md5Key, &desk.old_key, &mistaken);
        desk.told(&made, &[causes, &[RETIRED]].concat()).await;
    }
    for scheme in [Scheme::Md5, Scheme::Md5Key] {
        let upper = sign(scheme, &desk.shop.key, &right).to_uppercase();
        desk.told(&upper, &[UPPER_CASE]).await;
    }
    desk.told(&sign(Scheme::Md5Key, &desk.old_key, &right), &[RETIRED]).await;
    desk.told(&sign(Scheme::Md5Key, &desk.twin.key, &right), &[OTHER_MODE]).await;
    desk.mall.stop().await;
}

async fn nothing_usual_explains_it(engine: Engine) {
    let desk = Desk::open(engine).await;
    let right = desk.right();
    let changed = right.replace("欧洲", "亚洲");
    desk.told(&desk.hmac(&changed), &[NONE]).await;
    desk.told(&sign(Scheme::Md5, "", &changed), &[NONE]).await;
    for scheme in [Scheme::Md5Key, Scheme::HmacSha256] {
        // Somebody else's key, or one with a slip.
        desk.told(&sign(scheme, &desk.mall.demo_key, &right), &[NONE]).await;
        desk.told(&sign(scheme, &desk.shop.key[1..], &right), &[NONE]).await;
    }
    let whole = desk.hmac(&right);
    desk.told(&whole[..32], &[NONE]).await;
    for cut in ["x", &whole[..63], &format!("{whole}0"), &"0".repeat(128)] {
        desk.told(cut, &[LENGTH]).await;
    }
    // What a shell's echo adds is usual enough.
    desk.told(&desk.hmac(&format!("{right}\n")), &[NEWLINE]).await;
    desk.mall.stop().await;
}

async fn live_mode_tells_nothing(engine: Engine) {
    let desk = Desk::open(engine).await;
    let live = path(&desk.twin, &SINGLE_SERVICE_PLAN_PAGE);
    let card = json!({"deviceCode": desk.twin.sims[0], "area": "欧洲", "mark": "", "url": "/"});
    let asked = fields(&desk.mall, "SHOP", &SINGLE_SERVICE_PLAN_PAGE, card);
    let (body, right) = (Value::Object(asked.clone()).to_string(), content(&asked));
    let hmac = |content: &str| sign(Scheme::HmacSha256, &desk.twin.key, content);
    post(&desk.mall, &live, with_sign(&body, &hmac(&right))).await.accepted();
    let mut refusals = Vec::new();
    for wrong in [
        hmac(&slashed(&right)),
        hmac(&spaced(&right)),
        hmac(&right.replace("欧洲", "亚洲")),
        hmac(&right).to_uppercase(),
        sign(Scheme::HmacSha256, &desk.shop.key, &right),
        sign(Scheme::HmacSha256, "", &right),
        sign(Scheme::Md5, "", &right),
        sign(Scheme::Md5Key, &desk.old_key, &right),
        "x".to_owned(),
    ] {
        let refusal = post(&desk.mall, &live, with_sign(&body, &wrong)).await;
        let told = refusal.refused("SIGN_MISMATCH").json()["data"].clone();
        let names: Vec<&String> = told.as_object().unwrap().keys().collect();
        assert_eq!(names, ["code", "data", "message"]);
        refusals.push(refusal.text);
    }
    // All wrong signatures look alike.
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    desk.mall.stop().await;
}

async fn the_hint_speaks_the_callers_language(engine: Engine) {
    let desk = Desk::open(engine).await;
    let card = json!({"deviceCode": desk.shop.sims[0], "languageCode": "1", "url": "/"});
    let asked = fields(&desk.mall, "SHOP", &SINGLE_SERVICE_PLAN_PAGE, card);
    let body = Value::Object(asked).to_string();
    let wrong = with_sign(&body, &desk.hmac(&slashed(&body)));
    let refusal = post(&desk.mall, &path(&desk.shop, &SINGLE_SERVICE_PLAN_PAGE), wrong).await;
    let hint = refusal.refused("SIGN_MISMATCH").told("hint");
    assert!(hint.contains("斜杠") && hint.contains("\\/"), "{hint}");
    desk.mall.stop().await;
}
