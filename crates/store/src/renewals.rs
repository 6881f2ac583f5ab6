//! Agreements to renew.

use std::collections::HashSet;

use domain::id::{OrderId, PartnerId};
use domain::renewal::{Renewal, RenewalState};
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};
use crate::many::{fetch_many, pieces};
use crate::sim_plans::SimKey;

/// All columns of [`RenewalRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT renewal_id, iccid, order_id, state, agreed_at, ended_at, next_at, renewed
            FROM renewals WHERE mode = $1 AND partner_id = $2 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO renewals (mode, partner_id, renewal_id, iccid, order_id, state, agreed_at,
        ended_at, next_at, renewed) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9)";
    END = "UPDATE renewals SET state = $4, ended_at = $5, next_at = NULL
        WHERE mode = $1 AND partner_id = $2 AND renewal_id = $3 AND state = 'active'";
    SCHEDULE = "UPDATE renewals SET next_at = $4, renewed = $5
        WHERE mode = $1 AND partner_id = $2 AND renewal_id = $3 AND state = 'active'";
    ACTIVE = select!("AND iccid = $3 AND state = 'active'");
    BY_ORDER = select!("AND order_id = $3");
    OF_SIM = select!("AND iccid = $3 ORDER BY renewal_id DESC LIMIT $4");
}

#[derive(sqlx::FromRow)]
struct RenewalRow {
    renewal_id: String,
    iccid: String,
    order_id: String,
    state: String,
    agreed_at: i64,
    ended_at: Option<i64>,
    next_at: Option<i64>,
    renewed: bool,
}

#[derive(sqlx::FromRow)]
struct SimRow {
    mode: String,
    partner_id: String,
    iccid: String,
}

impl RenewalRow {
    fn into_renewal(self) -> Result<Renewal> {
        let row = Row { table: "renewals", key: &self.renewal_id };
        Ok(Renewal {
            id: row.parse("renewal_id", &self.renewal_id)?,
            iccid: row.parse("iccid", &self.iccid)?,
            order_id: row.parse("order_id", &self.order_id)?,
            state: row.parse("state", &self.state)?,
            agreed_at: Timestamp::from_micros(self.agreed_at),
            ended_at: self.ended_at.map(Timestamp::from_micros),
            next_at: self.next_at.map(Timestamp::from_micros),
            renewed: self.renewed,
        })
    }
}

impl Tx {
    /// Adds an agreement in force. A unique index refuses a second one for the SIM.
    pub async fn insert_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        renewal: &Renewal,
    ) -> Result<()> {
        execute!(
            self,
            INSERT,
            mode.as_str(),
            partner.to_string(),
            renewal.id.to_string(),
            renewal.iccid.as_str(),
            renewal.order_id.to_string(),
            renewal.state.as_str(),
            renewal.agreed_at.as_micros(),
            renewal.next_at.map(Timestamp::as_micros),
            renewal.renewed,
        )?;
        Ok(())
    }

    /// Ends an agreement that is in force.
    pub async fn end_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        renewal: &Renewal,
        (state, at): (RenewalState, Timestamp),
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let id = renewal.id.to_string();
        let changed = execute!(self, END, mode, partner, id, state.as_str(), at.as_micros())?;
        one_row(changed, "the auto-renewal")
    }

    /// Notes when an agreement in force is to renew next, and whether it renewed already.
    pub async fn schedule_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        renewal: &Renewal,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let next_at = renewal.next_at.map(Timestamp::as_micros);
        let id = renewal.id.to_string();
        let changed = execute!(self, SCHEDULE, mode, partner, id, next_at, renewal.renewed)?;
        one_row(changed, "the auto-renewal")
    }

    /// The agreement in force for a SIM.
    pub async fn active_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
    ) -> Result<Option<Renewal>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, RenewalRow, ACTIVE, mode, partner, iccid.as_str())?;
        row.map(RenewalRow::into_renewal).transpose()
    }

    /// Those of many SIMs that have an agreement in force.
    pub async fn renewing_sims(&mut self, keys: &[&SimKey]) -> Result<HashSet<SimKey>> {
        let mut renewing = HashSet::new();
        for piece in pieces(keys) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid) AS ({})
                SELECT mode, partner_id, iccid FROM v JOIN renewals
                ON mode = k_mode AND partner_id = k_partner AND iccid = k_iccid
                WHERE state = 'active'",
                self.rows(3, piece.len())
            );
            let rows = fetch_many!(self, SimRow, sql.as_str(), piece,
                (mode, partner, iccid) => [mode.as_str(), partner.to_string(), iccid.as_str()])?;
            for row in rows {
                let at = Row { table: "renewals", key: "an agreement in force" };
                let mode = at.parse("mode", &row.mode)?;
                let partner = at.parse("partner_id", &row.partner_id)?;
                renewing.insert((mode, partner, at.parse("iccid", &row.iccid)?));
            }
        }
        Ok(renewing)
    }

    /// The agreement that began with an order.
    pub async fn renewal_by_order(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Option<Renewal>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, RenewalRow, BY_ORDER, mode, partner, order_id.to_string())?;
        row.map(RenewalRow::into_renewal).transpose()
    }

    /// All agreements of a SIM, the newest first, at most `limit`.
    pub async fn renewals_of_sim(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
        limit: i64,
    ) -> Result<Vec<Renewal>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, RenewalRow, OF_SIM, mode, partner, iccid.as_str(), limit)?;
        rows.into_iter().map(RenewalRow::into_renewal).collect()
    }
}
