//! What is known of a call that did not go well: whether it was refused, cannot have been carried out, or may
//! have been. Pure.

use domain::Span;
use serde::Deserialize;

use super::Secret;
use super::secret::words;

/// When to try again if Stripe does not say it: it has too many calls.
const CROWDED_RETRY: Span = Span::seconds(5);
/// When to try again: another call holds the key or the object.
const LOCKED_RETRY: Span = Span::seconds(2);
/// When to try again: Stripe does not take our key until a person sees to it.
const KEY_RETRY: Span = Span::seconds(60);

/// Why a call has no result. No text has a key in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The bank or Stripe's own rules refused the payment. Nothing was charged.
    #[error("declined: {message}{}", coded(code.as_deref(), decline_code.as_deref()))]
    Declined {
        /// Stripe's word, such as `card_declined`.
        code: Option<String>,
        /// The bank's word, such as `insufficient_funds`.
        decline_code: Option<String>,
        /// Stripe's sentence, for people.
        message: String,
        /// The payment that was declined.
        payment_intent: Option<String>,
    },
    /// Stripe said no for good; nothing was done. The same call will be refused again.
    #[error("refused: {message}{}", coded(code.as_deref(), param.as_deref()))]
    Refused {
        /// Stripe's word, such as `charge_already_refunded`.
        code: Option<String>,
        /// The field that is at fault.
        param: Option<String>,
        /// Stripe's sentence.
        message: String,
    },
    /// The object that the call is about is not there.
    #[error("not found: {message}")]
    NotFound {
        /// Stripe's sentence.
        message: String,
    },
    /// The key was used before for another call; nothing was done now.
    #[error("the key was used for another call: {message}")]
    KeyConflict {
        /// Stripe's sentence.
        message: String,
    },
    /// This call cannot have done anything: try again under the same key.
    #[error("not now: {message}")]
    Unavailable {
        /// How long to wait.
        after: Span,
        /// Why.
        message: String,
    },
    /// It may have been done, and there was no answer: ask, or repeat it under the same key.
    #[error("nobody can tell: {message}")]
    Unknown {
        /// What happened.
        message: String,
    },
    /// It may have been done, and Stripe answered that it is in trouble. It answers the same under the same key from
    /// now on: ask, and repeat it under another key only if nothing is there.
    #[error("nobody can tell: {message}")]
    Trouble {
        /// What Stripe said.
        message: String,
    },
}

/// The words in brackets, if there are any.
fn coded(first: Option<&str>, second: Option<&str>) -> String {
    match (first, second) {
        (Some(first), Some(second)) => format!(" ({first}, {second})"),
        (Some(word), None) | (None, Some(word)) => format!(" ({word})"),
        (None, None) => String::new(),
    }
}

/// An answer whose status is not 2xx.
pub(super) struct Refusal<'a> {
    pub status: u16,
    pub retry_after: Option<Span>,
    pub request_id: Option<&'a str>,
    pub body: &'a [u8],
}

#[derive(Debug, Deserialize)]
struct Body {
    error: Said,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
    param: Option<String>,
    payment_intent: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: Option<String>,
}

