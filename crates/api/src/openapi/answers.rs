//! The schemas of answers, one per answer of `wire`. Nothing beyond what is named here is allowed, so
//! that a member that comes or goes is seen by whoever checks answers against the document.

use domain::order::OrderState;
use serde_json::{Value, json};
use wire::{Call, Code};

const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
const DOTTED_DATE: &str = r"^[0-9]{4}\.[0-9]{2}\.[0-9]{2}$";
const DATE_TIME_OR_EMPTY: &str = "^(?:[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?$";
const DECIMAL: &str = r"^[0-9]+(?:\.[0-9]+)?$";
const DECIMAL_OR_EMPTY: &str = r"^(?:[0-9]+(?:\.[0-9]+)?)?$";
const SIGNED_AMOUNT: &str = r"^[^0-9]+[0-9]+(?:\.[0-9]+)?$";
const WHOLE: &str = "^[0-9]+$";
const CURRENCY: &str = "^[A-Z]{3}$";
const ICCID: &str = "^[0-9]{18,22}$";
const PAY_RESULTS: [&str; 6] = ["processing", "success", "fail", "closed", "refunding", "refunded"];

/// The schema of a call's own answer, without the envelope. `None` for a call that is not known
/// here; a test sees to it that there is none.
pub fn data(call: &Call) -> Option<Value> {
    Some(match call.name {
        "singleVerify" => single_verify(),
        "singleServicePlanPage" => single_service_plan_page(),
        "singleOrder" => single_order(),
        "singleQueryOrder" => single_query_order(),
        "queryAutoRenewalRecord" => {
            json!({"anyOf": [object(&record(), &[]), nothing("None in force (chosen)")]})
        }
        "cancelAutoRenewalRecord" => nothing("Always empty (published)"),
        "queryAutoRenewalRecordList" => record_list(),
        "SynOrderInfo" => syn_order_info(),
        "stripeSingleAuth" => single_auth(),
        "stripeSubAuth" => sub_auth(),
        "stripeSubDirectly" => subscription(),
        "resultQuery" | "resultConfirm" => result_query(),
        "queryOrder" => json!({"anyOf": [order(), order_page()]}),
        "querySim" => sim_status(),
        "querySimUsage" => sim_usage(),
        _ => return super::endpoints::data(call).or_else(|| super::groups::data(call)),
    })
}

/// The envelope around the data of a success.
pub fn envelope(data: &Value) -> Value {
    let members = json!({
        "operateCode": {"const": "S"},
        "message": {"const": "success"},
        "data": data,
    });
    object(&members, &[])
}

/// The envelope of a failure that has one of some codes.
pub fn failure(codes: &[Code]) -> Value {
    let codes: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let number = "The order's number, if the call was about one (published)";
    let all = "All fields that are wrong, where there are several (chosen)";
    let content = "The signing content as the server built it; in test mode only (chosen)";
    let data = json!({
        "message": text("The reason, in the caller's language (published)"),
        "data": {"type": ["string", "null"], "description": number},
        "code": word("The reason for programs (chosen)", &codes),
        "field": text("The first field that is wrong (chosen)"),
        "fields": {"type": "array", "items": {"type": "string"}, "description": all},
        "signContent": text(content),
        "hint": text("The likely cause; in test mode only (chosen)"),
    });
    let members = json!({
        "operateCode": {"const": "F"},
        "message": {"const": "fail"},
        "data": object(&data, &["field", "fields", "signContent", "hint"]),
    });
    object(&members, &[])
}

