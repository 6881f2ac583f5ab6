//! Groups of SIMs that share a bundle, and the operations on them.

use super::record::kinds::{COUNT, FREE, MODE, NUMBER};
use super::record::{Kind, records};

/// Whether the SIMs of a group have data.
pub const STATES: &[&str] = &["active", "stopped", "throttled", "ended"];
/// What happens when the shared volume is used up.
pub const AT_LIMIT: &[&str] = &["stop", "throttle", "renew"];
/// What happens when a period is over.
pub const AT_END: &[&str] = &["renew", "end"];
/// What a person finds out of a SIM of which nobody can tell whether it is in its group.
pub const FINDINGS: &[&str] = &["in", "out"];
/// What is done to the SIMs of a group.
pub const OPERATIONS: &[&str] = &["ADD_SIMS", "REMOVE_SIMS"];
/// How far an operation is.
pub const OPERATION_STATES: &[&str] =
    &["ACCEPTED", "RUNNING", "SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED"];
/// What came of a SIM of an operation.
pub const SIM_STATES: &[&str] = &["WAITING", "SUCCEEDED", "FAILED", "CANCELLED", "REVIEW"];
/// The most SIMs that a group may be allowed.
pub const SIM_LIMIT_MAX: i64 = 10_000_000;

/// A group's code.
const GROUP_ID: Kind = Kind::Text { min: 1, max: 36 };
/// A group's name.
const GROUP_NAME: Kind = Kind::Text { min: 1, max: 64 };
const SIM_LIMIT: Kind = Kind::Whole { min: 0, max: SIM_LIMIT_MAX };
const REQUEST: Kind = Kind::Id("gop");

