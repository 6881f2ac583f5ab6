//! What the clock does: plans end and the next begin, unpaid orders close.

use domain::order::OrderState;
use domain::sim_plan::{QueuedPlan, SimPlanState, advance};
use domain::{Iccid, Span, Timestamp};
use store::{Job, SimKey, SimPlan, SimQueue, Tx};
use wire::push::{Event, EventType};

use crate::Mall;
use crate::error::{Error, Result};
use crate::push_events::{Told, Whom};
use crate::worker::Next;

/// How long before a plan ends its partner is told that it does.
const NOTICE: Span = Span::days(1);
/// How soon a queue is looked at in which nothing runs any more.
const LOOK_AGAIN: Span = Span::minutes(1);
/// A plan that runs for less ends without notice.
const NOTICED_MIN: Span = Span::days(2);

/// When the plan in use ends.
pub(crate) fn end_of_use(queue: &[QueuedPlan]) -> Option<Timestamp> {
    queue.iter().find_map(|plan| match plan.state {
        SimPlanState::InUse { expires_at, .. } => Some(expires_at),
        _ => None,
    })
}

/// When its partner is told that a plan in use will end; `None`: never.
fn notice_at(plan: &QueuedPlan) -> Option<Timestamp> {
    match plan.state {
        SimPlanState::InUse { effective_at, expires_at }
            if expires_at.since(effective_at) >= NOTICED_MIN =>
        {
            Some(expires_at - NOTICE)
        }
        _ => None,
    }
}

/// When somebody must look at a queue that was changed: when its plan in use is about to end, which it may be already, or
/// when it ends.
pub(crate) fn next_turn(queue: &[QueuedPlan], now: Timestamp) -> Option<Timestamp> {
    let notice = queue.iter().find_map(notice_at).map(|at| at.max(now));
    notice.or_else(|| end_of_use(queue))
}

/// The same of a queue whose plan in use may have been ended before its time: soon, even if nothing is left. A plan that is
/// put on the SIM at this moment reckons with the old end, and waits for somebody to look.
pub(crate) fn turn_after_change(queue: &[QueuedPlan], now: Timestamp) -> Timestamp {
    next_turn(queue, now).unwrap_or(now + LOOK_AGAIN)
}

/// Whether its partner was told when a plan ends.
async fn knows_end(
    tx: &mut Tx,
    (mode, partner, _): &SimKey,
    (plan, queued): (&SimPlan, &QueuedPlan),
) -> Result<bool> {
    let subject = plan.order_id.to_string();
    let kind = EventType::PlanExpiring.as_str();
    let Some(told) = tx.last_push_event((*mode, *partner), (&subject, kind)).await? else {
        return Ok(false);
    };
    let told: Option<Event> = serde_json::from_str(&told.body).ok();
    let said = told.and_then(|event| event.order().ok()).and_then(|order| order.expire_at);
    Ok(said == queued.state.times().map(|(_, end)| end.as_millis()))
}

impl Mall {
    /// Writes the plans of a queue whose state has changed, and tells the partner of those that ended. Those that end
    /// stand before the one that begins, so that a SIM never has two in use.
    pub(crate) async fn write_changes(
        &self,
        tx: &mut Tx,
        sim: &SimKey,
        before: &[SimPlan],
        queue: &[QueuedPlan],
    ) -> Result<()> {
        for (old, new) in before.iter().zip(queue) {
            if old.queued.state != new.state {
                tx.update_sim_plan(sim, new, old.queued.state).await?;
            }
        }
        for (old, new) in before.iter().zip(queue) {
            if let SimPlanState::Finished { expires_at, .. } = new.state
                && !matches!(old.queued.state, SimPlanState::Finished { .. })
            {
                self.tell_of_plan(tx, (EventType::PlanExpired, expires_at), (sim, old)).await?;
            }
        }
        Ok(())
    }

    /// Tells the partner of a plan, by its order.
    async fn tell_of_plan(
        &self,
        tx: &mut Tx,
        (event_type, at): (EventType, Timestamp),
        ((mode, partner, _), plan): (&SimKey, &SimPlan),
    ) -> Result<()> {
        let known = self.listening(tx, (*mode, *partner), event_type).await?;
        let Some(known) = known else { return Ok(()) };
        let order = tx.order(*mode, *partner, plan.order_id).await?;
        let order = order.ok_or_else(|| Error::Internal(format!("{} is gone", plan.order_id)))?;
        let data = self.order_data(tx, &known, &order, &[]).await?;
        let (subject, whom) = (order.id.to_string(), Whom::All);
        self.tell_all(tx, vec![(known, Told { event_type, subject, at, data, whom })]).await?;
        Ok(())
    }

    /// Tells the partner that the plan in use will end, if it is time to and it does not know.
    async fn give_notice(
        &self,
        tx: &mut Tx,
        (sim, now): (&SimKey, Timestamp),
        (plans, queue): (&[SimPlan], &[QueuedPlan]),
    ) -> Result<()> {
        for (plan, queued) in plans.iter().zip(queue) {
            let is_time = notice_at(queued).is_some_and(|at| at <= now);
            if is_time && !knows_end(tx, sim, (plan, queued)).await? {
                self.tell_of_plan(tx, (EventType::PlanExpiring, now), (sim, plan)).await?;
            }
        }
        Ok(())
    }

    /// The job `turn_plan`: ends the plan in use and begins the next; and says when one is about to end.
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
            let now = self.now(job.mode);
            advance(&mut queue, free_since, now, &partner.zone);
            let sim = (job.mode, job.partner_id, iccid.clone());
            self.write_changes(&mut tx, &sim, &before, &queue).await?;
            self.give_notice(&mut tx, (&sim, now), (&before, &queue)).await?;
            let notice = queue.iter().find_map(notice_at).filter(|at| *at > now);
            match notice.or_else(|| end_of_use(&queue)) {
                Some(at) => {
                    let run_at = self.real(job.mode, at);
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
