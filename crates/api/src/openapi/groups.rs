//! The calls of SIM groups in the document: schemas of their answers, and examples.

use serde_json::{Value, json};
use wire::Call;
use wire::groups::{IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_CHARS_MAX};

use super::answers::{count, like, list, object, package_type, text, time_or_null, word};
use super::examples::{Example, PARTNER, SIM};

const ICCID: &str = "^[0-9]{18,22}$";
const GROUP: &str = "grp_01890a5dac96774bbcceb302099a8057";
const REQUEST: &str = "gop_01890a5dac96774bbcceb302099a8058";
const OPERATIONS: [&str; 2] = ["ADD_SIMS", "REMOVE_SIMS"];
const STATUSES: [&str; 5] = ["ACCEPTED", "RUNNING", "SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED"];
const GROUP_STATUSES: [&str; 4] = ["ACTIVE", "STOPPED", "THROTTLED", "ENDED"];
const SIM_STATUSES: [&str; 5] = ["WAITING", "SUCCEEDED", "FAILED", "CANCELLED", "REVIEW"];

/// The header under which a call may be repeated.
pub fn idempotency_key() -> Value {
    json!({
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": "The same key with the same request answers the same `request_id`, with another \
            request `ORDER_CONFLICT` (chosen)",
        "schema": {
            "type": "string",
            "pattern": format!("^[!-~]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}$"),
        },
    })
}

/// What a call answers as a file, beside JSON.
pub fn file(call: &Call) -> Option<Value> {
    (call.name == "asyncResult").then(|| {
        json!({
            "schema": {"type": "string"},
            "example": format!(
                "sim_id,status,code,message\r\n{SIM},SUCCEEDED,,\r\n\
                 89430101521032420180,FAILED,SIM_UNKNOWN,This SIM is not in the partner's stock.\r\n"
            ),
        })
    })
}

/// The schema of a call's own answer.
pub fn data(call: &Call) -> Option<Value> {
    Some(match call.name {
        "listGroups" => list("The groups (chosen)", &group()),
        "listGroupSims" => group_sims(),
        "addGroupSims" | "removeGroupSims" => json!({"anyOf": [accepted(), dry_run()]}),
        "asyncResult" => operation(),
        "retryFailed" | "cancelOperation" => accepted(),
        _ => return None,
    })
}

fn group() -> Value {
    let bundle = json!({
        "service_plan_code": text("The plan (chosen)"),
        "service_plan_show_name": text("The plan's name in the caller's language (chosen)"),
        "package_code": text("The package (chosen)"),
        "package_type": package_type(),
        "data_volume": count("Bytes that are shared in a period; -1 unlimited (chosen)", -1),
        "used_volume": count("Bytes used in the running period, as far as the network told (chosen)", 0),
        "effective_at": count("When the running period began, epoch milliseconds (chosen)", 0),
        "expire_at": count("When it ends, epoch milliseconds (chosen)", 0),
    });
    let members = json!({
        "group_id": text("The mall's own id (chosen)"),
        "name": text("What the operator calls it (chosen)"),
        "status": word("Whether its SIMs have data (chosen)", &GROUP_STATUSES),
        "sim_count": count("How many SIMs are in it (chosen)", 0),
        "sim_limit": count("How many there may be (chosen)", 0),
        "bundle": object(&bundle, &[]),
    });
    object(&members, &[])
}

fn group_sims() -> Value {
    let sim = json!({
        "sim_id": like("ICCID of the SIM (chosen)", ICCID),
        "joined_at": count("When it joined, epoch milliseconds (chosen)", 0),
    });
    let next = "The `cursor` of the next page; null after the last (chosen)";
    let members = json!({
        "group_id": text("The group (chosen)"),
        "total_count": count("How many SIMs are in it (chosen)", 0),
        "next_cursor": {"type": ["string", "null"], "description": next},
        "sims": list("The SIMs of this page (chosen)", &object(&sim, &[])),
    });
    object(&members, &[])
}

fn accepted() -> Value {
    let members = json!({
        "request_id": text("The operation, to be asked for with asyncResult (chosen)"),
        "status": word("That it was taken, or how it stands by now (chosen)", &STATUSES),
    });
    object(&members, &[])
}

