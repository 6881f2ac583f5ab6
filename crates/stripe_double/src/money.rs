//! Currencies: which are charged, in which unit, and the least that may be. Touches nothing.

use crate::error::ApiError;

/// What is taken of every charge: 2.9 % and 30 of the smallest unit.
const FEE_PER_MILLE: i64 = 29;
const FEE_FIXED: i64 = 30;
/// The most that a charge may be: eight digits.
const AMOUNT_MAX: i64 = 99_999_999;

const CURRENCIES: &str = "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd \
    bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd \
    hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd \
    mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf \
    sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd \
    xof xpf yer zar zmw";

/// Without a smaller unit: the amount is in whole ones.
const ZERO_DECIMAL: &[&str] = &[
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
];
/// In thousandths, of which the last digit must be 0.
const THREE_DECIMAL: &[&str] = &["bhd", "jod", "kwd", "omr", "tnd"];
/// Without a smaller unit, and yet given in hundredths, which must be whole.
const WHOLE_HUNDREDS: &[&str] = &["isk", "ugx"];

/// The least charge, as far as it is published.
const LEAST: &[(&str, i64)] = &[
    ("usd", 50),
    ("aed", 200),
    ("aud", 50),
    ("bgn", 100),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("czk", 1_500),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("hkd", 400),
    ("huf", 17_500),
    ("inr", 50),
    ("jpy", 50),
    ("mxn", 1_000),
    ("myr", 200),
    ("nok", 300),
    ("nzd", 50),
    ("pln", 200),
    ("ron", 200),
    ("sek", 300),
    ("sgd", 50),
    ("thb", 1_000),
];

/// A currency as it is answered, in lower case.
pub(crate) fn currency(given: &str) -> Result<String, ApiError> {
    let currency = given.to_ascii_lowercase();
    if CURRENCIES.split_ascii_whitespace().any(|known| known == currency) {
        return Ok(currency);
    }
    let message = format!(
        "Invalid currency: {given}. Stripe currently supports these currencies: {CURRENCIES}"
    );
    Err(ApiError::param("currency", message))
}

/// How many decimals the amounts of a currency have.
fn decimals(currency: &str) -> usize {
    match currency {
        currency if ZERO_DECIMAL.contains(&currency) => 0,
        currency if THREE_DECIMAL.contains(&currency) => 3,
        _ => 2,
    }
}

/// An amount for people, such as `4.99 usd`.
pub(crate) fn shown(amount: i64, currency: &str) -> String {
    let decimals = decimals(currency);
    let digits = format!("{:0>width$}", amount, width = decimals.saturating_add(1));
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(decimals));
    let point = if rest.is_empty() { "" } else { "." };
    format!("{whole}{point}{rest} {currency}")
}

/// What any amount of a currency must keep to.
pub(crate) fn check_unit(amount: i64, currency: &str, param: &str) -> Result<(), ApiError> {
    if THREE_DECIMAL.contains(&currency) && amount % 10 != 0 {
        let message = format!("Invalid amount. Amounts in {currency} must end in 0.");
        return Err(ApiError::param(param, message));
    }
    if WHOLE_HUNDREDS.contains(&currency) && amount % 100 != 0 {
        let message = format!("Invalid amount. Amounts in {currency} must be divisible by 100.");
        return Err(ApiError::param(param, message));
    }
    Ok(())
}

/// What the amount of a charge must keep to.
pub(crate) fn check_charge(amount: i64, currency: &str) -> Result<(), ApiError> {
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(ApiError::param("amount", message).code("parameter_invalid_integer"));
    }
    check_unit(amount, currency, "amount")?;
    let least = LEAST.iter().find(|(known, _)| *known == currency).map_or(1, |(_, least)| *least);
    if amount < least {
        let message = format!("Amount must be at least {}", shown(least, currency));
        return Err(ApiError::param("amount", message).code("amount_too_small"));
    }
    if amount > AMOUNT_MAX {
        let message = format!("Amount must be no more than {}", shown(AMOUNT_MAX, currency));
        return Err(ApiError::param("amount", message).code("amount_too_large"));
    }
    Ok(())
}

/// What is taken of a charge, in its smallest unit.
pub(crate) fn fee(amount: i64) -> i64 {
    amount.saturating_mul(FEE_PER_MILLE).saturating_add(500).div_euclid(1000) + FEE_FIXED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_to_the_unit_of_their_currency() {
        let code = |amount, currency| check_charge(amount, currency).err().map(|e| e.field("code"));
        assert_eq!(code(50, "usd"), None);
        assert_eq!(code(49, "usd"), Some("amount_too_small".into()));
        assert_eq!(code(100_000_000, "usd"), Some("amount_too_large".into()));
        assert_eq!(code(0, "usd"), Some("parameter_invalid_integer".into()));
        assert_eq!(code(50, "jpy"), None);
        assert!(code(1_235, "kwd").is_some() && code(1_230, "kwd").is_none());
        assert!(code(550, "ugx").is_some() && code(500, "ugx").is_none());
    }

    #[test]
    fn amounts_are_shown_in_their_unit() {
        let all = [(499, "usd"), (5, "usd"), (499, "jpy"), (1_230, "kwd")];
        let shown = all.map(|(amount, currency)| shown(amount, currency));
        assert_eq!(shown, ["4.99 usd", "0.05 usd", "499 jpy", "1.230 kwd"]);
    }

    #[test]
    fn the_fee_is_rounded_half_up() {
        assert_eq!([1_000, 50, 499].map(fee), [59, 31, 44]);
    }

    #[test]
    fn a_currency_is_known_in_any_case() {
        assert_eq!(currency("USD").unwrap(), "usd");
        assert!(currency("xxx").is_err());
    }
}
