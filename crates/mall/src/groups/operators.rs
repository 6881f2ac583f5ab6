//! Groups as operators make them, change them and look at them.

use domain::group::{AtEnd, AtLimit, Bundle, CarrierPolicy, Group, GroupState, Operation, Period};
use domain::id::kind;
use domain::package::{PlanLength, Volume};
use domain::plan::Plan;
use domain::{Mode, Timestamp};
use serde_json::{Value, json};
use store::{JobKind, Tx};
use wire::admin::Problem;

use super::bundle::group_job;
use super::results::result;
use super::{GROUPS_MAX, OperationResult, ResultWish, key};
use crate::Mall;
use crate::admin::{Change, Operator, Wrong, held_partner, partner_of, text};
use crate::error::Result;

/// The most SIMs that a group may be made for.
const LIMIT_MAX: i64 = 10_000_000;
/// The longest code and the longest name.
const CODE_CHARS_MAX: usize = 32;
const NAME_CHARS_MAX: usize = 64;

/// What a bundle is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleWish {
    /// The plan.
    pub plan_code: String,
    /// How many units of its package a period is.
    pub periods: u32,
    /// What happens when the volume is used up.
    pub at_limit: AtLimit,
    /// What happens when a period is over.
    pub at_end: AtEnd,
}

/// A group that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// The code for the partner.
    pub group_id: String,
    /// Its name.
    pub name: String,
    /// How many SIMs may be in it.
    pub sim_limit: i64,
    /// What its carrier calls it; one is made where there is none.
    pub carrier_group: Option<String>,
    /// Its bundle.
    pub bundle: BundleWish,
}

/// What is to change of a group. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupChange {
    /// Its name.
    pub name: Option<String>,
    /// How many SIMs may be in it. Those that are in it stay.
    pub sim_limit: Option<i64>,
    /// What happens when the volume is used up, from now on.
    pub at_limit: Option<AtLimit>,
    /// What happens when this period is over.
    pub at_end: Option<AtEnd>,
}

/// A group and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlace {
    /// The partner's code.
    pub partner: String,
    /// The group.
    pub group: Group,
}

fn check(wrong: &mut Wrong, name: Option<&str>, sim_limit: Option<i64>) {
    let is_name = |name: &str| {
        !name.trim().is_empty()
            && name.chars().count() <= NAME_CHARS_MAX
            && !name.chars().any(char::is_control)
    };
    if !name.is_none_or(is_name) {
        wrong.add("name", "1 to 64 printable characters");
    }
    if !sim_limit.is_none_or(|limit| (0..=LIMIT_MAX).contains(&limit)) {
        wrong.add("sim_limit", "a number from 0 to 10000000");
    }
}

fn is_code(code: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=CODE_CHARS_MAX).contains(&code.len()) && code.bytes().all(plain)
}

/// The plan of a bundle, if it can be one.
async fn plan_of(tx: &mut Tx, mode: Mode, wish: &BundleWish) -> Result<Plan> {
    let unknown = || Problem::field("plan_code", "there is no such plan");
    let plan = tx.plan(mode, &wish.plan_code).await?.ok_or_else(unknown)?;
    if plan.package.volume == Volume::Bytes(0) {
        return Err(Problem::field("plan_code", "its package has no volume to share").into());
    }
    if !plan.periods.contains(&wish.periods) {
        let allowed: Vec<String> = plan.periods.iter().map(ToString::to_string).collect();
        let detail = format!("the plan is sold for {} periods", allowed.join(", "));
        return Err(Problem::field("periods", detail).into());
    }
    Ok(plan)
}

fn bundle_of(plan: Plan, wish: &BundleWish, carrier_group: &str) -> Bundle {
    let package = plan.package;
    // The volume is of one unit, and a period has several.
    let volume = match package.volume {
        Volume::Bytes(bytes) => Volume::Bytes(bytes.saturating_mul(u64::from(wish.periods))),
        Volume::Unlimited => Volume::Unlimited,
    };
    Bundle {
        plan_code: plan.code,
        package_code: package.code,
        length: PlanLength {
            unit: package.kind,
            periods: wish.periods,
            calendar: package.calendar,
        },
        volume,
        carrier: package.carrier,
        carrier_group: carrier_group.to_owned(),
        at_limit: wish.at_limit,
        at_end: wish.at_end,
    }
}

