//! Whether an event was signed by Stripe: over the bytes as they came, with a time that is not long ago. Pure.

use domain::{Mode, Span, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::objects::Event;

/// Why an event is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The header is not there or not of the form `t=…,v1=…`.
    #[error("Stripe-Signature is missing or not of the form t=SECONDS,v1=HEX")]
    Form,
    /// No secret of ours made the signature.
    #[error("the signature is not over this body with a secret that is known here")]
    Signature,
    /// Signed too long ago, or in the future.
    #[error("the signature's time is too far from now")]
    Time,
    /// Signed, but no event.
    #[error("the body is not an event")]
    Body,
    /// An event of the other mode.
    #[error("the event is of the other mode")]
    Mode,
}

/// Reads an event that one of the secrets signed. Of two secrets, one is taking the other's place.
pub fn verify(
    body: &[u8],
    header: &str,
    secrets: &[&str],
    (now, tolerance): (Timestamp, Span),
    mode: Mode,
) -> Result<Event, WebhookError> {
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            // Of two times nobody could say which one counts.
            Some(("t", _)) if time.is_some() => return Err(WebhookError::Form),
            Some(("t", seconds)) => time = Some(seconds),
            Some(("v1", signature)) => signatures.push(signature),
            _ => {}
        }
    }
    let time = time.ok_or(WebhookError::Form)?;
    let seconds: i64 = time.parse().map_err(|_| WebhookError::Form)?;
    let signatures: Vec<Vec<u8>> =
        signatures.into_iter().filter_map(|text| hex::decode(text).ok()).collect();
    if signatures.is_empty() {
        return Err(WebhookError::Form);
    }
    // With an empty secret anybody can sign.
    let signed = secrets.iter().filter(|secret| !secret.is_empty()).any(|secret| {
        signatures.iter().any(|signature| {
            let mac = mac(secret, time, body);
            // Compared in constant time.
            mac.is_some_and(|mac| mac.verify_slice(signature).is_ok())
        })
    });
    if !signed {
        return Err(WebhookError::Signature);
    }
    let at = Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    if now.since(at) > tolerance || at.since(now) > tolerance {
        return Err(WebhookError::Time);
    }
    let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Body)?;
    if event.livemode != (mode == Mode::Live) {
        return Err(WebhookError::Mode);
    }
    Ok(event)
}

fn mac(secret: &str, time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1","type":"payment_intent.succeeded","created":100,"livemode":false,"data":{"object":{}}}"#;
    const TOLERANCE: Span = Span::minutes(5);

    fn sign(secret: &str, seconds: i64, body: &[u8]) -> String {
        let mac = mac(secret, &seconds.to_string(), body).unwrap();
        hex::encode(mac.finalize().into_bytes())
    }

    fn at(seconds: i64) -> (Timestamp, Span) {
        (Timestamp::from_micros(seconds * 1_000_000), TOLERANCE)
    }

    fn read(header: &str, secrets: &[&str], seconds: i64) -> Result<Event, WebhookError> {
        verify(BODY, header, secrets, at(seconds), Mode::Test)
    }

    #[test]
    fn either_of_two_secrets_will_do() {
        let (old, new) = (sign("whsec_old", 1_000, BODY), sign("whsec_new", 1_000, BODY));
        let header = format!("t=1000,v1={old},v1={new},v0=zz");
        for secrets in [&["whsec_old"][..], &["whsec_new"], &["whsec_other", "whsec_new"]] {
            assert_eq!(read(&header, secrets, 1_000).unwrap().id, "evt_1");
        }
        assert_eq!(read(&header, &["whsec_other"], 1_000), Err(WebhookError::Signature));
        assert_eq!(read(&header, &[], 1_000), Err(WebhookError::Signature));
        let anybodys = format!("t=1000,v1={}", sign("", 1_000, BODY));
        assert_eq!(read(&anybodys, &["", "whsec_k"], 1_000), Err(WebhookError::Signature));
    }

    #[test]
    fn what_was_signed_long_ago_or_is_from_the_future_is_refused() {
        let header = format!("t=1000,v1={}", sign("whsec_k", 1_000, BODY));
        for (seconds, fits) in
            [(1_000, true), (1_300, true), (700, true), (1_301, false), (699, false)]
        {
            let read = read(&header, &["whsec_k"], seconds);
            assert_eq!(read.is_ok(), fits, "{seconds}: {read:?}");
        }
    }

    #[test]
    fn every_byte_counts() {
        let header = format!("t=1000,v1={}", sign("whsec_k", 1_000, BODY));
        for place in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[place] ^= 1;
            let read = verify(&body, &header, &["whsec_k"], at(1_000), Mode::Test);
            assert_eq!(read, Err(WebhookError::Signature), "{place}");
        }
        let moved = header.replace("t=1000", "t=1001");
        assert_eq!(read(&moved, &["whsec_k"], 1_000), Err(WebhookError::Signature));
    }

    #[test]
    fn bad_headers_and_the_other_mode() {
        for header in ["", "t=1000", "v1=00", "t=x,v1=00", "t=1000,v1=zz", "t=1000,t=1000,v1=00"] {
            assert_eq!(read(header, &["whsec_k"], 1_000), Err(WebhookError::Form), "{header}");
        }
        let header = format!("t=1000,v1={}", sign("whsec_k", 1_000, BODY));
        let live = verify(BODY, &header, &["whsec_k"], at(1_000), Mode::Live);
        assert_eq!(live, Err(WebhookError::Mode));
    }
}
