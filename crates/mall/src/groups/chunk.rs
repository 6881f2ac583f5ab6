//! The job `group_chunk`: a part of an operation, step by step.
//!
//! A step takes places for some SIMs, or finds those that an earlier step left at the carrier, and commits that under the
//! job's fence, with the time by which whatever it sends must be over. Only then the carrier is asked (`looks.rs`), and what
//! came of it is written (`write.rs`). Whoever takes over, after a death at any point, finds each SIM where it was left.

use std::collections::HashSet;
use std::sync::Arc;

use carriers::{Carrier, Feature};
use domain::group::{Group, Item, ItemCounts, ItemState, Member, Operation};
use domain::id::GroupOperationId;
use domain::{Iccid, Span, Timestamp};
use store::{Chunk, Job, Tx};

use super::accept::{LANES, chunk_count, chunk_job};
use super::take::Taking;
use crate::Mall;
use crate::error::{Error, Result};
use crate::worker::Next;

/// How many SIMs a step takes: a few milliseconds of the database's time, which is how long an order may wait behind it.
const STEP_SIMS: usize = 50;
/// The same where each is a call over a network; they are made at once.
const STEP_CALLS: usize = 16;
/// How many steps one turn does, so that a stop and other jobs get their turn.
const STEPS_PER_TURN: u32 = 8;
/// How soon a SIM that is busy is looked at again.
pub(super) const BUSY_PAUSE: Span = Span::seconds(2);
/// How long to wait before a node that knows the carrier may have come.
pub(super) const NO_CARRIER_PAUSE: Span = Span::seconds(20);
/// How much longer than its calls a step holds its job.
const LEASE_GRACE: Span = Span::seconds(5);

/// What a turn works on.
pub(super) struct Part<'a> {
    pub(super) job: &'a Job,
    pub(super) id: GroupOperationId,
    pub(super) no: i64,
    /// The carrier that the group had when the turn began.
    pub(super) carrier: &'a str,
}

/// What a step has written down before it asks.
pub(super) struct Prepared {
    pub(super) operation: Operation,
    pub(super) group: Group,
    /// SIMs that are to be asked for.
    pub(super) ask: Vec<Member>,
    /// SIMs that were asked for, of which it is to be seen what became.
    pub(super) look: Vec<Member>,
    /// Until when nobody else has the job.
    pub(super) leased_until: Timestamp,
}

impl Prepared {
    /// How many SIMs the step is about.
    pub(super) fn sims(&self) -> usize {
        self.ask.len() + self.look.len()
    }
}

enum Step {
    Go(Box<Prepared>),
    /// What was judged needed nobody to be asked, and there is more.
    Again,
    /// The job is put off or done, and that is written.
    Settled,
}

fn broken(job: &Job) -> Error {
    Error::Internal(format!("{} names no part of an operation", job.id))
}

impl Mall {
    /// The job `group_chunk`.
    pub(crate) async fn group_chunk(&self, job: &Job) -> Result<Next> {
        let (id, no) = job.subject.split_once(' ').ok_or_else(|| broken(job))?;
        let id: GroupOperationId = id.parse().map_err(|_| broken(job))?;
        let no = no.parse().map_err(|_| broken(job))?;
        let whose = (job.mode, job.partner_id);
        let mut tx = self.store.read().await?;
        // It is gone if its result was kept long enough.
        let Some(operation) = tx.operation(whose, id).await? else { return Ok(Next::Done) };
        let group = tx.group((whose.0, whose.1, &operation.group_id)).await?;
        let chunk = tx.chunk(whose, (id, no)).await?.ok_or_else(|| broken(job))?;
        let earlier = match chunk.range() {
            Some(range) => tx.undecided_before(&operation, range).await?,
            None => HashSet::new(),
        };
        drop(tx);
        let carrier_code = group.ok_or_else(|| broken(job))?.bundle.carrier;
        let part = Part { job, id, no, carrier: &carrier_code };
        let carrier = self.carrier(job.mode, &carrier_code).map(Arc::clone);
        let outside = carrier.as_ref().is_some_and(|one| !one.capabilities().in_process);
        let _place = match self.carrier_places.get(&carrier_code) {
            Some(places) if outside => {
                // Orders go before: half of the carrier's share of the workers is left to them.
                let left = places.available_permits() * 2 > self.settings.workers / 4;
                let Some(place) = places.try_acquire().ok().filter(|_| left) else {
                    let why = "its carrier has its share of the workers".to_owned();
                    return Ok(Next::At(self.ctx.now() + BUSY_PAUSE, why));
                };
                Some(place)
            }
            _ => None,
        };
        for _ in 0..STEPS_PER_TURN {
            match self.prepare(&part, (carrier.as_ref(), &earlier)).await? {
                Step::Settled => return Ok(Next::Settled),
                Step::Again => {}
                Step::Go(prepared) => {
                    let Some(carrier) = &carrier else { return Err(broken(job)) };
                    let heard = self.ask_and_look(&prepared, carrier).await?;
                    self.write_heard(&part, &prepared, (&**carrier, heard)).await?;
                }
            }
            // Whoever stops the workers waits for the steps that were begun, and for no more of them.
            if self.slots.is_closed() {
                break;
            }
        }
        Ok(Next::At(self.ctx.now(), String::new()))
    }

