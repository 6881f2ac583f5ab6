//! From a paid order to a plan on the SIM, one durable step at a time.
//!
//! Nothing is guessed: what a carrier cannot tell is looked up, and what cannot be looked up goes to a
//! person. The key under which the carrier is asked is the same on every attempt.

use std::collections::HashMap;
use std::sync::Arc;

use carriers::{
    Carrier, Idempotency, Line, Lookup, Snapshot, SubmitError, Submitted, UpstreamState,
};
use domain::Span;
use domain::ledger::{Account, Posting};
use domain::order::{Failure, Order, OrderEvent, OrderState};
use store::{Job, JobKind, OrderChange, Tx};
use tokio::time::timeout;

use crate::Mall;
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::worker::Next;

/// How long to wait before asking a carrier again about a pending order: the longer it takes, the rarer.
const POLL_FIRST: Span = Span::seconds(2);
const POLL_LATER: Span = Span::seconds(20);
/// Why a call is looked up.
const NO_ANSWER: &str = "the carrier did not answer in time";

/// Where a provisioning job begins.
enum Start {
    /// Another worker was faster, or a person decided.
    Nothing,
    /// This node does not know the order's carrier.
    NoCarrier,
    /// The carrier is to be asked.
    Ready(Box<Begun>),
}

/// An order that is marked as being provisioned, by a job whose lease is fresh.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) order: Order,
    /// Whether it may have been asked for before, with an outcome that nobody wrote down.
    pub(crate) asked_before: bool,
}

/// What a carrier made of an order.
enum Outcome {
    /// The plan is on the SIM.
    Done(String),
    /// It works on it under this id of its own.
    Pending(String),
    /// It refused for good.
    Refused(Failure),
    /// It did nothing; not now.
    PutOff(Span, String),
    /// It could not be asked; ask again.
    Later(Span, String),
    /// Nobody can tell.
    Unknown(Failure),
}

impl Mall {
    /// The job `provision`. `claimed` is its order if the claim marked it already.
    pub(crate) async fn provision(&self, job: &Job, claimed: Option<Begun>) -> Result<Next> {
        let start = match claimed {
            Some(begun) => Start::Ready(Box::new(begun)),
            None => self.start_provisioning(job).await?,
        };
        let Begun { order, asked_before } = match start {
            Start::Nothing => return Ok(Next::Done),
            Start::NoCarrier => {
                let message = "this node does not know the order's carrier".to_owned();
                return self.later_or_review(job, POLL_LATER, message).await;
            }
            Start::Ready(begun) => *begun,
        };
        let Some(carrier) = self.carriers.get(&order.carrier).map(Arc::clone) else {
            return Err(Error::Internal(format!("{} lost its carrier", order.id)));
        };
        let limit = self.settings.carrier_timeout;
        match ask(&*carrier, &order, asked_before, limit).await {
            Outcome::Done(upstream_id) => {
                self.deliver(Delivery { job: job.clone(), order, upstream_id }).await
            }
            Outcome::Refused(failure) => {
                self.settle(job, OrderEvent::CarrierRefused(failure)).await
            }
            Outcome::Unknown(reason) => self.settle(job, OrderEvent::OutcomeUnknown(reason)).await,
            Outcome::Pending(upstream_id) => {
                self.remember(&order, upstream_id).await?;
                let young = self.ctx.now().since(job.first_run_at) < POLL_LATER;
                let pause = if young { POLL_FIRST } else { POLL_LATER };
                self.later_or_review(job, pause, "the carrier has not finished".to_owned()).await
            }
            Outcome::PutOff(after, message) if !self.is_overdue(job) => {
                self.put_order_off(job, after, &message).await
            }
            Outcome::PutOff(after, message) => self.later_or_review(job, after, message).await,
            Outcome::Later(after, message) => {
                let upstream_id = order.upstream_id.clone();
                self.remember(&order, upstream_id).await?;
                self.later_or_review(job, after, message).await
            }
        }
    }

    /// Whether an order has been tried for too long. Time during which no node ran does not count
    /// before the first try.
    fn is_overdue(&self, job: &Job) -> bool {
        self.ctx.now().since(job.first_run_at) > self.settings.provisioning_deadline
    }

