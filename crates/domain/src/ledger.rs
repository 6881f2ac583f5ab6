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
}

impl Account {
    const ALL: [Self; 3] = [Self::PartnerReceivable, Self::StripeBalance, Self::Sales];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartnerReceivable => "partner_receivable",
            Self::StripeBalance => "stripe_balance",
            Self::Sales => "sales",
        }
    }
}

impl FromStr for Account {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "ledger account")
    }
}

/// Why something was posted. An order has one posting of each kind at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostingKind {
    /// The order was paid.
    Sale,
    /// The order's sale was taken back in full.
    Reversal,
}

impl PostingKind {
    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Reversal => "reversal",
        }
    }
}

impl FromStr for PostingKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&[Self::Sale, Self::Reversal], Self::as_str, text, "posting kind")
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
