//! The ledger: balances and postings.

use super::record::kinds::FREE;
use super::record::{Kind, records};

const ACCOUNT: Kind = Kind::Word(ACCOUNTS);
/// The accounts of a partner's books.
pub const ACCOUNTS: &[&str] =
    &["partner_receivable", "stripe_balance", "sales", "stripe_fees", "disputed", "settled"];
/// Why something was booked.
const KINDS: &[&str] =
    &["sale", "reversal", "refund", "refund_failed", "fee", "dispute", "dispute_won", "settlement"];

records! {
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
        /// The order it was booked for.
        order_id: String = Kind::Id("ord"),
        /// Why.
        kind: String = Kind::Word(KINDS),
        /// Of which refund, fee or dispute; empty where an order has one of the kind.
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
