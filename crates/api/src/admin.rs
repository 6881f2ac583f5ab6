//! The admin API over HTTP. The table of routes in `wire` says what there is; each route's guard
//! reads the token, checks the role, the query and the body, and hands all of it over as one
//! `Call`, so that a handler can neither forget nor repeat it.

mod call;
mod failure;
mod handlers;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use mall::Mall;
use tower_http::catch_panic::CatchPanicLayer;
use wire::admin::route::Method;
use wire::admin::{PREFIX, Problem, ROUTES, Route};

use call::{Call, Gate};
use failure::Failure;

/// The admin API, for a listener of its own.
pub fn router(mall: &Arc<Mall>) -> Router {
    let mut routes = Router::new();
    for route in ROUTES {
        routes = routes.route(route.path, handlers::of(route.op, route, mall));
    }
    // Below the prefix, and around it, failures look alike.
    let nothing = || async { Failure::from(Problem::not_found("path")).into_response() };
    let method = || async { refuse(StatusCode::METHOD_NOT_ALLOWED) };
    Router::new()
        .nest(PREFIX, routes)
        .merge(crate::health::for_operators(mall))
        .method_not_allowed_fallback(method)
        .fallback(nothing)
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(mall), crate::request_id::number))
}

/// What a handler gives back.
pub(crate) type Outcome = Result<Response, Failure>;

/// A route with its handler, which gets nothing but the call.
fn on<F, R>(route: &'static Route, mall: &Arc<Mall>, handler: F) -> MethodRouter
where
    F: Fn(Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let filter = match route.method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    };
    let gate = Gate { mall: Arc::clone(mall), route };
    axum::routing::on(filter, handler).with_state(gate)
}

fn refuse(status: StatusCode) -> Response {
    let detail = "the path does not take this method; the `Allow` header names those that it takes";
    Failure::from(Problem::new(status.as_u16(), "METHOD_NOT_ALLOWED", detail)).into_response()
}

/// The answer of a handler that panicked. What it panicked about, the panic hook has logged.
fn after_panic(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Failure::internal().into_response()
}
