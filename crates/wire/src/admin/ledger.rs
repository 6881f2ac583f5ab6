//! The ledger: balances and postings.

use super::record::kinds::FREE;
use super::record::{Kind, records};

const ACCOUNT: Kind = Kind::Word(ACCOUNTS);
/// The accounts of a partner's books.
pub const ACCOUNTS: &[&str] =
    &["partner_receivable", "stripe_balance", "sales", "stripe_fees", "disputed", "settled"];
/// Why something was booked.
const KINDS: &[&str] = &[
    "sale",
    "reversal",
    "refund",
    "refund_failed",
    "fee",
    "dispute",
    "dispute_won",
    "settlement",
    "credit",
];

/// Why a partner owes less without an order.
pub const SETTLEMENTS: &[&str] = &["settlement", "credit"];

records! {
    /// What makes a partner owe less. The same again under its reference books nothing more.
    NewSettlement {
        /// `settlement`: the partner paid it. `credit`: it was let off.
        kind: String = Kind::Word(SETTLEMENTS),
        /// How much; never more than it owes.
        amount: String = Kind::Amount,
        /// The operator's number of it, such as an invoice's or a bank's: unique for its partner and kind for ever.
        reference: String = Kind::Code,
    }
    /// The balance of one account of a partner's books in one currency.
    Balance {
        /// The partner's code.
        partner: String = Kind::Code,
        /// The account.
        account: String = ACCOUNT,
        /// The currency.
        currency: String = Kind::Currency,
        /// Debits less credits.
        balance: String = Kind::Amount,
    }
    /// An amount moved from the credit account to the debit account. An order has one of a kind and
    /// reference at most.
    Posting {
        /// The partner's code.
        partner: String = Kind::Code,
        /// The order it was booked for; left out where it is of the partner as a whole.
        order_id: Option<String> = Kind::Id("ord"),
        /// Why.
        kind: String = Kind::Word(KINDS),
        /// Of which refund, fee, dispute or settlement; empty where an order has one of the kind.
        reference: String = FREE,
        /// The account whose balance grows.
        debit: String = ACCOUNT,
        /// The account whose balance shrinks.
        credit: String = ACCOUNT,
        /// How much.
        amount: String = Kind::Amount,
        /// The currency.
        currency: String = Kind::Currency,
        /// When it was booked.
        created_at: String = Kind::Time,
    }
}
