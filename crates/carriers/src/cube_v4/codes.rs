//! What Cube's codes mean for an order. The published list is cut: what is not on it is unclear, so that an
//! order whose fate is unknown is looked at and never refunded or repeated by itself. Pure.

use serde_json::Value;

use crate::http::Answer;
use crate::secret::words;
use crate::{SubmitError, tolerant};
use domain::Span;

/// When to try again what the SIM's pending operation stands in the way of.
const SIM_BUSY_RETRY: Span = Span::seconds(60);

/// What a code says about what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Taken.
    Success,
    /// Nothing to do: it is so already. Only of a request to make it so.
    AlreadySo,
    /// Refused; nothing was done.
    Permanent,
    /// Not now; nothing was done.
    SimBusy,
    /// Nobody can tell.
    Unclear,
}

/// The class of a code.
pub(super) fn class(code: &str) -> Class {
    match code {
        "CB-00-0000" => Class::Success,
        "CB-01-0101" => Class::AlreadySo,
        // Activation or deactivation pending, other operations pending.
        "CB-01-0108" | "CB-01-0109" | "CB-01-0111" => Class::SimBusy,
        // Times; parameters; authentication; validation.
        "CB-00-0001" | "CB-00-0002" | "CB-00-0003" | "CB-99-9400" | "CB-99-9401" | "CB-99-9402"
        | "CB-99-9403" | "CB-01-9999" | "CB-02-9999" | "CB-04-9999"
        // No such SIM, IMEI, SN, OTA; no bundle; not in this state; data pool; no such plan.
        | "CB-01-0001" | "CB-01-0002" | "CB-01-0003" | "CB-01-0004" | "CB-01-0005"
        | "CB-01-0006" | "CB-01-0102" | "CB-01-0105" | "CB-01-0106" | "CB-01-0107"
        | "CB-01-0125" | "CB-01-0202" | "CB-01-0204" | "CB-02-0003" => Class::Permanent,
        // CB-99-9500 and CB-99-9999 are internal; CB-01-0103, -0104 and -0200 are for a person.
        _ => Class::Unclear,
    }
}

/// An answer in its envelope.
#[derive(Debug)]
pub(super) struct Envelope {
    pub code: String,
    /// The code and the carrier's words.
    pub said: String,
    pub data: Value,
    pub total: Option<u64>,
}

impl Envelope {
    /// Reads an answer, whatever its HTTP status; `None` if it is not an envelope with a code.
    pub fn read(answer: &Answer) -> Option<Self> {
        let mut body: Value = serde_json::from_str(&answer.body).ok()?;
        let code = tolerant::text(body.get("status")?, &["code"])?;
        let message = tolerant::text(&body["status"], &["message"]).unwrap_or_default();
        let said = words(&format!("{code} {message}"));
        let total = tolerant::count(&body, &["total_count"]);
        Some(Self { code, said, data: body["data"].take(), total })
    }
}

/// Whether a request that orders or changes something was taken. The code decides; the HTTP status counts
/// only where the code says nothing.
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
    let Envelope { code, said: message, .. } = &envelope;
    let (code, message) = (code.clone(), message.clone());
    match class(&code) {
        Class::Success => Ok(envelope),
        Class::Permanent => Err(SubmitError::Permanent { code, message }),
        Class::SimBusy => Err(SubmitError::RetryLater { after: SIM_BUSY_RETRY, message }),
        Class::Unclear if crowded => Err(SubmitError::RetryLater { after: answer.wait(), message }),
        // No order makes something that can be so already.
        Class::AlreadySo | Class::Unclear => Err(SubmitError::Ambiguous { message }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: Some(Span::seconds(7)), body: body.to_owned() }
    }

    fn coded(status: u16, code: &str) -> Result<String, SubmitError> {
        let body = format!(r#"{{"data":{{}},"status":{{"code":"{code}","message":"words"}}}}"#);
        taken(&answer(status, &body)).map(|envelope| envelope.said)
    }

    #[test]
    fn the_table_of_codes() {
        let permanent = [
            "00-0001", "00-0002", "00-0003", "99-9400", "99-9402", "99-9401", "99-9403", "01-9999",
            "02-9999", "04-9999", "01-0001", "01-0006", "01-0002", "01-0003", "01-0004", "01-0005",
            "01-0102", "01-0105", "01-0106", "01-0107", "01-0125", "01-0202", "01-0204", "02-0003",
        ];
        for code in permanent {
            let refused = coded(200, &format!("CB-{code}"));
            let Err(SubmitError::Permanent { code: found, message }) = refused else {
                panic!("{code}: {refused:?}");
            };
            assert_eq!((found, message), (format!("CB-{code}"), format!("CB-{code} words")));
        }
        for code in ["01-0108", "01-0109", "01-0111"] {
            let later = coded(200, &format!("CB-{code}"));
            assert!(matches!(later, Err(SubmitError::RetryLater { .. })), "{code}");
        }
        let unclear = ["99-9500", "99-9999", "01-0103", "01-0104", "01-0200", "01-0101", "77-7777"];
        for code in unclear {
            let unclear = coded(200, &format!("CB-{code}"));
            assert!(matches!(unclear, Err(SubmitError::Ambiguous { .. })), "{code}");
        }
    }

    #[test]
    fn the_code_comes_before_the_status() {
        assert_eq!(coded(500, "CB-00-0000"), Ok("CB-00-0000 words".to_owned()));
        assert!(matches!(coded(500, "CB-02-0003"), Err(SubmitError::Permanent { .. })));
        assert!(matches!(coded(400, "CB-99-9500"), Err(SubmitError::Ambiguous { .. })));
        let later = coded(429, "CB-77-7777");
        assert!(
            matches!(later, Err(SubmitError::RetryLater { after, .. }) if after == Span::seconds(7))
        );
    }

    #[test]
    fn without_a_code_only_429_is_clear() {
        for (status, body) in [(200, "{"), (200, "{}"), (400, ""), (403, "<html>"), (503, "busy")] {
            let unclear = taken(&answer(status, body)).map(|_| ());
            assert!(matches!(unclear, Err(SubmitError::Ambiguous { .. })), "{status} {body}");
        }
        let later = taken(&answer(429, "slow down")).map(|_| ());
        let message = "HTTP 429 slow down".to_owned();
        assert_eq!(later, Err(SubmitError::RetryLater { after: Span::seconds(7), message }));
    }
}
