//! Cube's notifications. The page prints how they are signed with four details left open. Until one real
//! notification has pinned them in the settings, none counts as signed. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::webhook::header;
use crate::{Headers, Secret, WebhookError, WebhookHint, tolerant};

/// How notifications are signed, as found out with a real one.
#[derive(Debug, Clone)]
pub struct CubeNotifications {
    /// The notification key, as the console shows it.
    pub key: Secret,
    /// Whether the key is hexadecimal text of the key's bytes, or is itself the key.
    pub key_is_hex: bool,
    /// Whether the line of headers stands before the body.
    pub headers_first: bool,
    /// What stands between the two.
    pub joined_by: String,
    /// Whether the signature is Base64, or else hexadecimal.
    pub base64: bool,
}

/// Reads a notification; checks its signature if it is known how.
pub(super) fn read(
    scheme: Option<&CubeNotifications>,
    headers: &Headers<'_>,
    body: &[u8],
) -> Result<WebhookHint, WebhookError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
    if !value.is_object() {
        return Err(WebhookError::Unreadable);
    }
    if let Some(scheme) = scheme {
        check(scheme, headers, &value)?;
    }
    // The members of an event are not published: these names stand in Cube's other objects.
    let data = value.get("data").filter(|data| data.is_object());
    let find = |names: &[&str]| {
        let outer = tolerant::text(&value, names);
        outer.or_else(|| data.and_then(|data| tolerant::text(data, names)))
    };
    Ok(WebhookHint {
        dedupe_id: hex::encode(Sha256::digest(body)),
        kind: find(&["event", "event_type", "type"]).unwrap_or_else(|| "unknown".to_owned()),
        iccid: find(&["sim_id", "iccid"]).and_then(|iccid| iccid.parse().ok()),
        upstream_id: find(&["order_id"]),
        key: find(&["po"]),
        signed: scheme.is_some(),
    })
}

fn check(
    scheme: &CubeNotifications,
    headers: &Headers<'_>,
    value: &Value,
) -> Result<(), WebhookError> {
    let bad = WebhookError::BadSignature;
    let find = |name: &str| header(headers, name).ok_or(bad);
    let algorithm = find("x-lf-algo")?;
    if !algorithm.eq_ignore_ascii_case("HMAC-SHA1") {
        return Err(bad);
    }
    let version = find("x-lf-notification-version")?;
    let line = format!("{version}:{algorithm}:{}", find("x-lf-timestamp")?);
    let members: std::collections::BTreeMap<&str, &Value> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    let message = serde_json::to_string(&members).map_err(|_| bad)?;
    let (first, second) = if scheme.headers_first { (line, message) } else { (message, line) };
    let key = if scheme.key_is_hex {
        hex::decode(scheme.key.reveal()).map_err(|_| bad)?
    } else {
        scheme.key.reveal().as_bytes().to_vec()
    };
    let (_, given) = find("x-lf-signature")?.split_once('/').ok_or(bad)?;
    let given = if scheme.base64 {
        BASE64.decode(given).map_err(|_| bad)?
    } else {
        hex::decode(given).map_err(|_| bad)?
    };
    let mac = Hmac::<Sha1>::new_from_slice(&key).map_err(|_| bad)?;
    let mac = mac.chain_update(first).chain_update(&scheme.joined_by).chain_update(second);
    mac.verify_slice(&given).map_err(|_| bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"event":"usage","data":{"sim_id":"89852002021102915651"}}"#;

    #[test]
    fn until_the_scheme_is_known_it_is_an_unsigned_hint() {
        let hint = read(None, &[], BODY).unwrap();
        assert_eq!((hint.kind.as_str(), hint.signed), ("usage", false));
        assert_eq!(hint.iccid, "89852002021102915651".parse().ok());
        assert_eq!(read(None, &[], BODY).unwrap().dedupe_id, hint.dedupe_id);
        assert_eq!(read(None, &[], b"[]"), Err(WebhookError::Unreadable));
    }

    #[test]
    fn a_known_scheme_is_checked() {
        let scheme = CubeNotifications {
            key: Secret::new("00ff"),
            key_is_hex: true,
            headers_first: true,
            joined_by: ":".to_owned(),
            base64: false,
        };
        let line = "1.0:HMAC-SHA1:1674197059220";
        // The top names come sorted.
        let message = r#"{"data":{"sim_id":"89852002021102915651"},"event":"usage"}"#;
        let mac = Hmac::<Sha1>::new_from_slice(&[0, 255]).unwrap();
        let mac = mac.chain_update(format!("{line}:{message}")).finalize().into_bytes();
        let signature = format!("key/{}", hex::encode(mac));
        let mut headers = vec![
            ("X-LF-Notification-Version", "1.0"),
            ("x-lf-algo", "HMAC-SHA1"),
            ("x-lf-timestamp", "1674197059220"),
            ("x-lf-signature", signature.as_str()),
        ];
        assert!(read(Some(&scheme), &headers, BODY).unwrap().signed);
        headers[2].1 = "1674197059221";
        assert_eq!(read(Some(&scheme), &headers, BODY), Err(WebhookError::BadSignature));
        headers.pop();
        assert_eq!(read(Some(&scheme), &headers, BODY), Err(WebhookError::BadSignature));
    }
}
