//! Who calls? Partner, address, signature, suspension and time, in this order.
//!
//! In live mode an unknown partner gets the same answer as a wrong signature, after the same work, so
//! that codes cannot be guessed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::id::PartnerId;
use domain::partner::{Partner, Scheme};
use domain::{Mode, Timestamp};
use ipnet::IpNet;
use store::{PartnerKey, Tx};
use wire::common::Common;
use wire::content::signing_content;
use wire::diagnosis::{Cause, SuspectKeys, diagnose};
use wire::form::{FormError, Problem};
use wire::sign::{Key, Match, verify};
use wire::{Call, Code, Params};

use crate::Mall;
use crate::cache::{Known, Seen};
use crate::error::{Diagnosis, Hint, Refusal, Result};
use crate::sighting::Sighting;

/// How long a refusal waits for its turn to be searched for a cause; then it goes without.
const SEARCH_WAIT: Duration = Duration::from_secs(2);

/// How many digits milliseconds since 1970 have, until the year 2286.
const EPOCH_MILLIS_DIGITS: usize = 13;

/// Calls whose use-case checks what the node remembers of their partner in the transaction that writes by
/// it; the others check it before they begin.
const CHECKED_LATER: [&str; 1] = [wire::vshop::SYN_ORDER_INFO.name];

/// What a request says of its caller.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The mode that its path chose.
    pub mode: Mode,
    /// The call.
    pub call: Call,
    /// All its parameters.
    pub params: Params,
    /// The common ones.
    pub common: Common,
    /// The address it came from.
    pub address: IpAddr,
    /// Where it is noted who signed it, and how.
    pub sighting: Arc<Sighting>,
}

impl Mall {
    /// The partner that made a request, or why it is refused.
    pub async fn authenticate(&self, request: &Credentials) -> Result<Arc<Known>> {
        if CHECKED_LATER.contains(&request.call.name)
            && let Some(known) = self.cache.partner(request.mode, &request.common.partner_code)
            && address_allowed(&known.partner, request.address)
            && let Some(found) = verify(&request.params, &request.common.sign, &known.keys.current)
            && check_scheme(&known.partner, &found, &request.params).is_ok()
            && self.check_caller(&known.partner, &found, request).is_ok()
        {
            request.sighting.signed(known.partner.id, &found);
            self.note_form(&known.partner, &found).await;
            return Ok(known);
        }
        self.authenticate_now(request).await
    }

    /// The same by what the partner is now.
    pub(crate) async fn authenticate_now(&self, request: &Credentials) -> Result<Arc<Known>> {
        let Credentials { mode, params, common, .. } = request;
        let mut tx = self.store.read().await?;
        let seen = self.partner_now(&mut tx, *mode, &common.partner_code).await?;
        let Some(Seen { known, .. }) = seen else {
            // An unknown partner costs the same statement and hashes as a known one.
            let decoy = Key { id: String::new(), text: "no key".to_owned() };
            let _ = verify(params, &common.sign, &[decoy]);
            let code = if *mode == Mode::Live { Code::SignMismatch } else { Code::PartnerUnknown };
            return Err(code.into());
        };
        let partner = &*known.partner;
        if !address_allowed(partner, request.address) {
            return Err(Code::IpNotAllowed.into());
        }
        let Some(found) = verify(params, &common.sign, &known.keys.current) else {
            let keys = self.suspect_keys(&mut tx, &known).await?;
            // The search may take its time: it must not keep a connection from others.
            drop(tx);
            return Err(self.mismatch(partner, request, keys).await.into());
        };
        drop(tx);
        request.sighting.signed(partner.id, &found);
        check_scheme(partner, &found, params)?;
        if request.call.needs_hmac() && found.scheme != Scheme::HmacSha256 {
            return Err(Code::SignSchemeNotAllowed.into());
        }
        // From here on it is certain who calls, at least as far as its scheme can prove it.
        self.check_caller(partner, &found, request)
            .map_err(|error| error.in_language(partner.locale))?;
        self.note_form(partner, &found).await;
        Ok(known)
    }

    /// Suspension and time.
    fn check_caller(&self, partner: &Partner, found: &Match, request: &Credentials) -> Result<()> {
        if partner.suspended {
            return Err(Code::PartnerSuspended.into());
        }
        if found.scheme == Scheme::HmacSha256 {
            self.check_hmac_fields(request)?;
        }
        Ok(())
    }

    /// Opens a partner's sealed keys.
    pub(crate) fn open_keys(
        &self,
        mode: Mode,
        partner_id: PartnerId,
        stored: &[PartnerKey],
    ) -> Result<SuspectKeys> {
        let mut keys = SuspectKeys::default();
        for key in stored {
            let row = PartnerKey::seal_row(mode, partner_id, &key.key_id);
            let opened = self.sealer.open(&row, &key.sealed).map_err(store::StoreError::from);
            let id = key.key_id.clone();
            match (key.retired_at, opened) {
                (None, opened) => keys.current.push(Key { id, text: opened? }),
                (Some(_), Ok(text)) => keys.retired.push(Key { id, text }),
                // A damaged key that is not used any more must not lock its partner out.
                (Some(_), Err(error)) => {
                    tracing::error!(key_id = id, %error, "a retired key is damaged");
                }
            }
        }
        Ok(keys)
    }

    /// All keys that a mistaken client may have used, in test mode those of live mode too.
    async fn suspect_keys(&self, tx: &mut Tx, known: &Known) -> Result<SuspectKeys> {
        let (mut keys, partner) = (known.keys.clone(), &known.partner);
        let other = partner.mode.other();
        if partner.mode == Mode::Test
            && let Some(twin) = self.partner_now(tx, other, &partner.code).await?
        {
            keys.other_mode.clone_from(&twin.known.keys.current);
        }
        Ok(keys)
    }

