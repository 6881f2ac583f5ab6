//! Asking Stripe how a payment stands: by a job while it is not decided, and whenever somebody has a reason.

use cashiers::stripe::{CallError, PaymentIntentStatus, Stripe};
use domain::order::OrderState;
use domain::payment::Channel;
use domain::{Mode, Span, Timestamp};
use store::Job;
use wire::Code;
use wire::payment::{ResultConfirm, ResultQuery, ResultQueryAnswer};

use super::authorise::{NoIntent, Payable, next_look};
use super::learn::Learned;
use super::subscribe::{FIRST_CHOICE, Renewing};
use super::{ASK_PAUSE, key_text};
use crate::error::{Error, Result};
use crate::provision::order_of;
use crate::worker::Next;
use crate::{Caller, Mall};

/// How long after a payment was begun it is asked about first.
pub(super) const FIRST_PAUSE: Span = Span::seconds(5);
/// How soon it is asked again where Stripe could not be asked.
const TROUBLE_PAUSE: Span = Span::seconds(30);

/// How often a fee is asked for that Stripe did not tell with the charge.
const FEE_PAUSE: Span = Span::minutes(60);
/// For how long; after that the comparison of days names it.
const FEE_WAIT_MAX: Span = Span::days(7);

/// How a payment stands at Stripe.
pub(super) enum Asked {
    /// What was learned is written down.
    Learned(Learned),
    /// It could not be asked, or did not answer.
    Trouble(CallError),
}

impl Mall {
    /// The job `follow_payment`: asks until the payment is decided, and for a while until its fee is known.
    pub(crate) async fn follow_payment(&self, job: &Job) -> Result<Next> {
        let order = order_of(&mut self.store.read().await?, job).await?;
        let Some(payable) = self.payable(&order).await? else { return Ok(Next::Done) };
        let begun_at = payable.taken.begun_at;
        Ok(match self.follow(payable).await? {
            Asked::Learned(Learned::Decided) => Next::Done,
            Asked::Learned(Learned::FeeOpen) => {
                let now = self.now(order.mode);
                if now.since(begun_at) > FEE_WAIT_MAX {
                    return Ok(Next::Done);
                }
                Next::At(now + FEE_PAUSE, "Stripe has not told its fee yet".to_owned())
            }
            Asked::Learned(Learned::Open) => {
                Next::At(next_look(begun_at, self.now(order.mode)), String::new())
            }
            Asked::Trouble(error) => {
                Next::At(self.now(order.mode) + trouble_pause(&error), error.to_string())
            }
        })
    }

    /// An order with what the cashier has of it; `None`: nothing was begun there, or nobody takes its money here.
    pub(super) async fn payable(&self, order: &domain::order::Order) -> Result<Option<Payable>> {
        let (mode, partner) = (order.mode, order.partner_id);
        let mut tx = self.store.read().await?;
        let Some(taken) = tx.cashier_payment(mode, partner, order.id).await? else {
            return Ok(None);
        };
        let missing = || Error::Internal(format!("{} lost its payment or partner", order.id));
        let payment = tx.payment_of_order(mode, partner, order.id).await?.ok_or_else(missing)?;
        let partner = tx.partner(mode, partner).await?.ok_or_else(missing)?;
        Ok(Some(Payable { order: order.clone(), payment, partner, taken }))
    }

    /// Asks Stripe how a payment stands, and heeds its answer.
    pub(super) async fn follow(&self, mut payable: Payable) -> Result<Asked> {
        let cashier = self.cashier(&payable.partner)?;
        let waits = matches!(payable.order.state, OrderState::AwaitingPayment { .. });
        let order = &payable.order;
        let mut tx = self.store.read().await?;
        let renews = tx.cashier_subscription(order.mode, order.partner_id, order.id).await?;
        drop(tx);
        if payable.taken.intent_id.is_empty() && (!waits || renews.is_some()) {
            // Nothing was made as far as is known, and nothing is to be made any more.
            return Ok(Asked::Learned(Learned::Decided));
        }
        match self.ensure_intent(&cashier.stripe, &mut payable).await {
            Ok(intent) => {
                let learned = self.learn(&payable, &intent).await?;
                let stripe = &cashier.stripe;
                let refunds = self.sync_refunds(stripe, &payable, &intent).await?;
                let disputes = self.sync_disputes(stripe, &payable, &intent).await?;
                if let Some(trouble) = refunds.or(disputes) {
                    return Ok(Asked::Trouble(trouble));
                }
                Ok(Asked::Learned(learned))
            }
            Err(NoIntent::Call(error)) => Ok(Asked::Trouble(error)),
            Err(NoIntent::Own(error)) => Err(error),
        }
    }

    /// 6.4: the result of a payment. While it is not decided, Stripe itself is asked, though not too often.
    pub async fn payment_result(
        &self,
        caller: &Caller,
        request: &ResultQuery,
    ) -> Result<ResultQueryAnswer> {
        self.ask_and_answer(caller, &request.pay_id, ASK_PAUSE).await
    }

    /// 6.5: the client says that its SDK is done. Stripe is asked now.
    pub async fn confirm_payment(
        &self,
        caller: &Caller,
        request: &ResultConfirm,
    ) -> Result<ResultQueryAnswer> {
        self.ask_and_answer(caller, &request.pay_id, Span::seconds(0)).await
    }

