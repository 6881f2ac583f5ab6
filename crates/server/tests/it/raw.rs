//! Requests made by hand, for what the SDK would never send. The signing content is written here by
//! `serde_json`, whose objects are sorted and compact, so that the mall's own writer is checked
//! against another one.

use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use testkit::{TestMall, TestPartner, http_client};
use wire::Call;
use wire::sign::Scheme;

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body, which always is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// A text of the failure (`data.code`, `data.field`, …); empty where there is none.
    pub fn told(&self, name: &str) -> String {
        self.json()["data"][name].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code; a success has no code.
    pub fn outcome(&self) -> (u16, String) {
        (self.status, self.told("code"))
    }

    /// Insists that the call succeeded.
    #[track_caller]
    pub fn accepted(&self) -> &Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }

    /// Insists that the call was refused with a code.
    #[track_caller]
    pub fn refused(&self, code: &str) -> &Self {
        assert_eq!(self.outcome(), (400, code.to_owned()), "{}", self.text);
        self
    }
}

/// Sends a request to a path, after `change` made it special.
pub async fn send(
    mall: &TestMall,
    method: &str,
    path: &str,
    change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> Answer {
    let method = method.parse().unwrap();
    let request = http_client().request(method, format!("{}{path}", mall.url()));
    let response = change(request).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Posts a body that says that it is JSON.
pub async fn post(mall: &TestMall, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    send(mall, "POST", path, |request| {
        request.header("content-type", "application/json").body(body)
    })
    .await
}

/// Gets fields as a query.
pub async fn get(mall: &TestMall, path: &str, fields: &Map<String, Value>) -> Answer {
    let (path, fields) = filled(path, fields);
    let pairs = fields.iter().map(|(name, value)| (name.as_str(), plain(value)));
    let query = wire::params::write_query(pairs);
    send(mall, "GET", &format!("{path}?{query}"), |request| request).await
}

/// A path with the fields that it names, and the other fields.
pub fn filled(path: &str, fields: &Map<String, Value>) -> (String, Map<String, Value>) {
    let (mut path, mut rest) = (path.to_owned(), fields.clone());
    for (name, value) in fields {
        let place = format!("{{{name}}}");
        if path.contains(&place) {
            path = path.replace(&place, &plain(value));
            rest.remove(name);
        }
    }
    (path, rest)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The fields of a call by a partner at this moment, without a signature. `more` wins over the
/// common fields.
pub fn fields(mall: &TestMall, partner_code: &str, call: &Call, more: Value) -> Map<String, Value> {
    let common = serde_json::json!({
        "version": "3.0",
        "partnerCode": partner_code,
        "tradeTime": mall.now().as_millis().to_string(),
        "tradeType": call.name,
    });
    let (Value::Object(mut fields), Value::Object(more)) = (common, more) else {
        panic!("the fields are no object");
    };
    fields.extend(more);
    fields
}

/// The content over which fields are signed.
pub fn content(fields: &Map<String, Value>) -> String {
    let mut fields = fields.clone();
    fields.retain(|name, value| name != "sign" && !value.is_null());
    Value::Object(fields).to_string()
}

/// The body of fields with their signature.
pub fn signed(scheme: Scheme, key: &str, mut fields: Map<String, Value>) -> Map<String, Value> {
    let sign = wire::sign::sign(scheme, key, &content(&fields));
    fields.insert("sign".to_owned(), sign.into());
    fields
}

/// The text of a body with a signature that was made apart.
pub fn with_sign(body: &str, sign: &str) -> String {
    let open = body.strip_suffix('}').expect("a body is an object");
    format!("{open},\"sign\":\"{sign}\"}}")
}

/// The path of a call in the partner's mode.
pub fn path(partner: &TestPartner, call: &Call) -> String {
    format!("{}{}", call.service.prefix(partner.partner.mode), call.path)
}

/// Sends the signed fields of a call to its path: in the query or in the body, as its method has it, and in the path
/// what belongs there.
pub async fn sent(
    mall: &TestMall,
    call: &Call,
    path: &str,
    members: &Map<String, Value>,
) -> Answer {
    if !call.method.has_body() {
        return get(mall, path, members).await;
    }
    let (path, rest) = filled(path, members);
    let body = Value::Object(rest).to_string();
    send(mall, call.method.as_str(), &path, |request| {
        request.header("content-type", "application/json").body(body)
    })
    .await
}

/// Makes a call with fields that are signed in some way.
pub async fn call(
    mall: &TestMall,
    partner: &TestPartner,
    (scheme, key): (Scheme, &str),
    call: &Call,
    more: Value,
) -> Answer {
    let fields = fields(mall, &partner.partner.code, call, more);
    sent(mall, call, &path(partner, call), &signed(scheme, key, fields)).await
}

/// Makes a call as a partner ought to: under HMAC with its key.
pub async fn call_well(mall: &TestMall, partner: &TestPartner, this: &Call, more: Value) -> Answer {
    call(mall, partner, (Scheme::HmacSha256, &partner.key), this, more).await
}

/// The group of the samples.
pub const GROUP: &str = "FLEET-1";

/// The own fields of a call that would be in order, about a SIM and about numbers made of `number`.
pub fn sample(call: &Call, iccid: &str, number: &str) -> Value {
    let order = serde_json::json!({
        "deviceCode": iccid, "orderNo": number, "payId": format!("P-{number}"),
        "servicePlanCode": "PLAN-M", "packageCode": "PACK-M", "orderPeriod": "1",
        "payAmount": "10.00", "payCurrency": "EUR", "autoRenewal": "1",
    });
    match call.name {
        "singleVerify"
        | "singleServicePlanPage"
        | "singleQueryOrder"
        | "queryAutoRenewalRecord"
        | "queryAutoRenewalRecordList" => serde_json::json!({"deviceCode": iccid}),
        "singleOrder" => order,
        "SynOrderInfo" => {
            let mut order = order;
            for (name, value) in [("payRst", "SUCCESS"), ("payStatus", "1"), ("settlePrice", "8")] {
                order[name] = value.into();
            }
            order
        }
        "cancelAutoRenewalRecord" => serde_json::json!({
            "deviceCode": iccid, "orderNo": number, "payId": format!("P-{number}"),
        }),
        "resultQuery" | "resultConfirm" | "stripeSubAuth" => {
            serde_json::json!({"payId": format!("P-{number}")})
        }
        "stripeSubDirectly" => serde_json::json!({
            "payId": format!("P-{number}"), "payAmount": "10.00", "payCurrency": "EUR",
            "plan_id": "plan_PLAN-M", "pm_id": "pm_card_visa",
        }),
        "stripeSingleAuth" => serde_json::json!({
            "payId": format!("P-{number}"), "payAmount": "10.00", "payCurrency": "EUR",
        }),
        "queryOrder" => serde_json::json!({"order_id": number}),
        "querySim" | "querySimUsage" => serde_json::json!({"sim_id": iccid}),
        "listPushEndpoints" | "listGroups" => serde_json::json!({}),
        "addPushEndpoint" => serde_json::json!({"kind": "listener", "events": ["plan.expired"]}),
        "changePushEndpoint" => serde_json::json!({"endpoint_id": number, "state": "on"}),
        "testPushEndpoint" | "rotatePushKey" | "deletePushEndpoint" | "takePushes"
        | "listPushDeliveries" => serde_json::json!({"endpoint_id": number}),
        "resendPushes" => serde_json::json!({"endpoint_id": number, "from": 0}),
        "listGroupSims" => serde_json::json!({"group_id": GROUP}),
        "addGroupSims" | "removeGroupSims" => {
            serde_json::json!({"group_id": GROUP, "sim_ids": [iccid]})
        }
        "asyncResult" | "retryFailed" | "cancelOperation" => {
            serde_json::json!({"request_id": number})
        }
        other => panic!("{other} is new: say here what a good request of it is"),
    }
}
