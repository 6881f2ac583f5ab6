//! Money that goes back: asked for by the mall, by an operator, or in Stripe's own dashboard.
//!
//! A refund is written down, and the payment's version raised, before Stripe is asked for it: two at once cannot
//! give back more than was paid. What Stripe says of it later, even that a bank refused it after all, is heeded.

use cashiers::stripe::{
    BalanceTransaction, CallError, Dispute, DisputeStatus, NewRefund, PaymentIntent,
    Refund as AtStripe, RefundStatus, Stripe, minor_units,
};
use domain::id::{OrderId, PartnerId, RefundId};
use domain::ledger::{Posting, PostingKind};
use domain::order::{Failure, Order, OrderEvent, OrderState};
use domain::payment::{Channel, Outcome, Payment, PaymentEvent};
use domain::refund::{Refund, RefundState, refundable};
use domain::{Mode, Money};
use serde_json::json;
use store::{CashierKey, Job, JobKind, PostingRecord, Tx};
use wire::admin::Problem;
use wire::push::EventType;

use super::authorise::{Payable, next_look};
use super::follow::trouble_pause;
use super::{is_fresh, key_text, metadata};
use crate::Mall;
use crate::error::{Error, Result};
use crate::worker::Next;

/// What shall go back, and why.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// How much; `None`: all that is left.
    pub(crate) amount: Option<Money>,
    /// Why.
    pub(crate) reason: String,
    /// Who wants it.
    pub(crate) actor: String,
}

impl Mall {
    /// Writes down that money shall go back, and the job that sees to it.
    pub(crate) async fn begin_refund(
        &self,
        tx: &mut Tx,
        (order, payment): (&mut Order, &mut Payment),
        wish: Wish,
    ) -> Result<Refund> {
        let (mode, partner, now) = (order.mode, order.partner_id, self.now(order.mode));
        if payment.channel != Channel::Stripe || payment.state.outcome() != Outcome::Paid {
            let detail = "nothing was paid through this mall's cashier for the order";
            return Err(Problem::conflict("NOTHING_PAID", detail).into());
        }
        let taken = tx.cashier_payment(mode, partner, order.id).await?;
        let taken =
            taken.ok_or_else(|| Error::Internal(format!("{} lost its payment", order.id)))?;
        let known = tx.refunds_of_order(mode, partner, order.id).await?;
        let own = known.iter().filter(|refund| refund.intent_id == taken.intent_id);
        let left = refundable(received(tx, order).await?.unwrap_or(payment.amount), own);
        let amount = wish.amount.unwrap_or(left);
        if amount.currency != left.currency || amount.minor <= 0 || amount.minor > left.minor {
            let detail = format!("{} {} can still go back", left.currency.code(), left.decimal());
            return Err(Problem::conflict("NOT_REFUNDABLE", detail).into());
        }
        let refund = Refund {
            id: self.ctx.id(),
            order_id: order.id,
            intent_id: taken.intent_id,
            amount,
            state: RefundState::Asked,
            reason: wish.reason,
            actor: wish.actor,
            cashier_id: String::new(),
            failure: String::new(),
            created_at: now,
            ended_at: None,
            version: 0,
        };
        tx.insert_refund(mode, partner, &refund).await?;
        self.write_job(tx, order, (JobKind::Refund, refund.id.to_string()), now).await?;
        let state = if amount == left {
            let state = order.state.clone().on(OrderEvent::RefundStarted);
            let state = state.map_err(|_| not_now(order))?;
            tx.update_order(order, state).await?;
            payment.state.on(PaymentEvent::RefundStarted)?
        } else {
            payment.state
        };
        // In any case its version is raised: of two at once, one runs again.
        tx.update_payment(mode, partner, payment, state).await?;
        Ok(refund)
    }

