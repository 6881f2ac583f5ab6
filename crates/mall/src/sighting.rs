//! What becomes known of a request on its way, for the request log and the figures.
//!
//! The request carries it from the outermost layer inwards; each floor notes what it learns. So it is
//! whole as well where a handler panics or a caller goes away.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::Mode;
use domain::id::PartnerId;
use wire::sign::Match;
use wire::{Code, Params};

use crate::auth::Credentials;
use crate::error::{Hint, Refusal};

/// The largest signing content that is kept for its cause to be searched, by the texts that it is made of.
const SUSPECT_BYTES_MAX: usize = wire::diagnosis::CONTENT_BYTES_MAX;

/// What becomes known of a request on its way.
#[derive(Debug, Default)]
pub struct Sighting(Mutex<Facts>);

/// All that is known in the end.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The mode and the partner's code that the request names, and where it came from.
    pub named: Option<(Mode, String, IpAddr)>,
    /// Who signed it, and how.
    pub signed: Option<(PartnerId, Match)>,
    /// Why it was refused.
    pub refused: Option<Code>,
    /// A signature that does not match.
    pub suspect: Option<Box<Suspect>>,
    /// The number of the order that it is about.
    pub order_no: String,
}

/// A signature that does not match, with what is needed to find out why.
#[derive(Debug)]
pub(crate) struct Suspect {
    /// The parameters; `None` if they are too large to be searched.
    pub params: Option<Params>,
    pub sign: String,
    /// What was found already.
    pub hint: Option<Hint>,
    /// The content for the log.
    pub redacted: String,
}

impl Sighting {
    /// It names a partner of a mode.
    pub fn named(&self, mode: Mode, partner_code: &str, address: IpAddr) {
        self.facts().named = Some((mode, partner_code.to_owned(), address));
    }

    /// It is signed by a partner.
    pub fn signed(&self, partner: PartnerId, found: &Match) {
        self.facts().signed = Some((partner, found.clone()));
    }

    /// It is about an order.
    pub fn order(&self, order_no: &str) {
        order_no.clone_into(&mut self.facts().order_no);
    }

    /// It is refused.
    pub fn refused(&self, code: Code) {
        self.facts().refused = Some(code);
    }

    /// Its signature is refused.
    pub fn sign_refused(&self, request: &Credentials, refusal: &Refusal) {
        let Credentials { call, params, common, .. } = request;
        if refusal.code != Code::SignMismatch {
            return;
        }
        let bytes = params.iter().map(|param| param.value.text_bytes() + param.name.len());
        let small = bytes.sum::<usize>() <= SUSPECT_BYTES_MAX;
        self.facts().suspect = Some(Box::new(Suspect {
            params: small.then(|| params.clone()),
            sign: common.sign.clone(),
            hint: refusal.diagnosis.as_ref().map(|diagnosis| diagnosis.hint.clone()),
            redacted: wire::redact::redacted_content(params, call),
        }));
    }

    /// Why it was refused, as far as it was.
    pub fn refusal(&self) -> Option<Code> {
        self.facts().refused
    }

    /// All that is known.
    pub(crate) fn take(&self) -> Facts {
        std::mem::take(&mut *self.facts())
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Each fact is set as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
