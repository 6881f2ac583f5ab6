//! The calls of SIM groups: lists of SIMs in a body and in a query, what is wrong with which entry, and what is signed.

use wire::content::signing_content;
use wire::groups::{
    ADD_GROUP_SIMS, AddGroupSims, AsyncResult, CANCEL_OPERATION, CancelOperation, ChangeGroupSims,
    LIST_GROUPS, ListGroupSims, ListGroups, REMOVE_GROUP_SIMS, RETRY_FAILED, RemoveGroupSims,
    RetryFailed, SIMS_IN_QUERY_MAX, SIMS_MAX,
};
use wire::{Call, Form, FormError, Method, Params, Problem, Request};

use crate::requests::reads_its_table;

fn read<R: Request>(query: Option<&str>, body: &str) -> Result<R, Vec<(String, Problem)>> {
    let mut params = Params::read(query, body.as_bytes()).unwrap();
    for name in R::CALL.path_names() {
        params.push_path(name, "id_1").unwrap();
    }
    let mut form = Form::new(&params, R::CALL.fields);
    let request = R::read(&mut form);
    let errors = form.into_errors();
    if errors.is_empty() {
        return Ok(request.expect("no error, but no request"));
    }
    assert!(request.is_none(), "{errors:?}");
    Err(errors.into_iter().map(|FormError { field, problem }| (field, problem)).collect())
}

fn added(body: &str) -> Result<ChangeGroupSims, Vec<(String, Problem)>> {
    read::<AddGroupSims>(None, body).map(|request| request.0)
}

fn removed(query: Option<&str>, body: &str) -> Result<ChangeGroupSims, Vec<(String, Problem)>> {
    read::<RemoveGroupSims>(query, body).map(|request| request.0)
}

fn sims(request: &ChangeGroupSims) -> Vec<&str> {
    request.sims.iter().map(domain::Iccid::as_str).collect()
}

/// So many different numbers of cards.
fn cards(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("8944{number:016}")).collect()
}

const A: &str = "89852420180910340793";
const B: &str = "89430101521032420180";

#[test]
fn every_request_reads_the_fields_of_its_table() {
    reads_its_table::<ListGroups>();
    reads_its_table::<ListGroupSims>();
    reads_its_table::<AddGroupSims>();
    reads_its_table::<RemoveGroupSims>();
    reads_its_table::<AsyncResult>();
    reads_its_table::<RetryFailed>();
    reads_its_table::<CancelOperation>();
}

#[test]
fn the_names_are_those_that_hmac_demands() {
    let named = |call: &Call| (call.name, call.method);
    assert_eq!(named(&ADD_GROUP_SIMS), ("addGroupSims", Method::Post));
    assert_eq!(named(&REMOVE_GROUP_SIMS), ("removeGroupSims", Method::Delete));
    assert_eq!(named(&LIST_GROUPS), ("listGroups", Method::Get));
    assert_eq!(named(&ListGroupSims::CALL), ("listGroupSims", Method::Get));
    assert_eq!(named(&AsyncResult::CALL), ("asyncResult", Method::Get));
    assert_eq!(named(&RETRY_FAILED), ("retryFailed", Method::Post));
    assert_eq!(named(&CANCEL_OPERATION), ("cancelOperation", Method::Post));
    let in_path: Vec<&str> = ADD_GROUP_SIMS.path_names().collect();
    assert_eq!(in_path, ["group_id"]);
}

