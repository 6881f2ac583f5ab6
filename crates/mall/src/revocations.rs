//! Plans that are taken back with the money that paid for them: here at once, and at the carrier where it can.

use carriers::{CarrierPlan, ControlError, Feature, PlanState};
use domain::Span;
use domain::order::Order;
use domain::sim_plan::{QueuedPlan, SimPlanState, advance, schedule};
use store::{Job, JobKind, SimQueue, Tx};

use crate::Mall;
use crate::error::{Error, Result};
use crate::provision::order_of;
use crate::sim_words::names_order;
use crate::turns::turn_after_change;
use crate::worker::Next;

/// How long a carrier takes to end a plan, as a rule.
const ENDING_TAKES: Span = Span::seconds(30);
/// After so long a person looks at what a carrier does not end.
const ENDING_TAKES_MAX: Span = Span::days(1);

/// Whether a plan at the carrier can still be used.
fn is_usable(plan: &CarrierPlan) -> bool {
    !matches!(plan.state, PlanState::Ended | PlanState::Revoked)
}

impl Mall {
    /// Takes an order's plan off its SIM's queue, unless it has run to its end; the next one begins at once where it
    /// was in use.
    pub(crate) async fn revoke_unused(&self, tx: &mut Tx, order: &Order) -> Result<()> {
        let Some(queue_no) = order.queue_no else { return Ok(()) };
        let (mode, partner_id, now) = (order.mode, order.partner_id, self.now(order.mode));
        let missing = || Error::Internal(format!("{} has no partner", order.id));
        let partner = tx.partner(mode, partner_id).await?.ok_or_else(missing)?;
        let SimQueue { plans: before, free_since } =
            tx.sim_queue(mode, partner_id, &order.iccid).await?;
        let mut queue: Vec<QueuedPlan> = before.iter().map(|plan| plan.queued.clone()).collect();
        advance(&mut queue, free_since, now, &partner.zone);
        let Some(plan) = queue.iter_mut().find(|plan| plan.queue_no == queue_no) else {
            return Ok(());
        };
        let free_since = match plan.state {
            SimPlanState::InUse { .. } => Some(now),
            SimPlanState::Waiting => free_since,
            _ => return Ok(()),
        };
        plan.state = SimPlanState::Revoked;
        advance(&mut queue, free_since, now, &partner.zone);
        let sim = (mode, partner_id, order.iccid.clone());
        self.write_changes(tx, &sim, &before, &queue).await?;
        let turn = (JobKind::TurnPlan, order.iccid.as_str().to_owned());
        self.write_job(tx, order, turn, turn_after_change(&queue, now)).await?;
        // An agreement is due when the last plan of the queue ends. Where none is left, its subscription knows when.
        if let Some((_, _, end)) = schedule(&queue, &partner.zone).last() {
            self.schedule_renewal(tx, &sim, *end).await?;
        }
        let carrier = self.carrier(mode, &order.carrier);
        let can = carrier.is_some_and(|one| one.capabilities().has(Feature::CancelPlan));
        if can && !order.upstream_id.is_empty() {
            let job = (JobKind::RevokePlan, order.id.to_string());
            self.write_job(tx, order, job, now).await?;
        }
        Ok(())
    }

    /// The job `revoke_plan`: asks the carrier to end a plan whose money went back, and looks until it has.
    pub(crate) async fn revoke_plan(&self, job: &Job) -> Result<Next> {
        let order = order_of(&mut self.store.read().await?, job).await?;
        let carrier = self.carrier(order.mode, &order.carrier);
        let carrier = carrier
            .ok_or_else(|| Error::Internal(format!("{} is not served here", order.carrier)))?;
        let now = self.ctx.now();
        let later = |why: String| Ok(Next::At(now + ENDING_TAKES, why));
        let plans = match carrier.list_plans(&order.iccid).await {
            Ok(plans) => plans,
            Err(error) => return later(error.message),
        };
        let mut usable = plans.iter().filter(|plan| is_usable(plan));
        // Some carriers do not list the order of a plan: then nothing can be seen but what they accept.
        let is_told = usable.clone().any(|plan| plan.order.is_some());
        let is_its = |plan: &&CarrierPlan| names_order(plan.order.as_deref(), &order.upstream_id);
        let plan = if is_told { usable.find(is_its) } else { usable.next() };
        let Some(plan) = plan else { return Ok(Next::Done) };
        if now.since(job.first_run_at) > ENDING_TAKES_MAX {
            let why = "the carrier does not end a plan whose money went back";
            return self.give_up_revoking(job, why).await;
        }
        // It may be asked again while it is at it: it is told which order's plan is meant.
        match carrier.cancel_plan(&order.iccid, &plan.id, &order.upstream_id).await {
            Ok(accepted) if is_told => later(accepted.said),
            Ok(accepted) => {
                tracing::info!(said = accepted.said, "a refunded plan is ended at its carrier");
                Ok(Next::Done)
            }
            Err(ControlError::RetryLater { after, message }) => {
                Ok(Next::At(now + after.max(ENDING_TAKES), message))
            }
            Err(ControlError::Unclear { message }) => later(message),
            Err(ControlError::Refused { code, message }) => {
                self.give_up_revoking(job, &format!("{code}: {message}")).await
            }
            Err(ControlError::Unsupported) => Ok(Next::Done),
        }
    }

    /// The plan stays at the carrier though its money went back: a person sees it among the dead jobs.
    async fn give_up_revoking(&self, job: &Job, why: &str) -> Result<Next> {
        tracing::error!(order_id = job.subject, why, "a refunded plan stays at its carrier");
        let mut tx = self.store.begin().await?;
        tx.bury_job(job, why).await?;
        tx.commit().await?;
        Ok(Next::Settled)
    }
}