fn sim_status() -> Value {
    let time = |what: &str| json!({"type": ["integer", "null"], "description": what});
    let plan = json!({
        "order_id": text("Our own id of its order (chosen)"),
        "status": word("Whether it runs (chosen)", &["waiting", "in_use"]),
        "service_plan_code": text("The plan (chosen)"),
        "service_plan_show_name": text("The plan's name (chosen)"),
        "package_type": package_type(),
        "order_period": count("How many periods (chosen)", 1),
        "effective_at": time("When it began, epoch milliseconds (chosen)"),
        "expire_at": time("When it ends, epoch milliseconds (chosen)"),
        "remaining_days": count("Whole days left; of a waiting one its own whole length (chosen)", 0),
        "total_bytes": time("Its bytes by the network's word; -1 unlimited, null if not certain (chosen)"),
        "used_bytes": time("How many are used, likewise (chosen)"),
        "remaining_bytes": time("How many are left, likewise (chosen)"),
    });
    let members = json!({
        "sim_id": text("ICCID of the SIM (chosen)"),
        "status": word("As the mall has it (chosen)",
            &["ready", "suspended", "expired", "terminated"]),
        "network_status": text("pre_active, active, paused, expired, terminated, or the network's \
            own word (chosen)"),
        "plans": list("What runs and what waits (chosen)", &object(&plan, &[])),
        "usage": {
            "description": "How much data it used; null if the network never said (chosen)",
            "anyOf": [sim_usage(), {"type": "null"}],
        },
        "asked_at": count("When the network was asked how the SIM stands, epoch milliseconds (chosen)", 0),
        "cached": truth("Whether that was for an earlier call (chosen)"),
        "stale": truth("Whether the network could not be asked now (chosen)"),
    });
    object(&members, &[])
}

