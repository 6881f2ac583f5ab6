//! A request and what becomes of it, as far as any HTTP library is concerned: plain values. Touches nothing.

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` or `DELETE`.
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
pub struct Reply {
    /// What is sent; `None` closes the connection without an answer.
    pub answer: Option<Answer>,
    /// How long the answer, or the end of the connection, is held back, in milliseconds.
    pub delay_ms: u64,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The request as JSON, to be kept and read again by [`Request::from_json`]. The authorisation stays in it: keys
    /// of a double are worth nothing.
    pub fn to_json(&self) -> Value {
        json!({
            "method": self.method, "path": self.path, "query": self.query, "headers": self.headers,
            "body": hex::encode(&self.body),
        })
    }

    /// What [`Request::to_json`] made; `None` if it is nothing of the kind.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self {
            method: text("method")?,
            path: text("path")?,
            query: text("query")?,
            headers: serde_json::from_value(value["headers"].clone()).ok()?,
            body: hex::decode(value["body"].as_str()?).ok()?,
        })
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
    pub(crate) fn now(answer: Answer) -> Self {
        Self { answer: Some(answer), delay_ms: 0 }
    }

    pub(crate) fn dropped() -> Self {
        Self { answer: None, delay_ms: 0 }
    }
}
