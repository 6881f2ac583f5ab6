//! What came of pushes, on its way into the database: lanes that write at the same time share a transaction.
//!
//! Each names the fence of its lease. Whose fence is too old is left out: somebody else sends to that endpoint now.

use std::collections::HashMap;
use std::sync::Arc;

use domain::id::PartnerId;
use domain::{Mode, Timestamp};
use serde_json::json;
use store::{EndpointHealth, EndpointKey, PushAttempt, PushEndpoint, PushLease, PushOutcome, Tx};
use wire::push::EventType;

use crate::Mall;
use crate::cache::Known;
use crate::error::Result;
use crate::metrics::OfMode;
use crate::push_events::{Told, Whom};
use crate::push_relay::text_of;
use crate::push_rules::HELD_TRIES_MAX;

/// The most outcomes that lanes write in one transaction, unless one lane has more: orders wait for it.
const OUTCOMES_MAX: usize = 2_048;

/// What one lane has to write.
#[derive(Debug, Clone)]
pub(crate) struct PushWrite {
    /// The lease as it is to stand then.
    pub(crate) lease: PushLease,
    /// The version of the endpoint that all this goes by.
    pub(crate) version: i64,
    pub(crate) outcomes: Vec<(PushOutcome, PushAttempt)>,
    /// How the endpoint does, if that is to be noted.
    pub(crate) health: Option<EndpointHealth>,
    /// Its breaker closed: what that held up is due.
    pub(crate) closed: bool,
    /// Why it is given up, if it is.
    pub(crate) off: Option<String>,
    /// The lease must be prolonged, whatever else there is.
    pub(crate) is_due: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is written, and the endpoint's row has this version.
    Held(i64),
    /// The lease is somebody else's; nothing is written.
    Lost,
    /// The database did not do it.
    Failed,
}

impl PushWrite {
    pub(crate) fn new(lease: &PushLease, endpoint: &PushEndpoint) -> Self {
        Self {
            lease: lease.clone(),
            version: endpoint.version,
            outcomes: Vec::new(),
            health: None,
            closed: false,
            off: None,
            is_due: false,
        }
    }

    /// Whether it is worth a write.
    pub(crate) fn is_needed(&self) -> bool {
        let decided = !self.outcomes.is_empty() || self.closed || self.off.is_some();
        decided || self.health.is_some() || self.is_due
    }

    /// Takes over what an earlier write could not do.
    pub(crate) fn take_before(&mut self, earlier: &Self) {
        let later = std::mem::replace(&mut self.outcomes, earlier.outcomes.clone());
        self.outcomes.extend(later);
        self.health = self.health.or(earlier.health);
        self.closed |= earlier.closed;
        self.is_due = true;
        if self.off.is_none() {
            self.off.clone_from(&earlier.off);
        }
    }
}

