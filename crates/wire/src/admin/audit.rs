//! The audit log: what was changed over the admin API, by whom.

use serde_json::Value;

use super::record::kinds::{COUNT, FREE, MODE, NAME};
use super::record::{Kind, records};

records! {
    /// One change.
    Entry {
        /// Our id.
        audit_id: String = Kind::Id("aud"),
        /// Its place in the chain, from 1 without gaps; left out until it is sealed.
        sequence: Option<i64> = COUNT,
        /// When it was made.
        at: String = Kind::Time,
        /// Whose token made it; empty for the command line on the database itself.
        token_id: String = FREE,
        /// That token's name.
        token_name: String = NAME,
        /// What was done: `partner.add`, `job.retry`, …
        action: String = FREE,
        /// Live or test, where the object belongs to one of them.
        mode: Option<String> = MODE,
        /// To what: `partners/P000270`, …
        object: String = FREE,
        /// The object before, without secrets; null where there was none.
        before: Value = Kind::Any,
        /// The object after, without secrets; null where there is none.
        after: Value = Kind::Any,
        /// The request that made it; empty for the command line.
        request_id: String = FREE,
        /// The chain's MAC up to here; left out until it is sealed.
        mac: Option<String> = Kind::Hex(64),
    }
    /// The end of the chain. Kept elsewhere, it proves later that nothing was cut off.
    Head {
        /// The place of the last sealed entry; 0 where there is none.
        sequence: i64 = COUNT,
        /// The chain's MAC up to there; zeros where there is none.
        mac: String = Kind::Hex(64),
        /// When that entry was made.
        at: Option<String> = Kind::Time,
        /// How many entries are sealed.
        count: i64 = COUNT,
        /// How many are not yet.
        unsealed: i64 = COUNT,
    }
    /// A head that was exported earlier.
    ExportedHead {
        /// Its place.
        sequence: i64 = COUNT,
        /// Its MAC.
        mac: String = Kind::Hex(64),
    }
    /// What to verify the audit log against.
    Verify {
        /// A head that was exported earlier; without one, a log that was cut off at its end is not
        /// told from a shorter one.
        head: Option<ExportedHead> = Kind::Record(&ExportedHead::RECORD),
    }
    /// How the audit log was found.
    Verdict {
        /// Whether it is as it was written.
        intact: bool = Kind::Bool,
        /// How many entries were verified.
        count: i64 = COUNT,
        /// How many entries are not sealed yet.
        unsealed: i64 = COUNT,
        /// The place of the first entry that is missing or not as it was written.
        first_bad: Option<i64> = COUNT,
        /// What was found, in words.
        detail: String = FREE,
    }
}
