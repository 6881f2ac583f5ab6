//! The job `watch_group`: how much of its volume a group used, what is told of that, and what its carrier is to do with its
//! data. It asks at the pace that carriers allow.

use std::sync::Arc;

use carriers::{Carrier, ControlError, Feature};
use domain::group::{AtLimit, CarrierPolicy, Group, GroupState, Period};
use domain::package::Volume;
use domain::{Span, Timestamp};
use serde_json::json;
use store::{Job, JobKind, StoreError, Tx};
use tokio::time::timeout;
use wire::push::EventType;

use super::bundle::{group_job, times};
use super::chunk::NO_CARRIER_PAUSE;
use super::key;
use crate::Mall;
use crate::error::Result;
use crate::provision::NO_ANSWER;
use crate::worker::Next;

/// How soon a policy is asked for again that a carrier did not take.
const POLICY_PAUSE: Span = Span::seconds(30);
/// How soon usage is asked for again where it was not told.
const FAILED_PAUSE: Span = Span::minutes(5);
/// The part of the volume, of a hundred, at which it is used up.
const ALL: u32 = 100;

impl Mall {
    /// The job `watch_group`.
    pub(crate) async fn watch_group(&self, job: &Job) -> Result<Next> {
        let whose = (job.mode, job.partner_id, job.subject.as_str());
        let Some(group) = self.store.read().await?.group(whose).await? else {
            return Ok(Next::Done);
        };
        let Some(carrier) = self.carrier(job.mode, &group.bundle.carrier).map(Arc::clone) else {
            let why = "this node does not know the group's carrier".to_owned();
            return Ok(Next::At(self.ctx.now() + NO_CARRIER_PAUSE, why));
        };
        let carrier = &*carrier;
        if !carrier.capabilities().has(Feature::Groups) {
            return Ok(Next::Done);
        }
        let leased_until = self.ctx.now() + self.lease_for(carrier) + self.lease_for(carrier);
        let group = self.begin_watch(job, leased_until).await?;
        if group.carrier_policy.is_none()
            && let Some(next) = self.tell_policy(job, &group, carrier).await?
        {
            return Ok(next);
        }
        if group.state == GroupState::Ended {
            return Ok(Next::Done);
        }
        // Who was in for a while has used something, even if nobody is in now.
        let used = if group.operation_no == 0 {
            None
        } else {
            let asked = carrier.group_usage(&group.bundle.carrier_group, group.metered_from);
            match timeout(self.call_max(carrier).to_std(), asked).await {
                Ok(Ok(usage)) => Some((usage.used, usage.as_of.unwrap_or(self.ctx.now()))),
                Ok(Err(error)) => return Ok(self.not_told(error.message)),
                Err(_) => return Ok(self.not_told(NO_ANSWER.to_owned())),
            }
        };
        self.write_usage(job, &group, (carrier, used)).await
    }

