//! The durable steps around a carrier's call: what is written before a byte leaves, and what after.
//!
//! Each step is one transaction that holds the job's fence, so that a worker that lost its lease can neither
//! send nor write what came of it. A SIM's orders are sent one after another, by a unique index.

use carriers::{Carrier, Feature, Idempotency};
use domain::ledger::{Account, Posting};
use domain::order::{Failure, Order, OrderEvent, OrderState};
use domain::payment::Channel;
use domain::{Span, Timestamp};
use store::{Attempt, AttemptState, Job, Tx};
use tokio::time::timeout;
use wire::push::EventType;

use crate::Mall;
use crate::cashier::Wish;
use crate::error::{Error, Result};
use crate::failpoints::Point;
use crate::provision::{NO_ANSWER, line_of, order_of};
use crate::worker::Next;

/// How soon to see whether the SIM's other order is done.
const SIM_BUSY_PAUSE: Span = Span::seconds(5);
/// The most characters of a carrier's words that are stored.
const SAID_CHARS_MAX: usize = 500;

/// Where a provisioning job begins.
pub(crate) enum Start {
    /// Another worker was faster, or a person decided.
    Nothing,
    /// This node does not know the order's carrier.
    NoCarrier,
    /// Something else must be first.
    Wait(Span, String),
    /// The carrier is to be asked.
    Ready(Box<Begun>),
}

/// An order that its carrier is to be asked for, by a job whose lease is fresh.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) order: Order,
    /// The live attempt. `None`: its carrier is in this process, and nothing is written down yet.
    pub(crate) attempt: Option<Attempt>,
    /// Whether it may have been sent before, with an outcome that nobody knows.
    pub(crate) sent_before: bool,
    /// Until when nobody else has the job.
    pub(crate) leased_until: Timestamp,
    /// Whether it must be looked first if its SIM is on its way into a group or out of one.
    pub(crate) looks_first: bool,
}

/// An order whose SIM is on its way into a group or out of one waits.
pub(crate) fn gives_way() -> Start {
    Start::Wait(SIM_BUSY_PAUSE, "the SIM joins a group or leaves one".to_owned())
}

/// What a step makes of the order.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    /// The carrier was asked for it.
    Accepted,
    /// The carrier did nothing, and is asked again later.
    PutOff,
    /// The carrier refused for good.
    Refused(Failure),
    /// It waits for a person.
    Review(Failure),
}

/// What a step makes of the live attempt.
#[derive(Debug, Clone)]
pub(crate) enum Word {
    /// It stays as it is.
    Same,
    /// It comes into a state, with the carrier's id if that is known now.
    Is(AttemptState, Option<String>),
}

impl Mall {
    /// Whether the order may be asked for, and what must be written down before.
    pub(crate) async fn start(&self, job: &Job) -> Result<Start> {
        let mut tx = self.store.read().await?;
        let order = order_of(&mut tx, job).await?;
        if !matches!(order.state, OrderState::Paid { .. } | OrderState::Provisioning { .. }) {
            return Ok(Start::Nothing);
        }
        let Some(carrier) = self.carrier(job.mode, &order.carrier) else {
            return Ok(Start::NoCarrier);
        };
        let attempt = live_attempt(&mut tx, &order).await?;
        if carrier.capabilities().in_process {
            let whose = (order.mode, order.partner_id);
            if matches!(order.state, OrderState::Paid { .. })
                && tx.is_member_moved(whose, &order.iccid).await?
            {
                return Ok(gives_way());
            }
            let leased_until = job.leased_until;
            return Ok(Start::Ready(Box::new(Begun {
                order,
                attempt,
                sent_before: false,
                leased_until,
                looks_first: false,
            })));
        }
        drop(tx);
        match attempt {
            None => self.open_attempt(job, &**carrier).await,
            Some(attempt) if attempt.state == AttemptState::Reading => {
                self.read_and_mark(job, order, attempt, &**carrier).await
            }
            Some(attempt) if attempt.state == AttemptState::Sending => {
                self.take_over(job, order, attempt, &**carrier).await
            }
            Some(attempt) => {
                let leased_until = self.hold(job, &**carrier).await?;
                Ok(Start::Ready(Box::new(Begun {
                    order,
                    attempt: Some(attempt),
                    sent_before: false,
                    leased_until,
                    looks_first: false,
                })))
            }
        }
    }

