//! Stripe, as far as the mall needs it: one method for each call, which makes the call once and says what is
//! known of it afterwards. It decides nothing and repeats nothing. May touch the network.
//!
//! What is sent and read is Stripe's API of the version [`API_VERSION`]. What an answer has besides is ignored.

mod calls;
mod error;
mod form;
mod http;
mod lookups;
pub mod minor_units;
mod objects;
mod secret;
mod subscriptions;
pub mod webhook;

use domain::{Mode, Span};

pub use calls::{NewCustomer, NewPaymentIntent, NewRefund};
pub use error::CallError;
pub use lookups::{DoubleClock, EventsQuery};
pub use objects::{
    BalanceTransaction, Charge, Customer, Dispute, DisputeStatus, EphemeralKey, Event, Expandable,
    LastPaymentError, Metadata, Page, PaymentIntent, PaymentIntentStatus, Refund, RefundStatus,
    Source,
};
pub use secret::Secret;
pub use subscriptions::{
    Interval, Invoice, InvoiceStatus, NewPrice, NewSubscription, Price, Product, SetupIntent,
    Subscription, SubscriptionStatus,
};

/// The version of Stripe's API that every call names.
pub const API_VERSION: &str = "2025-02-24.acacia";
/// Where Stripe is.
pub const BASE_URL: &str = "https://api.stripe.com";
/// How long a call may take, with the connection.
pub const CALL_MAX: Span = Span::seconds(15);
/// The longest key of a call, in bytes, as Stripe has it.
const KEY_BYTES_MAX: usize = 255;

/// How an account at Stripe is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The mode whose money it takes.
    pub mode: Mode,
    /// `https://HOST`, without the version's path.
    pub base_url: String,
    /// `sk_…`, or `rk_…` with rights to all that is called.
    pub secret_key: Secret,
    /// `pk_…`, for the apps.
    pub publishable_key: String,
    /// How long a call may take.
    pub timeout: Span,
}

impl Settings {
    /// Stripe's own address and the usual time-out.
    pub fn new(
        mode: Mode,
        secret_key: impl Into<String>,
        publishable_key: impl Into<String>,
    ) -> Self {
        Self {
            mode,
            base_url: BASE_URL.to_owned(),
            secret_key: Secret::new(secret_key),
            publishable_key: publishable_key.into(),
            timeout: CALL_MAX,
        }
    }
}

/// Why a client of Stripe cannot be made. No key is shown.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not `https://HOST`.
    #[error("{0:?} is not an address such as https://api.stripe.com")]
    BadBase(String),
    /// Real money over a line that anybody can read.
    #[error("live mode needs an https address for Stripe, not {0:?}")]
    PlainBase(String),
    /// A key of the other mode.
    #[error("{mode} mode needs Stripe's {kind} key of that mode, {expected}; this one is of {other} mode", other = mode.other())]
    WrongMode {
        /// The mode of the settings.
        mode: Mode,
        /// `secret` or `publishable`.
        kind: &'static str,
        /// How a fitting key begins.
        expected: &'static str,
    },
    /// Not a key of this kind.
    #[error("Stripe's {kind} key in {mode} mode begins with {expected}; this one does not")]
    BadKey {
        /// The mode of the settings.
        mode: Mode,
        /// `secret` or `publishable`.
        kind: &'static str,
        /// How a fitting key begins.
        expected: &'static str,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client of one account in one mode.
#[derive(Debug)]
pub struct Stripe {
    http: http::Http,
    mode: Mode,
    publishable_key: String,
}

impl Stripe {
    /// A client with these settings. Nothing is sent. Keys of the other mode are refused, and a plain base
    /// address in live mode.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        check_keys(settings)?;
        Ok(Self {
            http: http::Http::new(settings)?,
            mode: settings.mode,
            publishable_key: settings.publishable_key.clone(),
        })
    }

    /// The mode whose money it takes.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The key for the apps.
    pub fn publishable_key(&self) -> &str {
        &self.publishable_key
    }
}

