//! Money that goes back. Whoever writes a refund raises the version of its order's payment in the same
//! transaction, so that two at once cannot give back more than was paid.

use domain::id::{OrderId, PartnerId, RefundId};
use domain::refund::{Refund, RefundState};
use domain::{Mode, Money, Timestamp};

use crate::cashier::CashierKey;
use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

/// The columns of [`RefundRow`].
macro_rules! refund {
    ($rest:literal) => {
        concat!(
            "SELECT refund_id, order_id, intent_id, minor, currency, state, reason, actor, key_no,
            key_at, cashier_id, failure, created_at, ended_at, version FROM refunds
            WHERE mode = $1 AND partner_id = $2 ",
            $rest
        )
    };
}

statements! {
    REFUND = refund!("AND refund_id = $3");
    OF_ORDER = refund!("AND order_id = $3 ORDER BY refund_id");
    ADD = "INSERT INTO refunds (mode, partner_id, refund_id, order_id, intent_id, minor, currency, state,
        reason, actor, key_no, key_at, cashier_id, failure, created_at, ended_at, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, $13, $11, $14, 0)";
    UPDATE = "UPDATE refunds SET state = $4, cashier_id = $5, failure = $6, ended_at = $7,
        version = version + 1 WHERE mode = $1 AND partner_id = $2 AND refund_id = $3 AND version = $8";
    NOTE_DISPUTE = "INSERT INTO cashier_disputes (mode, partner_id, order_id, dispute_id, status)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (mode, partner_id, order_id, dispute_id)
        DO UPDATE SET status = excluded.status WHERE cashier_disputes.status <> excluded.status
        AND (cashier_disputes.status NOT IN ('won', 'lost') OR excluded.status IN ('won', 'lost'))";
    RENEW_KEY = "UPDATE refunds SET key_no = key_no + 1, key_at = $5, version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND refund_id = $3 AND version = $4";
}

#[derive(sqlx::FromRow)]
struct RefundRow {
    refund_id: String,
    order_id: String,
    intent_id: String,
    minor: i64,
    currency: String,
    state: String,
    reason: String,
    actor: String,
    key_no: i64,
    key_at: i64,
    cashier_id: String,
    failure: String,
    created_at: i64,
    ended_at: Option<i64>,
    version: i64,
}

impl RefundRow {
    fn into_refund(self) -> Result<(Refund, CashierKey)> {
        let row = Row { table: "refunds", key: &self.refund_id };
        let refund = Refund {
            id: row.parse("refund_id", &self.refund_id)?,
            order_id: row.parse("order_id", &self.order_id)?,
            intent_id: self.intent_id,
            amount: Money::new(self.minor, row.parse("currency", &self.currency)?),
            state: row.parse("state", &self.state)?,
            reason: self.reason,
            actor: self.actor,
            cashier_id: self.cashier_id,
            failure: self.failure,
            created_at: Timestamp::from_micros(self.created_at),
            ended_at: self.ended_at.map(Timestamp::from_micros),
            version: self.version,
        };
        Ok((refund, CashierKey { no: self.key_no, at: Timestamp::from_micros(self.key_at) }))
    }
}

impl Tx {
    /// Notes how a dispute about an order stands; whether that is news.
    pub async fn note_dispute(
        &mut self,
        (mode, partner, order): (Mode, PartnerId, OrderId),
        (dispute, status): (&str, &str),
    ) -> Result<bool> {
        let (mode, partner, order) = (mode.as_str(), partner.to_string(), order.to_string());
        Ok(execute!(self, NOTE_DISPUTE, mode, partner, order, dispute, status)? == 1)
    }

    /// A refund with the key under which the cashier is asked for it.
    pub async fn refund(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        id: RefundId,
    ) -> Result<Option<(Refund, CashierKey)>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, RefundRow, REFUND, mode, partner, id.to_string())?;
        row.map(RefundRow::into_refund).transpose()
    }

    /// The refunds of an order, the eldest first.
    pub async fn refunds_of_order(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Vec<Refund>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, RefundRow, OF_ORDER, mode, partner, order_id.to_string())?;
        rows.into_iter().map(|row| row.into_refund().map(|(refund, _)| refund)).collect()
    }

    /// Writes a new refund.
    pub async fn insert_refund(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        refund: &Refund,
    ) -> Result<()> {
        execute!(
            self,
            ADD,
            mode.as_str(),
            partner.to_string(),
            refund.id.to_string(),
            refund.order_id.to_string(),
            &refund.intent_id,
            refund.amount.minor,
            refund.amount.currency.code(),
            refund.state.as_str(),
            &refund.reason,
            &refund.actor,
            refund.created_at.as_micros(),
            &refund.cashier_id,
            &refund.failure,
            refund.ended_at.map(Timestamp::as_micros),
        )?;
        Ok(())
    }

    /// Writes what became of a refund, provided that nobody changed it since it was read.
    pub async fn update_refund(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        refund: &mut Refund,
        state: RefundState,
    ) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE,
            mode.as_str(),
            partner.to_string(),
            refund.id.to_string(),
            state.as_str(),
            &refund.cashier_id,
            &refund.failure,
            refund.ended_at.map(Timestamp::as_micros),
            refund.version,
        )?;
        one_row(changed, "the refund")?;
        refund.state = state;
        refund.version += 1;
        Ok(())
    }

    /// Gives a refund a fresh key.
    pub async fn renew_refund_key(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        refund: &Refund,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner, id) = (mode.as_str(), partner.to_string(), refund.id.to_string());
        let changed =
            execute!(self, RENEW_KEY, mode, partner, id, refund.version, now.as_micros())?;
        one_row(changed, "the refund")
    }
}
