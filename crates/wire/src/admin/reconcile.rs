//! The comparison of a day's money: what moved at Stripe, and what the books, orders and plans say of it.

use super::record::kinds::{COUNT, FREE};
use super::record::{Kind, records};

/// How two sides can differ.
pub const DIFFERENCES: &[&str] =
    &["not_booked", "not_at_stripe", "amount_differs", "money_without_plan", "plan_without_money"];

records! {
    /// Where two sides do not say the same.
    Difference {
        /// `not_booked`: moved at Stripe, and not in the books. `not_at_stripe`: booked, and Stripe knows nothing of it.
        /// `amount_differs`: the two sides have other amounts. `money_without_plan`: paid, and neither is a plan on
        /// the SIM nor did the money go back. `plan_without_money`: a plan that nobody paid for.
        kind: String = Kind::Word(DIFFERENCES),
        /// The partner's code, where it is known.
        partner: Option<String> = Kind::Code,
        /// The order, where it is known.
        order_id: Option<String> = Kind::Id("ord"),
        /// How the order stands.
        state: Option<String> = Kind::Word(super::order::STATES),
        /// Stripe's id of what moved; empty where nothing is known there.
        stripe_id: String = FREE,
        /// What one side says; left out where it says nothing.
        at_stripe: Option<String> = Kind::Amount,
        /// What the other says; left out where it says nothing.
        in_books: Option<String> = Kind::Amount,
        /// In which currency.
        currency: Option<String> = Kind::Currency,
        /// What differs, in words.
        what: String = FREE,
    }
    /// What moved the balance at Stripe, by Stripe's type and currency.
    Movement {
        /// Stripe's word, such as `charge`.
        kind: String = FREE,
        /// The currency.
        currency: String = Kind::Currency,
        /// How many there were.
        count: i64 = COUNT,
        /// Before fees, and negative for what went out.
        amount: String = Kind::Amount,
        /// What Stripe kept.
        fee: String = Kind::Amount,
    }
    /// A part of a day's comparison. The whole of it is the sum of its parts.
    Reconciliation {
        /// What moved, of this part.
        movements: Vec<Movement> = Kind::List(&Kind::Record(&<Movement as super::record::Recorded>::RECORD), 1_000),
        /// How many orders were looked at in this part.
        orders: i64 = COUNT,
        /// Where sides differ, in this part.
        differences: Vec<Difference> =
            Kind::List(&Kind::Record(&<Difference as super::record::Recorded>::RECORD), 10_000),
        /// Where the next part begins; left out where this is the last one.
        next_cursor: Option<String> = FREE,
    }
}
