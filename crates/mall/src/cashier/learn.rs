//! What follows from how a payment stands at Stripe: one transaction, the same whoever asked and how often.

use cashiers::stripe::{Charge, PaymentIntent, PaymentIntentStatus, minor_units};
use domain::ledger::{Account, Posting};
use domain::order::{Failure, Order, OrderEvent, OrderState};
use domain::partner::Partner;
use domain::payment::{Outcome, Payment, PaymentEvent, PaymentState};
use domain::plan::PriceKind;
use domain::{Money, Timestamp};
use store::{CashierPayment, Tx};
use wire::vshop::OrderFields;

use super::authorise::Payable;
use super::refunds::{Wish, fee_of};
use crate::Mall;
use crate::error::{Error, Result};
use crate::orders::Paid;

/// Whether there is anything more to come of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// Paid, or never to be paid.
    Decided,
    /// Paid, but what Stripe kept for it is not known yet.
    FeeOpen,
    /// Not yet.
    Open,
}

/// The rows of a payment in a transaction.
struct Rows {
    order: Order,
    payment: Payment,
    taken: CashierPayment,
}

impl Mall {
    /// Writes down how a payment stands.
    pub(super) async fn learn(&self, payable: &Payable, intent: &PaymentIntent) -> Result<Learned> {
        let (learned, entered) = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let mut rows = read(&mut tx, &payable.order).await?;
                if rows.taken.intent_id != intent.id {
                    let id = &intent.id;
                    return Err(Error::Internal(format!("{id} is not of {}", rows.order.id)));
                }
                let before = rows.order.state.name();
                let learned =
                    self.heed_intent(&mut tx, &mut rows, (intent, &payable.partner)).await?;
                tx.commit().await?;
                let after = rows.order.state.name();
                Ok((learned, (before != after).then_some(after)))
            })
            .await?;
        if let Some(state) = entered {
            self.metrics.order_entered(payable.order.mode, state);
            self.bell.notify_one();
        }
        Ok(learned)
    }

    async fn heed_intent(
        &self,
        tx: &mut Tx,
        rows: &mut Rows,
        (intent, partner): (&PaymentIntent, &Partner),
    ) -> Result<Learned> {
        let (mode, now) = (rows.order.mode, self.now(rows.order.mode));
        let charge = intent.charge();
        let decline = intent.last_payment_error.as_ref().and_then(|error| error.word());
        let known = (rows.taken.decline_code.clone(), rows.taken.charge_id.clone());
        rows.taken.asked_at = Some(now);
        decline.unwrap_or_default().clone_into(&mut rows.taken.decline_code);
        if let Some(id) = intent.charge_id() {
            id.clone_into(&mut rows.taken.charge_id);
        }
        tx.update_cashier_payment(mode, &mut rows.taken).await?;
        match intent.status {
            PaymentIntentStatus::Succeeded => {
                self.heed_success(tx, rows, (intent, partner)).await?;
                let Some(charge) = charge else { return Ok(Learned::Decided) };
                self.book_fee(tx, &rows.order, charge).await?;
                let is_told = charge.balance_transaction.object().is_some();
                Ok(if is_told { Learned::Decided } else { Learned::FeeOpen })
            }
            PaymentIntentStatus::Canceled => {
                if rows.payment.state.outcome() == Outcome::Unknown {
                    let state = rows.payment.state.on(PaymentEvent::Cancelled(now))?;
                    write_payment(tx, rows, state).await?;
                }
                if matches!(rows.order.state, OrderState::AwaitingPayment { .. }) {
                    let state = rows.order.state.clone().on(OrderEvent::TimedOut)?;
                    tx.update_order(&mut rows.order, state).await?;
                }
                Ok(Learned::Decided)
            }
            _ => {
                if rows.payment.state == PaymentState::Created {
                    let state = rows.payment.state.on(PaymentEvent::Started)?;
                    write_payment(tx, rows, state).await?;
                }
                let CashierPayment { decline_code, charge_id, .. } = &rows.taken;
                // Each try is told of once: another one has another charge, or another word.
                if !decline_code.is_empty() && known != (decline_code.clone(), charge_id.clone()) {
                    self.tell_not_paid(tx, &rows.order, decline_code).await?;
                }
                Ok(Learned::Open)
            }
        }
    }

    /// The money is there.
    async fn heed_success(
        &self,
        tx: &mut Tx,
        rows: &mut Rows,
        (intent, partner): (&PaymentIntent, &Partner),
    ) -> Result<()> {
        if rows.payment.state.outcome() == Outcome::Paid {
            return Ok(());
        }
        let at = self.now(rows.order.mode);
        let received = minor_units::from_stripe(intent.amount_received, &intent.currency)
            .map_err(|error| Error::Internal(format!("{}: {error}", intent.id)))?;
        let state = rows.payment.state.on(PaymentEvent::Succeeded(at))?;
        write_payment(tx, rows, state).await?;
        let reopened = rows.order.state == OrderState::Closed;
        let paid = rows.order.state.clone().on(OrderEvent::PaymentSucceeded { at })?;
        if received != rows.payment.amount {
            // What was agreed is not what came: a person decides, and nothing is provisioned meanwhile.
            let expected = rows.payment.amount;
            let message = format!(
                "{} {} was to be paid, {} {} came",
                expected.currency.code(),
                expected.decimal(),
                received.currency.code(),
                received.decimal()
            );
            let reason = Failure { code: "PAYMENT_AMOUNT".to_owned(), message };
            tx.update_order(&mut rows.order, paid.on(OrderEvent::OutcomeUnknown(reason))?).await?;
            let sale = Posting::sale(Account::StripeBalance, received);
            return Ok(tx.insert_postings(&[(&rows.order, sale)], at).await?);
        }
        tx.update_order(&mut rows.order, paid).await?;
        if reopened && !self.still_sold(tx, partner, &rows.order, received).await? {
            let sale = Posting::sale(Account::StripeBalance, received);
            tx.insert_postings(&[(&rows.order, sale)], at).await?;
            let wish = Wish {
                amount: None,
                reason:
                    "paid after the order was closed, and it is not sold at this price any more"
                        .to_owned(),
                actor: "mall".to_owned(),
            };
            self.begin_refund(tx, (&mut rows.order, &mut rows.payment), wish).await?;
            return Ok(());
        }
        self.on_paid(tx, &rows.order, Account::StripeBalance, received).await
    }

    /// Whether the mall would make the order now, at this price.
    async fn still_sold(
        &self,
        tx: &mut Tx,
        partner: &Partner,
        order: &Order,
        amount: Money,
    ) -> Result<bool> {
        let fields = OrderFields {
            iccid: order.iccid.clone(),
            order_no: order.order_no.clone(),
            pay_id: order.pay_id.clone(),
            request_order_id: order.request_order_id.clone(),
            service_plan_code: order.plan_code.clone(),
            service_plan_show_name: order.show_name.clone(),
            package_code: order.package_code.clone(),
            order_period: order.length.periods,
            pay_amount: amount,
            auto_renewal: order.auto_renewal,
        };
        let paid = Paid { kind: PriceKind::Sale, amount };
        match self.check_order(tx, partner, &fields, &paid).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Books what Stripe kept for a charge, once that is known.
    pub(super) async fn book_fee(&self, tx: &mut Tx, order: &Order, charge: &Charge) -> Result<()> {
        let Some(moved) = charge.balance_transaction.object() else { return Ok(()) };
        if let Some(fee) = fee_of(moved)? {
            let whose = (order.mode, order.partner_id, order.id);
            tx.insert_posting(whose, (fee, &moved.id), self.now(order.mode)).await?;
        }
        Ok(())
    }
}

async fn read(tx: &mut Tx, order: &Order) -> Result<Rows> {
    let (mode, partner, id) = (order.mode, order.partner_id, order.id);
    let missing = || Error::Internal(format!("{id} lost its payment"));
    let order = tx.order(mode, partner, id).await?.ok_or_else(missing)?;
    let payment = tx.payment_of_order(mode, partner, id).await?.ok_or_else(missing)?;
    let taken = tx.cashier_payment(mode, partner, id).await?.ok_or_else(missing)?;
    Ok(Rows { order, payment, taken })
}

async fn write_payment(tx: &mut Tx, rows: &mut Rows, state: PaymentState) -> Result<()> {
    let (mode, partner) = (rows.order.mode, rows.order.partner_id);
    Ok(tx.update_payment(mode, partner, &mut rows.payment, state).await?)
}

/// A time that Stripe gives in seconds.
pub(super) fn at_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}
