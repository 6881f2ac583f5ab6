//! Pushes from the mall: one call that verifies a push and reads its event. Touches nothing.
//!
//! ```
//! # use std::time::SystemTime;
//! # fn receive(headers: Vec<(&str, &str)>, body: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! // The keys that the mall gave out, as hexadecimal text or as `whsec_…`.
//! let keys = [sdk::push::Key::parse("k1", "00112233445566778899aabbccddeeff0011223344556677")?];
//! // The body must be the bytes as they came, not JSON that was read and written again.
//! let event = sdk::push::verify(headers, body, &keys, SystemTime::now())?;
//! if event.kind() == Some(sdk::push::EventType::RechargeSuccess) {
//!     println!("{} is on its SIM", event.order()?.order_id);
//! }
//! # Ok(())
//! # }
//! ```

use std::time::{SystemTime, UNIX_EPOCH};

pub use wire::push::{BODY_BYTES_MAX, Event, EventType, Key, KeyError, VerifyError};
use wire::push::{TOLERANCE, Timestamp, WEBHOOK_TIMESTAMP};

/// Verifies a push under both of its signatures, with a tolerance of 300 seconds, and reads its event.
///
/// `headers` are pairs of name and value: an `http::HeaderMap` by reference, or any list. A push that fails
/// should be answered with 401; one that was verified with any 2xx, after its event was stored. An
/// event may come more than once: its `event_id` tells.
pub fn verify<N: AsRef<str>, V: AsRef<[u8]>>(
    headers: impl IntoIterator<Item = (N, V)>,
    body: &[u8],
    keys: &[Key],
    now: SystemTime,
) -> Result<Event, VerifyError> {
    let millis = now.duration_since(UNIX_EPOCH).ok().map(|since| since.as_millis());
    let now = millis.and_then(|millis| Timestamp::from_millis(i64::try_from(millis).ok()?));
    let now = now.ok_or(VerifyError::Time(WEBHOOK_TIMESTAMP))?;
    wire::push::verify(headers, body, keys, (now, TOLERANCE)).map(|verified| verified.event)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_push_in_a_map_of_headers() {
        let keys = [Key::new("k1", &[7; 32]).unwrap()];
        let body = br#"{"data":{"a":1},"event_id":"evt_1","event_type":"plan.expired","event_version":"1.0","mode":"test","occurred_at":1,"partner_code":"P1"}"#;
        let at = Timestamp::from_millis(1_000_000).unwrap();
        let signed = wire::push::sign(&keys, "evt_1", at, body).unwrap();
        let mut headers = reqwest::header::HeaderMap::new();
        for (name, value) in signed.pairs() {
            headers.insert(name, value.parse().unwrap());
        }
        let read =
            |seconds| verify(&headers, body, &keys, UNIX_EPOCH + Duration::from_secs(seconds));
        let event = read(1_000).unwrap();
        assert_eq!(event.kind(), Some(EventType::PlanExpired));
        assert_eq!(event.data["a"], 1);
        assert!(event.order().is_err());
        assert!(read(1_300).is_ok());
        assert_eq!(read(1_301), Err(VerifyError::Time("webhook-timestamp")));
        let before = verify(&headers, body, &keys, UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before, Err(VerifyError::Time("webhook-timestamp")));
    }
}
