//! Handlers of Topup. `wire` documents each call; the use-cases are in `mall`.

use axum::extract::State;
use axum::response::Response;
use wire::topup::QueryOrder;

use crate::App;
use crate::signed::Signed;

pub(crate) async fn query_order(State(app): State<App>, call: Signed<QueryOrder>) -> Response {
    call.answer(app.mall.query_orders(&call.caller, &call.request).await)
}
