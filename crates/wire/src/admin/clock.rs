//! A mode's business time.

use super::record::kinds::{FREE, MODE};
use super::record::{Kind, records};

records! {
    /// A mode's business time: that of orders, plans and renewals. Test mode's can be moved on.
    Clock {
        /// Live or test.
        mode: String = MODE,
        /// What time it is there.
        now: String = Kind::Time,
        /// What time it is.
        real: String = Kind::Time,
        /// How far it is ahead.
        ahead_seconds: i64 = super::record::kinds::COUNT,
        /// Whether it is where it was to be moved, and all that fell due is done.
        is_there: bool = Kind::Bool,
        /// The Stripe accounts whose time cannot be moved: what they do comes in its own time.
        apart: Vec<String> = Kind::List(&FREE, 1_000),
    }
    /// A time to which a clock is moved. It never goes back: one that is over changes nothing.
    MoveClock {
        /// What time it shall be there, ten years ahead at most.
        to: String = Kind::Time,
    }
}
