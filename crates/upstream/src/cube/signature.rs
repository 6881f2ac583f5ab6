//! Signature 2.0 of Cube (RSA with SHA-1 over sorted, compact JSON), and the one of its notifications.
//! Touches nothing.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Span, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::{Pkcs1v15Sign, PublicKey};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::exchange::Request;

/// How far a request's timestamp may be from the real time, on either side (published).
const TIMESTAMP_OFF_MAX: Span = Span::minutes(10);

/// A text that is no RSA public key.
#[derive(Debug, thiserror::Error)]
#[error("not an RSA public key of 1024 bits or more as PEM: {0}")]
pub struct KeyError(#[source] rsa::pkcs8::spki::Error);

/// Why a caller is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distrust {
    /// There is no `Authorization`.
    Missing,
    /// Its form, its time or its signature is wrong.
    Wrong(&'static str),
}

pub(super) fn read_key(pem: &str) -> Result<PublicKey, KeyError> {
    PublicKey::from_public_key_pem(pem)
        .or_else(|error| PublicKey::from_pkcs1_pem(pem).map_err(|_| KeyError(error)))
}

/// Believes a caller, or not. Without a key the signature itself is not checked.
pub(super) fn check(
    request: &Request,
    key: Option<&PublicKey>,
    real_now: Timestamp,
) -> Result<(), Distrust> {
    let authorization = request.header("authorization").ok_or(Distrust::Missing)?;
    let signature = authorization.strip_prefix("LF ").and_then(|rest| rest.split_once('/'));
    let (key_id, signature) =
        signature.ok_or(Distrust::Wrong("Authorization is not `LF KEY/SIGNATURE`"))?;
    let signature = STANDARD.decode(signature).ok().filter(|_| !key_id.is_empty());
    let signature = signature.ok_or(Distrust::Wrong("the signature is not Base64"))?;
    if request.header("x-lf-signature-type").unwrap_or("2.0") != "2.0" {
        return Err(Distrust::Wrong("only signatures of type 2.0 are taken"));
    }
    let time = request.header("timestamp").and_then(|text| text.parse().ok());
    let time = time.and_then(Timestamp::from_millis);
    let time = time.ok_or(Distrust::Wrong("timestamp is not in milliseconds"))?;
    if real_now.since(time).max(time.since(real_now)) > TIMESTAMP_OFF_MAX {
        return Err(Distrust::Wrong("timestamp is more than 10 minutes off"));
    }
    let Some(key) = key else { return Ok(()) };
    let canonical = canonical(request).ok_or(Distrust::Wrong("the body is not a JSON object"))?;
    let digest = Sha1::digest(canonical.as_bytes());
    let verified = key.verify(Pkcs1v15Sign::new::<Sha1>(), &digest, &signature);
    verified.map_err(|_| Distrust::Wrong("the signature does not match"))
}

/// What is signed of a request; `None` if its body is no object.
fn canonical(request: &Request) -> Option<String> {
    let mut signed = BTreeMap::<String, Value>::new();
    for (name, value) in request.parameters() {
        // A list is joined by commas, whether it came so or as a name that is repeated.
        let value = match signed.get(&name).and_then(Value::as_str) {
            Some(earlier) => format!("{earlier},{value}"),
            None => value,
        };
        signed.insert(name, Value::String(value));
    }
    match request.json()? {
        Value::Null => {}
        Value::Object(members) => signed.extend(members),
        _ => return None,
    }
    for name in ["timestamp", "nonce"] {
        let value = request.header(name).unwrap_or_default();
        signed.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    signed.insert("x-sign-uri".to_owned(), Value::String(request.path.clone()));
    signed.retain(|_, value| !is_empty(value));
    let members: Vec<String> =
        signed.iter().map(|(name, value)| format!("{}:{}", text(name), compact(value))).collect();
    Some(format!("{{{}}}", members.join(",")))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn text(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// JSON without white space and with sorted members, whatever order the parser keeps them in.
pub(super) fn compact(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members = sorted.into_iter();
            let members = members.map(|(name, value)| format!("{}:{}", text(name), compact(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(compact).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// The signature of a notification. How its two parts are joined, and how key and result are written, is
/// not published; chosen here: the sorted body, then `VERSION:ALGORITHM:MILLISECONDS`, nothing between;
/// the key as its text; the result in hexadecimal digits.
pub(super) fn of_notification(key: &str, body: &Value, millis: i64) -> String {
    let message = format!("{}1.0:HMAC-SHA1:{millis}", compact(body));
    Hmac::<Sha1>::new_from_slice(key.as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(message.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        },
    )
}
