//! Answers to what never becomes a request that a router could see: what is no HTTP, a head that is too
//! large or too slow, a connection too many. The listener writes them as they are made here, so that a
//! caller finds the same envelope and the same headers whoever refuses it.

use std::sync::Arc;

use axum::http::StatusCode;
use domain::id::RequestId;
use domain::{Ctx, Locale};
use mall::Mall;
use wire::Code;
use wire::admin::Problem;
use wire::answer::{Envelope, Failure};

use crate::answer::RETRY_AFTER_SECONDS;
use crate::messages;

/// Why something is refused before it is a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Early {
    /// It is no HTTP, or contradicts itself.
    Malformed,
    /// The path with its query is too long.
    PathTooLong,
    /// The head is too large, or has too many headers.
    HeadTooLarge,
    /// The head did not come in time.
    HeadTooSlow,
    /// There is no room for another connection.
    NoRoom,
}

impl Early {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::PathTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Malformed => Code::BadRequest,
            Self::PathTooLong | Self::HeadTooLarge => Code::PayloadTooLarge,
            Self::HeadTooSlow => Code::RequestTimeout,
            Self::NoRoom => Code::Unavailable,
        }
    }

    /// What an operator is told.
    fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "this is no HTTP request that can be read",
            Self::PathTooLong => "the path with its query is too long",
            Self::HeadTooLarge => "the head of the request is too large",
            Self::HeadTooSlow => "the head of the request did not come in time",
            Self::NoRoom => "there are too many connections; try again",
        }
    }
}

/// Whom a listener is for.
#[derive(Debug, Clone, Copy)]
enum Callers {
    Partners,
    Operators,
}

/// Makes the early answers of a listener.
#[derive(Debug, Clone)]
pub struct EarlyAnswers {
    ctx: Ctx,
    callers: Callers,
}

impl EarlyAnswers {
    /// For the partners' listener: the envelope. In English, because no language was read.
    pub fn for_partners(mall: &Arc<Mall>) -> Self {
        Self { ctx: mall.ctx().clone(), callers: Callers::Partners }
    }

    /// For the admin API's listener: a problem.
    pub fn for_operators(mall: &Arc<Mall>) -> Self {
        Self { ctx: mall.ctx().clone(), callers: Callers::Operators }
    }

    /// A whole answer, head and body, after which the connection must be closed.
    pub fn write(&self, early: Early) -> Vec<u8> {
        let (status, code) = (early.status(), early.code());
        let (kind, body) = match self.callers {
            Callers::Partners => {
                let failure = Failure::new(code, messages::code(Locale::EnUs, code));
                ("application/json", serde_json::to_vec(&Envelope::failure(failure)))
            }
            Callers::Operators => {
                let problem = Problem::new(status.as_u16(), code.as_str(), early.detail());
                ("application/problem+json", serde_json::to_vec(&problem))
            }
        };
        // Structures of texts can be written.
        let body = body.unwrap_or_default();
        let id: RequestId = self.ctx.id();
        note(id, early);
        let retry_after = match early {
            Early::NoRoom => format!("retry-after: {RETRY_AFTER_SECONDS}\r\n"),
            _ => String::new(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nx-request-id: {id}\r\n\
             x-content-type-options: nosniff\r\n{retry_after}connection: close\r\n\
             content-length: {length}\r\ndate: {date}\r\n\r\n",
            length = body.len(),
            date = self.ctx.now().http_date(),
        );
        [head.into_bytes(), body].concat()
    }
}

/// So that the number on the answer finds something in the log.
fn note(id: RequestId, early: Early) {
    let status = early.status().as_u16();
    if early == Early::NoRoom {
        // Of these there may be a flood, of which the listener speaks now and then.
        tracing::debug!(%id, status, "refused before it was a request");
    } else {
        tracing::info!(%id, status, "refused before it was a request");
    }
}
