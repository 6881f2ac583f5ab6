//! Failures as `application/problem+json`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mall::Error;
use wire::Code;
use wire::admin::{FieldError, Problem};

use crate::answer::RETRY_AFTER_SECONDS;

/// Why a request failed.
#[derive(Debug)]
pub(crate) struct Failure(Box<Problem>);

impl Failure {
    /// Fields are wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        Problem::invalid(errors).into()
    }

    /// The server made a mistake.
    pub(crate) fn internal() -> Self {
        let detail = "the server made a mistake; its log says more under this request's id";
        Problem::new(500, "INTERNAL", detail).into()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(problem) => Self(problem),
            Error::Refused(refusal) if refusal.code == Code::RateLimited => {
                let detail = "too many tokens that are not valid came from this address; try again \
                              after the time in the header `Retry-After`";
                Problem::new(429, "RATE_LIMITED", detail).into()
            }
            Error::Store(error) if error.is_unavailable() => {
                tracing::error!(%error, "the database is not available");
                let detail = "the server cannot answer now; try again";
                Problem::new(503, "UNAVAILABLE", detail).into()
            }
            error => {
                tracing::error!(%error, "a request failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&*self.0)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            headers.insert(header::RETRY_AFTER, seconds);
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
