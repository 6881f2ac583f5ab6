//! Examples of requests and answers: those of the published pages to the letter, and sensible ones
//! where the pages have none. The signatures are real ones, keyless, so that each request can be sent
//! as it stands to a mall that has the partner and the card.

use domain::partner::Scheme;
use serde_json::{Map, Value, json};
use wire::content::signing_content;
use wire::sign::sign;
use wire::{Call, Params};

/// What the vendor's page shows of a failure. Here `data.code` is there too.
pub const PUBLISHED_FAILURE: &str = r#"{"operateCode":"F","message":"fail","data":{"message":"调用订购接口失败","data":"QY-0010122021051219085311000"}}"#;

/// One example.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its key in the document.
    pub name: &'static str,
    /// What it shows.
    pub summary: &'static str,
    /// The request's parameters with their signature, or the answer's data.
    pub value: Value,
}

pub(super) const SIM: &str = "89852420180910340793";
/// The partner of the examples.
pub(super) const PARTNER: &str = "P000270";

/// Example requests of a call, the best first. A call without one is found by a test.
pub fn requests(call: &Call) -> Vec<Example> {
    let (published, value) = match call.name {
        "singleVerify" => (
            true,
            json!({"deviceCode":SIM,"languageCode":"1","mark":"0","partnerCode":PARTNER,
                "terminal":"1","tradeTime":"1645683857572","tradeType":"singleVerify",
                "url":"https://dist.linksfield.net/login","version":"3.0"}),
        ),
        "singleServicePlanPage" => (
            true,
            json!({"area":"欧洲","deviceCode":SIM,"languageCode":"1","mark":"0",
                "partnerCode":PARTNER,"terminal":"0","tradeTime":"1645782486394",
                "tradeType":"singleServicePlanPage","version":"3.0"}),
        ),
        "singleOrder" => (false, single_order()),
        "singleQueryOrder" | "queryAutoRenewalRecord" | "queryAutoRenewalRecordList" => {
            (false, common(call))
        }
        "cancelAutoRenewalRecord" => {
            let mut request = common(call);
            request["orderNo"] = json!("2023060915590562022");
            request["payId"] = json!("P0002702023060915590562022");
            (false, request)
        }
        "SynOrderInfo" => (true, syn_order_info()),
        "resultQuery" => (
            true,
            json!({"partnerCode":"P000818","payId":"20190321192436","tradeTime":"20181031256548",
                "tradeType":"resultQuery","version":"3.0"}),
        ),
        "stripeSingleAuth" => (
            false,
            json!({"partnerCode":PARTNER,"payId":"P0002702023060915590562022","payAmount":"12.36",
                "payCurrency":"GBP","email":"","tradeTime":"1654585746965",
                "tradeType":"stripeSingleAuth","version":"3.0"}),
        ),
        "stripeSubAuth" => (
            false,
            json!({"partnerCode":PARTNER,"payId":"P0002702023060915590562022","email":"",
                "tradeTime":"1654585746965","tradeType":"stripeSubAuth","version":"3.0"}),
        ),
        "stripeSubDirectly" => (
            false,
            json!({"partnerCode":PARTNER,"payId":"P0002702023060915590562022","payAmount":"12.36",
                "payCurrency":"gbp","email":"","plan_id":"plan_1","pm_id":"pm_1",
                "tradeTime":"1654585746965","tradeType":"stripeSubDirectly","version":"3.0"}),
        ),
        "resultConfirm" => (
            false,
            json!({"partnerCode":PARTNER,"payId":"P0002702023060915590562022",
                "tradeTime":"1654585746965","tradeType":"resultConfirm","version":"3.0"}),
        ),
        "queryOrder" => (
            false,
            json!({"partnerCode":PARTNER,"purchase_order_id":"NO2023060915590562022",
                "version":"3.0"}),
        ),
        "querySim" | "querySimUsage" => {
            (false, json!({"partnerCode":PARTNER,"sim_id":SIM,"version":"3.0"}))
        }
        _ => match super::endpoints::request(call).or_else(|| super::groups::request(call)) {
            Some(request) => (false, request),
            None => return Vec::new(),
        },
    };
    let (name, summary) = match (published, call.name) {
        (true, "resultQuery") => ("published", "As published, with a signature that verifies"),
        (true, _) => ("published", "As published"),
        (false, _) => ("example", "An example"),
    };
    vec![Example { name, summary, value: signed(value) }]
}

