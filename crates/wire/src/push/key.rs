//! A key of pushes, and the two ways to write it down. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// The shortest key, in bytes (Standard Webhooks).
pub const KEY_BYTES_MIN: usize = 24;
/// The longest key, in bytes (Standard Webhooks).
pub const KEY_BYTES_MAX: usize = 64;
/// The longest id of a key.
pub const KEY_ID_CHARS_MAX: usize = 64;

/// What a secret of Standard Webhooks begins with.
const WHSEC: &str = "whsec_";

/// A key that signs pushes. `Debug` shows its id only.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    bytes: Vec<u8>,
}

/// Why something is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id cannot stand in a header before a `/`.
    #[error("a key's id is 1 to {KEY_ID_CHARS_MAX} of A-Z a-z 0-9 _ -")]
    Id,
    /// Too short to be safe, or longer than receivers take.
    #[error("a key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, not {0}")]
    Length(usize),
    /// Neither hexadecimal text nor a secret of Standard Webhooks.
    #[error("a key is hexadecimal text, or whsec_ and Base64")]
    Text,
}

impl Key {
    /// A key of these bytes.
    pub fn new(id: &str, bytes: &[u8]) -> Result<Self, KeyError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if id.is_empty() || id.len() > KEY_ID_CHARS_MAX || !id.bytes().all(plain) {
            return Err(KeyError::Id);
        }
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Ok(Self { id: id.to_owned(), bytes: bytes.to_vec() })
    }

    /// A key as it was handed to the partner, in either form.
    pub fn parse(id: &str, text: &str) -> Result<Self, KeyError> {
        let bytes = match text.strip_prefix(WHSEC) {
            Some(base64) => STANDARD.decode(base64).map_err(|_| KeyError::Text)?,
            None => hex::decode(text).map_err(|_| KeyError::Text)?,
        };
        Self::new(id, &bytes)
    }

    /// The id by which `x-lf-signature` names it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as the `x-lf-*` headers want it: lower-case hexadecimal text. Secret.
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes)
    }

    /// The same key as libraries of Standard Webhooks want it: `whsec_` and Base64. Secret.
    pub fn whsec(&self) -> String {
        format!("{WHSEC}{}", STANDARD.encode(&self.bytes))
    }

    /// The MAC of the vendor's signature, over the parts of its message.
    pub(super) fn sha1(&self, message: &[&[u8]]) -> Option<Hmac<Sha1>> {
        let mac = Hmac::new_from_slice(&self.bytes).ok()?;
        Some(message.iter().fold(mac, |mac: Hmac<Sha1>, part| mac.chain_update(part)))
    }

    /// The MAC of Standard Webhooks, over the parts of its message.
    pub(super) fn sha256(&self, message: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mac = Hmac::new_from_slice(&self.bytes).ok()?;
        Some(message.iter().fold(mac, |mac: Hmac<Sha256>, part| mac.chain_update(part)))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_the_same_key() {
        let key = Key::new("k1", &[7; 32]).unwrap();
        assert_eq!(Key::parse("k1", &key.hex()), Ok(key.clone()));
        assert_eq!(Key::parse("k1", &key.whsec()), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "Key(k1)");
    }

    #[test]
    fn what_is_no_key() {
        for id in ["", "a/b", "a b", "é", &"a".repeat(65)] {
            assert_eq!(Key::new(id, &[7; 32]), Err(KeyError::Id), "{id}");
        }
        for length in [0, 23, 65] {
            assert_eq!(Key::new("k", &vec![7; length]), Err(KeyError::Length(length)));
        }
        for text in ["0", "zz", "whsec_!", "whsec-AAAA"] {
            assert_eq!(Key::parse("k", text), Err(KeyError::Text), "{text}");
        }
    }
}
