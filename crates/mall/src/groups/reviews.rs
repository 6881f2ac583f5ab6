//! SIMs of which nobody can tell whether they are in their group, and what a person decides.

use domain::group::{Item, ItemCode, ItemCounts, ItemState, Member, MemberState, OperationKind};
use domain::{Iccid, Mode};
use serde_json::json;
use store::Tx;
use wire::admin::Problem;

use super::write::Moves;
use crate::Mall;
use crate::admin::{Change, Operator, partner_of};
use crate::error::{Error, Result};

/// A SIM that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReview {
    /// The partner's code.
    pub partner: String,
    /// The SIM and what was last heard of it.
    pub member: Member,
}

/// What a person found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberFinding {
    /// The SIM is in the group at its carrier.
    In,
    /// It is not.
    Out,
}

impl Mall {
    /// SIMs that wait for a person, after a number, in its order.
    pub async fn list_group_reviews(
        &self,
        mode: Mode,
        (after, limit): (&str, i64),
    ) -> Result<Vec<GroupReview>> {
        let mut tx = self.store.read().await?;
        let mut reviews = Vec::new();
        for found in tx.members_in_review(mode, after, limit).await? {
            let owner = self.partner_by_id(&mut tx, mode, found.partner_id).await?;
            let partner = owner.map(|known| known.partner.code.clone()).unwrap_or_default();
            reviews.push(GroupReview { partner, member: found.member });
        }
        Ok(reviews)
    }

    /// Decides about a SIM that waits for a person.
    pub async fn settle_group_sim(
        &self,
        by: &Operator,
        (mode, partner, iccid): (Mode, &str, &Iccid),
        (finding, reason): (MemberFinding, &str),
    ) -> Result<()> {
        if reason.trim().is_empty() {
            let detail = "needs a word: how is that known?";
            return Err(Problem::field("reason", detail).into());
        }
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let owner = partner_of(&mut tx, mode, partner).await?;
            let whose = (mode, owner.id);
            let unknown = || Problem::not_found("SIM of a group");
            let member = tx.member(whose, iccid).await?.ok_or_else(unknown)?;
            if member.state != MemberState::Review {
                let state = member.state.as_str();
                let detail = format!("the SIM does not wait for a person: it is {state}");
                return Err(Problem::conflict("NOT_IN_REVIEW", detail).into());
            }
            let group = tx.group((mode, owner.id, &member.group_id)).await?;
            let group = group.ok_or_else(|| Error::Internal("a SIM lost its group".to_owned()))?;
            let mut moves = Moves::default();
            match finding {
                MemberFinding::In => moves.settle_in(&member, self.now(mode)),
                MemberFinding::Out => moves.settle_out(&member),
            }
            moves.write(&mut tx, &group).await?;
            self.settle_item(&mut tx, whose, (&member, finding)).await?;
            let found = match finding {
                MemberFinding::In => "in",
                MemberFinding::Out => "out",
            };
            let change = Change {
                action: "group.resolve",
                mode: Some(mode),
                object: format!("partners/{partner}/groups/{}", group.id),
                before: json!({ "iccid": iccid.as_str(), "state": "review", "said": member.said }),
                after: json!({ "iccid": iccid.as_str(), "finding": found, "reason": reason }),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// The result of the operation that left the SIM in doubt, if it is still kept.
    async fn settle_item(
        &self,
        tx: &mut Tx,
        whose: (Mode, domain::id::PartnerId),
        (member, finding): (&Member, MemberFinding),
    ) -> Result<()> {
        let Some((id, no)) = member.moved_by else { return Ok(()) };
        let Some(operation) = tx.operation(whose, id).await? else { return Ok(()) };
        let is_done = match operation.kind {
            OperationKind::AddSims => finding == MemberFinding::In,
            OperationKind::RemoveSims => finding == MemberFinding::Out,
        };
        let (state, code) = if is_done {
            (ItemState::Succeeded, ItemCode::FoundDone)
        } else {
            (ItemState::Failed, ItemCode::FoundUndone)
        };
        let mut counts = ItemCounts { review: -1, ..ItemCounts::default() };
        counts.add(state, 1);
        self.count_items(tx, &operation, counts).await?;
        let Some(mut chunk) = tx.chunk(whose, (id, no)).await? else { return Ok(()) };
        let is_it =
            |item: &&mut Item| item.iccid == member.iccid && item.state == ItemState::Review;
        if let Some(item) = chunk.items.iter_mut().find(is_it) {
            *item = item.ended(state, Some(code), "");
        }
        Ok(tx.update_chunk(whose, id, &mut chunk).await?)
    }
}
