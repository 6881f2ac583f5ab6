//! The real clock and real randomness: the only place where either is taken.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use domain::{Clock, Ctx, Timestamp};

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where everybody else's time comes from")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The context of a real process: the system's clock, and a generator seeded by the operating system.
pub fn system_ctx() -> Ctx {
    Ctx::new(Arc::new(SystemClock), rand::make_rng())
}
