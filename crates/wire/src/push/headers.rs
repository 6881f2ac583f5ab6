//! The headers of a push: making both signatures. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use hmac::Mac;

use super::event::{BODY_BYTES_MAX, VERSION};
use super::key::Key;
use super::{
    ALGO, HMAC_SHA1, KEYS_MAX, LF_SIGNATURE, LF_TIMESTAMP, NOTIFICATION_VERSION, WEBHOOK_ID,
    WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
};

/// The headers of one try to send an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// `{keyId}/{hex}`, by the newer key.
    pub lf_signature: String,
    /// Epoch milliseconds.
    pub lf_timestamp: String,
    /// The event's id.
    pub webhook_id: String,
    /// Epoch seconds.
    pub webhook_timestamp: String,
    /// One signature for each key.
    pub webhook_signature: String,
}

impl Headers {
    /// Names and values as they are sent.
    pub fn pairs(&self) -> [(&'static str, &str); 7] {
        [
            (NOTIFICATION_VERSION, VERSION),
            (ALGO, HMAC_SHA1),
            (LF_SIGNATURE, &self.lf_signature),
            (LF_TIMESTAMP, &self.lf_timestamp),
            (WEBHOOK_ID, &self.webhook_id),
            (WEBHOOK_TIMESTAMP, &self.webhook_timestamp),
            (WEBHOOK_SIGNATURE, &self.webhook_signature),
        ]
    }
}

/// Why a push is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No key, or more than may be live at once.
    #[error("a push is signed by 1 to {KEYS_MAX} keys, not {0}")]
    Keys(usize),
    /// An id that would make the signed text ambiguous, or no header.
    #[error("an event's id is 1 to 128 of A-Z a-z 0-9 _ -")]
    EventId,
    /// A time before 1970.
    #[error("a push cannot be signed before 1970")]
    Time,
    /// Longer than receivers were told.
    #[error("a push's body has {0} bytes, more than {BODY_BYTES_MAX}")]
    TooLong(usize),
}

/// Signs a body at a time. The newest key comes first: it makes the vendor's signature, which has room for
/// one; Standard Webhooks' header carries one signature for each key. The time is that of the try, not
/// of the event, so that receivers can refuse what is old.
pub fn sign(
    keys: &[Key],
    event_id: &str,
    at: Timestamp,
    body: &[u8],
) -> Result<Headers, SignError> {
    let newest = keys.first().filter(|_| keys.len() <= KEYS_MAX);
    let newest = newest.ok_or(SignError::Keys(keys.len()))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if event_id.is_empty() || event_id.len() > 128 || !event_id.bytes().all(plain) {
        return Err(SignError::EventId);
    }
    if body.len() > BODY_BYTES_MAX {
        return Err(SignError::TooLong(body.len()));
    }
    let millis = at.as_millis();
    if millis <= 0 {
        return Err(SignError::Time);
    }
    let (lf_timestamp, webhook_timestamp) = (millis.to_string(), (millis / 1_000).to_string());
    let signatures: Vec<String> =
        keys.iter().map(|key| standard(key, event_id, &webhook_timestamp, body)).collect();
    Ok(Headers {
        lf_signature: format!("{}/{}", newest.id(), lf(newest, &lf_timestamp, body)),
        lf_timestamp,
        webhook_id: event_id.to_owned(),
        webhook_timestamp,
        webhook_signature: signatures.join(" "),
    })
}

/// What stands behind the body in the vendor's message (order chosen).
pub(super) fn lf_tail(timestamp: &str) -> String {
    format!("{VERSION}:{HMAC_SHA1}:{timestamp}")
}

fn lf(key: &Key, timestamp: &str, body: &[u8]) -> String {
    let mac = key.sha1(&[body, lf_tail(timestamp).as_bytes()]);
    mac.map_or_else(String::new, |mac| hex::encode(mac.finalize().into_bytes()))
}

/// What stands before the body in the message of Standard Webhooks.
pub(super) fn standard_head(id: &str, timestamp: &str) -> String {
    format!("{id}.{timestamp}.")
}

fn standard(key: &Key, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mac = key.sha256(&[standard_head(id, timestamp).as_bytes(), body]);
    let signature =
        mac.map_or_else(String::new, |mac| STANDARD.encode(mac.finalize().into_bytes()));
    format!("v1,{signature}")
}
