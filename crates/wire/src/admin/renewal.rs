//! Auto-renewals: the agreements to buy a plan again each period, and what became of them.

use super::order::{TIMELINE_MAX, TimelineEntry};
use super::record::kinds::{COUNT, FREE, MODE, NUMBER};
use super::record::{Kind, records};

/// Where an agreement stands.
pub const STATES: &[&str] = &["active", "cancelled", "replaced"];
/// Who brings its periods.
const PAID_BY: &[&str] = &["partner", "stripe"];

records! {
    /// An agreement to buy a plan again each period.
    Renewal {
        /// Live or test.
        mode: String = MODE,
        /// The code of the partner that sold it.
        partner: String = Kind::Code,
        /// Our id.
        renewal_id: String = Kind::Id("rnw"),
        /// The SIM.
        iccid: String = Kind::Iccid,
        /// Our id of the order with which it began.
        order_id: String = Kind::Id("ord"),
        /// The client's number of that order.
        order_no: String = NUMBER,
        /// The plan that it buys.
        plan_code: String = NUMBER,
        /// The unit of its periods.
        unit: String = Kind::Word(super::catalogue::UNITS),
        /// How many units at a time.
        periods: i64 = COUNT,
        /// `partner`: the partner is paid and sends an order for each period. `stripe`: a subscription there pays.
        paid_by: String = Kind::Word(PAID_BY),
        /// `active`, `cancelled` or `replaced` by a later one.
        state: String = Kind::Word(STATES),
        /// When it was agreed.
        agreed_at: String = Kind::Time,
        /// When it ended.
        ended_at: Option<String> = Kind::Time,
        /// When the next period is due; left out where none is waited for.
        next_at: Option<String> = Kind::Time,
        /// `success`, `failed`, or empty before the first period that was to renew it.
        last_result: String = Kind::Word(&["", "success", "failed"]),
        /// How many periods in a row did not come, or were declined.
        misses: i64 = COUNT,
    }
    /// A subscription at Stripe, as it was last known.
    Subscription {
        /// What Stripe calls it; empty until that is known.
        subscription_id: String = FREE,
        /// Stripe's word for how it stands; empty until that is known.
        status: String = FREE,
        /// When the running period ends.
        period_ends_at: Option<String> = Kind::Time,
        /// Why its last invoice is not paid; empty otherwise.
        decline_code: String = FREE,
        /// When that is tried again.
        next_try_at: Option<String> = Kind::Time,
        /// Whether it is to be ended there.
        ends: bool = Kind::Bool,
    }
    /// All that is known of an agreement, as it happened.
    RenewalTimeline {
        /// The agreement.
        renewal: Renewal = Kind::Record(&Renewal::RECORD),
        /// Why it renewed last, or did not, in a sentence.
        why: String = Kind::Text { min: 1, max: 2_000 },
        /// Its subscription at Stripe.
        subscription: Option<Subscription> = Kind::Record(&Subscription::RECORD),
        /// What happened, the first thing first.
        entries: Vec<TimelineEntry> = Kind::List(&Kind::Record(&TimelineEntry::RECORD), TIMELINE_MAX),
    }
    /// Why an agreement ends.
    CancelRenewal {
        /// Why, for the audit log.
        reason: String = Kind::Text { min: 1, max: 500 },
    }
}
