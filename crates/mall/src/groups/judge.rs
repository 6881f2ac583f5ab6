//! What can be done with a SIM now, by what is written down: the same for the jobs that do it and for those who only ask.

use std::collections::{HashMap, HashSet};

use domain::group::{
    Group, GroupState, Item, ItemCode, ItemState, Member, MemberState, OperationKind,
};
use domain::sim::Sim;
use domain::{Iccid, Span};
use store::{GroupKey, SimKey, Tx};
use wire::Code;

use crate::Mall;
use crate::error::Result;

/// What can be done with a SIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// Its carrier can be asked.
    Ask,
    /// It is as it is wanted already.
    Done(ItemCode),
    /// It cannot be.
    Cannot(ItemCode),
    /// Not now.
    Later(ItemCode),
}

/// What is written down of some SIMs.
pub(super) struct Known {
    pub(super) sims: HashMap<SimKey, Sim>,
    pub(super) members: HashMap<Iccid, Member>,
    pub(super) busy: HashSet<Iccid>,
}

impl Known {
    pub(super) async fn read(tx: &mut Tx, group: &Group, iccids: &[&Iccid]) -> Result<Self> {
        let whose = (group.mode, group.partner_id);
        let keys: Vec<SimKey> =
            iccids.iter().map(|iccid| (whose.0, whose.1, (*iccid).clone())).collect();
        let sims = tx.sims(&keys.iter().collect::<Vec<_>>()).await?;
        let members = tx.members_among(whose, iccids).await?;
        let busy = tx.busy_sims(whose, iccids).await?;
        Ok(Self { sims, members, busy: busy.into_iter().map(|one| one.iccid).collect() })
    }

    /// What can be done with a SIM; `can` says whether the group's carrier has groups.
    pub(super) fn judge(
        &self,
        group: &Group,
        kind: OperationKind,
        (iccid, can): (&Iccid, bool),
    ) -> Judged {
        let sim = self.sims.get(&(group.mode, group.partner_id, iccid.clone()));
        let Some(sim) = sim else { return Judged::Cannot(ItemCode::SimUnknown) };
        let member = self.members.get(iccid);
        let judged = match kind {
            OperationKind::AddSims => judge_add(group, sim, member, can),
            OperationKind::RemoveSims => judge_remove(group, member),
        };
        match judged {
            Judged::Ask if self.busy.contains(iccid) => Judged::Later(ItemCode::SimBusy),
            judged => judged,
        }
    }
}

fn judge_add(group: &Group, sim: &Sim, member: Option<&Member>, can: bool) -> Judged {
    if let Some(member) = member {
        return match (member.group_id == group.id, member.state) {
            (true, MemberState::Member) => Judged::Done(ItemCode::AlreadyInGroup),
            (true, MemberState::Review) => Judged::Cannot(ItemCode::SimInReview),
            (true, MemberState::Joining | MemberState::Leaving) | (false, MemberState::Leaving) => {
                Judged::Later(ItemCode::SimBusy)
            }
            (false, _) => Judged::Cannot(ItemCode::SimInOtherGroup),
        };
    }
    if !sim.state.sellable() {
        Judged::Cannot(ItemCode::SimNotSellable)
    } else if !can || sim.carrier != group.bundle.carrier {
        Judged::Cannot(ItemCode::SimNotForGroup)
    } else if group.state == GroupState::Ended {
        Judged::Cannot(ItemCode::GroupEnded)
    } else {
        Judged::Ask
    }
}

fn judge_remove(group: &Group, member: Option<&Member>) -> Judged {
    match member.filter(|member| member.group_id == group.id).map(|member| member.state) {
        None => Judged::Cannot(ItemCode::SimNotInGroup),
        Some(MemberState::Member) => Judged::Ask,
        Some(MemberState::Review) => Judged::Cannot(ItemCode::SimInReview),
        Some(MemberState::Joining | MemberState::Leaving) => Judged::Later(ItemCode::SimBusy),
    }
}

impl Mall {
    /// What would come of each SIM now. Nothing is written.
    pub(super) async fn foretell(
        &self,
        whose: GroupKey<'_>,
        kind: OperationKind,
        iccids: &[Iccid],
    ) -> Result<Vec<Item>> {
        let mut tx = self.store.read().await?;
        let group = tx.group(whose).await?.ok_or(Code::GroupUnknown)?;
        let can = self.has_groups(group.mode, &group.bundle.carrier);
        let mut places = (group.sim_limit - group.held_count).max(0);
        let mut told = Vec::with_capacity(iccids.len());
        for part in iccids.chunks(super::accept::CHUNK_SIMS) {
            let known = Known::read(&mut tx, &group, &part.iter().collect::<Vec<_>>()).await?;
            for iccid in part {
                let item = Item::new(iccid.clone());
                let judged = known.judge(&group, kind, (iccid, can));
                let takes_place = kind == OperationKind::AddSims && judged == Judged::Ask;
                let is_full = takes_place && places == 0;
                places -= i64::from(takes_place && !is_full);
                told.push(match judged {
                    _ if is_full => item.ended(ItemState::Failed, Some(ItemCode::GroupFull), ""),
                    Judged::Ask => item.ended(ItemState::Succeeded, None, ""),
                    Judged::Done(code) => item.ended(ItemState::Succeeded, Some(code), ""),
                    Judged::Cannot(code) => item.ended(ItemState::Failed, Some(code), ""),
                    Judged::Later(code) => {
                        Item { waits: None, ..item.waiting(code, self.ctx.now(), Span::micros(0)) }
                    }
                });
            }
        }
        Ok(told)
    }

    /// Whether a carrier has groups; one that this node does not know may have.
    pub(super) fn has_groups(&self, mode: domain::Mode, carrier: &str) -> bool {
        let carrier = self.carrier(mode, carrier);
        carrier.is_none_or(|one| one.capabilities().has(carriers::Feature::Groups))
    }
}
