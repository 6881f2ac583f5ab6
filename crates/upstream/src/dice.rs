//! Chance that can be repeated: a throw depends on the seed and on what is thrown for, never on what was
//! thrown before, so that a run is the same however its requests interleave. Touches nothing.

use sha2::{Digest, Sha256};

/// The letters of made-up ids.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Dice of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice {
    seed: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// 32 bytes that belong to a purpose and a number.
    fn bytes(self, purpose: &[&str], number: u64) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.seed.to_be_bytes());
        for part in purpose {
            // The length keeps ("a", "bc") apart from ("ab", "c").
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.update(number.to_be_bytes());
        digest.finalize().into()
    }

    /// A number from 0 up to, but not including, `end`; 0 if there is none.
    pub(crate) fn below(self, end: u64, purpose: &[&str], number: u64) -> u64 {
        let bytes = self.bytes(purpose, number);
        let first = bytes.first_chunk::<8>().copied().unwrap_or_default();
        u64::from_be_bytes(first).checked_rem(end).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(self, low: i64, high: i64, purpose: &[&str], number: u64) -> i64 {
        let width = u64::try_from(high.saturating_sub(low)).unwrap_or(0).saturating_add(1);
        let step = i64::try_from(self.below(width, purpose, number)).unwrap_or(0);
        low.saturating_add(step)
    }

    /// So many letters and digits, 32 at most.
    pub(crate) fn letters(self, count: usize, purpose: &[&str], number: u64) -> String {
        let bytes = self.bytes(purpose, number);
        let letters = bytes.iter().take(count);
        letters.map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }

    /// A UUID (version 4 in form).
    pub(crate) fn uuid(self, purpose: &[&str], number: u64) -> String {
        let hex = hex::encode(&self.bytes(purpose, number)[..16]);
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}
