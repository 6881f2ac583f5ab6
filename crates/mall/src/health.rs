//! Whether this process can serve: what `/readyz` asks before requests are sent here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Mall;

/// How long the database may take to answer.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How old the last sign of life of the workers may be. They look for jobs every half second.
const PULSE_AGE_MAX: Duration = Duration::from_secs(5);

/// No sign of life yet.
const NEVER: u64 = u64::MAX;
/// For how long an answer of the database is good.
const CHECK_AGE_MAX: Duration = Duration::from_millis(500);

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What is wrong; `None` if it holds.
    pub wrong: Option<String>,
}

/// The last answer of the database, and when it came.
pub(crate) type LastCheck = Mutex<Option<(Instant, [Check; 2])>>;

/// The last sign of life of a loop, and whether the process is stopping.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    /// Milliseconds after the beginning, or [`NEVER`].
    last_ms: AtomicU64,
    stopping: AtomicBool,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, last_ms: AtomicU64::new(NEVER), stopping: AtomicBool::new(false) }
    }

    /// A sign of life.
    pub(crate) fn beat(&self, now: Instant) {
        let since = u64::try_from(now.duration_since(self.began).as_millis());
        self.last_ms.store(since.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// What is wrong with the loop.
    fn wrong(&self, now: Instant) -> Option<String> {
        let last = match self.last_ms.load(Ordering::Relaxed) {
            NEVER => return Some("they have not begun".to_owned()),
            last => Duration::from_millis(last),
        };
        let age = now.duration_since(self.began).saturating_sub(last);
        let seconds = age.as_secs();
        (age > PULSE_AGE_MAX).then(|| format!("no sign of life for {seconds} seconds"))
    }
}

impl Mall {
    /// The workers are at it.
    pub(crate) fn beat(&self) {
        self.pulse.beat(Instant::now());
    }

    /// From now on this process asks not to be sent requests.
    pub fn set_stopping(&self) {
        self.pulse.stopping.store(true, Ordering::SeqCst);
    }

    /// Everything that must hold for this process to serve. However many ask, the database is asked
    /// seldom.
    pub async fn readiness(&self) -> Vec<Check> {
        let mut last = self.last_check.lock().await;
        let now = Instant::now();
        let [database, migrations] = match &*last {
            Some((at, checks)) if now.duration_since(*at) < CHECK_AGE_MAX => checks.clone(),
            _ => {
                let checks = self.check_database().await;
                *last = Some((Instant::now(), checks.clone()));
                checks
            }
        };
        drop(last);
        let stopping = self.pulse.stopping.load(Ordering::SeqCst);
        let serving =
            Check { name: "serving", wrong: stopping.then(|| "it is stopping".to_owned()) };
        let workers = Check { name: "workers", wrong: self.pulse.wrong(Instant::now()) };
        vec![serving, database, migrations, workers]
    }

    async fn check_database(&self) -> [Check; 2] {
        let alive = self.store.check_alive(DATABASE_TIMEOUT).await;
        let schema = async {
            alive.as_ref().map_err(|_| "the database does not answer".to_owned())?;
            let checked = tokio::time::timeout(DATABASE_TIMEOUT, self.store.check_schema()).await;
            let checked = checked.map_err(|_| "the database does not say in time".to_owned())?;
            checked.map_err(|error| error.to_string())
        };
        let migrations = Check { name: "migrations", wrong: schema.await.err() };
        let wrong = alive.err().map(|error| error.to_string());
        [Check { name: "database", wrong }, migrations]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_lives_as_long_as_it_beats() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(start);
        assert_eq!(pulse.wrong(at(0)).unwrap(), "they have not begun");
        pulse.beat(at(0));
        assert_eq!(pulse.wrong(at(4)), None);
        assert_eq!(pulse.wrong(at(6)).unwrap(), "no sign of life for 6 seconds");
        pulse.beat(at(60));
        assert_eq!(pulse.wrong(at(65)), None);
        assert!(pulse.wrong(at(66)).is_some());
    }
}
