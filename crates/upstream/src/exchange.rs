//! A request and what becomes of it, as far as any HTTP library is concerned: plain values. Touches nothing.

use domain::Span;
use serde_json::Value;

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The query as it stands behind the question mark; empty without one.
    pub query: String,
    /// Names and values; names are compared without regard to case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

/// An answer as it is meant to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

/// What is done with a request's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The answer is sent.
    Answer(Answer),
    /// The connection is closed without an answer.
    Drop,
    /// The head and the beginning of the body are sent, and the rest after a pause.
    Slow {
        /// The whole answer.
        answer: Answer,
        /// How many bytes of its body are sent at once.
        first_bytes: usize,
        /// How long the rest is held back.
        pause: Span,
    },
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The query's parameters, decoded.
    pub fn parameters(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// One parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters().into_iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }

    /// The body as JSON; an empty one is null.
    pub(crate) fn json(&self) -> Option<Value> {
        if self.body.is_empty() {
            return Some(Value::Null);
        }
        serde_json::from_slice(&self.body).ok()
    }
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// The answer with one more header.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Reply {
    /// The answer, if one is given that can be read whole.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) | Self::Slow { answer, .. } => Some(answer),
            Self::Drop => None,
        }
    }
}
