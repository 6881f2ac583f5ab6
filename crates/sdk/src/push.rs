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

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use wire::endpoints::SignedEvent;
pub use wire::push::{BODY_BYTES_MAX, Event, EventType, Key, KeyError, VerifyError};
use wire::push::{TOLERANCE, Timestamp, WEBHOOK_TIMESTAMP};

use crate::client::{Error, provide_tls};

/// How long a program may take to answer, as long as the mall would wait.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Passes events that a listener took on to a program of yours, as the mall would have pushed them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forwarder {
    http: reqwest::Client,
    url: Url,
}

impl Forwarder {
    /// Passes on to a URL.
    pub fn new(given: &str) -> Result<Self, Error> {
        provide_tls();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let url = given.parse().ok().filter(|url: &Url| ["http", "https"].contains(&url.scheme()));
        let url = url.ok_or_else(|| Error::Address(given.to_owned()))?;
        Ok(Self { http, url })
    }

    /// Passes an event on, and gives the status that your program answers.
    pub async fn forward(&self, event: &SignedEvent) -> Result<u16, Error> {
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let headers = event.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        Ok(request.body(event.body.clone()).send().await?.status().as_u16())
    }
}

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
