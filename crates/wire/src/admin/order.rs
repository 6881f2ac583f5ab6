//! Orders, with their payment, plan, postings and jobs.

use super::job::Job;
use super::ledger::Posting;
use serde_json::Value;

use super::record::kinds::{COUNT, FREE, MODE, NUMBER};
use super::record::{Kind, records};

/// What a person finds out of an order that waits for one.
pub const FINDINGS: &[&str] = &["provisioned", "not_provisioned", "refund"];
/// The most entries of a timeline.
pub const TIMELINE_MAX: usize = 1_000;
/// A longer text.
const LONG: Kind = Kind::Text { min: 0, max: 1_000 };

/// The states of an order.
pub const STATES: &[&str] = &[
    "AWAITING_PAYMENT",
    "PAID",
    "PROVISIONING",
    "PROVISIONED",
    "CLOSED",
    "REVIEW",
    "FAILED",
    "REFUNDING",
    "REFUNDED",
];

records! {
    /// One purchase of one plan for one SIM.
    Order {
        /// Live or test.
        mode: String = MODE,
        /// The code of the partner that sold it.
        partner: String = Kind::Code,
        /// Our id.
        order_id: String = Kind::Id("ord"),
        /// The client's number of it (`orderNo`).
        order_no: String = NUMBER,
        /// The client's number of its payment (`payId`).
        pay_id: String = NUMBER,
        /// The partner's own reference (`requestOrderId`); may be empty.
        request_order_id: String = NUMBER,
        /// The order that this one renews, as the partner names it; may be empty.
        org_order_id: String = NUMBER,
        /// `mall`: made here. `reported`: paid at the partner's.
        source: String = Kind::Word(&["mall", "reported"]),
        /// The SIM.
        iccid: String = Kind::Iccid,
        /// The plan.
        plan_code: String = NUMBER,
        /// The plan's name as the client showed it; may be empty.
        show_name: String = FREE,
        /// The package.
        package_code: String = NUMBER,
        /// The carrier that provides it.
        carrier: String = FREE,
        /// That carrier's product id.
        carrier_product: String = FREE,
        /// That carrier's id of the order; may be empty.
        upstream_id: String = FREE,
        /// The unit of its periods.
        unit: String = Kind::Word(super::catalogue::UNITS),
        /// How many periods.
        periods: u32 = Kind::Whole { min: 1, max: 999 },
        /// Whether a unit is the calendar's.
        calendar: bool = Kind::Bool,
        /// What the partner owes for it.
        settle_amount: Option<String> = Kind::Amount,
        /// In which currency.
        settle_currency: Option<String> = Kind::Currency,
        /// Whether an auto-renewal was agreed with it.
        auto_renewal: bool = Kind::Bool,
        /// How it stands.
        state: String = Kind::Word(STATES),
        /// Why it failed or needs a person: for programs.
        failure_code: Option<String> = FREE,
        /// Why it failed or needs a person: for people.
        failure_message: Option<String> = FREE,
        /// When it came.
        created_at: String = Kind::Time,
        /// When it closes if it is not paid.
        closes_at: Option<String> = Kind::Time,
        /// When it was paid.
        paid_at: Option<String> = Kind::Time,
        /// When the plan was put on the SIM.
        provisioned_at: Option<String> = Kind::Time,
    }
    /// The attempt to take an order's money.
    Payment {
        /// Our id.
        payment_id: String = Kind::Id("pay"),
        /// Who takes it.
        channel: String = FREE,
        /// How much.
        amount: String = Kind::Amount,
        /// The currency.
        currency: String = Kind::Currency,
        /// How it stands.
        state: String = FREE,
        /// Since when its outcome is known.
        result_at: Option<String> = Kind::Time,
        /// The payment provider's number; may be empty.
        transaction_id: String = FREE,
    }
    /// The plan that an order put on a SIM.
    SimPlan {
        /// Its place in the SIM's queue.
        queue_no: i64 = COUNT,
        /// `waiting`, `in_use`, `finished` or `revoked`.
        state: String = Kind::Word(&["waiting", "in_use", "finished", "revoked"]),
        /// When it began.
        effective_at: Option<String> = Kind::Time,
        /// When it ends.
        expires_at: Option<String> = Kind::Time,
    }
    /// An order that waits for a person, and what is known of it.
    Review {
        /// Our id of the order.
        order_id: String = Kind::Id("ord"),
        /// The code of the partner that sold it.
        partner: String = Kind::Code,
        /// The client's number of it.
        order_no: String = NUMBER,
        /// The SIM.
        iccid: String = Kind::Iccid,
        /// The carrier that was asked last.
        carrier: String = FREE,
        /// When it was paid.
        paid_at: String = Kind::Time,
        /// Why it waits: for programs.
        code: String = FREE,
        /// Why it waits: for people.
        message: String = LONG,
        /// How often its carriers were asked.
        attempts: i64 = COUNT,
        /// When it was last about to be sent; left out where it never was.
        sent_at: Option<String> = Kind::Time,
        /// When something was last heard of that: as a rule since when it waits.
        heard_at: Option<String> = Kind::Time,
        /// The carrier's last words, without secrets, or why there are none.
        said: String = LONG,
    }
    /// What a person found out, and decides.
    Resolve {
        /// `provisioned`: the plan is on the SIM. `not_provisioned`: it is not, and the carrier is asked again.
        /// `refund`: the order ends without a plan, and what was owed for it is given back.
        finding: String = Kind::Word(FINDINGS),
        /// How that is known.
        reason: String = Kind::Text { min: 1, max: 500 },
        /// The carrier's id of the order, if it is provisioned and the id was not known.
        upstream_id: Option<String> = FREE,
    }
    /// What shall go back of what was paid for an order, and why.
    RefundOrder {
        /// How much; all that is left if it is not given. An order that the partner was paid for goes back whole.
        amount: Option<String> = Kind::Amount,
        /// Why, for the audit log.
        reason: String = Kind::Text { min: 1, max: 500 },
    }
    /// Money that goes back to an end user.
    Refund {
        /// Our id.
        refund_id: String = Kind::Id("ref"),
        /// How much.
        amount: String = Kind::Amount,
        /// The currency.
        currency: String = Kind::Currency,
        /// `asked`, `pending`, `succeeded` or `failed`.
        state: String = Kind::Word(&["asked", "pending", "succeeded", "failed"]),
        /// Why.
        reason: String = FREE,
        /// Who wanted it: an operator, `mall`, or `stripe` where it was made there.
        actor: String = FREE,
        /// What the cashier calls it; empty until that is known.
        cashier_id: String = FREE,
        /// Why it failed; empty otherwise.
        failure: String = FREE,
        /// When it was asked for.
        created_at: String = Kind::Time,
        /// When it succeeded or failed.
        ended_at: Option<String> = Kind::Time,
    }
    /// One thing that happened.
    TimelineEntry {
        /// When.
        at: String = Kind::Time,
        /// `request`, `order`, `renewal`, `payment`, `attempt`, `plan`, `posting`, `job` or `operator`.
        kind: String = FREE,
        /// What happened, in a sentence.
        what: String = Kind::Text { min: 1, max: 2_000 },
        /// The details, by name.
        details: Value = Kind::Any,
    }
    /// All that is known of an order, as it happened.
    Timeline {
        /// The order.
        order: Order = Kind::Record(&Order::RECORD),
        /// What happened, the first thing first.
        entries: Vec<TimelineEntry> = Kind::List(&Kind::Record(&TimelineEntry::RECORD), TIMELINE_MAX),
    }
    /// An order with all that belongs to it.
    OrderDetail {
        /// The order.
        order: Order = Kind::Record(&Order::RECORD),
        /// Its payment.
        payment: Option<Payment> = Kind::Record(&Payment::RECORD),
        /// The plan it put on the SIM.
        sim_plan: Option<SimPlan> = Kind::Record(&SimPlan::RECORD),
        /// What was booked for it.
        postings: Vec<Posting> = Kind::List(&Kind::Record(&Posting::RECORD), 200),
        /// The money that went back, or is on its way.
        refunds: Vec<Refund> = Kind::List(&Kind::Record(&Refund::RECORD), 200),
        /// What is still to be done for it.
        jobs: Vec<Job> = Kind::List(&Kind::Record(&Job::RECORD), 10),
    }
}
