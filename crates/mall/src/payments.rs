//! Results of payments.

use domain::order::{Order, OrderState};
use domain::payment::{Payment, PaymentState};
use wire::Code;
use wire::payment::{ResultQueryAnswer, amount_with_sign};

use crate::error::{Error, Result};
use crate::sims::shown_name;
use crate::{Caller, Mall};

/// The word for a payment's result (`payRst`).
pub(crate) fn result_word(order: &Order, payment: &Payment) -> &'static str {
    match payment.state {
        PaymentState::Created | PaymentState::Processing => {
            if order.state == OrderState::Closed {
                "closed"
            } else {
                "processing"
            }
        }
        PaymentState::Succeeded { .. } => "success",
        PaymentState::Failed { .. } => "fail",
        PaymentState::Cancelled { .. } => "closed",
        PaymentState::Refunding { .. } => "refunding",
        PaymentState::Refunded { .. } => "refunded",
    }
}

impl Mall {
    /// The result of a payment as it is known.
    pub(crate) async fn known_result(
        &self,
        caller: &Caller,
        pay_id: &str,
    ) -> Result<ResultQueryAnswer> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let order = tx.order_by_pay_id(partner.mode, partner.id, pay_id).await?;
        let order = order.ok_or(Code::PaymentUnknown)?;
        let payment = tx.payment_of_order(partner.mode, partner.id, order.id).await?;
        let payment =
            payment.ok_or_else(|| Error::Internal(format!("{} has no payment", order.id)))?;
        let names = tx.plan_name(partner.mode, &order.plan_code).await?;
        let result_at = payment.state.result_at();
        Ok(ResultQueryAnswer {
            order_period: order.length.periods.to_string(),
            package_type: order.length.unit.code().to_owned(),
            partner_code: partner.code.clone(),
            pay_amount: amount_with_sign(payment.amount),
            pay_result_date: result_at.map(|at| at.date_time(&partner.zone)).unwrap_or_default(),
            pay_rst: result_word(&order, &payment).to_owned(),
            service_plan_show_name: shown_name(names.get(caller.locale), &order.show_name),
            pay_id: order.pay_id,
        })
    }
}