records! {
    /// SIMs of a partner that share a bundle.
    Group {
        /// Live or test.
        mode: String = MODE,
        /// The code of the partner whose SIMs they are.
        partner: String = Kind::Code,
        /// The code by which the partner knows it.
        group_id: String = GROUP_ID,
        /// Its name.
        name: String = GROUP_NAME,
        /// Whether its SIMs have data: `active`; `stopped` or `throttled`, as its volume is used up; `ended`.
        state: String = Kind::Word(STATES),
        /// How many SIMs are in it.
        sim_count: i64 = COUNT,
        /// How many places are taken: by SIMs that join or wait for a person as well.
        held_count: i64 = COUNT,
        /// How many SIMs there may be.
        sim_limit: i64 = SIM_LIMIT,
        /// The plan that they share.
        plan_code: String = NUMBER,
        /// Its package.
        package_code: String = NUMBER,
        /// The unit of its periods.
        unit: String = Kind::Word(super::catalogue::UNITS),
        /// How many units a period of the bundle has.
        periods: i64 = COUNT,
        /// Bytes that are shared in a period; left out where they are unlimited.
        volume_bytes: Option<i64> = COUNT,
        /// The carrier.
        carrier: String = Kind::Code,
        /// What that carrier calls the group.
        carrier_group: String = FREE,
        /// What happens when the volume is used up: `stop`, `throttle`, or `renew`: the next period begins at once.
        at_limit: String = Kind::Word(AT_LIMIT),
        /// What happens when a period is over: the next one begins, or the bundle ends.
        at_end: String = Kind::Word(AT_END),
        /// The number of the period that runs, or ran last.
        period_no: i64 = COUNT,
        /// When it began.
        effective_at: String = Kind::Time,
        /// When it is over.
        expires_at: String = Kind::Time,
        /// Bytes that its SIMs used in it, as the carrier told.
        used_bytes: i64 = COUNT,
        /// When the carrier told so.
        used_at: Option<String> = Kind::Time,
        /// What the carrier does with its data; left out while it is asked and that is not known.
        carrier_policy: Option<String> = Kind::Word(&["open", "throttled", "stopped"]),
        /// When it was made.
        created_at: String = Kind::Time,
    }
    /// A group to be made.
    NewGroup {
        /// The code by which the partner shall know it: letters, digits, `-` and `_`.
        group_id: String = Kind::Text { min: 1, max: 32 },
        /// Its name.
        name: String = GROUP_NAME,
        /// How many SIMs there may be.
        sim_limit: i64 = SIM_LIMIT,
        /// The plan that its SIMs share. Its package says carrier and volume, which are the whole group's.
        plan_code: String = Kind::Code,
        /// How many units a period of the bundle has; 1 if left out.
        periods: Option<u32> = Kind::Whole { min: 1, max: 999 },
        /// What the carrier calls the group; one that no other group has is made if it is left out.
        carrier_group: Option<String> = Kind::Text { min: 1, max: 128 },
        /// What happens when the volume is used up; `stop` if left out.
        at_limit: Option<String> = Kind::Word(AT_LIMIT),
        /// What happens when a period is over; `renew` if left out.
        at_end: Option<String> = Kind::Word(AT_END),
    }
    /// What is to change of a group.
    GroupChange {
        /// Its name.
        name: Option<String> = GROUP_NAME,
        /// How many SIMs there may be. Fewer than there are: none is added until there is room.
        sim_limit: Option<i64> = SIM_LIMIT,
        /// What happens when the volume is used up, from now on.
        at_limit: Option<String> = Kind::Word(AT_LIMIT),
        /// What happens when this period is over.
        at_end: Option<String> = Kind::Word(AT_END),
    }
    /// What the SIMs of a group shall share, from now on.
    PutBundle {
        /// The number of the period that ends by it, so that a repeat does not begin, and charge, one more.
        period_no: i64 = COUNT,
        /// The plan. While SIMs are in the group, its package is of the same carrier.
        plan_code: String = Kind::Code,
        /// How many units a period of the bundle has; 1 if left out.
        periods: Option<u32> = Kind::Whole { min: 1, max: 999 },
        /// What happens when the volume is used up; `stop` if left out.
        at_limit: Option<String> = Kind::Word(AT_LIMIT),
        /// What happens when a period is over; `renew` if left out.
        at_end: Option<String> = Kind::Word(AT_END),
    }
    /// Adding SIMs to a group, or removing them.
    Operation {
        /// Live or test.
        mode: String = MODE,
        /// The partner's code.
        partner: String = Kind::Code,
        /// Its id: the `request_id`.
        request_id: String = REQUEST,
        /// The group.
        group_id: String = GROUP_ID,
        /// What is done.
        operation: String = Kind::Word(OPERATIONS),
        /// How far it is.
        state: String = Kind::Word(OPERATION_STATES),
        /// Whether what had not begun was not to begin any more.
        cancelled: bool = Kind::Bool,
        /// How many SIMs it is about.
        total: i64 = COUNT,
        /// Those that are done.
        succeeded: i64 = COUNT,
        /// Those that failed.
        failed: i64 = COUNT,
        /// Those that were not begun when it was cancelled.
        not_begun: i64 = COUNT,
        /// Those that wait for a person.
        in_review: i64 = COUNT,
        /// The operation whose failures it tries again.
        retry_of: Option<String> = REQUEST,
        /// When it was made.
        created_at: String = Kind::Time,
        /// When the last of its SIMs was decided.
        finished_at: Option<String> = Kind::Time,
    }
    /// A SIM of an operation.
    OperationSim {
        /// The SIM.
        iccid: String = Kind::Iccid,
        /// What came of it.
        state: String = Kind::Word(SIM_STATES),
        /// Why, or why it waits: for programs; may be empty.
        code: String = FREE,
        /// The carrier's own code where it refused; may be empty.
        detail: String = FREE,
        /// Since when it waits.
        waits_since: Option<String> = Kind::Time,
    }
    /// A SIM of which nobody can tell whether it is in its group.
    GroupReview {
        /// The partner's code.
        partner: String = Kind::Code,
        /// The group.
        group_id: String = GROUP_ID,
        /// The SIM.
        iccid: String = Kind::Iccid,
        /// The operation that left it in doubt.
        request_id: Option<String> = REQUEST,
        /// What was to be done.
        operation: String = Kind::Word(OPERATIONS),
        /// When its carrier was asked.
        asked_at: Option<String> = Kind::Time,
        /// What its carrier said last.
        said: String = FREE,
    }
    /// What a person found out of a SIM that waits for one.
    ResolveSim {
        /// `in`: at its carrier the SIM is in the group. `out`: it is not.
        finding: String = Kind::Word(FINDINGS),
        /// How that is known.
        reason: String = Kind::Text { min: 1, max: 500 },
    }
}
