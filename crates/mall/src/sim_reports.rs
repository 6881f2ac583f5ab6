//! How SIMs stand by their carriers' word: usage, state and plans, asked as rarely as the carrier allows, and
//! kept for all nodes. What a carrier says of plans that ended or changed is taken over into the SIM's queue.
//!
//! It is taken over only where there is no doubt which plan is meant; money is never touched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use carriers::{Allowance, Carrier, CarrierPlan, PlanState, QueryError, UsageRange};
use domain::partner::Partner;
use domain::sim::{Sim, SimState};
use domain::sim_plan::{QueuedPlan, SimPlanState};
use domain::{Iccid, Span, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Job, JobKind, NewJob, SimKey};
use tokio::time::timeout;
use wire::Code;
use wire::topup::{SimPlan, SimStatus, SimUsage};

use crate::delivery::{end_of_use, write_changes};
use crate::error::{Error, Result};
use crate::sims::{known_sim, turned_queue};
use crate::worker::Next;
use crate::{Caller, Mall};

/// The field that names the SIM.
const SIM_ID: &str = "sim_id";
/// For how many days usage is asked, where the carrier counts by days.
const USAGE_DAYS: i64 = 30;
/// A plan that is younger may not be in the carrier's list yet.
const SETTLED_AFTER: Span = Span::minutes(60);
/// Ends that differ by less are the same.
const SAME_END: Span = Span::minutes(1);

/// What a carrier said of a SIM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    state: String,
    used: i64,
    /// -1 unlimited.
    total: Option<i64>,
    as_of: Option<i64>,
    plans: Vec<Reported>,
}

/// A plan on a SIM by its carrier's word; the end in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reported {
    state: String,
    end: Option<i64>,
}

/// What is known of a SIM, since when, and whether it is older than it should be.
struct Known {
    report: Report,
    asked_at: Timestamp,
    stale: bool,
}

/// The SIMs that this process is asking about: one question at a time about each.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<HashMap<SimKey, Arc<tokio::sync::Mutex<()>>>>);

impl Questions {
    fn about(&self, key: &SimKey) -> Arc<tokio::sync::Mutex<()>> {
        // A map of locks is valid after any panic.
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(open.entry(key.clone()).or_default())
    }
}

impl Mall {
    /// How a SIM stands: state, plans, usage.
    pub async fn sim_status(&self, caller: &Caller, iccid: &Iccid) -> Result<SimStatus> {
        let partner = &caller.partner;
        let sim = self.sim_of(partner, iccid).await?;
        let known = self.known_of(partner, &sim).await?;
        let mut tx = self.store.read().await?;
        let plans = turned_queue(&mut tx, partner, iccid, self.ctx.now()).await?;
        let plans = plans.iter().filter_map(|plan| {
            let state = plan.queued.state;
            let live = matches!(state, SimPlanState::Waiting | SimPlanState::InUse { .. });
            let (begin, end) = state.times().unzip();
            live.then(|| SimPlan {
                order_id: plan.order_id.to_string(),
                status: state.name().to_owned(),
                effective_at: begin.map(Timestamp::as_millis),
                expire_at: end.map(Timestamp::as_millis),
            })
        });
        Ok(SimStatus {
            sim_id: iccid.as_str().to_owned(),
            status: sim.state.as_str().to_owned(),
            network_status: known.report.state.clone(),
            plans: plans.collect(),
            usage: shown(iccid, &known),
        })
    }

    /// How much data a SIM used.
    pub async fn sim_usage(&self, caller: &Caller, iccid: &Iccid) -> Result<SimUsage> {
        let sim = self.sim_of(&caller.partner, iccid).await?;
        Ok(shown(iccid, &self.known_of(&caller.partner, &sim).await?))
    }

    async fn sim_of(&self, partner: &Partner, iccid: &Iccid) -> Result<Sim> {
        let mut tx = self.store.read().await?;
        known_sim(&mut tx, partner, iccid, SIM_ID).await
    }

