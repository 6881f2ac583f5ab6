//! Many orders in one statement: how orders come in and how they leave the workers, where speed counts.
//! One order is a batch of one.

use std::collections::HashSet;

use domain::Timestamp;
use domain::ledger::Posting;
use domain::order::{Order, OrderState};
use domain::payment::Payment;

use crate::engine::Tx;
use crate::error::{Result, StoreError};
use crate::jobs::Job;
use crate::many::{execute_many, fetch_many};
use crate::orders::{OrderRow, columns, order_columns};

/// The columns that [`Tx::insert_orders`] writes.
const INSERT_COLUMNS: usize = 47;

#[derive(sqlx::FromRow)]
struct IdRow {
    order_id: String,
}

#[derive(sqlx::FromRow)]
struct KeyedOrderRow {
    mode: String,
    partner_id: String,
    /// Whether its SIM is on its way into a group or out of one.
    is_moved: bool,
    #[sqlx(flatten)]
    order: OrderRow,
}

/// An order on its way to a new state.
#[derive(Debug)]
pub struct OrderChange {
    /// The order as it was read.
    pub order: Order,
    /// Where it goes.
    pub state: OrderState,
}

impl Tx {
    /// Adds an order with its payment; `false`, and nothing added, if one of its numbers is taken.
    pub async fn insert_order(&mut self, order: &Order, payment: &Payment) -> Result<bool> {
        Ok(self.insert_orders(&[(order, payment)]).await?.contains(&order.id.to_string()))
    }

    /// Adds orders with their payments; gives the ids of those that were added. The others have a
    /// number that is taken.
    pub async fn insert_orders(
        &mut self,
        orders: &[(&Order, &Payment)],
    ) -> Result<HashSet<String>> {
        let mut added = HashSet::with_capacity(orders.len());
        for piece in self.pieces(orders) {
            let ids = || piece.iter().map(|(order, _)| order.id.to_string());
            if usize::try_from(self.insert_piece(piece).await?) == Ok(piece.len()) {
                added.extend(ids());
            } else {
                added.extend(self.those_there(piece).await?.into_iter().map(|row| row.order_id));
            }
        }
        Ok(added)
    }

    /// Those of orders that are there. Their ids are new: nobody but the caller can have added them.
    async fn those_there(&mut self, piece: &[(&Order, &Payment)]) -> Result<Vec<IdRow>> {
        let sql = format!(
            "WITH v (k_mode, k_partner, k_order) AS ({}) SELECT order_id FROM v JOIN orders
            ON mode = k_mode AND partner_id = k_partner AND order_id = k_order",
            self.rows(3, piece.len())
        );
        let orders = piece.iter().map(|(order, _)| *order);
        Ok(fetch_many!(self, IdRow, sql.as_str(), orders.clone(), order => [
            order.mode.as_str(),
            order.partner_id.to_string(),
            order.id.to_string(),
        ])?)
    }

