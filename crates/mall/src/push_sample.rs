//! A sample: what whoever has added an endpoint asks for, to see whether it works.

use domain::Timestamp;
use domain::id::EventId;
use domain::push::{DeliveryState, EndpointKind};
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{DuePush, EndpointKey, PushAttempt, PushEndpoint, PushEvent, PushOutcome};
use tokio::sync::Semaphore;
use wire::push::EventType;

use crate::Mall;
use crate::error::{Error, Result};
use crate::push_events::{Told, Whom};
use crate::push_rules::Verdict;

/// When a sample is due that is sent already.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// How many samples may be on their way from a process.
const PLACES: usize = 16;

/// The samples that are on their way from this process.
#[derive(Debug)]
pub(crate) struct Samples {
    places: Semaphore,
    /// To where: one at a time.
    busy: Mutex<HashSet<EndpointKey>>,
}

impl Default for Samples {
    fn default() -> Self {
        Self { places: Semaphore::new(PLACES), busy: Mutex::default() }
    }
}

impl Samples {
    fn busy(&self) -> MutexGuard<'_, HashSet<EndpointKey>> {
        // A set of names is valid after any panic.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send a sample to an endpoint; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct SamplePlace {
    mall: Arc<Mall>,
    key: EndpointKey,
}

impl Drop for SamplePlace {
    fn drop(&mut self) {
        self.mall.samples.busy().remove(&self.key);
        self.mall.samples.places.add_permits(1);
    }
}

/// A sample that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushSample {
    /// Its event.
    pub event_id: EventId,
    /// Whether the endpoint took it.
    pub is_taken: bool,
    /// The one try; `None`: whoever listens takes it with the other events.
    pub attempt: Option<PushAttempt>,
}

impl Mall {
    /// A place for a sample to an endpoint; `None`: one is on its way there, or too many are on their way at all.
    pub(crate) fn sample_place(self: &Arc<Self>, key: EndpointKey) -> Option<SamplePlace> {
        let permit = self.samples.places.try_acquire().ok()?;
        if !self.samples.busy().insert(key) {
            return None;
        }
        permit.forget();
        Some(SamplePlace { mall: Arc::clone(self), key })
    }

    /// Sends a sample to an endpoint, in whichever state it is, and tells what came of the one try. It changes nothing of
    /// how the endpoint does. It may take as long as a push may.
    pub async fn send_push_sample(&self, endpoint: &PushEndpoint) -> Result<PushSample> {
        let is_sent = endpoint.kind == EndpointKind::Url;
        let whom = if is_sent { Whom::Nobody } else { Whom::Only(endpoint.id) };
        let event = self.retry(|| self.write_sample(endpoint, whom)).await?;
        if !is_sent {
            return Ok(PushSample { event_id: event.id, is_taken: false, attempt: None });
        }
        let signer = Arc::new(self.push_signer(endpoint).await?);
        let push = DuePush {
            event_id: event.id,
            tries: 0,
            due_at: NEVER,
            is_tried: false,
            body: event.body.clone(),
        };
        let landed = signer.send(self.sender.clone(), push, self.ctx.now()).await;
        let is_taken = landed.verdict == Verdict::Taken;
        let attempt = landed.attempt();
        let state = if is_taken { DeliveryState::Delivered } else { DeliveryState::Failed };
        let (was, due_at) = ((0, NEVER), self.ctx.now());
        let outcome =
            PushOutcome { event_id: event.id, was, was_tried: true, state, tries: 1, due_at };
        self.retry(|| self.note_sample(endpoint, &event, (&outcome, &attempt))).await?;
        Ok(PushSample { event_id: event.id, is_taken, attempt: Some(attempt) })
    }

    async fn write_sample(&self, endpoint: &PushEndpoint, whom: Whom) -> Result<PushEvent> {
        let mut tx = self.store.begin().await?;
        let known = self.partner_by_id(&mut tx, endpoint.mode, endpoint.partner_id).await?;
        let missing = || Error::Internal(format!("{} has no partner", endpoint.id));
        let at = self.now(endpoint.mode);
        let told = Told {
            event_type: EventType::PushSample,
            subject: endpoint.id.to_string(),
            at,
            data: json!({ "endpoint_id": endpoint.id.to_string(), "sent_at": at.as_millis() }),
            whom,
        };
        let event = self.tell_all(&mut tx, vec![(known.ok_or_else(missing)?, told)]).await?.pop();
        tx.commit().await?;
        event.ok_or_else(|| Error::Internal("a sample was not written".to_owned()))
    }

    /// Writes down what became of a sample: its delivery is made when it is decided, so that nobody else sends it.
    async fn note_sample(
        &self,
        endpoint: &PushEndpoint,
        event: &PushEvent,
        (outcome, attempt): (&PushOutcome, &PushAttempt),
    ) -> Result<()> {
        let mut tx = self.store.begin().await?;
        tx.insert_push_deliveries(&[(endpoint.id, event)], NEVER).await?;
        tx.write_push_outcomes(&[(endpoint.key(), outcome, attempt)]).await?;
        Ok(tx.commit().await?)
    }
}
