//! SIMs in partners' stocks.

use domain::id::PartnerId;
use domain::sim::{Sim, SimState};
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

statements! {
    INSERT = "INSERT INTO sims (mode, partner_id, iccid, sim_id, carrier, state, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FIND = "SELECT sim_id, carrier, state FROM sims
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    SET_STATE = "UPDATE sims SET state = $4 WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
}

#[derive(sqlx::FromRow)]
struct SimRow {
    sim_id: String,
    carrier: String,
    state: String,
}

impl Tx {
    /// Adds a SIM to a partner's stock.
    pub async fn insert_sim(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        sim: &Sim,
        now: Timestamp,
    ) -> Result<()> {
        execute!(
            self,
            INSERT,
            mode.as_str(),
            partner_id.to_string(),
            sim.iccid.as_str(),
            sim.id.to_string(),
            &sim.carrier,
            sim.state.as_str(),
            now.as_micros(),
        )?;
        Ok(())
    }

    /// A SIM of a partner. Another partner's is not found by the same statement in the same time.
    pub async fn sim(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        iccid: &Iccid,
    ) -> Result<Option<Sim>> {
        let (mode, partner) = (mode.as_str(), partner_id.to_string());
        let found = fetch_optional!(self, SimRow, FIND, mode, partner, iccid.as_str())?;
        found
            .map(|sim| {
                let row = Row { table: "sims", key: &sim.sim_id };
                Ok(Sim {
                    id: row.parse("sim_id", &sim.sim_id)?,
                    state: row.parse("state", &sim.state)?,
                    iccid: iccid.clone(),
                    carrier: sim.carrier,
                })
            })
            .transpose()
    }

    /// Changes what is known of a SIM's state.
    pub async fn set_sim_state(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        iccid: &Iccid,
        state: SimState,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner_id.to_string());
        let changed = execute!(self, SET_STATE, mode, partner, iccid.as_str(), state.as_str())?;
        one_row(changed, "the SIM")
    }
}
