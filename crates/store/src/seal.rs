//! Secrets at rest: XChaCha20-Poly1305, with the row's key as associated data, so that a sealed value
//! moved to another row does not open.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

/// Bytes of a nonce, which stands before the sealed text.
const NONCE_BYTES: usize = 24;

/// Seals and opens secrets under one key.
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealerError {
    /// Another sealing key, another row, or a damaged value.
    #[error("wrong sealing key, or the value was moved or damaged")]
    DoesNotOpen,
    /// The secret is not UTF-8.
    #[error("the sealed value is not text")]
    NotText,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A sealer under a 256-bit key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals a text for a row. The nonce must be random.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        row: &str,
        text: &str,
    ) -> Result<Vec<u8>, SealerError> {
        let payload = Payload { msg: text.as_bytes(), aad: row.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealerError::DoesNotOpen)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens a sealed text of a row.
    pub fn open(&self, row: &str, sealed: &[u8]) -> Result<String, SealerError> {
        let (nonce, text) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealerError::DoesNotOpen)?;
        let payload = Payload { msg: text, aad: row.as_bytes() };
        let opened = self.0.decrypt(&XNonce::from(*nonce), payload);
        let opened = opened.map_err(|_| SealerError::DoesNotOpen)?;
        String::from_utf8(opened).map_err(|_| SealerError::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_in_its_own_row_only() {
        let ours = Sealer::new(&[1; 32]);
        let sealed = ours.seal([2; 24], "test/prt_1/k1", "test-key").unwrap();
        assert_eq!(ours.open("test/prt_1/k1", &sealed).as_deref(), Ok("test-key"));
        assert!(!sealed.windows(8).any(|window| window == b"test-key"));
        assert_eq!(ours.open("test/prt_1/k2", &sealed), Err(SealerError::DoesNotOpen));
        assert_eq!(
            Sealer::new(&[3; 32]).open("test/prt_1/k1", &sealed),
            Err(SealerError::DoesNotOpen)
        );
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert!(ours.open("test/prt_1/k1", &damaged).is_err(), "{place}");
        }
        assert!(ours.open("test/prt_1/k1", &sealed[..10]).is_err());
    }
}
