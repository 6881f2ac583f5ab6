//! Jobs: what is still to be done outside of a transaction.

use super::record::kinds::{COUNT, FREE, MODE};
use super::record::{Kind, records};

/// The kinds of jobs.
pub const KINDS: &[&str] = &[
    "provision",
    "close_order",
    "turn_plan",
    "look_at_sim",
    "import",
    "follow_payment",
    "refund",
    "stray_payment",
    "follow_subscription",
    "await_renewal",
    "revoke_plan",
    "group_chunk",
    "turn_group",
    "watch_group",
];
/// The states of jobs.
pub const STATES: &[&str] = &["ready", "dead"];

records! {
    /// Something that is still to be done. A job that is done is gone.
    Job {
        /// Live or test.
        mode: String = MODE,
        /// The partner's code; empty where it is about several.
        partner: String = FREE,
        /// Our id.
        job_id: String = Kind::Id("job"),
        /// What it does.
        kind: String = FREE,
        /// To what: the id of an order, an import or an operation, a group's code, or an ICCID.
        subject: String = FREE,
        /// `ready`: it runs at `run_at`, or runs now under a lease until then. `dead`: it was given
        /// up.
        state: String = Kind::Word(STATES),
        /// When it runs next, or when the lease of whoever runs it ends.
        run_at: String = Kind::Time,
        /// How often it failed in a row.
        failures: i64 = COUNT,
        /// Why it failed last, or why it was put off; may be empty.
        last_error: String = FREE,
        /// When it was first tried.
        first_run_at: Option<String> = Kind::Time,
        /// When it was written.
        created_at: String = Kind::Time,
    }
}
