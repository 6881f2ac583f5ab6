//! Workers: claim due jobs under a lease, run each, write what comes next.
//!
//! A job that errs is tried again later and later; after [`FAILURES_MAX`] times it is buried for a
//! person, and a paid order behind it goes to review. A worker that lost its lease can write nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::order::Failure;
use domain::{Mode, Span, Timestamp, TraceId};
use store::{Job, JobKind, StoreError, Tx};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

use crate::Mall;
use crate::attempts::Begun;
use crate::error::{Error, Result};
use crate::metrics::JobOutcome;
use crate::trace;

/// How often in a row a job may fail.
const FAILURES_MAX: i64 = 20;
/// How long a node waits between two claims: with a backlog, places that come free are gathered, so that one
/// claim fills many of them.
const CLAIM_PAUSE: Span = Span::millis(5);
/// How often what is in SQLite's write-ahead log is put into the file.
const CHECKPOINT_PERIOD: Duration = Duration::from_millis(250);
/// How often in a row a job whose only trouble is that others were faster is tried again at once.
const RACES_MAX: i64 = 10;
/// One in so many workers is for orders that are handed over as they come.
const KEPT_FOR_NEW: usize = 4;
/// One in so many workers at most works on parts of operations on groups. They are claimed by themselves: a backlog of
/// orders does not keep them waiting, nor they it.
const SHARE_OF_PARTS: usize = 4;
/// The longest pause between two tries.
const PAUSE_MAX: Span = Span::minutes(5);
/// The most characters of an error that are stored with a job.
const ERROR_CHARS_MAX: usize = 500;

/// What comes after a job's run.
pub(crate) enum Next {
    /// It is done; nothing was written yet.
    Done,
    /// It is done or put off, and that was written with its outcome.
    Settled,
    /// It runs again at a time, for a reason.
    At(Timestamp, String),
}

/// A job that was claimed in the transaction that wrote it, with the place of the worker that is to run it.
pub(crate) struct Handed {
    pub(crate) job: Job,
    pub(crate) begun: Option<Begun>,
    pub(crate) slot: OwnedSemaphorePermit,
    /// A part of an operation on a group has one of their places, too.
    pub(crate) part_slot: Option<OwnedSemaphorePermit>,
}

/// How many places there are for parts of operations on groups, of so many workers.
pub(crate) fn places_for_parts(workers: usize) -> usize {
    (workers / SHARE_OF_PARTS).max(1)
}

/// Runs jobs until `stop` turns true; then finishes those that run.
pub async fn run_workers(mall: Arc<Mall>, mut stop: watch::Receiver<bool>) {
    let Some(mut handed) = mall.handed_over() else {
        tracing::error!("the workers of this mall run already");
        return;
    };
    mall.slots.add_permits(mall.settings.workers);
    let mut running = JoinSet::new();
    let mut look = true;
    let mut claim_at = tokio::time::Instant::now();
    // It goes on however many jobs are handed over meanwhile: those that fall due must not wait for a lull.
    let mut polls = tokio::time::interval(mall.settings.poll.to_std());
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        while running.try_join_next().is_some() {}
        mall.beat();
        if look && claim_at <= tokio::time::Instant::now() {
            // Where some were due, more may be.
            look = mall.run_due(&mut running).await;
            claim_at = tokio::time::Instant::now() + CLAIM_PAUSE.to_std();
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep_until(claim_at), if look => {}
            Some(job) = handed.recv() => {
                running.spawn(Arc::clone(&mall).run_in_slot(job));
            }
            () = mall.bell.notified() => look = true,
            _ = polls.tick() => look = true,
            // Nobody left to tell us to stop means that we should.
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
    // No more places are given; whoever has one may still be writing the job that it hands over.
    mall.slots.close();
    while mall.slots.available_permits() < mall.settings.workers || !running.is_empty() {
        tokio::select! {
            Some(job) = handed.recv() => {
                running.spawn(Arc::clone(&mall).run_in_slot(job));
            }
            Some(_) = running.join_next() => {}
            () = tokio::time::sleep(mall.settings.poll.to_std()) => {}
        }
    }
}

/// Keeps SQLite's write-ahead log short until `stop` turns true.
pub async fn run_checkpoints(mall: Arc<Mall>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = mall.store.checkpoint().await {
            // The writer does it in the end.
            tracing::debug!(%error, "no checkpoint");
        }
        tokio::select! {
            () = tokio::time::sleep(CHECKPOINT_PERIOD) => {}
            // Nobody left to tell us to stop means that we should.
            changed = stop.changed() => if changed.is_err() { return },
        }
    }
}

