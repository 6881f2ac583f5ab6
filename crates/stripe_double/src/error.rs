//! Refusals in Stripe's words: the error envelope and its status. Touches nothing.

use serde_json::{Map, Value, json};

use crate::exchange::Answer;

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    /// `invalid_request_error`, `card_error`, `idempotency_error` or `api_error`.
    kind: &'static str,
    message: String,
    /// `code`, `decline_code`, `param`, and objects such as `payment_intent`.
    more: Map<String, Value>,
    /// Whether it came of the execution, so that the idempotency key answers it from now on. What fails
    /// validation is not kept.
    pub(crate) is_kept: bool,
}

impl ApiError {
    pub(crate) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), more: Map::new(), is_kept: false }
    }

    /// A request that is wrong: 400.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// A wrong parameter: 400.
    pub(crate) fn param(param: &str, message: impl Into<String>) -> Self {
        Self::invalid(message).with("param", json!(param))
    }

    pub(crate) fn missing(param: &str) -> Self {
        let error = Self::param(param, format!("Missing required param: {param}."));
        error.code("parameter_missing")
    }

    /// An object that is not there: 404 if the path names it.
    pub(crate) fn no_such(status: u16, kind: &str, id: &str, param: &str) -> Self {
        let kind = kind.replace("subscription_item", "subscription item");
        let error = Self::param(param, format!("No such {kind}: '{id}'"));
        Self { status, ..error.code("resource_missing") }
    }

    /// A key that may not do this: 401.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "invalid_request_error", message)
    }

    /// A card that did not pay: 402.
    pub(crate) fn card(code: &str, decline_code: Option<&str>, message: &str) -> Self {
        let error = Self::new(402, "card_error", message).code(code).kept();
        match decline_code {
            Some(decline_code) => error.with("decline_code", json!(decline_code)),
            None => error,
        }
    }

    pub(crate) fn code(self, code: &str) -> Self {
        self.with("code", json!(code))
    }

    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn kept(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// What stands in `last_payment_error`.
    pub(crate) fn as_last_error(&self) -> Value {
        let mut error = self.more.clone();
        error.retain(|name, _| !["payment_intent", "setup_intent"].contains(&name.as_str()));
        error.insert("type".to_owned(), json!(self.kind));
        error.insert("message".to_owned(), json!(self.message));
        Value::Object(error)
    }

    #[cfg(test)]
    pub(crate) fn field(&self, name: &str) -> Value {
        self.more.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn answer(&self) -> Answer {
        let mut error = self.more.clone();
        error.insert("type".to_owned(), json!(self.kind));
        error.insert("message".to_owned(), json!(self.message));
        if let Some(code) = error.get("code").and_then(Value::as_str) {
            let url = format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"));
            error.insert("doc_url".to_owned(), json!(url));
        }
        Answer::json(self.status, &json!({"error": error}))
    }
}
