//! SIMs as a partner asks for them (Topup): what the mall has, beside what the carrier says.

use std::sync::Arc;

use domain::Timestamp;
use domain::sim_plan::SimPlanState;
use store::{SimKey, SimPlan};
use wire::Code;
use wire::sims::{
    PLANS_MAX, PlanOnSim, QuerySim, QuerySimUsage, SimAnswer, UsageAnswer, UsedInPeriod,
};

use crate::error::{Refusal, Result};
use crate::sim_answers::{Heard, PlanSaid, PlanStateWord, StateSaid, Told, UsageSaid};
use crate::sim_looks::matched;
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
    /// `GET /mall/sims/{sim_id}`: the mall's own word is always told, the carrier's if it was ever heard.
    pub async fn query_sim(
        self: &Arc<Self>,
        caller: &Caller,
        request: &QuerySim,
    ) -> Result<SimAnswer> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let sim = known_sim(&mut tx, partner, &request.iccid, SIM_ID).await?;
        drop(tx);
        let key: SimKey = (partner.mode, partner.id, sim.iccid.clone());
        let heard = match self.heard::<StateSaid>(&key, &sim.carrier).await? {
            Told::Heard(heard) => Some(heard),
            Told::Nothing(_) => None,
        };
        let now = self.ctx.now();
        let mut tx = self.store.read().await?;
        let mut queue = queue_now(&mut tx, partner, &sim.iccid, now).await?;
        queue.truncate(PLANS_MAX);
        let said = heard.as_ref().map_or(&[][..], |heard| &heard.answer.plans);
        let words = shown_words(&queue, &sim.carrier, said);
        let (mut plans, mut names) = (Vec::with_capacity(queue.len()), PlanNames::default());
        for (plan, word) in queue.iter().zip(words) {
            let name = names.shown(&mut tx, caller, &plan.plan_code, &plan.show_name).await?;
            let times = plan.queued.state.times();
            let (total, used) = (word.and_then(|it| it.data), word.and_then(|it| it.used));
            plans.push(PlanOnSim {
                order_id: plan.order_id.to_string(),
                order_status: if times.is_some() { "2" } else { "1" }.to_owned(),
                service_plan_code: plan.plan_code.clone(),
                service_plan_show_name: name,
                package_type: plan.queued.length.unit.code().to_owned(),
                order_period: plan.queued.length.periods,
                effective_at: times.map(|(from, _)| from.as_millis()),
                expire_at: times.map(|(_, to)| to.as_millis()),
                remaining_days: days_left(&plan.queued, now, &partner.zone),
                data_volume: total,
                used_volume: used,
                remaining_volume: left(total, used),
            });
        }
        Ok(SimAnswer {
            sim_id: sim.iccid.as_str().to_owned(),
            status: sim.state.as_str().to_uppercase(),
            carrier_status: heard.as_ref().map(|heard| heard.answer.state.as_str().to_owned()),
            plans,
            as_of: heard.as_ref().map(|heard| heard.at.as_millis()),
            cached: heard.as_ref().is_some_and(|heard| heard.cached),
            stale: heard.as_ref().is_none_or(|heard| heard.stale),
        })
    }

    /// `GET /mall/sims/{sim_id}/usage`.
    pub async fn query_sim_usage(
        self: &Arc<Self>,
        caller: &Caller,
        request: &QuerySimUsage,
    ) -> Result<UsageAnswer> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let sim = known_sim(&mut tx, partner, &request.iccid, SIM_ID).await?;
        drop(tx);
        let key: SimKey = (partner.mode, partner.id, sim.iccid.clone());
        let Heard { answer, at, cached, stale } =
            match self.heard::<UsageSaid>(&key, &sim.carrier).await? {
                Told::Heard(heard) => heard,
                Told::Nothing(pause) => {
                    let retry_after = Some(pause);
                    return Err(Refusal { retry_after, ..Refusal::new(Code::Unavailable) }.into());
                }
            };
        let part = |(period, used): (String, i64)| UsedInPeriod { period, used_volume: used };
        Ok(UsageAnswer {
            sim_id: sim.iccid.as_str().to_owned(),
            used_volume: answer.used,
            data_volume: answer.total,
            remaining_volume: left(answer.total, Some(answer.used)),
            periods: answer.periods.into_iter().map(part).collect(),
            as_of: answer.as_of.map_or(at.as_millis(), millis),
            asked_at: at.as_millis(),
            cached,
            stale,
        })
    }
}