/// What a job is about, for the log: an order's id, but not a person's card.
fn subject(job: &Job) -> &str {
    match job.kind {
        JobKind::Provision
        | JobKind::CloseOrder
        | JobKind::Import
        | JobKind::FollowPayment
        | JobKind::Refund
        | JobKind::StrayPayment
        | JobKind::FollowSubscription
        | JobKind::AwaitRenewal
        | JobKind::RevokePlan
        | JobKind::GroupChunk
        | JobKind::TurnGroup
        | JobKind::WatchGroup => &job.subject,
        JobKind::TurnPlan | JobKind::LookAtSim => "a SIM",
    }
}

/// The trace of the request that made a job due, else one of its own.
fn trace_of(job: &Job) -> TraceId {
    job.trace.parse().unwrap_or_else(|_| TraceId::begun_by(job.id))
}

impl Mall {
    /// Claims due jobs for the workers that are free, and lets them run; whether there were any.
    async fn run_due(self: &Arc<Self>, running: &mut JoinSet<()>) -> bool {
        // Counted before they are claimed, so that no job is ever unseen.
        self.jobs_in_hand.fetch_add(1, Ordering::SeqCst);
        let claimed = self.claim().await.unwrap_or_else(|error| {
            tracing::error!(%error, "jobs cannot be claimed");
            Vec::new()
        });
        self.jobs_in_hand.fetch_add(claimed.len(), Ordering::SeqCst);
        self.jobs_in_hand.fetch_sub(1, Ordering::SeqCst);
        let some = !claimed.is_empty();
        for handed in claimed {
            running.spawn(Arc::clone(self).run_in_slot(handed));
        }
        some
    }

    async fn run_in_slot(self: Arc<Self>, handed: Handed) {
        let Handed { job, begun, slot, part_slot } = handed;
        let kind = job.kind.as_str();
        let trace = trace_of(&job);
        let work = async {
            let (id, subject) = (job.id, subject(&job));
            let span = tracing::error_span!("job", %id, kind, subject, %trace);
            Arc::clone(&self).run_job(job, begun).instrument(span).await;
        };
        trace::within(trace, work).await;
        self.jobs_in_hand.fetch_sub(1, Ordering::SeqCst);
        let all_were_busy = self.places_to_claim() == 0
            || part_slot.is_some() && self.part_slots.available_permits() == 0;
        drop((slot, part_slot));
        if all_were_busy {
            // More jobs may be due than there were workers.
            self.bell.notify_one();
        }
    }

    /// How many jobs may be claimed now. Some places are left to orders that are handed over as they come, so
    /// that a backlog does not hold up new ones.
    fn places_to_claim(&self) -> usize {
        let kept = self.settings.workers / KEPT_FOR_NEW;
        self.slots.available_permits().saturating_sub(kept)
    }