    /// Holds the job for as long as a call may take.
    async fn hold(&self, job: &Job, carrier: &dyn Carrier) -> Result<Timestamp> {
        let leased_until = self.ctx.now() + self.lease_for(carrier);
        if leased_until > job.leased_until {
            let mut tx = self.store.begin().await?;
            tx.extend_lease(job, leased_until).await?;
            tx.commit().await?;
        }
        Ok(leased_until)
    }

    /// Opens an attempt, which holds the SIM.
    async fn open_attempt(&self, job: &Job, carrier: &dyn Carrier) -> Result<Start> {
        let reads = carrier.capabilities().has(Feature::Snapshot);
        self.fail_at(Point::BeforeOpening, job).await?;
        let opened = self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            let mut attempt = new_attempt(&mut tx, &order, self.ctx.now()).await?;
            attempt.holds_sim = true;
            let (mode, partner) = (order.mode, order.partner_id);
            if let Some(other) = tx.holder_of_sim(mode, partner, &order.iccid).await? {
                let why = format!("the SIM's {other} is with its carrier");
                return Ok(Err(Start::Wait(SIM_BUSY_PAUSE, why)));
            }
            attempt.state = match order.state {
                OrderState::Paid { .. } if reads => AttemptState::Reading,
                OrderState::Paid { .. } => {
                    mark(&mut tx, &mut order).await?;
                    AttemptState::Sending
                }
                // It was asked for, and nothing about it is written down.
                _ => AttemptState::Unclear,
            };
            tx.insert_attempt(&order, &attempt).await?;
            let leased_until = self.ctx.now() + self.lease_for(carrier);
            tx.extend_lease(job, leased_until).await?;
            tx.commit().await?;
            Ok(Ok(Begun {
                order,
                attempt: Some(attempt),
                sent_before: false,
                leased_until,
                looks_first: false,
            }))
        });
        let opened = opened.await?;
        self.fail_at(Point::AfterOpening, job).await?;
        match opened {
            Err(wait) => Ok(wait),
            Ok(Begun { order, attempt: Some(attempt), .. })
                if attempt.state == AttemptState::Reading =>
            {
                self.read_and_mark(job, order, attempt, carrier).await
            }
            Ok(begun) => Ok(Start::Ready(Box::new(begun))),
        }
    }

    /// Reads what is on the SIM, and stores it in the transaction that marks the order as being sent.
    async fn read_and_mark(
        &self,
        job: &Job,
        order: Order,
        attempt: Attempt,
        carrier: &dyn Carrier,
    ) -> Result<Start> {
        let line = line_of(&order);
        self.hold(job, carrier).await?;
        let call_max = self.call_max(carrier).to_std();
        let read = timeout(call_max, carrier.snapshot(&line)).await;
        let read =
            read.map_or_else(|_| Err(NO_ANSWER.to_owned()), |it| it.map_err(|it| it.message));
        let lost = self.fail_at(Point::AfterReading, job).await?;
        let read = if lost { Err(NO_ANSWER.to_owned()) } else { read };
        let snapshot = match read {
            Ok(snapshot) => snapshot,
            Err(why) => {
                let pause = carrier.poll_pause(self.ctx.now().since(attempt.sent_at));
                return Ok(Start::Wait(pause, format!("cannot read the SIM: {why}")));
            }
        };
        self.fail_at(Point::BeforeSending, job).await?;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            let mut attempt = attempt.clone();
            attempt.state = AttemptState::Sending;
            attempt.snapshot = snapshot.as_text().to_owned();
            attempt.sent_at = self.ctx.now();
            tx.update_attempt(&order, &attempt, AttemptState::Reading).await?;
            mark(&mut tx, &mut order).await?;
            let leased_until = self.ctx.now() + self.lease_for(carrier);
            tx.extend_lease(job, leased_until).await?;
            tx.commit().await?;
            Ok(Start::Ready(Box::new(Begun {
                order,
                attempt: Some(attempt),
                sent_before: false,
                leased_until,
                looks_first: false,
            })))
        })
        .await
    }

    /// Goes on where another worker was about to send. Where keys are native, it is sent again; else it may
    /// still be on its way for as long as that worker had the job and its call may take, and after that it is
    /// only looked for.
    async fn take_over(
        &self,
        job: &Job,
        order: Order,
        attempt: Attempt,
        carrier: &dyn Carrier,
    ) -> Result<Start> {
        let native = carrier.idempotency() == Idempotency::Native;
        let arrived_at = attempt.sent_at + self.lease_for(carrier) + self.call_max(carrier);
        let missing = arrived_at.since(self.ctx.now());
        if !native && missing > Span::seconds(0) {
            let why = "another worker may be sending it".to_owned();
            return Ok(Start::Wait(missing, why));
        }
        self.retry(|| async {
            let (order, mut attempt) = (order.clone(), attempt.clone());
            let mut tx = self.store.begin().await?;
            if !native {
                attempt.state = AttemptState::Unclear;
                attempt.hear(self.ctx.now(), "an earlier try was cut off");
                tx.update_attempt(&order, &attempt, AttemptState::Sending).await?;
            }
            let leased_until = self.ctx.now() + self.lease_for(carrier);
            tx.extend_lease(job, leased_until).await?;
            tx.commit().await?;
            Ok(Start::Ready(Box::new(Begun {
                order,
                attempt: Some(attempt),
                sent_before: true,
                leased_until,
                looks_first: false,
            })))
        })
        .await
    }

    /// Writes what came of a step: order, attempt and job in one transaction. `at` is when the job runs again;
    /// `None` ends it.
    pub(crate) async fn write_step(
        &self,
        job: &Job,
        turn: Turn,
        word: Word,
        said: String,
        at: Option<Timestamp>,
    ) -> Result<Next> {
        let said: String = said.chars().take(SAID_CHARS_MAX).collect();
        let entered = self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let mut order = order_of(&mut tx, job).await?;
            let before = order.state.name();
            let ends = matches!(turn, Turn::Review(_));
            self.write_word(&mut tx, &mut order, (&word, &said), ends).await?;
            let next_carrier = self.write_turn(&mut tx, &mut order, &turn).await?;
            match at.or(next_carrier.then(|| self.ctx.now())) {
                Some(at) => tx.reschedule_job(job, at, 0, &said).await?,
                None => tx.finish_job(job).await?,
            }
            tx.commit().await?;
            let after = order.state.name();
            Ok((before != after).then_some((order.mode, after)))
        });
        if let Some((mode, state)) = entered.await? {
            self.metrics.order_entered(mode, state);
        }
        if let Turn::Review(reason) = &turn {
            let (order_id, code) = (&job.subject, &reason.code);
            tracing::error!(order_id, code, "an order needs a person");
        }
        if at.is_none_or(|at| at <= self.ctx.now()) {
            self.bell.notify_one();
        }
        Ok(Next::Settled)
    }

    async fn write_word(
        &self,
        tx: &mut Tx,
        order: &mut Order,
        (word, said): (&Word, &str),
        reviewed: bool,
    ) -> Result<()> {
        let now = self.ctx.now();
        let live = live_attempt(tx, order).await?;
        let old = live.as_ref().map(|attempt| attempt.state);
        let mut attempt = match live {
            Some(attempt) => attempt,
            // Of a carrier in this process.
            None => new_attempt(tx, order, now).await?,
        };
        match word {
            Word::Same if old.is_none() => return Ok(()),
            Word::Same => {}
            Word::Is(state, upstream_id) => {
                attempt.state = *state;
                attempt.heard_at = Some(now);
                if let Some(id) = upstream_id {
                    attempt.upstream_id.clone_from(id);
                    order.upstream_id.clone_from(id);
                }
            }
        }
        attempt.hear(now, said);
        if reviewed && attempt.state == AttemptState::Reading {
            // Nothing was sent.
            attempt.state = AttemptState::PutOff;
        }
        // A person may take days. Only where the SIM itself is the evidence must its other orders wait so long.
        let decides = !attempt.snapshot.is_empty() || !reviewed;
        let held = attempt.holds_sim;
        attempt.holds_sim &= attempt.state.is_live() && decides;
        let frees = held && !attempt.holds_sim;
        match old {
            Some(old) => {
                tx.update_attempt(order, &attempt, old).await?;
                if frees {
                    let sim = (order.mode, order.partner_id, &order.iccid);
                    tx.hasten_next_of_sim(sim, now).await?;
                }
                Ok(())
            }
            None => Ok(tx.insert_attempt(order, &attempt).await?),
        }
    }

    /// Turns the order; whether another carrier is to be asked for it.
    async fn write_turn(&self, tx: &mut Tx, order: &mut Order, turn: &Turn) -> Result<bool> {
        let state = order.state.clone();
        let state = match turn {
            Turn::Accepted => started(state)?,
            Turn::PutOff => stopped(state)?,
            Turn::Review(reason) => state.on(OrderEvent::OutcomeUnknown(reason.clone()))?,
            Turn::Refused(failure) => {
                if let Some((carrier, product)) = next_carrier(tx, order).await? {
                    tracing::warn!(order_id = %order.id, carrier, "the next carrier is asked");
                    order.carrier = carrier;
                    order.carrier_product = product;
                    order.upstream_id.clear();
                    tx.update_order(order, stopped(state)?).await?;
                    return Ok(true);
                }
                started(state)?.on(OrderEvent::CarrierRefused(failure.clone()))?
            }
        };
        tx.update_order(order, state).await?;
        if let Turn::Refused(failure) = turn {
            self.tell_of_order(tx, (EventType::OrderFailed, order), &[]).await?;
            self.pay_back(tx, order, failure).await?;
        }
        Ok(false)
    }

    /// Nothing was delivered: whoever paid gets the money back.
    async fn pay_back(&self, tx: &mut Tx, order: &mut Order, failure: &Failure) -> Result<()> {
        let payment = tx.payment_of_order(order.mode, order.partner_id, order.id).await?;
        match payment {
            Some(mut payment) if payment.channel == Channel::Stripe => {
                let wish = Wish {
                    amount: None,
                    reason: format!("no plan: {}", failure.message),
                    actor: "mall".to_owned(),
                };
                self.begin_refund(tx, (order, &mut payment), wish).await?;
                Ok(())
            }
            _ => self.take_back(tx, order).await,
        }
    }

    /// Nothing was delivered: what the partner owed for it is taken off its books and its credit.
    pub(crate) async fn take_back(&self, tx: &mut Tx, order: &Order) -> Result<()> {
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

/// The state of an order that its carrier did nothing about.
fn stopped(state: OrderState) -> Result<OrderState> {
    match state {
        OrderState::Provisioning { .. } => Ok(state.on(OrderEvent::PutOff)?),
        other => Ok(other),
    }
}

/// Marks an order as being provisioned, unless somebody else did so.
async fn mark(tx: &mut Tx, order: &mut Order) -> Result<()> {
    let state = order.state.clone().on(OrderEvent::ProvisioningStarted)?;
    Ok(tx.update_order(order, state).await?)
}

/// The attempt of an order that something may still come of.
pub(crate) async fn live_attempt(tx: &mut Tx, order: &Order) -> Result<Option<Attempt>> {
    let attempts = tx.attempts(order.mode, order.partner_id, order.id).await?;
    Ok(attempts.into_iter().rev().find(|attempt| attempt.state.is_live()))
}

/// An attempt that is about to be sent, with the order's next number.
async fn new_attempt(tx: &mut Tx, order: &Order, now: Timestamp) -> Result<Attempt> {
    let before = tx.attempts(order.mode, order.partner_id, order.id).await?;
    Ok(Attempt {
        order_id: order.id,
        no: before.last().map_or(1, |last| last.no + 1),
        carrier: order.carrier.clone(),
        carrier_product: order.carrier_product.clone(),
        upstream_key: order.upstream_key(),
        iccid: order.iccid.clone(),
        state: AttemptState::Sending,
        holds_sim: false,
        snapshot: String::new(),
        upstream_id: order.upstream_id.clone(),
        said: String::new(),
        sent_at: now,
        heard_at: None,
    })
}

/// The first carrier of the package's route, with its product, that has not refused the order.
async fn next_carrier(tx: &mut Tx, order: &Order) -> Result<Option<(String, String)>> {
    let route = tx.package_route(order.mode, &order.package_code).await?;
    let attempts = tx.attempts(order.mode, order.partner_id, order.id).await?;
    let refused = |carrier: &str| {
        carrier == order.carrier
            || attempts
                .iter()
                .any(|attempt| attempt.carrier == carrier && attempt.state == AttemptState::Refused)
    };
    Ok(route.into_iter().find(|(carrier, _)| !refused(carrier)))
}
