//! What machines ask of this process: whether it answers, whether it can serve, and its figures.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mall::{Check, Mall};
use serde::Serialize;

/// The type of the figures' text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/healthz` and `/readyz`, for whoever sends requests here: what is wrong is only named.
pub(crate) fn for_everybody(mall: &Arc<Mall>) -> Router {
    let ready = |State(mall): State<Arc<Mall>>| async move { readiness(&mall, false).await };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(mall))
}

/// The same with what is wrong, and `/metrics`: without a token, on a listener that only operators and
/// their machines reach.
pub(crate) fn for_operators(mall: &Arc<Mall>) -> Router {
    let ready = |State(mall): State<Arc<Mall>>| async move { readiness(&mall, true).await };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(Arc::clone(mall))
}

async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

async fn readiness(mall: &Mall, with_detail: bool) -> Response {
    let line = |check: Check| Line {
        name: check.name,
        ok: check.wrong.is_none(),
        detail: check.wrong.filter(|_| with_detail),
    };
    let checks: Vec<Line> = mall.readiness().await.into_iter().map(line).collect();
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks })).into_response()
}

async fn figures(State(mall): State<Arc<Mall>>) -> Response {
    ([(header::CONTENT_TYPE, OPENMETRICS)], mall.metrics_text().await).into_response()
}
