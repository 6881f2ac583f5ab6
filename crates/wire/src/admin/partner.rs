//! Partners, their keys, credit and prices.

use super::record::kinds::{MODE, NAME};
use super::record::{Kind, Secret, records};

/// The most CIDR ranges of an allowlist.
pub const RANGES_MAX: usize = 200;

const LOCALE: Kind = Kind::Word(&["en-US", "zh-CN"]);
const STYLE: Kind = Kind::Word(&["published", "envelope"]);
const SCHEMES: Kind = Kind::List(&Kind::Word(&["md5", "md5-key", "hmac-sha256"]), 3);
const RANGES: Kind = Kind::List(&Kind::Cidr, RANGES_MAX);
const PRICE_KIND: Kind = Kind::Word(&["sale", "settlement"]);

records! {
    /// A sales channel.
    Partner {
        /// Live or test.
        mode: String = MODE,
        /// Our id.
        partner_id: String = Kind::Id("prt"),
        /// The code by which it calls (`partnerCode`).
        code: String = Kind::Code,
        /// Its name, for people.
        name: String = NAME,
        /// Whether its requests are refused.
        suspended: bool = Kind::Bool,
        /// The currency its end users pay in.
        currency: String = Kind::Currency,
        /// The currency in which it owes the operator.
        settlement_currency: String = Kind::Currency,
        /// Its time zone.
        zone: String = Kind::Zone,
        /// Its default language.
        locale: String = LOCALE,
        /// Whether every success stands in the envelope.
        response_style: String = STYLE,
        /// The signature schemes it may use.
        schemes: Vec<String> = SCHEMES,
        /// From where it may call; empty: from anywhere.
        ip_allowlist: Vec<String> = RANGES,
        /// Whether an ICCID's check digit must hold.
        checks_luhn: bool = Kind::Bool,
        /// Whether `payUnit` x `orderPeriod` must be `payAmount` in reported orders.
        checks_pay_amount: bool = Kind::Bool,
    }
    /// A partner to be added.
    NewPartner {
        /// The code by which it calls (`partnerCode`).
        code: String = Kind::Code,
        /// Its name, for people.
        name: String = NAME,
        /// The currency its end users pay in.
        currency: String = Kind::Currency,
        /// The currency in which it owes the operator; `currency`, if left out.
        settlement_currency: Option<String> = Kind::Currency,
        /// Its time zone; `UTC`, if left out.
        zone: Option<String> = Kind::Zone,
        /// Its default language; `en-US`, if left out.
        locale: Option<String> = LOCALE,
        /// Whether every success stands in the envelope; `published`, if left out.
        response_style: Option<String> = STYLE,
        /// The signature schemes it may use; all in test mode, `hmac-sha256` in live mode, if left
        /// out.
        schemes: Option<Vec<String>> = SCHEMES,
        /// From where it may call; from anywhere, if left out.
        ip_allowlist: Option<Vec<String>> = RANGES,
        /// Whether an ICCID's check digit must hold; not, if left out.
        checks_luhn: Option<bool> = Kind::Bool,
        /// Whether `payUnit` x `orderPeriod` must be `payAmount` in reported orders; not, if left
        /// out.
        checks_pay_amount: Option<bool> = Kind::Bool,
    }
    /// What is to change of a partner. What is left out stays.
    PartnerChange {
        /// Its name, for people.
        name: Option<String> = NAME,
        /// The currency its end users pay in.
        currency: Option<String> = Kind::Currency,
        /// The currency in which it owes the operator.
        settlement_currency: Option<String> = Kind::Currency,
        /// Its time zone.
        zone: Option<String> = Kind::Zone,
        /// Its default language.
        locale: Option<String> = LOCALE,
        /// Whether every success stands in the envelope.
        response_style: Option<String> = STYLE,
        /// The signature schemes it may use.
        schemes: Option<Vec<String>> = SCHEMES,
        /// From where it may call; empty: from anywhere.
        ip_allowlist: Option<Vec<String>> = RANGES,
        /// Whether an ICCID's check digit must hold.
        checks_luhn: Option<bool> = Kind::Bool,
        /// Whether `payUnit` x `orderPeriod` must be `payAmount` in reported orders.
        checks_pay_amount: Option<bool> = Kind::Bool,
    }
    /// A partner's signing key, without its text.
    Key {
        /// The id by which people speak of it.
        key_id: String = Kind::Code,
        /// When it was made.
        created_at: String = Kind::Time,
        /// When it was retired.
        retired_at: Option<String> = Kind::Time,
    }
    /// A key that was just made. Its text is stored sealed and cannot be shown again.
    IssuedKey {
        /// The key.
        key: Key = Kind::Record(&Key::RECORD),
        /// What the partner signs with.
        text: Secret = Kind::Text { min: 1, max: 200 },
    }
    /// What a partner may owe, and owes, in a currency.
    Credit {
        /// The currency.
        currency: String = Kind::Currency,
        /// What it may owe.
        limit: String = Kind::Amount,
        /// What it owes.
        used: String = Kind::Amount,
        /// What is left; negative where the limit was lowered below what is owed.
        available: String = Kind::Amount,
    }
    /// What a partner may owe in a currency from now on.
    CreditLimit {
        /// What it may owe.
        limit: String = Kind::Amount,
    }
    /// A price in a partner's book, in force from `valid_from` until before `valid_to`.
    Price {
        /// Our id.
        price_id: String = Kind::Id("prc"),
        /// The plan.
        plan_code: String = Kind::Code,
        /// `sale`: the end user pays it. `settlement`: the partner owes it to the operator.
        kind: String = PRICE_KIND,
        /// For one period.
        amount: String = Kind::Amount,
        /// The currency.
        currency: String = Kind::Currency,
        /// From when on it is in force.
        valid_from: String = Kind::Time,
        /// When it is no longer in force; never, if left out.
        valid_to: Option<String> = Kind::Time,
    }
    /// A price to come into force. It ends the one before it of the same plan, kind and currency.
    NewPrice {
        /// The plan.
        plan_code: String = Kind::Code,
        /// `sale`: the end user pays it. `settlement`: the partner owes it to the operator.
        kind: String = PRICE_KIND,
        /// For one period.
        amount: String = Kind::Amount,
        /// The currency.
        currency: String = Kind::Currency,
        /// From when on it is in force, not in the past; from now, if left out.
        valid_from: Option<String> = Kind::Time,
    }
}