    /// The job `refund`: asks Stripe for it, and until it is decided how it stands.
    pub(crate) async fn refund(&self, job: &Job) -> Result<Next> {
        let broken = || Error::Internal(format!("{} names no refund: {}", job.id, job.subject));
        let id: RefundId = job.subject.parse().map_err(|_| broken())?;
        let mut tx = self.store.read().await?;
        let (refund, key) = tx.refund(job.mode, job.partner_id, id).await?.ok_or_else(broken)?;
        let order = tx.order(job.mode, job.partner_id, refund.order_id).await?;
        let order = order.ok_or_else(broken)?;
        drop(tx);
        if matches!(refund.state, RefundState::Succeeded | RefundState::Failed) {
            return Ok(Next::Done);
        }
        let payable = self.payable(&order).await?.ok_or_else(broken)?;
        let cashier = self.cashier(&payable.partner)?;
        match self.ask_refund(&cashier.stripe, &payable, (&refund, key)).await? {
            Ok(at_stripe) => {
                let whose = (job.mode, job.partner_id);
                let state = self.heed_refund(whose, id, &at_stripe).await?;
                if state == RefundState::Pending {
                    let at = next_look(refund.created_at, self.now(job.mode));
                    return Ok(Next::At(at, "the bank has it in hand".to_owned()));
                }
                Ok(Next::Done)
            }
            Err(
                CallError::Refused { message, .. }
                | CallError::Declined { message, .. }
                | CallError::NotFound { message },
            ) => {
                self.refund_refused((job.mode, job.partner_id), id, message).await?;
                Ok(Next::Done)
            }
            Err(error) => {
                Ok(Next::At(self.now(job.mode) + trouble_pause(&error), error.to_string()))
            }
        }
    }

    async fn ask_refund(
        &self,
        stripe: &Stripe,
        payable: &Payable,
        (refund, key): (&Refund, CashierKey),
    ) -> Result<std::result::Result<AtStripe, CallError>> {
        if !refund.cashier_id.is_empty() {
            return Ok(stripe.refund(&refund.cashier_id).await);
        }
        let (mode, partner, now) =
            (payable.order.mode, payable.order.partner_id, self.now(payable.order.mode));
        let mut key = key;
        if !is_fresh(key, now) {
            // The key may be forgotten: what was made under it is looked for first.
            match own_refund(stripe, refund).await {
                Ok(None) => key = self.renew_key((mode, partner), refund, key).await?,
                Ok(Some(own)) => return Ok(Ok(own)),
                Err(error) => return Ok(Err(error)),
            }
        }
        let amount = minor_units::to_stripe(refund.amount)
            .map_err(|error| Error::Internal(format!("{}: {error}", refund.id)))?;
        let mut metadata = metadata(&payable.order, &payable.partner.code);
        metadata.insert("refund".to_owned(), refund.id.to_string());
        let new = NewRefund { payment_intent: refund.intent_id.clone(), amount, metadata };
        let text = key_text("refund", &format!("{mode}-{partner}-{}", refund.id), key)?;
        let asked = stripe.create_refund(&new, &text).await;
        if let Err(CallError::Trouble { .. }) = asked {
            // The key has this answer for good. What is there is taken; else the next try has another key.
            match own_refund(stripe, refund).await {
                Ok(None) => drop(self.renew_key((mode, partner), refund, key).await?),
                Ok(Some(own)) => return Ok(Ok(own)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(asked)
    }

    async fn renew_key(
        &self,
        (mode, partner): (Mode, PartnerId),
        refund: &Refund,
        key: CashierKey,
    ) -> Result<CashierKey> {
        let now = self.now(mode);
        let mut tx = self.store.begin().await?;
        tx.renew_refund_key(mode, partner, refund, now).await?;
        tx.commit().await?;
        Ok(CashierKey { no: key.no + 1, at: now })
    }

    /// Writes down how a refund stands at Stripe; gives its state then.
    async fn heed_refund(
        &self,
        (mode, partner): (Mode, PartnerId),
        id: RefundId,
        at_stripe: &AtStripe,
    ) -> Result<RefundState> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let missing = || Error::Internal(format!("{id} is gone"));
            let (mut refund, _) = tx.refund(mode, partner, id).await?.ok_or_else(missing)?;
            at_stripe.id.clone_into(&mut refund.cashier_id);
            let failure = at_stripe.failure_reason.clone().unwrap_or_default();
            self.move_refund(&mut tx, (mode, partner), &mut refund, (state_of(at_stripe), failure))
                .await?;
            tx.commit().await?;
            Ok(refund.state)
        })
        .await
    }