    /// The refusal of a wrong signature, in test mode with its likely cause.
    async fn mismatch(
        &self,
        partner: &Partner,
        request: &Credentials,
        keys: SuspectKeys,
    ) -> Refusal {
        let mut refusal = Refusal::new(Code::SignMismatch);
        if partner.mode == Mode::Test {
            refusal.diagnosis = Some(Diagnosis {
                sign_content: signing_content(&request.params),
                hint: self.search(partner, &request.params, &request.common.sign, keys).await,
            });
        }
        refusal
    }

    /// Why a signature does not match, for the partner's own log.
    pub(crate) async fn explain(&self, known: &Known, params: &Params, sign: &str) -> Result<Hint> {
        let mut tx = self.store.read().await?;
        let keys = self.suspect_keys(&mut tx, known).await?;
        drop(tx);
        Ok(self.search(&known.partner, params, sign, keys).await)
    }

    /// Searches for what the client did. That costs some thousand hashes and anybody can ask for it: one
    /// search at a time, and not on the threads that serve others.
    async fn search(
        &self,
        partner: &Partner,
        params: &Params,
        sign: &str,
        keys: SuspectKeys,
    ) -> Hint {
        let turn = tokio::time::timeout(SEARCH_WAIT, self.searching.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Hint::Busy };
        let (params, sign) = (params.clone(), sign.to_owned());
        let schemes = partner.schemes.clone();
        let search = move || diagnose(&params, &sign, &schemes, &keys);
        match tokio::task::spawn_blocking(search).await {
            Ok(Some(causes)) => Hint::Causes(causes),
            Ok(None) => Hint::TooLarge,
            Err(_) => Hint::Busy,
        }
    }

    /// `hmac-sha256` is strict: a fresh time and the interface's own name.
    fn check_hmac_fields(&self, request: &Credentials) -> Result<()> {
        let common = &request.common;
        let mut errors = Vec::new();
        let mut blame = |field: &str, text: &str, problem| {
            let problem = if text.is_empty() { Problem::Missing } else { problem };
            errors.push(FormError { field: field.to_owned(), problem });
        };
        if common.trade_type != request.call.name {
            blame("tradeType", &common.trade_type, Problem::NotTradeType);
        }
        let digits = common.trade_time.bytes().all(|byte| byte.is_ascii_digit());
        let millis = if digits { common.trade_time.parse().ok() } else { None };
        let sent = millis.and_then(Timestamp::from_millis);
        if sent.is_none() {
            blame("tradeTime", &common.trade_time, Problem::NotEpochMillis);
        }
        let Some(sent) = sent.filter(|_| errors.is_empty()) else {
            return Err(Refusal { errors, ..Refusal::new(Code::BadRequest) }.into());
        };
        let off = self.ctx.now().since(sent).as_micros().saturating_abs();
        if off <= self.settings.trade_time_tolerance.as_micros() {
            return Ok(());
        }
        let mut refusal = Refusal::about(Code::TradeTimeSkew, "tradeTime");
        if request.mode == Mode::Test {
            refusal.diagnosis = Some(Diagnosis {
                sign_content: signing_content(&request.params),
                hint: if common.trade_time.len() == EPOCH_MILLIS_DIGITS {
                    // Rounded up: what is refused is never said to be within the limit.
                    Hint::Stale((off + 999_999) / 1_000_000)
                } else {
                    Hint::WrongUnit
                },
            });
        }
        Err(refusal.into())
    }

    /// Remembers which tolerated form of signature a partner uses, for its diagnosis. The request does
    /// not depend on it.
    async fn note_form(&self, partner: &Partner, found: &Match) {
        let form = found.form();
        if !self.form_is_new(partner, &form) {
            return;
        }
        let form = form.as_str();
        let noted = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                tx.note_sign_form(partner, form, self.ctx.now()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "a form of signature could not be noted");
            self.forget_form(partner, form);
        }
    }
}

/// Whether the partner may sign like this.
fn check_scheme(partner: &Partner, found: &Match, params: &Params) -> Result<()> {
    // Keyless MD5 in live mode without an allowlist is refused even if it got into the settings.
    let allowed = partner.schemes.contains(&found.scheme)
        && (found.scheme.proves_sender() || partner.check_policy().is_ok());
    if allowed {
        return Ok(());
    }
    // Anybody can make a keyless signature: in live mode it must not tell that the partner exists.
    let anybody = !found.scheme.proves_sender() && partner.mode == Mode::Live;
    if anybody {
        return Err(Code::SignMismatch.into());
    }
    let mut refusal = Refusal::new(Code::SignSchemeNotAllowed);
    if partner.mode == Mode::Test && !found.scheme.proves_sender() {
        // Who signs without a key where one is needed has most likely forgotten it.
        refusal.diagnosis = Some(Diagnosis {
            sign_content: signing_content(params),
            hint: Hint::Causes(vec![Cause::KeyMissing]),
        });
    }
    Err(refusal.into())
}

fn address_allowed(partner: &Partner, address: IpAddr) -> bool {
    let address = address.to_canonical();
    partner.ip_allowlist.is_empty()
        || partner.ip_allowlist.iter().any(|range| {
            let net = range.parse::<IpNet>().or_else(|_| range.parse::<IpAddr>().map(IpNet::from));
            net.is_ok_and(|net| net.contains(&address))
        })
}
