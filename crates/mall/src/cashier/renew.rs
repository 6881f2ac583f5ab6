//! An auto-renewal through Stripe goes on: every further invoice that is paid becomes an order, once; what ended there
//! has ended here, and the other way round.

use cashiers::stripe::{
    CallError, Invoice, InvoiceStatus, Stripe, Subscription, SubscriptionStatus, minor_units,
};
use domain::ledger::{Account, Posting};
use domain::order::{Failure, Order, OrderEvent, OrderState};
use domain::payment::{Channel, PaymentState};
use domain::renewal::RenewalState;
use domain::{Mode, Span};
use store::{CashierSubscription, Job, JobKind, Tx};

use super::authorise::{NoIntent, next_look};
use super::follow::trouble_pause;
use super::learn::at_seconds;
use super::subscribe::Renewing;
use crate::Mall;
use crate::error::{Error, Result};
use crate::provision::order_of;
use crate::renewals::Ending;
use crate::worker::Next;

/// How long after a period's end its invoice is looked for: Stripe takes about an hour to be paid.
const INVOICE_TAKES: Span = Span::minutes(65);
/// After so long nothing comes any more of a try to subscribe.
const TRY_TAKES: Span = Span::minutes(2);
/// How often an invoice that is not paid is asked about.
const UNPAID_PAUSE: Span = Span::minutes(60);
/// Why an invoice may have been made that the first order is not paid by.
const FIRST: &str = "subscription_create";

/// Whether nothing more comes of a subscription.
fn is_over(status: &SubscriptionStatus) -> bool {
    matches!(
        status,
        SubscriptionStatus::Canceled
            | SubscriptionStatus::IncompleteExpired
            | SubscriptionStatus::Unpaid
    )
}

impl Mall {
    /// The job `follow_subscription`.
    pub(crate) async fn follow_subscription(&self, job: &Job) -> Result<Next> {
        let order = order_of(&mut self.store.read().await?, job).await?;
        let Some(mut renewing) = self.renewing(&order).await? else { return Ok(Next::Done) };
        let cashier = self.cashier(&renewing.payable.partner)?;
        let stripe = &cashier.stripe;
        match self.look_and_end(stripe, &mut renewing).await {
            Ok(Some(found)) => self.heed_subscription(stripe, renewing, &found).await,
            Ok(None) if renewing.subscription.method_id.is_empty() => Ok(Next::Done),
            Ok(None) => {
                let now = self.now(job.mode);
                if now.since(renewing.subscription.key.at) < TRY_TAKES {
                    return Ok(Next::At(now + TRY_TAKES, "a try may be on its way".to_owned()));
                }
                self.give_up_card(&mut renewing).await?;
                Ok(Next::Done)
            }
            Err(NoIntent::Call(error)) => Ok(self.trouble(job.mode, &error)),
            Err(NoIntent::Own(error)) => Err(error),
        }
    }

