//! Requests that make no sense: each is refused in the envelope with the field's name, never with a
//! server's error, and leaves nothing behind.

use domain::Mode;
use serde_json::{Map, Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};
use wire::Call;
use wire::call::CALLS;
use wire::form::{Field, Kind};
use wire::sign::{Scheme, sign};
use wire::topup::QUERY_ORDER;
use wire::vshop::{SINGLE_ORDER, SINGLE_VERIFY, SYN_ORDER_INFO};

use crate::raw::{
    Answer, call_well, content, fields, filled, get, path, post, sample, send, sent, signed,
    with_sign,
};

on_both_engines!(
    bodies_that_are_no_json_object,
    names_that_occur_twice,
    too_deep_or_too_many,
    required_fields_are_there_and_not_empty,
    fields_of_a_wrong_type,
    fields_of_a_wrong_form,
    amounts_that_their_currency_does_not_have,
    times_at_the_ends_of_the_calendar,
    queries_that_cannot_be_read,
    all_mistakes_are_told_at_once,
    what_is_just_within_the_limits_is_taken,
);

/// A partner and its requests.
struct Desk {
    mall: TestMall,
    shop: TestPartner,
}

impl Desk {
    async fn open(engine: Engine) -> Self {
        let mall = TestMall::start(engine).await;
        let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
        Self { mall, shop }
    }

    /// A request of a call that would be in order.
    fn good(&self, call: &Call) -> Map<String, Value> {
        fields(&self.mall, "SHOP", call, sample(call, &self.shop.sims[0], "N1"))
    }

    fn sign(&self, content: &str) -> String {
        sign(Scheme::HmacSha256, &self.shop.key, content)
    }

    /// Sends a body to a call's path, in which stands what would be in order.
    async fn post(&self, call: &Call, body: impl Into<reqwest::Body>) -> Answer {
        let (path, _) = filled(&path(&self.shop, call), &self.good(call));
        send(&self.mall, call.method.as_str(), &path, |request| {
            request.header("content-type", "application/json").body(body)
        })
        .await
    }

    /// The body of a request that would be in order, with its signature.
    fn good_body(&self, call: &Call) -> String {
        let members = self.good(call);
        with_sign(&content(&without_path(call, &members)), &self.sign(&content(&members)))
    }

    /// Makes a call with one field set to a JSON text, and signed well, so that nothing but that
    /// field is wrong.
    async fn with(&self, call: &Call, name: &str, json: &str) -> Answer {
        let mut members = self.good(call);
        if !call.method.has_body() {
            members.insert(name.to_owned(), serde_json::from_str(json).unwrap());
            let mut members = signed(Scheme::HmacSha256, &self.shop.key, members.clone());
            if name == "sign" {
                members.insert(name.to_owned(), serde_json::from_str(json).unwrap());
            }
            return get(&self.mall, &path(&self.shop, call), &members).await;
        }
        if name == "sign" {
            let body = content(&without_path(call, &members));
            return self.post(call, body.replacen('{', &format!("{{\"sign\":{json},"), 1)).await;
        }
        // A text is written as the signing content has it, any other token as it is.
        let written = match serde_json::from_str(json) {
            Ok(Value::String(text)) => Value::String(text).to_string(),
            _ => json.to_owned(),
        };
        members.insert(name.to_owned(), "HERE".into());
        let text = |members: &Map<String, Value>| content(members).replace("\"HERE\"", &written);
        let body = text(&without_path(call, &members));
        if json == "null" {
            members.remove(name);
        }
        self.post(call, with_sign(&body, &self.sign(&text(&members)))).await
    }

    /// Insists that no request left anything behind, and that the number was not reserved.
    async fn close(self) {
        let (client, iccid) = (self.shop.client(&self.mall), &self.shop.sims[0]);
        // Neither an order nor anything to be done about one.
        assert_eq!(self.mall.store().next_job_at().await.unwrap(), None);
        assert_eq!(client.orders_of_sim(iccid, 1).await.unwrap().total_count, 0);
        assert_eq!(client.single_query_order(iccid).await.unwrap().order_list, []);
        assert_eq!(self.shop.owes(&self.mall).await, 0);
        assert!(self.shop.ledger(&self.mall).await.is_empty());
        let good = Value::Object(self.good(&SYN_ORDER_INFO)).to_string();
        self.post(&SYN_ORDER_INFO, with_sign(&good, &self.sign(&good))).await.accepted();
        assert_eq!(self.shop.owes(&self.mall).await, 800);
        self.mall.stop().await;
    }
}

