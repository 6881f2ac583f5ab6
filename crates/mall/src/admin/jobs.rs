//! Jobs, as operators look at them, run them again and drop them.
//!
//! A job is all that stands between a paid order and its plan, or an unpaid one and its end. So a
//! job can be dropped only when there is nothing left for it to do; what hangs is run again
//! instead.

use domain::id::{JobId, OrderId};
use domain::order::OrderState;
use domain::{Iccid, Mode};
use serde_json::Value;
use store::{JobFilter, JobKind, JobRecord, Tx};
use wire::admin::job::Job;
use wire::admin::{List, Problem};

use super::{Change, Operator, Page, filtered, json, text};
use crate::Mall;
use crate::error::Result;

/// Which jobs are wanted, as a request says it.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Of the partner with this code.
    pub partner: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this state.
    pub state: Option<String>,
}

/// A job as an operator sees it.
pub(crate) fn shown(mode: Mode, job: &JobRecord) -> Job {
    Job {
        mode: mode.as_str().to_owned(),
        partner: job.partner.clone(),
        job_id: job.id.to_string(),
        kind: job.kind.clone(),
        subject: job.subject.clone(),
        state: job.state.clone(),
        run_at: text(job.run_at),
        failures: job.failures,
        last_error: job.last_error.clone(),
        first_run_at: job.first_run_at.map(text),
        created_at: text(job.created_at),
    }
}

/// A job's place in the list: the dead ones by partner and id, then the others as they fall due.
fn place(job: &JobRecord) -> String {
    match job.state.as_str() {
        "dead" => format!("dead {} {}", job.partner_id, job.id),
        _ => format!("ready {} {}", job.run_at.as_micros(), job.id),
    }
}

/// What is read back from a cursor: among the dead after this one, or among the ready after that
/// one.
enum Begin<'a> {
    Dead(&'a str, &'a str),
    Ready(i64, &'a str),
}

fn begin(after: &str) -> Result<Begin<'_>> {
    let wrong = || Problem::field("cursor", "not one that this list gave");
    let words: Vec<&str> = after.split(' ').collect();
    match words.as_slice() {
        [""] => Ok(Begin::Dead("", "")),
        ["dead", partner, job] => Ok(Begin::Dead(partner, job)),
        ["ready", run_at, job] => Ok(Begin::Ready(run_at.parse().map_err(|_| wrong())?, job)),
        _ => Err(wrong().into()),
    }
}

/// Why a job cannot be dropped, if it cannot.
async fn still_needed(tx: &mut Tx, mode: Mode, job: &JobRecord) -> Result<Option<String>> {
    let whose = (mode, job.partner_id);
    let order = match (job.kind.parse(), job.subject.parse::<OrderId>()) {
        (Ok(JobKind::Provision | JobKind::CloseOrder), Ok(id)) => {
            tx.order(mode, job.partner_id, id).await?
        }
        _ => None,
    };
    Ok(match job.kind.parse() {
        Ok(JobKind::Provision) => order.and_then(|order| {
            let open = matches!(
                order.state,
                OrderState::Paid { .. } | OrderState::Provisioning { .. }
            );
            let state = order.state.name();
            open.then(|| format!(
                "the order {} is {state}, and this job is what brings its plan: retry the job, or \
                 wait until the order goes to REVIEW or FAILED", order.id
            ))
        }),
        Ok(
            JobKind::FollowPayment
            | JobKind::Refund
            | JobKind::StrayPayment
            | JobKind::FollowSubscription,
        ) => Some(
            "this job asks the cashier what became of an end user's money: retry it, or wait until \
             that is known"
                .to_owned(),
        ),
        Ok(JobKind::AwaitRenewal) => Some(
            "this job says so when an auto-renewal does not come: cancel the auto-renewal, and it \
             ends by itself"
                .to_owned(),
        ),
        Ok(JobKind::CloseOrder) => order.and_then(|order| {
            let open = matches!(order.state, OrderState::AwaitingPayment { .. });
            open.then(|| format!(
                "the order {} waits for its payment, and this job is what closes it: retry the job \
                 when the order's time is over", order.id
            ))
        }),
        Ok(JobKind::TurnPlan) => match job.subject.parse::<Iccid>() {
            Ok(iccid) if tx.sim_has_plans(whose, &iccid).await? => Some(
                "a plan runs or waits on the SIM, and this job is what ends and begins them: retry \
                 the job".to_owned(),
            ),
            _ => None,
        },
        // It is asked again whenever somebody wants to know.
        // Nor has a person who saw to it at the carrier anything to retry.
        Ok(JobKind::LookAtSim | JobKind::RevokePlan) => None,
        Ok(JobKind::Import) => Some(
            "it validates and applies an import, and deletes it when it is old: retry the job"
                .to_owned(),
        ),
        Ok(JobKind::GroupChunk) => Some(
            "it adds SIMs to a group or removes them, and says what came of each: retry the job, or \
             cancel its operation"
                .to_owned(),
        ),
        Ok(JobKind::TurnGroup | JobKind::WatchGroup) => Some(
            "a group's bundle ends and its usage is told by this job: retry the job".to_owned(),
        ),
        Err(_) => Some("this node does not know such jobs; ask a newer one".to_owned()),
    })
}

