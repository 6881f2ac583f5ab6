//! Each request reads exactly the fields of its table, and gathers every mistake.

use wire::call::CALLS;
use wire::common::Common;
use wire::endpoints::{
    AddEndpoint, Again, ChangeEndpoint, DeleteEndpoint, ListDeliveries, ListEndpoints,
    ResendPushes, RotateKey, TakePushes, TestEndpoint,
};
use wire::payment::ResultQuery;
use wire::renewals::{CancelAutoRenewalRecord, QueryAutoRenewalRecord, QueryAutoRenewalRecordList};
use wire::topup::{QueryOrder, QuerySim, QuerySimUsage};
use wire::vshop::{
    SingleOrder, SingleQueryOrder, SingleServicePlanPage, SingleVerify, SynOrderInfo,
};
use wire::{Form, FormError, Params, Problem, Request};

fn read<R: Request>(body: &str) -> Result<R, Vec<FormError>> {
    let params = Params::read(None, body.as_bytes()).unwrap();
    let mut form = Form::new(&params, R::CALL.fields);
    let request = R::read(&mut form);
    let errors = form.into_errors();
    if errors.is_empty() { Ok(request.expect("no error, but no request")) } else { Err(errors) }
}

/// Insists that a request reads exactly the fields of its table.
pub fn reads_its_table<R: Request>() {
    let params = Params::default();
    let mut form = Form::new(&params, R::CALL.fields);
    assert!(Common::read(&mut form, R::CALL.fields[0]).is_none());
    R::read(&mut form);
    let mut table: Vec<&str> = R::CALL.all_fields().map(|field| field.name).collect();
    let mut names = form.read_names().to_vec();
    table.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, table, "{}", R::CALL.name);
}

#[test]
fn every_request_reads_the_fields_of_its_table() {
    reads_its_table::<SingleVerify>();
    reads_its_table::<SingleServicePlanPage>();
    reads_its_table::<SingleOrder>();
    reads_its_table::<SingleQueryOrder>();
    reads_its_table::<QueryAutoRenewalRecord>();
    reads_its_table::<CancelAutoRenewalRecord>();
    reads_its_table::<QueryAutoRenewalRecordList>();
    reads_its_table::<SynOrderInfo>();
    reads_its_table::<ResultQuery>();
    reads_its_table::<QueryOrder>();
    reads_its_table::<QuerySim>();
    reads_its_table::<QuerySimUsage>();
    reads_its_table::<ListEndpoints>();
    reads_its_table::<AddEndpoint>();
    reads_its_table::<ChangeEndpoint>();
    reads_its_table::<TestEndpoint>();
    reads_its_table::<RotateKey>();
    reads_its_table::<DeleteEndpoint>();
    reads_its_table::<ResendPushes>();
    reads_its_table::<TakePushes>();
    reads_its_table::<ListDeliveries>();
    let names: std::collections::HashSet<_> = CALLS.iter().map(|call| call.name).collect();
    assert_eq!(names.len(), CALLS.len());
}

#[test]
fn all_mistakes_are_gathered() {
    let errors = read::<SingleOrder>(
        r#"{"deviceCode":"12","orderNo":"","payId":["x"],"servicePlanCode":"a\u0000b","packageCode":true,
            "orderPeriod":"1.5","payAmount":"-1","payCurrency":"POUND","autoRenewal":"yes"}"#,
    )
    .unwrap_err();
    let found: Vec<(&str, Problem)> =
        errors.iter().map(|error| (error.field.as_str(), error.problem)).collect();
    assert_eq!(
        found,
        [
            ("deviceCode", Problem::NotIccid),
            ("orderNo", Problem::Missing),
            ("payId", Problem::WrongType),
            ("servicePlanCode", Problem::NotPrintable),
            ("packageCode", Problem::WrongType),
            ("orderPeriod", Problem::NotCount(1, 999)),
            ("payAmount", Problem::NotDecimal),
            ("payCurrency", Problem::NotCurrency),
            ("autoRenewal", Problem::NotFlag),
        ]
    );
}

