//! How provisioned orders are written: the plans of many orders put on their SIMs in one transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::id::{OrderId, PartnerId};
use domain::order::{Order, OrderEvent};
use domain::sim_plan::{QueuedPlan, SimPlanState, advance, schedule};
use domain::{Mode, Span, Timestamp, Zone};
use store::{
    Attempt, AttemptState, Job, JobKind, NewJob, OrderChange, SimBook, SimKey, SimPlan, SimQueue,
    Tx,
};
use wire::push::EventType;

use crate::Mall;
use crate::attempts::started;
use crate::cache::Known;
use crate::error::{Error, Result};
use crate::provision::order_of;
use crate::push_events::{Told, Whom, with};
use crate::queries::rendered;
use crate::renewals::renewed_by;
use crate::sims::PlanNames;
use crate::turns::{end_of_use, next_turn};
use crate::worker::Next;

/// The name of the state that a delivery brings an order into, for the figures.
const PROVISIONED: &str = "PROVISIONED";
/// Whoever ends a plan that ends so soon may not see what is put behind it at this moment, so it is looked at once more.
const NEAR_END: Span = Span::minutes(5);

/// An order that its carrier has done.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The job that it ends; `None` where a person found that it is done.
    pub(crate) job: Option<Job>,
    pub(crate) order: Order,
    pub(crate) upstream_id: String,
    /// The live attempt, if one was written down.
    pub(crate) attempt: Option<Attempt>,
    /// The carrier's last words.
    pub(crate) said: String,
}

