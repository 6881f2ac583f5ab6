//! How long was waited for connections: who waits long for the writer waits for others' transactions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Getting a connection takes less than this where nobody is in the way.
const NO_WAIT: Duration = Duration::from_millis(1);

/// Waits for connections of a pool, since the start.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    count: AtomicU64,
    micros: AtomicU64,
}

/// Waits for SQLite's writer and readers; PostgreSQL has one pool for both.
#[derive(Debug, Default)]
pub(crate) struct AllWaits {
    pub(crate) write: Waits,
    pub(crate) read: Waits,
}

impl Waits {
    /// Gets a connection, and notes if that took a while, even if it was in vain.
    pub(crate) async fn during<F: Future>(&self, acquire: F) -> F::Output {
        let began = Instant::now();
        let got = acquire.await;
        let waited = began.elapsed();
        if waited >= NO_WAIT {
            let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
            self.count.fetch_add(1, Ordering::Relaxed);
            self.micros.fetch_add(micros, Ordering::Relaxed);
        }
        got
    }

    /// How many there were, and how long they took in all.
    pub(crate) fn so_far(&self) -> (u64, Duration) {
        let micros = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        (self.count.load(Ordering::Relaxed), micros)
    }
}
