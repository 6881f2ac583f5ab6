//! Handlers of Topup's calls about push endpoints. `wire` documents each call; the use-cases are in `mall`.

use axum::extract::State;
use axum::response::Response;
use wire::endpoints::{
    AddEndpoint, ChangeEndpoint, DeleteEndpoint, ListDeliveries, ListEndpoints, ResendPushes,
    RotateKey, TakePushes, TestEndpoint,
};

use crate::App;
use crate::signed::Signed;
use crate::vshop::Nothing;

pub(crate) async fn list(State(app): State<App>, call: Signed<ListEndpoints>) -> Response {
    call.answer(app.mall.push_endpoints(&call.caller).await)
}

pub(crate) async fn add(State(app): State<App>, call: Signed<AddEndpoint>) -> Response {
    call.answer(app.mall.add_push_endpoint(&call.caller, &call.request).await)
}

pub(crate) async fn change(State(app): State<App>, call: Signed<ChangeEndpoint>) -> Response {
    call.answer(app.mall.change_push_endpoint(&call.caller, &call.request).await)
}

pub(crate) async fn test(State(app): State<App>, call: Signed<TestEndpoint>) -> Response {
    call.answer(app.mall.test_push_endpoint(&call.caller, &call.request).await)
}

pub(crate) async fn rotate(State(app): State<App>, call: Signed<RotateKey>) -> Response {
    call.answer(app.mall.rotate_push_key(&call.caller, &call.request).await)
}

pub(crate) async fn delete(State(app): State<App>, call: Signed<DeleteEndpoint>) -> Response {
    let deleted = app.mall.delete_push_endpoint(&call.caller, &call.request).await;
    call.answer(deleted.map(|()| Nothing {}))
}

pub(crate) async fn resend(State(app): State<App>, call: Signed<ResendPushes>) -> Response {
    call.answer(app.mall.resend_pushes(&call.caller, &call.request).await)
}

pub(crate) async fn take(State(app): State<App>, call: Signed<TakePushes>) -> Response {
    call.answer(app.mall.take_pushes(&call.caller, &call.request).await)
}

pub(crate) async fn deliveries(State(app): State<App>, call: Signed<ListDeliveries>) -> Response {
    call.answer(app.mall.push_deliveries(&call.caller, &call.request).await)
}