    /// Claims due jobs, one for each worker that is free; the orders of those
    /// that may be asked for at once come with them.
    async fn claim(&self) -> Result<Vec<Handed>> {
        if self.places_to_claim() == 0 {
            return Ok(Vec::new());
        }
        // An idle worker must not keep taking SQLite's writer.
        let due = self.store.due().await?;
        self.clocks.learn(due.clock_ahead);
        if due.job_at.is_none_or(|at| at > self.ctx.now()) {
            return Ok(Vec::new());
        }
        let mut tx = self.store.begin().await?;
        // Only now: waiting for the transaction may have taken a while, and more workers may be free.
        let free = u32::try_from(self.places_to_claim()).unwrap_or(u32::MAX);
        let Ok(mut slots) = Arc::clone(&self.slots).try_acquire_many_owned(free) else {
            return Ok(Vec::new());
        };
        let now = self.ctx.now();
        let until = now + self.settings.lease;
        let has_parts = due.group_part_at.is_some_and(|at| at <= now);
        // Nobody else takes them.
        let parts = if has_parts { self.part_slots.available_permits() } else { 0 };
        let parts = free.min(u32::try_from(parts).unwrap_or(free));
        let mut part_slots = Arc::clone(&self.part_slots).try_acquire_many_owned(parts).ok();
        let jobs = self.claim_fairly(&mut tx, (now, until), (free, parts)).await?;
        let by_clock = |job: &Job| job.mode == Mode::Test && job.kind.follows_clock();
        if jobs.iter().any(by_clock) {
            self.read_clock(&mut tx).await?;
        }
        // If one of them cannot be read, each looks for itself.
        let begun = self.begin_orders(&mut tx, &jobs).await;
        let mut begun = begun.unwrap_or_else(|error| {
            tracing::debug!(%error, "claimed orders begin one by one");
            HashMap::new()
        });
        tx.commit().await?;
        // There are as many places as jobs were claimed.
        let hand = |job: Job| {
            let begun = begun.remove(&job.subject);
            let is_part = job.kind == JobKind::GroupChunk;
            let part_slot = part_slots.as_mut().filter(|_| is_part).and_then(|all| all.split(1));
            slots.split(1).map(|slot| Handed { job, begun, slot, part_slot })
        };
        Ok(jobs.into_iter().filter_map(hand).collect())
    }

