//! Where time and randomness come from. The ambient sources are banned by clippy, so that a test can
//! move the clock and replay a run from a seed.

use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng;
use rand::rngs::StdRng;

use crate::id::{Id, Kind};
use crate::time::Timestamp;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time, UTC.
    fn now(&self) -> Timestamp;
}

/// The clock and the random generator of a process.
#[derive(Clone)]
pub struct Ctx {
    clock: Arc<dyn Clock>,
    rng: Arc<Mutex<StdRng>>,
}

impl Ctx {
    /// A context over a clock and a seeded generator. For keys the seed must come from the
    /// operating system.
    pub fn new(clock: Arc<dyn Clock>, rng: StdRng) -> Self {
        Self { clock, rng: Arc::new(Mutex::new(rng)) }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Fresh random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // A generator has no state that a panic elsewhere could leave half-written.
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A fresh id: `UUIDv7` with the fraction of the millisecond, so that ids sort by the time they were
    /// made, to a quarter of a microsecond.
    pub fn id<K: Kind>(&self) -> Id<K> {
        self.id_at(self.now())
    }

    /// A fresh id that sorts by a time: where a mode's clock was moved, its own.
    pub fn id_at<K: Kind>(&self, time: Timestamp) -> Id<K> {
        let micros = u64::try_from(time.as_micros()).unwrap_or(0);
        let mut random: [u8; 10] = self.random();
        // The first twelve bits after the time, of which four are the version's, may hold its fraction.
        let fraction = u16::try_from(micros % 1_000 * 4_096 / 1_000).unwrap_or(0);
        [random[0], random[1]] = fraction.to_be_bytes();
        Id::from_parts(micros / 1_000, random)
    }
}

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ctx")
    }
}
