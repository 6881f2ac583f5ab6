//! The document against the table of calls, against the answers of `wire` and its own examples.

mod many;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wire::call::{CALLS, Call, Request, Service, Shape};
use wire::common::Common;
use wire::endpoints::{
    AddEndpoint, ChangeEndpoint, DeleteEndpoint, ListDeliveries, ListEndpoints, ResendPushes,
    RotateKey, TakePushes, TestEndpoint,
};
use wire::form::Field;
use wire::groups::{
    AddGroupSims, AsyncResult, CancelOperation, ListGroupSims, ListGroups, RemoveGroupSims,
    RetryFailed,
};
use wire::payment::{
    ResultConfirm, ResultQuery, StripeSingleAuth, StripeSubAuth, StripeSubDirectly,
};
use wire::renewals::{
    AutoRenewalHistory, AutoRenewalRecord, AutoRenewalRecordListAnswer, CancelAutoRenewalRecord,
    QueryAutoRenewalRecord, QueryAutoRenewalRecordList,
};
use wire::topup::{
    Order, OrderFailure, OrderPage, QueryOrder, QuerySim, QuerySimUsage, SimPlan, SimStatus,
    SimUsage, UsedInPeriod,
};
use wire::vshop::{
    QueuedOrder, ServicePlan, SingleOrder, SingleOrderAnswer, SingleQueryOrder,
    SingleQueryOrderAnswer, SingleServicePlanPage, SingleServicePlanPageAnswer, SingleVerify,
    SingleVerifyAnswer, SynOrderInfo, SynOrderInfoAnswer,
};
use wire::{Code, Form, FormError, Params};

use super::{answers, document, examples, fields, name};

#[test]
fn the_whole_document() {
    let mut whole = document();
    assert_eq!(whole, document());
    assert_eq!(whole["info"]["version"], env!("CARGO_PKG_VERSION"));
    whole["info"]["version"] = json!("the crate's");
    insta::assert_json_snapshot!("document", whole);
}

#[test]
fn every_call_stands_under_its_prefixes_and_at_the_root() {
    let whole = document();
    let mut ids = BTreeSet::new();
    for call in &CALLS {
        let (live, test) = match call.service {
            Service::Vshop => ("/vshop", "/vshop_uat"),
            Service::Payment => ("/payment", "/payment_uat"),
            Service::Topup => ("/topup", "/topup_test"),
        };
        for (prefix, word) in [(live, "live"), (test, "test"), ("", "root")] {
            let method = call.method.as_str().to_lowercase();
            let operation = &whole["paths"][format!("{prefix}{}", call.path)][method];
            let id = format!("{}_{word}", call.name);
            assert_eq!(operation["operationId"], id);
            assert!(ids.insert(id));
            for status in ["200", "400", "404", "405", "408", "413", "415", "429", "500", "503"] {
                assert!(operation["responses"][status].is_object(), "{status}");
            }
        }
    }
    let paths = whole["paths"].as_object().unwrap();
    let partners = paths.iter().filter(|(path, _)| !path.starts_with(wire::admin::PREFIX));
    let operations = partners.map(|(_, methods)| methods.as_object().unwrap().len());
    assert_eq!(operations.sum::<usize>(), ids.len(), "no other operation");
}

#[test]
fn every_route_of_the_admin_api_stands_with_its_role_and_its_token() {
    let whole = document();
    for route in wire::admin::ROUTES {
        let method = route.method.as_str().to_lowercase();
        let operation = &whole["paths"][route.full_path()][method];
        assert_eq!(operation["tags"], json!(["Admin"]), "{}", route.path);
        assert_eq!(operation["security"], json!([{"AdminToken": []}]));
        let about = operation["description"].as_str().unwrap();
        assert!(about.contains(route.role.as_str()), "{about}");
        let parameters = operation["parameters"].as_array().unwrap();
        let named = parameters.iter().map(|one| one["name"].as_str().unwrap());
        let named: BTreeSet<&str> = named.collect();
        for name in route.path.split(['{', '}']).skip(1).step_by(2) {
            assert!(named.contains(name), "{}: {name}", route.path);
        }
        assert!(route.query.iter().all(|field| named.contains(field.name)), "{}", route.path);
    }
    let ids: BTreeSet<String> = wire::admin::ROUTES
        .iter()
        .map(|route| format!("{:?} {}", route.op, route.method.as_str()))
        .collect();
    assert_eq!(ids.len(), wire::admin::ROUTES.len(), "an operation has one route");
}