    /// What is remembered, if it is young enough; else the carrier is asked. If it does not answer, what is
    /// remembered is told all the same.
    async fn known_of(&self, partner: &Partner, sim: &Sim) -> Result<Known> {
        let carrier = self.carrier(partner.mode, &sim.carrier).ok_or(Code::Unavailable)?;
        let fresh_for = carrier.capabilities().fresh_for;
        let key = (partner.mode, partner.id, sim.iccid.clone());
        let young = |known: &Known| self.ctx.now().since(known.asked_at) < fresh_for;
        if let Some(known) = self.last_report(&key).await?.filter(young) {
            return Ok(known);
        }
        // Whoever comes meanwhile waits, and then finds what was answered.
        let question = self.questions.about(&key);
        let _asking = question.lock().await;
        let remembered = self.last_report(&key).await?;
        match remembered {
            Some(known) if young(&known) => Ok(known),
            old => match self.ask_about(partner, sim, &**carrier).await {
                Ok(known) => Ok(known),
                Err(error) => {
                    tracing::warn!(%error, carrier = sim.carrier, "a SIM's state cannot be asked");
                    let old = old.map(|known| Known { stale: true, ..known });
                    old.ok_or_else(|| Code::Unavailable.into())
                }
            },
        }
    }

    async fn last_report(&self, key: &SimKey) -> Result<Option<Known>> {
        let found = self.store.read().await?.sim_report(key).await?;
        Ok(found.and_then(|(report, asked_at)| {
            // One of another version is asked for anew.
            let report = serde_json::from_str(&report).ok()?;
            Some(Known { report, asked_at, stale: false })
        }))
    }

    /// Asks the carrier, remembers what it says, and heeds it.
    async fn ask_about(
        &self,
        partner: &Partner,
        sim: &Sim,
        carrier: &dyn Carrier,
    ) -> Result<Known> {
        let asked_at = self.ctx.now();
        let call_max = self.call_max(carrier).to_std() * 3;
        let asked = timeout(call_max, ask(carrier, &sim.iccid, asked_at)).await;
        let no_answer = |_| QueryError { message: "no answer in time".to_owned() };
        let report = asked.map_err(no_answer).and_then(|answer| answer);
        let report = report.map_err(|error| Error::Internal(error.message))?;
        let text = serde_json::to_string(&report);
        let text = text.map_err(|error| Error::Internal(error.to_string()))?;
        let key = (partner.mode, partner.id, sim.iccid.clone());
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            tx.put_sim_report(&key, &text, asked_at).await?;
            self.heed(&mut tx, partner, sim, &report).await?;
            Ok(tx.commit().await?)
        })
        .await?;
        Ok(Known { report, asked_at, stale: false })
    }

    /// Takes over what a carrier says of a SIM's plans, and of the SIM's end.
    async fn heed(
        &self,
        tx: &mut store::Tx,
        partner: &Partner,
        sim: &Sim,
        report: &Report,
    ) -> Result<()> {
        let (mode, id, iccid) = (partner.mode, partner.id, &sim.iccid);
        if report.state == "terminated" && sim.state != SimState::Terminated {
            tracing::warn!(carrier = sim.carrier, "a SIM is terminated by its carrier");
            tx.set_sim_state(mode, id, iccid, SimState::Terminated).await?;
        }
        tx.hold_sim(mode, id, iccid).await?;
        let before = tx.sim_queue(mode, id, iccid).await?.plans;
        let queue: Vec<QueuedPlan> = before.iter().map(|plan| plan.queued.clone()).collect();
        let Some(changed) = heeded(&queue, report, self.ctx.now()) else { return Ok(()) };
        tracing::warn!(carrier = sim.carrier, "a SIM's plans changed by its carrier's word");
        let key = (mode, id, iccid.clone());
        write_changes(tx, &key, &before, &changed).await?;
        let now = self.ctx.now();
        let job = NewJob {
            mode,
            partner_id: id,
            kind: JobKind::TurnPlan,
            subject: iccid.as_str().to_owned(),
            trace: String::new(),
            run_at: end_of_use(&changed).unwrap_or(now),
            claimed_at: None,
        };
        Ok(tx.insert_job(&job, now).await?)
    }

    /// The job `look_at_sim`: asks the carrier, however young what is remembered.
    pub(crate) async fn look_at_sim_job(&self, job: &Job) -> Result<Next> {
        let broken = || Error::Internal(format!("{} names no SIM", job.id));
        let iccid: Iccid = job.subject.parse().map_err(|_| broken())?;
        let mut tx = self.store.read().await?;
        let partner = tx.partner(job.mode, job.partner_id).await?.ok_or_else(broken)?;
        let sim = tx.sim(job.mode, job.partner_id, &iccid).await?;
        drop(tx);
        let Some(sim) = sim else { return Ok(Next::Done) };
        if let Some(carrier) = self.carrier(job.mode, &sim.carrier) {
            self.ask_about(&partner, &sim, &**carrier).await?;
        }
        Ok(Next::Done)
    }
}