/// Example answers of a call: the data, without the envelope.
pub fn answers(call: &Call) -> Vec<Example> {
    let example = |value| Example { name: "example", summary: "An example", value };
    let published = |value| Example { name: "published", summary: "As published", value };
    match call.name {
        "singleVerify" => {
            vec![example(json!({"autoRenewal":"0","cardStatus":"1","deviceCode":SIM,
            "partnerCode":PARTNER,"payCurrency":"GBP"}))]
        }
        "singleServicePlanPage" => vec![example(plan_page())],
        "singleOrder" => vec![example(json!({"deviceCode":SIM,"orderNo":"2023060915590562022",
            "partnerCode":PARTNER,"payId":"P0002702023060915590562022"}))],
        "singleQueryOrder" => vec![published(queued_orders())],
        "queryAutoRenewalRecord" => vec![
            example(record()),
            Example { name: "none", summary: "None in force", value: json!({}) },
        ],
        "cancelAutoRenewalRecord" => vec![published(json!({}))],
        "queryAutoRenewalRecordList" => {
            let mut history = record();
            history["status"] = json!("CANCELLED");
            history["cancelTime"] = json!("2023-08-01 09:30:00");
            history["nextRenewalTime"] = json!("");
            history["lastResult"] = json!("success");
            vec![example(json!({"recordList":[history]}))]
        }
        "SynOrderInfo" => vec![example(json!({"deviceCode":SIM,
            "orderId":"ord_01890a5d-ac96-774b-bcce-b302099a8057","orderNo":"NO2023060915590562022",
            "orderStatus":"PAID","partnerCode":PARTNER,"payId":"P000000002022"}))],
        "resultQuery" => vec![published(json!({"orderPeriod":"1","packageType":"2",
            "partnerCode":"P000818","payAmount":"$19.99","payId":"20190321192436",
            "payResultDate":"2020-09-17 18:11:10","payRst":"success","servicePlanShowName":"…"}))],
        "stripeSingleAuth" => vec![example(json!({"payId":"P0002702023060915590562022",
            "publishableKey":"pk_test_51","clientSecret":"pi_1_secret_2",
            "paymentIntentId":"pi_1","customer_id":"cus_1","ephemeralKey":"ek_test_1"}))],
        "stripeSubAuth" => vec![example(json!({"publishableKey":"pk_test_51",
            "clientSecret":"seti_1_secret_2","customer_id":"cus_1","ephemeralKey":"ek_test_1"}))],
        "stripeSubDirectly" => vec![example(json!({"customer_id":"cus_1","pay_method":"pm_1",
            "product_id":"prod_1","status":"active","sub_id":"sub_1"}))],
        "resultConfirm" => vec![example(json!({"orderPeriod":"1","packageType":"2",
            "partnerCode":PARTNER,"payAmount":"£12.36","payId":"P0002702023060915590562022",
            "payResultDate":"2023-06-09 15:59:05","payRst":"success","servicePlanShowName":"…"}))],
        "queryOrder" => {
            let page = json!({"total_count":1,"page_no":1,"page_size":100,"orders":[order()]});
            vec![example(order()), Example { name: "page", summary: "With sim_id", value: page }]
        }
        "querySim" => vec![example(json!({"sim_id":SIM,"status":"ready",
            "network_status":"active","usage":usage(),"asked_at":1_654_585_746_965_i64,
            "cached":false,"stale":false,"plans":[{
                "order_id":"ord_01890a5d-ac96-774b-bcce-b302099a8057","status":"in_use",
                "service_plan_code":"SP202111041459","service_plan_show_name":"biaoqianweikong",
                "package_type":"2","order_period":1,"remaining_days":30,
                "effective_at":1_654_585_749_000_i64,"expire_at":1_657_177_749_000_i64,
                "total_bytes":2_147_483_648_i64,"used_bytes":734_003_200,
                "remaining_bytes":1_413_480_448}]}))],
        "querySimUsage" => vec![example(usage())],
        _ => {
            super::endpoints::answer(call).into_iter().chain(super::groups::answers(call)).collect()
        }
    }
}

/// The common set of Vshop and a card.
fn common(call: &Call) -> Value {
    json!({"deviceCode":SIM,"languageCode":"0","mark":"0","partnerCode":PARTNER,"terminal":"1",
        "tradeTime":"1654585746965","tradeType":call.name,"version":"3.0"})
}

fn single_order() -> Value {
    json!({"autoRenewal":"0","deviceCode":SIM,"languageCode":"0","mark":"0",
        "orderNo":"2023060915590562022","orderPeriod":"1","packageCode":"DP20190726001274",
        "partnerCode":PARTNER,"payAmount":"12.36","payCurrency":"GBP",
        "payId":"P0002702023060915590562022","requestOrderId":"",
        "servicePlanCode":"SP202111041459","servicePlanShowName":"biaoqianweikong","terminal":"1",
        "tradeTime":"1654585746965","tradeType":"singleOrder","version":"3.0"})
}