#[test]
fn every_field_stands_with_its_meaning() {
    let whole = document();
    for call in &CALLS {
        let in_body = |field: &&Field| call.method.has_body() && !call.in_path(field.name);
        let parameters = &whole["components"]["parameters"];
        for field in call.all_fields().filter(|field| !in_body(field)) {
            let found = &parameters[name(call, field.name)];
            assert_eq!(found["name"], field.name);
            assert_eq!(found["description"], field.doc);
            assert_eq!(found["required"], field.required);
            let place = if call.in_path(field.name) { "path" } else { "query" };
            assert_eq!(found["in"], place);
        }
        if !call.method.has_body() {
            continue;
        }
        let required: BTreeSet<&str> = call
            .all_fields()
            .filter(|field| field.required && in_body(field))
            .map(|field| field.name)
            .collect();
        let schema = &whole["components"]["schemas"][name(call, "Request")];
        for field in call.all_fields().filter(in_body) {
            let found = &schema["properties"][field.name];
            assert_eq!(found["description"], field.doc, "{}", field.name);
        }
        assert!(call.path_names().all(|name| schema["properties"][name] == false));
        let said = schema["required"].as_array().unwrap();
        assert_eq!(said.len(), required.len());
        assert!(said.iter().all(|name| required.contains(name.as_str().unwrap())));
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let whole = document();
    let mut references = Vec::new();
    gather_references(&whole, &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(whole.pointer(pointer).is_some(), "{reference}");
    }
}

fn gather_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                into.push(reference.clone());
            }
            members.values().for_each(|one| gather_references(one, into));
        }
        Value::Array(items) => items.iter().for_each(|one| gather_references(one, into)),
        _ => {}
    }
}

#[test]
fn every_code_is_told_under_its_status() {
    let whole = document();
    for code in Code::ALL {
        let response = &whole["components"]["responses"][format!("Failure{}", code.status())];
        let schema = &response["content"]["application/json"]["schema"];
        let codes = &schema["properties"]["data"]["properties"]["code"]["enum"];
        assert!(codes.as_array().unwrap().contains(&json!(code.as_str())));
    }
}

#[test]
fn every_example_request_is_a_good_one_with_a_good_signature() {
    for call in &CALLS {
        let requests = examples::requests(call);
        assert!(!requests.is_empty(), "{} has no example", call.name);
        for example in requests {
            let body = example.value.to_string();
            let params = Params::read(None, body.as_bytes()).unwrap();
            assert_eq!(errors(call, &params), [], "{}", call.name);
            let sign = params.text("sign").unwrap();
            assert!(wire::sign::verify(&params, sign, &[]).is_some());
            if call.method.has_body() {
                let mut body = example.value;
                body.as_object_mut().unwrap().retain(|name, _| !call.in_path(name));
                fits(&fields::body(call), &body);
            }
        }
    }
}