    /// Tries again after a pause; an order that has been tried for too long goes to a person.
    async fn later_or_review(&self, job: &Job, pause: Span, message: String) -> Result<Next> {
        if !self.is_overdue(job) {
            return Ok(Next::At(self.ctx.now() + pause, message));
        }
        let message = format!("not provisioned within the deadline: {message}");
        let reason = Failure { code: "CARRIER_OVERDUE".to_owned(), message };
        self.settle(job, OrderEvent::OutcomeUnknown(reason)).await
    }

    /// Marks the orders of freshly claimed jobs as being provisioned, in the transaction of the claim. Gives
    /// those whose carrier is to be asked; the other jobs look for themselves.
    pub(crate) async fn begin_orders(
        &self,
        tx: &mut Tx,
        jobs: &[Job],
    ) -> Result<HashMap<String, Begun>> {
        let of_orders = |job: &&Job| job.kind == JobKind::Provision;
        let jobs: Vec<&Job> = jobs.iter().filter(of_orders).collect();
        let mut begun = HashMap::with_capacity(jobs.len());
        let mut changes = Vec::with_capacity(jobs.len());
        for order in tx.orders_of_jobs(&jobs).await? {
            let Some(native) = self.is_native(&order) else { continue };
            match order.state {
                OrderState::Paid { .. } if native => {
                    begun.insert(order.id.to_string(), Begun { order, asked_before: false });
                }
                OrderState::Paid { .. } => {
                    let state = order.state.clone().on(OrderEvent::ProvisioningStarted)?;
                    changes.push(OrderChange { order, state });
                }
                OrderState::Provisioning { .. } => {
                    begun.insert(order.id.to_string(), Begun { order, asked_before: true });
                }
                _ => {}
            }
        }
        tx.update_orders(&mut changes).await?;
        for OrderChange { order, .. } in changes {
            begun.insert(order.id.to_string(), Begun { order, asked_before: false });
        }
        Ok(begun)
    }

    /// Whether the order's carrier keeps to its promise of one order per key; `None` if this node does not
    /// know the carrier. Where it does, an order may be asked for before that is written down: to ask again
    /// under the same key changes nothing.
    fn is_native(&self, order: &Order) -> Option<bool> {
        let carrier = self.carriers.get(&order.carrier)?;
        Some(carrier.idempotency() == Idempotency::Native)
    }

    /// A paid order that may be asked for at once; `None` if that must be written down before.
    pub(crate) fn begun_at_once(&self, order: &Order) -> Option<Begun> {
        let native = self.is_native(order)?;
        native.then(|| Begun { order: order.clone(), asked_before: false })
    }

    /// Marks the order as being provisioned before a byte leaves. The same transaction extends the
    /// lease: a worker that lost it stops here.
    async fn start_provisioning(&self, job: &Job) -> Result<Start> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            let asked_before = match order.state {
                OrderState::Provisioning { .. } => true,
                OrderState::Paid { .. } => false,
                _ => return Ok(Start::Nothing),
            };
            if !self.carriers.contains_key(&order.carrier) {
                return Ok(Start::NoCarrier);
            }
            if !asked_before {
                let state = order.state.clone().on(OrderEvent::ProvisioningStarted)?;
                tx.update_order(&mut order, state).await?;
            }
            tx.extend_lease(job, self.ctx.now() + self.settings.lease).await?;
            tx.commit().await?;
            Ok(Start::Ready(Box::new(Begun { order, asked_before })))
        })
        .await
    }

    /// The carrier did nothing: the order is as if it had not been asked, until the next try.
    async fn put_order_off(&self, job: &Job, after: Span, why: &str) -> Result<Next> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            if let OrderState::Provisioning { .. } = order.state {
                let state = order.state.clone().on(OrderEvent::PutOff)?;
                tx.update_order(&mut order, state).await?;
            }
            tx.reschedule_job(job, self.ctx.now() + after, 0, why).await?;
            tx.commit().await?;
            Ok(Next::Settled)
        })
        .await
    }

    /// Writes down that the carrier works on the order, and its own id if it gave one.
    async fn remember(&self, order: &Order, upstream_id: String) -> Result<()> {
        let state = started(order.state.clone())?;
        if order.upstream_id == upstream_id && order.state == state {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut order = Order { upstream_id, ..order.clone() };
        tx.update_order(&mut order, state).await?;
        Ok(tx.commit().await?)
    }

    /// The order ends without a plan, or waits for a person.
    pub(crate) async fn settle(&self, job: &Job, event: OrderEvent) -> Result<Next> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            let state = started(order.state.clone())?.on(event.clone())?;
            tx.update_order(&mut order, state).await?;
            if let OrderEvent::CarrierRefused(_) = event {
                self.take_back(&mut tx, &order).await?;
            }
            tx.finish_job(job).await?;
            tx.commit().await?;
            self.metrics.order_entered(order.mode, order.state.name());
            if let OrderEvent::OutcomeUnknown(reason) = &event {
                tracing::error!(order_id = %order.id, code = reason.code, "an order needs a person");
            }
            Ok(Next::Settled)
        })
        .await
    }

    /// Nothing was delivered: what the partner owed for it is taken off its books and its credit.
    async fn take_back(&self, tx: &mut Tx, order: &Order) -> Result<()> {
        let Some(unit) = order.settlement else {
            return Ok(());
        };
        let owed = unit.checked_mul(order.length.periods);
        let owed = owed.map_err(|error| Error::Internal(format!("{}: {error}", order.id)))?;
        let reversal = Posting::sale(Account::PartnerReceivable, owed).reversed();
        tx.insert_postings(&[(order, reversal)], self.ctx.now()).await?;
        Ok(tx.release_credit(order.mode, order.partner_id, owed).await?)
    }
}

