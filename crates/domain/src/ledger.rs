//! Double-entry book-keeping per currency. A posting is one row that names both accounts, so that
//! every posting sums to zero by its shape.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::UnknownWord;
use crate::money::{Currency, Money, MoneyError};

/// An account of one partner's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Account {
    /// What the partner owes the operator.
    PartnerReceivable,
    /// What Stripe holds for the operator.
    StripeBalance,
    /// What was sold.
    Sales,
    /// What Stripe took for its service.
    StripeFees,
    /// What end users' banks took back, and may give back.
    Disputed,
    /// What the operator was paid by the partner.
    Settled,
}

impl Account {
    const ALL: [Self; 6] = [
        Self::PartnerReceivable,
        Self::StripeBalance,
        Self::Sales,
        Self::StripeFees,
        Self::Disputed,
        Self::Settled,
    ];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartnerReceivable => "partner_receivable",
            Self::StripeBalance => "stripe_balance",
            Self::Sales => "sales",
            Self::StripeFees => "stripe_fees",
            Self::Disputed => "disputed",
            Self::Settled => "settled",
        }
    }
}

impl FromStr for Account {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "ledger account")
    }
}

/// Why something was posted. Of what an order has one of, such as its sale, it has one posting at most; of the
/// others one for each reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostingKind {
    /// The order was paid.
    Sale,
    /// The order's sale was taken back in full.
    Reversal,
    /// Money went back to the end user; the reference is the refund's.
    Refund,
    /// The money that had gone back came again: a bank refused it.
    RefundFailed,
    /// Stripe took its fee; the reference is that of its balance transaction.
    Fee,
    /// The end user's bank took money back; the reference is the dispute's.
    Dispute,
    /// The dispute was won, and the money came back.
    DisputeWon,
    /// The partner paid of what it owed; the reference is the operator's, and there is no order.
    Settlement,
    /// The partner was let off what it owed; the reference is the operator's, and there is no order.
    Credit,
}

impl PostingKind {
    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Reversal => "reversal",
            Self::Refund => "refund",
            Self::RefundFailed => "refund_failed",
            Self::Fee => "fee",
            Self::Dispute => "dispute",
            Self::DisputeWon => "dispute_won",
            Self::Settlement => "settlement",
            Self::Credit => "credit",
        }
    }

    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Sale,
        Self::Reversal,
        Self::Refund,
        Self::RefundFailed,
        Self::Fee,
        Self::Dispute,
        Self::DisputeWon,
        Self::Settlement,
        Self::Credit,
    ];
}

impl FromStr for PostingKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "posting kind")
    }
}

/// An amount moved from one account to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// Why.
    pub kind: PostingKind,
    /// The account whose balance grows.
    pub debit: Account,
    /// The account whose balance shrinks.
    pub credit: Account,
    /// How much, never negative.
    pub amount: Money,
}

impl Posting {
    /// The sale of an order, owed by whoever holds the money.
    pub fn sale(holder: Account, amount: Money) -> Self {
        Self { kind: PostingKind::Sale, debit: holder, credit: Account::Sales, amount }
    }

    /// Money that went back through Stripe.
    pub fn refund(amount: Money) -> Self {
        let (debit, credit) = (Account::Sales, Account::StripeBalance);
        Self { kind: PostingKind::Refund, debit, credit, amount }
    }

    /// Money that had gone back, and came again.
    pub fn refund_failed(amount: Money) -> Self {
        let (debit, credit) = (Account::StripeBalance, Account::Sales);
        Self { kind: PostingKind::RefundFailed, debit, credit, amount }
    }

    /// What Stripe kept for a charge.
    pub fn fee(amount: Money) -> Self {
        let (debit, credit) = (Account::StripeFees, Account::StripeBalance);
        Self { kind: PostingKind::Fee, debit, credit, amount }
    }

    /// A fee that Stripe gave back.
    pub fn fee_returned(amount: Money) -> Self {
        let (debit, credit) = (Account::StripeBalance, Account::StripeFees);
        Self { kind: PostingKind::Fee, debit, credit, amount }
    }

    /// What a partner paid of what it owed.
    pub fn settlement(amount: Money) -> Self {
        let (debit, credit) = (Account::Settled, Account::PartnerReceivable);
        Self { kind: PostingKind::Settlement, debit, credit, amount }
    }

    /// What a partner was let off: a credit note.
    pub fn credit(amount: Money) -> Self {
        let (debit, credit) = (Account::Sales, Account::PartnerReceivable);
        Self { kind: PostingKind::Credit, debit, credit, amount }
    }

    /// What a bank took back.
    pub fn dispute(amount: Money) -> Self {
        let (debit, credit) = (Account::Disputed, Account::StripeBalance);
        Self { kind: PostingKind::Dispute, debit, credit, amount }
    }

    /// What a bank gave back after a dispute.
    pub fn dispute_won(amount: Money) -> Self {
        let (debit, credit) = (Account::StripeBalance, Account::Disputed);
        Self { kind: PostingKind::DisputeWon, debit, credit, amount }
    }

    /// The posting that takes this one back.
    pub fn reversed(self) -> Self {
        Self {
            kind: PostingKind::Reversal,
            debit: self.credit,
            credit: self.debit,
            amount: self.amount,
        }
    }
}

/// The balance of each account in each currency, in minor units; debits count positive.
pub fn balances<'a>(
    postings: impl IntoIterator<Item = &'a Posting>,
) -> Result<BTreeMap<(Account, &'static str), i64>, MoneyError> {
    let mut sums = BTreeMap::new();
    for posting in postings {
        let currency: Currency = posting.amount.currency;
        for (account, minor) in
            [(posting.debit, posting.amount.minor), (posting.credit, -posting.amount.minor)]
        {
            let sum: &mut i64 = sums.entry((account, currency.code())).or_default();
            *sum = sum.checked_add(minor).ok_or(MoneyError::Overflow)?;
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_currency_sums_to_zero(
            sales in prop::collection::vec((0_i64..1_000_000, prop::sample::select(vec!["GBP", "JPY"]), any::<bool>()), 0..50)
        ) {
            let mut postings = Vec::new();
            for (minor, code, reversed) in sales {
                let sale = Posting::sale(Account::PartnerReceivable, Money::new(minor, code.parse().unwrap()));
                postings.push(sale);
                if reversed { postings.push(sale.reversed()); }
            }
            let sums = balances(&postings).unwrap();
            for code in ["GBP", "JPY"] {
                let total: i64 = sums.iter().filter(|((_, c), _)| *c == code).map(|(_, sum)| sum).sum();
                prop_assert_eq!(total, 0);
            }
        }

        #[test]
        fn a_reversal_undoes_a_sale(minor in 0_i64..i64::MAX) {
            let sale = Posting::sale(Account::StripeBalance, Money::new(minor, "USD".parse().unwrap()));
            let sums = balances(&[sale, sale.reversed()]).unwrap();
            prop_assert!(sums.values().all(|sum| *sum == 0));
        }
    }
}
