//! From a paid order to a plan on the SIM, one durable step at a time.
//!
//! Nothing is guessed: what a carrier cannot tell is looked up, and what cannot be looked up goes to a
//! person. The key under which the carrier is asked is the same on every attempt.

use std::sync::Arc;

use carriers::{Carrier, Idempotency, Line, Lookup, SubmitError, Submitted, UpstreamState};
use domain::id::PartnerId;
use domain::ledger::{Account, Posting};
use domain::order::{Failure, Order, OrderEvent, OrderState};
use domain::sim_plan::{QueuedPlan, SimPlanState, advance, schedule};
use domain::{Mode, Span, Timestamp, Zone};
use store::{Job, JobKind, SimPlan, Tx};
use tokio::time::timeout;

use crate::Mall;
use crate::error::{Error, Result};
use crate::worker::Next;

/// How long to wait before asking a carrier again about a pending order: the longer it takes, the rarer.
const POLL_FIRST: Span = Span::seconds(2);
const POLL_LATER: Span = Span::seconds(20);
/// Why a call is looked up.
const NO_ANSWER: &str = "the carrier did not answer in time";

/// What a carrier made of an order.
enum Outcome {
    Done(String),
    Pending(String),
    Refused(Failure),
    Later(Span, String),
    Unknown(Failure),
}

impl Mall {
    /// The job `provision`.
    pub(crate) async fn provision(&self, job: &Job) -> Result<Next> {
        let Some(order) = self.start_provisioning(job).await? else {
            return Ok(Next::Done);
        };
        let Some(carrier) = self.carriers.get(&order.carrier).map(Arc::clone) else {
            let message = format!("no carrier {:?} is configured", order.carrier);
            let reason = Failure { code: "CARRIER_UNKNOWN".to_owned(), message };
            return self.settle(job, OrderEvent::OutcomeUnknown(reason)).await;
        };
        let outcome = ask(&*carrier, &order, self.settings.carrier_timeout).await;
        let now = self.ctx.now();
        let overdue = now.since(job.created_at) > self.settings.provisioning_deadline;
        match outcome {
            Outcome::Done(upstream_id) => self.deliver(job, upstream_id).await,
            Outcome::Refused(failure) => {
                self.settle(job, OrderEvent::CarrierRefused(failure)).await
            }
            Outcome::Unknown(reason) => self.settle(job, OrderEvent::OutcomeUnknown(reason)).await,
            Outcome::Pending(_) | Outcome::Later(..) if overdue => {
                let message = "the carrier did not finish within the deadline".to_owned();
                let reason = Failure { code: "CARRIER_OVERDUE".to_owned(), message };
                self.settle(job, OrderEvent::OutcomeUnknown(reason)).await
            }
            Outcome::Pending(upstream_id) => {
                self.remember(&order, upstream_id).await?;
                let young = now.since(job.created_at) < POLL_LATER;
                let pause = if young { POLL_FIRST } else { POLL_LATER };
                Ok(Next::At(now + pause, "the carrier has not finished".to_owned()))
            }
            Outcome::Later(after, message) => Ok(Next::At(now + after, message)),
        }
    }

    /// Marks the order as being provisioned before a byte leaves; `None` if there is nothing to do.
    async fn start_provisioning(&self, job: &Job) -> Result<Option<Order>> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            match order.state {
                OrderState::Provisioning { .. } => Ok(Some(order)),
                OrderState::Paid { .. } => {
                    let state = order.state.clone().on(OrderEvent::ProvisioningStarted)?;
                    tx.update_order(&mut order, state).await?;
                    tx.commit().await?;
                    Ok(Some(order))
                }
                // Another worker was faster, or a person decided.
                _ => Ok(None),
            }
        })
        .await
    }

    /// Writes the carrier's own id down.
    async fn remember(&self, order: &Order, upstream_id: String) -> Result<()> {
        if order.upstream_id == upstream_id {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut order = Order { upstream_id, ..order.clone() };
        let state = order.state.clone();
        tx.update_order(&mut order, state).await?;
        Ok(tx.commit().await?)
    }

    /// The plan is on the SIM: order, queue, agreement and job in one transaction.
    async fn deliver(&self, job: &Job, upstream_id: String) -> Result<Next> {
        self.retry(|| async {
            let now = self.ctx.now();
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            order.upstream_id.clone_from(&upstream_id);
            let state = order.state.clone().on(OrderEvent::Provisioned { at: now })?;
            tx.update_order(&mut order, state).await?;
            self.put_on_sim(&mut tx, &order, now).await?;
            tx.finish_job(job).await?;
            tx.commit().await?;
            Ok(Next::Settled)
        })
        .await
    }

    /// Adds the order's plan to the SIM's queue, and turns the queue to now.
    async fn put_on_sim(&self, tx: &mut Tx, order: &Order, now: Timestamp) -> Result<()> {
        let (mode, id) = (order.mode, order.partner_id);
        let zone = self.zone_of(tx, order).await?;
        let before = tx.sim_queue(mode, id, &order.iccid).await?;
        let plan = QueuedPlan {
            id: self.ctx.id(),
            queue_no: tx.last_queue_no(mode, id, &order.iccid).await? + 1,
            added_at: now,
            length: order.length,
            state: SimPlanState::Waiting,
        };
        let mut queue: Vec<QueuedPlan> = before.iter().map(|plan| plan.queued.clone()).collect();
        queue.push(plan);
        advance(&mut queue, now, &zone);
        write_changes(tx, (mode, id), &before, &queue).await?;
        if let Some(added) = queue.last() {
            tx.insert_sim_plan(mode, id, &order.iccid, order.id, added).await?;
        }
        if let Some(expires_at) = end_of_use(&queue) {
            let subject = (JobKind::TurnPlan, order.iccid.as_str().to_owned());
            self.write_job(tx, order, subject, expires_at).await?;
        }
        let last_end = schedule(&queue, &zone).last().map(|(_, _, end)| *end);
        match last_end {
            Some(end) => self.schedule_renewal(tx, order, end).await,
            None => Ok(()),
        }
    }

    async fn zone_of(&self, tx: &mut Tx, order: &Order) -> Result<Zone> {
        let partner = tx.partner(order.mode, order.partner_id).await?;
        let partner =
            partner.ok_or_else(|| Error::Internal(format!("{} has no partner", order.id)))?;
        Ok(partner.zone)
    }

    /// The order ends without a plan, or waits for a person.
    pub(crate) async fn settle(&self, job: &Job, event: OrderEvent) -> Result<Next> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            let state = order.state.clone().on(event.clone())?;
            tx.update_order(&mut order, state).await?;
            if let OrderEvent::CarrierRefused(_) = event {
                self.take_back(&mut tx, &order).await?;
            }
            tx.finish_job(job).await?;
            tx.commit().await?;
            if let OrderEvent::OutcomeUnknown(reason) = &event {
                tracing::error!(order_id = %order.id, code = reason.code, "an order needs a person");
            }
            Ok(Next::Settled)
        })
        .await
    }

    /// Nothing was delivered: what the partner owed for it is taken off its books and its credit.
    async fn take_back(&self, tx: &mut Tx, order: &Order) -> Result<()> {
        self.drop_renewal(tx, order).await?;
        let Some(unit) = order.settlement else {
            return Ok(());
        };
        let owed = unit.checked_mul(order.length.periods);
        let owed = owed.map_err(|error| Error::Internal(format!("{}: {error}", order.id)))?;
        let reversal = Posting::sale(Account::PartnerReceivable, owed).reversed();
        let ids = (self.ctx.id(), order.id);
        tx.insert_posting(order.mode, order.partner_id, ids, reversal, self.ctx.now()).await?;
        Ok(tx.release_credit(order.mode, order.partner_id, owed).await?)
    }
}

