//! Secrets at rest: XChaCha20-Poly1305, with the row's key as associated data, so that a sealed value
//! moved to another row does not open. And MACs under keys derived from the same one, for rows that
//! whoever can write to the database must not be able to make up.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a nonce, which stands before the sealed text.
const NONCE_BYTES: usize = 24;

/// Seals and opens secrets under one key.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    macs: [Hmac<Sha256>; 3],
}

/// What a MAC is for. Each purpose has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An operator's token.
    Token,
    /// One entry of the audit log.
    AuditEntry,
    /// The chain of the audit log.
    AuditChain,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Token, Self::AuditEntry, Self::AuditChain];

    fn label(self) -> &'static [u8] {
        match self {
            Self::Token => b"simmall admin token v1",
            Self::AuditEntry => b"simmall audit entry v1",
            Self::AuditChain => b"simmall audit chain v1",
        }
    }
}

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
        let macs = Purpose::ALL.map(|purpose| {
            let derived = keyed(key).chain_update(purpose.label()).finalize().into_bytes();
            keyed(&derived.into())
        });
        Self { cipher: XChaCha20Poly1305::new(key.into()), macs }
    }

    /// The MAC over some parts. Each part's length goes in, so that no two lists of parts are alike.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        self.keyed(purpose, parts).finalize().into_bytes().into()
    }

    /// Whether a MAC is the one over some parts, in a time that does not tell how much of it is.
    pub fn mac_holds(&self, purpose: Purpose, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.keyed(purpose, parts).verify_slice(mac).is_ok()
    }

    fn keyed(&self, purpose: Purpose, parts: &[&[u8]]) -> Hmac<Sha256> {
        let [token, entry, chain] = &self.macs;
        let mut mac = match purpose {
            Purpose::Token => token.clone(),
            Purpose::AuditEntry => entry.clone(),
            Purpose::AuditChain => chain.clone(),
        };
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    /// Seals a text for a row. The nonce must be random.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        row: &str,
        text: &str,
    ) -> Result<Vec<u8>, SealerError> {
        let payload = Payload { msg: text.as_bytes(), aad: row.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealerError::DoesNotOpen)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens a sealed text of a row.
    pub fn open(&self, row: &str, sealed: &[u8]) -> Result<String, SealerError> {
        let (nonce, text) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealerError::DoesNotOpen)?;
        let payload = Payload { msg: text, aad: row.as_bytes() };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        let opened = opened.map_err(|_| SealerError::DoesNotOpen)?;
        String::from_utf8(opened).map_err(|_| SealerError::NotText)
    }
}

/// HMAC under a key, which goes in with zeros up to a block, as HMAC has it.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    <Hmac<Sha256> as hmac::KeyInit>::new(&block.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_knows_its_key_its_purpose_and_where_a_part_ends() {
        let ours = Sealer::new(&[1; 32]);
        let mac = ours.mac(Purpose::Token, &[b"ab", b"c"]);
        assert!(ours.mac_holds(Purpose::Token, &[b"ab", b"c"], &mac));
        assert!(!ours.mac_holds(Purpose::Token, &[b"a", b"bc"], &mac));
        assert!(!ours.mac_holds(Purpose::Token, &[b"abc"], &mac));
        assert!(!ours.mac_holds(Purpose::AuditChain, &[b"ab", b"c"], &mac));
        assert!(!ours.mac_holds(Purpose::Token, &[b"ab", b"c"], &mac[..31]));
        assert!(!Sealer::new(&[2; 32]).mac_holds(Purpose::Token, &[b"ab", b"c"], &mac));
    }

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
