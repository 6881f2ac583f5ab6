//! Jobs of groups that were given up or are missing: the reconciler puts them back, so that every operation ends and every
//! bundle's time is kept.

use domain::group::{Group, GroupState, Operation};
use domain::{Mode, Span};
use store::{JobKind, NewJob};

use super::accept::{LANES, chunk_job};
use super::bundle::group_job;
use crate::Mall;
use crate::error::Result;

/// What a job of groups can be.
const KINDS: [JobKind; 3] = [JobKind::GroupChunk, JobKind::TurnGroup, JobKind::WatchGroup];
/// How soon a job is tried again that was given up.
const REVIVED_PAUSE: Span = Span::minutes(1);
/// So many operations and groups are read at once.
const PART: i64 = 500;

impl Mall {
    /// Revives jobs of groups that were given up: while an operation is open or a group has a period, somebody waits.
    pub(crate) async fn revive_group_jobs(&self) -> Result<u64> {
        let mut revived = 0;
        for kind in KINDS {
            for job in self.store.jobs_given_up(kind).await? {
                let new = NewJob {
                    mode: job.mode,
                    partner_id: job.partner_id,
                    kind,
                    subject: job.subject,
                    trace: String::new(),
                    run_at: self.ctx.now() + REVIVED_PAUSE,
                    claimed_at: None,
                };
                revived += u64::from(self.put_back_job(&new).await?);
            }
        }
        Ok(revived)
    }

    /// Goes by all open operations and all groups of a mode, and adds the jobs that they lack.
    pub(crate) async fn add_missing_group_jobs(&self, mode: Mode) -> Result<u64> {
        let (mut added, mut after) = (0, String::new());
        loop {
            let open = self.store.read().await?.open_operations(mode, &after, PART).await?;
            for operation in &open {
                added += self.add_missing_parts(operation).await?;
            }
            let Some(last) = open.last().filter(|_| i64::try_from(open.len()) == Ok(PART)) else {
                break;
            };
            after = last.id.to_string();
        }
        let mut after = (String::new(), String::new());
        loop {
            let from = (after.0.as_str(), after.1.as_str());
            let groups = self.store.read().await?.groups_of_all(mode, from, PART).await?;
            for group in &groups {
                added += self.add_missing_watch(group).await?;
            }
            let Some(last) = groups.last().filter(|_| i64::try_from(groups.len()) == Ok(PART))
            else {
                return Ok(added);
            };
            after = (last.partner_id.to_string(), last.id.clone());
        }
    }

    /// The jobs of an operation's parts that have begun, or may.
    async fn add_missing_parts(&self, operation: &Operation) -> Result<u64> {
        let sizes = self.store.read().await?.chunk_sizes(operation).await?;
        let followed = |no: i64| sizes.iter().any(|size| size.no == no && size.followed);
        let may_run = |no: i64| no <= LANES || followed(no - LANES);
        let mut added = 0;
        for size in sizes.iter().filter(|size| size.open > 0 && may_run(size.no)) {
            let job = chunk_job(operation, size.no, self.ctx.now());
            added += self.add_if_missing(&job).await?;
        }
        Ok(added)
    }

    async fn add_missing_watch(&self, group: &Group) -> Result<u64> {
        let watch = group_job(group, JobKind::WatchGroup, self.ctx.now());
        if group.state == GroupState::Ended {
            let is_over = Self::is_policy_applied(group);
            return if is_over { Ok(0) } else { self.add_if_missing(&watch).await };
        }
        let ends_at = self.real(group.mode, group.period.expire_at);
        let turn = group_job(group, JobKind::TurnGroup, ends_at);
        Ok(self.add_if_missing(&watch).await? + self.add_if_missing(&turn).await?)
    }

    async fn add_if_missing(&self, job: &NewJob) -> Result<u64> {
        let (whose, id) = ((job.mode, job.partner_id), job.kind.job_id(&job.subject));
        if self.store.read().await?.job_record(whose, id).await?.is_some() {
            return Ok(0);
        }
        tracing::error!(subject = job.subject, kind = job.kind.as_str(), "a group lacked a job");
        Ok(u64::from(self.put_back_job(job).await?))
    }

    async fn put_back_job(&self, job: &NewJob) -> Result<bool> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let is_back = tx.add_or_revive_job(job, self.ctx.now()).await?;
            tx.commit().await?;
            Ok(is_back)
        })
        .await
    }
}
