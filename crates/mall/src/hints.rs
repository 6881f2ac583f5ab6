//! Carriers' notifications. What one says is a reason to ask the carrier, and no proof: anybody can send one.
//! It names a SIM, or an order that is being provisioned; the SIM is looked at, and orders that the carrier
//! works on are asked after. A SIM is not looked at more often than every 30 seconds, whatever is sent.

use std::collections::HashSet;

use carriers::{WebhookError, WebhookHint};
use domain::id::OrderId;
use domain::{Mode, Span, Timestamp};
use store::{Question, SimKey};

use crate::Mall;
use crate::error::Result;
use crate::sim_looks::look_job;

/// How often notifications about a SIM are heeded.
const HEED_PERIOD: Span = Span::seconds(30);
/// A look that was put off for longer is not being run: it may be hastened.
const PUT_OFF_MIN: Span = Span::minutes(10);

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notified {
    /// It was taken, whether or not it is about anything here.
    Taken {
        /// Whether it proved that the carrier sent it.
        signed: bool,
    },
    /// There is no such carrier, or it sends none.
    Unknown,
    /// Its signature is missing or wrong.
    BadSignature,
    /// It cannot be read.
    Unreadable,
}

impl Mall {
    /// Takes a notification of a carrier: `headers` are names and values.
    pub async fn carrier_notified(
        &self,
        code: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Notified> {
        let Some(served) = self.carriers.get(code) else { return Ok(Notified::Unknown) };
        let hint = match served.carrier.parse_webhook(headers, body) {
            Ok(hint) => hint,
            Err(error) => {
                self.metrics.hint(code, "refused");
                return Ok(match error {
                    WebhookError::Unsupported => Notified::Unknown,
                    WebhookError::BadSignature => Notified::BadSignature,
                    WebhookError::Unreadable => Notified::Unreadable,
                });
            }
        };
        let mut outcome = "about_nothing";
        for mode in &served.modes {
            for key in self.sims_meant(*mode, code, &hint).await? {
                outcome = if self.heed(&key, code).await? { "heeded" } else { "too_soon" };
            }
        }
        self.metrics.hint(code, outcome);
        Ok(Notified::Taken { signed: hint.signed })
    }

    /// The SIMs that a notification is about.
    async fn sims_meant(
        &self,
        mode: Mode,
        code: &str,
        hint: &WebhookHint,
    ) -> Result<HashSet<SimKey>> {
        let mut tx = self.store.read().await?;
        let mut meant = HashSet::new();
        if let Some(iccid) = &hint.iccid
            && let Some(owner) = tx.sim_owner(mode, iccid).await?
            && tx.sim(mode, owner, iccid).await?.is_some_and(|sim| sim.carrier == code)
        {
            meant.insert((mode, owner, iccid.clone()));
        }
        // Our key is our id of the order, without its underscore.
        let key = hint.key.as_deref().and_then(|key| key.strip_prefix("ord"));
        if let Some(id) = key.and_then(|rest| format!("ord_{rest}").parse::<OrderId>().ok())
            && let Some(found) = tx.find_order(mode, id).await?
        {
            meant.insert((mode, found.order.partner_id, found.order.iccid));
        }
        if let Some(id) = hint.upstream_id.as_deref().filter(|id| !id.is_empty()) {
            for (partner, order) in tx.orders_in_progress_at(mode, code, id).await? {
                if let Some(order) = tx.order(mode, partner, order).await? {
                    meant.insert((mode, partner, order.iccid));
                }
            }
        }
        Ok(meant)
    }

    /// Has a SIM looked at, now or as soon as that is not too often; whether that is news.
    async fn heed(&self, key: &SimKey, code: &str) -> Result<bool> {
        let at = self
            .retry(|| async {
                let now = self.ctx.now();
                let mut tx = self.store.begin().await?;
                let known = tx.carrier_sim(key, Question::State).await?;
                let Some(at) = heed_at(known.heed_at, now) else { return Ok(None) };
                tx.write_heed(key, known.heed_at, (now, at)).await?;
                tx.add_missing_job(&look_job(key, at), now).await?;
                tx.hasten_look(key, (at, now + PUT_OFF_MIN)).await?;
                tx.hasten_accepted(key, code, at).await?;
                tx.commit().await?;
                Ok(Some(at))
            })
            .await?;
        if at.is_some_and(|at| at <= self.ctx.now()) {
            self.bell.notify_one();
        }
        Ok(at.is_some())
    }
}

/// When a notification is heeded that comes now, after one that is or was heeded at a time; `None` if that one
/// is still to come and does for both.
fn heed_at(last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    // A clock that was put back must not silence a carrier.
    let last = last.filter(|last| *last <= now + HEED_PERIOD);
    match last {
        Some(last) if last > now => None,
        Some(last) => Some(now.max(last + HEED_PERIOD)),
        None => Some(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_are_heeded_at_once_and_then_every_half_minute() {
        let at = |seconds| Timestamp::from_micros(0) + Span::seconds(seconds);
        assert_eq!(heed_at(None, at(100)), Some(at(100)));
        assert_eq!(heed_at(Some(at(100)), at(100)), Some(at(130)));
        assert_eq!(heed_at(Some(at(130)), at(129)), None);
        assert_eq!(heed_at(Some(at(130)), at(130)), Some(at(160)));
        assert_eq!(heed_at(Some(at(130)), at(200)), Some(at(200)));
        assert_eq!(heed_at(Some(at(9_000)), at(200)), Some(at(200)), "a clock put back");
    }
}
