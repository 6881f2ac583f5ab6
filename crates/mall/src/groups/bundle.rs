//! The bundle of a group: its periods, what each costs, and what becomes true of it.
//!
//! [`Mall::group_event`] is the one place where events of groups become true, and their partner is told.

use domain::group::{AtEnd, Group, GroupState, Period};
use domain::id::PartnerId;
use domain::ledger::{Account, Posting, PostingKind};
use domain::plan::PriceKind;
use domain::{Mode, Money, Timestamp, Zone};
use serde_json::{Value, json};
use store::{GroupEvent, GroupKey, Job, JobKind, NewJob, StoreError, Tx};
use wire::push::EventType;

use super::key;
use crate::Mall;
use crate::error::{Error, Result};
use crate::push_events::{Told, Whom};
use crate::worker::Next;

/// How many periods may have passed that nobody turned.
const PERIODS_MAX: u32 = 1_000;

/// A job about a group.
pub(super) fn group_job(group: &Group, kind: JobKind, run_at: Timestamp) -> NewJob {
    NewJob {
        mode: group.mode,
        partner_id: group.partner_id,
        kind,
        subject: group.id.clone(),
        trace: crate::trace::text(),
        run_at,
        claimed_at: None,
    }
}

/// When a period begins and ends, as events say it.
pub(super) fn times(period: &Period) -> Value {
    json!({
        "effective_at": period.effective_at.as_millis(),
        "expire_at": period.expire_at.as_millis(),
    })
}

/// The reference of a period's charge in the books.
fn charged_as(group: &Group, no: i64) -> String {
    format!("{}/{no}", group.id)
}

impl Mall {
    /// Something became true of a group, in the transaction that makes it so. If it is news, the partner is told: `data`
    /// and the group's id.
    pub(crate) async fn group_event(
        &self,
        tx: &mut Tx,
        key: GroupKey<'_>,
        (event_type, subject): (EventType, String),
        (detail, mut data): (String, Value),
    ) -> Result<()> {
        let (mode, partner, group) = key;
        let (kind, at) = (event_type.as_str().to_owned(), self.now(mode));
        let event = GroupEvent { kind, subject, detail, at };
        if !tx.add_group_event(key, &event).await? {
            return Ok(());
        }
        let Some(known) = self.listening(tx, (mode, partner), event_type).await? else {
            return Ok(());
        };
        data["group_id"] = json!(group);
        let (subject, whom) = (group.to_owned(), Whom::All);
        let told = Told { event_type, subject, at, data, whom };
        self.tell_all(tx, vec![(known, told)]).await?;
        Ok(())
    }