fn syn_order_info() -> Value {
    json!({"autoRenewal":"0","deviceCode":SIM,"languageCode":"","mark":"0",
        "orderNo":"NO2023060915590562022","orderPeriod":"1","orgOrderId":"",
        "packageCode":"DP20190726001274","partnerCode":PARTNER,"payAccount":"1",
        "payAmount":"12.36","payCurrency":"GBP","payId":"P000000002022",
        "payResultDate":"2022-06-07 15:10:35","payRst":"SUCCESS","payStatus":"1","payType":"3",
        "payUnit":"12.36","requestOrderId":"","servicePlanCode":"SP202111041459",
        "servicePlanShowName":"biaoqianweikong","settlePrice":"12.36","terminal":"1",
        "tradeTime":"1654585746965","tradeType":"SynOrderInfo",
        "transactionId":"ch_3L7wXlLnVNBddzsl1phHDiSi","version":"3.0"})
}

fn plan_page() -> Value {
    json!({"deviceCode":SIM,"pageNo":"1","pageSize":"20","partnerCode":PARTNER,"total":"1",
        "servicePlanList":[{"area":"Europe","autoRenewal":"1","countries":["DE","FR","GB"],
            "dataVolume":"2147483648","description":"2 GB in Europe for 30 days",
            "orderPeriodList":["1","2","3"],"packageCode":"DP20190726001274","packageType":"2",
            "payCurrency":"GBP","payUnit":"12.36","plan_id":"plan_europe_2g",
            "servicePlanCode":"SP202111041459","servicePlanShowName":"biaoqianweikong",
            "settlePrice":"9.90"}]})
}

fn queued_orders() -> Value {
    let name = "Singapore 2G 30-Days Unlimited Speech";
    json!({"partnerCode":"SU528SX8BZ","deviceCode":"89852121501108205774","orderList":[
        {"orderStatus":"2","servicePlanShowName":name,"time":"1","unit":"2",
            "expireDate":"2024-07-31","remainingDays":"0"},
        {"orderStatus":"1","servicePlanShowName":name,"time":"1","unit":"2","remainingDays":"30"},
        {"orderStatus":"1","servicePlanShowName":name,"time":"2","unit":"2","remainingDays":"60"}]})
}

fn record() -> Value {
    json!({"deviceCode":SIM,"orderNo":"2023060915590562022","orderPeriod":"1","packageType":"2",
        "partnerCode":PARTNER,"payId":"P0002702023060915590562022",
        "servicePlanShowName":"biaoqianweikong","subscriptionTime":"2023.06.09"})
}

fn order() -> Value {
    json!({"auto_renewal":"0","created_at":1_654_585_746_965_i64,
        "effective_at":1_654_585_749_000_i64,"expire_at":1_657_177_749_000_i64,"failure":null,
        "order_id":"ord_01890a5d-ac96-774b-bcce-b302099a8057","order_period":1,
        "package_code":"DP20190726001274","package_type":"2","paid_at":1_654_585_835_000_i64,
        "pay_amount":"12.36","pay_channel":"third_party","pay_currency":"GBP",
        "pay_id":"P000000002022","pay_result":"success","provisioned_at":1_654_585_749_000_i64,
        "purchase_order_id":"NO2023060915590562022","request_order_id":"",
        "service_plan_code":"SP202111041459","service_plan_show_name":"biaoqianweikong",
        "settle_price":"12.36","sim_id":SIM,"status":"PROVISIONED",
        "transaction_id":"ch_3L7wXlLnVNBddzsl1phHDiSi"})
}

fn usage() -> Value {
    json!({"sim_id":SIM,"used_bytes":734_003_200,"total_bytes":2_147_483_648_i64,
        "remaining_bytes":1_413_480_448,"as_of":1_654_585_700_000_i64,
        "asked_at":1_654_585_746_965_i64,"periods":[],"cached":false,"stale":false})
}

/// Adds the keyless signature.
fn signed(value: Value) -> Value {
    let mut members = match value {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let body = Value::Object(members.clone()).to_string();
    let params = Params::read(None, body.as_bytes())
        .expect("an example is a flat JSON object, and a test reads them all");
    let made = sign(Scheme::Md5, "", &signing_content(&params));
    members.insert("sign".into(), Value::String(made));
    Value::Object(members)
}