    /// Claims as many due jobs as places are free. Where more wait than can be run, half of the places go to orders
    /// that came last: a backlog must not hold up new orders, nor they it.
    async fn claim_fairly(
        &self,
        tx: &mut Tx,
        (now, until): (Timestamp, Timestamp),
        (free, parts): (u32, u32),
    ) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        if self.behind.load(Ordering::Relaxed) {
            // A single place is the one's or the other's by chance.
            let [chance] = self.ctx.random::<1>();
            let half = if chance & 1 == 0 { free / 2 } else { free.div_ceil(2) };
            if half > 0 {
                jobs = tx.claim_new_orders(now, until, i64::from(half)).await?;
            }
        }
        let left = |jobs: &[Job]| i64::from(free) - i64::try_from(jobs.len()).unwrap_or(i64::MAX);
        let parts = i64::from(parts).min(left(&jobs));
        if parts > 0 {
            jobs.extend(tx.claim_group_parts(now, until, parts).await?);
        }
        let left = left(&jobs);
        if left > 0 {
            jobs.extend(tx.claim_jobs(now, until, left).await?);
        }
        self.behind.store(
            u32::try_from(jobs.len()).is_ok_and(|claimed| claimed >= free),
            Ordering::Relaxed,
        );
        Ok(jobs)
    }

    async fn handle(&self, job: &Job, begun: Option<Begun>) -> Result<Next> {
        match job.kind {
            JobKind::Provision => self.provision(job, begun).await,
            JobKind::CloseOrder => self.close_order(job).await,
            JobKind::TurnPlan => self.turn_plan(job).await,
            JobKind::Import => self.import_job(job).await,
            JobKind::FollowPayment => Box::pin(self.follow_payment(job)).await,
            JobKind::Refund => Box::pin(self.refund(job)).await,
            JobKind::FollowSubscription => Box::pin(self.follow_subscription(job)).await,
            JobKind::AwaitRenewal => Box::pin(self.await_renewal(job)).await,
            JobKind::RevokePlan => Box::pin(self.revoke_plan(job)).await,
            JobKind::GroupChunk => Box::pin(self.group_chunk(job)).await,
            JobKind::TurnGroup => Box::pin(self.turn_group(job)).await,
            JobKind::WatchGroup => Box::pin(self.watch_group(job)).await,
            JobKind::StrayPayment => Box::pin(self.stray_payment(job)).await,
            // It carries a carrier's answer, and must not make every job's future as large.
            JobKind::LookAtSim => Box::pin(self.look_upstream(job)).await,
        }
    }

    async fn run_job(self: Arc<Self>, job: Job, begun: Option<Begun>) {
        // A task of its own, so that a panic is a failure of this job and of nothing else.
        let (mall, claimed) = (Arc::clone(&self), job.clone());
        let run = async move { mall.handle(&claimed, begun).await };
        let task = tokio::spawn(trace::within(trace_of(&job), run).in_current_span());
        let outcome = task.await.unwrap_or_else(|error| Err(Error::Internal(error.to_string())));
        self.metrics.job_ended(
            job.kind,
            match &outcome {
                Ok(Next::Done | Next::Settled) => JobOutcome::Done,
                Ok(Next::At(..)) => JobOutcome::PutOff,
                Err(_) => JobOutcome::Failed,
            },
        );
        let written = match outcome {
            Ok(Next::Settled) => Ok(()),
            Ok(Next::Done) => self.end_job(&job).await,
            Ok(Next::At(at, why)) => {
                let at = if job.kind.follows_clock() { self.real(job.mode, at) } else { at };
                self.put_off(&job, at, 0, &why).await
            }
            Err(error) => self.job_failed(&job, error).await,
        };
        match written {
            Ok(()) => {}
            Err(Error::Store(StoreError::LeaseLost)) => {
                tracing::warn!("the lease was lost; another worker has the job");
            }
            // The lease runs out, and the job is claimed again.
            Err(error) => {
                tracing::error!(%error, "a job's outcome is not written");
            }
        }
    }

    /// Ends a job, together with those that end at the same time.
    async fn end_job(&self, job: &Job) -> Result<()> {
        let together = |jobs: Vec<Job>| async move {
            let ended = self.end_jobs(&jobs.iter().collect::<Vec<_>>()).await;
            vec![ended.is_ok(); jobs.len()]
        };
        if self.ended.run(job.clone(), together).await == Some(true) {
            return Ok(());
        }
        // Where one lost its lease none was ended.
        self.end_jobs(&[job]).await
    }

    async fn end_jobs(&self, jobs: &[&Job]) -> Result<()> {
        let mut tx = self.store.begin().await?;
        tx.finish_jobs(jobs).await?;
        Ok(tx.commit().await?)
    }

    async fn put_off(&self, job: &Job, at: Timestamp, failures: i64, why: &str) -> Result<()> {
        let why: String = why.chars().take(ERROR_CHARS_MAX).collect();
        let mut tx = self.store.begin().await?;
        tx.reschedule_job(job, at, failures, &why).await?;
        tx.commit().await?;
        if at <= self.ctx.now() {
            self.bell.notify_one();
        }
        Ok(())
    }

    async fn job_failed(&self, job: &Job, error: Error) -> Result<()> {
        if let Error::Store(StoreError::LeaseLost) = error {
            return Err(error);
        }
        #[cfg(feature = "failpoints")]
        if let Error::Vanished = error {
            return Err(error);
        }
        let (failures, why) = (job.failures + 1, error.to_string());
        tracing::warn!(failures, error = why, "a job failed");
        if failures < FAILURES_MAX {
            let pause = match &error {
                // Others were faster, nothing is broken: there is nothing to wait for.
                Error::Store(lost) if lost.is_lost_race() && failures < RACES_MAX => {
                    Span::seconds(0)
                }
                _ => Span::seconds(1_i64 << failures.min(9)).min(PAUSE_MAX),
            };
            return self.put_off(job, self.ctx.now() + pause, failures, &why).await;
        }
        if job.kind == JobKind::Provision {
            let code = "PROVISIONING_FAILED".to_owned();
            let reason = Failure { code, message: "the job failed too often".to_owned() };
            // Rare, and large: it must not make every job's future so.
            match Box::pin(self.to_review(job, reason)).await {
                Ok(_) => return Ok(()),
                Err(error) => tracing::error!(%error, "no review either"),
            }
        }
        let mut tx = self.store.begin().await?;
        tx.bury_job(job, &why).await?;
        tx.commit().await?;
        self.reconciler.bell.notify_one();
        Ok(())
    }
}
