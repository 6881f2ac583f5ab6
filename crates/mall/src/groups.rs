//! Groups of SIMs that share a bundle, as partners see them and change them.
//!
//! Adding and removing is written down and done by jobs, part by part. A SIM's place in a group is taken before its carrier
//! is asked, and what came of it is looked at, never believed. A SIM's order and its moving in or out of a group never are
//! at the carrier at once: each writes itself down first, then looks for the other, and gives way.

mod accept;
mod bundle;
mod chunk;
mod judge;
mod looks;
mod operators;
mod results;
mod reviews;
mod standing;
mod take;
mod turns;
mod watch;
mod write;

use domain::Iccid;
use domain::group::{Group, Item, Operation, OperationKind};
use store::PlacedMember;
use wire::Code;

use crate::error::Result;
use crate::sims::PlanNames;
use crate::{Caller, Mall};

pub(crate) use turns::Turns;

pub use operators::{BundleWish, GroupChange, GroupPlace, NewGroup};
pub use reviews::{GroupReview, MemberFinding};

/// How many SIMs an operation may be about.
pub const SIMS_MAX: usize = 10_000;
/// How many groups of a partner are listed.
const GROUPS_MAX: i64 = 1_000;
/// For how long what came of an operation is kept, in days.
pub const RESULT_DAYS: i64 = 90;

/// A group with the name of its plan in the caller's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownGroup {
    /// The group.
    pub group: Group,
    /// What its bundle is called.
    pub plan_name: String,
}

/// Which SIMs of a group are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimsWish {
    /// From 1. Pages shift while SIMs come and go.
    pub page_no: u32,
    /// How many.
    pub page_size: u32,
    /// Where the page before ended; goes before `page_no`.
    pub cursor: Option<i64>,
}

/// A page of a group's SIMs, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimsPage {
    /// How many SIMs are in the group.
    pub total_count: i64,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
    /// The SIMs.
    pub sims: Vec<PlacedMember>,
}

/// SIMs to be added to a group or removed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSims {
    /// Which of the two.
    pub kind: OperationKind,
    /// The group.
    pub group_id: String,
    /// 1 to [`SIMS_MAX`] SIMs; those that are named twice count once.
    pub iccids: Vec<Iccid>,
    /// The caller's own key, by which a repeat is known for as long as the result is kept.
    pub idempotency_key: Option<String>,
    /// Whether it is only to be told what would come of it.
    pub dry_run: bool,
}

/// What a request to add or remove SIMs was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The operation, new or of an equal request before.
    Accepted(Box<Operation>),
    /// What would come of each SIM now: one that is [`domain::group::ItemState::Waiting`] would have to wait.
    DryRun(Vec<Item>),
}

/// Which results of an operation are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultWish {
    /// From 1.
    pub page_no: u32,
    /// How many.
    pub page_size: u32,
    /// Whether only those that did not succeed are wanted: failed, not begun, or in doubt.
    pub only_failed: bool,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationResult {
    /// The operation with its counts.
    pub operation: Operation,
    /// How many results there are of the wanted kind.
    pub items_total: i64,
    /// A page of them, in the order of the request.
    pub items: Vec<Item>,
}

/// The group's key in the database.
pub(crate) fn key(group: &Group) -> store::GroupKey<'_> {
    (group.mode, group.partner_id, &group.id)
}

impl Mall {
    /// The partner's groups, by code.
    pub async fn list_groups(&self, caller: &Caller) -> Result<Vec<ShownGroup>> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let groups = tx.groups((partner.mode, partner.id, ""), GROUPS_MAX).await?;
        let reader = (partner.mode, caller.locale);
        let (mut names, mut shown) = (PlanNames::default(), Vec::with_capacity(groups.len()));
        for group in groups {
            let code = group.bundle.plan_code.clone();
            let plan_name = names.shown(&mut tx, reader, &code, &code).await?;
            shown.push(ShownGroup { group, plan_name });
        }
        Ok(shown)
    }

    /// A page of a group's SIMs.
    pub async fn list_group_sims(
        &self,
        caller: &Caller,
        group_id: &str,
        wish: &SimsWish,
    ) -> Result<SimsPage> {
        let partner = &caller.partner;
        let key = (partner.mode, partner.id, group_id);
        let size = i64::from(wish.page_size);
        let mut tx = self.store.read().await?;
        let group = tx.group(key).await?.ok_or(Code::GroupUnknown)?;
        let mut sims = if let Some(after) = wish.cursor {
            tx.members_after(key, after, size + 1).await?
        } else {
            let skipped = i64::from(wish.page_no.saturating_sub(1)) * size;
            tx.members_at(key, skipped, size + 1).await?
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = sims.len() > size;
        sims.truncate(size);
        let last = sims.last().filter(|_| more);
        let next_cursor = last.map(|sim| format!("c{}", sim.place));
        Ok(SimsPage { total_count: group.sim_count, next_cursor, sims })
    }
}