/// A group, for the audit log.
fn noted(group: &Group) -> Value {
    let Bundle { plan_code, carrier, carrier_group, at_limit, at_end, .. } = &group.bundle;
    json!({
        "group_id": group.id,
        "name": group.name,
        "state": group.state.as_str(),
        "sim_limit": group.sim_limit,
        "plan_code": plan_code,
        "periods": group.bundle.length.periods,
        "carrier": carrier,
        "carrier_group": carrier_group,
        "at_limit": at_limit.as_str(),
        "at_end": at_end.as_str(),
        "effective_at": text(group.period.effective_at),
        "expire_at": text(group.period.expire_at),
    })
}

async fn group_of(tx: &mut Tx, mode: Mode, (partner, id): (&str, &str)) -> Result<Group> {
    let owner = partner_of(tx, mode, partner).await?;
    let group = tx.group((mode, owner.id, id)).await?;
    group.ok_or_else(|| Problem::not_found("group").into())
}

fn carrier_group_taken(Bundle { carrier, carrier_group, .. }: &Bundle) -> Problem {
    let detail = format!("another group is {carrier_group} at {carrier} already");
    Problem::conflict("CARRIER_GROUP_TAKEN", detail)
}

fn credit_exceeded() -> Problem {
    let detail = "the first period would take the partner over its credit limit";
    Problem::conflict("CREDIT_EXCEEDED", detail)
}

impl Mall {
    /// Makes a group. Its bundle's first period begins now, and is charged.
    pub async fn create_group(
        &self,
        by: &Operator,
        (mode, partner): (Mode, &str),
        new: &NewGroup,
    ) -> Result<GroupPlace> {
        let mut wrong = Wrong::default();
        check(&mut wrong, Some(&new.name), Some(new.sim_limit));
        if !is_code(&new.group_id) {
            wrong.add("group_id", "1 to 32 letters, digits, hyphens or underscores");
        }
        wrong.check()?;
        let group = self.retry(|| self.create_group_once(by, (mode, partner), new)).await?;
        self.bell.notify_one();
        Ok(GroupPlace { partner: partner.to_owned(), group })
    }

    async fn create_group_once(
        &self,
        by: &Operator,
        (mode, partner): (Mode, &str),
        new: &NewGroup,
    ) -> Result<Group> {
        let (now, real) = (self.now(mode), self.ctx.now());
        let mut tx = self.store.begin().await?;
        // What nodes remember of the partner says whether it has groups.
        let owner = held_partner(&mut tx, mode, partner).await?;
        if tx.group_count(mode, owner.id).await? >= GROUPS_MAX {
            let detail = format!("the partner has {GROUPS_MAX} groups, which is the most");
            return Err(Problem::conflict("TOO_MANY_GROUPS", detail).into());
        }
        let plan = plan_of(&mut tx, mode, &new.bundle).await?;
        // Partners and modes share a carrier: a code is unique for one of them only.
        let own = || self.ctx.id::<kind::Group>().to_string();
        let carrier_group = new.carrier_group.clone().unwrap_or_else(own);
        let bundle = bundle_of(plan, &new.bundle, &carrier_group);
        let period = Period::begin(1, now, bundle.length, &owner.zone);
        let mut group = Group {
            mode,
            partner_id: owner.id,
            id: new.group_id.clone(),
            name: new.name.clone(),
            state: GroupState::Active,
            sim_limit: new.sim_limit,
            sim_count: 0,
            held_count: 0,
            operation_no: 0,
            bundle,
            period,
            metered_from: real,
            used_bytes: 0,
            used_at: None,
            told: 0,
            carrier_policy: Some(CarrierPolicy::Open),
            version: 0,
            created_at: now,
        };
        if !self.begin_period(&mut tx, &mut group, period).await? {
            return Err(credit_exceeded().into());
        }
        if !tx.insert_group(&group).await? {
            if tx.group(key(&group)).await?.is_none() {
                return Err(carrier_group_taken(&group.bundle).into());
            }
            let detail = format!("the partner has a group {} already", group.id);
            return Err(Problem::conflict("GROUP_EXISTS", detail).into());
        }
        self.write_bundle_jobs(&mut tx, &group).await?;
        self.record_group(&mut tx, by, ("group.create", partner), (None, &group)).await?;
        tx.commit().await?;
        Ok(group)
    }

