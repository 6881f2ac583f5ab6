//! Who calls? Partner, address, signature, suspension and time, in this order.
//!
//! In live mode an unknown partner gets the same answer as a wrong signature, after the same work, so
//! that codes cannot be guessed.

use std::net::IpAddr;

use domain::id::PartnerId;
use domain::partner::{Partner, Scheme};
use domain::{Mode, Timestamp};
use ipnet::IpNet;
use store::{PartnerKey, Tx};
use wire::common::Common;
use wire::content::signing_content;
use wire::diagnosis::{SuspectKeys, diagnose};
use wire::form::Problem;
use wire::sign::{Key, Match, verify};
use wire::{Call, Code, Params};

use crate::Mall;
use crate::error::{Diagnosis, Refusal, Result};

/// What a request says of its caller.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The mode that its path chose.
    pub mode: Mode,
    /// The call.
    pub call: &'a Call,
    /// All its parameters.
    pub params: &'a Params,
    /// The common ones.
    pub common: &'a Common,
    /// The address it came from.
    pub address: IpAddr,
}

impl Mall {
    /// The partner that made a request, or why it is refused.
    pub async fn authenticate(&self, request: Credentials<'_>) -> Result<Partner> {
        let Credentials { mode, params, common, .. } = request;
        let mut tx = self.store.read().await?;
        let partner = tx.partner_by_code(mode, &common.partner_code).await?;
        // An unknown partner costs the same statements and hashes as a known one.
        let nobody = PartnerId::from_parts(0, [0; 10]);
        let partner_id = partner.as_ref().map_or(nobody, |partner| partner.id);
        let stored = tx.keys(mode, partner_id).await?;
        let keys = self.open_keys(mode, partner_id, &stored)?;
        let Some(partner) = partner else {
            let decoy = Key { id: String::new(), text: "no key".to_owned() };
            let _ = verify(params, &common.sign, &[decoy]);
            let code = if mode == Mode::Live { Code::SignMismatch } else { Code::PartnerUnknown };
            return Err(code.into());
        };
        if !address_allowed(&partner, request.address) {
            return Err(Code::IpNotAllowed.into());
        }
        let Some(found) = verify(params, &common.sign, &keys.current) else {
            let refusal = self.mismatch(&mut tx, &partner, request, keys).await?;
            return Err(refusal.into());
        };
        drop(tx);
        check_scheme(&partner, &found)?;
        if partner.suspended {
            return Err(Code::PartnerSuspended.into());
        }
        if found.scheme == Scheme::HmacSha256 {
            self.check_hmac_fields(request)?;
        }
        self.note_form(&partner, &found).await?;
        Ok(partner)
    }

    /// Opens a partner's sealed keys.
    fn open_keys(
        &self,
        mode: Mode,
        partner_id: PartnerId,
        stored: &[PartnerKey],
    ) -> Result<SuspectKeys> {
        let mut keys = SuspectKeys::default();
        for key in stored {
            let row = PartnerKey::seal_row(mode, partner_id, &key.key_id);
            let text = self.sealer.open(&row, &key.sealed).map_err(store::StoreError::from)?;
            let list = if key.retired_at.is_none() { &mut keys.current } else { &mut keys.retired };
            list.push(Key { id: key.key_id.clone(), text });
        }
        Ok(keys)
    }

    /// The refusal of a wrong signature, in test mode with its likely cause.
    async fn mismatch(
        &self,
        tx: &mut Tx,
        partner: &Partner,
        request: Credentials<'_>,
        mut keys: SuspectKeys,
    ) -> Result<Refusal> {
        let mut refusal = Refusal::new(Code::SignMismatch);
        if partner.mode == Mode::Test {
            let other = partner.mode.other();
            if let Some(twin) = tx.partner_by_code(other, &partner.code).await? {
                let stored = tx.keys(other, twin.id).await?;
                keys.other_mode = self.open_keys(other, twin.id, &stored)?.current;
            }
            refusal.diagnosis = Some(Diagnosis {
                sign_content: signing_content(request.params),
                causes: diagnose(request.params, &request.common.sign, &partner.schemes, &keys),
                stale_seconds: None,
            });
        }
        Ok(refusal)
    }

    /// `hmac-sha256` is strict: a fresh time and the interface's own name.
    fn check_hmac_fields(&self, request: Credentials<'_>) -> Result<()> {
        let (common, now) = (request.common, self.ctx.now());
        if common.trade_type != request.call.name {
            let problem =
                if common.trade_type.is_empty() { Problem::Missing } else { Problem::NotTradeType };
            return Err(Refusal::field("tradeType", problem).into());
        }
        let digits = common.trade_time.bytes().all(|byte| byte.is_ascii_digit());
        let millis = if digits { common.trade_time.parse().ok() } else { None };
        let Some(sent) = millis.and_then(Timestamp::from_millis) else {
            let problem = if common.trade_time.is_empty() {
                Problem::Missing
            } else {
                Problem::NotEpochMillis
            };
            return Err(Refusal::field("tradeTime", problem).into());
        };
        let off = now.since(sent).as_micros();
        if off.unsigned_abs() > self.settings.trade_time_tolerance.as_micros().unsigned_abs() {
            let mut refusal = Refusal::new(Code::TradeTimeSkew);
            if request.mode == Mode::Test {
                refusal.diagnosis = Some(Diagnosis {
                    sign_content: signing_content(request.params),
                    causes: Vec::new(),
                    stale_seconds: Some(off.saturating_abs() / 1_000_000),
                });
            }
            return Err(refusal.into());
        }
        Ok(())
    }

    /// Remembers which tolerated form of signature a partner uses, for its diagnosis.
    async fn note_form(&self, partner: &Partner, found: &Match) -> Result<()> {
        let part = |kept, word: &str| {
            if kept { String::new() } else { format!(" without-{word}") }
        };
        let (empty, path) = (part(found.empty_kept, "empty"), part(found.path_kept, "path"));
        let form = format!("{}{empty}{path}", found.scheme.as_str());
        if !self.form_is_new(partner, &form) {
            return Ok(());
        }
        let form = form.as_str();
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            tx.note_sign_form(partner, form, self.ctx.now()).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}

/// Whether the partner may sign like this.
fn check_scheme(partner: &Partner, found: &Match) -> Result<()> {
    // Keyless MD5 in live mode without an allowlist is refused even if it got into the settings.
    let allowed = partner.schemes.contains(&found.scheme)
        && (found.scheme.proves_sender() || partner.check_policy().is_ok());
    if allowed {
        return Ok(());
    }
    // Anybody can make a keyless signature: in live mode it must not tell that the partner exists.
    let anybody = !found.scheme.proves_sender() && partner.mode == Mode::Live;
    Err(if anybody { Code::SignMismatch } else { Code::SignSchemeNotAllowed }.into())
}

fn address_allowed(partner: &Partner, address: IpAddr) -> bool {
    let address = address.to_canonical();
    partner.ip_allowlist.is_empty()
        || partner.ip_allowlist.iter().any(|range| {
            let net = range.parse::<IpNet>().or_else(|_| range.parse::<IpAddr>().map(IpNet::from));
            net.is_ok_and(|net| net.contains(&address))
        })
}