fn check_keys(settings: &Settings) -> Result<(), SetupError> {
    let mode = settings.mode;
    let secret: (&[&str], &[&str]) = (&["sk_live_", "rk_live_"], &["sk_test_", "rk_test_"]);
    let publishable: (&[&str], &[&str]) = (&["pk_live_"], &["pk_test_"]);
    let keys = [
        ("secret", settings.secret_key.reveal(), secret),
        ("publishable", settings.publishable_key.as_str(), publishable),
    ];
    for (kind, key, (live, test)) in keys {
        let begins = |all: &[&str]| all.iter().any(|prefix| key.starts_with(prefix));
        let (fits, other) = match mode {
            Mode::Live => (begins(live), begins(test)),
            Mode::Test => (begins(test), begins(live)),
        };
        let expected = match (kind, mode) {
            ("secret", Mode::Live) => "sk_live_… or rk_live_…",
            ("secret", Mode::Test) => "sk_test_… or rk_test_…",
            (_, Mode::Live) => "pk_live_…",
            (_, Mode::Test) => "pk_test_…",
        };
        if other {
            return Err(SetupError::WrongMode { mode, kind, expected });
        }
        if !fits {
            return Err(SetupError::BadKey { mode, kind, expected });
        }
    }
    Ok(())
}

/// What makes repeats of one write the same write. Stripe remembers a key for at least 24 hours: a repeat under
/// the same key with the same content has the first one's answer, with other content it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// A text that cannot be a key of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of a call to Stripe has 1 to 255 printable ASCII characters")]
pub struct BadIdempotencyKey;

impl IdempotencyKey {
    /// A key of 1 to 255 printable ASCII characters.
    pub fn new(text: impl Into<String>) -> Result<Self, BadIdempotencyKey> {
        let text = text.into();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > KEY_BYTES_MAX || !printable {
            return Err(BadIdempotencyKey);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(mode: Mode, base: &str, secret: &str, publishable: &str) -> Result<Stripe, SetupError> {
        let base_url = base.to_owned();
        Stripe::new(&Settings { base_url, ..Settings::new(mode, secret, publishable) })
    }

    #[test]
    fn a_mode_takes_its_own_keys_only() {
        let (live, test) = (Mode::Live, Mode::Test);
        for secret in ["sk", "rk"] {
            let (on_live, on_test) = (format!("{secret}_live_k3y"), format!("{secret}_test_k3y"));
            assert!(made(live, BASE_URL, &on_live, "pk_live_k").is_ok());
            assert!(made(test, BASE_URL, &on_test, "pk_test_k").is_ok());
            for error in [
                made(live, BASE_URL, &on_test, "pk_live_k"),
                made(test, BASE_URL, &on_live, "pk_test_k"),
                made(live, BASE_URL, &on_live, "pk_test_k"),
                made(test, BASE_URL, &on_test, "pk_live_k"),
            ] {
                let error = error.unwrap_err();
                assert!(matches!(error, SetupError::WrongMode { .. }), "{error}");
                assert!(!error.to_string().contains("k3y"), "{error}");
            }
        }
        assert!(matches!(made(test, BASE_URL, "k3y", "pk_test_k"), Err(SetupError::BadKey { .. })));
    }

    #[test]
    fn real_money_needs_tls() {
        let plain = "http://127.0.0.1:1";
        assert!(made(Mode::Test, plain, "sk_test_k", "pk_test_k").is_ok());
        let refused = made(Mode::Live, plain, "sk_live_k", "pk_live_k");
        assert!(matches!(refused, Err(SetupError::PlainBase(_))));
        for bad in ["", "stripe", "https://u:k3y@stripe.example", "https://a/?b", "ftp://a"] {
            let error = made(Mode::Test, bad, "sk_test_k", "pk_test_k").unwrap_err();
            assert!(!error.to_string().contains("k3y"), "{error}");
        }
    }

    #[test]
    fn keys_of_calls_are_short_and_printable() {
        assert!(IdempotencyKey::new("intent-test-ord_1-1").is_ok());
        for bad in [String::new(), "a b".to_owned(), "ü".to_owned(), "a".repeat(256)] {
            assert_eq!(IdempotencyKey::new(bad), Err(BadIdempotencyKey));
        }
    }
}
