//! The partner and the admin JSON API over HTTP: reads requests, calls one use-case, renders its answer.
//!
//! A handler is short: every business decision is in `mall`, every wire name in `wire`. Handlers are
//! reached only through the extractor that authenticates, so that none can forget it.

pub mod admin;
mod answer;
mod cashier_events;
mod client_address;
mod early;
mod endpoints;
mod file;
mod groups;
mod health;
pub mod messages;
mod notifications;
pub mod openapi;
mod payment;
mod request_id;
mod signed;
mod time_limit;
mod topup;
mod vshop;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use domain::{Locale, Mode};
use mall::Mall;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_swagger_ui::SwaggerUi;
use wire::{Code, Service};

use crate::answer::Voice;

pub use crate::client_address::{ClientAddress, ClientAddressHeader, TrustedProxies};
pub use crate::early::{Early, EarlyAnswers};
pub use crate::signed::BODY_BYTES_MAX;

/// What every handler works with: the mall, and the mode that the path chose.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) mall: Arc<Mall>,
    pub(crate) mode: Mode,
}

/// All pages of the API. `root_mode` says which mode the paths without a prefix mean; `None` leaves
/// them out. `request_time_max` is how long a request may take.
pub fn router(mall: &Arc<Mall>, root_mode: Option<Mode>, request_time_max: Duration) -> Router {
    let mut router = Router::new();
    for mode in Mode::ALL {
        for service in Service::ALL {
            router = router.nest(service.prefix(mode), calls(service, mode, mall));
        }
    }
    if let Some(mode) = root_mode {
        for service in Service::ALL {
            router = router.merge(calls(service, mode, mall));
        }
    }
    let document = Bytes::from(openapi::document().to_string());
    let document = get(move || {
        let json = [(header::CONTENT_TYPE, "application/json")];
        ready((json, document.clone()))
    });
    let page = utoipa_swagger_ui::Config::from("/openapi.json")
        .try_it_out_enabled(true)
        .use_base_layout()
        .validator_url("none");
    router
        .route("/", get(|| ready(Redirect::to("/docs/"))))
        .route("/openapi.json", document)
        .merge(notifications::router(mall))
        .merge(cashier_events::router(mall))
        .merge(health::for_everybody(mall))
        .merge(SwaggerUi::new("/docs").config(page))
        .method_not_allowed_fallback(|headers: HeaderMap| refuse(&headers, Code::MethodNotAllowed))
        .fallback(|headers: HeaderMap| refuse(&headers, Code::NotFound))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(axum::middleware::from_fn_with_state(request_time_max, time_limit::cut_off))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(mall), request_id::number))
}

/// The calls of a service in a mode, on the paths that `wire` names.
fn calls(service: Service, mode: Mode, mall: &Arc<Mall>) -> Router {
    let calls = match service {
        Service::Vshop => Router::new()
            .route(wire::vshop::SINGLE_VERIFY.path, post(vshop::single_verify))
            .route(
                wire::vshop::SINGLE_SERVICE_PLAN_PAGE.path,
                post(vshop::single_service_plan_page),
            )
            .route(wire::vshop::SINGLE_ORDER.path, post(vshop::single_order))
            .route(wire::vshop::SINGLE_QUERY_ORDER.path, post(vshop::single_query_order))
            .route(
                wire::renewals::QUERY_AUTO_RENEWAL_RECORD.path,
                post(vshop::query_auto_renewal_record),
            )
            .route(
                wire::renewals::CANCEL_AUTO_RENEWAL_RECORD.path,
                post(vshop::cancel_auto_renewal_record),
            )
            .route(
                wire::renewals::QUERY_AUTO_RENEWAL_RECORD_LIST.path,
                post(vshop::query_auto_renewal_record_list),
            )
            .route(wire::vshop::SYN_ORDER_INFO.path, post(vshop::syn_order_info)),
        Service::Payment => Router::new()
            .route(wire::payment::STRIPE_SINGLE_AUTH.path, post(payment::stripe_single_auth))
            .route(wire::payment::STRIPE_SUB_AUTH.path, post(payment::stripe_sub_auth))
            .route(wire::payment::STRIPE_SUB_DIRECTLY.path, post(payment::stripe_sub_directly))
            .route(wire::payment::RESULT_QUERY.path, post(payment::result_query))
            .route(wire::payment::RESULT_CONFIRM.path, post(payment::result_confirm)),
        Service::Topup => Router::new()
            .route(wire::topup::QUERY_ORDER.path, get(topup::query_order))
            .route(wire::topup::QUERY_SIM.path, get(topup::query_sim))
            .route(wire::topup::QUERY_SIM_USAGE.path, get(topup::query_sim_usage))
            .route(wire::endpoints::LIST.path, get(endpoints::list).post(endpoints::add))
            .route(wire::endpoints::CHANGE.path, post(endpoints::change))
            .route(wire::endpoints::TEST.path, post(endpoints::test))
            .route(wire::endpoints::ROTATE.path, post(endpoints::rotate))
            .route(wire::endpoints::DELETE.path, post(endpoints::delete))
            .route(wire::endpoints::RESEND.path, post(endpoints::resend))
            .route(wire::endpoints::TAKE.path, post(endpoints::take))
            .route(wire::endpoints::DELIVERIES.path, get(endpoints::deliveries))
            .route(wire::groups::LIST_GROUPS.path, get(groups::list))
            .route(
                wire::groups::ADD_GROUP_SIMS.path,
                get(groups::list_sims).post(groups::add_sims).delete(groups::remove_sims),
            )
            .route(wire::groups::ASYNC_RESULT.path, get(groups::async_result))
            .route(wire::groups::RETRY_FAILED.path, post(groups::retry_failed))
            .route(wire::groups::CANCEL_OPERATION.path, post(groups::cancel_operation)),
    };
    calls.with_state(App { mall: Arc::clone(mall), mode })
}

/// Refuses a request that reaches no handler.
fn refuse(headers: &HeaderMap, code: Code) -> Ready<Response> {
    let locale = signed::accepted_locale(headers).unwrap_or(Locale::EnUs);
    ready(Voice::new(locale).refuse(code))
}

/// The answer of a handler that panicked. What it panicked about, the panic hook has logged.
fn after_panic(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Voice::new(Locale::EnUs).refuse(Code::Internal)
}