    async fn refund_refused(
        &self,
        (mode, partner): (Mode, PartnerId),
        id: RefundId,
        why: String,
    ) -> Result<()> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let missing = || Error::Internal(format!("{id} is gone"));
            let (mut refund, _) = tx.refund(mode, partner, id).await?.ok_or_else(missing)?;
            let became = (RefundState::Failed, why.clone());
            self.move_refund(&mut tx, (mode, partner), &mut refund, became).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Moves a refund on, with the books and its order.
    async fn move_refund(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        refund: &mut Refund,
        (state, failure): (RefundState, String),
    ) -> Result<()> {
        if !refund.state.may_become(state) {
            return Ok(());
        }
        let (now, before) = (self.now(mode), refund.state);
        refund.failure = failure;
        refund.ended_at = (state != RefundState::Pending).then_some(now);
        tx.update_refund(mode, partner, refund, state).await?;
        let whose = (mode, partner, refund.order_id);
        let reference = refund.id.to_string();
        match state {
            RefundState::Succeeded => {
                let posting = Posting::refund(refund.amount);
                tx.insert_posting(whose, (posting, &reference), now).await?;
            }
            RefundState::Failed if before == RefundState::Succeeded => {
                let posting = Posting::refund_failed(refund.amount);
                tx.insert_posting(whose, (posting, &reference), now).await?;
            }
            _ => {}
        }
        self.settle_order(tx, whose, refund).await?;
        if state == RefundState::Succeeded {
            self.tell_refunded(tx, whose, refund).await?;
        }
        Ok(())
    }

    /// Tells the partner of a refund. What was paid beside an order's own payment is none of the order.
    async fn tell_refunded(
        &self,
        tx: &mut Tx,
        (mode, partner, order_id): (Mode, PartnerId, OrderId),
        refund: &Refund,
    ) -> Result<()> {
        let taken = tx.cashier_payment(mode, partner, order_id).await?;
        if taken.is_none_or(|taken| taken.intent_id != refund.intent_id) {
            return Ok(());
        }
        let Some(order) = tx.order(mode, partner, order_id).await? else { return Ok(()) };
        let told = json!({
            "refund_id": refund.id.to_string(),
            "amount": refund.amount.decimal(),
            "currency": refund.amount.currency.code(),
            "reason": refund.reason,
            "made_by": made_by(&refund.actor),
        });
        self.tell_of_order(tx, (EventType::OrderRefunded, &order), &[("refund", told)]).await
    }

    /// What a refund makes of its order: given back when all of it went back, else what it was before.
    async fn settle_order(
        &self,
        tx: &mut Tx,
        (mode, partner, order_id): (Mode, PartnerId, domain::id::OrderId),
        refund: &Refund,
    ) -> Result<()> {
        let missing = || Error::Internal(format!("{order_id} lost its payment"));
        let mut order = tx.order(mode, partner, order_id).await?.ok_or_else(missing)?;
        let payment = tx.payment_of_order(mode, partner, order_id).await?;
        let mut payment = payment.ok_or_else(missing)?;
        let before = payment.version;
        let taken = tx.cashier_payment(mode, partner, order_id).await?.ok_or_else(missing)?;
        if refund.intent_id != taken.intent_id {
            // It was paid twice: this is not what the order stands on.
            return Ok(());
        }
        let known = tx.refunds_of_order(mode, partner, order_id).await?;
        let own: Vec<Refund> =
            known.into_iter().filter(|one| one.intent_id == taken.intent_id).collect();
        let left = refundable(received(tx, &order).await?.unwrap_or(payment.amount), &own);
        if left.minor == 0 && payment.state.outcome() == Outcome::Paid {
            if let Ok(state) = order.state.clone().on(OrderEvent::RefundStarted) {
                tx.update_order(&mut order, state).await?;
            }
            if let Ok(state) = payment.state.on(PaymentEvent::RefundStarted) {
                tx.update_payment(mode, partner, &mut payment, state).await?;
            }
        }
        let refunding =
            matches!(order.state, OrderState::Refunding { .. } | OrderState::Refunded { .. });
        let counted = |one: &&Refund| one.state.counts();
        let all_done = own.iter().filter(counted).all(|one| one.state == RefundState::Succeeded);
        if matches!(order.state, OrderState::Refunding { .. }) && left.minor == 0 && all_done {
            let state = order.state.clone().on(OrderEvent::RefundDone)?;
            tx.update_order(&mut order, state).await?;
            let state = payment.state.on(PaymentEvent::RefundDone)?;
            tx.update_payment(mode, partner, &mut payment, state).await?;
            self.metrics.order_entered(mode, order.state.name());
            return self.revoke_unused(tx, &order).await;
        }
        if refunding && left.minor > 0 {
            let message = format!("{}: {}", refund.id, refund.failure);
            let reason = Failure { code: "REFUND_FAILED".to_owned(), message };
            let state = order.state.clone().on(OrderEvent::RefundFailed(reason))?;
            tx.update_order(&mut order, state).await?;
            let state = payment.state.on(PaymentEvent::RefundFailed)?;
            tx.update_payment(mode, partner, &mut payment, state).await?;
            self.metrics.order_entered(mode, order.state.name());
        }
        if payment.version == before {
            // Of two refunds that end at once neither sees the other's end: one runs again, and does.
            let state = payment.state;
            tx.update_payment(mode, partner, &mut payment, state).await?;
        }
        Ok(())
    }

