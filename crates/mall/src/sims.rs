//! Cards: is it ours, how does it stand, what runs on it.

use std::collections::HashMap;

use domain::partner::Partner;
use domain::sim::{Sim, SimState};
use domain::sim_plan::{QueuedPlan, SimPlanState, advance};
use domain::{Iccid, Locale, LocalizedText, Mode, Timestamp, Zone};
use store::{SimPlan, SimQueue, Tx};
use wire::Code;
use wire::form::Problem;
use wire::vshop::{
    QueuedOrder, SingleQueryOrder, SingleQueryOrderAnswer, SingleVerify, SingleVerifyAnswer,
};

use crate::error::{Refusal, Result};
use crate::{Caller, Mall};

/// The field in which Vshop names a SIM.
pub(crate) const DEVICE_CODE: &str = wire::common::DEVICE_CODE.name;
/// How many plans of a SIM are shown.
const SHOWN_MAX: usize = 200;

/// A SIM of the partner, named in a field; another partner's is not told apart from none.
pub(crate) async fn known_sim(
    tx: &mut Tx,
    partner: &Partner,
    iccid: &Iccid,
    field: &str,
) -> Result<Sim> {
    check_luhn(partner, iccid, field)?;
    let sim = tx.sim(partner.mode, partner.id, iccid).await?;
    sim.ok_or_else(|| Code::SimUnknown.into())
}

/// The check digit counts only for partners that ask for it.
fn check_luhn(partner: &Partner, iccid: &Iccid, field: &str) -> Result<()> {
    if partner.checks_luhn && !iccid.luhn_holds() {
        return Err(Refusal::field(field, Problem::BadCheckDigit).into());
    }
    Ok(())
}

fn sellable(sim: Sim) -> Result<Sim> {
    if sim.state.sellable() { Ok(sim) } else { Err(Code::SimNotSellable.into()) }
}

/// A SIM of the partner for which something can be sold.
pub(crate) async fn sellable_sim(tx: &mut Tx, partner: &Partner, iccid: &Iccid) -> Result<Sim> {
    sellable(known_sim(tx, partner, iccid, DEVICE_CODE).await?)
}

/// The stored queue of a SIM turned to now, even if no job has done so yet. Plans that ended since are
/// among it.
pub(crate) async fn turned_queue(
    tx: &mut Tx,
    partner: &Partner,
    iccid: &Iccid,
    now: Timestamp,
) -> Result<Vec<SimPlan>> {
    let SimQueue { mut plans, free_since } = tx.sim_queue(partner.mode, partner.id, iccid).await?;
    let mut queue: Vec<QueuedPlan> = plans.iter().map(|plan| plan.queued.clone()).collect();
    advance(&mut queue, free_since, now, &partner.zone);
    for (plan, queued) in plans.iter_mut().zip(queue) {
        plan.queued = queued;
    }
    Ok(plans)
}

/// What runs and what waits on a SIM now.
pub(crate) async fn queue_now(
    tx: &mut Tx,
    partner: &Partner,
    iccid: &Iccid,
    now: Timestamp,
) -> Result<Vec<SimPlan>> {
    let mut plans = turned_queue(tx, partner, iccid, now).await?;
    plans.retain(|plan| !matches!(plan.queued.state, SimPlanState::Finished { .. }));
    Ok(plans)
}

impl Mall {
    /// 5.1: how a card stands. Who misses too many cards has to wait, and then a hit is answered as a
    /// miss is. The last look is after the work and together with the count, so that guesses made at
    /// the same moment gain nothing.
    pub async fn verify_sim(
        &self,
        caller: &Caller,
        request: &SingleVerify,
    ) -> Result<SingleVerifyAnswer> {
        let (partner, address) = (&caller.partner, caller.credentials.address);
        self.admit_card_check(partner, address)?;
        let outcome = self.look_at_sim(partner, request).await;
        self.settle_card_check(partner, address, &outcome)?;
        outcome
    }

