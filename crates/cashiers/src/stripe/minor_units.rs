//! Amounts in Stripe's units, and ours. They are the same but for a few currencies. Pure.
//!
//! Source: Stripe's documentation, "Supported currencies" (zero-decimal, three-decimal and special-case currencies).
//! An amount that Stripe cannot take exactly is refused, never rounded.

use domain::{Currency, Money};

/// Currencies that Stripe counts in hundredths although ISO 4217 gives them none; the hundredths must be zero.
const HUNDREDTHS_ALL_THE_SAME: [&str; 2] = ["ISK", "UGX"];
/// Currencies with thousandths, of which Stripe takes tens.
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
/// Currencies that Stripe counts in whole units although ISO 4217 gives them hundredths.
const WHOLE_UNITS: [&str; 1] = ["MGA"];

/// An amount that cannot be told in the other's units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Stripe takes no such fraction of this currency.
    #[error("Stripe cannot take {amount} {currency} exactly")]
    Inexact {
        /// The currency.
        currency: String,
        /// The amount, in major units.
        amount: String,
    },
    /// Not a currency that is known here.
    #[error("{0:?} is not a currency that is known here")]
    Unknown(String),
    /// Too large.
    #[error("the amount is too large")]
    Overflow,
}

/// How many of Stripe's units make how many of ours.
fn ratio(currency: Currency) -> (i64, i64) {
    let code = currency.code();
    if HUNDREDTHS_ALL_THE_SAME.contains(&code) {
        return (100, 1);
    }
    if WHOLE_UNITS.contains(&code) {
        return (1, 100);
    }
    (1, 1)
}

/// An amount in Stripe's units.
pub fn to_stripe(amount: Money) -> Result<i64, UnitError> {
    let inexact = || UnitError::Inexact {
        currency: amount.currency.code().to_owned(),
        amount: amount.decimal(),
    };
    if THOUSANDTHS.contains(&amount.currency.code()) && amount.minor % 10 != 0 {
        return Err(inexact());
    }
    let (theirs, ours) = ratio(amount.currency);
    if amount.minor % ours != 0 {
        return Err(inexact());
    }
    (amount.minor / ours).checked_mul(theirs).ok_or(UnitError::Overflow)
}

/// An amount of Stripe's in ours.
pub fn from_stripe(amount: i64, currency: &str) -> Result<Money, UnitError> {
    let unknown = || UnitError::Unknown(currency.to_owned());
    let currency: Currency = currency.to_uppercase().parse().map_err(|_| unknown())?;
    let (theirs, ours) = ratio(currency);
    if amount % theirs != 0 {
        let (currency, amount) = (currency.code().to_owned(), format!("{amount}/{theirs}"));
        return Err(UnitError::Inexact { currency, amount });
    }
    let minor = (amount / theirs).checked_mul(ours).ok_or(UnitError::Overflow)?;
    Ok(Money::new(minor, currency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(text: &str, code: &str) -> Money {
        Money::parse(text, code.parse().unwrap()).unwrap()
    }

    #[test]
    fn by_stripes_own_examples() {
        for (text, code, units) in [
            ("10.00", "USD", 1_000),
            ("500", "JPY", 500),
            ("5.120", "KWD", 5_120),
            ("5", "UGX", 500),
            ("5", "ISK", 500),
            ("4.99", "EUR", 499),
            ("10", "KRW", 10),
            ("10.00", "MGA", 10),
        ] {
            assert_eq!(to_stripe(money(text, code)), Ok(units), "{text} {code}");
            assert_eq!(from_stripe(units, &code.to_lowercase()), Ok(money(text, code)));
        }
    }

    #[test]
    fn nothing_is_rounded() {
        assert!(matches!(to_stripe(money("5.124", "KWD")), Err(UnitError::Inexact { .. })));
        assert!(matches!(from_stripe(501, "isk"), Err(UnitError::Inexact { .. })));
        assert!(matches!(from_stripe(1, "xxq"), Err(UnitError::Unknown(_))));
        assert_eq!(
            to_stripe(Money::new(i64::MAX, "ISK".parse().unwrap())),
            Err(UnitError::Overflow)
        );
    }

    proptest! {
        #[test]
        fn there_and_back(minor in 0_i64..1_000_000_000, code in prop::sample::select(vec![
            "USD", "EUR", "JPY", "KWD", "BHD", "ISK", "UGX", "KRW", "TND", "HUF", "TWD", "MGA",
        ])) {
            let amount = Money::new(minor, code.parse().unwrap());
            if let Ok(units) = to_stripe(amount) {
                prop_assert_eq!(from_stripe(units, &code.to_lowercase()), Ok(amount));
            }
        }
    }
}
