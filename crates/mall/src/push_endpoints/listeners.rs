//! Listeners: endpoints of a developer without a public address, who takes events instead of being sent them.

use std::collections::BTreeMap;

use domain::id::EventId;
use domain::push::{DeliveryState, EndpointKind, EndpointState};
use domain::{Span, Timestamp};
use store::{DuePush, PushAttempt, PushEndpoint, PushOutcome, Tx};
use wire::endpoints::{SignedEvent, TakePushes, Taken};
use wire::push::{Headers, Key};

use super::{EndpointReason, Manager, found};
use crate::error::{Error, Result};
use crate::{Caller, Mall};

/// How exactly it is noted when a listener was asked last.
const NOTED_EVERY: Span = Span::minutes(1);
/// What the log says of an event that its listener has.
const ACKNOWLEDGED: &str = "acknowledged by its listener";

impl Mall {
    /// `POST /mall/push-endpoints/take`: what was handled is done, and what waits is given, of each subject only the
    /// first, so that nothing is handled before what came before it.
    pub async fn take_pushes(&self, caller: &Caller, request: &TakePushes) -> Result<Taken> {
        let by = Manager::Partner(&caller.partner);
        let now = self.ctx.now();
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, &request.endpoint_id).await?;
        if endpoint.kind != EndpointKind::Listener {
            let detail = "events are taken from listeners only";
            return Err(by.refused(EndpointReason::NoListener, "endpoint_id", detail));
        }
        let noted = endpoint.health.tried_at.is_some_and(|at| now.since(at) < NOTED_EVERY);
        if !noted || !request.acknowledged.is_empty() {
            drop(tx);
            self.retry(|| self.acknowledge(&endpoint, &request.acknowledged, now)).await?;
            tx = self.store.read().await?;
        }
        if endpoint.state != EndpointState::On || request.limit == 0 {
            return Ok(Taken { events: Vec::new() });
        }
        let due = tx.due_pushes(endpoint.key(), (now, i64::from(request.limit))).await?;
        drop(tx);
        let signer = self.push_signer(&endpoint).await?;
        let events = due.into_iter().map(|push| signed(signer.keys(), push, now));
        Ok(Taken { events: events.collect::<Result<_>>()? })
    }

    /// Notes that a listener was asked, and what it has.
    async fn acknowledge(
        &self,
        endpoint: &PushEndpoint,
        ids: &[String],
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.store.begin().await?;
        tx.note_push_listener_asked(endpoint, now).await?;
        let mut outcomes = Vec::new();
        // One that is no id names nothing that waits.
        for event_id in ids.iter().filter_map(|id| id.parse::<EventId>().ok()) {
            if let Some(was) = waits(&mut tx, endpoint, event_id).await? {
                let (state, tries) = (DeliveryState::Delivered, was.0 + 1);
                let outcome =
                    PushOutcome { event_id, was, was_tried: true, state, tries, due_at: now };
                let attempt = PushAttempt {
                    event_id,
                    tried_at: now,
                    latency: Span::micros(0),
                    status: None,
                    failure: String::new(),
                    said: ACKNOWLEDGED.to_owned(),
                };
                outcomes.push((outcome, attempt));
            }
        }
        let key = endpoint.key();
        let outcomes: Vec<_> =
            outcomes.iter().map(|(outcome, attempt)| (key, outcome, attempt)).collect();
        tx.write_push_outcomes(&outcomes).await?;
        Ok(tx.commit().await?)
    }
}

/// How often an event was tried that waits for an endpoint, and since when it is due.
async fn waits(
    tx: &mut Tx,
    endpoint: &PushEndpoint,
    event: EventId,
) -> Result<Option<(i64, Timestamp)>> {
    let delivery = tx.push_delivery(endpoint.key(), event).await?;
    let waiting = delivery.filter(|delivery| delivery.state == DeliveryState::Waiting);
    Ok(waiting.map(|delivery| (delivery.tries, delivery.due_at)))
}

fn signed(keys: &[Key], push: DuePush, now: Timestamp) -> Result<SignedEvent> {
    let event_id = push.event_id.to_string();
    let headers = wire::push::sign(keys, &event_id, now, push.body.as_bytes());
    let headers: Headers = headers.map_err(|error| Error::Internal(error.to_string()))?;
    let pairs = headers.pairs().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: BTreeMap<String, String> = pairs.into_iter().collect();
    Ok(SignedEvent { event_id, headers, body: push.body })
}
