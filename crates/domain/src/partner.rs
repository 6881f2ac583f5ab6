//! A partner: a sales channel with its keys, policy, currency, zone and language.

use std::str::FromStr;

use crate::UnknownWord;
use crate::id::PartnerId;
use crate::locale::Locale;
use crate::mode::Mode;
use crate::money::Currency;
use crate::time::Zone;

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// MD5 of the content, without a key: integrity only, anybody can forge it.
    Md5,
    /// MD5 of the content followed by the key.
    Md5Key,
    /// HMAC-SHA256 of the content under the key.
    HmacSha256,
}

impl Scheme {
    /// All schemes, the weakest first.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Md5Key, Self::HmacSha256];

    /// The name in settings and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Md5Key => "md5-key",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    /// Whether only the holder of a key can make such a signature.
    pub fn proves_sender(self) -> bool {
        self != Self::Md5
    }
}

impl FromStr for Scheme {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "signature scheme")
    }
}

/// Why a partner's settings do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Anybody could order in the partner's name.
    #[error("keyless md5 in live mode needs an IP allowlist")]
    KeylessLiveWithoutAllowlist,
    /// No request could ever be accepted.
    #[error("a partner needs at least one signature scheme")]
    NoScheme,
}

/// Which answers a partner gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseStyle {
    /// Each call's published shape.
    #[default]
    AsPublished,
    /// Every success in the envelope.
    Envelope,
}

impl ResponseStyle {
    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsPublished => "published",
            Self::Envelope => "envelope",
        }
    }
}

impl FromStr for ResponseStyle {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(
            &[Self::AsPublished, Self::Envelope],
            Self::as_str,
            text,
            "response style",
        )
    }
}

/// A sales channel. The lists may be empty; see [`Partner::check_policy`].
#[derive(Debug, Clone, PartialEq)]
pub struct Partner {
    /// Live or test.
    pub mode: Mode,
    /// Our id.
    pub id: PartnerId,
    /// The code that the operator gave (`partnerCode`).
    pub code: String,
    /// The name for the operator's eyes.
    pub name: String,
    /// Whether its requests are refused.
    pub suspended: bool,
    /// The schemes it may sign with.
    pub schemes: Vec<Scheme>,
    /// CIDR ranges it may call from; empty: from anywhere.
    pub ip_allowlist: Vec<String>,
    /// The currency its end users pay in.
    pub currency: Currency,
    /// The currency in which it owes the operator.
    pub settlement_currency: Currency,
    /// Its time zone.
    pub zone: Zone,
    /// Its default language.
    pub locale: Locale,
    /// Which answers it gets.
    pub response_style: ResponseStyle,
    /// Whether an ICCID's check digit must hold.
    pub checks_luhn: bool,
    /// Whether `payUnit` x `orderPeriod` must be `payAmount` in reported orders.
    pub checks_pay_amount: bool,
    /// Grows with each change of the partner, its keys or its prices.
    pub version: i64,
}

impl Partner {
    /// What a new partner may sign with: all schemes in test mode, only HMAC in live mode.
    pub fn default_schemes(mode: Mode) -> Vec<Scheme> {
        match mode {
            Mode::Test => Scheme::ALL.to_vec(),
            Mode::Live => vec![Scheme::HmacSha256],
        }
    }

    /// Whether the partner's settings are safe together.
    pub fn check_policy(&self) -> Result<(), PolicyError> {
        if self.schemes.is_empty() {
            return Err(PolicyError::NoScheme);
        }
        let keyless = self.schemes.contains(&Scheme::Md5);
        if keyless && self.mode == Mode::Live && self.ip_allowlist.is_empty() {
            return Err(PolicyError::KeylessLiveWithoutAllowlist);
        }
        Ok(())
    }
}
