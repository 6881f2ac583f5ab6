//! The first half of a step: which SIMs of a part can be asked for now, and their places, taken before anybody is asked.

use std::collections::HashSet;

use domain::group::{
    Group, GroupState, Item, ItemCode, ItemCounts, ItemState, Member, MemberState, MemberStep,
    Operation, OperationKind,
};
use domain::{Iccid, Span, Timestamp};
use store::{Chunk, Tx};

use super::chunk::{BUSY_PAUSE, NO_CARRIER_PAUSE};
use super::judge::{Judged, Known};
use super::key;
use crate::error::Result;

/// What takes SIMs within a transaction.
pub(super) struct Taking<'a> {
    pub(super) operation: &'a Operation,
    pub(super) group: &'a Group,
    /// Whether the carrier has groups; `None`: this node does not know it.
    pub(super) can: Option<bool>,
    /// SIMs that earlier operations on the group had not decided when the turn began. They were read before all else: what
    /// these have decided since is there to be read.
    pub(super) earlier: &'a HashSet<Iccid>,
    /// How many SIMs at most.
    pub(super) room: usize,
    /// How long a SIM waits for others before it fails.
    pub(super) waits_max: Span,
    /// By when whatever is sent for them is over.
    pub(super) sent_until: Timestamp,
    pub(super) now: Timestamp,
    /// What came of those that are not asked for.
    pub(super) counts: ItemCounts,
}

impl Taking<'_> {
    /// Judges the next SIMs of a part, takes places for those that can be asked for, and notes what came of the others.
    pub(super) async fn take(
        &mut self,
        tx: &mut Tx,
        chunk: &mut Chunk,
        moved: &[Member],
    ) -> Result<Vec<Member>> {
        let (no, now) = (chunk.no, self.now);
        let moved: HashSet<&Iccid> = moved.iter().map(|member| &member.iccid).collect();
        let is_open =
            |item: &&mut Item| item.state == ItemState::Waiting && !moved.contains(&item.iccid);
        let mut items: Vec<&mut Item> = chunk.items.iter_mut().filter(is_open).collect();
        if self.operation.cancelled {
            for item in items {
                self.end(item, ItemState::Cancelled, ItemCode::Cancelled);
            }
            return Ok(Vec::new());
        }
        items.retain(|item| item.waits.is_none_or(|(_, until)| until <= now));
        items.truncate(self.room);
        let Some(can) = self.can else {
            for item in items {
                self.put_off(item, ItemCode::CarrierUnavailable, NO_CARRIER_PAUSE);
            }
            return Ok(Vec::new());
        };
        let iccids: Vec<Iccid> = items.iter().map(|item| item.iccid.clone()).collect();
        if self.operation.kind == OperationKind::AddSims {
            // Whoever gives one of them another carrier does so before or after it comes in.
            let key = |iccid: &Iccid| (self.group.mode, self.group.partner_id, iccid.clone());
            let keys: Vec<_> = iccids.iter().map(key).collect();
            tx.hold_sims(&keys.iter().collect::<Vec<_>>()).await?;
        }
        let known = Known::read(tx, self.group, &iccids.iter().collect::<Vec<_>>()).await?;
        let mut ready = Vec::new();
        for item in items {
            let judged = known.judge(self.group, self.operation.kind, (&item.iccid, can));
            match judged {
                // What earlier operations make of it comes first.
                _ if self.earlier.contains(&item.iccid) => {
                    self.put_off(item, ItemCode::SimBusy, BUSY_PAUSE);
                }
                Judged::Ask => ready.push(item),
                Judged::Done(code) => self.end(item, ItemState::Succeeded, code),
                Judged::Cannot(code) => self.end(item, ItemState::Failed, code),
                Judged::Later(code) => self.put_off(item, code, BUSY_PAUSE),
            }
        }
        match self.operation.kind {
            OperationKind::AddSims => self.let_join(tx, no, ready).await,
            OperationKind::RemoveSims => self.let_leave(tx, no, (&ready, &known)).await,
        }
    }

    fn end(&mut self, item: &mut Item, state: ItemState, code: ItemCode) {
        *item = item.ended(state, Some(code), "");
        self.counts.add(state, 1);
    }

    /// It waits, unless it has waited for too long: nothing was done for it.
    fn put_off(&mut self, item: &mut Item, code: ItemCode, pause: Span) {
        if item.waited(self.now) > self.waits_max {
            self.end(item, ItemState::Failed, code);
        } else {
            *item = item.waiting(code, self.now, pause);
        }
    }

    /// Takes places for SIMs; those for which there is none fail.
    async fn let_join(
        &mut self,
        tx: &mut Tx,
        chunk_no: i64,
        mut ready: Vec<&mut Item>,
    ) -> Result<Vec<Member>> {
        let mut first = None;
        while !ready.is_empty() && first.is_none() {
            let wanted = i64::try_from(ready.len()).unwrap_or(i64::MAX);
            let carrier = &self.group.bundle.carrier;
            first = tx.take_group_places(key(self.group), carrier, wanted).await?;
            if first.is_none() {
                let Some(group) = tx.group(key(self.group)).await? else { break };
                if group.bundle.carrier != *carrier {
                    for item in ready {
                        self.put_off(item, ItemCode::SimBusy, BUSY_PAUSE);
                    }
                    return Ok(Vec::new());
                }
                if group.state == GroupState::Ended {
                    for item in ready {
                        self.end(item, ItemState::Failed, ItemCode::GroupEnded);
                    }
                    return Ok(Vec::new());
                }
                let left = group.sim_limit - group.held_count;
                let left = usize::try_from(left).unwrap_or(0).min(ready.len() - 1);
                for item in ready.drain(left..) {
                    self.end(item, ItemState::Failed, ItemCode::GroupFull);
                }
            }
        }
        let Some(first) = first else { return Ok(Vec::new()) };
        let joining = |(item, place): (&&mut Item, i64)| Member {
            iccid: item.iccid.clone(),
            group_id: self.group.id.clone(),
            place,
            state: MemberState::Joining,
            moved_by: Some((self.operation.id, chunk_no)),
            joined_at: None,
            step: MemberStep::Asking,
            asked_at: Some(self.now),
            look_at: Some(self.sent_until),
            said: String::new(),
        };
        let members: Vec<Member> = ready.iter().zip(first..).map(joining).collect();
        let rows: Vec<&Member> = members.iter().collect();
        tx.insert_members((self.group.mode, self.group.partner_id), &rows).await?;
        Ok(members)
    }

    /// Marks SIMs as leaving.
    async fn let_leave(
        &mut self,
        tx: &mut Tx,
        chunk_no: i64,
        (ready, known): (&[&mut Item], &Known),
    ) -> Result<Vec<Member>> {
        let members = ready.iter().filter_map(|item| known.members.get(&item.iccid));
        let leaving = |member: &Member| Member {
            state: MemberState::Leaving,
            moved_by: Some((self.operation.id, chunk_no)),
            step: MemberStep::Asking,
            asked_at: Some(self.now),
            look_at: Some(self.sent_until),
            ..member.clone()
        };
        let members: Vec<Member> = members.map(leaving).collect();
        let rows: Vec<_> = members.iter().map(|member| (MemberState::Member, member)).collect();
        tx.update_members((self.group.mode, self.group.partner_id), &rows).await?;
        Ok(members)
    }
}