async fn job_of(tx: &mut Tx, mode: Mode, id: &str) -> Result<JobRecord> {
    let unknown = || Problem::not_found("job");
    let id: JobId = id.parse().map_err(|_| unknown())?;
    Ok(tx.find_job(mode, id).await?.ok_or_else(unknown)?)
}

impl Mall {
    /// Jobs: the dead ones first, then the others as they fall due.
    pub async fn list_jobs(&self, mode: Mode, query: JobQuery, page: &Page) -> Result<List<Job>> {
        let mut tx = self.store.read().await?;
        let partner_id = filtered(&mut tx, mode, query.partner.as_deref()).await?;
        let filter =
            JobFilter { mode, partner_id, kind: query.kind.as_deref().unwrap_or_default() };
        let state = query.state.as_deref();
        let (limit, mut jobs) = (page.limit_and_one(), Vec::new());
        let mut ready_after = (i64::MIN, "");
        match begin(&page.after)? {
            Begin::Dead(partner, job) if state != Some("ready") => {
                jobs = tx.dead_jobs(filter, (partner, job), limit).await?;
            }
            Begin::Dead(..) => {}
            Begin::Ready(run_at, job) => ready_after = (run_at, job),
        }
        let missing = limit - i64::try_from(jobs.len()).unwrap_or(limit);
        if state != Some("dead") && missing > 0 {
            jobs.extend(tx.ready_jobs(filter, ready_after, missing).await?);
        }
        Ok(page.list(jobs, place, |job| shown(mode, &job)))
    }

    /// A job.
    pub async fn show_job(&self, mode: Mode, id: &str) -> Result<Job> {
        let mut tx = self.store.read().await?;
        Ok(shown(mode, &job_of(&mut tx, mode, id).await?))
    }

    /// Runs a job now, as if it had never failed. Whoever runs it at this moment loses it.
    pub async fn retry_job(&self, by: &Operator, mode: Mode, id: &str) -> Result<Job> {
        let after = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let before = job_of(&mut tx, mode, id).await?;
                tx.retry_job(mode, &before, self.ctx.now()).await?;
                let after = shown(mode, &job_of(&mut tx, mode, id).await?);
                let change = Change {
                    action: "job.retry",
                    mode: Some(mode),
                    object: format!("jobs/{id}"),
                    before: json(&shown(mode, &before)),
                    after: json(&after),
                };
                self.record(&mut tx, by, change).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await?;
        self.bell.notify_one();
        Ok(after)
    }

    /// Drops a job that has nothing left to do.
    pub async fn cancel_job(&self, by: &Operator, mode: Mode, id: &str) -> Result<()> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let job = job_of(&mut tx, mode, id).await?;
            if let Some(why) = still_needed(&mut tx, mode, &job).await? {
                return Err(Problem::conflict("JOB_NEEDED", why).into());
            }
            tx.cancel_job(mode, &job).await?;
            let change = Change {
                action: "job.cancel",
                mode: Some(mode),
                object: format!("jobs/{id}"),
                before: json(&shown(mode, &job)),
                after: Value::Null,
            };
            self.record(&mut tx, by, change).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}
