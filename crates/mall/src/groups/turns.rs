//! Whose turn it is to write a step of an operation: one writes at a time, and the next one begins after a rest, in which
//! orders have the database for themselves. In this process only: other nodes have turns of their own.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How many times as long as a step took the rest after it is. Where orders are waiting, steps take longer, and so does
/// the rest.
const REST_FACTOR: u32 = 8;
/// The longest rest for each SIM of a step: ten thousand SIMs, each of which is written twice, rest for 40 seconds.
const REST_MAX_PER_SIM: Duration = Duration::from_millis(2);

/// The turns of operations on groups.
#[derive(Debug)]
pub(crate) struct Turns {
    /// When the rest after the last step ends.
    rested_at: Mutex<Instant>,
}

impl Turns {
    /// Turns of which the first may be taken.
    pub(crate) fn new(now: Instant) -> Self {
        Self { rested_at: Mutex::new(now) }
    }

    /// Waits until it is a step's turn to write.
    pub(super) async fn take(&self) -> Turn<'_> {
        let rested_at = self.rested_at.lock().await;
        tokio::time::sleep_until(*rested_at).await;
        Turn { rested_at, began: Instant::now() }
    }
}

/// A step's turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    rested_at: MutexGuard<'a, Instant>,
    began: Instant,
}

impl Turn<'_> {
    /// Ends it: so many SIMs were written.
    pub(super) fn end(mut self, sims: usize) {
        let now = Instant::now();
        let sims = u32::try_from(sims).unwrap_or(u32::MAX);
        let rest = (now - self.began).saturating_mul(REST_FACTOR);
        *self.rested_at = now + rest.min(REST_MAX_PER_SIM.saturating_mul(sims));
    }
}