    /// How a subscription stands, which is ended if it is to be. One that is over is not ended again: Stripe may tell of
    /// each end, and we look whenever we are told.
    async fn look_and_end(
        &self,
        stripe: &Stripe,
        renewing: &mut Renewing,
    ) -> std::result::Result<Option<Subscription>, NoIntent> {
        let found = self.look_for_subscription(stripe, renewing).await?;
        let runs = |one: &&Subscription| one.status != SubscriptionStatus::Canceled;
        let Some(running) = found.as_ref().filter(runs).filter(|_| renewing.subscription.ends)
        else {
            return Ok(found);
        };
        match stripe.cancel_subscription(&running.id).await {
            // It may be over by now.
            Ok(_) | Err(CallError::NotFound { .. } | CallError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.look_for_subscription(stripe, renewing).await
    }

    fn trouble(&self, mode: Mode, error: &CallError) -> Next {
        Next::At(self.now(mode) + trouble_pause(error), error.to_string())
    }

    /// An order with the subscription that it begins; `None`: it begins none.
    pub(super) async fn renewing(&self, order: &Order) -> Result<Option<Renewing>> {
        let Some(payable) = self.payable(order).await? else { return Ok(None) };
        let mut tx = self.store.read().await?;
        let found = tx.cashier_subscription(order.mode, order.partner_id, order.id).await?;
        Ok(found.map(|subscription| Renewing { payable, subscription }))
    }

    async fn heed_subscription(
        &self,
        stripe: &Stripe,
        renewing: Renewing,
        found: &Subscription,
    ) -> Result<Next> {
        let mode = renewing.payable.order.mode;
        let invoices = match all_invoices(stripe, &found.id).await {
            Ok(invoices) => invoices,
            Err(error) => return Ok(self.trouble(mode, &error)),
        };
        let paid = |invoice: &&Invoice| {
            invoice.status == Some(InvoiceStatus::Paid)
                && invoice.billing_reason.as_deref() != Some(FIRST)
        };
        // The eldest first: their plans run one after another.
        for invoice in invoices.iter().rev().filter(paid) {
            self.renew_by(&renewing, invoice).await?;
        }
        let open = invoices.iter().find(|one| one.status == Some(InvoiceStatus::Open));
        let is_drafted = invoices.iter().any(|one| one.status == Some(InvoiceStatus::Draft));
        let noted = self.note_standing(&renewing, found, open).await?;
        let now = self.now(mode);
        if is_over(&found.status) {
            return Ok(Next::Done);
        }
        let at = match (noted.period_ends_at, open) {
            (_, Some(_)) => now + UNPAID_PAUSE,
            // It is about to be charged.
            _ if is_drafted => now + INVOICE_TAKES,
            (Some(ends_at), None) if ends_at + INVOICE_TAKES > now => ends_at + INVOICE_TAKES,
            _ => next_look(renewing.payable.taken.begun_at, now),
        };
        Ok(Next::At(at, String::new()))
    }

    /// Writes down how a subscription stands. One that is over has ended here too.
    async fn note_standing(
        &self,
        renewing: &Renewing,
        found: &Subscription,
        open: Option<&Invoice>,
    ) -> Result<CashierSubscription> {
        let order = &renewing.payable.order;
        let (mode, partner) = (order.mode, order.partner_id);
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let missing = || Error::Internal(format!("{} lost its subscription", order.id));
            let known = tx.cashier_subscription(mode, partner, order.id).await?;
            let mut known = known.ok_or_else(missing)?;
            found.status.as_str().clone_into(&mut known.status);
            known.period_ends_at = Some(at_seconds(found.current_period_end));
            let intent = open.and_then(|invoice| invoice.payment_intent.object());
            let error = intent.and_then(|intent| intent.last_payment_error.as_ref());
            let word = error.and_then(|error| error.word()).unwrap_or_default();
            word.clone_into(&mut known.decline_code);
            let again = open.and_then(|invoice| invoice.next_payment_attempt);
            known.next_try_at = again.map(at_seconds);
            tx.update_cashier_subscription(mode, &mut known).await?;
            if let Some(invoice) = open.filter(|_| !word.is_empty()) {
                self.note_declined(&mut tx, order, (invoice, word)).await?;
            }
            if is_over(&found.status)
                && let Some(renewal) = tx.renewal_by_order(mode, partner, order.id).await?
                && renewal.state == RenewalState::Active
            {
                let reason = format!("the subscription is {} there", found.status.as_str());
                let state = RenewalState::Cancelled;
                let ending = Ending { state, actor: "stripe", reason: &reason };
                self.end_agreement(&mut tx, (mode, partner), &renewal, ending).await?;
            }
            tx.commit().await?;
            Ok(known)
        })
        .await
    }

    /// A period's charge was declined: once for its invoice, however often that is tried.
    async fn note_declined(
        &self,
        tx: &mut Tx,
        first: &Order,
        (invoice, word): (&Invoice, &str),
    ) -> Result<()> {
        let whose = (first.mode, first.partner_id);
        let renewal = tx.renewal_by_order(whose.0, whose.1, first.id).await?;
        let Some(mut renewal) = renewal.filter(|one| one.state == RenewalState::Active) else {
            return Ok(());
        };
        let before = renewal.clone();
        let what = (invoice.id.clone(), format!("the charge was declined: {word}"));
        if self.renewal_failed(tx, whose, &mut renewal, what).await? {
            tx.schedule_renewal(whose.0, whose.1, (&before, &renewal)).await?;
        }
        Ok(())
    }