fn results() -> Value {
    let maybe = |about: &str| json!({"type": ["string", "null"], "description": about});
    let result = json!({
        "sim_id": like("ICCID of the SIM (chosen)", ICCID),
        "status": word("Where it stands (chosen)", &SIM_STATUSES),
        "code": maybe("Why it failed or waits, for programs (chosen)"),
        "message": maybe("Why it failed or waits, in the caller's language (chosen)"),
    });
    list(
        "What became of each SIM, in the order in which they were named (chosen)",
        &object(&result, &[]),
    )
}

fn operation() -> Value {
    let members = json!({
        "request_id": text("The operation (chosen)"),
        "operation": word("What it does (chosen)", &OPERATIONS),
        "group_id": text("To which group (chosen)"),
        "status": word("How it stands (chosen)", &STATUSES),
        "total": count("How many SIMs it is about (chosen)", 0),
        "succeeded": count("How many of them succeeded so far (chosen)", 0),
        "failed": count("How many of them did not succeed so far: failed, cancelled, in review (chosen)", 0),
        "results": results(),
        "created_at": count("When it was taken, epoch milliseconds (chosen)", 0),
        "finished_at": time_or_null("When the last SIM was done, epoch milliseconds (chosen)"),
    });
    object(&members, &[])
}

fn dry_run() -> Value {
    let members = json!({
        "operation": word("What would be done (chosen)", &OPERATIONS),
        "group_id": text("To which group (chosen)"),
        "status": {"const": "DRY_RUN", "description": "Nothing was done (chosen)"},
        "total": count("How many SIMs it is about (chosen)", 0),
        "succeeded": count("How many of them would be tried (chosen)", 0),
        "failed": count("How many of them would fail for certain (chosen)", 0),
        "results": results(),
    });
    object(&members, &[])
}

/// The parameters of an example request.
pub fn request(call: &Call) -> Option<Value> {
    let mut value = json!({"partnerCode":PARTNER,"version":"3.0"});
    match call.name {
        "listGroups" => {}
        "listGroupSims" => {
            value["group_id"] = json!(GROUP);
            value["page_size"] = json!("100");
        }
        "addGroupSims" | "removeGroupSims" => {
            value["group_id"] = json!(GROUP);
            value["sim_ids"] = json!([SIM, "89430101521032420180"]);
        }
        "asyncResult" | "retryFailed" | "cancelOperation" => value["request_id"] = json!(REQUEST),
        _ => return None,
    }
    Some(value)
}

/// Example answers of a call: the data, without the envelope.
pub fn answers(call: &Call) -> Vec<Example> {
    let example = |value| Example { name: "example", summary: "An example", value };
    match call.name {
        "listGroups" => vec![example(json!([{"group_id":GROUP,"name":"Fleet 1","status":"ACTIVE",
            "sim_count":2,"sim_limit":1_000,"bundle":{"service_plan_code":"SP202111041459",
            "service_plan_show_name":"biaoqianweikong","package_code":"DP20190726001274",
            "package_type":"2","data_volume":2_147_483_648_i64,"used_volume":734_003_200,
            "effective_at":1_654_585_749_000_i64,"expire_at":1_657_177_749_000_i64}}]))],
        "listGroupSims" => {
            vec![example(json!({"group_id":GROUP,"total_count":1,"next_cursor":null,
            "sims":[{"sim_id":SIM,"joined_at":1_654_585_746_965_i64}]}))]
        }
        "addGroupSims" | "removeGroupSims" => vec![
            example(json!({"request_id":REQUEST,"status":"ACCEPTED"})),
            Example {
                name: "dry_run",
                summary: "With dry_run 1",
                value: json!({
                "operation":"ADD_SIMS","group_id":GROUP,"status":"DRY_RUN","total":2,"succeeded":1,
                "failed":1,"results":example_results()}),
            },
        ],
        "asyncResult" => vec![example(json!({"request_id":REQUEST,"operation":"ADD_SIMS",
            "group_id":GROUP,"status":"PARTIALLY_SUCCEEDED","total":2,"succeeded":1,"failed":1,
            "results":example_results(),"created_at":1_654_585_746_965_i64,
            "finished_at":1_654_585_749_000_i64}))],
        "retryFailed" | "cancelOperation" => {
            vec![example(json!({"request_id":REQUEST,"status":"ACCEPTED"}))]
        }
        _ => Vec::new(),
    }
}

fn example_results() -> Value {
    json!([{"sim_id":SIM,"status":"SUCCEEDED","code":null,"message":null},
        {"sim_id":"89430101521032420180","status":"FAILED","code":"SIM_UNKNOWN",
            "message":"This SIM is not in the partner's stock."}])
}
