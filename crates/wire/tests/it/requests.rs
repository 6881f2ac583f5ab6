//! Each request reads exactly the fields of its table, and gathers every mistake.

use wire::call::CALLS;
use wire::common::Common;
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
