//! Orders. A state changes by compare-and-set on the version, and exactly one row must change.

use domain::id::{OrderId, PartnerId};
use domain::order::{Failure, Order, OrderState};
use domain::package::PlanLength;
use domain::{Iccid, Mode, Money, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

/// The columns of [`OrderRow`].
macro_rules! order_columns {
    () => {
        "order_id, order_no, pay_id, request_order_id, org_order_id, source, iccid,
            plan_code, show_name, package_code, carrier, carrier_product, unit, periods, calendar,
            settle_minor, settle_currency, auto_renewal, content_hash, state, version, closes_at,
            paid_at, provisioned_at, queue_no, failure_code, failure_message, upstream_id,
            trade_type, mark, terminal, created_at"
    };
}

/// All columns of [`OrderRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            order_columns!(),
            " FROM orders WHERE mode = $1 AND partner_id = $2 ",
            $rest
        )
    };
}

pub(crate) use order_columns;

statements! {
    UPDATE = "UPDATE orders SET state = $4, version = version + 1, closes_at = $6, paid_at = $7,
        provisioned_at = $8, failure_code = $9, failure_message = $10, upstream_id = $11, queue_no = $12,
        carrier = $13, carrier_product = $14
        WHERE mode = $1 AND partner_id = $2 AND order_id = $3 AND version = $5";
    BY_ID = select!("AND order_id = $3");
    BY_ORDER_NO = select!("AND order_no = $3");
    BY_PAY_ID = select!("AND pay_id = $3");
    /// The most recent paid one of a number, else the most recent.
    BY_PURCHASE_NO = select!(
        "AND order_id IN (SELECT order_id FROM orders WHERE mode = $1 AND partner_id = $2
        AND request_order_id = $3 AND request_order_id <> ''
        UNION ALL SELECT order_id FROM orders WHERE mode = $1 AND partner_id = $2
        AND order_no = $3 AND request_order_id = '')
        ORDER BY CASE WHEN paid_at IS NULL THEN 1 ELSE 0 END, order_id DESC LIMIT 1"
    );
    OF_SIM = select!("AND iccid = $3 ORDER BY order_id DESC LIMIT $4 OFFSET $5");
    /// Those that shall renew, are paid, and have no plan yet; by the index of a SIM's orders.
    RENEWING_OF_SIM = select!(
        "AND iccid = $3 AND auto_renewal AND org_order_id <> ''
        AND state IN ('PAID', 'PROVISIONING', 'REVIEW') ORDER BY order_id DESC LIMIT $4"
    );
    COUNT_OF_SIM = "SELECT COUNT(*) AS count FROM orders
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
}

#[derive(sqlx::FromRow)]
pub(crate) struct OrderRow {
    order_id: String,
    order_no: String,
    pay_id: String,
    request_order_id: String,
    org_order_id: String,
    source: String,
    iccid: String,
    plan_code: String,
    show_name: String,
    package_code: String,
    carrier: String,
    carrier_product: String,
    unit: String,
    periods: i64,
    calendar: bool,
    settle_minor: Option<i64>,
    settle_currency: Option<String>,
    auto_renewal: bool,
    content_hash: Vec<u8>,
    state: String,
    version: i64,
    closes_at: Option<i64>,
    paid_at: Option<i64>,
    provisioned_at: Option<i64>,
    queue_no: Option<i64>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    upstream_id: String,
    trade_type: String,
    mark: String,
    terminal: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    count: i64,
}

impl OrderRow {
    fn state(&self, row: &Row<'_>) -> Result<OrderState> {
        let paid_at = || row.needed("paid_at", self.paid_at).map(Timestamp::from_micros);
        let failure = || -> Result<Failure> {
            Ok(Failure {
                code: row.needed("failure_code", self.failure_code.clone())?,
                message: row.needed("failure_message", self.failure_message.clone())?,
            })
        };
        Ok(match self.state.as_str() {
            "AWAITING_PAYMENT" => OrderState::AwaitingPayment {
                closes_at: Timestamp::from_micros(row.needed("closes_at", self.closes_at)?),
            },
            "PAID" => OrderState::Paid { paid_at: paid_at()? },
            "PROVISIONING" => OrderState::Provisioning { paid_at: paid_at()? },
            "PROVISIONED" => {
                let provisioned_at = row.needed("provisioned_at", self.provisioned_at)?;
                let provisioned_at = Timestamp::from_micros(provisioned_at);
                OrderState::Provisioned { paid_at: paid_at()?, provisioned_at }
            }
            "CLOSED" => OrderState::Closed,
            "REVIEW" => OrderState::Review { paid_at: paid_at()?, reason: failure()? },
            "FAILED" => OrderState::Failed {
                paid_at: self.paid_at.map(Timestamp::from_micros),
                failure: failure()?,
            },
            "REFUNDING" => OrderState::Refunding {
                paid_at: paid_at()?,
                provisioned_at: self.provisioned_at.map(Timestamp::from_micros),
            },
            "REFUNDED" => OrderState::Refunded { paid_at: paid_at()? },
            _ => return Err(row.corrupt("state", format!("no such state: {:?}", self.state))),
        })
    }

