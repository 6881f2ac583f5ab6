//! Pushes: the vectors, the receiver's side, and a published library that must agree.

use serde_json::Value;
use standardwebhooks::Webhook;
use wire::push::{
    BODY_BYTES_MAX, Headers, Key, SignError, Span, TOLERANCE, Timestamp, VerifyError, sign,
    sorted_message, verify,
};

use crate::payloads::pushes;

/// How many pushes the library sees.
const MANY: usize = 5_000;
const BODY: &[u8] = br#"{"data":{},"event_id":"evt_1","event_type":"recharge.success","event_version":"1.0","mode":"test","occurred_at":1,"partner_code":"P1"}"#;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn key(id: &str, byte: u8) -> Key {
    Key::new(id, &[byte; 32]).unwrap()
}

type Pairs = Vec<(&'static str, String)>;

fn pairs(headers: &Headers) -> Pairs {
    headers.pairs().map(|(name, value)| (name, value.to_owned())).to_vec()
}

fn read(pairs: &Pairs, body: &[u8], keys: &[Key], now: i64) -> Result<String, VerifyError> {
    verify(pairs.clone(), body, keys, (at(now), TOLERANCE)).map(|verified| verified.key_id)
}

#[test]
fn the_vector_is_reproduced() {
    let vector: Value = serde_json::from_str(include_str!("../push.json")).unwrap();
    let text = |path: &str| vector.pointer(path).unwrap().as_str().unwrap();
    let body = text("/sorted_message");
    assert_eq!(sorted_message(body).unwrap(), body);

    let lf = Key::parse(text("/lf/key_id"), text("/lf/key_hex")).unwrap();
    let signed_at = at(text("/lf/x-lf-timestamp").parse().unwrap());
    let id = text("/standard_webhooks/webhook-id");
    let headers = sign(&[lf], id, signed_at, body.as_bytes()).unwrap();
    let standard = Key::parse("k2", text("/standard_webhooks/secret")).unwrap();
    let standard = sign(&[standard], id, signed_at, body.as_bytes()).unwrap();
    for (name, value) in headers.pairs() {
        if let Some(expected) = vector["lf"][name].as_str() {
            assert_eq!(value, expected, "{name}");
        }
    }
    let mut checked = 0;
    for (name, value) in standard.pairs() {
        if let Some(expected) = vector["standard_webhooks"][name].as_str() {
            assert_eq!(value, expected, "{name}");
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}

#[test]
fn a_published_library_signs_every_push_likewise() {
    let now = at(1_700_000_000_123);
    let (mut with_two, mut longest) = (0, 0);
    for push in pushes(1, MANY, now, 0) {
        let (id, body) = (&push.headers.webhook_id, push.body.as_bytes());
        let libraries: Vec<String> = push
            .keys
            .iter()
            .map(|key| Webhook::new(&key.whsec()).unwrap().sign(id, 1_700_000_000, body).unwrap())
            .collect();
        assert_eq!(push.headers.webhook_signature, libraries.join(" "));
        let ours = verify(push.headers.pairs(), body, &push.keys, (now, TOLERANCE));
        assert_eq!(ours.unwrap().event.event_id, *id);
        with_two += usize::from(push.keys.len() == 2);
        longest = longest.max(body.len());
    }
    assert!(with_two > MANY / 3 && with_two < MANY, "{with_two}");
    assert!(longest > BODY_BYTES_MAX - 1_000, "{longest}");
}

#[test]
fn what_the_library_signs_is_taken() {
    let key = key("k1", 7);
    let library = Webhook::new(&key.whsec()).unwrap();
    let mut headers = pairs(&sign(std::slice::from_ref(&key), "evt_1", at(9_000), BODY).unwrap());
    headers[6].1 = library.sign("evt_1", 9, BODY).unwrap();
    assert_eq!(read(&headers, BODY, &[key], 9_000), Ok("k1".to_owned()));
}

#[test]
fn while_keys_rotate_either_will_do() {
    let (old, new) = (key("old", 1), key("new", 2));
    let signed = sign(&[new.clone(), old.clone()], "evt_1", at(9_000), BODY).unwrap();
    assert!(signed.lf_signature.starts_with("new/"), "{}", signed.lf_signature);
    let headers = pairs(&signed);
    for (keys, id) in [
        (vec![new.clone(), old.clone()], "new"),
        (vec![old.clone(), new.clone()], "old"),
        (vec![new.clone()], "new"),
        (vec![old.clone()], "old"),
    ] {
        assert_eq!(read(&headers, BODY, &keys, 9_000), Ok(id.to_owned()));
    }
    let neither = Err(VerifyError::Signature("webhook-signature"));
    assert_eq!(read(&headers, BODY, &[key("new", 3)], 9_000), neither);
    assert_eq!(read(&headers, BODY, &[], 9_000), neither);
}

#[test]
fn every_byte_counts_under_both_signatures() {
    let keys = [key("k1", 7)];
    let headers = pairs(&sign(&keys, "evt_1", at(9_000), BODY).unwrap());
    for place in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[place] ^= 1;
        assert_eq!(
            read(&headers, &body, &keys, 9_000),
            Err(VerifyError::Signature("webhook-signature"))
        );
    }
    // Each header, changed in its last character, spoils the push.
    for place in 0..headers.len() {
        let mut changed = headers.clone();
        let last = changed[place].1.pop().unwrap();
        changed[place].1.push(if last == '0' { '1' } else { '0' });
        assert!(read(&changed, BODY, &keys, 9_000).is_err(), "{}", headers[place].0);
    }
    let mut other = headers.clone();
    other[2].1 = format!("k1/{}", "00".repeat(20));
    assert_eq!(read(&other, BODY, &keys, 9_000), Err(VerifyError::Signature("x-lf-signature")));
}

#[test]
fn what_is_old_or_from_the_future_is_refused() {
    let keys = [key("k1", 7)];
    let headers = pairs(&sign(&keys, "evt_1", at(1_000_000), BODY).unwrap());
    for (now, fits) in [
        (1_000_000, true),
        (1_300_000, true),
        (700_000, true),
        (1_300_001, false),
        (699_999, false),
    ] {
        assert_eq!(read(&headers, BODY, &keys, now).is_ok(), fits, "{now}");
    }
    assert_eq!(read(&headers, BODY, &keys, 2_000_000), Err(VerifyError::Time("webhook-timestamp")));
    let wide = (at(2_000_000), Span::minutes(60));
    assert!(verify(headers, BODY, &keys, wide).is_ok());
}

#[test]
fn headers_are_there_once() {
    let keys = [key("k1", 7)];
    let headers = pairs(&sign(&keys, "evt_1", at(9_000), BODY).unwrap());
    for place in 0..headers.len() {
        let name = headers[place].0;
        let mut without = headers.clone();
        without.remove(place);
        assert_eq!(read(&without, BODY, &keys, 9_000), Err(VerifyError::Missing(name)));
        let mut twice = headers.clone();
        twice.push(headers[place].clone());
        assert_eq!(read(&twice, BODY, &keys, 9_000), Err(VerifyError::Twice(name)));
    }
    let shouted: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect();
    assert!(verify(shouted, BODY, &keys, (at(9_000), TOLERANCE)).is_ok());
}

#[test]
fn what_is_signed_is_still_to_be_an_event_of_that_id() {
    let keys = [key("k1", 7)];
    let headers = pairs(&sign(&keys, "evt_1", at(9_000), b"{}").unwrap());
    assert!(matches!(read(&headers, b"{}", &keys, 9_000), Err(VerifyError::Body(_))));
    let headers = pairs(&sign(&keys, "evt_2", at(9_000), BODY).unwrap());
    assert_eq!(read(&headers, BODY, &keys, 9_000), Err(VerifyError::Id));
}

#[test]
fn what_is_not_signed() {
    let keys = [key("a", 1), key("b", 2), key("c", 3)];
    assert_eq!(sign(&[], "evt_1", at(1), BODY), Err(SignError::Keys(0)));
    assert_eq!(sign(&keys, "evt_1", at(1), BODY), Err(SignError::Keys(3)));
    for id in ["", "evt.1", "evt 1", "evt\n1"] {
        assert_eq!(sign(&keys[..1], id, at(1), BODY), Err(SignError::EventId), "{id}");
    }
    assert_eq!(sign(&keys[..1], "evt_1", at(0), BODY), Err(SignError::Time));
    let long = vec![b' '; 20_000];
    assert_eq!(sign(&keys[..1], "evt_1", at(1), &long), Err(SignError::TooLong(20_000)));
}
