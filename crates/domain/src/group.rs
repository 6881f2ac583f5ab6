//! Groups of SIMs that share a bundle: what a group is, and what can come of adding a SIM to it or removing one.

use std::str::FromStr;

use crate::UnknownWord;
use crate::iccid::Iccid;
use crate::id::{GroupOperationId, PartnerId};
use crate::mode::Mode;
use crate::package::{PlanLength, Volume};
use crate::time::{Span, Timestamp, Zone};

/// Declares an enum of words, as they are stored.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $count:literal: $($(#[$of:meta])* $value:ident = $word:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$of])* $value),* }

        impl $name {
            /// All of them.
            pub const ALL: [Self; $count] = [$(Self::$value),*];

            /// The word stored in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word),* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                UnknownWord::or_find(&Self::ALL, Self::as_str, text, $what)
            }
        }
    };
}

words! {
    /// Whether the SIMs of a group have data.
    GroupState, "state of a group", 4:
    /// They have.
    Active = "active",
    /// The shared volume is used up, and its policy says that there is no more.
    Stopped = "stopped",
    /// The shared volume is used up, and there is slow data only.
    Throttled = "throttled",
    /// The bundle is over. Its SIMs stay in the group without data; none is added.
    Ended = "ended",
}

words! {
    /// What happens when the shared volume is used up.
    AtLimit, "policy of a bundle", 3:
    /// There is no data until the next period.
    Stop = "stop",
    /// Data is slow until the next period.
    Throttle = "throttle",
    /// The next period begins at once.
    Renew = "renew",
}

words! {
    /// What happens when a period is over.
    AtEnd, "end of a bundle", 2:
    /// The next one begins.
    Renew = "renew",
    /// The bundle ends.
    End = "end",
}

words! {
    /// What a carrier does with a group's data.
    CarrierPolicy, "policy at a carrier", 3:
    /// It flows.
    Open = "open",
    /// It is slow.
    Throttled = "throttled",
    /// There is none.
    Stopped = "stopped",
}

words! {
    /// How a SIM stands in its group.
    MemberState, "state of a member", 4:
    /// Its carrier is asked to take it in.
    Joining = "joining",
    /// It is in.
    Member = "member",
    /// Its carrier is asked to take it out; until then it is in.
    Leaving = "leaving",
    /// Nobody can tell; a person decides.
    Review = "review",
}

words! {
    /// How far a carrier is with a SIM that joins or leaves.
    MemberStep, "step of a member", 4:
    /// It is not asked.
    Idle = "",
    /// It is being asked, or nobody wrote down what it said.
    Asking = "asking",
    /// It took the request; what came of it is looked for.
    Accepted = "accepted",
    /// It may have done it or not: it is looked for.
    Unclear = "unclear",
}

words! {
    /// What is done to the SIMs of a group.
    OperationKind, "kind of operation", 2:
    /// They are added.
    AddSims = "ADD_SIMS",
    /// They are removed.
    RemoveSims = "REMOVE_SIMS",
}

words! {
    /// How far an operation is.
    OperationState, "state of an operation", 5:
    /// It is written down.
    Accepted = "ACCEPTED",
    /// Its SIMs are being done.
    Running = "RUNNING",
    /// All succeeded.
    Succeeded = "SUCCEEDED",
    /// Some succeeded.
    PartiallySucceeded = "PARTIALLY_SUCCEEDED",
    /// None succeeded.
    Failed = "FAILED",
}

impl OperationState {
    /// Whether nothing more is to come.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::PartiallySucceeded | Self::Failed)
    }
}

words! {
    /// What came of a SIM of an operation.
    ItemState, "state of an operation's SIM", 5:
    /// It is not decided.
    Waiting = "WAITING",
    /// It is done.
    Succeeded = "SUCCEEDED",
    /// It is not done.
    Failed = "FAILED",
    /// It was not begun before the operation was cancelled.
    Cancelled = "CANCELLED",
    /// Nobody can tell; a person decides.
    Review = "REVIEW",
}

