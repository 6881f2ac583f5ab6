//! Money that an operator gives back.
//!
//! Where this mall's cashier took it, the cashier is asked, and what it says is heeded; where the partner was paid,
//! it pays its customer back, and here the books are put right at once.

use domain::id::OrderId;
use domain::order::{Order, OrderEvent};
use domain::payment::{Channel, PaymentEvent};
use domain::refund::Refund;
use domain::{Mode, Money};
use serde_json::json;
use store::{FoundOrder, Tx};
use wire::admin::{Problem, order as shape};
use wire::push::EventType;

use super::orders::shown;
use super::{Change, Operator, Wrong, json, text};
use crate::Mall;
use crate::cashier::{Wish, made_by};
use crate::error::{Error, Result};

/// A refund as an operator sees it.
pub(crate) fn shown_refund(refund: &Refund) -> shape::Refund {
    shape::Refund {
        refund_id: refund.id.to_string(),
        amount: refund.amount.decimal(),
        currency: refund.amount.currency.code().to_owned(),
        state: refund.state.as_str().to_owned(),
        reason: refund.reason.clone(),
        actor: refund.actor.clone(),
        cashier_id: refund.cashier_id.clone(),
        failure: refund.failure.clone(),
        created_at: text(refund.created_at),
        ended_at: refund.ended_at.map(text),
    }
}

impl Mall {
    /// Gives back what was paid for an order, whole or in part.
    pub async fn refund_order(
        &self,
        by: &Operator,
        mode: Mode,
        id: &str,
        request: &shape::RefundOrder,
    ) -> Result<shape::OrderDetail> {
        let mut wrong = Wrong::default();
        if request.reason.trim().is_empty() {
            wrong.add("reason", "needs a word: why?");
        }
        wrong.check()?;
        let unknown = || Problem::not_found("order");
        let order_id: OrderId = id.parse().map_err(|_| unknown())?;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let FoundOrder { order: before, partner } =
                tx.find_order(mode, order_id).await?.ok_or_else(unknown)?;
            let mut order = before.clone();
            let amount = self.wished(&mut tx, &order, request.amount.as_deref()).await?;
            let (reason, actor) = (request.reason.clone(), by.name.clone());
            self.give_money_back(&mut tx, &mut order, Wish { amount, reason, actor }).await?;
            let change = Change {
                action: "order.refund",
                mode: Some(mode),
                object: format!("orders/{id}"),
                before: json(&shown(&before, &partner)),
                after: json!({ "order": json(&shown(&order, &partner)), "amount": request.amount,
                    "reason": request.reason }),
            };
            self.record(&mut tx, by, change).await?;
            Ok(tx.commit().await?)
        })
        .await?;
        self.bell.notify_one();
        self.show_order(mode, id).await
    }

    /// The amount that was asked for, in the currency that was paid.
    async fn wished(
        &self,
        tx: &mut Tx,
        order: &Order,
        amount: Option<&str>,
    ) -> Result<Option<Money>> {
        let Some(amount) = amount else { return Ok(None) };
        let payment = tx.payment_of_order(order.mode, order.partner_id, order.id).await?;
        let missing = || Error::Internal(format!("{} has no payment", order.id));
        let currency = payment.ok_or_else(missing)?.amount.currency;
        let amount = Money::parse(amount, currency);
        let wrong = |_| Problem::field("amount", "not an amount of the currency that was paid");
        Ok(Some(amount.map_err(wrong)?))
    }

    /// Gives money back to whoever paid.
    pub(crate) async fn give_money_back(
        &self,
        tx: &mut Tx,
        order: &mut Order,
        wish: Wish,
    ) -> Result<()> {
        let (mode, partner) = (order.mode, order.partner_id);
        let payment = tx.payment_of_order(mode, partner, order.id).await?;
        let missing = || Error::Internal(format!("{} has no payment", order.id));
        let mut payment = payment.ok_or_else(missing)?;
        if payment.channel == Channel::Stripe {
            self.begin_refund(tx, (order, &mut payment), wish).await?;
            return Ok(());
        }
        let conflict = |detail: &str| Problem::conflict("NOT_REFUNDABLE", detail.to_owned());
        if wish.amount.is_some() {
            let detail = "the partner was paid: what it owes for the order goes back whole";
            return Err(conflict(detail).into());
        }
        let state = order.state.clone().on(OrderEvent::RefundStarted);
        let state = state.and_then(|state| state.on(OrderEvent::RefundDone));
        let state = state.map_err(|error| conflict(&error.to_string()))?;
        let failed = matches!(order.state, domain::order::OrderState::Failed { .. });
        tx.update_order(order, state).await?;
        let paid = payment.state.on(PaymentEvent::RefundStarted)?.on(PaymentEvent::RefundDone)?;
        tx.update_payment(mode, partner, &mut payment, paid).await?;
        // What was owed for one that failed went back when it did.
        if !failed {
            self.take_back(tx, order).await?;
            self.revoke_unused(tx, order).await?;
        }
        self.tell_let_off(tx, order, &wish).await
    }

    /// Tells a partner that it does not owe what it was paid for an order.
    async fn tell_let_off(&self, tx: &mut Tx, order: &Order, wish: &Wish) -> Result<()> {
        let owed = order.settlement.and_then(|unit| unit.checked_mul(order.length.periods).ok());
        let told = json!({
            "refund_id": null,
            "amount": owed.map(Money::decimal),
            "currency": owed.map(|owed| owed.currency.code()),
            "reason": wish.reason,
            "made_by": made_by(&wish.actor),
        });
        self.tell_of_order(tx, (EventType::OrderRefunded, order), &[("refund", told)]).await
    }
}