    async fn write_bundle_jobs(&self, tx: &mut Tx, group: &Group) -> Result<()> {
        let ends_at = self.real(group.mode, group.period.expire_at);
        let turn = group_job(group, JobKind::TurnGroup, ends_at);
        tx.insert_job(&turn, self.ctx.now()).await?;
        self.watch_now(tx, group).await
    }

    async fn record_group(
        &self,
        tx: &mut Tx,
        by: &Operator,
        (action, partner): (&str, &str),
        (before, after): (Option<&Group>, &Group),
    ) -> Result<()> {
        let change = Change {
            action,
            mode: Some(after.mode),
            object: format!("partners/{partner}/groups/{}", after.id),
            before: before.map_or(Value::Null, noted),
            after: noted(after),
        };
        self.record(tx, by, change).await
    }

    /// Changes a group's name, its limit or its bundle's policies.
    pub async fn change_group(
        &self,
        by: &Operator,
        (mode, partner, id): (Mode, &str, &str),
        wanted: &GroupChange,
    ) -> Result<GroupPlace> {
        let mut wrong = Wrong::default();
        check(&mut wrong, wanted.name.as_deref(), wanted.sim_limit);
        wrong.check()?;
        let group = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let before = group_of(&mut tx, mode, (partner, id)).await?;
                let mut group = before.clone();
                if let Some(name) = &wanted.name {
                    group.name.clone_from(name);
                }
                group.sim_limit = wanted.sim_limit.unwrap_or(group.sim_limit);
                group.bundle.at_limit = wanted.at_limit.unwrap_or(group.bundle.at_limit);
                group.bundle.at_end = wanted.at_end.unwrap_or(group.bundle.at_end);
                tx.update_group(&mut group).await?;
                self.record_group(&mut tx, by, ("group.change", partner), (Some(&before), &group))
                    .await?;
                tx.commit().await?;
                Ok(group)
            })
            .await?;
        Ok(GroupPlace { partner: partner.to_owned(), group })
    }

    /// Gives a group another bundle, or the same anew. Its period begins now, and is charged; what was left of the one
    /// before is lost. It names the period that ends by it, so that a repeat is known. A group with SIMs stays with its
    /// carrier.
    pub async fn set_group_bundle(
        &self,
        by: &Operator,
        (mode, partner, id): (Mode, &str, &str),
        (wish, period_no): (&BundleWish, i64),
    ) -> Result<GroupPlace> {
        let group = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let owner = partner_of(&mut tx, mode, partner).await?;
                tx.hold_group((mode, owner.id, id)).await?;
                let before = group_of(&mut tx, mode, (partner, id)).await?;
                if before.period.no != period_no {
                    let detail = format!("the group's period is {} by now", before.period.no);
                    return Err(Problem::conflict("OTHER_PERIOD", detail).into());
                }
                let plan = plan_of(&mut tx, mode, wish).await?;
                let mut group = before.clone();
                group.bundle = bundle_of(plan, wish, &before.bundle.carrier_group);
                if group.bundle.carrier != before.bundle.carrier && before.held_count > 0 {
                    let carrier = &before.bundle.carrier;
                    let detail = format!("the group has SIMs of {carrier}: remove them first");
                    return Err(Problem::conflict("OTHER_CARRIER", detail).into());
                }
                let at_carrier = (&*group.bundle.carrier, &*group.bundle.carrier_group);
                if tx.is_carrier_group_taken(key(&before), at_carrier).await? {
                    return Err(carrier_group_taken(&group.bundle).into());
                }
                let zone = self.zone_of(&mut tx, (mode, before.partner_id)).await?;
                let no = before.period.no + 1;
                let period = Period::begin(no, self.now(mode), group.bundle.length, &zone);
                if !self.begin_period(&mut tx, &mut group, period).await? {
                    return Err(credit_exceeded().into());
                }
                group.metered_from = self.ctx.now();
                tx.update_group(&mut group).await?;
                self.write_bundle_jobs(&mut tx, &group).await?;
                self.record_group(&mut tx, by, ("group.bundle", partner), (Some(&before), &group))
                    .await?;
                tx.commit().await?;
                Ok(group)
            })
            .await?;
        self.bell.notify_one();
        Ok(GroupPlace { partner: partner.to_owned(), group })
    }

    /// A group.
    pub async fn show_group(&self, (mode, partner, id): (Mode, &str, &str)) -> Result<GroupPlace> {
        let group = group_of(&mut self.store.read().await?, mode, (partner, id)).await?;
        Ok(GroupPlace { partner: partner.to_owned(), group })
    }

    /// Groups after one, of a partner or of all, by partner and code; at most `limit`.
    pub async fn list_all_groups(
        &self,
        mode: Mode,
        partner: Option<&str>,
        (after, limit): (Option<&GroupPlace>, i64),
    ) -> Result<Vec<GroupPlace>> {
        let mut tx = self.store.read().await?;
        let groups = if let Some(code) = partner {
            let owner = partner_of(&mut tx, mode, code).await?;
            let after = after.map_or("", |after| after.group.id.as_str());
            tx.groups((mode, owner.id, after), limit).await?
        } else {
            let whose = after.map(|after| after.group.partner_id.to_string());
            let after = after.map_or("", |after| after.group.id.as_str());
            let after = (whose.as_deref().unwrap_or_default(), after);
            tx.groups_of_all(mode, after, limit).await?
        };
        let mut places = Vec::with_capacity(groups.len());
        for group in groups {
            let owner = self.partner_by_id(&mut tx, mode, group.partner_id).await?;
            let partner = owner.map(|known| known.partner.code.clone()).unwrap_or_default();
            places.push(GroupPlace { partner, group });
        }
        Ok(places)
    }

    /// A group's operations before one with a number, the newest first.
    pub async fn list_group_operations(
        &self,
        (mode, partner, id): (Mode, &str, &str),
        (before, limit): (Option<i64>, i64),
    ) -> Result<Vec<Operation>> {
        let mut tx = self.store.read().await?;
        let group = group_of(&mut tx, mode, (partner, id)).await?;
        Ok(tx.operations_of_group(key(&group), before.unwrap_or(i64::MAX), limit).await?)
    }

    /// An operation, with the partner's code.
    pub async fn show_group_operation(
        &self,
        mode: Mode,
        request_id: &str,
        wish: ResultWish,
    ) -> Result<(String, OperationResult)> {
        let unknown = || Problem::not_found("operation");
        let id = request_id.parse().map_err(|_| unknown())?;
        let mut tx = self.store.read().await?;
        let operation = tx.find_operation(mode, id).await?.ok_or_else(unknown)?;
        let owner = self.partner_by_id(&mut tx, mode, operation.partner_id).await?;
        let partner = owner.map(|known| known.partner.code.clone()).unwrap_or_default();
        Ok((partner, result(&mut tx, operation, wish).await?))
    }

    /// What became true of a group, the first thing first: kind, subject, detail and time.
    pub async fn group_events(
        &self,
        (mode, partner, id): (Mode, &str, &str),
        limit: i64,
    ) -> Result<Vec<(String, String, String, Timestamp)>> {
        let mut tx = self.store.read().await?;
        let group = group_of(&mut tx, mode, (partner, id)).await?;
        let events = tx.group_events(key(&group), limit).await?.into_iter();
        Ok(events.map(|one| (one.kind, one.subject, one.detail, one.at)).collect())
    }
}