    /// Takes over what was refunded at Stripe itself. An error is Stripe's.
    pub(super) async fn sync_refunds(
        &self,
        stripe: &Stripe,
        payable: &Payable,
        intent: &PaymentIntent,
    ) -> Result<Option<CallError>> {
        let order = &payable.order;
        let mut tx = self.store.read().await?;
        let known = tx.refunds_of_order(order.mode, order.partner_id, order.id).await?;
        drop(tx);
        let none = intent.charge().is_none_or(|charge| charge.amount_refunded == 0);
        if none && known.is_empty() {
            return Ok(None);
        }
        let there = match all_refunds(stripe, &intent.id).await {
            Ok(there) => there,
            Err(error) => return Ok(Some(error)),
        };
        let whose = (payable.order.mode, payable.order.partner_id);
        for at_stripe in there {
            self.take_over_refund(whose, payable, &at_stripe).await?;
        }
        Ok(None)
    }

    async fn take_over_refund(
        &self,
        (mode, partner): (Mode, PartnerId),
        payable: &Payable,
        at_stripe: &AtStripe,
    ) -> Result<()> {
        let order_id = payable.order.id;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let known = tx.refunds_of_order(mode, partner, order_id).await?;
            let known = known
                .into_iter()
                .find(|one| one.cashier_id == at_stripe.id || is_of(at_stripe, one));
            let failure = at_stripe.failure_reason.clone().unwrap_or_default();
            let mut refund = if let Some(refund) = known {
                refund
            } else {
                let refund = self.found_refund(payable, at_stripe)?;
                tx.insert_refund(mode, partner, &refund).await?;
                refund
            };
            at_stripe.id.clone_into(&mut refund.cashier_id);
            let became = (state_of(at_stripe), failure);
            self.move_refund(&mut tx, (mode, partner), &mut refund, became).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// A refund that was made at Stripe itself.
    fn found_refund(&self, payable: &Payable, at_stripe: &AtStripe) -> Result<Refund> {
        let amount = minor_units::from_stripe(at_stripe.amount, &at_stripe.currency);
        let amount =
            amount.map_err(|error| Error::Internal(format!("{}: {error}", at_stripe.id)))?;
        Ok(Refund {
            id: self.ctx.id(),
            order_id: payable.order.id,
            intent_id: payable.taken.intent_id.clone(),
            amount,
            state: RefundState::Asked,
            reason: "made at Stripe".to_owned(),
            actor: "stripe".to_owned(),
            cashier_id: at_stripe.id.clone(),
            failure: String::new(),
            created_at: self.now(payable.order.mode),
            ended_at: None,
            version: 0,
        })
    }
}

impl Mall {
    /// Books what banks took back of a payment, and gave back. An error is Stripe's.
    pub(super) async fn sync_disputes(
        &self,
        stripe: &Stripe,
        payable: &Payable,
        intent: &PaymentIntent,
    ) -> Result<Option<CallError>> {
        if intent.charge().is_none_or(|charge| !charge.disputed) {
            return Ok(None);
        }
        let disputes = match stripe.disputes_of(&intent.id).await {
            Ok(page) => page.data,
            Err(error) => return Ok(Some(error)),
        };
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            for dispute in &disputes {
                self.heed_dispute(&mut tx, &payable.order, dispute).await?;
            }
            Ok(tx.commit().await?)
        })
        .await?;
        Ok(None)
    }

    /// Books what a dispute moved, and tells the partner of one that was lost: the money does not come back.
    async fn heed_dispute(&self, tx: &mut Tx, order: &Order, dispute: &Dispute) -> Result<()> {
        let whose = (order.mode, order.partner_id, order.id);
        let now = self.now(order.mode);
        let amount = in_ours(&dispute.id, dispute.amount, &dispute.currency)?;
        // While it is a question only, no money moved.
        for moved in &dispute.balance_transactions {
            let posting = match moved.amount {
                ..0 => Posting::dispute(amount),
                _ => Posting::dispute_won(amount),
            };
            tx.insert_posting(whose, (posting, &dispute.id), now).await?;
            if let Some(fee) = fee_of(moved)? {
                tx.insert_posting(whose, (fee, &moved.id), now).await?;
            }
        }
        let is_news = tx.note_dispute(whose, (&dispute.id, dispute.status.as_str())).await?;
        if !is_news || dispute.status != DisputeStatus::Lost {
            return Ok(());
        }
        let Some(order) = tx.order(order.mode, order.partner_id, order.id).await? else {
            return Ok(());
        };
        let told = json!({
            "dispute_id": dispute.id,
            "amount": amount.decimal(),
            "currency": amount.currency.code(),
            "reason": dispute.reason,
            "status": dispute.status.as_str(),
        });
        self.tell_of_order(tx, (EventType::OrderRefunded, &order), &[("dispute", told)]).await
    }
}

