//! The reconciler: finds every order that stands longer than its step allows, whatever the cause, and moves
//! it on or gives it to a person.
//!
//! An order that is not settled has a job; the two are written and ended together. This goes by the orders
//! themselves, so that one whose job is gone, was given up, or was put off for ages is found all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::order::{Failure, OrderState};
use domain::{Mode, Span, Timestamp};
use store::{JobKind, NewJob, SweptOrder};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::MissedTickBehavior;

use crate::Mall;
use crate::error::Result;

/// How often it looks without being told to.
const PERIOD: Duration = Duration::from_mins(1);
/// An order is left alone for so long: it is being written, or its worker is at it.
const AGE_MIN: Span = Span::minutes(1);
/// So many orders are read at once,
const PART: i64 = 2_000;
/// and so many parts in one pass; the next one goes on there.
const PARTS_MAX: usize = 50;
/// After so long all orders are gone by again.
const ROUND: Span = Span::minutes(360);
/// A job put off for longer is not waited for once its order is overdue.
const PUT_OFF_MAX: Span = Span::minutes(60);
/// How much longer than the deadline an order may stand before it counts as one without a plan.
const GRACE: Span = Span::minutes(5);

/// What the reconciler remembers between two passes.
#[derive(Debug, Default)]
pub(crate) struct Reconciler {
    /// Rung when something went wrong that it can mend.
    pub(crate) bell: Notify,
    places: Mutex<HashMap<Mode, Place>>,
    /// Provisioned orders without a plan, as the last full round found them.
    faults: [AtomicI64; 2],
}

/// How far the orders of a mode were gone by.
#[derive(Debug, Clone, Default)]
struct Place {
    after: String,
    begun_at: Option<Timestamp>,
    faults: i64,
}

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Jobs that were missing and are there now.
    pub jobs_added: u64,
    /// Orders that were given to a person.
    pub reviewed: u64,
    /// Jobs that were put off too long and run now.
    pub hastened: u64,
}

/// Reconciles at once, whenever it is told to, and every minute, until `stop` turns true.
pub async fn run_reconciler(mall: Arc<Mall>, mut stop: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            _ = period.tick() => {}
            () = mall.reconciler.bell.notified() => {}
            // Nobody left to tell us to stop means that we should.
            changed = stop.changed() => if changed.is_err() { return } else { continue },
        }
        if let Err(error) = mall.reconcile().await {
            tracing::warn!(%error, "orders cannot be reconciled now");
        }
    }
}

impl Mall {
    /// One pass.
    pub async fn reconcile(&self) -> Result<Reconciled> {
        let mut done = Reconciled::default();
        self.review_given_up(&mut done).await?;
        done.jobs_added += self.revive_group_jobs().await?;
        self.hasten_put_off(&mut done).await?;
        for mode in Mode::ALL {
            self.sweep_mode(mode, &mut done).await?;
        }
        if done != Reconciled::default() {
            tracing::warn!(?done, "orders that stood still were moved on");
            self.bell.notify_one();
        }
        Ok(done)
    }

    /// An order whose job was given up waits for a person.
    async fn review_given_up(&self, done: &mut Reconciled) -> Result<()> {
        for job in self.store.provisioning_given_up().await? {
            let code = "PROVISIONING_FAILED".to_owned();
            let reason = Failure { code, message: "the job failed too often".to_owned() };
            match self.to_review(&job.held(self.ctx.now()), reason).await {
                Ok(_) => done.reviewed += 1,
                // It stays, and is counted.
                Err(error) => tracing::error!(%error, job = %job.id, "no review of a job given up"),
            }
        }
        Ok(())
    }

    /// A job that waits for ages runs now, and finds that its order is overdue.
    async fn hasten_put_off(&self, done: &mut Reconciled) -> Result<()> {
        let now = self.ctx.now();
        let (before, after) = (now - self.settings.provisioning_deadline, now + PUT_OFF_MAX);
        for job in self.store.jobs_put_off(before, after).await? {
            let mut tx = self.store.begin().await?;
            let hastened = tx.hasten_job(&job, after, now).await?;
            tx.commit().await?;
            done.hastened += u64::from(hastened);
        }
        Ok(())
    }