    /// A miss costs what a hit costs.
    async fn look_at_sim(
        &self,
        partner: &Partner,
        request: &SingleVerify,
    ) -> Result<SingleVerifyAnswer> {
        let now = self.now(partner.mode);
        let mut tx = self.store.read().await?;
        let card = tx.card(partner.mode, partner.id, &request.iccid).await?;
        check_luhn(partner, &request.iccid, DEVICE_CODE)?;
        let sim = sellable(card.sim.ok_or(Code::SimUnknown)?)?;
        let in_use = match card.runs_until {
            Some(end) if end > now => true,
            _ if !card.has_plans => false,
            // What waits may have run to its end since somebody looked.
            _ => !queue_now(&mut tx, partner, &sim.iccid, now).await?.is_empty(),
        };
        let status = match sim.state {
            SimState::Suspended => "3",
            // A plan that runs says more than what was last heard of the card.
            _ if in_use => "2",
            SimState::Ready => "1",
            // A terminated card does not come here: nothing can be sold for it.
            SimState::Expired | SimState::Terminated => "4",
        };
        Ok(SingleVerifyAnswer {
            partner_code: partner.code.clone(),
            device_code: sim.iccid.as_str().to_owned(),
            card_status: status.to_owned(),
            auto_renewal: flag(card.renews),
            pay_currency: partner.currency.code().to_owned(),
        })
    }

    /// 5.4: what runs on a card and what waits.
    pub async fn query_sim_plans(
        &self,
        caller: &Caller,
        request: &SingleQueryOrder,
    ) -> Result<SingleQueryOrderAnswer> {
        let (partner, now) = (&caller.partner, self.now(caller.partner.mode));
        let mut tx = self.store.read().await?;
        let sim = known_sim(&mut tx, partner, &request.iccid, DEVICE_CODE).await?;
        let (mut order_list, mut names) = (Vec::new(), PlanNames::default());
        let reader = (partner.mode, caller.locale);
        let queue = queue_now(&mut tx, partner, &sim.iccid, now).await?;
        for plan in queue.into_iter().take(SHOWN_MAX) {
            let name = names.shown(&mut tx, reader, &plan.plan_code, &plan.show_name).await?;
            order_list.push(queued_order(&plan.queued, name, now, &partner.zone));
        }
        Ok(SingleQueryOrderAnswer {
            partner_code: partner.code.clone(),
            device_code: sim.iccid.as_str().to_owned(),
            order_list,
        })
    }
}

fn queued_order(plan: &QueuedPlan, name: String, now: Timestamp, zone: &Zone) -> QueuedOrder {
    let in_use = match plan.state {
        SimPlanState::InUse { expires_at, .. } => Some(expires_at),
        _ => None,
    };
    let days = days_left(plan, now, zone);
    QueuedOrder {
        order_status: if in_use.is_some() { "2" } else { "1" }.to_owned(),
        service_plan_show_name: name,
        time: plan.length.periods.to_string(),
        unit: plan.length.unit.code().to_owned(),
        expire_date: in_use.map(|expires_at| expires_at.date(zone)),
        remaining_days: days.to_string(),
    }
}

/// Whole days that a plan has left.
pub(crate) fn days_left(plan: &QueuedPlan, now: Timestamp, zone: &Zone) -> i64 {
    match plan.state {
        // On its last day a plan has none left, as on the published page.
        SimPlanState::InUse { expires_at, .. } => expires_at.calendar_days_since(now, zone).max(0),
        // A waiting plan shows its own whole length.
        _ => plan.length.end(now, zone).calendar_days_since(now, zone),
    }
}

/// Names of plans, each looked up once.
#[derive(Default)]
pub(crate) struct PlanNames(HashMap<(Mode, String), LocalizedText>);

impl PlanNames {
    /// The catalogue's name in a language, else the one that the client showed.
    pub(crate) async fn shown(
        &mut self,
        tx: &mut Tx,
        (mode, locale): (Mode, Locale),
        code: &str,
        sent: &str,
    ) -> Result<String> {
        let key = (mode, code.to_owned());
        if !self.0.contains_key(&key) {
            let names = tx.plan_name(mode, code).await?;
            self.0.insert(key.clone(), names);
        }
        let catalogue = self.0.get(&key).map_or("", |names| names.get(locale));
        Ok(shown_name(catalogue, sent))
    }
}

/// The catalogue's name, else the one that the client showed.
pub(crate) fn shown_name(catalogue: &str, sent: &str) -> String {
    if catalogue.is_empty() { sent } else { catalogue }.to_owned()
}

/// `1` or `0`.
pub(crate) fn flag(yes: bool) -> String {
    if yes { "1" } else { "0" }.to_owned()
}