    async fn ask_and_answer(
        &self,
        caller: &Caller,
        pay_id: &str,
        pause: Span,
    ) -> Result<ResultQueryAnswer> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let order = tx.order_by_pay_id(partner.mode, partner.id, pay_id).await?;
        let order = order.ok_or(Code::PaymentUnknown)?;
        drop(tx);
        if let Some(payable) = self.payable(&order).await?
            && payable.payment.channel == Channel::Stripe
            && payable.payment.state.result_at().is_none()
            && self.takes_turn(&payable, pause).await?
        {
            match self.follow(payable).await {
                Ok(Asked::Learned(_)) => {}
                Ok(Asked::Trouble(error)) => {
                    tracing::warn!(%error, "Stripe cannot be asked about a payment");
                }
                // What is known is told all the same; the job asks again.
                Err(error) => tracing::error!(%error, "an answer of Stripe is not heeded"),
            }
        }
        self.known_result(caller, pay_id).await
    }

    /// Whether it is this caller's turn to ask: nobody did since a pause ago.
    async fn takes_turn(&self, payable: &Payable, pause: Span) -> Result<bool> {
        let mode = payable.order.mode;
        let now = self.now(mode);
        let mut tx = self.store.begin().await?;
        let turn = tx.may_ask_cashier(mode, &payable.taken, (now, now - pause)).await?;
        tx.commit().await?;
        Ok(turn)
    }

    /// Before an unpaid order is closed, its intent is cancelled, so that nobody pays for what is closed. Gives when
    /// to come again where that is not decided yet.
    pub(crate) async fn cancel_before_closing(
        &self,
        order: &domain::order::Order,
    ) -> Result<Option<(Timestamp, String)>> {
        let Some(payable) = self.payable(order).await? else { return Ok(None) };
        let cashier = self.cashier(&payable.partner)?;
        if let Some(mut renewing) = self.renewing(order).await? {
            return self.cancel_renewing(&cashier.stripe, &mut renewing).await;
        }
        if payable.taken.intent_id.is_empty() {
            // Its making may have been done without an answer: known first, then cancelled.
            return Ok(match self.follow(payable).await? {
                Asked::Learned(_) => {
                    Some((self.now(order.mode), "its intent was found".to_owned()))
                }
                Asked::Trouble(error) => Some(self.later(order.mode, &error)),
            });
        }
        let whose = format!("{}-{}-{}", order.mode, order.partner_id, order.id);
        let key = key_text("cancel", &whose, payable.taken.key)?;
        match cashier.stripe.cancel_payment_intent(&payable.taken.intent_id, &key).await {
            Ok(intent) if intent.status == PaymentIntentStatus::Canceled => {
                self.learn(&payable, &intent).await?;
                Ok(None)
            }
            // Paid meanwhile, or about to be: what it is decides.
            Ok(_) | Err(CallError::Refused { .. } | CallError::KeyConflict { .. }) => {
                let begun_at = payable.taken.begun_at;
                Ok(match self.follow(payable).await? {
                    Asked::Learned(Learned::Decided | Learned::FeeOpen) => None,
                    Asked::Learned(Learned::Open) => {
                        let at = next_look(begun_at, self.now(order.mode));
                        Some((at, "its payment is under way".to_owned()))
                    }
                    Asked::Trouble(error) => Some(self.later(order.mode, &error)),
                })
            }
            Err(error) => {
                if let CallError::Trouble { .. } = error {
                    // The key has this answer for good.
                    let mut taken = payable.taken;
                    self.renew_payment_key(&mut taken, order.mode).await?;
                }
                Ok(Some(self.later(order.mode, &error)))
            }
        }
    }

    /// The same of an order whose auto-renewal is being agreed: what may have been made is found first.
    async fn cancel_renewing(
        &self,
        stripe: &Stripe,
        renewing: &mut Renewing,
    ) -> Result<Option<(Timestamp, String)>> {
        let mode = renewing.payable.order.mode;
        let known = &renewing.subscription;
        let tried = known.key.no >= FIRST_CHOICE;
        // A try that was given up may have arrived after all.
        if !tried && known.method_id.is_empty() && known.subscription_id.is_empty() {
            return Ok(None);
        }
        match self.look_for_subscription(stripe, renewing).await {
            // Its first invoice is paid, or it would not be.
            Ok(Some(_)) => {
                Ok(Some((self.now(mode) + FIRST_PAUSE, "its subscription was found".to_owned())))
            }
            Ok(None) => Ok(None),
            Err(NoIntent::Call(error)) => Ok(Some(self.later(mode, &error))),
            Err(NoIntent::Own(error)) => Err(error),
        }
    }

    fn later(&self, mode: Mode, error: &CallError) -> (Timestamp, String) {
        (self.now(mode) + trouble_pause(error), error.to_string())
    }
}

/// How long to wait after a call that did not go well.
pub(super) fn trouble_pause(error: &CallError) -> Span {
    match error {
        CallError::Unavailable { after, .. } => *after,
        _ => TROUBLE_PAUSE,
    }
}
