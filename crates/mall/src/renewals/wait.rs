//! The job that waits for the next order of an auto-renewal. What the partner is paid for comes when the partner sends
//! it: where it does not come in time, that is said, and nothing is invented.

use domain::renewal::{Renewal, RenewalState};
use domain::sim_plan::{QueuedPlan, schedule};
use domain::{Mode, Span, Timestamp, Zone};
use store::{Job, JobKind, NewJob, SimKey, Tx};

use super::agreement::renewed_by;
use crate::Mall;
use crate::error::{Error, Result};
use crate::provision::order_of;
use crate::worker::Next;

/// How many periods in a row are missed before nothing more is waited for, until one comes.
pub(crate) const MISSES_MAX: u32 = 12;
/// How long an order that came and has no plan yet is waited for at a time.
const ON_ITS_WAY_PAUSE: Span = Span::minutes(60);
/// How many orders that are on their way to a SIM are looked at.
const ON_ITS_WAY_MAX: i64 = 20;

/// How many agreements that nobody waits for are read at once.
const PART: i64 = 500;

/// When a period is due, and the one after it.
struct Periods {
    length: domain::package::PlanLength,
    /// From when the calendar's units of the last plan are counted.
    first: Option<Timestamp>,
    zone: Zone,
}

impl Periods {
    fn after(&self, due: Timestamp) -> Timestamp {
        let in_row = self
            .first
            .and_then(|first| self.length.end_in_row((first, due), Span::seconds(0), &self.zone));
        in_row.unwrap_or_else(|| self.length.end(due, &self.zone))
    }
}

impl Mall {
    /// Lets somebody wait for agreements that nobody waits for: those that were made before anybody did.
    pub(crate) async fn await_all_renewals(&self, mode: Mode) -> Result<u64> {
        let mut added = 0;
        loop {
            let found = self.store.read().await?.unawaited_renewals(mode, PART).await?;
            let is_last = i64::try_from(found.len()) != Ok(PART);
            let mut tx = self.store.begin().await?;
            let mut news = 0;
            for (partner_id, order_id, due) in found {
                let (kind, subject) = (JobKind::AwaitRenewal, order_id.to_string());
                let run_at = self.real(mode, due + self.settings.renewal_grace);
                let trace = crate::trace::text();
                let job =
                    NewJob { mode, partner_id, kind, subject, trace, run_at, claimed_at: None };
                news += u64::from(tx.add_missing_job(&job, self.ctx.now()).await?);
            }
            tx.commit().await?;
            added += news;
            if is_last || news == 0 {
                return Ok(added);
            }
        }
    }

    /// The job `await_renewal`.
    pub(crate) async fn await_renewal(&self, job: &Job) -> Result<Next> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let first = order_of(&mut tx, job).await?;
            let whose = (job.mode, job.partner_id);
            let renewal = tx.renewal_by_order(whose.0, whose.1, first.id).await?;
            let renewal = renewal.filter(|renewal| renewal.state == RenewalState::Active);
            let Some((mut renewal, mut due)) =
                renewal.and_then(|renewal| renewal.next_at.map(|due| (renewal, due)))
            else {
                // It has ended, or nothing more is waited for.
                tx.finish_job(job).await?;
                tx.commit().await?;
                return Ok(Next::Settled);
            };
            let before = renewal.clone();
            let partner = tx.partner(whose.0, whose.1).await?;
            let missing = || Error::Internal(format!("{} has no partner", first.id));
            let zone = partner.ok_or_else(missing)?.zone;
            let (now, grace) = (self.now(job.mode), self.settings.renewal_grace);
            let key: SimKey = (whose.0, whose.1, first.iccid.clone());
            let queue = tx.sim_queue(whose.0, whose.1, &first.iccid).await?;
            let queue: Vec<QueuedPlan> = queue.plans.into_iter().map(|plan| plan.queued).collect();
            // Other plans may have been put on the SIM, or taken off it, since that was written.
            due = schedule(&queue, &zone).last().map_or(due, |(_, _, end)| due.max(*end));
            if due + grace <= now && on_its_way(&mut tx, &key, &renewal).await? {
                let why = "an order for it came, and has no plan yet";
                let run_at = self.real(job.mode, now + ON_ITS_WAY_PAUSE);
                tx.reschedule_job(job, run_at, 0, why).await?;
                tx.commit().await?;
                return Ok(Next::Settled);
            }
            let last = tx.last_finished_plan(&key).await?;
            let first_at = last.and_then(|plan| plan.queued.counted_from);
            let periods = Periods { length: first.length, first: first_at, zone };
            while due + grace <= now && renewal.misses < MISSES_MAX {
                let detail = format!("no order for it came by {}", (due + grace).rfc3339());
                self.renewal_failed(&mut tx, whose, &mut renewal, (due.rfc3339(), detail)).await?;
                tracing::warn!(order_id = %first.id, due = due.rfc3339(), "an auto-renewal did not come");
                due = periods.after(due);
            }
            let waits = renewal.misses < MISSES_MAX;
            renewal.next_at = waits.then_some(due);
            tx.schedule_renewal(whose.0, whose.1, (&before, &renewal)).await?;
            if waits {
                tx.reschedule_job(job, self.real(job.mode, due + grace), 0, "").await?;
            } else {
                tx.finish_job(job).await?;
            }
            tx.commit().await?;
            Ok(Next::Settled)
        })
        .await
    }
}

/// Whether an order came for an agreement whose plan is not on the SIM yet.
async fn on_its_way(tx: &mut Tx, key: &SimKey, renewal: &Renewal) -> Result<bool> {
    for order in tx.renewing_orders(key, ON_ITS_WAY_MAX).await? {
        if renewed_by(tx, &order).await?.is_some_and(|renewed| renewed.id == renewal.id) {
            return Ok(true);
        }
    }
    Ok(false)
}
