//! Answers: the shape and the language that a caller gets.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Locale;
use mall::{Diagnosis, Error, Hint, Refusal, Sighting};
use serde::Serialize;
use wire::Code;
use wire::answer::{Envelope, Failure};
use wire::form::{FormError, Problem};
use wire::params::ParamsError;

use crate::messages::{self, Arg};

/// How long a caller is asked to wait when nobody knows how long it will take, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: &str = "1";

/// In which words a caller is answered.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) locale: Locale,
    /// Whether a success stands in the envelope.
    pub(crate) enveloped: bool,
    /// The order's number that the caller wrote, for failures.
    pub(crate) order_no: Option<String>,
    /// Where it is noted that a caller was refused.
    pub(crate) sighting: Arc<Sighting>,
}

impl Voice {
    /// A voice that knows the language only.
    pub(crate) fn new(locale: Locale) -> Self {
        Self { locale, enveloped: true, order_no: None, sighting: Arc::default() }
    }

    /// An answer of a use-case.
    pub(crate) fn answer<T: Serialize>(&self, outcome: mall::Result<T>) -> Response {
        match outcome {
            Ok(data) if self.enveloped => Json(Envelope::success(data)).into_response(),
            Ok(data) => Json(data).into_response(),
            Err(error) => self.error(error),
        }
    }

    /// A refusal with nothing more to say than its code.
    pub(crate) fn refuse(&self, code: Code) -> Response {
        self.fail(code, messages::code(self.locale, code), |_| ())
    }

    /// A request whose parameters cannot be read.
    pub(crate) fn unreadable(&self, error: &ParamsError) -> Response {
        let message = messages::params_error(self.locale, error);
        self.fail(Code::BadRequest, message, |failure| {
            if let ParamsError::Duplicate(name) = error {
                failure.field = Some(name.chars().take(messages::ARG_CHARS_MAX).collect());
            }
        })
    }

    /// A request with wrong fields.
    pub(crate) fn wrong_fields(&self, errors: &[FormError]) -> Response {
        let sentences = errors.iter().map(|error| messages::problem(self.locale, error));
        let text = messages::joined(self.locale, sentences);
        self.fail(Code::BadRequest, text, |failure| {
            name_fields(failure, errors);
        })
    }

    /// What came of a use-case besides its answer.
    pub(crate) fn error(&self, error: Error) -> Response {
        match error {
            Error::Refused(refusal) => self.refusal(&refusal),
            Error::Store(error) if error.is_unavailable() => {
                tracing::error!(%error, "the database is not available");
                self.refuse(Code::Unavailable)
            }
            error => {
                tracing::error!(%error, "a request failed");
                self.refuse(Code::Internal)
            }
        }
    }

    fn refusal(&self, refusal: &Refusal) -> Response {
        if !refusal.errors.is_empty() {
            return self.wrong_fields(&refusal.errors);
        }
        let message = match (refusal.code, refusal.field) {
            (code @ Code::EndpointRefused, _) => refusal.reason.map_or_else(
                || messages::code(self.locale, code),
                |reason| messages::endpoint_reason(self.locale, reason.message_id()),
            ),
            (Code::OrderConflict, Some("payRst")) => {
                messages::message(self.locale, messages::OUTCOME_CONFLICT, &[])
            }
            (Code::OrderConflict, Some("request_id")) => {
                messages::message(self.locale, messages::STILL_RUNS, &[])
            }
            (code, _) => messages::code(self.locale, code),
        };
        let mut response = self.fail(refusal.code, message, |failure| {
            failure.field = refusal.field.map(str::to_owned);
            if let Some(diagnosis) = &refusal.diagnosis {
                failure.sign_content = Some(diagnosis.sign_content.clone());
                failure.hint = Some(self.hint(diagnosis));
            }
        });
        if let Some(wait) = refusal.retry_after {
            // Rounded up: who comes then must not be told to wait again.
            let seconds = (wait.as_micros().max(1) + 999_999) / 1_000_000;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn hint(&self, diagnosis: &Diagnosis) -> String {
        match &diagnosis.hint {
            Hint::Causes(causes) => messages::hint(self.locale, causes),
            Hint::TooLarge => messages::message(self.locale, "hint-too-large", &[]),
            Hint::WrongUnit => {
                let (field, problem) = ("tradeTime".to_owned(), Problem::NotEpochMillis);
                messages::problem(self.locale, &FormError { field, problem })
            }
            Hint::Busy => messages::message(self.locale, "hint-busy", &[]),
            Hint::Stale(seconds) => {
                let args = [("seconds", Arg::Number(*seconds))];
                messages::message(self.locale, "hint-stale-time", &args)
            }
        }
    }

    fn fail(&self, code: Code, message: String, more: impl FnOnce(&mut Failure)) -> Response {
        self.sighting.refused(code);
        let mut failure = Failure::new(code, message);
        failure.data.clone_from(&self.order_no);
        more(&mut failure);
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(Envelope::failure(failure))).into_response();
        if matches!(code.status(), 429 | 503) {
            let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if code == Code::RequestTimeout {
            // The rest of the body may still come: it is no next request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn name_fields(failure: &mut Failure, errors: &[FormError]) {
    failure.field = errors.first().map(|error| error.field.clone());
    if errors.len() > 1 {
        failure.fields = errors.iter().map(|error| error.field.clone()).collect();
    }
}
