//! What the clock does: plans end and the next begin, unpaid orders close.

use domain::Iccid;
use domain::order::OrderState;
use domain::sim_plan::{QueuedPlan, advance};
use store::{Job, SimQueue};

use crate::Mall;
use crate::delivery::{end_of_use, write_changes};
use crate::error::{Error, Result};
use crate::worker::Next;

impl Mall {
    /// The job `turn_plan`: ends the plan in use and begins the next.
    pub(crate) async fn turn_plan(&self, job: &Job) -> Result<Next> {
        let broken = || Error::Internal(format!("{} names no SIM", job.id));
        let iccid: Iccid = job.subject.parse().map_err(|_| broken())?;
        let iccid = &iccid;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let partner = tx.partner(job.mode, job.partner_id).await?.ok_or_else(broken)?;
            let SimQueue { plans: before, free_since } =
                tx.sim_queue(job.mode, job.partner_id, iccid).await?;
            let mut queue: Vec<QueuedPlan> =
                before.iter().map(|plan| plan.queued.clone()).collect();
            advance(&mut queue, free_since, self.now(job.mode), &partner.zone);
            let sim = (job.mode, job.partner_id, iccid.clone());
            write_changes(&mut tx, &sim, &before, &queue).await?;
            match end_of_use(&queue) {
                Some(expires_at) => {
                    let run_at = self.real(job.mode, expires_at);
                    tx.reschedule_job(job, run_at, 0, "").await?;
                }
                None => tx.finish_job(job).await?,
            }
            tx.commit().await?;
            Ok(Next::Settled)
        })
        .await
    }

    /// The job `close_order`.
    pub(crate) async fn close_order(&self, job: &Job) -> Result<Next> {
        let broken = || Error::Internal(format!("{} names no order", job.id));
        let order_id = job.subject.parse().map_err(|_| broken())?;
        let order = self.store.read().await?.order(job.mode, job.partner_id, order_id).await?;
        let order = order.ok_or_else(broken)?;
        if matches!(order.state, OrderState::AwaitingPayment { closes_at } if closes_at <= self.now(job.mode))
            && let Some((at, why)) = self.cancel_before_closing(&order).await?
        {
            return Ok(Next::At(at, why));
        }
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let order = tx.order(job.mode, job.partner_id, order_id).await?;
            let mut order = order.ok_or_else(broken)?;
            let before = order.version;
            self.close_if_unpaid(&mut tx, &mut order).await?;
            tx.finish_job(job).await?;
            tx.commit().await?;
            if order.version != before {
                self.metrics.order_entered(order.mode, order.state.name());
            }
            Ok(Next::Settled)
        })
        .await
    }
}