    /// Takes the time for the carrier's answers. Where it is to be told a policy, what it does is unknown from here on,
    /// until its answer is written: nobody may take what it did before for what it does.
    async fn begin_watch(&self, job: &Job, leased_until: Timestamp) -> Result<Group> {
        let whose = (job.mode, job.partner_id, job.subject.as_str());
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            tx.hold_group(whose).await?;
            let group = tx.group(whose).await?;
            let mut group = group.ok_or(StoreError::LeaseLost)?;
            if !Self::is_policy_applied(&group) && group.carrier_policy.is_some() {
                group.carrier_policy = None;
                tx.update_group(&mut group).await?;
            }
            tx.extend_lease(job, leased_until).await?;
            tx.commit().await?;
            Ok(group)
        })
        .await
    }

    fn not_told(&self, why: String) -> Next {
        Next::At(self.ctx.now() + FAILED_PAUSE, why)
    }

    /// Tells the carrier what to do with a group's data; says when again if it did not take it.
    async fn tell_policy(
        &self,
        job: &Job,
        group: &Group,
        carrier: &dyn Carrier,
    ) -> Result<Option<Next>> {
        let policy = group.wanted_policy();
        let told = carrier.apply_group_policy(&group.bundle.carrier_group, policy);
        let told = timeout(self.call_max(carrier).to_std(), told).await;
        let later = |why: String, pause: Span| {
            Ok(Some(Next::At(self.ctx.now() + pause.max(POLICY_PAUSE), why)))
        };
        match told {
            Ok(Ok(_)) => {}
            // It has no means: what is used beyond the volume is seen, and that is all.
            Ok(Err(ControlError::Unsupported)) => {
                let (group, policy) = (&group.id, policy.as_str());
                tracing::warn!(group, policy, "the carrier has no means to apply a group's policy");
            }
            Ok(Err(ControlError::RetryLater { after, message })) => return later(message, after),
            Ok(Err(ControlError::Unclear { message })) => return later(message, POLICY_PAUSE),
            Ok(Err(ControlError::Refused { code, message })) => {
                tracing::error!(group = group.id, code, "a carrier refuses a group's policy");
                return later(format!("{code}: {message}"), FAILED_PAUSE);
            }
            Err(_) => return later(NO_ANSWER.to_owned(), POLICY_PAUSE),
        }
        self.note_policy(job, group, policy).await?;
        Ok(None)
    }

    /// Writes the policy that a carrier took, for whoever still has the job: one who lost it has been followed by another
    /// who asks anew.
    async fn note_policy(&self, job: &Job, group: &Group, policy: CarrierPolicy) -> Result<()> {
        let leased_until = self.ctx.now() + self.settings.lease;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            tx.hold_group(key(group)).await?;
            if let Some(mut now) = tx.group(key(group)).await? {
                now.carrier_policy = Some(policy);
                tx.update_group(&mut now).await?;
            }
            tx.extend_lease(job, leased_until).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Writes what was used, tells of it, and does what the bundle says where all is used.
    async fn write_usage(
        &self,
        job: &Job,
        asked: &Group,
        (carrier, used): (&dyn Carrier, Option<(u64, Timestamp)>),
    ) -> Result<Next> {
        let pace = self.settings.usage_age_max.max(carrier.capabilities().fresh_for);
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            // The group's row first, always: pushes that become due take others.
            tx.hold_group(key(asked)).await?;
            let Some(mut group) = tx.group(key(asked)).await? else {
                return Err(StoreError::LeaseLost.into());
            };
            let before = group.clone();
            // What was counted of a period that is over says nothing of the one that runs.
            if let (Some((bytes, at)), true) = (used, group.period.no == asked.period.no) {
                group.used_bytes = group.used_bytes.max(bytes);
                group.used_at = Some(at);
                self.tell_usage(&mut tx, &mut group).await?;
            }
            if group != before {
                tx.update_group(&mut group).await?;
            }
            let at_once = !Self::is_policy_applied(&group);
            let at = self.ctx.now() + if at_once { Span::micros(0) } else { pace };
            tx.reschedule_job(job, at, 0, "").await?;
            tx.commit().await?;
            if at_once {
                self.bell.notify_one();
            }
            Ok(Next::Settled)
        })
        .await
    }

    async fn tell_usage(&self, tx: &mut Tx, group: &mut Group) -> Result<()> {
        let (no, untold) = (group.period.no, group.untold().collect::<Vec<u32>>());
        for part in untold {
            let volume = match group.bundle.volume {
                Volume::Bytes(bytes) => json!(bytes),
                Volume::Unlimited => json!(-1),
            };
            let detail = format!("percent={part} used={} volume={volume}", group.used_bytes);
            let what = (EventType::GroupUsage, format!("{no}/{part}"));
            let mut data = times(&group.period);
            data["percent"] = json!(part);
            (data["used_volume"], data["data_volume"]) = (json!(group.used_bytes), volume);
            self.group_event(tx, key(group), what, (detail, data)).await?;
            group.told = part;
            if part == ALL {
                self.use_up(tx, group).await?;
            }
        }
        Ok(())
    }

    /// All of the volume is used: the bundle's policy says what then.
    async fn use_up(&self, tx: &mut Tx, group: &mut Group) -> Result<()> {
        match group.bundle.at_limit {
            AtLimit::Stop => group.state = GroupState::Stopped,
            AtLimit::Throttle => group.state = GroupState::Throttled,
            AtLimit::Renew => {
                let now = self.now(group.mode);
                let zone = self.zone_of(tx, (group.mode, group.partner_id)).await?;
                let next = Period::begin(group.period.no + 1, now, group.bundle.length, &zone);
                if self.renew_bundle(tx, group, next).await?.is_none() {
                    let run_at = self.real(group.mode, next.expire_at);
                    let job = group_job(group, JobKind::TurnGroup, run_at);
                    tx.insert_job(&job, self.ctx.now()).await?;
                } else {
                    group.state = GroupState::Stopped;
                }
            }
        }
        Ok(())
    }
}
