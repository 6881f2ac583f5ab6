//! Failures on demand at each step of an order, for tests: a point is armed by its name with what shall happen
//! there. In builds without the feature `failpoints`, nothing is left of them.

use crate::Mall;
use crate::error::Result;

/// Where an order's provisioning can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before the attempt is written.
    BeforeOpening,
    /// The attempt is written.
    AfterOpening,
    /// What is on the SIM was read, and is not written.
    AfterReading,
    /// Before the order is marked as being sent.
    BeforeSending,
    /// The order is marked, and no byte has left.
    AfterSending,
    /// The carrier has answered, and nobody heard it.
    AfterAnswer,
    /// Before what came of it is written.
    BeforeWriting,
    /// What came of it is written, and nobody was told.
    AfterWriting,
}

impl Point {
    /// All points, in the order of an order's life.
    pub const ALL: [Self; 8] = [
        Self::BeforeOpening,
        Self::AfterOpening,
        Self::AfterReading,
        Self::BeforeSending,
        Self::AfterSending,
        Self::AfterAnswer,
        Self::BeforeWriting,
        Self::AfterWriting,
    ];

    /// The name by which it is armed.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeOpening => "before-opening",
            Self::AfterOpening => "after-opening",
            Self::AfterReading => "after-reading",
            Self::BeforeSending => "before-sending",
            Self::AfterSending => "after-sending",
            Self::AfterAnswer => "after-answer",
            Self::BeforeWriting => "before-writing",
            Self::AfterWriting => "after-writing",
        }
    }
}

#[cfg(not(feature = "failpoints"))]
impl Mall {
    /// Whether the answer is lost here.
    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    #[inline]
    pub(crate) async fn fail_at(&self, _point: Point, _job: &store::Job) -> Result<bool> {
        Ok(false)
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::arm_from_environment;
#[cfg(feature = "failpoints")]
pub use armed::reached;
#[cfg(feature = "failpoints")]
pub(crate) use armed::{forgets_intent, loses_event, loses_plan};

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::Once;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use store::{Job, NewJob};

    use super::{Mall, Point, Result};
    use crate::error::Error;

    static REACHED: [AtomicU64; Point::ALL.len()] = [const { AtomicU64::new(0) }; Point::ALL.len()];
    /// By then a process sleeps that was told to.
    const SLEEP_BEGINS: Duration = Duration::from_millis(500);
    /// How long a worker that was overtaken waits for the one that overtook it.
    const OVERTAKEN_MAX: Duration = Duration::from_secs(10);

    fn counter(point: Point) -> Option<&'static AtomicU64> {
        Point::ALL.iter().zip(&REACHED).find(|(known, _)| **known == point).map(|(_, count)| count)
    }

    /// How often a point did what it was armed to do, in this process.
    pub fn reached(point: Point) -> u64 {
        counter(point).map_or(0, |count| count.load(Ordering::SeqCst))
    }

    /// Arms the points that the environment variable `FAILPOINTS` names, once in a process.
    pub(crate) fn arm_from_environment() {
        static ARMED: Once = Once::new();
        // They stay armed for as long as the process runs.
        ARMED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    }

    /// A bug on demand, to see that it is found: the plan of a provisioned order is forgotten.
    pub(crate) fn loses_plan() -> bool {
        fail::fail_point!("lose-plan", |_| true);
        false
    }

    /// Another one: what Stripe answered is lost, and with it the key under which it was asked.
    pub(crate) fn forgets_intent() -> bool {
        fail::fail_point!("forget-intent", |_| true);
        false
    }

    /// A third one: an event is told to nobody.
    pub(crate) fn loses_event() -> bool {
        fail::fail_point!("lose-event", |_| true);
        false
    }

    fn armed(point: Point) -> Option<String> {
        fail::fail_point!(point.name(), |what| {
            if let Some(count) = counter(point) {
                count.fetch_add(1, Ordering::SeqCst);
            }
            what
        });
        None
    }

    impl Mall {
        /// Does what the point is armed to do. `crash`: the worker is gone. `error`: it fails. `timeout`: what was
        /// done is done, and its answer is lost; `true` where the caller has to lose it. `duplicate`: another
        /// worker takes the job over and runs it. `stop`: the process sleeps until somebody wakes it.
        pub(crate) async fn fail_at(&self, point: Point, job: &Job) -> Result<bool> {
            let Some(what) = armed(point) else { return Ok(false) };
            match what.as_str() {
                "crash" => return Err(Error::Vanished),
                "error" => return Err(Error::Internal(format!("failed at {}", point.name()))),
                "timeout" if matches!(point, Point::AfterReading | Point::AfterAnswer) => {
                    return Ok(true);
                }
                "timeout" => return Err(Error::Internal("no answer from the database".to_owned())),
                "duplicate" => self.overtake(job).await?,
                "stop" => {
                    let own = std::process::id().to_string();
                    let stopped = std::process::Command::new("kill").args(["-STOP", &own]).status();
                    // A signal takes a moment to arrive: nothing may happen until it has.
                    std::thread::sleep(SLEEP_BEGINS);
                    tracing::warn!(?stopped, "the process slept");
                }
                other => return Err(Error::Internal(format!("unknown failure {other}"))),
            }
            Ok(false)
        }

        /// Makes the job due once more, under a higher fence, and waits until whoever claims it is done.
        async fn overtake(&self, job: &Job) -> Result<()> {
            let now = self.ctx.now();
            let new = NewJob {
                mode: job.mode,
                partner_id: job.partner_id,
                kind: job.kind,
                subject: job.subject.clone(),
                trace: job.trace.clone(),
                run_at: now,
                claimed_at: None,
            };
            let mut tx = self.store.begin().await?;
            tx.insert_job(&new, now).await?;
            tx.commit().await?;
            self.bell.notify_one();
            let calm = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    let due = self.store.next_job_at().await?;
                    let due = due.is_some_and(|at| at <= self.ctx.now());
                    if !due && self.jobs_in_hand.load(Ordering::SeqCst) <= 1 {
                        return Ok(());
                    }
                }
            };
            // Two that overtake each other would wait for ever.
            tokio::time::timeout(OVERTAKEN_MAX, calm).await.unwrap_or(Ok(()))
        }
    }
}