    /// Takes the next SIMs, in one transaction under the job's fence.
    async fn prepare(
        &self,
        part: &Part<'_>,
        known: (Option<&Arc<dyn Carrier>>, &HashSet<Iccid>),
    ) -> Result<Step> {
        let turn = self.group_turns.take().await;
        let step = self.retry(|| self.prepare_once(part, known)).await?;
        turn.end(if let Step::Go(prepared) = &step { prepared.sims() } else { 0 });
        Ok(step)
    }

    async fn prepare_once(
        &self,
        part: &Part<'_>,
        (carrier, earlier): (Option<&Arc<dyn Carrier>>, &HashSet<Iccid>),
    ) -> Result<Step> {
        let whose = (part.job.mode, part.job.partner_id);
        let mut tx = self.store.begin().await?;
        let now = self.ctx.now();
        let operation = tx.operation(whose, part.id).await?.ok_or_else(|| broken(part.job))?;
        let group = tx.group((whose.0, whose.1, &operation.group_id)).await?;
        let group = group.ok_or_else(|| broken(part.job))?;
        // A group without SIMs may have got another meanwhile.
        let carrier = carrier.filter(|_| group.bundle.carrier == part.carrier);
        let chunk = tx.chunk(whose, (part.id, part.no)).await?;
        let mut chunk = chunk.ok_or_else(|| broken(part.job))?;
        let moved = tx.members_moved(whose, (part.id, part.no)).await?;
        let size = match carrier {
            Some(one) if one.capabilities().in_process => STEP_SIMS,
            _ => STEP_CALLS,
        };
        let sent_until = carrier.map_or(now, |one| now + self.call_max(&**one));
        let mut look: Vec<Member> = Vec::new();
        if carrier.is_some() {
            let due = moved.iter().filter(|member| member.look_at.is_none_or(|at| at <= now));
            look.extend(due.take(size).cloned());
        }
        let mut taking = Taking {
            operation: &operation,
            group: &group,
            can: carrier.map(|one| one.capabilities().has(Feature::Groups)),
            earlier,
            room: size - look.len(),
            waits_max: self.settings.provisioning_deadline,
            sent_until,
            now,
            counts: ItemCounts::default(),
        };
        let ask = taking.take(&mut tx, &mut chunk, &moved).await?;
        let counts = taking.counts;
        for member in &mut look {
            // What may be sent for it is over by then.
            member.look_at = Some(sent_until);
        }
        let rows: Vec<_> = look.iter().map(|member| (member.state, member)).collect();
        tx.update_members(whose, &rows).await?;
        if counts != ItemCounts::default() {
            self.count_items(&mut tx, &operation, counts).await?;
        }
        tx.begin_operation(&operation).await?;
        let is_over = ask.is_empty() && look.is_empty();
        if is_over && !has_more(&chunk, &moved, now) {
            let moved = (moved.as_slice(), carrier.is_some());
            return self.put_off_part(tx, part, (&operation, chunk), moved).await;
        }
        tx.update_chunk(whose, part.id, &mut chunk).await?;
        let call = sent_until.since(now);
        // It is looked at, asked for, and looked at again.
        let leased_until = now + self.settings.lease.max(call + call + call + LEASE_GRACE);
        tx.extend_lease(part.job, leased_until).await?;
        tx.commit().await?;
        if is_over {
            return Ok(Step::Again);
        }
        Ok(Step::Go(Box::new(Prepared { operation, group, ask, look, leased_until })))
    }

    /// Nothing can be done now: the part ends, or waits for the first of its SIMs. The part that follows may begin.
    async fn put_off_part(
        &self,
        mut tx: Tx,
        part: &Part<'_>,
        (operation, mut chunk): (&Operation, Chunk),
        (moved, has_carrier): (&[Member], bool),
    ) -> Result<Step> {
        let (job, now) = (part.job, self.ctx.now());
        let next = chunk.no + LANES;
        let follows = !chunk.followed && next <= chunk_count(operation);
        if follows {
            chunk.followed = true;
            tx.add_missing_job(&chunk_job(operation, next, now), now).await?;
        }
        tx.update_chunk((job.mode, job.partner_id), part.id, &mut chunk).await?;
        if chunk.open() == 0 {
            tx.finish_job(job).await?;
        } else {
            let waits = chunk.items.iter().filter(|item| item.state == ItemState::Waiting);
            let waits = waits.filter_map(|item| item.waits.map(|(_, until)| until));
            let looks = moved.iter().filter_map(|member| member.look_at);
            let at = waits.chain(looks).min().unwrap_or(now).max(now + BUSY_PAUSE);
            let (at, why) = if has_carrier {
                (at, "its SIMs are busy, or their carrier works on them")
            } else {
                (now + NO_CARRIER_PAUSE, "this node does not know the group's carrier")
            };
            tx.reschedule_job(job, at, 0, why).await?;
        }
        tx.commit().await?;
        if follows {
            self.bell.notify_one();
        }
        Ok(Step::Settled)
    }
}

/// Whether SIMs of a part are left that can be judged now.
fn has_more(chunk: &Chunk, moved: &[Member], now: Timestamp) -> bool {
    let is_due = |item: &&Item| {
        item.state == ItemState::Waiting && item.waits.is_none_or(|(_, until)| until <= now)
    };
    let is_moved = |item: &Item| moved.iter().any(|member| member.iccid == item.iccid);
    chunk.items.iter().filter(is_due).any(|item| !is_moved(item))
}