    /// Goes on by the orders of a mode.
    async fn sweep_mode(&self, mode: Mode, done: &mut Reconciled) -> Result<()> {
        let now = self.now(mode);
        let mut places = self.reconciler.places.lock().await;
        let place = places.entry(mode).or_default();
        if place.begun_at.is_none_or(|at| now.since(at) > ROUND) {
            *place = Place { begun_at: Some(now), ..Place::default() };
            self.forget_old_events().await?;
            self.forget_old_operations(mode).await?;
            done.jobs_added += self.await_all_renewals(mode).await?;
            done.jobs_added += self.add_missing_group_jobs(mode).await?;
        }
        for _ in 0..PARTS_MAX {
            let part = self.store.sweep_orders(mode, &place.after, PART).await?;
            let old = part.iter().take_while(|order| now.since(order.created_at) >= AGE_MIN);
            let old: Vec<&SweptOrder> = old.collect();
            for order in &old {
                self.look_at(mode, order, done, &mut place.faults).await?;
            }
            if let Some(last) = old.last() {
                place.after = last.id.to_string();
            }
            if i64::try_from(old.len()) != Ok(PART) {
                // The end: what comes later is gone by as it comes of age.
                self.faults_of(mode).store(place.faults, Ordering::Relaxed);
                break;
            }
        }
        Ok(())
    }

    async fn look_at(
        &self,
        mode: Mode,
        order: &SweptOrder,
        done: &mut Reconciled,
        faults: &mut i64,
    ) -> Result<()> {
        let now = self.now(mode);
        let kind = match order.state.as_str() {
            "PAID" | "PROVISIONING" => JobKind::Provision,
            "AWAITING_PAYMENT" if order.closes_at.is_some_and(|at| at < now) => JobKind::CloseOrder,
            "PROVISIONED" if !order.has_plan => {
                *faults += 1;
                tracing::error!(order_id = %order.id, "provisioned, but no plan is on its SIM");
                return Ok(());
            }
            _ => return Ok(()),
        };
        let whose = (mode, order.partner_id);
        let job_id = kind.job_id(&order.id.to_string());
        if self.store.read().await?.job_record(whose, job_id).await?.is_some() {
            return Ok(());
        }
        let added = self.add_job(mode, order, kind).await?;
        done.jobs_added += u64::from(added);
        Ok(())
    }

    /// Writes the job that an order lacks, if it still does.
    async fn add_job(&self, mode: Mode, swept: &SweptOrder, kind: JobKind) -> Result<bool> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let order = tx.order(mode, swept.partner_id, swept.id).await?;
            let lacks = |state: &OrderState| match kind {
                JobKind::Provision => {
                    matches!(state, OrderState::Paid { .. } | OrderState::Provisioning { .. })
                }
                _ => matches!(state, OrderState::AwaitingPayment { .. }),
            };
            let Some(order) = order.filter(|order| lacks(&order.state)) else {
                return Ok(false);
            };
            let job: NewJob = self.new_job(&order, (kind, order.id.to_string()), self.now(mode));
            let added = tx.add_missing_job(&job, self.ctx.now()).await?;
            tx.commit().await?;
            if added {
                tracing::error!(order_id = %order.id, kind = kind.as_str(), "an order had no job");
            }
            Ok(added)
        })
        .await
    }

    fn faults_of(&self, mode: Mode) -> &AtomicI64 {
        match mode {
            Mode::Live => &self.reconciler.faults[0],
            Mode::Test => &self.reconciler.faults[1],
        }
    }

    /// How many paid orders have neither a plan nor their money back, and how many plans have no payment.
    pub async fn imbalance(&self) -> Result<Vec<(Mode, i64, i64)>> {
        let before = self.ctx.now() - self.settings.provisioning_deadline - GRACE;
        let money = self.store.paid_without_plan(before).await?;
        let plans = self.store.plans_without_payment().await?;
        let of = |counts: &HashMap<Mode, i64>, mode| counts.get(&mode).copied().unwrap_or_default();
        let row = |mode| {
            let faults = self.faults_of(mode).load(Ordering::Relaxed);
            (mode, of(&money, mode) + faults, of(&plans, mode))
        };
        Ok(Mode::ALL.map(row).to_vec())
    }
}