/// What a call's form says of parameters.
fn errors(call: &Call, params: &Params) -> Vec<FormError> {
    fn read<R: Request>(params: &Params) -> Vec<FormError> {
        let mut form = Form::new(params, R::CALL.fields);
        let (common, request) = (Common::read(&mut form, R::CALL.fields[0]), R::read(&mut form));
        let errors = form.into_errors();
        assert_eq!(errors.is_empty(), common.is_some() && request.is_some());
        errors
    }
    match call.name {
        "singleVerify" => read::<SingleVerify>(params),
        "singleServicePlanPage" => read::<SingleServicePlanPage>(params),
        "singleOrder" => read::<SingleOrder>(params),
        "singleQueryOrder" => read::<SingleQueryOrder>(params),
        "queryAutoRenewalRecord" => read::<QueryAutoRenewalRecord>(params),
        "cancelAutoRenewalRecord" => read::<CancelAutoRenewalRecord>(params),
        "queryAutoRenewalRecordList" => read::<QueryAutoRenewalRecordList>(params),
        "SynOrderInfo" => read::<SynOrderInfo>(params),
        "stripeSingleAuth" => read::<StripeSingleAuth>(params),
        "stripeSubAuth" => read::<StripeSubAuth>(params),
        "stripeSubDirectly" => read::<StripeSubDirectly>(params),
        "resultQuery" => read::<ResultQuery>(params),
        "resultConfirm" => read::<ResultConfirm>(params),
        "queryOrder" => read::<QueryOrder>(params),
        "querySim" => read::<QuerySim>(params),
        "querySimUsage" => read::<QuerySimUsage>(params),
        "listPushEndpoints" => read::<ListEndpoints>(params),
        "addPushEndpoint" => read::<AddEndpoint>(params),
        "changePushEndpoint" => read::<ChangeEndpoint>(params),
        "testPushEndpoint" => read::<TestEndpoint>(params),
        "rotatePushKey" => read::<RotateKey>(params),
        "deletePushEndpoint" => read::<DeleteEndpoint>(params),
        "resendPushes" => read::<ResendPushes>(params),
        "takePushes" => read::<TakePushes>(params),
        "listPushDeliveries" => read::<ListDeliveries>(params),
        "listGroups" => read::<ListGroups>(params),
        "listGroupSims" => read::<ListGroupSims>(params),
        "addGroupSims" => read::<AddGroupSims>(params),
        "removeGroupSims" => read::<RemoveGroupSims>(params),
        "asyncResult" => read::<AsyncResult>(params),
        "retryFailed" => read::<RetryFailed>(params),
        "cancelOperation" => read::<CancelOperation>(params),
        other => panic!("{other} is not known here"),
    }
}

#[test]
fn the_published_requests_are_as_published() {
    let published: Value =
        serde_json::from_str(include_str!("../../../wire/tests/signature.json")).unwrap();
    for (place, name) in
        [(0, "singleVerify"), (1, "singleServicePlanPage"), (2, "SynOrderInfo"), (3, "resultQuery")]
    {
        let vector = &published["vectors"][place];
        let mut body = vector["body"].clone();
        body["sign"] = vector["sign"].clone();
        let call = CALLS.iter().find(|call| call.name == name).unwrap();
        assert_eq!(examples::requests(call)[0].value, body, "{name}");
    }
}

#[test]
fn the_published_answers_are_as_published() {
    let whole = document();
    let shown = |name: &str| {
        let done = &whole["components"]["responses"][name];
        done["content"]["application/json"]["examples"]["published"]["value"].clone()
    };
    let queue: Value = serde_json::from_str(
        r#"{"operateCode":"S","message":"success","data":{"partnerCode":"SU528SX8BZ","deviceCode":"89852121501108205774","orderList":[{"orderStatus":"2","servicePlanShowName":"Singapore 2G 30-Days Unlimited Speech","time":"1","unit":"2","expireDate":"2024-07-31","remainingDays":"0"},{"orderStatus":"1","servicePlanShowName":"Singapore 2G 30-Days Unlimited Speech","time":"1","unit":"2","remainingDays":"30"},{"orderStatus":"1","servicePlanShowName":"Singapore 2G 30-Days Unlimited Speech","time":"2","unit":"2","remainingDays":"60"}]}}"#,
    )
    .unwrap();
    assert_eq!(shown("SingleQueryOrderDone"), queue);
    let result: Value = serde_json::from_str(
        r#"{"orderPeriod":"1","packageType":"2","partnerCode":"P000818","payAmount":"$19.99","payId":"20190321192436","payResultDate":"2020-09-17 18:11:10","payRst":"success","servicePlanShowName":"…"}"#,
    )
    .unwrap();
    assert_eq!(shown("ResultQueryDone"), result);
    let refused = &whole["components"]["responses"]["Failure400"]["description"];
    assert!(refused.as_str().unwrap().contains(
        r#"{"operateCode":"F","message":"fail","data":{"message":"调用订购接口失败","data":"QY-0010122021051219085311000"}}"#
    ));
}

