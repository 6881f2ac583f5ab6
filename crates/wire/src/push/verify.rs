//! The receiver's side of a push: whether it is from the mall, from now, and an event. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Span, Timestamp};
use hmac::Mac;

use super::event::{Event, VERSION};
use super::headers::{lf_tail, standard_head};
use super::key::Key;
use super::{
    ALGO, HMAC_SHA1, LF_SIGNATURE, LF_TIMESTAMP, NOTIFICATION_VERSION, WEBHOOK_ID,
    WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
};

/// How far a push's time may be from the receiver's.
pub const TOLERANCE: Span = Span::seconds(300);
/// How many signatures of Standard Webhooks are looked at.
const SIGNATURES_MAX: usize = 16;
/// How many digits a time may have.
const DIGITS_MAX: usize = 15;

/// A push that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The event.
    pub event: Event,
    /// The id of the key that verified it.
    pub key_id: String,
}

/// Why a push is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is not there.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// Of two values nobody could say which one counts.
    #[error("the header {0} occurs twice")]
    Twice(&'static str),
    /// A header is not of its form.
    #[error("the header {0} is not of its form")]
    Form(&'static str),
    /// Made otherwise than this version can verify.
    #[error("the push is not version 1.0 with HMAC-SHA1")]
    Version,
    /// No key of ours made the signature in this header.
    #[error("the signature in {0} is not over this body with a key that is known here")]
    Signature(&'static str),
    /// Signed too long ago, or in the future.
    #[error("the time in {0} is too far from now")]
    Time(&'static str),
    /// Signed, but no event.
    #[error("the body is not an event: {0}")]
    Body(String),
    /// The id in the header is not the event's.
    #[error("the event's id is not the one in {WEBHOOK_ID}")]
    Id,
}

/// Verifies a push by its raw body. The signature of Standard Webhooks must be one by a known key; that of
/// the vendor's headers too, unless it names a key that is not known here: while one key takes the
/// other's place, a receiver that has only the older one goes on. Both times must be near `now`.
pub fn verify<N: AsRef<str>, V: AsRef<[u8]>>(
    headers: impl IntoIterator<Item = (N, V)>,
    body: &[u8],
    keys: &[Key],
    (now, tolerance): (Timestamp, Span),
) -> Result<Verified, VerifyError> {
    let received = Received::read(headers)?;
    let key = received.check_standard(body, keys)?;
    received.check_lf(body, keys)?;
    received.check_times(now, tolerance)?;
    let event: Event =
        serde_json::from_slice(body).map_err(|error| VerifyError::Body(error.to_string()))?;
    if event.event_id != received.webhook_id {
        return Err(VerifyError::Id);
    }
    Ok(Verified { event, key_id: key.id().to_owned() })
}

fn there(name: &'static str, value: Option<String>) -> Result<String, VerifyError> {
    value.ok_or(VerifyError::Missing(name))
}

/// The headers as they came.
struct Received {
    lf_signature: String,
    lf_timestamp: String,
    webhook_id: String,
    webhook_timestamp: String,
    webhook_signature: String,
}

impl Received {
    fn read<N: AsRef<str>, V: AsRef<[u8]>>(
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, VerifyError> {
        let names = [
            NOTIFICATION_VERSION,
            ALGO,
            LF_SIGNATURE,
            LF_TIMESTAMP,
            WEBHOOK_ID,
            WEBHOOK_TIMESTAMP,
            WEBHOOK_SIGNATURE,
        ];
        let mut values: [Option<String>; 7] = Default::default();
        for (name, value) in headers {
            let ours = names.iter().zip(values.iter_mut());
            let Some((name, place)) =
                ours.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_ref()))
            else {
                continue;
            };
            if place.is_some() {
                return Err(VerifyError::Twice(name));
            }
            let text = std::str::from_utf8(value.as_ref()).map_err(|_| VerifyError::Form(name))?;
            *place = Some(text.to_owned());
        }
        let [version, algo, lf_signature, lf_timestamp, id, timestamp, signature] = values;
        let (version, algo) = (there(NOTIFICATION_VERSION, version)?, there(ALGO, algo)?);
        if (version.as_str(), algo.as_str()) != (VERSION, HMAC_SHA1) {
            return Err(VerifyError::Version);
        }
        Ok(Self {
            lf_signature: there(LF_SIGNATURE, lf_signature)?,
            lf_timestamp: there(LF_TIMESTAMP, lf_timestamp)?,
            webhook_id: there(WEBHOOK_ID, id)?,
            webhook_timestamp: there(WEBHOOK_TIMESTAMP, timestamp)?,
            webhook_signature: there(WEBHOOK_SIGNATURE, signature)?,
        })
    }

    /// The key that made one of the signatures. The work does not depend on which.
    fn check_standard<'k>(&self, body: &[u8], keys: &'k [Key]) -> Result<&'k Key, VerifyError> {
        let given: Vec<Vec<u8>> = self
            .webhook_signature
            .split(' ')
            .take(SIGNATURES_MAX)
            .filter_map(|part| STANDARD.decode(part.strip_prefix("v1,")?).ok())
            .collect();
        if given.is_empty() {
            return Err(VerifyError::Form(WEBHOOK_SIGNATURE));
        }
        let head = standard_head(&self.webhook_id, &self.webhook_timestamp);
        let mut found = None;
        for key in keys {
            for signature in &given {
                let mac = key.sha256(&[head.as_bytes(), body]);
                // Compared in constant time.
                let same = mac.is_some_and(|mac| mac.verify_slice(signature).is_ok());
                found = found.or(same.then_some(key));
            }
        }
        found.ok_or(VerifyError::Signature(WEBHOOK_SIGNATURE))
    }

    fn check_lf(&self, body: &[u8], keys: &[Key]) -> Result<(), VerifyError> {
        let form = || VerifyError::Form(LF_SIGNATURE);
        let (id, signature) = self.lf_signature.split_once('/').ok_or_else(form)?;
        let signature = hex::decode(signature).map_err(|_| form())?;
        let tail = lf_tail(&self.lf_timestamp);
        let mut named = keys.iter().filter(|key| key.id() == id).peekable();
        if named.peek().is_none() {
            return Ok(());
        }
        // Two keys of one id are a receiver's mistake, and either may be the right one.
        let signed = named.any(|key| {
            let mac = key.sha1(&[body, tail.as_bytes()]);
            mac.is_some_and(|mac| mac.verify_slice(&signature).is_ok())
        });
        if signed { Ok(()) } else { Err(VerifyError::Signature(LF_SIGNATURE)) }
    }

    fn check_times(&self, now: Timestamp, tolerance: Span) -> Result<(), VerifyError> {
        let units = [
            (WEBHOOK_TIMESTAMP, &self.webhook_timestamp, 1_000),
            (LF_TIMESTAMP, &self.lf_timestamp, 1),
        ];
        for (name, text, millis) in units {
            let digits = text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
            let number: Option<i64> = text.parse().ok().filter(|_| digits);
            let number = number.and_then(|number| number.checked_mul(millis));
            let at = number.and_then(Timestamp::from_millis).ok_or(VerifyError::Form(name))?;
            if now.since(at) > tolerance || at.since(now) > tolerance {
                return Err(VerifyError::Time(name));
            }
        }
        Ok(())
    }
}
