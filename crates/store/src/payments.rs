//! Payments. An order has one, in its own row, with a version of its own.

use std::collections::HashMap;

use domain::id::{OrderId, PartnerId};
use domain::order::Order;
use domain::payment::{Payment, PaymentState, Report};
use domain::{Mode, Money, Timestamp};

use crate::engine::{Tx, execute, fetch_optional, one_row, statements};
use crate::error::{Result, Row};
use crate::many::fetch_many;

statements! {
    UPDATE = "UPDATE orders SET pay_state = $4, pay_version = pay_version + 1, pay_result_at = $6,
        transaction_id = $7, pay_result = $8, pay_status = $9
        WHERE mode = $1 AND partner_id = $2 AND order_id = $3 AND pay_version = $5";
    TRANSACTION_TAKEN = "SELECT order_id FROM orders
        WHERE mode = $1 AND partner_id = $2 AND transaction_id = $3 AND transaction_id <> ''";
    OF_ORDER = "SELECT payment_id, channel, pay_minor AS minor, pay_currency AS currency,
        pay_state AS state, pay_version AS version, pay_result_at AS result_at, transaction_id,
        pay_result AS result, pay_status AS status, pay_type, pay_account, pay_unit FROM orders
        WHERE mode = $1 AND partner_id = $2 AND order_id = $3";
}

#[derive(sqlx::FromRow)]
struct PaymentRow {
    payment_id: String,
    channel: String,
    minor: i64,
    currency: String,
    state: String,
    version: i64,
    result_at: Option<i64>,
    transaction_id: String,
    result: String,
    status: String,
    pay_type: String,
    pay_account: String,
    pay_unit: String,
}

#[derive(sqlx::FromRow)]
struct KeyedPaymentRow {
    order_id: String,
    #[sqlx(flatten)]
    payment: PaymentRow,
}

#[derive(sqlx::FromRow)]
struct OwnerRow {
    order_id: String,
}

impl PaymentRow {
    fn into_payment(self, order_id: OrderId) -> Result<Payment> {
        let row = Row { table: "orders", key: &self.payment_id };
        let at = || row.needed("result_at", self.result_at).map(Timestamp::from_micros);
        let state = match self.state.as_str() {
            "created" => PaymentState::Created,
            "processing" => PaymentState::Processing,
            "succeeded" => PaymentState::Succeeded { at: at()? },
            "failed" => PaymentState::Failed { at: at()? },
            "cancelled" => PaymentState::Cancelled { at: at()? },
            "refunding" => PaymentState::Refunding { at: at()? },
            "refunded" => PaymentState::Refunded { at: at()? },
            _ => return Err(row.corrupt("state", format!("no such state: {:?}", self.state))),
        };
        Ok(Payment {
            id: row.parse("payment_id", &self.payment_id)?,
            order_id,
            channel: row.parse("channel", &self.channel)?,
            amount: Money::new(self.minor, row.parse("currency", &self.currency)?),
            state,
            version: self.version,
            report: Report {
                transaction_id: self.transaction_id,
                result: self.result,
                status: self.status,
                pay_type: self.pay_type,
                pay_account: self.pay_account,
                pay_unit: self.pay_unit,
            },
        })
    }
}

impl Tx {
    /// Writes a payment's new state and outcome, provided that nobody changed it since it was read.
    pub async fn update_payment(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        payment: &mut Payment,
        state: PaymentState,
    ) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE,
            mode.as_str(),
            partner.to_string(),
            payment.order_id.to_string(),
            state.name(),
            payment.version,
            state.result_at().map(Timestamp::as_micros),
            &payment.report.transaction_id,
            &payment.report.result,
            &payment.report.status,
        )?;
        one_row(changed, "the payment")?;
        payment.state = state;
        payment.version += 1;
        Ok(())
    }

    /// Whether a partner's payment reference belongs to another order already.
    pub async fn transaction_taken(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        transaction_id: &str,
        order_id: OrderId,
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let owner =
            fetch_optional!(self, OwnerRow, TRANSACTION_TAKEN, mode, partner, transaction_id)?;
        Ok(owner.is_some_and(|row| row.order_id != order_id.to_string()))
    }

    /// The payment of an order.
    pub async fn payment_of_order(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Option<Payment>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, PaymentRow, OF_ORDER, mode, partner, order_id.to_string())?;
        row.map(|row| row.into_payment(order_id)).transpose()
    }

    /// The payments of many orders, by their order.
    pub async fn payments_of_orders(
        &mut self,
        orders: &[&Order],
    ) -> Result<HashMap<OrderId, Payment>> {
        let mut payments = HashMap::with_capacity(orders.len());
        for piece in self.pieces(orders) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_order) AS ({})
                SELECT order_id, payment_id, channel, pay_minor AS minor, pay_currency AS currency,
                pay_state AS state, pay_version AS version, pay_result_at AS result_at,
                transaction_id, pay_result AS result, pay_status AS status, pay_type, pay_account,
                pay_unit FROM v JOIN orders
                ON mode = k_mode AND partner_id = k_partner AND order_id = k_order",
                self.rows(3, piece.len())
            );
            let rows = fetch_many!(self, KeyedPaymentRow, sql.as_str(), piece, order => [
                order.mode.as_str(),
                order.partner_id.to_string(),
                order.id.to_string(),
            ])?;
            for row in rows {
                let at = Row { table: "orders", key: &row.order_id };
                let id = at.parse("order_id", &row.order_id)?;
                payments.insert(id, row.payment.into_payment(id)?);
            }
        }
        Ok(payments)
    }
}
