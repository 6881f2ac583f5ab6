//! Taking operations in, exactly once: a repeat under the caller's key, or an equal one within some seconds, is the same
//! operation. Retrying what failed, and cancelling what has not begun.

use std::collections::HashSet;

use domain::group::{Group, Item, ItemCounts, ItemState, Operation, OperationKind, OperationState};
use domain::id::GroupOperationId;
use domain::partner::Partner;
use domain::{Iccid, Span, Timestamp};
use sha2::{Digest, Sha256};
use store::{Chunk, JobKind, NewJob, Tx};
use wire::Code;

use super::{ChangeSims, Changed, RESULT_DAYS, SIMS_MAX, key};
use crate::error::{Error, Refusal, Result};
use crate::{Caller, Mall};

/// How many SIMs are a part.
pub(super) const CHUNK_SIMS: usize = 250;
/// How many parts of an operation are worked on at a time.
pub(super) const LANES: i64 = 4;
/// Within which time an equal request without a key is the same one.
const SAME_WITHIN: Span = Span::seconds(10);
/// The field about which a request with a key that is taken is refused.
const KEY_FIELD: &str = "Idempotency-Key";

/// What is to be taken in.
struct Wanted<'a> {
    partner: &'a Partner,
    group_id: &'a str,
    kind: OperationKind,
    iccids: Vec<Iccid>,
    key: Option<&'a str>,
    retry_of: Option<GroupOperationId>,
}

impl Wanted<'_> {
    /// What it is about, reduced so that the order of its SIMs does not matter. Trying again what failed is another thing
    /// than asking for the same SIMs anew: it is about the operation.
    fn hash(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(self.kind.as_str());
        hash.update([0]);
        hash.update(self.group_id);
        if let Some(id) = self.retry_of {
            hash.update([1]);
            hash.update(id.to_string());
            return hash.finalize().to_vec();
        }
        let mut iccids: Vec<&str> = self.iccids.iter().map(Iccid::as_str).collect();
        iccids.sort_unstable();
        for iccid in iccids {
            hash.update([0]);
            hash.update(iccid);
        }
        hash.finalize().to_vec()
    }
}

/// Each SIM once, where it was named first.
fn folded(iccids: &[Iccid]) -> Vec<Iccid> {
    let mut seen = HashSet::with_capacity(iccids.len());
    iccids.iter().filter(|iccid| seen.insert(*iccid)).cloned().collect()
}

/// The job of a part.
pub(super) fn chunk_job(operation: &Operation, no: i64, run_at: Timestamp) -> NewJob {
    NewJob {
        mode: operation.mode,
        partner_id: operation.partner_id,
        kind: JobKind::GroupChunk,
        subject: format!("{} {no}", operation.id),
        trace: operation.trace.clone(),
        run_at,
        claimed_at: None,
    }
}

/// How many parts an operation has.
pub(super) fn chunk_count(operation: &Operation) -> i64 {
    let size = i64::try_from(CHUNK_SIMS).unwrap_or(i64::MAX);
    (operation.counts.total + size - 1) / size
}

/// Whether what came of an operation is kept no longer, even if nobody deleted it yet.
fn is_old(operation: &Operation, now: Timestamp) -> bool {
    let is_over = operation.finished_at.is_some();
    is_over && now.since(operation.created_at) > Span::days(RESULT_DAYS)
}

impl Mall {
    /// Adds SIMs to a group or removes them: takes it in, or tells what would come of it.
    pub async fn change_group_sims(&self, caller: &Caller, wish: &ChangeSims) -> Result<Changed> {
        let wanted = Wanted {
            partner: &caller.partner,
            group_id: &wish.group_id,
            kind: wish.kind,
            iccids: folded(&wish.iccids),
            key: wish.idempotency_key.as_deref().filter(|key| !key.is_empty()),
            retry_of: None,
        };
        if wanted.iccids.is_empty() || wanted.iccids.len() > SIMS_MAX {
            return Err(Error::Internal("an operation's number of SIMs is not checked".to_owned()));
        }
        if wish.dry_run {
            let whose = (caller.partner.mode, caller.partner.id, wish.group_id.as_str());
            return Ok(Changed::DryRun(self.foretell(whose, wish.kind, &wanted.iccids).await?));
        }
        Ok(Changed::Accepted(Box::new(self.take_in_operation(&wanted).await?)))
    }

