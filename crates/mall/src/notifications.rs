//! What carriers tell on their own account. It proves nothing: it makes us ask, and not too often.

use carriers::{Headers, WebhookError, WebhookHint};
use domain::id::{OrderId, PartnerId};
use domain::{Iccid, Mode, Span};
use store::{AttemptState, JobKind, NewJob, Tx};
use wire::Code;

use crate::Mall;
use crate::error::Result;

/// A hint that nobody signed can come from anybody: it is heeded after so long, and all that come meanwhile with
/// it.
const UNSIGNED_PAUSE: Span = Span::seconds(30);

impl Mall {
    /// A carrier, or somebody in its name, tells something.
    pub async fn carrier_notified(
        &self,
        code: &str,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<()> {
        let served = self.carriers.get(code).ok_or(Code::NotFound)?;
        let hint = served.carrier.parse_webhook(headers, body).map_err(|error| match error {
            WebhookError::Unsupported => Code::NotFound,
            WebhookError::BadSignature => Code::SignMismatch,
            WebhookError::Unreadable => Code::BadRequest,
        })?;
        let (kind, signed) = (&hint.kind, hint.signed);
        tracing::info!(carrier = code, kind, signed, "a carrier tells something");
        for mode in &served.modes {
            self.retry(|| async {
                let mut tx = self.store.begin().await?;
                self.heed_hint(&mut tx, *mode, code, &hint).await?;
                Ok(tx.commit().await?)
            })
            .await?;
        }
        self.bell.notify_one();
        Ok(())
    }

    async fn heed_hint(
        &self,
        tx: &mut Tx,
        mode: Mode,
        code: &str,
        hint: &WebhookHint,
    ) -> Result<()> {
        for (partner, order) in orders_meant(tx, mode, code, hint).await? {
            self.hasten(tx, (mode, partner), order, hint.signed).await?;
        }
        let Some(iccid) = &hint.iccid else { return Ok(()) };
        let Some(partner) = tx.sim_owner(mode, iccid).await? else { return Ok(()) };
        let sim = tx.sim(mode, partner, iccid).await?;
        if sim.is_none_or(|sim| sim.carrier != code) {
            return Ok(());
        }
        if let Some(attempt) = tx.attempt_holding(mode, partner, iccid).await? {
            self.hasten(tx, (mode, partner), attempt.order_id, hint.signed).await?;
        }
        self.look_later(tx, (mode, partner), iccid, hint.signed).await
    }

    /// An order that its carrier works on is asked about now.
    async fn hasten(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        order: OrderId,
        signed: bool,
    ) -> Result<()> {
        let attempts = tx.attempts(mode, partner, order).await?;
        let waits = attempts.last().is_some_and(|attempt| {
            // What may still be sent is not touched.
            matches!(attempt.state, AttemptState::Accepted | AttemptState::Unclear)
        });
        if waits {
            let pause = if signed { Span::seconds(0) } else { UNSIGNED_PAUSE };
            let job = JobKind::Provision.job_id(&order.to_string());
            tx.hasten_order((mode, partner), job, self.ctx.now() + pause).await?;
        }
        Ok(())
    }

    /// The SIM is looked at; of many such wishes at a time, once.
    async fn look_later(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        iccid: &Iccid,
        signed: bool,
    ) -> Result<()> {
        let now = self.ctx.now();
        let pause = if signed { Span::seconds(0) } else { UNSIGNED_PAUSE };
        let job = NewJob {
            mode,
            partner_id: partner,
            kind: JobKind::LookAtSim,
            subject: iccid.as_str().to_owned(),
            trace: String::new(),
            run_at: now + pause,
            claimed_at: None,
        };
        tx.add_missing_job(&job, now).await?;
        Ok(())
    }
}

/// The orders that a hint names, by our key or by the carrier's own id.
async fn orders_meant(
    tx: &mut Tx,
    mode: Mode,
    code: &str,
    hint: &WebhookHint,
) -> Result<Vec<(PartnerId, OrderId)>> {
    let mut meant = Vec::new();
    let key = hint.key.as_deref().and_then(|key| key.strip_prefix("ord"));
    if let Some(id) = key.and_then(|rest| format!("ord_{rest}").parse::<OrderId>().ok())
        && let Some(found) = tx.find_order(mode, id).await?
    {
        meant.push((found.order.partner_id, id));
    }
    if let Some(upstream_id) = hint.upstream_id.as_deref().filter(|id| !id.is_empty()) {
        meant.extend(tx.orders_in_progress_at(mode, code, upstream_id).await?);
    }
    Ok(meant)
}
