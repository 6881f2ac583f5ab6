//! What came of a step: members, counts, lines and the job's lease in one transaction under its fence.

use std::collections::HashMap;

use carriers::Carrier;
use domain::group::{
    Group, Item, ItemCounts, ItemState, Member, MemberState, MemberStep, Operation, OperationKind,
};
use domain::{Iccid, Span};
use serde_json::json;
use store::{JobKind, Tx};
use wire::push::EventType;

use super::chunk::{Part, Prepared};
use super::key;
use super::looks::{Heard, state_of};
use crate::Mall;
use crate::error::{Error, Result};

/// The most characters of a carrier's words that are kept with a SIM.
const SAID_CHARS_MAX: usize = 200;

/// What becomes of a group's rows.
#[derive(Default)]
pub(super) struct Moves {
    /// As they are now, with the state in which they were.
    pub(super) changed: Vec<(MemberState, Member)>,
    /// Those that are gone, with the state in which they were.
    pub(super) gone: Vec<(MemberState, Member)>,
    /// Places of SIMs that are in the group now, and of those that no longer are.
    came: Vec<i64>,
    went: Vec<i64>,
}

impl Moves {
    /// It is in the group, and nothing moves it.
    pub(super) fn settle_in(&mut self, member: &Member, now: domain::Timestamp) {
        let was_counted = member.is_in();
        let settled = Member {
            state: MemberState::Member,
            moved_by: None,
            joined_at: member.joined_at.or(Some(now)),
            step: MemberStep::Idle,
            asked_at: None,
            look_at: None,
            said: String::new(),
            ..member.clone()
        };
        if !was_counted {
            self.came.push(member.place);
        }
        self.changed.push((member.state, settled));
    }

    /// It is not in the group.
    pub(super) fn settle_out(&mut self, member: &Member) {
        if member.is_in() {
            self.went.push(member.place);
        }
        self.gone.push((member.state, member.clone()));
    }

    /// Nobody can tell whether it is in the group.
    fn doubt(&mut self, member: &Member, said: &str) {
        if member.is_in() {
            self.went.push(member.place);
        }
        let look_at = None;
        let state = MemberState::Review;
        let said = said.chars().take(SAID_CHARS_MAX).collect();
        self.changed.push((member.state, Member { state, look_at, said, ..member.clone() }));
    }

    /// Writes all of it.
    pub(super) async fn write(&self, tx: &mut Tx, group: &Group) -> Result<()> {
        let count = |some: usize| i64::try_from(some).unwrap_or(i64::MAX);
        let sims = count(self.came.len()) - count(self.went.len());
        let held = -count(self.gone.len());
        // The group's row first, always: whoever counts at it waits for whoever did so before.
        if (sims, held) != (0, 0) || !self.came.is_empty() {
            tx.count_group(key(group), (sims, held)).await?;
        }
        let whose = (group.mode, group.partner_id);
        let changed: Vec<_> = self.changed.iter().map(|(old, member)| (*old, member)).collect();
        tx.update_members(whose, &changed).await?;
        let gone: Vec<_> = self.gone.iter().map(|(old, member)| (*old, member)).collect();
        tx.delete_members(whose, &gone).await?;
        Ok(tx.count_blocks(key(group), (&self.came, &self.went)).await?)
    }

    /// SIMs that nothing moves any more.
    pub(super) fn freed(&self) -> impl Iterator<Item = &Iccid> {
        let changed = self.changed.iter().filter(|(_, member)| member.moved_by.is_none());
        changed.chain(&self.gone).map(|(_, member)| &member.iccid)
    }
}

impl Mall {
    /// Writes what was heard of a step's SIMs.
    pub(super) async fn write_heard(
        &self,
        part: &Part<'_>,
        prepared: &Prepared,
        (carrier, heard): (&dyn Carrier, HashMap<Iccid, Heard>),
    ) -> Result<()> {
        let turn = self.group_turns.take().await;
        let hastened = self.retry(|| self.write_heard_once(part, prepared, (carrier, &heard)));
        let hastened = hastened.await?;
        turn.end(prepared.sims());
        if hastened {
            self.bell.notify_one();
        }
        Ok(())
    }

