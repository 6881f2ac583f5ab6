//! Groups at the built-in network. A SIM fares by its ending as its orders do; one more ending is for groups:
//!
//! | ending | what it does |
//! |---|---|
//! | 9010 | it says yes and does nothing |
//!
//! Each SIM uses the same every minute while it is in a group whose data flows.

use std::collections::HashMap;

use domain::group::CarrierPolicy;
use domain::{Iccid, Span, Timestamp};

use super::{Behaviour, MINUTE_BYTES, PUT_OFF, PUT_OFF_TIMES, Simulator, ending};
use crate::{Accepted, ControlError, GroupUsage, Membership};

/// What a SIM of a group that is slow uses, as a part of what it uses else.
const SLOW_PART: u64 = 16;

/// What the network knows of groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<String, Group>,
    put_off: HashMap<Iccid, u32>,
}

#[derive(Debug)]
struct Group {
    sims: HashMap<Iccid, Stay>,
    policy: CarrierPolicy,
    /// Since when.
    since: Timestamp,
}

/// A SIM's time in a group.
#[derive(Debug, Default)]
struct Stay {
    /// From when to when; the last one may have no end.
    times: Vec<(Timestamp, Option<Timestamp>)>,
    /// What is under way: when it is done, and whether it is a joining.
    pending: Option<(Timestamp, bool)>,
}

impl Stay {
    fn is_in(&self) -> bool {
        self.times.last().is_some_and(|(_, to)| to.is_none())
    }

    /// Does what has become due.
    fn settle(&mut self, now: Timestamp) {
        if let Some((at, joins)) = self.pending.filter(|(at, _)| *at <= now) {
            self.pending = None;
            match (joins, self.is_in()) {
                (true, false) => self.times.push((at, None)),
                (false, true) => {
                    if let Some(last) = self.times.last_mut() {
                        last.1 = Some(at);
                    }
                }
                _ => {}
            }
        }
    }

    /// Minutes within a time.
    fn minutes(&self, from: Timestamp, to: Timestamp) -> u64 {
        let within = |(begin, end): &(Timestamp, Option<Timestamp>)| {
            let end = end.unwrap_or(to).min(to);
            u64::try_from(end.since((*begin).max(from)).as_micros() / 60_000_000).unwrap_or(0)
        };
        self.times.iter().map(within).sum()
    }
}

impl Simulator {
    /// Lets a SIM join a group, or leave it.
    pub(super) fn change_group(
        &self,
        group: &str,
        iccid: &Iccid,
        joins: bool,
    ) -> Result<Accepted, ControlError> {
        let said = || Accepted { request_id: None, said: "simulated".to_owned() };
        let lost = || ControlError::Unclear { message: "the reply was lost".to_owned() };
        if ending(iccid) == "9010" {
            return Ok(said());
        }
        match self.behaviour_of(iccid) {
            Behaviour::Accept => self.begin_change(group, iccid, (joins, Span::seconds(0))),
            Behaviour::Delay(delay) => self.begin_change(group, iccid, (joins, delay)),
            Behaviour::Refuse => {
                let message = "the simulator refuses SIMs of this kind".to_owned();
                return Err(ControlError::Refused { code: "SIM_REFUSED".to_owned(), message });
            }
            Behaviour::RetryLater => {
                let mut groups = self.groups();
                let times = groups.put_off.entry(iccid.clone()).or_default();
                if *times < PUT_OFF_TIMES {
                    *times += 1;
                    let message = "the SIM has a pending operation".to_owned();
                    return Err(ControlError::RetryLater { after: PUT_OFF, message });
                }
                groups.put_off.remove(iccid);
                drop(groups);
                self.begin_change(group, iccid, (joins, Span::seconds(0)));
            }
            Behaviour::TimeOut => {
                self.begin_change(group, iccid, (joins, Span::seconds(0)));
                return Err(lost());
            }
            Behaviour::CannotTell => return Err(lost()),
        }
        Ok(said())
    }

    fn begin_change(&self, group: &str, iccid: &Iccid, (joins, delay): (bool, Span)) {
        let now = self.ctx.now();
        let mut groups = self.groups();
        let new = || Group { sims: HashMap::new(), policy: CarrierPolicy::Open, since: now };
        let group = groups.groups.entry(group.to_owned()).or_insert_with(new);
        let stay = group.sims.entry(iccid.clone()).or_default();
        stay.settle(now);
        if stay.pending.is_none_or(|(_, joining)| joining != joins) {
            stay.pending = Some((now + delay, joins));
            stay.settle(now);
        }
    }

    /// Whether a SIM is in a group.
    pub(super) fn membership(&self, group: &str, iccid: &Iccid) -> Membership {
        if self.behaviour_of(iccid) == Behaviour::CannotTell {
            let message = "the simulator does not say for SIMs of this kind".to_owned();
            return Membership::CannotTell { message };
        }
        if let Err(error) = self.reach(iccid) {
            return Membership::CannotTell { message: error.message };
        }
        let mut groups = self.groups();
        let stay = groups.groups.get_mut(group).and_then(|group| group.sims.get_mut(iccid));
        let Some(stay) = stay else { return Membership::Out };
        stay.settle(self.ctx.now());
        match (stay.pending, stay.is_in()) {
            (Some(_), _) => Membership::Pending,
            (None, true) => Membership::In,
            (None, false) => Membership::Out,
        }
    }

    /// What the SIMs of a group used since a time, while its policy was what it is now.
    pub(super) fn used_by_group(&self, group: &str, from: Timestamp) -> GroupUsage {
        let now = self.ctx.now();
        let mut groups = self.groups();
        let Some(group) = groups.groups.get_mut(group) else {
            return GroupUsage { used: 0, as_of: Some(now) };
        };
        let mut used: u64 = 0;
        for stay in group.sims.values_mut() {
            stay.settle(now);
            let changed = group.since.max(from).min(now);
            let fast =
                stay.minutes(from, if group.policy == CarrierPolicy::Open { now } else { changed });
            let slow = match group.policy {
                CarrierPolicy::Throttled => stay.minutes(changed, now) * MINUTE_BYTES / SLOW_PART,
                CarrierPolicy::Open | CarrierPolicy::Stopped => 0,
            };
            used = used.saturating_add(fast.saturating_mul(MINUTE_BYTES)).saturating_add(slow);
        }
        GroupUsage { used, as_of: Some(now) }
    }

    /// Changes what a group may do with data.
    pub(super) fn set_group_policy(&self, group: &str, policy: CarrierPolicy) {
        let now = self.ctx.now();
        let new = || Group { sims: HashMap::new(), policy, since: now };
        let mut groups = self.groups();
        let group = groups.groups.entry(group.to_owned()).or_insert_with(new);
        if group.policy != policy {
            (group.policy, group.since) = (policy, now);
        }
    }
}