    /// Tries again what failed of an operation or was not begun. Where nothing did, that operation is the answer; one that
    /// still runs cannot be retried.
    pub async fn retry_failed_group_sims(
        &self,
        caller: &Caller,
        request_id: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Operation> {
        let partner = &*caller.partner;
        let mut tx = self.store.read().await?;
        let operation = self.known_operation(&mut tx, partner, request_id).await?;
        if !operation.state.is_final() {
            return Err(Refusal::about(Code::OrderConflict, "request_id").into());
        }
        let mut iccids = Vec::new();
        for size in tx.chunk_sizes(&operation).await?.into_iter().filter(|size| size.failed > 0) {
            let chunk = tx.chunk((partner.mode, partner.id), (operation.id, size.no)).await?;
            let again =
                |item: &Item| matches!(item.state, ItemState::Failed | ItemState::Cancelled);
            let items = chunk.map(|chunk| chunk.items).unwrap_or_default();
            iccids.extend(items.into_iter().filter(again).map(|item| item.iccid));
        }
        drop(tx);
        if iccids.is_empty() {
            return Ok(operation);
        }
        let wanted = Wanted {
            partner,
            group_id: &operation.group_id,
            kind: operation.kind,
            iccids,
            key: idempotency_key.filter(|key| !key.is_empty()),
            retry_of: Some(operation.id),
        };
        self.take_in_operation(&wanted).await
    }

    /// Lets nothing more begin of an operation. What is at the carrier goes on to its end. Cancelling what has ended changes
    /// nothing.
    pub async fn cancel_group_operation(
        &self,
        caller: &Caller,
        request_id: &str,
    ) -> Result<Operation> {
        let partner = &caller.partner;
        let operation = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let operation = self.known_operation(&mut tx, partner, request_id).await?;
                if tx.cancel_operation(&operation).await? {
                    let jobs =
                        (1..=chunk_count(&operation)).map(|no| self.waiting_job(&operation, no));
                    for job in jobs {
                        // Parts that nobody has begun or that were given up end at once; those that run see it at their next step.
                        tx.add_or_revive_job(&job, self.ctx.now()).await?;
                    }
                }
                let after = self.known_operation(&mut tx, partner, request_id).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await?;
        self.bell.notify_one();
        Ok(operation)
    }

    /// The operation of a request, which is the partner's.
    pub(super) async fn known_operation(
        &self,
        tx: &mut Tx,
        partner: &Partner,
        request_id: &str,
    ) -> Result<Operation> {
        let id = request_id.parse().map_err(|_| Code::RequestUnknown)?;
        let operation = tx.operation((partner.mode, partner.id), id).await?;
        let known = operation.filter(|one| !is_old(one, self.now(partner.mode)));
        known.ok_or_else(|| Code::RequestUnknown.into())
    }

    fn waiting_job(&self, operation: &Operation, no: i64) -> NewJob {
        chunk_job(operation, no, self.ctx.now())
    }

    async fn take_in_operation(&self, wanted: &Wanted<'_>) -> Result<Operation> {
        let hash = wanted.hash();
        let taken = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let whose = (wanted.partner.mode, wanted.partner.id, wanted.group_id);
                let group = tx.group(whose).await?.ok_or(Code::GroupUnknown)?;
                if let Some(same) = self.same_operation(&mut tx, &group, wanted, &hash).await? {
                    return Ok(same);
                }
                let operation = self.new_operation(&group, wanted, &hash);
                tx.next_group_operation(key(&group), group.operation_no).await?;
                let parts = wanted.iccids.chunks(CHUNK_SIMS).zip(1..);
                let part = |(iccids, no): (&[Iccid], i64)| {
                    Chunk::new(no, iccids.iter().cloned().map(Item::new).collect())
                };
                let chunks: Vec<Chunk> = parts.map(part).collect();
                tx.insert_operation(&operation, &chunks).await?;
                let now = self.ctx.now();
                let lanes = chunk_count(&operation).min(LANES);
                let jobs: Vec<NewJob> =
                    (1..=lanes).map(|no| chunk_job(&operation, no, now)).collect();
                tx.insert_jobs(&jobs, now).await?;
                tx.commit().await?;
                Ok(operation)
            })
            .await?;
        self.bell.notify_one();
        Ok(taken)
    }

    /// The operation that a request repeats. Without a key it is the group's newest one or none: whatever came between may
    /// have changed what an equal request means, and whoever cancelled it and asks again means it.
    async fn same_operation(
        &self,
        tx: &mut Tx,
        group: &Group,
        wanted: &Wanted<'_>,
        hash: &[u8],
    ) -> Result<Option<Operation>> {
        if let Some(text) = wanted.key {
            return match tx.operation_by_key((group.mode, group.partner_id), text).await? {
                Some(old) if is_old(&old, self.now(group.mode)) => {
                    tx.delete_operation(&old).await?;
                    Ok(None)
                }
                Some(same) if same.content_hash == hash => Ok(Some(same)),
                Some(_) => Err(Refusal::about(Code::OrderConflict, KEY_FIELD).into()),
                None => Ok(None),
            };
        }
        let newest = tx.newest_operation(key(group)).await?;
        let now = self.ctx.now();
        Ok(newest.filter(|same| {
            let is_same = same.content_hash == hash && !same.cancelled;
            is_same && now.since(same.asked_at) < SAME_WITHIN
        }))
    }

    fn new_operation(&self, group: &Group, wanted: &Wanted<'_>, hash: &[u8]) -> Operation {
        let now = self.now(group.mode);
        let total = i64::try_from(wanted.iccids.len()).unwrap_or(i64::MAX);
        Operation {
            mode: group.mode,
            partner_id: group.partner_id,
            id: self.ctx.id_at(now),
            group_id: group.id.clone(),
            no: group.operation_no + 1,
            kind: wanted.kind,
            state: OperationState::Accepted,
            cancelled: false,
            counts: ItemCounts { total, ..ItemCounts::default() },
            idempotency_key: wanted.key.unwrap_or_default().to_owned(),
            content_hash: hash.to_vec(),
            retry_of: wanted.retry_of,
            trace: crate::trace::text(),
            asked_at: self.ctx.now(),
            created_at: now,
            finished_at: None,
        }
    }
}