    async fn write_heard_once(
        &self,
        part: &Part<'_>,
        prepared: &Prepared,
        (carrier, heard): (&dyn Carrier, &HashMap<Iccid, Heard>),
    ) -> Result<bool> {
        let Prepared { operation, group, ask, look, .. } = prepared;
        let (now, at) = (self.ctx.now(), self.now(group.mode));
        let mut moves = Moves::default();
        for member in ask.iter().chain(look) {
            match heard.get(&member.iccid) {
                // What this step did not come to is looked at by the next one.
                None => {}
                Some(Heard::Done) => match operation.kind {
                    OperationKind::AddSims => moves.settle_in(member, at),
                    OperationKind::RemoveSims => moves.settle_out(member),
                },
                Some(Heard::Not(..) | Heard::PutOff(..)) => match operation.kind {
                    OperationKind::AddSims => moves.settle_out(member),
                    OperationKind::RemoveSims => moves.settle_in(member, at),
                },
                Some(Heard::Open(step, _, said, pause)) => {
                    let said = said.chars().take(SAID_CHARS_MAX).collect();
                    let (step, look_at) = (*step, Some(now + *pause));
                    let member = Member { step, look_at, said, ..member.clone() };
                    moves.changed.push((member.state, member));
                }
                Some(Heard::Review(said)) => moves.doubt(member, said),
            }
        }
        let mut tx = self.store.begin().await?;
        moves.write(&mut tx, group).await?;
        let whose = (group.mode, group.partner_id);
        let chunk = tx.chunk(whose, (part.id, part.no)).await?;
        let gone = || Error::Internal(format!("{} lost a part", operation.id));
        let mut chunk = chunk.ok_or_else(gone)?;
        let mut counts = ItemCounts::default();
        for item in &mut chunk.items {
            if let (Some(heard), ItemState::Waiting) = (heard.get(&item.iccid), item.state) {
                *item = self.item_after(item, heard, carrier);
                counts.add(item.state, 1);
            }
        }
        self.count_items(&mut tx, operation, counts).await?;
        tx.update_chunk(whose, part.id, &mut chunk).await?;
        let hastened = self.hasten_orders(&mut tx, group, &moves).await?;
        tx.extend_lease(part.job, now + self.settings.lease).await?;
        tx.commit().await?;
        Ok(hastened)
    }

    fn item_after(&self, item: &Item, heard: &Heard, carrier: &dyn Carrier) -> Item {
        let now = self.ctx.now();
        match heard {
            Heard::Done => item.ended(ItemState::Succeeded, None, ""),
            Heard::Not(code, detail) => item.ended(ItemState::Failed, Some(*code), detail),
            Heard::PutOff(code, pause) => {
                let limit = self.settings.provisioning_deadline;
                let limit = carrier.capabilities().deadline.min(limit);
                if item.waited(now) > limit {
                    return item.ended(ItemState::Failed, Some(*code), "");
                }
                item.waiting(*code, now, (*pause).max(Span::millis(500)))
            }
            Heard::Open(_, code, _, pause) => item.waiting(*code, now, *pause),
            Heard::Review(_) => {
                let code = domain::group::ItemCode::CarrierUnclear;
                item.ended(state_of(heard), Some(code), "")
            }
        }
    }

    /// Orders of SIMs that nothing moves any more go on at once.
    async fn hasten_orders(&self, tx: &mut Tx, group: &Group, moves: &Moves) -> Result<bool> {
        let freed: Vec<&Iccid> = moves.freed().collect();
        if freed.is_empty() {
            return Ok(false);
        }
        let whose = (group.mode, group.partner_id);
        let mut hastened = false;
        for busy in tx.busy_sims(whose, &freed).await?.into_iter().filter(|one| one.is_unsent) {
            let subject = busy.order_id.to_string();
            let now = self.ctx.now();
            hastened |= tx.hasten_job_of(whose, (JobKind::Provision, &subject), now).await?;
        }
        Ok(hastened)
    }

    /// Counts what came of SIMs; whoever counts the last of an operation's ends it.
    pub(super) async fn count_items(
        &self,
        tx: &mut Tx,
        operation: &Operation,
        counts: ItemCounts,
    ) -> Result<()> {
        let all = tx.count_operation(operation, counts).await?;
        if all.open() > 0 {
            return Ok(());
        }
        let state = all.state();
        let now = self.now(operation.mode);
        tx.end_operation(operation, state, now).await?;
        let key = (operation.mode, operation.partner_id, operation.group_id.as_str());
        let detail = format!("status={}", state.as_str());
        let what = (EventType::GroupOperationFinished, operation.id.to_string());
        let data = json!({
            "request_id": operation.id.to_string(),
            "operation": operation.kind.as_str(),
            "status": state.as_str(),
            "total": all.total,
            "succeeded": all.succeeded,
            "failed": all.total - all.succeeded,
            "created_at": operation.created_at.as_millis(),
            "finished_at": now.as_millis(),
        });
        self.group_event(tx, key, what, (detail, data)).await
    }
}