words! {
    /// Why a SIM of an operation waits, failed, or was nothing to do for.
    ItemCode, "code of an operation's SIM", 19:
    /// No such SIM, or another partner's.
    SimUnknown = "SIM_UNKNOWN",
    /// Nothing can be sold for it.
    SimNotSellable = "SIM_NOT_SELLABLE",
    /// Its carrier is not the bundle's, or has no groups.
    SimNotForGroup = "SIM_NOT_FOR_GROUP",
    /// It is in the group already: nothing had to be done.
    AlreadyInGroup = "ALREADY_IN_GROUP",
    /// It is in another group.
    SimInOtherGroup = "SIM_IN_OTHER_GROUP",
    /// It is not in the group.
    SimNotInGroup = "SIM_NOT_IN_GROUP",
    /// An earlier operation left it in doubt, and a person has not decided yet.
    SimInReview = "SIM_IN_REVIEW",
    /// The group has no place left.
    GroupFull = "GROUP_FULL",
    /// The group's bundle is over.
    GroupEnded = "GROUP_ENDED",
    /// An order or another operation is under way for it.
    SimBusy = "SIM_BUSY",
    /// Its carrier puts it off.
    CarrierBusy = "CARRIER_BUSY",
    /// Its carrier works on it.
    CarrierWorking = "CARRIER_WORKING",
    /// Its carrier cannot be asked.
    CarrierUnavailable = "CARRIER_UNAVAILABLE",
    /// Its carrier refused.
    CarrierRefused = "CARRIER_REFUSED",
    /// Its carrier said yes, and did not do it.
    CarrierDidNot = "CARRIER_DID_NOT",
    /// Nobody can tell what its carrier did.
    CarrierUnclear = "CARRIER_UNCLEAR",
    /// The operation was cancelled before it began.
    Cancelled = "CANCELLED",
    /// A person found that it was done.
    FoundDone = "FOUND_DONE",
    /// A person found that it was not done.
    FoundUndone = "FOUND_UNDONE",
}

/// The bundle of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The plan that is sold.
    pub plan_code: String,
    /// Its package.
    pub package_code: String,
    /// How long a period of the bundle is.
    pub length: PlanLength,
    /// What its SIMs share in a period.
    pub volume: Volume,
    /// The carrier.
    pub carrier: String,
    /// What that carrier calls the group.
    pub carrier_group: String,
    /// What happens when the volume is used up.
    pub at_limit: AtLimit,
    /// What happens when a period is over.
    pub at_end: AtEnd,
}

/// A period of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its number among those of the group, from 1.
    pub no: i64,
    /// When the first one began of an unbroken row, from which the calendar's units are counted.
    pub counted_from: Timestamp,
    /// When it begins.
    pub effective_at: Timestamp,
    /// When it is over.
    pub expire_at: Timestamp,
}

impl Period {
    /// One that begins by itself.
    pub fn begin(no: i64, at: Timestamp, length: PlanLength, zone: &Zone) -> Self {
        Self { no, counted_from: at, effective_at: at, expire_at: length.end(at, zone) }
    }

    /// The one that follows when this is over.
    pub fn next(self, length: PlanLength, zone: &Zone) -> Self {
        let (first, start) = (self.counted_from, self.expire_at);
        let in_row = length.end_in_row((first, start), Span::micros(0), zone);
        let expire_at = in_row.unwrap_or_else(|| length.end(start, zone));
        Self { no: self.no + 1, counted_from: first, effective_at: start, expire_at }
    }
}

/// A group of a partner's SIMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Live or test.
    pub mode: Mode,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// The code that the partner knows.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether its SIMs have data.
    pub state: GroupState,
    /// How many SIMs may be in it.
    pub sim_limit: i64,
    /// How many are in it.
    pub sim_count: i64,
    /// How many places are taken: by those that join or wait for a person as well.
    pub held_count: i64,
    /// The number of its newest operation.
    pub operation_no: i64,
    /// Its bundle.
    pub bundle: Bundle,
    /// The period that runs, or ran last.
    pub period: Period,
    /// Since when its usage is counted at the carrier: real time.
    pub metered_from: Timestamp,
    /// What its SIMs used in this period.
    pub used_bytes: u64,
    /// When the carrier said so.
    pub used_at: Option<Timestamp>,
    /// The highest part of the volume, of a hundred, that was told in this period.
    pub told: u32,
    /// What the carrier does with its data; `None` while it is asked, until that is known.
    pub carrier_policy: Option<CarrierPolicy>,
    /// Raised by every change but those of its counts.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The parts of a shared volume, of a hundred, that are told when they are used.
pub const THRESHOLDS: [u32; 3] = [50, 80, 100];

