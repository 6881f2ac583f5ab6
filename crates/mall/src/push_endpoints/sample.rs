//! A sample: sent at once, once, so that whoever sets an endpoint up sees what comes of it.

use domain::Span;
use domain::id::EventId;
use domain::push::{DeliveryState, EndpointKind};
use pushes::{Outcome, Push};
use serde_json::{Value, json};
use store::{PushAttempt, PushEndpoint, PushEvent, PushOutcome, Tx};
use wire::endpoints::{TestEndpoint, Tested};
use wire::push::{Event, EventType};

use super::{Manager, Whose, found};
use crate::error::{Error, Result};
use crate::{Caller, Mall};

/// What came of a sample.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) event_id: EventId,
    pub(crate) state: DeliveryState,
    /// The try; none where a listener is to take it.
    pub(crate) attempt: Option<PushAttempt>,
}

/// A try as it is written down.
fn attempt_of(event_id: EventId, tried_at: domain::Timestamp, outcome: &Outcome) -> PushAttempt {
    let latency = outcome.latency.max(Span::micros(0));
    let (status, failure, said) = match &outcome.result {
        Ok(answer) => (Some(answer.status), String::new(), answer.text.clone()),
        Err(failure) => (None, failure.kind.as_str().to_owned(), failure.words.clone()),
    };
    PushAttempt { event_id, tried_at, latency, status, failure, said }
}

impl Mall {
    /// `POST /mall/push-endpoints/test`.
    pub async fn test_push_endpoint(
        &self,
        caller: &Caller,
        request: &TestEndpoint,
    ) -> Result<Tested> {
        let by = Manager::Partner(&caller.partner);
        let sample = self.send_sample(by, &request.endpoint_id).await?;
        Ok(Tested {
            event_id: sample.event_id.to_string(),
            state: sample.state.as_str().to_owned(),
            attempt: sample.attempt.as_ref().map(super::log::of_partner),
        })
    }

    /// Sends a sample to an endpoint, whatever its state and its types, and writes into the log what came of it. The
    /// endpoint's breaker is not touched: it is not this that decides how an endpoint does.
    pub(crate) async fn send_sample(&self, by: Manager<'_>, id: &str) -> Result<Sample> {
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, id).await?;
        let keys = tx.push_keys(&endpoint).await?;
        drop(tx);
        let event = self.sample_event(&whose, &endpoint)?;
        let attempt = match endpoint.kind {
            EndpointKind::Listener => None,
            EndpointKind::Url => {
                let now = self.ctx.now();
                let keys = self.open_push_keys(&endpoint, &keys, now)?;
                let signed =
                    wire::push::sign(&keys, &event.id.to_string(), now, event.body.as_bytes());
                let signed = signed.map_err(|error| Error::Internal(error.to_string()))?;
                let headers = signed.pairs();
                let (url, mode) = (endpoint.url.as_str(), endpoint.mode);
                let push = Push { url, mode, headers: &headers, body: &event.body };
                let outcome = self.sender.send(push).await;
                Some(attempt_of(event.id, now, &outcome))
            }
        };
        let state = match attempt.as_ref().map(|attempt| attempt.status) {
            None => DeliveryState::Waiting,
            Some(Some(200..=299)) => DeliveryState::Delivered,
            Some(_) => DeliveryState::Failed,
        };
        let sample = Sample { event_id: event.id, state, attempt };
        self.retry(|| self.write_sample(by, &event, id, &sample)).await?;
        Ok(sample)
    }

    fn sample_event(&self, whose: &Whose, endpoint: &PushEndpoint) -> Result<PushEvent> {
        let (id, recorded_at): (EventId, _) = (self.ctx.id(), self.ctx.now());
        let occurred_at = self.now(whose.mode);
        let (text, subject) = (id.to_string(), endpoint.id.to_string());
        let of = (whose.mode, whose.code.as_str());
        let data = json!({ "endpoint_id": subject });
        let body = Event::new((&text, EventType::PushSample), occurred_at, of, data).body();
        Ok(PushEvent {
            mode: whose.mode,
            partner_id: whose.id,
            id,
            event_type: EventType::PushSample.as_str().to_owned(),
            subject,
            sequence: 0,
            occurred_at,
            recorded_at,
            body: body.map_err(|error| Error::Internal(error.to_string()))?,
        })
    }

    async fn write_sample(
        &self,
        by: Manager<'_>,
        event: &PushEvent,
        id: &str,
        sample: &Sample,
    ) -> Result<()> {
        let mut tx = self.store.begin().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, id).await?;
        let (key, now) = (endpoint.key(), self.ctx.now());
        insert_next(&mut tx, &endpoint, event, now).await?;
        if let Some(attempt) = &sample.attempt {
            let (event_id, state, due_at) = (event.id, sample.state, now);
            let outcome = PushOutcome { event_id, state, tries: 1, due_at };
            tx.write_push_outcomes(&[(key, &outcome)]).await?;
            tx.insert_push_attempts(&[(key, attempt)]).await?;
        }
        let of = ("push.test", &whose, endpoint.id);
        let after = json!({"event_id": event.id.to_string(), "state": sample.state.as_str()});
        by.record(self, &mut tx, of, (Value::Null, after)).await?;
        Ok(tx.commit().await?)
    }
}

/// Writes an event as the last one of its subject, to be told to one endpoint.
async fn insert_next(
    tx: &mut Tx,
    endpoint: &PushEndpoint,
    event: &PushEvent,
    now: domain::Timestamp,
) -> Result<()> {
    let subject = (event.mode, event.partner_id, event.subject.clone());
    let last = tx.last_push_sequences(&[&subject]).await?.get(&subject).copied().unwrap_or(0);
    let event = PushEvent { sequence: last + 1, ..event.clone() };
    tx.insert_push_events(std::slice::from_ref(&event)).await?;
    Ok(tx.insert_push_deliveries(&[(endpoint.id, &event)], now).await?)
}