#[test]
fn every_example_answer_fits_its_schema() {
    for call in &CALLS {
        let schema = answers::data(call).expect(call.name);
        let examples = examples::answers(call);
        assert!(!examples.is_empty(), "{} has no example", call.name);
        for example in examples {
            fits(&schema, &example.value);
        }
        assert!(matches!(call.shape, Shape::Envelope | Shape::Bare));
    }
}

/// Holds an answer of `wire` against the schema of a call.
fn check(name: &str, answer: &impl serde::Serialize) {
    let call = CALLS.iter().find(|call| call.name == name).unwrap();
    fits(&answers::data(call).unwrap(), &serde_json::to_value(answer).unwrap());
}

#[test]
fn the_answers_of_the_wire_fit_their_schemas() {
    let t = String::new;
    let (one, zero) = (|| "1".to_owned(), || "0".to_owned());
    let verified = SingleVerifyAnswer {
        partner_code: t(),
        device_code: t(),
        card_status: one(),
        auto_renewal: zero(),
        pay_currency: t(),
    };
    check("singleVerify", &verified);
    let plan = ServicePlan {
        service_plan_code: t(),
        service_plan_show_name: t(),
        description: t(),
        package_code: t(),
        package_type: one(),
        order_period_list: vec![one()],
        pay_unit: t(),
        pay_currency: t(),
        settle_price: t(),
        data_volume: t(),
        area: t(),
        countries: vec![t()],
        auto_renewal: one(),
        plan_id: t(),
    };
    let page = SingleServicePlanPageAnswer {
        partner_code: t(),
        device_code: t(),
        total: one(),
        page_no: one(),
        page_size: one(),
        service_plan_list: vec![plan],
    };
    check("singleServicePlanPage", &page);
    let ordered =
        SingleOrderAnswer { device_code: t(), order_no: t(), partner_code: t(), pay_id: t() };
    check("singleOrder", &ordered);
    let queued = |expire_date| QueuedOrder {
        order_status: one(),
        service_plan_show_name: t(),
        time: one(),
        unit: one(),
        expire_date,
        remaining_days: zero(),
    };
    let queue = SingleQueryOrderAnswer {
        partner_code: t(),
        device_code: t(),
        order_list: vec![queued(Some(t())), queued(None)],
    };
    check("singleQueryOrder", &queue);
    let reported = SynOrderInfoAnswer {
        partner_code: t(),
        device_code: t(),
        order_no: t(),
        pay_id: t(),
        order_id: t(),
        order_status: "PAID".into(),
    };
    check("SynOrderInfo", &reported);
}

#[test]
fn the_answers_about_renewals_and_payments_fit_their_schemas() {
    let t = String::new;
    let record = AutoRenewalRecord {
        device_code: t(),
        order_no: t(),
        order_period: t(),
        package_type: "2".into(),
        partner_code: t(),
        pay_id: t(),
        service_plan_show_name: t(),
        subscription_time: t(),
    };
    check("queryAutoRenewalRecord", &record);
    let history = AutoRenewalHistory {
        record,
        status: "ACTIVE".into(),
        cancel_time: t(),
        next_renewal_time: t(),
        last_result: t(),
    };
    let list = AutoRenewalRecordListAnswer { record_list: vec![history] };
    check("queryAutoRenewalRecordList", &list);
    let result = wire::payment::ResultQueryAnswer {
        order_period: t(),
        package_type: "0".into(),
        partner_code: t(),
        pay_amount: t(),
        pay_id: t(),
        pay_result_date: t(),
        pay_rst: "success".into(),
        service_plan_show_name: t(),
    };
    check("resultQuery", &result);
    check("resultConfirm", &result);
    let auth = wire::payment::StripeSingleAuthAnswer {
        pay_id: t(),
        publishable_key: t(),
        client_secret: t(),
        payment_intent_id: t(),
        customer_id: t(),
        ephemeral_key: t(),
    };
    check("stripeSingleAuth", &auth);
    let auth = wire::payment::StripeSubAuthAnswer {
        publishable_key: t(),
        client_secret: t(),
        customer_id: t(),
        ephemeral_key: t(),
    };
    check("stripeSubAuth", &auth);
    let made = wire::payment::StripeSubDirectlyAnswer {
        customer_id: t(),
        pay_method: t(),
        product_id: t(),
        status: t(),
        sub_id: t(),
    };
    check("stripeSubDirectly", &made);
}