impl Refusal<'_> {
    /// What this answer means.
    pub fn meaning(&self, secret: &Secret) -> CallError {
        let said = serde_json::from_slice::<Body>(self.body).ok().map(|body| body.error);
        let sentence = said.as_ref().and_then(|said| said.message.as_deref());
        let message = self.message(sentence, secret);
        let clean = |text: Option<String>| text.map(|text| words(&text, secret));
        if self.status == 429 {
            let after = self.retry_after.unwrap_or(CROWDED_RETRY);
            return CallError::Unavailable { after, message };
        }
        // Whoever answers without Stripe's words is not Stripe, and may stand before or behind it.
        let Some(said) = said else { return CallError::Unknown { message } };
        let kind = said.kind.as_deref().unwrap_or_default();
        match (self.status, said.code.as_deref().unwrap_or_default()) {
            (400..=499, "lock_timeout" | "idempotency_key_in_use") => {
                let after = self.retry_after.unwrap_or(LOCKED_RETRY);
                CallError::Unavailable { after, message }
            }
            (400..=499, _) if kind == "idempotency_error" => CallError::KeyConflict { message },
            // Keys are looked at before anything else is done.
            (401 | 403, _) => CallError::Unavailable { after: KEY_RETRY, message },
            (402, _) => CallError::Declined {
                code: clean(said.code),
                decline_code: clean(said.decline_code),
                message,
                payment_intent: clean(said.payment_intent.and_then(|named| named.id)),
            },
            (404, "resource_missing") => CallError::NotFound { message },
            // An address that Stripe does not know is 404 too; it says nothing of any object.
            (400 | 404, _) => {
                CallError::Refused { code: clean(said.code), param: clean(said.param), message }
            }
            (500..=599, _) => CallError::Trouble { message },
            _ => CallError::Unknown { message },
        }
    }

    fn message(&self, sentence: Option<&str>, secret: &Secret) -> String {
        let sentence = sentence.map(|sentence| format!(": {sentence}")).unwrap_or_default();
        let request = self.request_id.map(|id| format!(" ({id})")).unwrap_or_default();
        words(&format!("HTTP {}{request}{sentence}", self.status), secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, body: &str) -> CallError {
        let refusal =
            Refusal { status, retry_after: None, request_id: None, body: body.as_bytes() };
        refusal.meaning(&Secret::new("sk_test_k3y"))
    }

    #[test]
    fn a_lost_key_is_not_an_answer_about_the_payment() {
        let body = r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key: sk_test_k3y"}}"#;
        let error = meaning(401, body);
        assert!(matches!(&error, CallError::Unavailable { .. }), "{error}");
        assert_eq!(error.to_string(), "not now: HTTP 401: Invalid API Key: [redacted]");
    }

    #[test]
    fn only_a_missing_resource_is_not_found() {
        let missing = r#"{"error":{"type":"invalid_request_error","code":"resource_missing",
            "param":"intent","message":"No such payment_intent: 'pi_1'"}}"#;
        assert!(matches!(meaning(404, missing), CallError::NotFound { .. }));
        // As a field of a new object it is a refusal.
        assert!(matches!(meaning(400, missing), CallError::Refused { .. }));
        let route = r#"{"error":{"type":"invalid_request_error",
            "message":"Unrecognized request URL (GET: /v2/x)."}}"#;
        assert!(matches!(meaning(404, route), CallError::Refused { .. }));
        assert!(matches!(meaning(404, "<html>"), CallError::Unknown { .. }));
    }

    #[test]
    fn words_of_a_decline() {
        let body = r#"{"error":{"type":"card_error","code":"card_declined",
            "decline_code":"insufficient_funds","message":"Your card has insufficient funds.",
            "payment_intent":{"id":"pi_1","status":"requires_payment_method"}}}"#;
        let error = meaning(402, body);
        let CallError::Declined { code, decline_code, payment_intent, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(code.as_deref(), Some("card_declined"));
        assert_eq!(decline_code.as_deref(), Some("insufficient_funds"));
        assert_eq!(payment_intent.as_deref(), Some("pi_1"));
        let text = "declined: HTTP 402: Your card has insufficient funds. \
                    (card_declined, insufficient_funds)";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn keys_of_calls() {
        let conflict =
            r#"{"error":{"type":"idempotency_error","message":"Keys for idempotent …"}}"#;
        for status in [400, 409] {
            assert!(matches!(meaning(status, conflict), CallError::KeyConflict { .. }), "{status}");
        }
        for kind in ["invalid_request_error", "idempotency_error"] {
            for code in ["idempotency_key_in_use", "lock_timeout"] {
                let body = format!(r#"{{"error":{{"type":"{kind}","code":"{code}"}}}}"#);
                let error = meaning(409, &body);
                let expected =
                    CallError::Unavailable { after: LOCKED_RETRY, message: "HTTP 409".to_owned() };
                assert_eq!(error, expected, "{body}");
            }
        }
        let other = r#"{"error":{"type":"api_error"}}"#;
        assert!(matches!(meaning(409, other), CallError::Unknown { .. }));
    }
}
