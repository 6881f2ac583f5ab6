//! SIMs as a partner asks for them (Topup): what the mall has, beside what the carrier says.

use std::sync::Arc;

use domain::partner::Partner;
use domain::sim::Sim;
use domain::sim_plan::SimPlanState;
use domain::{Iccid, Timestamp, Zone};
use store::{SimKey, SimPlan};
use wire::Code;
use wire::topup::{self, SIM_PLANS_MAX, SimStatus, SimUsage, UsedInPeriod};

use crate::error::{Refusal, Result};
use crate::sim_answers::{Heard, PlanSaid, PlanStateWord, SimWord, StateSaid, Told, UsageSaid};
use crate::sim_words::matched;
use crate::sims::{PlanNames, days_left, known_sim, queue_now};
use crate::{Caller, Mall};

/// The field in which Topup names a SIM.
const SIM_ID: &str = "sim_id";

fn millis(micros: i64) -> i64 {
    Timestamp::from_micros(micros).as_millis()
}

/// What is left of a volume; of an unlimited one, no end.
fn left(total: Option<i64>, used: Option<i64>) -> Option<i64> {
    match (total?, used) {
        (-1, _) => Some(-1),
        (total, used) => Some(total.saturating_sub(used?).max(0)),
    }
}

/// What the carrier says of each plan, so far as that is certain enough to be shown.
fn shown_words<'a>(
    queue: &[SimPlan],
    carrier: &str,
    said: &'a [PlanSaid],
) -> Vec<Option<&'a PlanSaid>> {
    let places = matched(queue, carrier, said);
    let mut words: Vec<_> = places.iter().map(|place| place.and_then(|at| said.get(at))).collect();
    // One runs here, one runs there: it is the same, even if the carrier does not say of which order it is.
    let mut active = said.iter().filter(|plan| plan.state == PlanStateWord::Active);
    if let (Some(only), None) = (active.next(), active.next())
        && let (Some(plan), Some(word)) = (queue.first(), words.first_mut())
        && matches!(plan.queued.state, SimPlanState::InUse { .. })
        && only.order.is_none()
    {
        *word = word.or(Some(only));
    }
    words
}

impl Mall {
    /// `GET /mall/sims/{sim_id}`: how a SIM stands.
    pub async fn sim_status(self: &Arc<Self>, caller: &Caller, iccid: &Iccid) -> Result<SimStatus> {
        let partner = &caller.partner;
        let (sim, key) = self.sim_of(partner, iccid).await?;
        let Heard { answer, at, cached, stale } =
            said(self.heard::<StateSaid>(&key, &sim.carrier).await?)?;
        let usage = match self.heard::<UsageSaid>(&key, &sim.carrier).await? {
            Told::Heard(heard) => Some(shown_usage(iccid, heard)),
            Told::Nothing(_) => None,
        };
        let now = self.now(partner.mode);
        let mut tx = self.store.read().await?;
        let mut queue = queue_now(&mut tx, partner, iccid, now).await?;
        queue.truncate(SIM_PLANS_MAX);
        let words = shown_words(&queue, &sim.carrier, &answer.plans);
        let (mut plans, mut names) = (Vec::with_capacity(queue.len()), PlanNames::default());
        let reader = (partner.mode, caller.locale);
        for (plan, word) in queue.iter().zip(words) {
            let name = names.shown(&mut tx, reader, &plan.plan_code, &plan.show_name).await?;
            plans.push(shown_plan(plan, word, name, (now, &partner.zone)));
        }
        let own_word = answer.other.filter(|_| answer.state == SimWord::Other);
        Ok(SimStatus {
            sim_id: iccid.as_str().to_owned(),
            status: sim.state.as_str().to_owned(),
            network_status: own_word.unwrap_or_else(|| answer.state.as_str().to_owned()),
            plans,
            usage,
            asked_at: at.as_millis(),
            cached,
            stale,
        })
    }

    /// `GET /mall/sims/{sim_id}/usage`.
    pub async fn sim_usage(self: &Arc<Self>, caller: &Caller, iccid: &Iccid) -> Result<SimUsage> {
        let (sim, key) = self.sim_of(&caller.partner, iccid).await?;
        let heard = said(self.heard::<UsageSaid>(&key, &sim.carrier).await?)?;
        Ok(shown_usage(iccid, heard))
    }

    async fn sim_of(&self, partner: &Partner, iccid: &Iccid) -> Result<(Sim, SimKey)> {
        let mut tx = self.store.read().await?;
        let sim = known_sim(&mut tx, partner, iccid, SIM_ID).await?;
        Ok((sim, (partner.mode, partner.id, iccid.clone())))
    }
}

/// What was heard, or the refusal where nothing ever was.
fn said<T>(told: Told<T>) -> Result<Heard<T>> {
    match told {
        Told::Heard(heard) => Ok(heard),
        Told::Nothing(pause) => {
            Err(Refusal { retry_after: Some(pause), ..Refusal::new(Code::Unavailable) }.into())
        }
    }
}

fn shown_plan(
    plan: &SimPlan,
    word: Option<&PlanSaid>,
    name: String,
    (now, zone): (Timestamp, &Zone),
) -> topup::SimPlan {
    let times = plan.queued.state.times();
    let (total, used) = (word.and_then(|it| it.data), word.and_then(|it| it.used));
    topup::SimPlan {
        order_id: plan.order_id.to_string(),
        status: plan.queued.state.name().to_owned(),
        service_plan_code: plan.plan_code.clone(),
        service_plan_show_name: name,
        package_type: plan.queued.length.unit.code().to_owned(),
        order_period: plan.queued.length.periods,
        effective_at: times.map(|(from, _)| from.as_millis()),
        expire_at: times.map(|(_, to)| to.as_millis()),
        remaining_days: days_left(&plan.queued, now, zone),
        total_bytes: total,
        used_bytes: used,
        remaining_bytes: left(total, used),
    }
}

fn shown_usage(iccid: &Iccid, heard: Heard<UsageSaid>) -> SimUsage {
    let Heard { answer, at, cached, stale } = heard;
    let part = |(period, used_bytes): (String, i64)| UsedInPeriod { period, used_bytes };
    SimUsage {
        sim_id: iccid.as_str().to_owned(),
        used_bytes: answer.used,
        total_bytes: answer.total,
        remaining_bytes: left(answer.total, Some(answer.used)),
        as_of: answer.as_of.map(millis),
        asked_at: at.as_millis(),
        periods: answer.periods.into_iter().map(part).collect(),
        cached,
        stale,
    }
}
