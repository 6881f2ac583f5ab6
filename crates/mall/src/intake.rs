//! How paid orders come in at speed: the orders of many clients in one transaction, a few statements for
//! all of them.
//!
//! Only the plain case is taken here: a new order at a price in force, of a SIM that can be sold for,
//! within the credit. Whatever else an order may be, it is not taken, and goes the way in `reports`, which
//! says why. A client is answered after the commit that holds its order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::id::PartnerId;
use domain::ledger::{Account, Posting};
use domain::order::Order;
use domain::payment::Payment;
use domain::{Currency, Mode, Money};
use store::{JobKind, NewJob, SimKey, Versions};

use crate::Mall;
use crate::attempts::Begun;
use crate::error::{Error, Result};
use crate::worker::Handed;

/// A paid order that was checked by what the node remembers.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) order: Order,
    pub(crate) payment: Payment,
    /// What the partner owes for it.
    pub(crate) owed: Money,
    /// The versions of what was remembered.
    pub(crate) versions: Versions,
    /// The job that provisions it.
    job: NewJob,
}

/// Whose credit.
type CreditKey = (&'static str, String, &'static str);

/// What became of a batch.
enum Written {
    /// These orders are in.
    Added(HashSet<String>),
    /// Nothing was written, because the orders of this partner together go over its credit.
    OverCredit(CreditKey),
}

impl Intake {
    fn sim(&self) -> SimKey {
        (self.order.mode, self.order.partner_id, self.order.iccid.clone())
    }

    fn credit_key(&self) -> CreditKey {
        (self.order.mode.as_str(), self.order.partner_id.to_string(), self.owed.currency.code())
    }
}

impl Mall {
    /// Takes a paid order in; `false`: it is not known to be in, and the slower way tells why.
    ///
    /// If a worker is free, the order's job is claimed as it is written and handed over, so that nobody has
    /// to look for it. If this process dies before the job is done, its lease runs out like any other's.
    pub(crate) async fn take_in(
        &self,
        order: Order,
        payment: Payment,
        (owed, versions, has_groups): (Money, Versions, bool),
    ) -> bool {
        let subject = (JobKind::Provision, order.id.to_string());
        let now = self.ctx.now();
        let mut job = self.new_job(&order, subject, now);
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
        if slot.is_some() {
            job.claimed_at = Some(now);
            job.run_at = now + self.settings.lease;
        }
        let (mode, state) = (order.mode, order.state.name());
        let begun = self.begun_at_once(&order, job.run_at);
        // That it has none stands as long as the versions do.
        let begun = begun.map(|begun| Begun { looks_first: has_groups, ..begun });
        let claimed = slot.zip(job.claimed());
        // Counted before it is written, so that no job is ever unseen.
        let counted = InHand::one(&self.jobs_in_hand);
        let intake = Intake { order, payment, owed, versions, job };
        let taken = self.intake.run(intake, |batch| self.take_in_all(batch)).await.unwrap_or(false);
        if !taken {
            return false;
        }
        self.metrics.order_entered(mode, state);
        match claimed {
            Some((slot, job)) => {
                counted.keep();
                // The workers have stopped if nobody takes it: the lease runs out.
                let _ = self.handing.send(Handed { job, begun, slot, part_slot: None });
            }
            None => self.bell.notify_one(),
        }
        true
    }

    async fn take_in_all(&self, mut batch: Vec<Intake>) -> Vec<bool> {
        let places: Vec<String> = batch.iter().map(|intake| intake.order.id.to_string()).collect();
        // Two nodes that take in equal orders lock them in the same order.
        batch.sort_by(|one, other| one.order.order_no.cmp(&other.order.order_no));
        let mut over = BTreeSet::new();
        let added = loop {
            match self.write_intake(&batch, &over).await {
                Ok(Written::Added(added)) => break added,
                Ok(Written::OverCredit(partner)) => {
                    over.insert(partner);
                }
                Err(error) => {
                    tracing::debug!(%error, "a batch of orders is taken one by one");
                    break HashSet::new();
                }
            }
        };
        places.iter().map(|id| added.contains(id)).collect()
    }

    async fn write_intake(&self, batch: &[Intake], over: &BTreeSet<CreditKey>) -> Result<Written> {
        let mut tx = self.store.begin().await?;
        let mut versions: HashMap<(Mode, PartnerId), Option<Versions>> = HashMap::new();
        for Intake { order, .. } in batch {
            let key = (order.mode, order.partner_id);
            if let std::collections::hash_map::Entry::Vacant(unseen) = versions.entry(key) {
                unseen.insert(tx.versions_by_id(key.0, key.1).await?);
            }
        }
        let keys: Vec<SimKey> = batch.iter().map(Intake::sim).collect();
        let sims = tx.sims(&keys.iter().collect::<Vec<_>>()).await?;
        let fits = |intake: &&Intake| {
            let order = &intake.order;
            let stands =
                versions.get(&(order.mode, order.partner_id)) == Some(&Some(intake.versions));
            let sim = sims.get(&intake.sim());
            let sold = sim.is_some_and(|sim| sim.state.sellable() && sim.carrier == order.carrier);
            stands && sold && !over.contains(&intake.credit_key())
        };
        let fitting: Vec<&Intake> = batch.iter().filter(fits).collect();
        let rows: Vec<_> = fitting.iter().map(|intake| (&intake.order, &intake.payment)).collect();
        let added = tx.insert_orders(&rows).await?;
        let taken = |intake: &&Intake| added.contains(&intake.order.id.to_string());
        let fitting: Vec<&Intake> = fitting.into_iter().filter(taken).collect();
        for (key, (mode, partner, owed)) in sums(&fitting)? {
            if !tx.book_credit(mode, partner, owed).await? {
                return Ok(Written::OverCredit(key));
            }
        }
        let now = self.ctx.now();
        let postings: Vec<_> = fitting
            .iter()
            .map(|intake| (&intake.order, Posting::sale(Account::PartnerReceivable, intake.owed)))
            .collect();
        tx.insert_postings(&postings, now).await?;
        let jobs: Vec<NewJob> = fitting.iter().map(|intake| intake.job.clone()).collect();
        tx.insert_jobs(&jobs, now).await?;
        tx.commit().await?;
        Ok(Written::Added(added))
    }
}

/// A job that is counted while it is being written, and on if it is handed over.
struct InHand<'a>(Option<&'a AtomicUsize>);

impl<'a> InHand<'a> {
    fn one(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Some(count))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// What each partner owes for its orders in all, per currency.
fn sums(batch: &[&Intake]) -> Result<BTreeMap<CreditKey, (Mode, PartnerId, Money)>> {
    let mut sums: BTreeMap<CreditKey, (Mode, PartnerId, Money)> = BTreeMap::new();
    for intake in batch {
        let currency: Currency = intake.owed.currency;
        let none = (intake.order.mode, intake.order.partner_id, Money::new(0, currency));
        let (_, _, sum) = sums.entry(intake.credit_key()).or_insert(none);
        *sum = sum.checked_add(intake.owed).map_err(|why| Error::Internal(why.to_string()))?;
    }
    Ok(sums)
}
