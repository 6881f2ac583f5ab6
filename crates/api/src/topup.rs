//! Handlers of Topup. `wire` documents each call; the use-cases are in `mall`.

use axum::extract::State;
use axum::response::Response;
use domain::Locale;
use mall::Found;
use wire::topup::{Order, QueryOrder, QuerySim, QuerySimUsage};

use crate::App;
use crate::messages;
use crate::signed::Signed;

pub(crate) async fn query_order(State(app): State<App>, call: Signed<QueryOrder>) -> Response {
    let found = app.mall.query_orders(&call.caller, &call.request).await;
    call.answer(found.map(|found| translated(found, call.caller.locale)))
}

pub(crate) async fn query_sim(State(app): State<App>, call: Signed<QuerySim>) -> Response {
    call.answer(app.mall.sim_status(&call.caller, &call.request.iccid).await)
}

pub(crate) async fn query_sim_usage(
    State(app): State<App>,
    call: Signed<QuerySimUsage>,
) -> Response {
    call.answer(app.mall.sim_usage(&call.caller, &call.request.iccid).await)
}

/// The same orders, with the mall's own reasons of failure in a language; a carrier's words stay.
fn translated(mut found: Found, locale: Locale) -> Found {
    let say = |order: &mut Order| {
        if let Some(failure) = &mut order.failure
            && let Some(text) = messages::failure(locale, &failure.code)
        {
            failure.message = text;
        }
    };
    match &mut found {
        Found::One(order) => say(order),
        Found::Page(page) => page.orders.iter_mut().for_each(say),
    }
    found
}