/// The fields of a call that stand in its body.
fn without_path(call: &Call, members: &Map<String, Value>) -> Map<String, Value> {
    let mut rest = members.clone();
    rest.retain(|name, _| !call.in_path(name));
    rest
}

/// What is named where a field has a wrong value: of a list with wrong entries the first of them.
fn blamed(field: &Field, json: &str) -> String {
    let value = serde_json::from_str(json).unwrap_or_default();
    let in_list = match (field.kind, &value) {
        (Kind::Iccids { max, .. }, Value::Array(items)) => (1..=max).contains(&items.len()),
        // One number is a list of one, where texts with commas are taken.
        (Kind::Iccids { joined_max, .. }, Value::Number(_)) => joined_max > 0,
        _ => false,
    };
    if in_list { format!("{}[0]", field.name) } else { field.name.to_owned() }
}

/// Insists on a refusal in the envelope that names a field, or none.
#[track_caller]
fn blames(answer: &Answer, field: &str, what: &str) {
    assert_eq!(answer.outcome(), (400, "BAD_REQUEST".to_owned()), "{what}: {}", answer.text);
    let told = answer.json();
    assert_eq!((&told["operateCode"], &told["message"]), (&json!("F"), &json!("fail")), "{what}");
    assert_eq!(answer.told("field"), field, "{what}: {}", answer.text);
    assert!(!answer.told("message").is_empty(), "{what}");
}

fn posts() -> impl Iterator<Item = Call> {
    CALLS.into_iter().filter(|call| call.method.has_body())
}

async fn bodies_that_are_no_json_object(engine: Engine) {
    let desk = Desk::open(engine).await;
    for call in posts() {
        let good = desk.good_body(&call);
        let cut = &good[..good.len() - 1];
        for (body, field) in [
            ("nonsense".to_owned(), ""),
            ("[]".to_owned(), ""),
            (format!("[{good}]"), ""),
            ("\"text\"".to_owned(), ""),
            ("null".to_owned(), ""),
            ("7".to_owned(), ""),
            (cut.to_owned(), ""),
            (format!("{good}{good}"), ""),
            (format!("{cut},}}"), ""),
            (format!("\u{feff}{good}"), ""),
            (format!("{good}\0"), ""),
            (good.replace('"', "'"), ""),
            (good.replace("\"3.0\"", "\"\\ud800\""), ""),
            (good.replace("\"3.0\"", "\"\\udc00\\ud800\""), ""),
            (good.replace("\"3.0\"", "\"3.0\n\""), ""),
            (good.replace("\"3.0\"", "\"3.0\0\""), ""),
            (good.replace("\"3.0\"", "03.0"), ""),
            (good.replace("\"3.0\"", "NaN"), ""),
            (good.replace("\"3.0\"", "\"\\x33\""), ""),
            (good.replace("version", "ver\\ud800sion"), ""),
            // No parameters at all: the first that is required is missed.
            (String::new(), first_required(&call)),
            (" \r\n\t".to_owned(), first_required(&call)),
            ("{}".to_owned(), first_required(&call)),
        ] {
            assert_ne!(body, good);
            blames(&desk.post(&call, body.clone()).await, field, &body);
        }
        for bytes in [&b"\xff\xfe{}"[..], &[0; 16], b"\x1f\x8b\x08\x00", b"{\"a\":\"\xc3\x28\"}"] {
            blames(&desk.post(&call, bytes.to_vec()).await, "", &format!("{bytes:?}"));
        }
    }
    desk.close().await;
}

fn first_required(call: &Call) -> &'static str {
    call.all_fields().find(|field| field.required).unwrap().name
}

