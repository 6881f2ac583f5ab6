//! Groups of SIMs, the operations on them and SIMs in doubt, in the words of the admin API. What is done is done in
//! `groups/operators.rs` and `groups/reviews.rs`.

use domain::Mode;
use domain::group::{AtEnd, AtLimit, Item, ItemState, Operation, OperationKind};
use domain::package::Volume;
use wire::admin::group as shape;
use wire::admin::{List, Problem};

use super::{Operator, Page, text};
use crate::Mall;
use crate::error::Result;
use crate::groups::{
    BundleWish, GroupChange, GroupPlace, GroupReview, MemberFinding, NewGroup, OperationResult,
    ResultWish,
};

/// A word of a request, which was checked against those that there are.
fn word<T: std::str::FromStr>(field: &str, text: Option<&str>) -> Result<Option<T>> {
    let parse =
        |text: &str| text.parse().map_err(|_| Problem::field(field, "not one of its words"));
    Ok(text.map(parse).transpose()?)
}

fn bundle(
    (plan_code, periods): (&str, Option<u32>),
    (at_limit, at_end): (Option<&str>, Option<&str>),
) -> Result<BundleWish> {
    Ok(BundleWish {
        plan_code: plan_code.to_owned(),
        periods: periods.unwrap_or(1),
        at_limit: word("at_limit", at_limit)?.unwrap_or(AtLimit::Stop),
        at_end: word("at_end", at_end)?.unwrap_or(AtEnd::Renew),
    })
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A group as an operator sees it.
fn shown(GroupPlace { partner, group }: GroupPlace) -> shape::Group {
    let bundle = group.bundle;
    shape::Group {
        mode: group.mode.as_str().to_owned(),
        partner,
        group_id: group.id,
        name: group.name,
        state: group.state.as_str().to_owned(),
        sim_count: group.sim_count,
        held_count: group.held_count,
        sim_limit: group.sim_limit,
        plan_code: bundle.plan_code,
        package_code: bundle.package_code,
        unit: bundle.length.unit.word().to_owned(),
        periods: i64::from(bundle.length.periods),
        volume_bytes: match bundle.volume {
            Volume::Bytes(count) => Some(bytes(count)),
            Volume::Unlimited => None,
        },
        carrier: bundle.carrier,
        carrier_group: bundle.carrier_group,
        at_limit: bundle.at_limit.as_str().to_owned(),
        at_end: bundle.at_end.as_str().to_owned(),
        period_no: group.period.no,
        effective_at: text(group.period.effective_at),
        expires_at: text(group.period.expire_at),
        used_bytes: bytes(group.used_bytes),
        used_at: group.used_at.map(text),
        carrier_policy: group.carrier_policy.map(|policy| policy.as_str().to_owned()),
        created_at: text(group.created_at),
    }
}

fn operation(partner: &str, operation: &Operation) -> shape::Operation {
    let counts = operation.counts;
    shape::Operation {
        mode: operation.mode.as_str().to_owned(),
        partner: partner.to_owned(),
        request_id: operation.id.to_string(),
        group_id: operation.group_id.clone(),
        operation: operation.kind.as_str().to_owned(),
        state: operation.state.as_str().to_owned(),
        cancelled: operation.cancelled,
        total: counts.total,
        succeeded: counts.succeeded,
        failed: counts.failed,
        not_begun: counts.cancelled,
        in_review: counts.review,
        retry_of: operation.retry_of.map(|id| id.to_string()),
        created_at: text(operation.created_at),
        finished_at: operation.finished_at.map(text),
    }
}

fn sim(item: Item) -> shape::OperationSim {
    let waits = item.waits.filter(|_| item.state == ItemState::Waiting);
    shape::OperationSim {
        iccid: item.iccid.as_str().to_owned(),
        state: item.state.as_str().to_owned(),
        code: item.code.map_or("", domain::group::ItemCode::as_str).to_owned(),
        detail: item.detail,
        waits_since: waits.map(|(since, _)| text(since)),
    }
}

fn review(GroupReview { partner, member }: GroupReview) -> shape::GroupReview {
    // Whoever was in the group before was to leave it.
    let kind = match member.joined_at {
        Some(_) => OperationKind::RemoveSims,
        None => OperationKind::AddSims,
    };
    shape::GroupReview {
        partner,
        group_id: member.group_id,
        iccid: member.iccid.as_str().to_owned(),
        request_id: member.moved_by.map(|(id, _)| id.to_string()),
        operation: kind.as_str().to_owned(),
        asked_at: member.asked_at.map(text),
        said: member.said,
    }
}

fn wrong_cursor() -> Problem {
    Problem::field("cursor", "not one that this list gave")
}

/// Where a page of an operation's SIMs begins: its number, and the size that all pages of the list have.
fn sims_at(page: &Page) -> Result<(u32, u32)> {
    if page.after.is_empty() {
        return Ok((1, u32::try_from(page.limit).unwrap_or(u32::MAX)));
    }
    let parts = page.after.split_once(' ');
    let at = parts.and_then(|(no, size)| Some((no.parse().ok()?, size.parse().ok()?)));
    let good = |(no, size): &(u32, u32)| *no > 0 && (1..=500).contains(size);
    Ok(at.filter(good).ok_or_else(wrong_cursor)?)
}

impl Mall {
    /// Groups by partner and code.
    pub async fn groups_page(
        &self,
        mode: Mode,
        partner: Option<&str>,
        page: &Page,
    ) -> Result<List<shape::Group>> {
        let after = match page.after.split_once(' ') {
            Some((code, id)) => {
                // Groups do not go: one that is not there was never shown.
                let place = self.show_group((mode, code, id)).await;
                Some(place.map_err(|_| wrong_cursor())?)
            }
            None if page.after.is_empty() => None,
            None => return Err(wrong_cursor().into()),
        };
        let wanted = (after.as_ref(), page.limit_and_one());
        let places = self.list_all_groups(mode, partner, wanted).await?;
        Ok(page.list(places, |place| format!("{} {}", place.partner, place.group.id), shown))
    }

    /// A group.
    pub async fn group_shown(&self, place: (Mode, &str, &str)) -> Result<shape::Group> {
        Ok(shown(self.show_group(place).await?))
    }

    /// Makes a group.
    pub async fn add_group(
        &self,
        by: &Operator,
        (mode, partner): (Mode, &str),
        new: shape::NewGroup,
    ) -> Result<shape::Group> {
        let policies = (new.at_limit.as_deref(), new.at_end.as_deref());
        let bundle = bundle((&new.plan_code, new.periods), policies)?;
        let new = NewGroup {
            group_id: new.group_id,
            name: new.name,
            sim_limit: new.sim_limit,
            carrier_group: new.carrier_group,
            bundle,
        };
        Ok(shown(self.create_group(by, (mode, partner), &new).await?))
    }

    /// Changes a group.
    pub async fn group_changed(
        &self,
        by: &Operator,
        place: (Mode, &str, &str),
        change: shape::GroupChange,
    ) -> Result<shape::Group> {
        let wanted = GroupChange {
            at_limit: word("at_limit", change.at_limit.as_deref())?,
            at_end: word("at_end", change.at_end.as_deref())?,
            name: change.name,
            sim_limit: change.sim_limit,
        };
        Ok(shown(self.change_group(by, place, &wanted).await?))
    }

    /// Sets what a group's SIMs share.
    pub async fn bundle_set(
        &self,
        by: &Operator,
        place: (Mode, &str, &str),
        wish: &shape::PutBundle,
    ) -> Result<shape::Group> {
        let policies = (wish.at_limit.as_deref(), wish.at_end.as_deref());
        let (bundle, no) = (bundle((&wish.plan_code, wish.periods), policies)?, wish.period_no);
        Ok(shown(self.set_group_bundle(by, place, (&bundle, no)).await?))
    }

    /// Operations on a group, the newest first.
    pub async fn operations_page(
        &self,
        place: (Mode, &str, &str),
        page: &Page,
    ) -> Result<List<shape::Operation>> {
        let before = Some(page.after.as_str()).filter(|after| !after.is_empty());
        let before = before.map(str::parse).transpose().map_err(|_| wrong_cursor())?;
        let found = self.list_group_operations(place, (before, page.limit_and_one())).await?;
        Ok(page.list(found, |one| one.no.to_string(), |one| operation(place.1, &one)))
    }

    /// An operation.
    pub async fn operation_shown(&self, mode: Mode, request_id: &str) -> Result<shape::Operation> {
        let wish = ResultWish { page_no: 1, page_size: 1, only_failed: false };
        let (partner, found) = self.show_group_operation(mode, request_id, wish).await?;
        Ok(operation(&partner, &found.operation))
    }

    /// What came of an operation's SIMs.
    pub async fn operation_sims_page(
        &self,
        (mode, request_id): (Mode, &str),
        only_failed: bool,
        page: &Page,
    ) -> Result<List<shape::OperationSim>> {
        let (page_no, page_size) = sims_at(page)?;
        let wish = ResultWish { page_no, page_size, only_failed };
        let (_, found) = self.show_group_operation(mode, request_id, wish).await?;
        let OperationResult { items_total, items, .. } = found;
        let goes_on = i64::from(page_no) * i64::from(page_size) < items_total;
        let next_cursor = goes_on.then(|| hex::encode(format!("{} {page_size}", page_no + 1)));
        Ok(List { next_cursor, items: items.into_iter().map(sim).collect() })
    }

    /// SIMs of which nobody can tell whether they are in their group.
    pub async fn group_reviews_page(
        &self,
        mode: Mode,
        page: &Page,
    ) -> Result<List<shape::GroupReview>> {
        let found = self.list_group_reviews(mode, (&page.after, page.limit_and_one())).await?;
        Ok(page.list(found, |one| one.member.iccid.as_str().to_owned(), review))
    }

    /// Decides about a SIM in doubt.
    pub async fn group_sim_resolved(
        &self,
        by: &Operator,
        (mode, partner, iccid): (Mode, &str, &str),
        request: &shape::ResolveSim,
    ) -> Result<()> {
        let iccid = iccid.parse().map_err(|_| Problem::not_found("SIM of a group"))?;
        let finding = match request.finding.as_str() {
            "in" => MemberFinding::In,
            _ => MemberFinding::Out,
        };
        self.settle_group_sim(by, (mode, partner, &iccid), (finding, &request.reason)).await
    }
}