    /// Makes the order that an invoice paid for, unless there is one.
    async fn renew_by(&self, renewing: &Renewing, invoice: &Invoice) -> Result<()> {
        let first = &renewing.payable.order;
        let made = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let (mode, partner) = (first.mode, first.partner_id);
                if tx.order_by_pay_id(mode, partner, &invoice.id).await?.is_some() {
                    return Ok(None);
                }
                let order = self.write_renewal(&mut tx, renewing, invoice).await?;
                tx.commit().await?;
                Ok(Some(order))
            })
            .await?;
        if let Some(order) = made {
            tracing::info!(order_id = %order.id, renews = %first.id, "an auto-renewal was paid");
            self.metrics.order_entered(order.mode, order.state.name());
            self.bell.notify_one();
        }
        Ok(())
    }

    async fn write_renewal(
        &self,
        tx: &mut Tx,
        renewing: &Renewing,
        invoice: &Invoice,
    ) -> Result<Order> {
        let (first, now) = (&renewing.payable.order, self.now(renewing.payable.order.mode));
        let received = minor_units::from_stripe(invoice.amount_paid, &invoice.currency)
            .map_err(|error| Error::Internal(format!("{}: {error}", invoice.id)))?;
        let expected = renewing.payable.payment.amount;
        let paid = OrderState::Paid { paid_at: now };
        let state = if received == expected {
            paid
        } else {
            let message = format!("the invoice {} is of another amount than agreed", invoice.id);
            let reason = Failure { code: "PAYMENT_AMOUNT".to_owned(), message };
            paid.on(OrderEvent::OutcomeUnknown(reason))?
        };
        let order = Order {
            id: self.ctx.id_at(now),
            order_no: invoice.id.clone(),
            pay_id: invoice.id.clone(),
            org_order_id: first.order_no.clone(),
            // No request made it, so that none can repeat it.
            content_hash: Vec::new(),
            state,
            version: 0,
            queue_no: None,
            upstream_id: String::new(),
            created_at: now,
            ..first.clone()
        };
        let mut payment = self.new_payment(&order, Channel::Stripe, received);
        payment.state = PaymentState::Succeeded { at: now };
        self.insert_order(tx, &order, &payment).await?;
        let (mode, partner) = (order.mode, order.partner_id);
        tx.add_cashier_payment(mode, partner, order.id, now).await?;
        let missing = || Error::Internal(format!("{} lost its payment", order.id));
        let taken = tx.cashier_payment(mode, partner, order.id).await?;
        let mut taken = taken.ok_or_else(missing)?;
        renewing.payable.taken.customer_id.clone_into(&mut taken.customer_id);
        invoice.intent_id().unwrap_or_default().clone_into(&mut taken.intent_id);
        tx.update_cashier_payment(mode, &mut taken).await?;
        // What Stripe kept of it is learned with the rest.
        self.write_job(tx, &order, (JobKind::FollowPayment, order.id.to_string()), now).await?;
        if received == expected {
            self.on_paid(tx, &order, Account::StripeBalance, received).await?;
        } else {
            let sale = Posting::sale(Account::StripeBalance, received);
            tx.insert_postings(&[(&order, sale)], now).await?;
        }
        Ok(order)
    }

    /// Writes down that a subscription is to be ended at Stripe, if an order began one there.
    pub(crate) async fn end_subscription(&self, tx: &mut Tx, order: &Order) -> Result<()> {
        let (mode, partner, now) = (order.mode, order.partner_id, self.now(order.mode));
        let Some(mut known) = tx.cashier_subscription(mode, partner, order.id).await? else {
            return Ok(());
        };
        if known.ends {
            return Ok(());
        }
        known.ends = true;
        tx.update_cashier_subscription(mode, &mut known).await?;
        let job = self.new_job(order, (JobKind::FollowSubscription, order.id.to_string()), now);
        Ok(tx.insert_job(&job, now).await?)
    }
}

/// All invoices of a subscription, the newest first.
async fn all_invoices(
    stripe: &Stripe,
    subscription: &str,
) -> std::result::Result<Vec<Invoice>, CallError> {
    let (mut all, mut after): (Vec<Invoice>, Option<String>) = (Vec::new(), None);
    loop {
        let page = stripe.invoices_of(subscription, after.as_deref()).await?;
        let more = page.has_more;
        all.extend(page.data);
        match all.last() {
            Some(last) if more => after = Some(last.id.clone()),
            _ => return Ok(all),
        }
    }
}
