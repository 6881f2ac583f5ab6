//! What operators see and change of partners' stocks.

use domain::id::PartnerId;
use domain::sim::Sim;
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

statements! {
    PAGE = "SELECT iccid, sim_id, carrier, state, created_at FROM sims
        WHERE mode = $1 AND partner_id = $2 AND iccid > $3 AND (state = $4 OR $4 = '')
        ORDER BY iccid LIMIT $5";
    FIND = "SELECT iccid, sim_id, carrier, state, created_at FROM sims
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    OWNER = "SELECT partner_id FROM sims WHERE mode = $1 AND iccid = $2";
    UPDATE = "UPDATE sims SET carrier = $4, state = $5
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    OPEN_PLANS = "SELECT queue_no FROM sim_plans WHERE mode = $1 AND partner_id = $2 AND iccid = $3
        AND state IN ('waiting', 'in_use') LIMIT 1";
}

/// A SIM and when it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimRecord {
    /// The SIM.
    pub sim: Sim,
    /// When it was added.
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct SimRow {
    iccid: String,
    sim_id: String,
    carrier: String,
    state: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct OwnerRow {
    partner_id: String,
}

#[derive(sqlx::FromRow)]
struct PlaceRow {
    #[expect(dead_code, reason = "only asked whether there is one")]
    queue_no: i64,
}

impl SimRow {
    fn into_record(self) -> Result<SimRecord> {
        let row = Row { table: "sims", key: &self.sim_id };
        Ok(SimRecord {
            sim: Sim {
                id: row.parse("sim_id", &self.sim_id)?,
                iccid: row.parse("iccid", &self.iccid)?,
                state: row.parse("state", &self.state)?,
                carrier: self.carrier,
            },
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}

impl Tx {
    /// A page of a partner's SIMs by ICCID, in one state if that is given.
    pub async fn sims_page(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        state: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SimRecord>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, SimRow, PAGE, mode, partner, after, state, limit)?;
        rows.into_iter().map(SimRow::into_record).collect()
    }

    /// A SIM of a partner.
    pub async fn sim_record(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        iccid: &Iccid,
    ) -> Result<Option<SimRecord>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, SimRow, FIND, mode, partner, iccid.as_str())?;
        row.map(SimRow::into_record).transpose()
    }

    /// The partner in whose stock a card is.
    pub async fn sim_owner(&mut self, mode: Mode, iccid: &Iccid) -> Result<Option<PartnerId>> {
        let row = fetch_optional!(self, OwnerRow, OWNER, mode.as_str(), iccid.as_str())?;
        let parse = |row: OwnerRow| {
            Row { table: "sims", key: &row.partner_id }.parse("partner_id", &row.partner_id)
        };
        row.map(parse).transpose()
    }

    /// Changes a SIM's carrier and what is known of its state.
    pub async fn update_sim(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        sim: &Sim,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let (iccid, state) = (sim.iccid.as_str(), sim.state.as_str());
        let changed = execute!(self, UPDATE, mode, partner, iccid, &sim.carrier, state)?;
        one_row(changed, "the SIM")
    }

    /// Whether a plan runs or waits on a SIM.
    pub async fn sim_has_plans(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        iccid: &Iccid,
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, PlaceRow, OPEN_PLANS, mode, partner, iccid.as_str())?;
        Ok(row.is_some())
    }
}
