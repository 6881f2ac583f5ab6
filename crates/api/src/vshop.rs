//! Handlers of Vshop. `wire` documents each call; the use-cases are in `mall`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use wire::renewals::{
    AutoRenewalRecord, CancelAutoRenewalRecord, QueryAutoRenewalRecord, QueryAutoRenewalRecordList,
};
use wire::vshop::{
    SingleOrder, SingleQueryOrder, SingleServicePlanPage, SingleVerify, SynOrderInfo,
};

use crate::App;
use crate::signed::Signed;

/// `{}`.
#[derive(Serialize)]
pub(crate) struct Nothing {}

/// An object, or `{}` where there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Perhaps<T> {
    Some(T),
    None(Nothing),
}

pub(crate) async fn single_verify(State(app): State<App>, call: Signed<SingleVerify>) -> Response {
    call.answer(app.mall.verify_sim(&call.caller, &call.request).await)
}

pub(crate) async fn single_service_plan_page(
    State(app): State<App>,
    call: Signed<SingleServicePlanPage>,
) -> Response {
    call.answer(app.mall.plan_page(&call.caller, &call.request).await)
}

pub(crate) async fn single_order(State(app): State<App>, call: Signed<SingleOrder>) -> Response {
    call.answer(app.mall.create_order(&call.caller, &call.request).await)
}

pub(crate) async fn single_query_order(
    State(app): State<App>,
    call: Signed<SingleQueryOrder>,
) -> Response {
    call.answer(app.mall.query_sim_plans(&call.caller, &call.request).await)
}

pub(crate) async fn query_auto_renewal_record(
    State(app): State<App>,
    call: Signed<QueryAutoRenewalRecord>,
) -> Response {
    let record = app.mall.query_renewal(&call.caller, &call.request).await;
    call.answer(record.map(|record: Option<AutoRenewalRecord>| {
        record.map_or(Perhaps::None(Nothing {}), Perhaps::Some)
    }))
}

pub(crate) async fn cancel_auto_renewal_record(
    State(app): State<App>,
    call: Signed<CancelAutoRenewalRecord>,
) -> Response {
    let cancelled = app.mall.cancel_renewal(&call.caller, &call.request).await;
    call.answer(cancelled.map(|()| Nothing {}))
}

pub(crate) async fn query_auto_renewal_record_list(
    State(app): State<App>,
    call: Signed<QueryAutoRenewalRecordList>,
) -> Response {
    call.answer(app.mall.list_renewals(&call.caller, &call.request).await)
}

pub(crate) async fn syn_order_info(State(app): State<App>, call: Signed<SynOrderInfo>) -> Response {
    call.answer(app.mall.report_order(&call.caller, &call.request).await)
}
