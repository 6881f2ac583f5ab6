//! Plans that are taken back with the money that paid for them.

use domain::order::Order;
use domain::sim_plan::{QueuedPlan, SimPlanState, advance};
use store::{JobKind, SimQueue, Tx};

use crate::Mall;
use crate::delivery::{end_of_use, write_changes};
use crate::error::{Error, Result};

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
        write_changes(tx, &sim, &before, &queue).await?;
        if let Some(ends_at) = end_of_use(&queue) {
            let job = (JobKind::TurnPlan, order.iccid.as_str().to_owned());
            self.write_job(tx, order, job, ends_at).await?;
        }
        Ok(())
    }
}