#[test]
fn numbers_are_taken_for_strings_and_null_for_absence() {
    let page: SingleServicePlanPage =
        read(r#"{"deviceCode":89852420180910340793,"area":null,"pageNo":2,"pageSize":""}"#)
            .unwrap();
    assert_eq!((page.area.as_str(), page.page_no, page.page_size), ("", 2, 20));
    assert_eq!(page.iccid.as_str(), "89852420180910340793");
}

#[test]
fn the_first_of_three_numbers_counts() {
    let sim = r#""sim_id":"89852420180910340793""#;
    let order = |body: &str| read::<QueryOrder>(body).unwrap();
    assert_eq!(
        order(&format!(r#"{{"purchase_order_id":"a","order_id":"b",{sim}}}"#)),
        QueryOrder::Purchase("a".into())
    );
    assert_eq!(
        order(&format!(r#"{{"purchase_order_id":"","order_id":"b",{sim}}}"#)),
        QueryOrder::Order("b".into())
    );
    assert!(matches!(order(&format!("{{{sim}}}")), QueryOrder::Sim { page_size: 100, .. }));
    let none = read::<QueryOrder>("{}").unwrap_err();
    assert_eq!(none[0].problem, Problem::NoneOfThem);
}

#[test]
fn lists_hold_words_or_texts() {
    let add = |events: &str| {
        read::<AddEndpoint>(&format!(r#"{{"url":"https://a.example/","events":{events}}}"#))
    };
    assert_eq!(add(r#"["plan.expired"]"#).unwrap().events, ["plan.expired"]);
    for none in ["[]", "null", "\"\""] {
        assert!(add(none).unwrap().events.is_empty(), "{none}");
    }
    let wrong = |events: &str| add(events).unwrap_err().remove(0).problem;
    assert!(matches!(wrong(r#"["plan.ended"]"#), Problem::NotWord(_)));
    assert!(matches!(wrong("[1]"), Problem::NotWord(_)));
    assert_eq!(wrong("[null]"), Problem::WrongType);
    for no_list in ["1", "{}", "true", "\"plan.expired\""] {
        assert_eq!(wrong(no_list), Problem::NotList, "{no_list}");
    }
    let many = format!("[{}]", vec![r#""plan.expired""#; 65].join(","));
    assert_eq!(wrong(&many), Problem::TooManyItems(64));
    let take =
        |id: &str| read::<TakePushes>(&format!(r#"{{"endpoint_id":"p","acknowledged":["{id}"]}}"#));
    assert_eq!(take("evt_1").unwrap().acknowledged, ["evt_1"]);
    let number = read::<TakePushes>(r#"{"endpoint_id":"p","acknowledged":[12.360]}"#);
    assert_eq!(number.unwrap().acknowledged, ["12.360"]);
    assert_eq!(take(&"x".repeat(65)).unwrap_err()[0].problem, Problem::TooLong(64));
    assert_eq!(take("a\\n").unwrap_err()[0].problem, Problem::NotPrintable);
}

#[test]
fn what_is_left_out_of_a_change_stays_and_what_is_empty_is_emptied() {
    let change =
        |more: &str| read::<ChangeEndpoint>(&format!(r#"{{"endpoint_id":"p"{more}}}"#)).unwrap();
    let nothing = ChangeEndpoint { endpoint_id: "p".into(), ..ChangeEndpoint::default() };
    assert_eq!(change(""), nothing);
    assert_eq!(change(r#","url":"","events":"","description":null,"state":"""#), nothing);
    let emptied = change(r#","description":"","events":[],"state":"paused""#);
    assert_eq!(emptied.description.as_deref(), Some(""));
    assert_eq!((emptied.events, emptied.paused), (Some(Vec::new()), Some(true)));
}

#[test]
fn which_events_are_sent_again_is_said_in_one_way() {
    let again = |more: &str| {
        read::<ResendPushes>(&format!(r#"{{"endpoint_id":"p"{more}}}"#)).map(|resend| resend.again)
    };
    assert_eq!(again(r#","event_id":"e","from":1"#), Ok(Again::Event("e".into())));
    assert!(matches!(again(r#","failed_since":"1000""#), Ok(Again::FailedSince(_))));
    assert!(matches!(again(r#","from":0,"to":5"#), Ok(Again::Recorded(_, Some(_)))));
    assert_eq!(again(r#","to":5"#).unwrap_err()[0].problem, Problem::NoneOfThem);
    assert_eq!(again(r#","from":1.5"#).unwrap_err()[0].problem, Problem::NotMillis);
}
