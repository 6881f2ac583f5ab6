//! What carriers tell on their own account. It is a reason to ask, never a proof of anything: a plan is on
//! its SIM when the carrier says so in an answer to our own question. Pure data.

use domain::Iccid;

/// A notification, reduced to what one needs to ask the right question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHint {
    /// The same for every delivery of the same event.
    pub dedupe_id: String,
    /// The carrier's word for what happened.
    pub kind: String,
    /// The SIM it is about.
    pub iccid: Option<Iccid>,
    /// The carrier's order it is about.
    pub upstream_id: Option<String>,
    /// Our key of that order.
    pub key: Option<String>,
    /// Whether a signature was there and right. An unsigned hint can come from anybody: ask, but not often.
    pub signed: bool,
}

/// Why a notification is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The carrier sends none, or none that are understood.
    #[error("this carrier's notifications are not understood")]
    Unsupported,
    /// Its signature is missing or wrong.
    #[error("the signature is missing or wrong")]
    BadSignature,
    /// It is not what the carrier promises to send.
    #[error("the body cannot be read")]
    Unreadable,
}

/// The headers of a notification: names in any case, and values.
pub type Headers<'a> = [(&'a str, &'a str)];

/// The first header of a name.
pub(crate) fn header<'a>(headers: &Headers<'a>, name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value)
}
