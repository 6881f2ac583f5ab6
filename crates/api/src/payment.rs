//! Handlers of Payment. `wire` documents each call; the use-cases are in `mall`.

use axum::extract::State;
use axum::response::Response;
use wire::payment::{
    ResultConfirm, ResultQuery, StripeSingleAuth, StripeSubAuth, StripeSubDirectly,
};

use crate::App;
use crate::signed::Signed;

pub(crate) async fn stripe_single_auth(
    State(app): State<App>,
    call: Signed<StripeSingleAuth>,
) -> Response {
    call.answer(app.mall.authorise_payment(&call.caller, &call.request).await)
}

pub(crate) async fn stripe_sub_auth(
    State(app): State<App>,
    call: Signed<StripeSubAuth>,
) -> Response {
    call.answer(app.mall.authorise_renewal(&call.caller, &call.request).await)
}

pub(crate) async fn stripe_sub_directly(
    State(app): State<App>,
    call: Signed<StripeSubDirectly>,
) -> Response {
    call.answer(app.mall.subscribe(&call.caller, &call.request).await)
}

pub(crate) async fn result_query(State(app): State<App>, call: Signed<ResultQuery>) -> Response {
    call.answer(app.mall.payment_result(&call.caller, &call.request).await)
}

pub(crate) async fn result_confirm(
    State(app): State<App>,
    call: Signed<ResultConfirm>,
) -> Response {
    call.answer(app.mall.confirm_payment(&call.caller, &call.request).await)
}