impl Mall {
    /// The plan is on the SIM: order, queue, agreement and job in one transaction.
    pub(crate) async fn deliver(&self, job: &Job, delivery: Delivery) -> Result<Next> {
        let together = self.deliveries.run(delivery.clone(), |batch| self.deliver_all(batch)).await;
        if together == Some(true) {
            self.metrics.order_entered(job.mode, PROVISIONED);
            return Ok(Next::Settled);
        }
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let order = order_of(&mut tx, job).await?;
            // Whoever lost a race for a place in the queue waits for its turn instead of losing the next.
            tx.hold_sim(order.mode, order.partner_id, &order.iccid).await?;
            let mode = order.mode;
            let delivery = Delivery { order, ..delivery.clone() };
            let frees = self.write_deliveries(&mut tx, vec![delivery]).await?;
            tx.commit().await?;
            if frees {
                self.bell.notify_one();
            }
            self.metrics.order_entered(mode, PROVISIONED);
            Ok(Next::Settled)
        })
        .await
    }

    async fn deliver_all(&self, batch: Vec<Delivery>) -> Vec<bool> {
        let many = batch.len();
        let written = async {
            let mut tx = self.store.begin().await?;
            let frees = self.write_deliveries(&mut tx, batch).await?;
            tx.commit().await?;
            if frees {
                self.bell.notify_one();
            }
            Ok::<(), Error>(())
        };
        let written = written.await;
        if let Err(error) = &written {
            tracing::debug!(%error, "a batch of deliveries is written one by one");
        }
        vec![written.is_ok(); many]
    }

    /// Writes what was done; whether other orders may go on now.
    pub(crate) async fn write_deliveries(&self, tx: &mut Tx, batch: Vec<Delivery>) -> Result<bool> {
        // Only now: waiting for the transaction may have taken a while.
        let now = self.ctx.now();
        let keys: Vec<SimKey> = batch.iter().map(|delivery| sim_of(&delivery.order)).collect();
        let keys: Vec<&SimKey> = keys.iter().collect();
        let mut books = tx.sim_books(&keys).await?;
        let mut partners = Partners::default();
        let (mut changes, mut plans, mut turns) = (Vec::new(), Vec::new(), Vec::new());
        let (mut freed, mut turned) = (Vec::new(), HashSet::new());
        for Delivery { job, mut order, upstream_id, attempt, said } in batch.iter().cloned() {
            let key = sim_of(&order);
            let known = partners.of(self, tx, &order).await?;
            let book = books.entry(key.clone()).or_default();
            let at = self.now(order.mode);
            let place = self.place(tx, &order, book, (at, &known.partner.zone));
            let (plan, turn_at) = place.await?;
            if let Some(turn_at) = turn_at
                && turned.insert(key.clone())
            {
                let subject = (JobKind::TurnPlan, order.iccid.as_str().to_owned());
                let trace = job.map(|job| job.trace).unwrap_or_default();
                turns.push(NewJob { trace, ..self.new_job(&order, subject, turn_at) });
            }
            if let Some(attempt) = attempt {
                let (old, heard_at) = (attempt.state, Some(now));
                let (state, upstream_id) = (AttemptState::Done, upstream_id.clone());
                let mut done =
                    Attempt { state, holds_sim: false, upstream_id, heard_at, ..attempt };
                done.hear(now, &said);
                tx.update_attempt(&order, &done, old).await?;
                freed.push(key.clone());
            }
            order.queue_no = Some(plan.queue_no);
            order.upstream_id = upstream_id;
            #[cfg(feature = "failpoints")]
            let kept = !crate::failpoints::loses_plan();
            #[cfg(not(feature = "failpoints"))]
            let kept = true;
            if kept {
                plans.push((key, order.id, plan));
            }
            let state = started(order.state.clone())?.on(OrderEvent::Provisioned { at })?;
            changes.push(OrderChange { order, state });
        }
        tx.update_orders(&mut changes).await?;
        let rows: Vec<_> = plans.iter().map(|(key, order, plan)| (key, *order, plan)).collect();
        tx.insert_sim_plans(&rows).await?;
        tx.insert_jobs(&turns, now).await?;
        self.tell_delivered(tx, &mut partners, (&changes, &plans)).await?;
        let renewing = tx.renewing_sims(&keys).await?;
        for OrderChange { order, .. } in &changes {
            if order.auto_renewal || renewing.contains(&sim_of(order)) {
                let known = partners.of(self, tx, order).await?;
                self.keep_renewal(tx, order, &known.partner.zone).await?;
            }
        }
        let jobs: Vec<&Job> = batch.iter().filter_map(|delivery| delivery.job.as_ref()).collect();
        tx.finish_jobs(&jobs).await?;
        for (mode, partner, iccid) in &freed {
            // Its next order was waiting for this one.
            tx.hasten_next_of_sim((*mode, *partner, iccid), now).await?;
        }
        Ok(!freed.is_empty())
    }

    /// Tells partners that want to know of orders whose plans are on their SIMs.
    async fn tell_delivered(
        &self,
        tx: &mut Tx,
        partners: &mut Partners,
        (changes, plans): (&[OrderChange], &[(SimKey, OrderId, QueuedPlan)]),
    ) -> Result<()> {
        let event_type = EventType::RechargeSuccess;
        let mut wanted = Vec::new();
        for OrderChange { order, .. } in changes {
            let known = partners.of(self, tx, order).await?;
            if known.is_told(event_type) {
                wanted.push((order, known));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let orders: Vec<&Order> = wanted.iter().map(|(order, _)| *order).collect();
        let mut payments = tx.payments_of_orders(&orders).await?;
        let times: HashMap<OrderId, _> =
            plans.iter().map(|(_, order, plan)| (*order, plan.state.times())).collect();
        let (mut names, mut told) = (PlanNames::default(), Vec::with_capacity(wanted.len()));
        for (order, known) in wanted {
            let missing = || Error::Internal(format!("{} has no payment", order.id));
            let payment = payments.remove(&order.id).ok_or_else(missing)?;
            let reader = (order.mode, known.partner.locale);
            let name = names.shown(tx, reader, &order.plan_code, &order.show_name).await?;
            let times = times.get(&order.id).copied().flatten();
            let data = with(&rendered(order.clone(), payment, name, times), &[])?;
            let (subject, at) = (order.id.to_string(), self.now(order.mode));
            told.push((known, Told { event_type, subject, at, data, whom: Whom::All }));
        }
        self.tell_all(tx, told).await?;
        Ok(())
    }

    /// Makes the agreement that an order asks for, and notes when the SIM's is due next.
    async fn keep_renewal(&self, tx: &mut Tx, order: &Order, zone: &Zone) -> Result<()> {
        self.agree_renewal(tx, order).await?;
        let (mode, partner) = (order.mode, order.partner_id);
        let queue = tx.sim_queue(mode, partner, &order.iccid).await?;
        let queue: Vec<QueuedPlan> = queue.plans.into_iter().map(|plan| plan.queued).collect();
        match schedule(&queue, zone).last() {
            Some((_, _, end)) => self.schedule_renewal(tx, &sim_of(order), *end).await,
            None => Ok(()),
        }
    }
}

fn sim_of(order: &Order) -> SimKey {
    (order.mode, order.partner_id, order.iccid.clone())
}

impl Mall {
    /// The plan of an order at its place in the SIM's queue, which is turned to now, and when somebody must look at
    /// the queue again if that is news.
    async fn place(
        &self,
        tx: &mut Tx,
        order: &Order,
        book: &mut SimBook,
        (now, zone): (Timestamp, &Zone),
    ) -> Result<(QueuedPlan, Option<Timestamp>)> {
        let mut plan = QueuedPlan {
            queue_no: book.last_queue_no + 1,
            added_at: now,
            length: order.length,
            counted_from: None,
            state: SimPlanState::Waiting,
        };
        book.last_queue_no = plan.queue_no;
        if let Some(end) = book.runs_until.filter(|end| *end > now) {
            return Ok((plan, (end < now + NEAR_END).then_some(end)));
        }
        let (mode, partner) = (order.mode, order.partner_id);
        let SimQueue { plans: before, free_since } = if book.has_plans {
            tx.sim_queue(mode, partner, &order.iccid).await?
        } else {
            SimQueue { plans: Vec::new(), free_since: book.free_since }
        };
        if order.auto_renewal && order.length.calendar {
            plan.counted_from = row_to_go_on_with(tx, order, before.last()).await?;
        }
        book.has_plans = true;
        let mut queue: Vec<QueuedPlan> = before.iter().map(|plan| plan.queued.clone()).collect();
        queue.push(plan.clone());
        advance(&mut queue, free_since, now, zone);
        self.write_changes(tx, &sim_of(order), &before, &queue).await?;
        book.runs_until = end_of_use(&queue);
        let turn_at = next_turn(&queue, now);
        Ok((queue.pop().unwrap_or(plan), turn_at))
    }
}

/// From when the plan before an auto-renewal's is counted: a charge takes its time, and the plan that it pays for ends
/// when the next charge is due all the same.
async fn row_to_go_on_with(
    tx: &mut Tx,
    order: &Order,
    before: Option<&SimPlan>,
) -> Result<Option<Timestamp>> {
    if renewed_by(tx, order).await?.is_none() {
        return Ok(None);
    }
    let last = match before {
        Some(before) => Some(before.clone()),
        None => tx.last_finished_plan(&sim_of(order)).await?,
    };
    let last = last.filter(|last| last.queued.length.counts_like(order.length));
    Ok(last.and_then(|last| last.queued.counted_from))
}

/// The partners of a batch, each looked at once.
#[derive(Default)]
struct Partners(HashMap<(Mode, PartnerId), Arc<Known>>);

impl Partners {
    async fn of(&mut self, mall: &Mall, tx: &mut Tx, order: &Order) -> Result<Arc<Known>> {
        let key = (order.mode, order.partner_id);
        if let Some(known) = self.0.get(&key) {
            return Ok(Arc::clone(known));
        }
        let known = mall.partner_by_id(tx, key.0, key.1).await?;
        let known = known.ok_or_else(|| Error::Internal(format!("{} has no partner", order.id)))?;
        self.0.insert(key, Arc::clone(&known));
        Ok(known)
    }
}
