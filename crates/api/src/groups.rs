//! Handlers of groups of SIMs. `wire` documents each call; the use-cases are in `mall`.

use axum::extract::State;
use axum::response::Response;
use domain::Locale;
use wire::groups::{
    AddGroupSims, AsyncResult, CancelOperation, ChangeGroupSims, ListGroupSims, ListGroups,
    OperationResult, RemoveGroupSims, RetryFailed, SimResult,
};

use crate::App;
use crate::file::File;
use crate::messages;
use crate::signed::Signed;

pub(crate) async fn list(State(app): State<App>, call: Signed<ListGroups>) -> Response {
    call.answer(app.mall.list_groups(&call.caller).await)
}

pub(crate) async fn list_sims(State(app): State<App>, call: Signed<ListGroupSims>) -> Response {
    call.answer(app.mall.list_group_sims(&call.caller, &call.request).await)
}