    pub(crate) fn into_order(self, mode: Mode, partner_id: PartnerId) -> Result<Order> {
        let row = Row { table: "orders", key: &self.order_id };
        let settlement = match (self.settle_minor, &self.settle_currency) {
            (Some(minor), Some(code)) => {
                Some(Money::new(minor, row.parse("settle_currency", code)?))
            }
            _ => None,
        };
        let periods = u32::try_from(self.periods).map_err(|why| row.corrupt("periods", why))?;
        Ok(Order {
            mode,
            partner_id,
            id: row.parse("order_id", &self.order_id)?,
            source: row.parse("source", &self.source)?,
            iccid: row.parse::<Iccid>("iccid", &self.iccid)?,
            length: PlanLength {
                unit: row.parse("unit", &self.unit)?,
                periods,
                calendar: self.calendar,
            },
            settlement,
            state: self.state(&row)?,
            order_no: self.order_no,
            pay_id: self.pay_id,
            request_order_id: self.request_order_id,
            org_order_id: self.org_order_id,
            plan_code: self.plan_code,
            show_name: self.show_name,
            package_code: self.package_code,
            carrier: self.carrier,
            carrier_product: self.carrier_product,
            auto_renewal: self.auto_renewal,
            content_hash: self.content_hash,
            version: self.version,
            queue_no: self.queue_no,
            upstream_id: self.upstream_id,
            created_at: Timestamp::from_micros(self.created_at),
            trade_type: self.trade_type,
            mark: self.mark,
            terminal: self.terminal,
        })
    }
}

/// The columns that belong to a state.
#[derive(Clone, Copy)]
pub(crate) struct StateColumns<'a> {
    pub(crate) closes_at: Option<i64>,
    pub(crate) paid_at: Option<i64>,
    pub(crate) provisioned_at: Option<i64>,
    pub(crate) failure_code: Option<&'a str>,
    pub(crate) failure_message: Option<&'a str>,
}

pub(crate) fn columns(state: &OrderState) -> StateColumns<'_> {
    let failure = state.failure();
    StateColumns {
        closes_at: match state {
            OrderState::AwaitingPayment { closes_at } => Some(closes_at.as_micros()),
            _ => None,
        },
        paid_at: state.paid_at().map(Timestamp::as_micros),
        provisioned_at: match state {
            OrderState::Provisioned { provisioned_at, .. } => Some(provisioned_at.as_micros()),
            OrderState::Refunding { provisioned_at, .. } => {
                provisioned_at.map(Timestamp::as_micros)
            }
            _ => None,
        },
        failure_code: failure.map(|failure| failure.code.as_str()),
        failure_message: failure.map(|failure| failure.message.as_str()),
    }
}

impl Tx {
    /// Writes an order's new state, its carrier and the carrier's id of it, provided that nobody changed it since it was read.
    pub async fn update_order(&mut self, order: &mut Order, state: OrderState) -> Result<()> {
        let columns = columns(&state);
        let changed = execute!(
            self,
            UPDATE,
            order.mode.as_str(),
            order.partner_id.to_string(),
            order.id.to_string(),
            state.name(),
            order.version,
            columns.closes_at,
            columns.paid_at,
            columns.provisioned_at,
            columns.failure_code,
            columns.failure_message,
            &order.upstream_id,
            order.queue_no,
            &order.carrier,
            &order.carrier_product,
        )?;
        one_row(changed, "the order")?;
        order.state = state;
        order.version += 1;
        Ok(())
    }

    /// An order by our id.
    pub async fn order(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        id: OrderId,
    ) -> Result<Option<Order>> {
        self.order_where(BY_ID, mode, partner, &id.to_string()).await
    }

    /// An order by the client's number of it.
    pub async fn order_by_no(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_no: &str,
    ) -> Result<Option<Order>> {
        self.order_where(BY_ORDER_NO, mode, partner, order_no).await
    }

    /// An order by the client's number of its payment.
    pub async fn order_by_pay_id(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        pay_id: &str,
    ) -> Result<Option<Order>> {
        self.order_where(BY_PAY_ID, mode, partner, pay_id).await
    }

    /// Of the orders with the client side's number, the most recent paid one, else the most recent.
    pub async fn order_by_purchase_no(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        purchase_no: &str,
    ) -> Result<Option<Order>> {
        self.order_where(BY_PURCHASE_NO, mode, partner, purchase_no).await
    }

    /// The orders for a SIM that are to renew something, are paid, and have no plan yet: the newest first.
    pub async fn renewing_orders(
        &mut self,
        (mode, partner, iccid): &(Mode, PartnerId, Iccid),
        limit: i64,
    ) -> Result<Vec<Order>> {
        let (word, id, sim) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let rows = fetch_all!(self, OrderRow, RENEWING_OF_SIM, word, id, sim, limit)?;
        rows.into_iter().map(|row| row.into_order(*mode, *partner)).collect()
    }

    async fn order_where(
        &mut self,
        statement: &'static str,
        mode: Mode,
        partner: PartnerId,
        value: &str,
    ) -> Result<Option<Order>> {
        let id = partner.to_string();
        let row = fetch_optional!(self, OrderRow, statement, mode.as_str(), id, value)?;
        row.map(|row| row.into_order(mode, partner)).transpose()
    }

    /// A page of a SIM's orders, the newest first, and how many there are in all.
    pub async fn orders_of_sim(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
        (limit, offset): (i64, i64),
    ) -> Result<(i64, Vec<Order>)> {
        let (word, id, sim) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let count = fetch_optional!(self, CountRow, COUNT_OF_SIM, word, &id, sim)?;
        let rows = fetch_all!(self, OrderRow, OF_SIM, word, &id, sim, limit, offset)?;
        let orders = rows.into_iter().map(|row| row.into_order(mode, partner));
        Ok((count.map_or(0, |row| row.count), orders.collect::<Result<_>>()?))
    }
}
