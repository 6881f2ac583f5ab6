//! Every request gets a number, which stands on its answer and on every log line it causes.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use domain::id::RequestId;
use domain::{Ctx, Locale};
use tracing::Instrument;
use wire::Code;

use crate::answer::Voice;
use crate::signed::accepted_locale;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers a request, and logs how it went: never its query or its body, which carry people's data.
pub(crate) async fn number(State(ctx): State<Ctx>, mut request: Request, next: Next) -> Response {
    let id: RequestId = ctx.id();
    // For the audit log.
    request.extensions_mut().insert(id);
    // An error span, so that it is there however little is logged.
    let span = tracing::error_span!("request", id = %id);
    let began = ctx.now();
    let method = request.method().clone();
    // A path that matches no route may be anything, a person's data included.
    let path =
        request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let locale = accepted_locale(request.headers()).unwrap_or(Locale::EnUs);
    let mut response = next.run(request).instrument(span.clone()).await;
    if response.status() == StatusCode::NOT_FOUND
        && !response.headers().contains_key(header::CONTENT_TYPE)
    {
        // The documentation's pages say nothing about what they lack.
        response = Voice::new(locale).refuse(Code::NotFound);
    }
    let millis = ctx.now().since(began).as_micros() / 1_000;
    span.in_scope(|| {
        tracing::info!(%method, path, status = response.status().as_u16(), millis, "answered");
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(X_REQUEST_ID, id);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