async fn ask(
    carrier: &dyn Carrier,
    iccid: &Iccid,
    now: Timestamp,
) -> std::result::Result<Report, QueryError> {
    let state = carrier.get_sim(iccid).await?.state;
    let plans = carrier.list_plans(iccid).await?;
    let range = UsageRange { from: now - Span::days(USAGE_DAYS), to: now };
    let usage = carrier.get_usage(iccid, range).await?;
    Ok(Report {
        state: match state {
            carriers::SimState::PreActive => "pre_active".to_owned(),
            carriers::SimState::Active => "active".to_owned(),
            carriers::SimState::Paused => "paused".to_owned(),
            carriers::SimState::Expired => "expired".to_owned(),
            carriers::SimState::Terminated => "terminated".to_owned(),
            carriers::SimState::Other(word) => word,
        },
        used: bytes(usage.used),
        total: match usage.total {
            Allowance::Bytes(total) => Some(bytes(total)),
            Allowance::Unlimited => Some(-1),
            Allowance::Unknown => None,
        },
        as_of: usage.as_of.map(Timestamp::as_micros),
        plans: plans.iter().map(reported).collect(),
    })
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn reported(plan: &CarrierPlan) -> Reported {
    let state = match &plan.state {
        PlanState::Queued => "queued",
        PlanState::Active => "active",
        PlanState::Paused => "paused",
        PlanState::Ended => "ended",
        PlanState::Other(_) => "other",
    };
    Reported { state: state.to_owned(), end: plan.end_at.map(Timestamp::as_micros) }
}

fn shown(iccid: &Iccid, known: &Known) -> SimUsage {
    let Report { used, total, as_of, .. } = &known.report;
    let left = |total: i64| if total < 0 { -1 } else { (total - used).max(0) };
    SimUsage {
        sim_id: iccid.as_str().to_owned(),
        used_bytes: *used,
        total_bytes: *total,
        remaining_bytes: total.map(left),
        as_of: as_of.map(|micros| Timestamp::from_micros(micros).as_millis()),
        asked_at: known.asked_at.as_millis(),
        stale: known.stale,
    }
}

/// The queue as the carrier's word changes it, where there is no doubt which plan is meant: if all that it lists
/// has ended, so has all that we have; if one runs there and one runs here, and as many live there as here, they
/// are the same and end at the same time. `None`: nothing is to be changed.
fn heeded(queue: &[QueuedPlan], report: &Report, now: Timestamp) -> Option<Vec<QueuedPlan>> {
    let count = |state: &str| report.plans.iter().filter(|plan| plan.state == state).count();
    let live = |plan: &&QueuedPlan| {
        matches!(plan.state, SimPlanState::Waiting | SimPlanState::InUse { .. })
    };
    let ours = queue.iter().filter(live).count();
    let theirs = count("queued") + count("active") + count("paused");
    let settled = queue.iter().all(|plan| now.since(plan.added_at) >= SETTLED_AFTER);
    if ours == 0 || !settled || count("other") > 0 {
        return None;
    }
    let mut changed = queue.to_vec();
    if theirs == 0 && count("ended") >= ours {
        for plan in &mut changed {
            plan.state = match plan.state {
                SimPlanState::Waiting | SimPlanState::InUse { .. } => SimPlanState::Revoked,
                other => other,
            };
        }
        return Some(changed);
    }
    let active = report.plans.iter().find(|plan| plan.state == "active")?;
    if count("active") != 1 || theirs != ours {
        return None;
    }
    let end = Timestamp::from_micros(active.end?);
    let plan = changed.iter_mut().find(|it| matches!(it.state, SimPlanState::InUse { .. }))?;
    let SimPlanState::InUse { effective_at, expires_at } = plan.state else { return None };
    let apart = end.since(expires_at).as_micros().abs();
    if apart < SAME_END.as_micros() || end <= effective_at {
        return None;
    }
    plan.state = SimPlanState::InUse { effective_at, expires_at: end };
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::package::{PackageType, PlanLength};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(0) + Span::minutes(minutes)
    }

    fn plan(queue_no: i64, state: SimPlanState) -> QueuedPlan {
        let length = PlanLength { unit: PackageType::Daily, periods: 1, calendar: false };
        QueuedPlan { queue_no, added_at: at(0), length, state }
    }

    fn report(plans: &[(&str, Option<i64>)]) -> Report {
        let plans = plans.iter().map(|(state, end)| Reported {
            state: (*state).to_owned(),
            end: end.map(|minutes| at(minutes).as_micros()),
        });
        Report { state: "active".into(), used: 0, total: None, as_of: None, plans: plans.collect() }
    }

    const RUNS: fn() -> QueuedPlan =
        || plan(1, SimPlanState::InUse { effective_at: at(0), expires_at: at(1_440) });

    #[test]
    fn what_has_ended_there_has_ended_here() {
        let queue = [RUNS(), plan(2, SimPlanState::Waiting)];
        let ended = heeded(&queue, &report(&[("ended", None), ("ended", None)]), at(100)).unwrap();
        assert!(ended.iter().all(|plan| plan.state == SimPlanState::Revoked));
        // One of two may be either; a young one may not be listed yet; a word that is not known is none.
        assert_eq!(heeded(&queue, &report(&[("ended", None)]), at(100)), None);
        assert_eq!(heeded(&queue, &report(&[("ended", None), ("ended", None)]), at(59)), None);
        let unknown = report(&[("ended", None), ("ended", None), ("other", None)]);
        assert_eq!(heeded(&queue, &unknown, at(100)), None);
        assert_eq!(heeded(&queue, &report(&[]), at(100)), None);
        assert_eq!(heeded(&[], &report(&[("ended", None)]), at(100)), None);
    }

    #[test]
    fn an_end_that_moved_is_taken_over() {
        let queue = [RUNS(), plan(2, SimPlanState::Waiting)];
        let later = report(&[("active", Some(2_000)), ("queued", None)]);
        let changed = heeded(&queue, &later, at(100)).unwrap();
        let runs = SimPlanState::InUse { effective_at: at(0), expires_at: at(2_000) };
        assert_eq!((changed[0].state, changed[1].state), (runs, SimPlanState::Waiting));
        for same in [
            report(&[("active", Some(1_440)), ("queued", None)]),
            report(&[("active", None), ("queued", None)]),
            report(&[("active", Some(2_000))]),
            report(&[("active", Some(2_000)), ("active", Some(3_000))]),
        ] {
            assert_eq!(heeded(&queue, &same, at(100)), None, "{same:?}");
        }
    }
}