#[test]
fn a_sim_counts_once_in_the_order_in_which_it_was_named() {
    let request = added(&format!(r#"{{"sim_ids":["{A}",{B},"{A}"]}}"#)).unwrap();
    assert_eq!((sims(&request), request.group_id.as_str()), (vec![A, B], "id_1"));
    assert!(!request.dry_run);
    assert!(added(&format!(r#"{{"sim_ids":["{A}"],"dry_run":"1"}}"#)).unwrap().dry_run);
}

#[test]
fn a_delete_takes_its_sims_from_the_body_or_joined_from_the_query() {
    let joined = format!("sim_ids={B}%2C{A},{B}");
    assert_eq!(sims(&removed(Some(&joined), "").unwrap()), [B, A]);
    let listed = format!(r#"{{"sim_ids":["{B}","{A}"]}}"#);
    assert_eq!(sims(&removed(None, &listed).unwrap()), [B, A]);
    // A text of a body is read like that of a query, since what is signed is the same.
    let text = format!(r#"{{"sim_ids":"{B},{A}"}}"#);
    assert_eq!(sims(&removed(None, &text).unwrap()), [B, A]);
    let not_list = vec![("sim_ids".to_owned(), Problem::NotList)];
    assert_eq!(added(&text).unwrap_err(), not_list);
}

#[test]
fn a_wrong_entry_is_named_with_its_index() {
    let wrong = |index: usize, problem| (format!("sim_ids[{index}]"), problem);
    let body = format!(r#"{{"sim_ids":["{A}","12",null,"{B}",["{A}"],"",true]}}"#);
    let expected = vec![
        wrong(1, Problem::NotIccid),
        wrong(2, Problem::WrongType),
        wrong(4, Problem::WrongType),
        wrong(5, Problem::NotIccid),
        wrong(6, Problem::WrongType),
    ];
    assert_eq!(added(&body).unwrap_err(), expected);
    let joined = format!("sim_ids={A},,{B},%20{A}");
    let expected = vec![wrong(1, Problem::NotIccid), wrong(3, Problem::NotIccid)];
    assert_eq!(removed(Some(&joined), "").unwrap_err(), expected);
    // An answer does not grow with what is wrong.
    let all_wrong = format!(r#"{{"sim_ids":[{}"1"]}}"#, r#""1","#.repeat(9_999));
    assert_eq!(added(&all_wrong).unwrap_err().len(), 20);
}

#[test]
fn neither_none_nor_too_many() {
    let missing = || vec![("sim_ids".to_owned(), Problem::Missing)];
    for none in ["{}", r#"{"sim_ids":[]}"#, r#"{"sim_ids":null}"#] {
        assert_eq!(added(none).unwrap_err(), missing(), "{none}");
        assert_eq!(removed(None, none).unwrap_err(), missing(), "{none}");
    }
    assert_eq!(removed(Some("sim_ids="), "").unwrap_err(), missing());
    assert_eq!(removed(None, r#"{"sim_ids":""}"#).unwrap_err(), missing());
    for (other, problem) in [("7", Problem::NotList), ("{}", Problem::NotList)] {
        let body = format!(r#"{{"sim_ids":{other}}}"#);
        assert_eq!(added(&body).unwrap_err(), vec![("sim_ids".to_owned(), problem)]);
    }
    let too_many = |max| vec![("sim_ids".to_owned(), Problem::TooManyItems(max))];
    let listed = |count| format!(r#"{{"sim_ids":["{}"]}}"#, cards(count).join(r#"",""#));
    assert_eq!(added(&listed(SIMS_MAX)).unwrap().sims.len(), SIMS_MAX);
    assert_eq!(added(&listed(SIMS_MAX + 1)).unwrap_err(), too_many(SIMS_MAX));
    assert_eq!(removed(None, &listed(SIMS_MAX)).unwrap().sims.len(), SIMS_MAX);
    let joined = |count| format!("sim_ids={}", cards(count).join(","));
    let most = removed(Some(&joined(SIMS_IN_QUERY_MAX)), "").unwrap();
    assert_eq!(most.sims.len(), SIMS_IN_QUERY_MAX);
    let beyond = removed(Some(&joined(SIMS_IN_QUERY_MAX + 1)), "").unwrap_err();
    assert_eq!(beyond, too_many(SIMS_IN_QUERY_MAX));
}

#[test]
fn words_are_one_of_some() {
    let asked = |query: &str| read::<AsyncResult>(Some(query), "");
    let plain = asked("").unwrap();
    assert!(!plain.only_failed && !plain.csv);
    assert_eq!((plain.page_no, plain.page_size, plain.request_id.as_str()), (1, 100, "id_1"));
    let failed = asked("only=failed&format=csv&page_size=1000").unwrap();
    assert!(failed.only_failed && failed.csv && failed.page_size == 1_000);
    assert!(!asked("only=&format=json").unwrap().csv);
    let wrong = asked("only=FAILED&format=xml&page_size=1001").unwrap_err();
    let expected = [
        ("page_size".to_owned(), Problem::NotCount(1, 1_000)),
        ("only".to_owned(), Problem::NotWord(&["failed"])),
        ("format".to_owned(), Problem::NotWord(&["json", "csv"])),
    ];
    assert_eq!(wrong, expected);
}

#[test]
fn what_is_signed_is_the_list_or_the_text_and_the_path() {
    let content = |query: Option<&str>, body: &str| {
        let mut params = Params::read(query, body.as_bytes()).unwrap();
        params.push_path("group_id", "grp_1").unwrap();
        signing_content(&params)
    };
    assert_eq!(
        content(None, &format!(r#"{{ "sim_ids" : [ "{B}", "{A}" ], "sign": "x" }}"#)),
        format!(r#"{{"group_id":"grp_1","sim_ids":["{B}","{A}"]}}"#)
    );
    assert_eq!(
        content(Some(&format!("sim_ids={B}%2C{A}&sign=x")), ""),
        format!(r#"{{"group_id":"grp_1","sim_ids":"{B},{A}"}}"#)
    );
}
