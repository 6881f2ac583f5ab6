//! Money: integer minor units and a currency, checked arithmetic, never a float.

use std::fmt;
use std::str::FromStr;

/// An ISO 4217 currency that has minor units (precious metals and test codes are refused).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// An amount in the smallest unit of its currency: 12.36 GBP is 1236, 500 JPY is 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub minor: i64,
    /// The currency, which says how many minor units make a major one.
    pub currency: Currency,
}

/// Why a text or a sum is not money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not an ISO 4217 code in use.
    #[error("not an ISO 4217 currency code")]
    UnknownCurrency,
    /// Not digits with at most one decimal point.
    #[error("not a decimal amount")]
    NotDecimal,
    /// More decimals than the currency has.
    #[error("more decimals than the currency has")]
    TooManyDecimals,
    /// Over the range of 64 bits.
    #[error("the amount is too large")]
    Overflow,
    /// Two currencies in one sum.
    #[error("two currencies in one sum")]
    CurrencyMismatch,
}

impl Currency {
    /// The three-letter code, upper case.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals an amount has: 2 for GBP, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(0))
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    /// Reads a code in any case.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(&text.to_ascii_uppercase())
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or(MoneyError::UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Money {
    /// An amount from minor units.
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads a non-negative decimal in major units: `12.36`, `12.360`, `500`. No sign, no exponent,
    /// no spaces, digits on both sides of the point; decimals beyond the currency's must be zero.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return Err(MoneyError::NotDecimal);
        }
        let significant = decimals.trim_end_matches('0');
        let exponent = usize::try_from(currency.exponent()).map_err(|_| MoneyError::Overflow)?;
        if significant.len() > exponent {
            return Err(MoneyError::TooManyDecimals);
        }
        let minor = format!("{whole}{significant:0<exponent$}");
        minor.parse().map(|minor| Self { minor, currency }).map_err(|_| MoneyError::Overflow)
    }

    /// The sum.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// So many times the amount.
    pub fn checked_mul(self, times: u32) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(i64::from(times)).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The amount in major units with all decimals of the currency, without the currency: `12.36`.
    pub fn decimal(self) -> String {
        let unit = 10_u64.pow(self.currency.exponent());
        let sign = if self.minor < 0 { "-" } else { "" };
        let minor = self.minor.unsigned_abs();
        match usize::try_from(self.currency.exponent()) {
            Ok(0) | Err(_) => format!("{sign}{minor}"),
            Ok(width) => format!("{sign}{}.{:0width$}", minor / unit, minor % unit),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn exponents_follow_iso_4217() {
        for (code, exponent) in
            [("GBP", 2), ("usd", 2), ("JPY", 0), ("KWD", 3), ("UGX", 0), ("ISK", 0)]
        {
            assert_eq!(currency(code).exponent(), exponent, "{code}");
        }
        for bad in ["", "GB", "GBPX", "XAU", "ABC", "英镑"] {
            assert_eq!(bad.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{bad}");
        }
    }

    #[test]
    fn amounts_as_written() {
        let read = |text, code| Money::parse(text, currency(code)).map(|money| money.minor);
        assert_eq!(read("12.36", "GBP"), Ok(1236));
        assert_eq!(read("12.360", "GBP"), Ok(1236));
        assert_eq!(read("12", "GBP"), Ok(1200));
        assert_eq!(read("500", "JPY"), Ok(500));
        assert_eq!(read("500.00", "JPY"), Ok(500));
        assert_eq!(read("1.234", "KWD"), Ok(1234));
        assert_eq!(read("12.365", "GBP"), Err(MoneyError::TooManyDecimals));
        assert_eq!(read("0.5", "JPY"), Err(MoneyError::TooManyDecimals));
        assert_eq!(read("92233720368547758.08", "GBP"), Err(MoneyError::Overflow));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", " 1", "1,5", "0x1", "１"] {
            assert_eq!(read(bad, "GBP"), Err(MoneyError::NotDecimal), "{bad:?}");
        }
    }

    #[test]
    fn sums_are_checked() {
        let gbp = Money::new(i64::MAX, currency("GBP"));
        assert_eq!(gbp.checked_mul(2), Err(MoneyError::Overflow));
        assert_eq!(gbp.checked_add(Money::new(1, currency("GBP"))), Err(MoneyError::Overflow));
        assert_eq!(
            gbp.checked_add(Money::new(1, currency("JPY"))),
            Err(MoneyError::CurrencyMismatch)
        );
    }

    proptest! {
        #[test]
        fn decimal_reads_back(minor in 0..=i64::MAX, code in prop::sample::select(vec!["GBP", "JPY", "KWD", "USD"])) {
            let money = Money::new(minor, currency(code));
            prop_assert_eq!(Money::parse(&money.decimal(), money.currency), Ok(money));
        }

        #[test]
        fn trailing_zeros_change_nothing(minor in 0..1_000_000_i64, zeros in 0_usize..5) {
            let money = Money::new(minor, currency("GBP"));
            let text = format!("{}{}", money.decimal(), "0".repeat(zeros));
            prop_assert_eq!(Money::parse(&text, money.currency), Ok(money));
        }

        #[test]
        fn times_is_repeated_addition(minor in 0..1_000_000_i64, times in 0_u32..20) {
            let money = Money::new(minor, currency("KWD"));
            let mut sum = Money::new(0, money.currency);
            for _ in 0..times { sum = sum.checked_add(money).unwrap(); }
            prop_assert_eq!(money.checked_mul(times), Ok(sum));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = Money::parse(&text, currency("KWD"));
        }
    }
}
