//! The mall's own cashier: payments through Stripe, exactly once.
//!
//! Whatever Stripe is asked for has a key that is written down before the call. An outcome that is not known is
//! looked up, never guessed. All that tells of a payment, the client, an event, a poll, leads to the same
//! question to Stripe ([`Mall::follow`]) and the same transaction that heeds its answer (`learn.rs`).

mod authorise;
mod events;
mod follow;
mod learn;
pub(crate) mod refunds;
mod renew;
mod subscribe;

use std::collections::HashMap;
use std::sync::Arc;

use cashiers::stripe::{CallError, IdempotencyKey, Metadata, Stripe};
use domain::order::Order;
use domain::partner::Partner;
use domain::{Mode, Span, Timestamp};
use store::CashierKey;
use wire::Code;

use crate::Mall;
use crate::error::{Error, Refusal, Result};

pub use events::EventRefused;
pub(crate) use events::Told;
pub(crate) use refunds::{Wish, made_by};

/// Stripe may forget a key after 24 hours: one that is nearly as old is not used again.
const KEY_AGE_MAX: Span = Span::minutes(23 * 60);
/// How often Stripe is asked about a payment at the client's word, at most.
const ASK_PAUSE: Span = Span::seconds(5);

/// An account at Stripe, and the secrets that its events are signed with.
#[derive(Debug)]
pub struct Cashier {
    /// The account.
    pub stripe: Stripe,
    /// The secrets of its webhook endpoint: two while one takes the other's place.
    pub webhook_secrets: Vec<String>,
    /// Whether it is a double, whose time moves with the test mode's.
    pub played: bool,
}

/// The accounts of a mall: one for each mode that takes money, and other ones for single partners.
#[derive(Debug, Clone, Default)]
pub struct Cashiers {
    /// By mode.
    pub modes: HashMap<Mode, Arc<Cashier>>,
    /// By mode and partner's code; they go first.
    pub partners: HashMap<(Mode, String), Arc<Cashier>>,
}

impl Cashiers {
    /// The account that a partner's money goes to.
    pub fn of(&self, mode: Mode, partner: &str) -> Option<&Arc<Cashier>> {
        self.partners.get(&(mode, partner.to_owned())).or_else(|| self.modes.get(&mode))
    }

    /// All accounts with their names as in the settings, `test` or `test/P000270`, in the order of these.
    pub fn named(&self) -> Vec<(String, &Arc<Cashier>)> {
        let modes = self.modes.iter().map(|(mode, cashier)| (mode.to_string(), cashier));
        let own = self.partners.iter();
        let own = own.map(|((mode, partner), cashier)| (format!("{mode}/{partner}"), cashier));
        let mut all: Vec<(String, &Arc<Cashier>)> = modes.chain(own).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// All accounts of a mode, always in the same order.
    pub fn sorted(&self, mode: Mode) -> Vec<Arc<Cashier>> {
        let of_mode = |name: &str| name.split('/').next() == Some(mode.as_str());
        let all = self.named().into_iter().filter(|(name, _)| of_mode(name));
        all.map(|(_, cashier)| Arc::clone(cashier)).collect()
    }

    /// All accounts of a mode.
    pub fn of_mode(&self, mode: Mode) -> impl Iterator<Item = &Arc<Cashier>> {
        let own = self.partners.iter().filter(move |((of, _), _)| *of == mode);
        self.modes.get(&mode).into_iter().chain(own.map(|(_, cashier)| cashier))
    }
}

/// A key as Stripe gets it: what it is for, whose it is, and its number.
fn key_text(what: &str, whose: &str, key: CashierKey) -> Result<IdempotencyKey> {
    IdempotencyKey::new(format!("{what}-{whose}-{}", key.no))
        .map_err(|error| Error::Internal(error.to_string()))
}

/// Whether a key may still be used: Stripe surely remembers what it was used for.
fn is_fresh(key: CashierKey, now: Timestamp) -> bool {
    now.since(key.at) < KEY_AGE_MAX
}

/// What every object at Stripe says of itself.
fn metadata(order: &Order, partner: &str) -> Metadata {
    Metadata::from([
        ("mode".to_owned(), order.mode.as_str().to_owned()),
        ("partner".to_owned(), partner.to_owned()),
        ("order".to_owned(), order.id.to_string()),
        ("payment".to_owned(), order.pay_id.clone()),
    ])
}

/// What a client is told of a call that Stripe did not do.
fn told(error: &CallError) -> Error {
    match error {
        CallError::Declined { .. } | CallError::Refused { .. } => Code::PaymentDeclined.into(),
        CallError::Unavailable { after, .. } => {
            Refusal { retry_after: Some(*after), ..Refusal::new(Code::PaymentProviderUnavailable) }
                .into()
        }
        _ => Code::PaymentProviderUnavailable.into(),
    }
}

impl Mall {
    /// The account that a partner's money goes to.
    fn cashier(&self, partner: &Partner) -> Result<&Arc<Cashier>> {
        let cashier = self.cashiers.of(partner.mode, &partner.code);
        Ok(cashier.ok_or(Code::PaymentProviderUnavailable)?)
    }
}
