//! SIMs in partners' stocks, one at a time.

use domain::sim::{Sim, SimState};
use domain::{Iccid, Mode};
use serde_json::Value;
use store::SimRecord;
use wire::admin::{List, Problem, sim as shape};

use super::{Change, Operator, Page, json, partner_of, text};
use crate::Mall;
use crate::error::Result;

fn shown(record: &SimRecord) -> shape::Sim {
    shape::Sim {
        iccid: record.sim.iccid.as_str().to_owned(),
        sim_id: record.sim.id.to_string(),
        carrier: record.sim.carrier.clone(),
        state: record.sim.state.as_str().to_owned(),
        created_at: text(record.created_at),
    }
}

fn unknown() -> Problem {
    Problem::not_found("SIM")
}

/// A SIM of a partner, by codes and numbers as they stand in a path.
type Place<'a> = (Mode, &'a str, &'a str);

fn object((_, code, iccid): Place<'_>) -> String {
    format!("partners/{code}/sims/{iccid}")
}

fn state_of(word: &str) -> Result<SimState> {
    Ok(word
        .parse()
        .map_err(|error: domain::UnknownWord| Problem::field("state", error.to_string()))?)
}

impl Mall {
    /// A partner's SIMs by ICCID.
    pub async fn list_sims(
        &self,
        (mode, code): (Mode, &str),
        state: Option<&str>,
        page: &Page,
    ) -> Result<List<shape::Sim>> {
        let mut tx = self.store.read().await?;
        let partner = partner_of(&mut tx, mode, code).await?;
        let (state, limit) = (state.unwrap_or_default(), page.limit_and_one());
        let sims = tx.sims_page((mode, partner.id), state, &page.after, limit).await?;
        Ok(page.list(sims, |sim| sim.sim.iccid.as_str().to_owned(), |sim| shown(&sim)))
    }

    /// A SIM of a partner.
    pub async fn show_sim(&self, (mode, code, iccid): Place<'_>) -> Result<shape::Sim> {
        let mut tx = self.store.read().await?;
        let partner = partner_of(&mut tx, mode, code).await?;
        let iccid: Iccid = iccid.parse().map_err(|_| unknown())?;
        let sim = tx.sim_record((mode, partner.id), &iccid).await?;
        Ok(shown(&sim.ok_or_else(unknown)?))
    }

    /// Whether this node knows a carrier; it could do nothing for what is bought from another.
    pub(crate) fn check_carrier(&self, mode: Mode, carrier: &str) -> Result<()> {
        if self.carrier(mode, carrier).is_some() {
            return Ok(());
        }
        let detail = format!("there is no such carrier; {}", self.known_carriers(mode));
        Err(Problem::field("carrier", detail).into())
    }

    /// The codes that could have been named.
    pub(crate) fn known_carriers(&self, mode: Mode) -> String {
        let there = self.carriers.keys().map(String::as_str);
        let mut known: Vec<&str> =
            there.filter(|code| self.carrier(mode, code).is_some()).collect();
        known.sort_unstable();
        format!("in {mode} mode there are: {}", known.join(", "))
    }

    /// Adds a SIM to a partner's stock, or changes it. One with plans keeps its carrier.
    pub async fn put_sim(
        &self,
        by: &Operator,
        place: Place<'_>,
        wanted: &shape::PutSim,
    ) -> Result<shape::Sim> {
        let (mode, code, iccid) = place;
        let iccid: &Iccid = &iccid.parse().map_err(|_| unknown())?;
        let state = state_of(wanted.state.as_deref().unwrap_or("ready"))?;
        self.check_carrier(mode, &wanted.carrier)?;
        let id = self.ctx.id();
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            let partner = partner_of(&mut tx, mode, code).await?;
            let whose = (mode, partner.id);
            // A SIM that comes into a group of its carrier does so before or after.
            tx.hold_sim(mode, partner.id, iccid).await?;
            let before = tx.sim_record(whose, iccid).await?;
            let (carrier, now) = (wanted.carrier.clone(), self.ctx.now());
            let new = Sim { id, iccid: iccid.clone(), carrier: carrier.clone(), state };
            let after = match &before {
                None => {
                    if tx.sim_owner(mode, iccid).await?.is_some() {
                        let detail = "the SIM is in another partner's stock";
                        return Err(Problem::conflict("SIM_TAKEN", detail).into());
                    }
                    if partner.checks_luhn && !iccid.luhn_holds() {
                        let detail = "its check digit is wrong, and this partner has it checked";
                        return Err(Problem::field("iccid", detail).into());
                    }
                    tx.insert_sim(mode, partner.id, &new, now).await?;
                    SimRecord { sim: new, created_at: now }
                }
                Some(before) => {
                    let moves = before.sim.carrier != carrier;
                    if moves && tx.sim_has_plans(whose, iccid).await? {
                        let detail = "the SIM has plans of its carrier, running or waiting";
                        return Err(Problem::conflict("SIM_IN_USE", detail).into());
                    }
                    if moves && tx.member(whose, iccid).await?.is_some() {
                        let detail = "the SIM is in a group of its carrier, or on its way";
                        return Err(Problem::conflict("SIM_IN_USE", detail).into());
                    }
                    if moves {
                        tx.forget_answers(&(mode, partner.id, iccid.clone())).await?;
                    }
                    let sim = Sim { id: before.sim.id, ..new };
                    tx.update_sim(whose, &sim).await?;
                    SimRecord { sim, created_at: before.created_at }
                }
            };
            let before = before.as_ref();
            if before != Some(&after) {
                let change = Change {
                    action: if before.is_some() { "sim.change" } else { "sim.add" },
                    mode: Some(mode),
                    object: object(place),
                    before: before.map_or(Value::Null, |before| json(&shown(before))),
                    after: json(&shown(&after)),
                };
                self.record(&mut tx, by, change).await?;
            }
            tx.commit().await?;
            Ok(shown(&after))
        })
        .await
    }

    /// Changes what is known of a SIM's state.
    pub async fn change_sim(
        &self,
        by: &Operator,
        place: Place<'_>,
        wanted: &shape::SimChange,
    ) -> Result<shape::Sim> {
        let (mode, code, iccid) = place;
        let iccid: &Iccid = &iccid.parse().map_err(|_| unknown())?;
        let state = state_of(&wanted.state)?;
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            let partner = partner_of(&mut tx, mode, code).await?;
            let whose = (mode, partner.id);
            let before = tx.sim_record(whose, iccid).await?.ok_or_else(unknown)?;
            if before.sim.state == state {
                return Ok(shown(&before));
            }
            tx.set_sim_state(mode, partner.id, iccid, state).await?;
            let sim = Sim { state, ..before.sim.clone() };
            let after = SimRecord { sim, created_at: before.created_at };
            let change = Change {
                action: "sim.change",
                mode: Some(mode),
                object: object(place),
                before: json(&shown(&before)),
                after: json(&shown(&after)),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(shown(&after))
        })
        .await
    }
}