/// The state of an order that its carrier was asked for, whether or not that was written down before.
pub(crate) fn started(state: OrderState) -> Result<OrderState> {
    match state {
        OrderState::Paid { .. } => Ok(state.on(OrderEvent::ProvisioningStarted)?),
        other => Ok(other),
    }
}

/// The order of a job.
pub(crate) async fn order_of(tx: &mut Tx, job: &Job) -> Result<Order> {
    let missing = || Error::Internal(format!("{} names no order: {}", job.id, job.subject));
    let id = job.subject.parse().map_err(|_| missing())?;
    tx.order(job.mode, job.partner_id, id).await?.ok_or_else(missing)
}

/// Asks the carrier: how far is it, or please do it. What is ambiguous is looked up; where the same key
/// may order twice, an order that may have been sent before is only looked for.
async fn ask(carrier: &dyn Carrier, order: &Order, asked_before: bool, limit: Span) -> Outcome {
    let limit = limit.to_std();
    let line = Line {
        iccid: order.iccid.clone(),
        product: order.carrier_product.clone(),
        periods: order.length.periods,
    };
    // Nothing is read before a submit yet: carriers that need it can only say that they cannot tell.
    let snapshot = Snapshot::default();
    if !order.upstream_id.is_empty() {
        let asked = carrier.get_order(&order.upstream_id, &line, &snapshot);
        return match timeout(limit, asked).await {
            Ok(Ok(submitted)) => outcome(submitted),
            Ok(Err(error)) => Outcome::Later(POLL_LATER, error.message),
            Err(_) => Outcome::Later(POLL_LATER, NO_ANSWER.to_owned()),
        };
    }
    let native = carrier.idempotency() == Idempotency::Native;
    let key = order.upstream_key();
    let submitted = if asked_before && !native {
        Err(SubmitError::Ambiguous { message: "an earlier try was cut off".to_owned() })
    } else {
        // A call that is cut off may have done its work.
        let cut_off = SubmitError::Ambiguous { message: NO_ANSWER.to_owned() };
        timeout(limit, carrier.submit(&key, &line)).await.unwrap_or(Err(cut_off))
    };
    match submitted {
        Ok(submitted) => outcome(submitted),
        Err(SubmitError::Permanent { code, message }) => {
            Outcome::Refused(Failure { code, message })
        }
        Err(SubmitError::RetryLater { after, message }) => Outcome::PutOff(after, message),
        Err(SubmitError::Ambiguous { message }) => {
            match timeout(limit, carrier.find_by_key(&key, &line, &snapshot)).await {
                Ok(Ok(Lookup::Found(submitted))) => outcome(submitted),
                // With a native key it is safe to ask again under the same one.
                Ok(Ok(Lookup::NotFound)) if native => Outcome::Later(POLL_FIRST, message),
                Ok(Ok(Lookup::NotFound)) => unknown(message),
                Ok(Ok(Lookup::CannotTell { message: why })) => unknown(format!("{message}; {why}")),
                // Looking can be repeated.
                Ok(Err(error)) => Outcome::Later(POLL_LATER, error.message),
                Err(_) => Outcome::Later(POLL_LATER, NO_ANSWER.to_owned()),
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