    /// The job `turn_group`: ends the period that is over, and begins the next where the bundle says so.
    pub(crate) async fn turn_group(&self, job: &Job) -> Result<Next> {
        let turned = self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let whose = (job.mode, job.partner_id, job.subject.as_str());
            tx.hold_group(whose).await?;
            let Some(mut group) = tx.group(whose).await? else {
                tx.finish_job(job).await?;
                tx.commit().await?;
                return Ok(false);
            };
            let before = group.clone();
            let now = self.now(job.mode);
            for _ in 0..PERIODS_MAX {
                if group.state == GroupState::Ended || group.period.expire_at > now {
                    break;
                }
                let zone = self.zone_of(&mut tx, (job.mode, job.partner_id)).await?;
                let next = group.period.next(group.bundle.length, &zone);
                let why_not = match group.bundle.at_end {
                    AtEnd::Renew => self.renew_bundle(&mut tx, &mut group, next).await?,
                    AtEnd::End => Some("period"),
                };
                if let Some(why) = why_not {
                    self.end_bundle(&mut tx, &mut group, why).await?;
                }
            }
            let changed = group != before;
            if changed {
                tx.update_group(&mut group).await?;
                self.watch_now(&mut tx, &group).await?;
            }
            if group.state == GroupState::Ended {
                tx.finish_job(job).await?;
            } else {
                let run_at = self.real(job.mode, group.period.expire_at);
                tx.reschedule_job(job, run_at, 0, "").await?;
            }
            tx.commit().await?;
            Ok(changed)
        });
        if turned.await? {
            self.bell.notify_one();
        }
        Ok(Next::Settled)
    }

    pub(super) async fn zone_of(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
    ) -> Result<Zone> {
        let known = self.partner_by_id(tx, mode, partner).await?;
        let known = known.ok_or_else(|| Error::Internal("a group has no partner".to_owned()))?;
        Ok(known.partner.zone.clone())
    }

    /// Begins a period, if the partner's credit bears it: its volume is whole, and nothing of it was told. The group is
    /// not written yet.
    pub(super) async fn begin_period(
        &self,
        tx: &mut Tx,
        group: &mut Group,
        period: Period,
    ) -> Result<bool> {
        if !self.charge_period(tx, group, period.no).await? {
            return Ok(false);
        }
        let metered_from = self.real(group.mode, period.effective_at);
        group.metered_from = metered_from.max(group.metered_from);
        group.period = period;
        group.state = GroupState::Active;
        (group.used_bytes, group.used_at, group.told) = (0, None, 0);
        if period.no > 1 {
            let detail = format!(
                "effective_at={} expire_at={}",
                period.effective_at.as_millis(),
                period.expire_at.as_millis()
            );
            let what = (EventType::GroupBundleRenewed, period.no.to_string());
            self.group_event(tx, key(group), what, (detail, times(&period))).await?;
        }
        Ok(true)
    }

    /// Begins the period that follows, or says why not: `credit` does not bear it, or the plan of a bundle that was paid for
    /// has no `price` any more: it does not become free by that.
    pub(super) async fn renew_bundle(
        &self,
        tx: &mut Tx,
        group: &mut Group,
        next: Period,
    ) -> Result<Option<&'static str>> {
        let whose = (group.mode, group.partner_id);
        let reference = charged_as(group, group.period.no);
        if self.unit_price(tx, group).await?.is_none()
            && tx.partner_posting(whose, (PostingKind::Sale, &reference)).await?.is_some()
        {
            return Ok(Some("price"));
        }
        let has_begun = self.begin_period(tx, group, next).await?;
        Ok(if has_begun { None } else { Some("credit") })
    }

    /// The bundle is over; its SIMs stay in the group.
    async fn end_bundle(&self, tx: &mut Tx, group: &mut Group, why: &str) -> Result<()> {
        group.state = GroupState::Ended;
        let what = (EventType::GroupBundleEnded, group.period.no.to_string());
        let mut data = times(&group.period);
        data["reason"] = json!(why);
        self.group_event(tx, key(group), what, (format!("reason={why}"), data)).await
    }

    /// What a unit of the bundle costs its partner now, if it has a price.
    async fn unit_price(&self, tx: &mut Tx, group: &Group) -> Result<Option<Money>> {
        let known = self.partner_by_id(tx, group.mode, group.partner_id).await?;
        let known = known.ok_or_else(|| Error::Internal("a group has no partner".to_owned()))?;
        let now = self.now(group.mode);
        let mut prices = known.prices(&group.bundle.plan_code, (now, now));
        Ok(prices.find(|(kind, _)| *kind == PriceKind::Settlement).map(|(_, unit)| unit))
    }

    /// Charges the partner for a period, once, where the bundle's plan has a settlement price; `false`, and nothing is
    /// booked, if its credit does not bear it.
    async fn charge_period(&self, tx: &mut Tx, group: &Group, no: i64) -> Result<bool> {
        let (whose, now) = ((group.mode, group.partner_id), self.now(group.mode));
        let Some(unit) = self.unit_price(tx, group).await? else { return Ok(true) };
        let owed = unit.checked_mul(group.bundle.length.periods);
        let owed = owed.map_err(|error| Error::Internal(format!("{}: {error}", group.id)))?;
        let reference = charged_as(group, no);
        if tx.partner_posting(whose, (PostingKind::Sale, &reference)).await?.is_some() {
            return Ok(true);
        }
        if !tx.book_credit(whose.0, whose.1, owed).await? {
            return Ok(false);
        }
        let posting = Posting::sale(Account::PartnerReceivable, owed);
        if !tx.insert_partner_posting(whose, (posting, &reference), now).await? {
            return Err(StoreError::Changed("the charge of a period").into());
        }
        Ok(true)
    }

    /// Lets the group's carrier be told what to do with its data, and be asked how much was used.
    pub(super) async fn watch_now(&self, tx: &mut Tx, group: &Group) -> Result<()> {
        let now = self.ctx.now();
        Ok(tx.insert_job(&group_job(group, JobKind::WatchGroup, now), now).await?)
    }

    /// Whether the carrier does with a group's data what it should.
    pub(super) fn is_policy_applied(group: &Group) -> bool {
        group.carrier_policy == Some(group.wanted_policy())
    }
}