#[test]
fn the_answers_about_orders_fit_their_schemas() {
    let t = String::new;
    let order = |failure, time| Order {
        order_id: t(),
        purchase_order_id: t(),
        request_order_id: t(),
        sim_id: t(),
        service_plan_code: t(),
        service_plan_show_name: t(),
        package_code: t(),
        package_type: "5".into(),
        order_period: 1,
        status: "REVIEW".into(),
        auto_renewal: "0".into(),
        pay_id: t(),
        pay_amount: t(),
        pay_currency: t(),
        pay_result: "success".into(),
        pay_channel: "stripe".into(),
        transaction_id: t(),
        settle_price: t(),
        created_at: 0,
        paid_at: time,
        provisioned_at: time,
        effective_at: time,
        expire_at: time,
        failure,
    };
    let failure = OrderFailure { code: t(), message: t() };
    check("queryOrder", &order(None, Some(1)));
    let page = OrderPage {
        total_count: 1,
        page_no: 1,
        page_size: 1,
        orders: vec![order(Some(failure), None)],
    };
    check("queryOrder", &page);
}

#[test]
fn the_answers_about_sims_fit_their_schemas() {
    let t = String::new;
    let usage = |total| SimUsage {
        sim_id: t(),
        used_bytes: 1,
        total_bytes: total,
        remaining_bytes: total,
        as_of: total,
        asked_at: 0,
        periods: vec![UsedInPeriod { period: t(), used_bytes: 1 }],
        cached: true,
        stale: true,
    };
    check("querySimUsage", &usage(Some(-1)));
    let plan = |time| SimPlan {
        order_id: t(),
        status: "waiting".into(),
        service_plan_code: t(),
        service_plan_show_name: t(),
        package_type: "2".into(),
        order_period: 1,
        effective_at: time,
        expire_at: time,
        remaining_days: 0,
        total_bytes: time,
        used_bytes: time,
        remaining_bytes: time,
    };
    let status = |usage| SimStatus {
        sim_id: t(),
        status: "ready".into(),
        network_status: t(),
        plans: vec![plan(None), plan(Some(1))],
        usage,
        asked_at: 0,
        cached: false,
        stale: true,
    };
    check("querySim", &status(None));
    check("querySim", &status(Some(usage(None))));
}

/// Whether a value fits a schema, patterns and references left aside: no crate of ours reads those.
fn fits(schema: &Value, value: &Value) {
    if let Err(why) = fit(schema, value) {
        panic!("{why}\n{value}\n{schema}");
    }
}

fn fit(schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(ways) = schema["anyOf"].as_array() {
        return ways.iter().map(|way| fit(way, value)).reduce(Result::or).unwrap_or(Ok(()));
    }
    if let Some(all) = schema["enum"].as_array() {
        return all.contains(value).then_some(()).ok_or(format!("{value} is no such word"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = &schema["type"];
    let allowed = types.as_array().is_some_and(|all| all.contains(&json!(kind)));
    if !types.is_null() && types != kind && !allowed {
        return Err(format!("{value} is not {types}"));
    }
    if let Value::Array(items) = value {
        return items.iter().try_for_each(|item| fit(&schema["items"], item));
    }
    let Value::Object(members) = value else {
        return Ok(());
    };
    let empty_only = schema["maxProperties"] == 0 && !members.is_empty();
    let required = schema["required"].as_array().into_iter().flatten();
    let missing = required.filter_map(Value::as_str).find(|name| !members.contains_key(*name));
    if let Some(name) = missing.or(empty_only.then_some("an empty object")) {
        return Err(format!("{name} is missing"));
    }
    members.iter().try_for_each(|(name, member)| {
        let property = &schema["properties"][name];
        if property.is_null() && schema["additionalProperties"] == false {
            return Err(format!("{name} is not in the schema"));
        }
        fit(property, member).map_err(|why| format!("{name}: {why}"))
    })
}