fn truth(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

fn sim_usage() -> Value {
    let part = json!({
        "period": text("A day as yyyy-MM-dd, or the network's name of the period (chosen)"),
        "used_bytes": count("Bytes used in it (chosen)", 0),
    });
    let number = |what: &str| json!({"type": "integer", "description": what});
    let maybe = |what: &str| json!({"type": ["integer", "null"], "description": what});
    let members = json!({
        "sim_id": text("ICCID of the SIM (chosen)"),
        "used_bytes": number("Bytes used (chosen)"),
        "total_bytes": maybe("Of how many; -1 unlimited, null if the network does not say (chosen)"),
        "remaining_bytes": maybe("How many are left, likewise (chosen)"),
        "as_of": maybe("When the network counted, epoch milliseconds, if it says so (chosen)"),
        "asked_at": number("When the network was asked, epoch milliseconds (chosen)"),
        "periods": list("The parts of used_bytes, if the network gives them (chosen)", &object(&part, &[])),
        "cached": truth("Whether the network was asked for an earlier call (chosen)"),
        "stale": truth("Whether the network could not be asked now (chosen)"),
    });
    object(&members, &[])
}

fn single_auth() -> Value {
    let members = json!({
        "payId": text("The payment's number (chosen)"),
        "publishableKey": text("The key that Stripe's SDK is set up with (chosen)"),
        "clientSecret": text("Lets whoever has it pay this payment (chosen)"),
        "paymentIntentId": text("The PaymentIntent (chosen)"),
        "customer_id": text("The SIM's customer at Stripe (chosen)"),
        "ephemeralKey": text("Opens that customer's saved cards to the SDK for an hour (chosen)"),
    });
    object(&members, &[])
}

fn sub_auth() -> Value {
    let members = json!({
        "publishableKey": text("The key that Stripe's SDK is set up with (chosen)"),
        "clientSecret": text("Of a SetupIntent: lets whoever has it save a card (chosen)"),
        "customer_id": text("The SIM's customer at Stripe (chosen)"),
        "ephemeralKey": text("Opens that customer's saved cards to the SDK for an hour (chosen)"),
    });
    object(&members, &[])
}

fn subscription() -> Value {
    let members = json!({
        "customer_id": text("The SIM's customer at Stripe (published)"),
        "pay_method": text("The saved card (published)"),
        "product_id": text("What is sold (published)"),
        "status": text("Stripe's word for how it stands (published)"),
        "sub_id": text("The subscription (published)"),
    });
    object(&members, &[])
}

fn single_verify() -> Value {
    let status = "1 ready, 2 in use, 3 suspended, 4 expired but renewable (chosen)";
    let members = json!({
        "partnerCode": text("The partner (chosen)"),
        "deviceCode": text("The SIM (chosen)"),
        "cardStatus": word(status, &["1", "2", "3", "4"]),
        "autoRenewal": flag("1 if an auto-renewal is in force (chosen)"),
        "payCurrency": like("The partner's currency (chosen)", CURRENCY),
    });
    object(&members, &[])
}

fn single_service_plan_page() -> Value {
    let members = json!({
        "partnerCode": text("The partner (chosen)"),
        "deviceCode": text("The SIM (chosen)"),
        "total": like("How many plans there are in all (chosen)", WHOLE),
        "pageNo": like("This page (chosen)", WHOLE),
        "pageSize": like("Plans on a page (chosen)", WHOLE),
        "servicePlanList": list("The plans (chosen)", &service_plan()),
    });
    object(&members, &[])
}

fn service_plan() -> Value {
    let periods = "The values of orderPeriod that may be ordered (chosen)";
    let settle = "What the partner owes the operator for one period, in its settlement currency \
                  (chosen)";
    let members = json!({
        "servicePlanCode": text("The plan's code (chosen)"),
        "servicePlanShowName": text("Its name in the caller's language (chosen)"),
        "description": text("A sentence in the caller's language (chosen)"),
        "packageCode": text("Its package's code (chosen)"),
        "packageType": package_type(),
        "orderPeriodList": list(periods, &json!({"type": "string", "pattern": WHOLE})),
        "payUnit": like("The price of one period, in major units (chosen)", DECIMAL),
        "payCurrency": like("The price's currency (chosen)", CURRENCY),
        "settlePrice": like(settle, DECIMAL),
        "dataVolume": like("Bytes per period; -1 unlimited (chosen)", "^(?:-1|[0-9]+)$"),
        "area": text("The region's name in the caller's language (chosen)"),
        "countries": list(
            "ISO 3166 codes (chosen)",
            &json!({"type": "string", "pattern": "^[A-Z]{2}$"}),
        ),
        "autoRenewal": flag("1 if it may renew by itself (chosen)"),
        "plan_id": text("The id for subscriptions (chosen)"),
    });
    object(&members, &[])
}

fn single_order() -> Value {
    let members = json!({
        "deviceCode": text("The SIM (published)"),
        "orderNo": text("The order's number (published)"),
        "partnerCode": text("The partner (published)"),
        "payId": text("The payment's number (published)"),
    });
    object(&members, &[])
}

fn single_query_order() -> Value {
    let days = "Whole days left; of a waiting one its own whole length (published)";
    let queued = json!({
        "orderStatus": word("1 not yet activated, 2 in use (published)", &["1", "2"]),
        "servicePlanShowName": text("The plan's name (published)"),
        "time": like("How many periods (published)", WHOLE),
        "unit": package_type(),
        "expireDate": like("The last day; only of the one in use (published)", DATE),
        "remainingDays": like(days, WHOLE),
    });
    let members = json!({
        "partnerCode": text("The partner (published)"),
        "deviceCode": text("The SIM (published)"),
        "orderList": list("The plans (published)", &object(&queued, &["expireDate"])),
    });
    object(&members, &[])
}

fn record() -> Value {
    json!({
        "deviceCode": text("The SIM (published)"),
        "orderNo": text("The first order's number (published)"),
        "orderPeriod": like("How many periods at a time (published)", WHOLE),
        "packageType": package_type(),
        "partnerCode": text("The partner (published)"),
        "payId": text("The first payment's number (published)"),
        "servicePlanShowName": text("The plan's name (published)"),
        "subscriptionTime": like("The day it was agreed (published)", DOTTED_DATE),
    })
}

fn record_list() -> Value {
    let cancelled = "When it ended; empty while it is in force (chosen)";
    let next = "When it is to renew next; empty where it will not (chosen)";
    let last = "How the last renewal went; empty before the first (chosen)";
    let mut history = record();
    history["status"] = word("Where it stands (chosen)", &["ACTIVE", "CANCELLED", "REPLACED"]);
    history["cancelTime"] = like(cancelled, DATE_TIME_OR_EMPTY);
    history["nextRenewalTime"] = like(next, DATE_TIME_OR_EMPTY);
    history["lastResult"] = word(last, &["", "success"]);
    let members = json!({
        "recordList": list("The agreements, the newest first (chosen)", &object(&history, &[])),
    });
    object(&members, &[])
}

fn syn_order_info() -> Value {
    let members = json!({
        "partnerCode": text("The partner (chosen)"),
        "deviceCode": text("The SIM (chosen)"),
        "orderNo": text("The order's number (chosen)"),
        "payId": text("The payment's number (chosen)"),
        "orderId": text("The mall's own id of the order (chosen)"),
        "orderStatus": word("Where the order stands now (chosen)", &OrderState::NAMES),
    });
    object(&members, &[])
}

fn result_query() -> Value {
    let date = "In the partner's zone; empty while processing (published)";
    let members = json!({
        "orderPeriod": like("How many periods (published)", WHOLE),
        "packageType": package_type(),
        "partnerCode": text("The partner (published)"),
        "payAmount": like("The amount with its currency's sign (published)", SIGNED_AMOUNT),
        "payId": text("The payment's number (published)"),
        "payResultDate": like(date, DATE_TIME_OR_EMPTY),
        "payRst": word("The result (success published, the others chosen)", &PAY_RESULTS),
        "servicePlanShowName": text("The plan's name (published)"),
    });
    object(&members, &[])
}

fn order() -> Value {
    let purchase = "The client side's number: requestOrderId, else orderNo (chosen)";
    let settle = "What the partner owes the operator per period; empty for orders paid to the mall \
                  (chosen)";
    let failure = json!({"code": text("For programs"), "message": text("For people")});
    let members = json!({
        "order_id": text("The mall's own id (chosen)"),
        "purchase_order_id": text(purchase),
        "request_order_id": text("The partner's own reference; may be empty (chosen)"),
        "sim_id": like("ICCID of the SIM (chosen)", ICCID),
        "service_plan_code": text("The plan (chosen)"),
        "service_plan_show_name": text("The plan's name (chosen)"),
        "package_code": text("The package (chosen)"),
        "package_type": package_type(),
        "order_period": count("How many periods (chosen)", 1),
        "status": word("Where it stands (chosen)", &OrderState::NAMES),
        "auto_renewal": flag("1 if it was ordered to renew by itself (chosen)"),
        "pay_id": text("The payment's number (chosen)"),
        "pay_amount": like("What was or is to be paid (chosen)", DECIMAL),
        "pay_currency": like("Its currency (chosen)", CURRENCY),
        "pay_result": word("The payment's result, as in resultQuery (chosen)", &PAY_RESULTS),
        "pay_channel": word("Who took the money (chosen)", &["third_party", "stripe"]),
        "transaction_id": text("The partner's payment reference; may be empty (chosen)"),
        "settle_price": like(settle, DECIMAL_OR_EMPTY),
        "created_at": count("When it was made, epoch milliseconds (chosen)", 0),
        "paid_at": time_or_null("When it was paid (chosen)"),
        "provisioned_at": time_or_null("When the plan was on the SIM (chosen)"),
        "effective_at": time_or_null("When the plan began to run (chosen)"),
        "expire_at": time_or_null("When the plan ends (chosen)"),
        "failure": {
            "description": "Why it failed or waits for a person (chosen)",
            "anyOf": [object(&failure, &[]), {"type": "null"}],
        },
    });
    object(&members, &[])
}

fn order_page() -> Value {
    let members = json!({
        "total_count": count("How many orders there are in all (chosen)", 0),
        "page_no": count("This page (chosen)", 1),
        "page_size": count("Orders on a page (chosen)", 1),
        "orders": list("The orders, the newest first (chosen)", &order()),
    });
    object(&members, &[])
}

/// An object of exactly these members, all there but the optional ones.
pub(super) fn object(members: &Value, optional: &[&str]) -> Value {
    let names = members.as_object().into_iter().flat_map(|members| members.keys());
    let required: Vec<&String> = names.filter(|name| !optional.contains(&name.as_str())).collect();
    let required = json!(required);
    json!({
        "type": "object",
        "properties": members,
        "required": required,
        "additionalProperties": false,
    })
}

/// An object without members.
fn nothing(about: &str) -> Value {
    json!({"type": "object", "maxProperties": 0, "description": about})
}

pub(super) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

pub(super) fn like(about: &str, pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern, "description": about})
}

pub(super) fn word(about: &str, words: &[&str]) -> Value {
    json!({"enum": words, "description": about})
}

fn flag(about: &str) -> Value {
    word(about, &["0", "1"])
}

pub(super) fn package_type() -> Value {
    let about = "0 day pass, 1 daily, 2 monthly, 3 quarterly, 4 half-year, 5 yearly (published)";
    word(about, &["0", "1", "2", "3", "4", "5"])
}

pub(super) fn list(about: &str, items: &Value) -> Value {
    json!({"type": "array", "items": items, "description": about})
}

pub(super) fn count(about: &str, least: i64) -> Value {
    json!({"type": "integer", "minimum": least, "description": about})
}

/// Epoch milliseconds.
pub(super) fn time_or_null(about: &str) -> Value {
    json!({"type": ["integer", "null"], "description": about})
}