    /// Gives how many were added: to return each one's id costs as much as a statement where all are.
    async fn insert_piece(&mut self, piece: &[(&Order, &Payment)]) -> Result<u64> {
        let rows = self.rows(INSERT_COLUMNS, piece.len());
        let sql = format!(
            "INSERT INTO orders (mode, partner_id, order_id, order_no, pay_id, request_order_id,
            org_order_id, source, iccid, plan_code, show_name, package_code, carrier,
            carrier_product, unit, periods, calendar, settle_minor, settle_currency, auto_renewal,
            content_hash, state, version, closes_at, paid_at, provisioned_at, queue_no,
            failure_code, failure_message, upstream_id, trade_type, mark, terminal, payment_id,
            channel, pay_minor, pay_currency, pay_state, pay_version, pay_result_at,
            transaction_id, pay_result, pay_status, pay_type, pay_account, pay_unit, created_at)
            {rows} ON CONFLICT DO NOTHING"
        );
        let items = piece.iter().map(|(order, payment)| (order, columns(&order.state), payment));
        Ok(execute_many!(self, sql.as_str(), items.clone(), (order, state, payment) => [
            order.mode.as_str(),
            order.partner_id.to_string(),
            order.id.to_string(),
            order.order_no.as_str(),
            order.pay_id.as_str(),
            order.request_order_id.as_str(),
            order.org_order_id.as_str(),
            order.source.as_str(),
            order.iccid.as_str(),
            order.plan_code.as_str(),
            order.show_name.as_str(),
            order.package_code.as_str(),
            order.carrier.as_str(),
            order.carrier_product.as_str(),
            order.length.unit.code(),
            i64::from(order.length.periods),
            order.length.calendar,
            order.settlement.map(|money| money.minor),
            order.settlement.map(|money| money.currency.code()),
            order.auto_renewal,
            order.content_hash.as_slice(),
            order.state.name(),
            order.version,
            state.closes_at,
            state.paid_at,
            state.provisioned_at,
            order.queue_no,
            state.failure_code,
            state.failure_message,
            order.upstream_id.as_str(),
            order.trade_type.as_str(),
            order.mark.as_str(),
            order.terminal.as_str(),
            payment.id.to_string(),
            payment.channel.as_str(),
            payment.amount.minor,
            payment.amount.currency.code(),
            payment.state.name(),
            payment.version,
            payment.state.result_at().map(Timestamp::as_micros),
            payment.report.transaction_id.as_str(),
            payment.report.result.as_str(),
            payment.report.status.as_str(),
            payment.report.pay_type.as_str(),
            payment.report.pay_account.as_str(),
            payment.report.pay_unit.as_str(),
            order.created_at.as_micros(),
        ])?)
    }

    /// Books a posting of each order. The key refuses a second one of its kind.
    pub async fn insert_postings(
        &mut self,
        postings: &[(&Order, Posting)],
        now: Timestamp,
    ) -> Result<()> {
        for piece in self.pieces(postings) {
            let sql = format!(
                "INSERT INTO postings (mode, partner_id, order_id, kind, debit, credit, minor,
                currency, created_at) {}",
                self.rows(9, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, (order, posting) => [
                order.mode.as_str(),
                order.partner_id.to_string(),
                order.id.to_string(),
                posting.kind.as_str(),
                posting.debit.as_str(),
                posting.credit.as_str(),
                posting.amount.minor,
                posting.amount.currency.code(),
                now.as_micros(),
            ])?;
        }
        Ok(())
    }

    /// The orders that jobs are about, in no particular order, each with whether its SIM is on its way into a group or
    /// out of one.
    pub async fn orders_of_jobs(&mut self, jobs: &[&Job]) -> Result<Vec<(Order, bool)>> {
        let mut orders = Vec::with_capacity(jobs.len());
        for piece in self.pieces(jobs) {
            let sql = format!(
                concat!(
                    "WITH v (k_mode, k_partner, k_order) AS ({}) SELECT mode, partner_id, ",
                    order_columns!(),
                    ", EXISTS (SELECT 1 FROM group_members m WHERE m.mode = orders.mode
                    AND m.partner_id = orders.partner_id AND m.iccid = orders.iccid
                    AND m.state IN ('joining', 'leaving')) AS is_moved
                    FROM v JOIN orders ON mode = k_mode AND partner_id = k_partner
                    AND order_id = k_order"
                ),
                self.rows(3, piece.len())
            );
            let rows = fetch_many!(self, KeyedOrderRow, sql.as_str(), piece, job => [
                job.mode.as_str(),
                job.partner_id.to_string(),
                job.subject.as_str(),
            ])?;
            for row in rows {
                let key = crate::error::Row { table: "orders", key: "a job's order" };
                let mode = key.parse("mode", &row.mode)?;
                let partner = key.parse("partner_id", &row.partner_id)?;
                orders.push((row.order.into_order(mode, partner)?, row.is_moved));
            }
        }
        Ok(orders)
    }

    /// Writes new states of orders, provided that nobody changed any of them since it was read.
    pub async fn update_orders(&mut self, changes: &mut [OrderChange]) -> Result<()> {
        let mut rows_changed = 0;
        for piece in self.pieces(changes) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_order, k_version, n_state, n_closes, n_paid,
                n_provisioned, n_code, n_message, n_upstream, n_queue) AS ({})
                UPDATE orders SET state = n_state, version = version + 1, closes_at = n_closes,
                paid_at = n_paid, provisioned_at = n_provisioned, failure_code = n_code,
                failure_message = n_message, upstream_id = n_upstream, queue_no = n_queue
                FROM v WHERE mode = k_mode AND partner_id = k_partner AND order_id = k_order
                AND version = k_version",
                self.rows(12, piece.len())
            );
            let items = piece.iter().map(|change| (&change.order, &change.state));
            let items = items.map(|(order, state)| (order, state.name(), columns(state)));
            rows_changed += execute_many!(self, sql.as_str(), items.clone(),
            (order, state, columns) => [
                order.mode.as_str(),
                order.partner_id.to_string(),
                order.id.to_string(),
                order.version,
                state,
                columns.closes_at,
                columns.paid_at,
                columns.provisioned_at,
                columns.failure_code,
                columns.failure_message,
                order.upstream_id.as_str(),
                order.queue_no,
            ])?;
        }
        if usize::try_from(rows_changed) != Ok(changes.len()) {
            return Err(StoreError::Changed("one of the orders"));
        }
        for change in changes {
            change.order.state = change.state.clone();
            change.order.version += 1;
        }
        Ok(())
    }
}
