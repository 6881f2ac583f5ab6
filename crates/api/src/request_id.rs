//! Every request gets a number, which stands on its answer and on every log line it causes, and belongs to
//! a trace: its caller's (`traceparent`), else one that has the request's own digits. How it went is
//! logged, counted, and told to the mall's request log.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use domain::id::RequestId;
use domain::{Locale, Timestamp, TraceId, TraceParent};
use mall::{Answered, Mall, Route, Sighting};
use tracing::{Instrument, Span};
use wire::Code;

use crate::answer::Voice;
use crate::signed::accepted_locale;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The status noted for a request whose caller went away before it was answered.
const CLIENT_GONE: u16 = 499;

/// Numbers a request, and sees how it goes: never its query or its body, which carry people's data.
pub(crate) async fn number(
    State(mall): State<Arc<Mall>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id: RequestId = mall.ctx().id();
    // For the audit log.
    request.extensions_mut().insert(id);
    let parent = parent(request.headers());
    let trace = parent.map_or_else(|| TraceId::begun_by(id), |parent| parent.trace);
    // A path that matches no route may be anything, a person's data included.
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let route = mall.metrics().route(path);
    let sighting = Arc::new(Sighting::default());
    request.extensions_mut().insert(Arc::clone(&sighting));
    let locale = accepted_locale(request.headers()).unwrap_or(Locale::EnUs);
    let work = async {
        // An error span, so that it is there however little is logged. It is made inside the trace.
        let span = tracing::error_span!("request", id = %id, trace = %trace);
        mall::trace::adopt(&span, parent);
        let watch = Watch {
            method: word(request.method()),
            began: mall.ctx().now(),
            span: span.clone(),
            status: None,
            mall,
            id,
            trace,
            route,
            sighting,
        };
        let response = next.run(request).instrument(span).await;
        watch.answered(response, locale)
    };
    mall::trace::within(trace, work).await
}

/// The trace that the caller names; one that is named twice or wrongly is taken for none.
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut named = headers.get_all(TRACEPARENT).iter();
    match (named.next(), named.next()) {
        (Some(header), None) => TraceParent::read(header.to_str().ok()?),
        _ => None,
    }
}

/// The method, as long as it is one that somebody could mean.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// Sees a request to its end, even if its caller goes away.
struct Watch {
    mall: Arc<Mall>,
    id: RequestId,
    trace: TraceId,
    route: Route,
    method: &'static str,
    began: Timestamp,
    span: Span,
    sighting: Arc<Sighting>,
    status: Option<StatusCode>,
}

impl Watch {
    fn answered(mut self, mut response: Response, locale: Locale) -> Response {
        if response.status() == StatusCode::NOT_FOUND
            && !response.headers().contains_key(header::CONTENT_TYPE)
        {
            // The documentation's pages say nothing about what they lack.
            response = Voice::new(locale).refuse(Code::NotFound);
        }
        self.status = Some(response.status());
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::try_from(self.id.to_string()) {
            headers.insert(X_REQUEST_ID, id);
        }
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let took = self.mall.ctx().now().since(self.began);
        let status = self.status.map_or(CLIENT_GONE, |status| status.as_u16());
        let code = match self.sighting.refusal() {
            Some(code) => code.as_str(),
            None => code_of(status),
        };
        let (method, path, millis) = (self.method, self.route.as_str(), took.as_micros() / 1_000);
        self.span.in_scope(|| match path {
            // Asked every few seconds by machines.
            "/healthz" | "/readyz" | "/metrics" => {
                tracing::debug!(method, path, status, millis, "answered");
            }
            _ => tracing::info!(method, path, status, millis, "answered"),
        });
        self.mall.metrics().answered(&self.route, method, code, took.to_std());
        self.mall.log_request(Answered {
            id: self.id,
            trace: self.trace,
            at: self.began,
            took,
            route: self.route.clone(),
            method,
            status,
            code,
            sighting: &self.sighting,
        });
    }
}

/// The code of an answer that says none of its own.
fn code_of(status: u16) -> &'static str {
    match status {
        200..=399 => mall::SUCCESS,
        CLIENT_GONE => "CLIENT_GONE",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        409 => "CONFLICT",
        404 => Code::NotFound.as_str(),
        405 => Code::MethodNotAllowed.as_str(),
        408 => Code::RequestTimeout.as_str(),
        413 => Code::PayloadTooLarge.as_str(),
        415 => Code::UnsupportedMediaType.as_str(),
        429 => Code::RateLimited.as_str(),
        400..=499 => Code::BadRequest.as_str(),
        503 => Code::Unavailable.as_str(),
        _ => Code::Internal.as_str(),
    }
}
