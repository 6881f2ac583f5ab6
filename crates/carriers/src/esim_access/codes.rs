//! The envelope and the codes of eSIM Access, and how its calls are signed. Pure.

use domain::Span;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::http::Answer;
use crate::secret::words;
use crate::{SubmitError, tolerant};

/// When to try again what the carrier has no stock, credit or time for.
const LATER: Span = Span::seconds(60);

/// `RT-Signature`: upper-case hexadecimal HMAC-SHA256.
pub(super) fn signature(
    secret: &str,
    timestamp: &str,
    request_id: &str,
    access_code: &str,
    body: &str,
) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    // HMAC takes keys of any length.
    let Ok(mac) = mac else { return String::new() };
    let parts = [timestamp, request_id, access_code, body];
    let mac = parts.iter().fold(mac, Mac::chain_update);
    hex::encode_upper(mac.finalize().into_bytes())
}

/// What a code says about what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Taken.
    Success,
    /// Refused; nothing was done.
    Permanent,
    /// Not now; nothing was done.
    Later,
    /// The order is there and being worked on.
    Working,
    /// Nobody can tell; the same key may be sent again.
    Unclear,
}

/// The class of a code.
pub(super) fn class(code: &str) -> Class {
    match code {
        "" | "0" => Class::Success,
        // Headers, method and parameters; address; signature.
        "000101" | "000102" | "000103" | "000104" | "000105" | "000106" | "000107" | "101002"
        | "101003"
        // Not in this state; prices; parameters.
        | "200002" | "200005" | "200006" | "200008"
        // No such bundle, area, currency, network, package, vendor, order or SIM.
        | "310201" | "310211" | "310221" | "310231" | "310241" | "310243" | "310251" | "310272"
        | "310403" => Class::Permanent,
        // Our clock; no credit; no stock; busy. The order was not made.
        "101001" | "200007" | "200011" | "900001" => Class::Later,
        "200010" => Class::Working,
        // 000001 is internal, 200009 is "abnormal"; the list may have grown.
        _ => Class::Unclear,
    }
}

/// An answer in its envelope.
#[derive(Debug)]
pub(super) struct Envelope {
    pub class: Class,
    pub code: String,
    /// The code and the carrier's words.
    pub said: String,
    pub obj: Value,
}

impl Envelope {
    /// Reads an answer; `None` if it is not an envelope.
    pub fn read(answer: &Answer) -> Option<Self> {
        let mut body: Value = serde_json::from_str(&answer.body).ok()?;
        let success = match body.get("success")? {
            Value::Bool(success) => *success,
            Value::String(text) => text.eq_ignore_ascii_case("true"),
            _ => return None,
        };
        let code = tolerant::text(&body, &["errorCode"]).unwrap_or_default();
        let message = tolerant::text(&body, &["errorMsg", "errorMessage"]).unwrap_or_default();
        let class = match (success, class(&code)) {
            (true, Class::Success) => Class::Success,
            // It contradicts itself.
            (true, _) | (false, Class::Success) => Class::Unclear,
            (false, class) => class,
        };
        let shown = if success { "success" } else { code.as_str() };
        let said = words(&format!("{shown} {message}"));
        Some(Self { class, code, said, obj: body["obj"].take() })
    }
}

/// Whether a request that orders or changes something was taken.
pub(super) fn taken(answer: &Answer) -> Result<Envelope, SubmitError> {
    let crowded = answer.is_crowded();
    let Some(envelope) = Envelope::read(answer) else {
        let message = answer.said();
        return Err(if crowded {
            SubmitError::RetryLater { after: answer.wait(), message }
        } else {
            SubmitError::Ambiguous { message }
        });
    };
    let (code, message) = (envelope.code.clone(), envelope.said.clone());
    match envelope.class {
        Class::Success => Ok(envelope),
        Class::Permanent => Err(SubmitError::Permanent { code, message }),
        Class::Later => Err(SubmitError::RetryLater { after: LATER, message }),
        Class::Unclear if crowded => Err(SubmitError::RetryLater { after: answer.wait(), message }),
        Class::Working | Class::Unclear => Err(SubmitError::Ambiguous { message }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_of_the_demo_comes_out() {
        let id = "4ce9d9cdac9e4e17b3a2c66c358c1ce2";
        let signed = signature("1111", "1628670421", id, "11111", r#"{"imsi":"326543826"}"#);
        let expected = "7EB765E27DF5373DEA2DBC8C41A7D9557743E46C8054750F3D851B3FD01D0835";
        assert_eq!(signed, expected);
    }

    fn answered(status: u16, body: &str) -> Result<String, SubmitError> {
        let answer = Answer { status, retry_after: None, body: body.to_owned() };
        taken(&answer).map(|envelope| envelope.said)
    }

    fn coded(code: &str) -> Result<String, SubmitError> {
        answered(200, &format!(r#"{{"success":false,"errorCode":"{code}","errorMsg":"words"}}"#))
    }

    #[test]
    fn the_table_of_codes() {
        for code in ["000101", "000107", "101002", "101003", "200002", "200005", "310241", "310403"]
        {
            let message = format!("{code} words");
            assert_eq!(coded(code), Err(SubmitError::Permanent { code: code.to_owned(), message }));
        }
        for code in ["101001", "200007", "200011", "900001"] {
            assert!(matches!(coded(code), Err(SubmitError::RetryLater { .. })), "{code}");
        }
        for code in ["000001", "200009", "200010", "999999", "0", ""] {
            assert!(matches!(coded(code), Err(SubmitError::Ambiguous { .. })), "{code}");
        }
        let success = r#"{"success":"true","errorCode":null,"errorMsg":null,"obj":{}}"#;
        assert_eq!(answered(200, success), Ok("success".to_owned()));
    }

    #[test]
    fn what_is_no_envelope_is_unclear_but_for_429() {
        for (status, body) in [(200, "{"), (200, "{}"), (401, ""), (502, "<html>")] {
            let unclear = answered(status, body);
            assert!(matches!(unclear, Err(SubmitError::Ambiguous { .. })), "{status} {body}");
        }
        assert!(matches!(answered(429, ""), Err(SubmitError::RetryLater { .. })));
    }
}