/// The order of a job.
async fn order_of(tx: &mut Tx, job: &Job) -> Result<Order> {
    let missing = || Error::Internal(format!("{} names no order: {}", job.id, job.subject));
    let id = job.subject.parse().map_err(|_| missing())?;
    tx.order(job.mode, job.partner_id, id).await?.ok_or_else(missing)
}

/// Writes the plans of a queue whose state has changed. Those that end stand before the one that
/// begins, so that a SIM never has two in use.
pub(crate) async fn write_changes(
    tx: &mut Tx,
    (mode, partner): (Mode, PartnerId),
    before: &[SimPlan],
    queue: &[QueuedPlan],
) -> Result<()> {
    for (old, new) in before.iter().zip(queue) {
        if old.queued.state != new.state {
            tx.update_sim_plan(mode, partner, new, old.queued.state).await?;
        }
    }
    Ok(())
}

/// When the plan in use ends.
pub(crate) fn end_of_use(queue: &[QueuedPlan]) -> Option<Timestamp> {
    queue.iter().find_map(|plan| match plan.state {
        SimPlanState::InUse { expires_at, .. } => Some(expires_at),
        _ => None,
    })
}

/// Asks the carrier: how far is it, or please do it. An ambiguous answer is looked up.
async fn ask(carrier: &dyn Carrier, order: &Order, limit: Span) -> Outcome {
    if !order.upstream_id.is_empty() {
        return match timeout(limit.to_std(), carrier.get_order(&order.upstream_id)).await {
            Ok(Ok(state)) => outcome(Submitted { upstream_id: order.upstream_id.clone(), state }),
            Ok(Err(error)) => Outcome::Later(POLL_LATER, error.message),
            Err(_) => Outcome::Later(POLL_LATER, NO_ANSWER.to_owned()),
        };
    }
    let key = order.upstream_key();
    let line = Line {
        iccid: order.iccid.clone(),
        product: order.carrier_product.clone(),
        periods: order.length.periods,
    };
    // A call that is cut off may have done its work.
    let cut_off = || SubmitError::Ambiguous { message: NO_ANSWER.to_owned() };
    let submitted = timeout(limit.to_std(), carrier.submit(&key, &line)).await;
    match submitted.unwrap_or_else(|_| Err(cut_off())) {
        Ok(submitted) => outcome(submitted),
        Err(SubmitError::Permanent { code, message }) => {
            Outcome::Refused(Failure { code, message })
        }
        Err(SubmitError::RetryLater { after, message }) => Outcome::Later(after, message),
        Err(SubmitError::Ambiguous { message }) => {
            let native = carrier.idempotency() == Idempotency::Native;
            match timeout(limit.to_std(), carrier.find_by_key(&key, &line)).await {
                Ok(Lookup::Found(submitted)) => outcome(submitted),
                // With a native key it is safe to ask again under the same one.
                Ok(Lookup::NotFound) | Err(_) if native => Outcome::Later(POLL_FIRST, message),
                Ok(Lookup::NotFound) | Err(_) => unknown(message),
                Ok(Lookup::CannotTell { message: why }) => unknown(format!("{message}; {why}")),
            }
        }
    }
}

fn outcome(submitted: Submitted) -> Outcome {
    match submitted.state {
        UpstreamState::Done => Outcome::Done(submitted.upstream_id),
        UpstreamState::Pending => Outcome::Pending(submitted.upstream_id),
        UpstreamState::Failed { code, message } => Outcome::Refused(Failure { code, message }),
    }
}

fn unknown(message: String) -> Outcome {
    Outcome::Unknown(Failure { code: "CARRIER_UNCLEAR".to_owned(), message })
}