impl Group {
    /// What the carrier should do with its data.
    pub fn wanted_policy(&self) -> CarrierPolicy {
        match self.state {
            GroupState::Active => CarrierPolicy::Open,
            GroupState::Throttled => CarrierPolicy::Throttled,
            GroupState::Stopped | GroupState::Ended => CarrierPolicy::Stopped,
        }
    }

    /// The parts of the volume that are used and were not told.
    pub fn untold(&self) -> impl Iterator<Item = u32> {
        let (told, used) = (self.told, u128::from(self.used_bytes) * 100);
        let volume = match self.bundle.volume {
            Volume::Bytes(bytes) => Some(u128::from(bytes)),
            Volume::Unlimited => None,
        };
        let reached = move |part: &u32| volume.is_some_and(|all| used >= all * u128::from(*part));
        THRESHOLDS.into_iter().filter(move |part| *part > told).filter(reached)
    }
}

/// An operation on the SIMs of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Live or test.
    pub mode: Mode,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its id: the `request_id`.
    pub id: GroupOperationId,
    /// The group.
    pub group_id: String,
    /// Its number among those of the group.
    pub no: i64,
    /// What is done.
    pub kind: OperationKind,
    /// How far it is.
    pub state: OperationState,
    /// Whether what has not begun is not to begin.
    pub cancelled: bool,
    /// How many SIMs it is about, and what came of them.
    pub counts: ItemCounts,
    /// The caller's own key; empty where it gave none.
    pub idempotency_key: String,
    /// What it is about, reduced.
    pub content_hash: Vec<u8>,
    /// The operation whose failures it tries again.
    pub retry_of: Option<GroupOperationId>,
    /// The trace of the request; may be empty.
    pub trace: String,
    /// When it was asked for in real time.
    pub asked_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the last of its SIMs was decided.
    pub finished_at: Option<Timestamp>,
}

/// How many SIMs of an operation came to what. The rest is not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemCounts {
    /// All of them.
    pub total: i64,
    /// Those that are done.
    pub succeeded: i64,
    /// Those that failed.
    pub failed: i64,
    /// Those that were not begun when it was cancelled.
    pub cancelled: i64,
    /// Those that wait for a person.
    pub review: i64,
}

impl ItemCounts {
    /// How many are not decided.
    pub fn open(self) -> i64 {
        self.total - self.succeeded - self.failed - self.cancelled - self.review
    }

    /// Counts one more that came to something.
    pub fn add(&mut self, state: ItemState, by: i64) {
        match state {
            ItemState::Waiting => {}
            ItemState::Succeeded => self.succeeded += by,
            ItemState::Failed => self.failed += by,
            ItemState::Cancelled => self.cancelled += by,
            ItemState::Review => self.review += by,
        }
    }

    /// How far an operation with these is, of which some have begun.
    pub fn state(self) -> OperationState {
        if self.open() > 0 {
            OperationState::Running
        } else if self.succeeded == self.total {
            OperationState::Succeeded
        } else if self.succeeded == 0 && self.review == 0 {
            OperationState::Failed
        } else {
            OperationState::PartiallySucceeded
        }
    }
}

/// A SIM of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The SIM.
    pub iccid: Iccid,
    /// What came of it.
    pub state: ItemState,
    /// Why, or why it waits; what succeeds as a matter of course has none.
    pub code: Option<ItemCode>,
    /// The carrier's own code where it refused; may be empty.
    pub detail: String,
    /// Since when it waits, if it had to, and when it is tried again: real time.
    pub waits: Option<(Timestamp, Timestamp)>,
}

/// The most characters of [`Item::detail`].
const DETAIL_CHARS_MAX: usize = 40;

impl Item {
    /// One that nobody has begun.
    pub fn new(iccid: Iccid) -> Self {
        let (detail, waits) = (String::new(), None);
        Self { iccid, state: ItemState::Waiting, code: None, detail, waits }
    }

    /// The same with what came of it.
    #[must_use]
    pub fn ended(&self, state: ItemState, code: Option<ItemCode>, detail: &str) -> Self {
        let detail = detail.chars().filter(|one| one.is_ascii_graphic() || *one == ' ');
        let detail = detail.take(DETAIL_CHARS_MAX).collect();
        Self { iccid: self.iccid.clone(), state, code, detail, waits: None }
    }

    /// The same that has to wait for a while.
    #[must_use]
    pub fn waiting(&self, code: ItemCode, now: Timestamp, pause: Span) -> Self {
        let since = self.waits.map_or(now, |(since, _)| since);
        Self { code: Some(code), waits: Some((since, now + pause)), ..self.clone() }
    }

