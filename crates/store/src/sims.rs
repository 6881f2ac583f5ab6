//! SIMs in partners' stocks.

use std::collections::HashMap;

use domain::id::PartnerId;
use domain::sim::{Sim, SimState};
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Engine, Tx, execute, fetch_optional, one_row, statements};
use crate::error::{Result, Row};
use crate::many::{execute_many, fetch_many};
use crate::sim_plans::SimKey;

statements! {
    INSERT = "INSERT INTO sims (mode, partner_id, iccid, sim_id, carrier, state, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FIND = "SELECT sim_id, carrier, state FROM sims
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    /// A card that is not there costs what one costs that is.
    CARD = "SELECT s.sim_id, s.carrier, s.state,
        (SELECT p.expires_at FROM sim_plans p WHERE p.mode = k.mode
            AND p.partner_id = k.partner_id AND p.iccid = k.iccid AND p.state = 'in_use')
            AS runs_until,
        EXISTS (SELECT 1 FROM sim_plans p WHERE p.mode = k.mode AND p.partner_id = k.partner_id
            AND p.iccid = k.iccid AND p.state IN ('in_use', 'waiting')) AS has_plans,
        EXISTS (SELECT 1 FROM renewals r WHERE r.mode = k.mode AND r.partner_id = k.partner_id
            AND r.iccid = k.iccid AND r.state = 'active') AS renews
        FROM (SELECT $1 AS mode, $2 AS partner_id, $3 AS iccid) k
        LEFT JOIN sims s ON s.mode = k.mode AND s.partner_id = k.partner_id
            AND s.iccid = k.iccid";
    /// Changes nothing, but waits for whoever did so before.
    HOLD = "UPDATE sims SET state = state WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    SET_STATE = "UPDATE sims SET state = $4 WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
}

#[derive(sqlx::FromRow)]
struct SimRow {
    sim_id: String,
    carrier: String,
    state: String,
}

#[derive(Default, sqlx::FromRow)]
struct CardRow {
    sim_id: Option<String>,
    carrier: Option<String>,
    state: Option<String>,
    runs_until: Option<i64>,
    has_plans: bool,
    renews: bool,
}

/// How a card stands, as it is written down: no job may have turned its plans to now.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// The SIM, if it is the partner's.
    pub sim: Option<Sim>,
    /// When its plan in use ends.
    pub runs_until: Option<Timestamp>,
    /// Whether it has plans in use or waiting.
    pub has_plans: bool,
    /// Whether an agreement to renew is in force.
    pub renews: bool,
}

#[derive(sqlx::FromRow)]
struct KeyedSimRow {
    mode: String,
    partner_id: String,
    iccid: String,
    #[sqlx(flatten)]
    sim: SimRow,
}

impl SimRow {
    fn into_sim(self, iccid: &Iccid) -> Result<Sim> {
        let row = Row { table: "sims", key: &self.sim_id };
        Ok(Sim {
            id: row.parse("sim_id", &self.sim_id)?,
            state: row.parse("state", &self.state)?,
            iccid: iccid.clone(),
            carrier: self.carrier,
        })
    }
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
        found.map(|row| row.into_sim(iccid)).transpose()
    }

    /// Makes all who hold the SIM wait for each other, until the end of the transaction.
    pub async fn hold_sim(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        iccid: &Iccid,
    ) -> Result<()> {
        execute!(self, HOLD, mode.as_str(), partner_id.to_string(), iccid.as_str())?;
        Ok(())
    }

    /// The same for many SIMs, in one order, so that two who hold many do not wait for each other. Nothing on SQLite,
    /// where whoever writes is alone.
    pub async fn hold_sims(&mut self, keys: &[&SimKey]) -> Result<()> {
        if self.engine() == Engine::Sqlite {
            return Ok(());
        }
        for piece in self.pieces(keys) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid) AS ({})
                SELECT iccid FROM v JOIN sims
                ON mode = k_mode AND partner_id = k_partner AND iccid = k_iccid
                ORDER BY mode, partner_id, iccid FOR NO KEY UPDATE OF sims",
                self.rows(3, piece.len())
            );
            execute_many!(self, sql.as_str(), piece,
                (mode, partner, iccid) => [mode.as_str(), partner.to_string(), iccid.as_str()])?;
        }
        Ok(())
    }

    /// How a card stands, by one statement. Another partner's is not told apart from none.
    pub async fn card(&mut self, mode: Mode, partner_id: PartnerId, iccid: &Iccid) -> Result<Card> {
        let (mode, partner) = (mode.as_str(), partner_id.to_string());
        let row = fetch_optional!(self, CardRow, CARD, mode, partner, iccid.as_str())?;
        let row = row.unwrap_or_default();
        let sim = match (row.sim_id, row.carrier, row.state) {
            (Some(sim_id), Some(carrier), Some(state)) => {
                Some(SimRow { sim_id, carrier, state }.into_sim(iccid)?)
            }
            _ => None,
        };
        Ok(Card {
            sim,
            runs_until: row.runs_until.map(Timestamp::from_micros),
            has_plans: row.has_plans,
            renews: row.renews,
        })
    }

    /// Those of many SIMs that there are.
    pub async fn sims(&mut self, keys: &[&SimKey]) -> Result<HashMap<SimKey, Sim>> {
        let mut sims = HashMap::with_capacity(keys.len());
        for piece in self.pieces(keys) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid) AS ({})
                SELECT mode, partner_id, iccid, sim_id, carrier, state FROM v JOIN sims
                ON mode = k_mode AND partner_id = k_partner AND iccid = k_iccid",
                self.rows(3, piece.len())
            );
            let rows = fetch_many!(self, KeyedSimRow, sql.as_str(), piece,
                (mode, partner, iccid) => [mode.as_str(), partner.to_string(), iccid.as_str()])?;
            for row in rows {
                let at = Row { table: "sims", key: &row.sim.sim_id };
                let mode = at.parse("mode", &row.mode)?;
                let key = (
                    mode,
                    at.parse("partner_id", &row.partner_id)?,
                    at.parse("iccid", &row.iccid)?,
                );
                sims.insert(key.clone(), row.sim.into_sim(&key.2)?);
            }
        }
        Ok(sims)
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
