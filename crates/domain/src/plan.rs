//! What is sold: a package for certain numbers of periods, at a price per partner and currency.

use std::str::FromStr;

use crate::UnknownWord;
use crate::locale::LocalizedText;
use crate::money::Money;
use crate::package::Package;

/// A plan on sale, with its package.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The code that partners know (`servicePlanCode`).
    pub code: String,
    /// The id for subscriptions (`plan_id`).
    pub plan_id: String,
    /// The name shown to end users, per language.
    pub name: LocalizedText,
    /// A sentence for end users, per language.
    pub description: LocalizedText,
    /// The package it gives.
    pub package: Package,
    /// The numbers of periods that can be bought, ascending.
    pub periods: Vec<u32>,
    /// Whether it may renew by itself.
    pub renewable: bool,
}

/// Who pays a price to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PriceKind {
    /// The end user pays it, per period.
    Sale,
    /// The partner owes it to the operator, per period.
    Settlement,
}

impl PriceKind {
    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Settlement => "settlement",
        }
    }
}

impl FromStr for PriceKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&[Self::Sale, Self::Settlement], Self::as_str, text, "price kind")
    }
}

/// Why an amount is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceRefusal {
    /// No price in this currency was in force.
    Currency,
    /// The currency is right, the amount is not.
    Amount,
}

/// Checks what was paid for `periods` against the unit prices in force: the amount must be one of them
/// times the periods. Returns that unit price.
pub fn match_price(
    paid: Money,
    periods: u32,
    units: impl IntoIterator<Item = Money>,
) -> Result<Money, PriceRefusal> {
    let mut refusal = PriceRefusal::Currency;
    for unit in units {
        if unit.currency == paid.currency {
            if unit.checked_mul(periods) == Ok(paid) {
                return Ok(unit);
            }
            refusal = PriceRefusal::Amount;
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_money() -> impl Strategy<Value = Money> {
        let currency = prop::sample::select(vec!["GBP", "JPY", "KWD"]);
        (0_i64..2_000, currency).prop_map(|(minor, code)| Money::new(minor, code.parse().unwrap()))
    }

    proptest! {
        /// What is accepted is exactly the amounts of the book, and the reason of a refusal is true.
        #[test]
        fn a_price_book_takes_its_own_prices_only(
            book in prop::collection::vec(any_money(), 0..6), paid in any_money(), periods in 1_u32..20,
        ) {
            let fits = |unit: &&Money| unit.checked_mul(periods) == Ok(paid);
            let currency = book.iter().any(|unit| unit.currency == paid.currency);
            match match_price(paid, periods, book.iter().copied()) {
                Ok(unit) => prop_assert_eq!(Some(&unit), book.iter().find(fits)),
                Err(refusal) => {
                    prop_assert_eq!(book.iter().find(fits), None);
                    prop_assert_eq!(refusal == PriceRefusal::Amount, currency);
                }
            }
        }
    }

    #[test]
    fn a_price_matches_in_amount_and_currency() {
        let money = |minor, code: &str| Money::new(minor, code.parse().unwrap());
        let units = [money(499, "USD"), money(450, "EUR"), money(459, "USD")];
        assert_eq!(match_price(money(998, "USD"), 2, units), Ok(units[0]));
        assert_eq!(match_price(money(459, "USD"), 1, units), Ok(units[2]));
        assert_eq!(match_price(money(500, "USD"), 1, units), Err(PriceRefusal::Amount));
        assert_eq!(match_price(money(499, "GBP"), 1, units), Err(PriceRefusal::Currency));
        assert_eq!(match_price(money(i64::MAX, "USD"), u32::MAX, units), Err(PriceRefusal::Amount));
    }
}
