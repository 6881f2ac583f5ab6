//! What can come of a use-case besides its answer.

use domain::{Locale, Span};
use store::StoreError;
use wire::Code;
use wire::admin::Problem as AdminProblem;
use wire::diagnosis::Cause;
use wire::form::{FormError, Problem};

use crate::push_endpoints::EndpointReason;

/// The result of a use-case.
pub type Result<T> = std::result::Result<T, Error>;

/// What can come of a use-case besides its answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is told so.
    #[error("refused: {}", .0.code.as_str())]
    Refused(Box<Refusal>),
    /// An operator is told so.
    #[error("{0}")]
    Denied(Box<AdminProblem>),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stored facts contradict each other, or a rule of our own was broken.
    #[error("internal: {0}")]
    Internal(String),
    /// The worker is gone, as far as a test is concerned: nothing more is written.
    #[cfg(feature = "failpoints")]
    #[error("the worker is gone")]
    Vanished,
}

/// Why a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason for programs.
    pub code: Code,
    /// What is wrong with which field.
    pub errors: Vec<FormError>,
    /// The field that the code is about.
    pub field: Option<&'static str>,
    /// Why a push endpoint cannot be made or changed.
    pub reason: Option<EndpointReason>,
    /// Why a signature does not match; in test mode only.
    pub diagnosis: Option<Diagnosis>,
    /// After how long the caller may try again, where that is known.
    pub retry_after: Option<Span>,
    /// The partner's language, once it is certain that it calls.
    pub locale: Option<Locale>,
}

/// Why a signature does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The content as the server built it.
    pub sign_content: String,
    /// What the client did, as far as it can be told.
    pub hint: Hint,
}

/// What the client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// These mistakes together; none is known where there are none.
    Causes(Vec<Cause>),
    /// The content is too large to be searched for mistakes.
    TooLarge,
    /// Too many others are being searched.
    Busy,
    /// `tradeTime` is off by so many seconds.
    Stale(i64),
    /// `tradeTime` is not in milliseconds.
    WrongUnit,
}

impl Refusal {
    /// A refusal with nothing more to say than its code.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            errors: Vec::new(),
            field: None,
            reason: None,
            diagnosis: None,
            retry_after: None,
            locale: None,
        }
    }

    /// A refusal that is about a field.
    pub fn about(code: Code, field: &'static str) -> Self {
        Self { field: Some(field), ..Self::new(code) }
    }

    /// A refusal of a field.
    pub fn field(field: &str, problem: Problem) -> Self {
        let errors = vec![FormError { field: field.to_owned(), problem }];
        Self { errors, ..Self::new(Code::BadRequest) }
    }
}

impl Error {
    /// The same, in the language of the partner where it is a refusal.
    pub(crate) fn in_language(self, locale: Locale) -> Self {
        match self {
            Self::Refused(refusal) => Refusal { locale: Some(locale), ..*refusal }.into(),
            other => other,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<AdminProblem> for Error {
    fn from(problem: AdminProblem) -> Self {
        Self::Denied(Box::new(problem))
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Refusal::new(code).into()
    }
}

impl From<domain::order::IllegalTransition> for Error {
    fn from(illegal: domain::order::IllegalTransition) -> Self {
        Self::Internal(illegal.to_string())
    }
}

impl From<domain::payment::IllegalTransition> for Error {
    fn from(illegal: domain::payment::IllegalTransition) -> Self {
        Self::Internal(illegal.to_string())
    }
}