async fn names_that_occur_twice(engine: Engine) {
    let desk = Desk::open(engine).await;
    for call in [SINGLE_ORDER, SYN_ORDER_INFO] {
        let good = content(&desk.good(&call));
        let good = with_sign(&good, &desk.sign(&good));
        for (again, field) in [
            // Even with the same value, and however it is spelt.
            (r#""orderNo":"N1""#, "orderNo"),
            (r#""orderNo":"N2""#, "orderNo"),
            (r#""order\u004eo":"N1""#, "orderNo"),
            (r#""\u006f\u0072\u0064\u0065\u0072No":null"#, "orderNo"),
            (r#""sign":"""#, "sign"),
            (r#""colour":1,"colour":1"#, "colour"),
            (r#""nested":{"a":[{"deep":1,"d\u0065ep":2}]}"#, "deep"),
        ] {
            let body = good.replacen('{', &format!("{{{again},"), 1);
            blames(&desk.post(&call, body).await, field, again);
        }
        // Once in the query and once in the body is twice.
        let twice = format!("{}?orderNo=N1", path(&desk.shop, &call));
        blames(&post(&desk.mall, &twice, good).await, "orderNo", "query and body");
    }
    desk.close().await;
}

async fn too_deep_or_too_many(engine: Engine) {
    let desk = Desk::open(engine).await;
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{}0{}", open.repeat(levels), close.repeat(levels))
    };
    for deep in [
        nested("[", "]", 40),
        nested("{\"a\":", "}", 40),
        nested("[", "]", 200),
        nested("[", "]", 100_000),
        nested("{\"a\":[", "]}", 50_000),
        "[".repeat(500_000),
    ] {
        let mut good = desk.good(&SYN_ORDER_INFO);
        good.insert("extra".to_owned(), "HERE".into());
        let body = content(&good).replace("\"HERE\"", &deep);
        let answer = desk.post(&SYN_ORDER_INFO, with_sign(&body, &desk.sign(&body))).await;
        blames(&answer, "", &format!("{} bytes", deep.len()));
    }
    let mut good = desk.good(&SYN_ORDER_INFO);
    good.extend((0..300).map(|number| (format!("extra{number}"), json!("x"))));
    let body = content(&good);
    let answer = desk.post(&SYN_ORDER_INFO, with_sign(&body, &desk.sign(&body))).await;
    blames(&answer, "", "300 parameters");
    desk.close().await;
}

async fn required_fields_are_there_and_not_empty(engine: Engine) {
    let desk = Desk::open(engine).await;
    for call in CALLS {
        // What stands in the path has no place where it could be missing.
        let named = |field: &&Field| field.required && !call.in_path(field.name);
        for field in call.all_fields().filter(named) {
            let mut without = desk.good(&call);
            without.remove(field.name);
            let mut members = signed(Scheme::HmacSha256, &desk.shop.key, without);
            if field.name == "sign" {
                members.remove("sign");
            }
            let answer = sent(&desk.mall, &call, &path(&desk.shop, &call), &members).await;
            blames(&answer, field.name, "absent");
            blames(&desk.with(&call, field.name, "\"\"").await, field.name, "empty");
            if call.method.has_body() {
                blames(&desk.with(&call, field.name, "null").await, field.name, "null");
            }
        }
    }
    desk.close().await;
}

async fn fields_of_a_wrong_type(engine: Engine) {
    let desk = Desk::open(engine).await;
    for call in posts() {
        for field in call.all_fields().filter(|field| !call.in_path(field.name)) {
            for json in ["true", "false", "[]", "[\"1\"]", "{}", "{\"a\":\"1\"}"] {
                if matches!(field.kind, Kind::List(..)) && json.starts_with('[') {
                    continue;
                }
                let what = format!("{} {} {json}", call.name, field.name);
                blames(&desk.with(&call, field.name, json).await, &blamed(field, json), &what);
            }
        }
    }
    desk.close().await;
}

/// JSON texts that are no good value of a field.
fn bad_values(field: &Field) -> Vec<String> {
    match field.kind {
        Kind::Text { max } => {
            let long = ["x", "字", "\u{1f600}"].map(|one| format!("\"{}\"", one.repeat(max + 1)));
            let control = ["\\u0000", "\\n", "\\t", "\\u001b", "\\u007f", "\\u0085"];
            let control = control.map(|control| format!("\"a{control}b\""));
            let digits = "7".repeat(max + 1);
            long.into_iter().chain(control).chain([digits]).collect()
        }
        Kind::Count { min, max } => {
            let outside = [min.checked_sub(1), max.checked_add(1)];
            let outside = outside.into_iter().flatten().map(|number| number.to_string());
            outside.chain(WRONG_COUNTS.map(str::to_owned)).collect()
        }
        Kind::PartnerCode => {
            let long = format!("\"{}\"", "P".repeat(33));
            let wrong = ["\"P 1\"", "\"P/1\"", "\"合作\"", "\"P\\u0000\"", "1.5"];
            wrong.map(str::to_owned).into_iter().chain([long]).collect()
        }
        Kind::Version => WRONG_VERSIONS.map(str::to_owned).into(),
        Kind::Iccid => WRONG_ICCIDS.map(str::to_owned).into(),
        Kind::Iccids { max, .. } => {
            let wrong = WRONG_ICCIDS.map(|entry| format!("[{entry},\"89852420180910340793\"]"));
            let others = ["7", "\"\"", "[null]", "[[]]"];
            let others = others.map(str::to_owned);
            let too_many = format!("[{}1]", "1,".repeat(max));
            wrong.into_iter().chain(others).chain([too_many]).collect()
        }
        Kind::Decimal => WRONG_DECIMALS.map(str::to_owned).into(),
        Kind::Currency => WRONG_CURRENCIES.map(str::to_owned).into(),
        Kind::Flag => WRONG_FLAGS.map(str::to_owned).into(),
        Kind::DateTime => WRONG_TIMES.map(str::to_owned).into(),
        Kind::Word(words) => {
            let odd = words
                .iter()
                .flat_map(|word| [format!("\"{}\"", word.to_uppercase()), format!("\" {word}\"")]);
            odd.chain(["\"nonsense\"".to_owned(), "7".to_owned()]).collect()
        }
        Kind::Cursor => {
            ["\"c\"", "\"c-1\"", "\"C1\"", "\"c 1\"", "\"c1.0\"", "7"].map(str::to_owned).into()
        }
        Kind::Millis => WRONG_MILLIS.map(str::to_owned).into(),
        Kind::List(of, max) => {
            let items: Vec<String> = bad_values(&Field { kind: *of, ..*field });
            let long = format!("[{}]", vec!["\"x\""; max + 1].join(","));
            let wrong = ["{}", "7", "\"x\"", "[null]", "[[]]", "[true]"].map(str::to_owned);
            let items = items.into_iter().map(|item| format!("[{item}]"));
            items.chain(wrong).chain([long]).collect()
        }
    }
}

const WRONG_COUNTS: [&str; 13] = [
    "-1",
    "1.0",
    "1.5",
    "1e0",
    "4294967296",
    "4294967297",
    r#""1e0""#,
    r#"" 1""#,
    r#""1 ""#,
    r#""+1""#,
    r#""１""#,
    r#""0x1""#,
    r#""1\u0000""#,
];
const WRONG_MILLIS: [&str; 8] = [
    "-1",
    "1.0",
    "1e12",
    "10000000000000",
    r#""10000000000000""#,
    r#"" 1""#,
    r#""2024-03-10 16:00:00""#,
    r#""1\u0000""#,
];
const WRONG_VERSIONS: [&str; 6] = [r#""4.0""#, "4", r#""v3""#, r#""3.0.0""#, r#""3\u0000""#, "-3"];
const WRONG_ICCIDS: [&str; 8] = [
    r#""8985242018091034079A""#,
    r#""89852420180910340""#,
    r#""89852420180910340793000""#,
    r#""8985 2420 1809 1034 0793""#,
    r#""８９８５２４２０１８０９１０３４０７９３""#,
    r#""-8985242018091034079""#,
    "8.985242018091034e19",
    r#""89852420180910340793\u0000""#,
];
const WRONG_DECIMALS: [&str; 17] = [
    "1e3",
    r#""1e3""#,
    "-1",
    r#""-1""#,
    r#""+1""#,
    r#""1,000.00""#,
    r#""12,36""#,
    r#"".5""#,
    r#""5.""#,
    r#""1.2.3""#,
    r#"" 1""#,
    r#""１""#,
    r#""$1""#,
    r#""NaN""#,
    r#""0x10""#,
    r#""1\u0000""#,
    r#""99999999999999999999999999999999999""#,
];
const WRONG_CURRENCIES: [&str; 8] = [
    r#""XAU""#,
    r#""XXX""#,
    r#""EU""#,
    r#""EURO""#,
    r#""€""#,
    "978",
    r#""E\u0000R""#,
    r#""ＥＵＲ""#,
];
const WRONG_FLAGS: [&str; 7] =
    ["2", r#""01""#, r#""yes""#, r#""true""#, "-0", "0.0", r#""0\u0000""#];
const WRONG_TIMES: [&str; 15] = [
    r#""2023-02-29 00:00:00""#,
    r#""2024-02-30 00:00:00""#,
    r#""2024-04-31 10:00:00""#,
    r#""2024-13-01 00:00:00""#,
    r#""2024-00-10 00:00:00""#,
    r#""2024-03-10 24:00:00""#,
    r#""2024-03-10 16:60:00""#,
    r#""2024-03-10T16:00:00""#,
    r#""2024-03-10 16:00""#,
    r#""2024-03-10 16:00:00Z""#,
    r#""2024-3-10 16:00:00""#,
    r#""10.03.2024 16:00:00""#,
    r#""２０２４-03-10 16:00:00""#,
    r#""2024-03-10 16:00:0\u0000""#,
    "1654585746965",
];

async fn fields_of_a_wrong_form(engine: Engine) {
    let desk = Desk::open(engine).await;
    for call in CALLS {
        for field in call.all_fields().filter(|field| !call.in_path(field.name)) {
            for mut json in bad_values(field) {
                if !call.method.has_body() && !json.starts_with('"') {
                    // A query has no types: what it says is a text.
                    json = format!("\"{json}\"");
                }
                let what = format!("{} {} {json}", call.name, field.name);
                blames(&desk.with(&call, field.name, &json).await, &blamed(field, &json), &what);
            }
        }
    }
    desk.close().await;
}

async fn amounts_that_their_currency_does_not_have(engine: Engine) {
    let desk = Desk::open(engine).await;
    for (more, field) in [
        (json!({"payAmount": "12.365", "payCurrency": "GBP"}), "payAmount"),
        (json!({"payAmount": "0.5", "payCurrency": "JPY"}), "payAmount"),
        (json!({"payAmount": "1.2345", "payCurrency": "KWD"}), "payAmount"),
        (json!({"payAmount": "92233720368547758.08"}), "payAmount"),
        (json!({"payAmount": "99999999999999999999"}), "payAmount"),
        (json!({"settlePrice": "8.001"}), "settlePrice"),
        (json!({"settlePrice": "92233720368547758.08"}), "settlePrice"),
        // Too much only when it is multiplied.
        (json!({"settlePrice": "92233720368547758.07", "orderPeriod": "2"}), "settlePrice"),
    ] {
        for call in [SINGLE_ORDER, SYN_ORDER_INFO] {
            if call.name == SINGLE_ORDER.name && field != "payAmount" {
                continue;
            }
            let mut members = sample(&call, &desk.shop.sims[0], "N1");
            members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = call_well(&desk.mall, &desk.shop, &call, members).await;
            blames(&answer, field, &more.to_string());
        }
    }
    desk.close().await;
}

async fn times_at_the_ends_of_the_calendar(engine: Engine) {
    let mut desk = Desk::open(engine).await;
    let mut taken = Vec::new();
    for zone in ["Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"] {
        desk.mall.change_partner(&mut desk.shop, |p| p.zone = zone.parse().unwrap()).await;
        for time in ["0000-01-01 00:00:00", "9999-12-30 21:59:59", "9999-12-31 23:59:59"] {
            let number = format!("N{}", taken.len());
            let mut more = sample(&SYN_ORDER_INFO, &desk.shop.sims[0], &number);
            more["payResultDate"] = time.into();
            let answer = call_well(&desk.mall, &desk.shop, &SYN_ORDER_INFO, more).await;
            if answer.status == 200 {
                // What is taken can be told again.
                let client = desk.shop.client(&desk.mall);
                let result = client.result_query(&format!("P-{number}")).await.unwrap();
                assert_eq!(result.pay_result_date, time);
                taken.push(number);
            } else {
                blames(&answer, "payResultDate", &format!("{time} {zone}"));
            }
        }
    }
    assert!(!taken.is_empty());
    desk.mall.settle().await;
    let orders = desk.shop.client(&desk.mall).orders_of_sim(&desk.shop.sims[0], 1).await.unwrap();
    assert!(orders.orders.iter().all(|order| order.status == "PROVISIONED"), "{orders:?}");
    desk.mall.stop().await;
}

async fn queries_that_cannot_be_read(engine: Engine) {
    let desk = Desk::open(engine).await;
    let path = path(&desk.shop, &QUERY_ORDER);
    let good = signed(Scheme::HmacSha256, &desk.shop.key, desk.good(&QUERY_ORDER));
    let pairs =
        good.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap().to_owned()));
    let good = wire::params::write_query(pairs);
    for (more, field) in [
        ("&extra=%ff", ""),
        ("&extra=%C3%28", ""),
        ("&extra=%ED%A0%80", ""),
        ("&%ff=extra", ""),
        ("&extra=%zz", ""),
        ("&extra=100%", ""),
        ("&extra=%4", ""),
        ("&%=extra", ""),
        ("&order_id=N1", "order_id"),
        ("&order%5Fid=N1", "order_id"),
        ("&order_id", "order_id"),
        ("&extra=1&extra=1", "extra"),
    ] {
        let answer = send(&desk.mall, "GET", &format!("{path}?{good}{more}"), |new| new).await;
        blames(&answer, field, more);
    }
    let many: Vec<String> = (0..300).map(|number| format!("extra{number}=x")).collect();
    let many = format!("{path}?{good}&{}", many.join("&"));
    let answer = send(&desk.mall, "GET", &many, |new| new).await;
    blames(&answer, "", "300 parameters");
    let first = first_required(&QUERY_ORDER);
    for nothing in ["", "?", "?&&", "?=", "?=&"] {
        let answer = send(&desk.mall, "GET", &format!("{path}{nothing}"), |new| new).await;
        blames(&answer, first, nothing);
    }
    // None of the three that the call is about.
    let bare = fields(&desk.mall, "SHOP", &QUERY_ORDER, json!({"order_id": "", "page_no": "1"}));
    let answer = get(&desk.mall, &path, &signed(Scheme::HmacSha256, &desk.shop.key, bare)).await;
    blames(&answer, "purchase_order_id", "none of them");
    desk.close().await;
}

async fn all_mistakes_are_told_at_once(engine: Engine) {
    let desk = Desk::open(engine).await;
    let mut members = sample(&SYN_ORDER_INFO, "not a card", "N1");
    for (name, value) in [
        ("orderPeriod", json!("0")),
        ("payCurrency", json!("XAU")),
        ("payResultDate", json!("yesterday")),
        ("autoRenewal", json!(true)),
        ("settlePrice", Value::Null),
    ] {
        members[name] = value;
    }
    let answer = call_well(&desk.mall, &desk.shop, &SYN_ORDER_INFO, members).await;
    blames(&answer, "deviceCode", "six mistakes");
    let mut named: Vec<String> =
        serde_json::from_value(answer.json()["data"]["fields"].clone()).unwrap();
    named.sort_unstable();
    let mistaken =
        ["autoRenewal", "deviceCode", "orderPeriod", "payCurrency", "payResultDate", "settlePrice"];
    assert_eq!(named, mistaken);
    let message = answer.told("message");
    assert!(mistaken.iter().all(|name| message.contains(name)), "{message}");
    desk.close().await;
}

async fn what_is_just_within_the_limits_is_taken(engine: Engine) {
    let desk = Desk::open(engine).await;
    // As many characters as there may be, and not bytes; as deep and as many as there may be.
    let mut members = sample(&SINGLE_ORDER, &desk.shop.sims[0], "N1");
    members["orderNo"] = "号".repeat(64).into();
    members["payId"] = "\u{1f600}".repeat(64).into();
    members["requestOrderId"] = "a \"b\" \\ / ü".into();
    members["servicePlanShowName"] = "名".repeat(256).into();
    members["payAmount"] = "00000000000000000000000000010.00".into();
    members["payCurrency"] = "eUr".into();
    members["mark"] = "m".repeat(32).into();
    members["deep"] =
        serde_json::from_str(&format!("{}{}", "[".repeat(31), "]".repeat(31))).unwrap();
    let present = members.as_object().unwrap().len() + 5;
    for number in present..256 {
        members[format!("extra{number}")] = "x".into();
    }
    let order = call_well(&desk.mall, &desk.shop, &SINGLE_ORDER, members).await;
    assert_eq!(order.accepted().json()["orderNo"], "号".repeat(64));
    let stored = desk.shop.client(&desk.mall).order(&"号".repeat(64)).await.unwrap();
    assert_eq!(
        (stored.request_order_id.as_str(), stored.pay_amount.as_str()),
        ("a \"b\" \\ / ü", "10.00")
    );
    for version in ["1.0", "2.0", "3.0", "3"] {
        let more = json!({"deviceCode": desk.shop.sims[0], "version": version});
        call_well(&desk.mall, &desk.shop, &SINGLE_VERIFY, more).await.accepted();
    }
    desk.mall.stop().await;
}