/// Who made a refund, as a partner is told: which operator it was is no business of its.
pub(crate) fn made_by(actor: &str) -> &str {
    if matches!(actor, "mall" | "stripe") { actor } else { "operator" }
}

/// An amount of Stripe's in our units.
pub(crate) fn in_ours(id: &str, amount: i64, currency: &str) -> Result<Money> {
    minor_units::from_stripe(amount, currency)
        .map_err(|error| Error::Internal(format!("{id}: {error}")))
}

/// What Stripe kept of a movement, or gave back of what it had kept.
pub(crate) fn fee_of(moved: &BalanceTransaction) -> Result<Option<Posting>> {
    let fee = in_ours(&moved.id, moved.fee.saturating_abs(), &moved.currency)?;
    Ok(match moved.fee {
        0 => None,
        1.. => Some(Posting::fee(fee)),
        _ => Some(Posting::fee_returned(fee)),
    })
}

/// What really came for an order, which may be another amount than was agreed: what was booked as its sale.
async fn received(tx: &mut Tx, order: &Order) -> Result<Option<Money>> {
    let booked = tx.postings_of_order((order.mode, order.partner_id), order.id).await?;
    let sale =
        |one: &PostingRecord| one.posting.kind == PostingKind::Sale && one.reference.is_empty();
    Ok(booked.into_iter().find(sale).map(|one| one.posting.amount))
}

fn not_now(order: &Order) -> Error {
    let detail = format!("an order that is {} cannot be refunded", order.state.name());
    Problem::conflict("NOT_REFUNDABLE", detail).into()
}

fn state_of(at_stripe: &AtStripe) -> RefundState {
    match at_stripe.status {
        RefundStatus::Succeeded => RefundState::Succeeded,
        RefundStatus::Failed | RefundStatus::Canceled => RefundState::Failed,
        _ => RefundState::Pending,
    }
}

/// Whether a refund at Stripe is one of ours.
fn is_of(at_stripe: &AtStripe, refund: &Refund) -> bool {
    at_stripe.metadata.get("refund") == Some(&refund.id.to_string())
}

/// What Stripe has of one of our refunds.
async fn own_refund(
    stripe: &Stripe,
    refund: &Refund,
) -> std::result::Result<Option<AtStripe>, CallError> {
    let there = all_refunds(stripe, &refund.intent_id).await?;
    Ok(there.into_iter().find(|one| is_of(one, refund)))
}

/// All refunds of a payment.
async fn all_refunds(
    stripe: &Stripe,
    intent: &str,
) -> std::result::Result<Vec<AtStripe>, CallError> {
    let (mut all, mut after): (Vec<AtStripe>, Option<String>) = (Vec::new(), None);
    loop {
        let page = stripe.refunds_of(intent, after.as_deref()).await?;
        let more = page.has_more;
        all.extend(page.data);
        match all.last() {
            Some(last) if more => after = Some(last.id.clone()),
            _ => return Ok(all),
        }
    }
}
