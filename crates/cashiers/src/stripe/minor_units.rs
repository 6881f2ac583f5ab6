//! Amounts in Stripe's units, and ours. They are the same but for a few currencies. Pure.
//!
//! Source: Stripe's documentation, "Supported currencies" (zero-decimal, three-decimal and special-case currencies).
//! An amount that Stripe cannot take exactly is refused, never rounded.

use domain::{Currency, Money};

/// Currencies that Stripe counts in hundredths although ISO 4217 gives them none; the hundredths must be zero.
const HUNDREDTHS_ALL_THE_SAME: [&str; 2] = ["ISK", "UGX"];
/// Currencies that both count in whole units.
const SINGLE_UNITS: [&str; 14] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
/// Currencies with thousandths, of which Stripe takes tens. Of others that have more than hundredths its page does
/// not say how it counts them.
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
    /// Stripe does not say in what units it counts this currency.
    #[error("Stripe does not say in what units it counts {0}")]
    Unlisted(&'static str),
    /// Not a currency that is known here.
    #[error("{0:?} is not a currency that is known here")]
    Unknown(String),
    /// Too large.
    #[error("the amount is too large")]
    Overflow,
}

/// How many of Stripe's units make how many of ours.
fn ratio(currency: Currency) -> Result<(i64, i64), UnitError> {
    let code = currency.code();
    if HUNDREDTHS_ALL_THE_SAME.contains(&code) {
        return Ok((100, 1));
    }
    if WHOLE_UNITS.contains(&code) {
        return Ok((1, 100));
    }
    let as_iso_4217 = match currency.exponent() {
        0 => SINGLE_UNITS.contains(&code),
        2 => true,
        _ => THOUSANDTHS.contains(&code),
    };
    if as_iso_4217 { Ok((1, 1)) } else { Err(UnitError::Unlisted(code)) }
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
    let (theirs, ours) = ratio(amount.currency)?;
    if amount.minor % ours != 0 {
        return Err(inexact());
    }
    (amount.minor / ours).checked_mul(theirs).ok_or(UnitError::Overflow)
}

/// An amount of Stripe's in ours.
pub fn from_stripe(amount: i64, currency: &str) -> Result<Money, UnitError> {
    let unknown = || UnitError::Unknown(currency.to_owned());
    let currency: Currency = currency.to_uppercase().parse().map_err(|_| unknown())?;
    let (theirs, ours) = ratio(currency)?;
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

    #[test]
    fn what_stripe_does_not_list_is_not_guessed() {
        for code in ["LYD", "IQD", "CLF", "UYI"] {
            let amount = Money::new(1_000, code.parse().unwrap());
            assert_eq!(to_stripe(amount), Err(UnitError::Unlisted(code)));
            assert_eq!(from_stripe(1_000, code), Err(UnitError::Unlisted(code)));
        }
    }

    fn currencies() -> impl Strategy<Value = &'static str> {
        let others = ["USD", "EUR", "GBP", "HUF", "TWD", "ISK", "UGX", "MGA"];
        let all = [&SINGLE_UNITS[..], &THOUSANDTHS, &others].concat();
        prop::sample::select(all)
    }

    proptest! {
        #[test]
        fn there_and_back(major in 0_i64..1_000_000, code in currencies()) {
            // Whole major units can be charged in every currency.
            let currency: Currency = code.parse().unwrap();
            let amount = Money::new(major * 10_i64.pow(currency.exponent()), currency);
            let units = to_stripe(amount).unwrap();
            prop_assert_eq!(from_stripe(units, &code.to_lowercase()), Ok(amount));
        }

        #[test]
        fn what_is_taken_is_taken_exactly(minor in -1_000_000_i64..1_000_000, code in currencies()) {
            let amount = Money::new(minor, code.parse().unwrap());
            match to_stripe(amount) {
                Ok(units) => prop_assert_eq!(from_stripe(units, code), Ok(amount)),
                Err(UnitError::Inexact { .. }) => {
                    let taken = match code { "MGA" => 100, _ if THOUSANDTHS.contains(&code) => 10, _ => 1 };
                    prop_assert_ne!(minor % taken, 0, "{}", code);
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn back_and_there(units in -1_000_000_i64..1_000_000, code in currencies()) {
            if let Ok(amount) = from_stripe(units, code) {
                let again = to_stripe(amount);
                let tens = THOUSANDTHS.contains(&code) && units % 10 != 0;
                prop_assert_eq!(again.ok(), (!tens).then_some(units));
            } else {
                prop_assert!(HUNDREDTHS_ALL_THE_SAME.contains(&code) && units % 100 != 0);
            }
        }
    }
}