/// How many of some writes go into one transaction, by how many outcomes each has: one at least.
fn fitting(outcomes: impl Iterator<Item = usize>) -> usize {
    let sums = outcomes.scan(0, |sum, many| {
        *sum += many;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= OUTCOMES_MAX).count().max(1)
}

impl Mall {
    /// Writes what a lane has, together with others that have something at the same time.
    pub(crate) async fn write_push(&self, write: Arc<PushWrite>) -> Written {
        let together = |batch: Vec<Arc<PushWrite>>| async move {
            let mut became = Vec::with_capacity(batch.len());
            while let Some(rest) = batch.get(became.len()..).filter(|rest| !rest.is_empty()) {
                let part = &rest[..fitting(rest.iter().map(|write| write.outcomes.len()))];
                let written = self.retry(|| self.write_push_batch(part)).await;
                became.extend(written.unwrap_or_else(|error| {
                    tracing::warn!(%error, "what came of pushes is not written yet");
                    vec![Written::Failed; part.len()]
                }));
            }
            became
        };
        self.push_writes.run(write, together).await.unwrap_or(Written::Failed)
    }

    async fn write_push_batch(&self, batch: &[Arc<PushWrite>]) -> Result<Vec<Written>> {
        let mut tx = self.store.begin().await?;
        let told = self.touch_those_off(&mut tx, batch).await?;
        let mut leases: Vec<&PushLease> = batch.iter().map(|write| &write.lease).collect();
        leases.sort_by_cached_key(|lease| text_of(&lease.key));
        let held = tx.hold_push_leases(&leases).await?;
        let held: HashMap<EndpointKey, i64> =
            held.into_iter().map(|held| (held.key, held.version)).collect();
        let version = |write: &PushWrite| held.get(&write.lease.key).copied();
        let writes: Vec<&PushWrite> =
            batch.iter().map(|write| &**write).filter(|write| version(write).is_some()).collect();
        let (mut outcomes, mut health) = (Vec::new(), Vec::new());
        for write in &writes {
            let key = write.lease.key;
            outcomes
                .extend(write.outcomes.iter().map(|(outcome, attempt)| (key, outcome, attempt)));
            // Whoever changed the endpoint meanwhile may have said that it begins anew.
            let is_its = version(write) == Some(write.version);
            health.extend(write.health.filter(|_| is_its).map(|health| (key, health)));
        }
        tx.write_push_outcomes(&outcomes).await?;
        tx.note_push_health(&health).await?;
        let now = self.ctx.now();
        for write in &writes {
            if write.closed {
                tx.hasten_push_deliveries(write.lease.key, (now, HELD_TRIES_MAX)).await?;
            }
            if let Some(reason) = &write.off
                && version(write) == Some(write.version)
            {
                let (mode, partner, _) = write.lease.key;
                let known = told.get(&(mode, partner)).and_then(Option::clone);
                self.switch_off(&mut tx, write, known, (reason, now)).await?;
            }
        }
        tx.commit().await?;
        let became = |write: &Arc<PushWrite>| match version(write) {
            // Switching it off changed it.
            Some(version) => Written::Held(version + i64::from(write.off.is_some())),
            None => Written::Lost,
        };
        Ok(batch.iter().map(became).collect())
    }

    /// Raises the version of each partner of whose endpoints one is to be switched off, and gives those of them who are told
    /// so. They are read before that: what is read in a transaction that changed them is not to be remembered.
    async fn touch_those_off(
        &self,
        tx: &mut Tx,
        batch: &[Arc<PushWrite>],
    ) -> Result<HashMap<(Mode, PartnerId), Option<Arc<Known>>>> {
        let off = batch.iter().filter(|write| write.off.is_some());
        let mut keys: Vec<EndpointKey> = off.map(|write| write.lease.key).collect();
        keys.sort_by_cached_key(text_of);
        let mut told = HashMap::new();
        for (mode, partner, _) in &keys {
            let known = self.listening(tx, (*mode, *partner), EventType::EndpointOff).await?;
            told.insert((*mode, *partner), known);
        }
        keys.dedup_by_key(|(mode, partner, _)| (*mode, *partner));
        for (mode, partner, _) in keys {
            tx.touch_partner(mode, partner).await?;
        }
        Ok(told)
    }

    /// Gives an endpoint up, and tells the partner where else it is told of things.
    async fn switch_off(
        &self,
        tx: &mut Tx,
        write: &PushWrite,
        known: Option<Arc<Known>>,
        (reason, now): (&str, Timestamp),
    ) -> Result<()> {
        let (mode, partner, id) = write.lease.key;
        if !tx.switch_push_endpoint_off(write.lease.key, reason).await? {
            return Ok(());
        }
        tracing::error!(endpoint = %id, reason, "an endpoint is switched off");
        let counter = self.metrics.push_switched_off.clone();
        tx.after_commit(move || {
            counter.get_or_create(&OfMode::new(mode)).inc();
        });
        let event_type = EventType::EndpointOff;
        let Some(known) = known else { return Ok(()) };
        let Some(endpoint) = tx.push_endpoint((mode, partner), id).await? else { return Ok(()) };
        let failing_since = endpoint.health.failing_since.map(Timestamp::as_millis);
        let data = json!({
            "endpoint_id": id.to_string(),
            "url": endpoint.url,
            "description": endpoint.description,
            "reason": reason,
            "failing_since": failing_since,
            "switched_off_at": now.as_millis(),
        });
        let (subject, at, whom) = (id.to_string(), self.now(mode), Whom::AllBut(id));
        self.tell_all(tx, vec![(known, Told { event_type, subject, at, data, whom })]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_wait_for_few_outcomes_at_a_time() {
        let many = |outcomes: &[usize]| fitting(outcomes.iter().copied());
        assert_eq!(many(&[0; 128]), 128);
        assert_eq!(many(&[128; 128]), 16);
        assert_eq!(many(&[OUTCOMES_MAX, 1]), 1);
        assert_eq!(many(&[OUTCOMES_MAX + 1, 1]), 1);
        assert_eq!(many(&[1]), 1);
    }
}