    /// For how long it has waited.
    pub fn waited(&self, now: Timestamp) -> Span {
        self.waits.map_or(Span::micros(0), |(since, _)| now.since(since))
    }

    /// Its line, as it is stored.
    pub fn line(&self) -> String {
        let (state, code) = (self.state.as_str(), self.code.map_or("", ItemCode::as_str));
        let waits = self.waits.map(|(since, until)| (since.as_micros(), until.as_micros()));
        let waits = waits.map(|(since, until)| format!("{since} {until}")).unwrap_or_default();
        format!("{}\t{state}\t{code}\t{waits}\t{}", self.iccid.as_str(), self.detail)
    }

    /// Reads its line back.
    pub fn from_line(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split('\t').collect();
        let [iccid, state, code, waits, detail] = cells.as_slice() else { return None };
        let code = if code.is_empty() { None } else { Some(code.parse().ok()?) };
        let time = |text: &str| text.parse().ok().map(Timestamp::from_micros);
        let waits = match waits.split_once(' ') {
            Some((since, until)) => Some((time(since)?, time(until)?)),
            None if waits.is_empty() => None,
            None => return None,
        };
        Some(Self {
            iccid: iccid.parse().ok()?,
            state: state.parse().ok()?,
            code,
            detail: (*detail).to_owned(),
            waits,
        })
    }
}

/// A SIM in a group, on its way in or out, or in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The SIM.
    pub iccid: Iccid,
    /// The group.
    pub group_id: String,
    /// Its place in the list.
    pub place: i64,
    /// How it stands.
    pub state: MemberState,
    /// The operation that moves it or left it in doubt, and its part; none once that is settled.
    pub moved_by: Option<(GroupOperationId, i64)>,
    /// When it came to be in the group; known of whoever is in it, and of whoever was before it came to be in doubt.
    pub joined_at: Option<Timestamp>,
    /// How far the carrier is.
    pub step: MemberStep,
    /// When the carrier was first asked: real time.
    pub asked_at: Option<Timestamp>,
    /// When to look again: real time.
    pub look_at: Option<Timestamp>,
    /// What the carrier said last.
    pub said: String,
}

impl Member {
    /// Whether it is in the group.
    pub fn is_in(&self) -> bool {
        matches!(self.state, MemberState::Member | MemberState::Leaving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_reads_back(
            state in 0_usize..5, code in prop::option::of(0_usize..19), since: Option<u32>, detail in ".{0,60}",
        ) {
            let item = Item::new("8985200000000000001".parse().unwrap());
            let code = code.map(|place| ItemCode::ALL[place]);
            let mut item = item.ended(ItemState::ALL[state], code, &detail);
            let time = |at: u32| Timestamp::from_micros(i64::from(at));
            item.waits = since.map(|at| (time(at), time(at)));
            prop_assert_eq!(Item::from_line(&item.line()), Some(item));
        }

        #[test]
        fn no_line_panics(line in "\\PC{0,80}") {
            let _ = Item::from_line(&line);
        }
    }

    #[test]
    fn what_an_operation_came_to() {
        let state = |total, succeeded, failed, review| {
            ItemCounts { total, succeeded, failed, cancelled: 0, review }.state()
        };
        assert_eq!(state(2, 1, 0, 0), OperationState::Running);
        assert_eq!(state(2, 2, 0, 0), OperationState::Succeeded);
        assert_eq!(state(2, 1, 1, 0), OperationState::PartiallySucceeded);
        assert_eq!(state(2, 0, 2, 0), OperationState::Failed);
        assert_eq!(state(2, 0, 1, 1), OperationState::PartiallySucceeded);
    }

    #[test]
    fn periods_of_the_calendar_follow_each_other_without_a_drift() {
        let at = |text| Zone::UTC.parse_date_time(text).unwrap();
        let unit = crate::package::PackageType::Monthly;
        let length = PlanLength { unit, periods: 1, calendar: true };
        let first = Period::begin(1, at("2024-01-31 10:00:00"), length, &Zone::UTC);
        let second = first.next(length, &Zone::UTC);
        let third = second.next(length, &Zone::UTC);
        assert_eq!(first.expire_at, at("2024-02-29 10:00:00"));
        assert_eq!((second.expire_at, second.no), (at("2024-03-31 10:00:00"), 2));
        assert_eq!(third.expire_at, at("2024-04-30 10:00:00"));
    }
}
