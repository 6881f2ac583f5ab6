//! Handlers of Payment. `wire` documents each call; the use-cases are in `mall`.

use axum::extract::State;
use axum::response::Response;
use wire::payment::ResultQuery;

use crate::App;
use crate::signed::Signed;

pub(crate) async fn result_query(State(app): State<App>, call: Signed<ResultQuery>) -> Response {
    call.answer(app.mall.payment_result(&call.caller, &call.request).await)
}
